#!/usr/bin/env bash
# MSAL for Java shares one cache format with the other MSAL libraries, and keeps the parts of a file that it does not
# know. One would guess that this goes for the fields of an entry too: a service that only reads a user from the file
# and saves it would change nothing for the others. But within an entry it writes the fields that it knows and no
# others. An access token has no `token_type` and no `key_id` afterwards, so that MSAL for Python says of an SSH
# certificate that it is a bearer token. An account has no `tenantProfiles`, so that MSAL for Node lists a guest under
# their home tenant, without a name, misses the tokens of the tenant that they were a guest of, and asks the provider
# for others. Whoever takes tokens over from such a file cannot go by the fields that tell tokens apart; and whoever
# finds sign-ins by tenant looks in the wrong one.
#
#     findings/msal-java-saves-the-cache-without-token-types-and-guests.sh
#
# Needs python3 (with venv), node (with npm), and Java 17 (with mvn). Exit code: 0 if it is still so, 1 if not, 2 if it
# could not be tried. No provider is asked: the HTTP clients answer themselves.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv && venv/bin/python -m pip install --quiet --disable-pip-version-check msal==1.39.0 || exit 2
npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts @azure/msal-node@7.2.3 || exit 2
cat >pom.xml <<'EOF'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>finding</groupId><artifactId>finding</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>com.microsoft.azure</groupId><artifactId>msal4j</artifactId><version>1.26.1</version></dependency>
  </dependencies>
</project>
EOF
mvn --quiet dependency:copy-dependencies -DoutputDirectory=lib >maven.log 2>&1 || { cat maven.log; exit 2; }

# Reads the file, lists the accounts, saves the file.
cat >Save.java <<'EOF'
import com.microsoft.aad.msal4j.*;
import java.nio.file.*;

public class Save {
    public static void main(String[] files) throws Exception {
        var app = ConfidentialClientApplication.builder("web", ClientCredentialFactory.createFromSecret("fake")).build();
        app.tokenCache().deserialize(Files.readString(Path.of(files[0])));
        var accounts = app.getAccounts().get().size();
        Files.writeString(Path.of(files[0]), app.tokenCache().serialize());
        System.out.println("MSAL for Java reads " + files[0] + " (accounts: " + accounts + ") and saves it");
    }
}
EOF
java_saves() { java -cp 'lib/*' Save.java "$1" 2>java.log || { cat java.log >&2; exit 2; }; }

cat >python.py <<'EOF'
import base64
import json
import pathlib
import sys
import time

import msal

TENANT, USER = "aaaaaaaa-0000-4000-8000-00000000000a", "11111111-0000-4000-8000-000000000001"
BASE = f"https://login.microsoftonline.com/{TENANT}"
SSH = {"token_type": "ssh-cert", "key_id": "key", "req_cnf": "{}"}


def text(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


class Answer:
    status_code, headers = 200, {}

    def __init__(self, body):
        self.text = json.dumps(body)

    def raise_for_status(self):
        pass


class Provider:
    def get(self, url, **_):
        return Answer({"issuer": f"{BASE}/v2.0", "authorization_endpoint": f"{BASE}/a", "token_endpoint": f"{BASE}/t"})

    def post(self, url, data, **_):
        now = int(time.time())
        claims = {"iss": f"{BASE}/v2.0", "aud": "web", "sub": "s", "oid": USER, "tid": TENANT,
                  "preferred_username": "user@example.com", "exp": now + 3600, "iat": now}
        return Answer({"token_type": data.get("token_type", "Bearer"), "expires_in": 3600, "access_token": "FAKE",
                       "refresh_token": "FAKE-RT", "id_token": f"{text({})}.{text(claims)}.x",
                       "client_info": text({"uid": USER, "utid": TENANT})})

    def close(self):
        pass


cache, path = msal.SerializableTokenCache(), pathlib.Path("python.json")
cache.deserialize(path.read_text() if path.exists() else "{}")
app = msal.ConfidentialClientApplication("web", client_credential="fake", authority=BASE, token_cache=cache,
                                         http_client=Provider(), instance_discovery=False)
if sys.argv[1] == "sign-in":
    app.acquire_token_by_authorization_code("code", ["User.Read"], redirect_uri="https://app.example")
    app.acquire_token_silent(["User.Read"], app.get_accounts()[0], force_refresh=True, data=SSH)
token = app.acquire_token_silent(["User.Read"], app.get_accounts()[0])
(entry,) = json.loads(cache.serialize())["AccessToken"].values()
print(f"MSAL for Python: type {token['token_type']}, from {token['token_source']}; key {entry.get('key_id')}")
path.write_text(cache.serialize())
EOF

cat >node.mjs <<'EOF'
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { ConfidentialClientApplication } from "@azure/msal-node";

const visited = "aaaaaaaa-0000-4000-8000-00000000000a";
const home = "bbbbbbbb-0000-4000-8000-00000000000b";
const names = { [visited]: "the visited tenant", [home]: "the home tenant" };
const authority = `https://login.microsoftonline.com/${visited}`;
const text = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const networkClient = {
    async sendGetRequestAsync(url) {
        const body = url.includes("/discovery/instance")
            ? { tenant_discovery_endpoint: "unused", metadata: [] }
            : {
                  issuer: `${authority}/v2.0`, jwks_uri: `${authority}/k`, end_session_endpoint: `${authority}/l`,
                  authorization_endpoint: `${authority}/a`, token_endpoint: `${authority}/t`,
              };
        return { status: 200, headers: {}, body };
    },
    async sendPostRequestAsync() {
        const now = Math.floor(Date.now() / 1000);
        const claims = {
            iss: `${authority}/v2.0`, aud: "web", sub: "s", oid: "guest", tid: visited,
            preferred_username: "user@example.com", exp: now + 3600, iat: now,
        };
        return {
            status: 200, headers: {},
            body: {
                token_type: "Bearer", expires_in: 3600, scope: "User.Read", access_token: "FAKE", refresh_token: "FAKE-RT",
                id_token: `${text({})}.${text(claims)}.x`, client_info: text({ uid: "user", utid: home }),
            },
        };
    },
};
const auth = { clientId: "web", clientSecret: "fake", authority };
const app = new ConfidentialClientApplication({ auth, system: { networkClient } });
const cache = app.getTokenCache();
if (existsSync("node.json")) cache.deserialize(readFileSync("node.json", "utf8"));
const scopes = ["User.Read"];
if (process.argv[2] === "sign-in") await app.acquireTokenByCode({ code: "c", scopes, redirectUri: "https://app.example" });
const [account] = await cache.getAllAccounts();
const token = await app.acquireTokenSilent({ account, scopes });
const source = token.fromCache ? "cache" : "provider";
console.log(`MSAL for Node: in ${names[account.tenantId]}, name "${account.username}"; token from the ${source}`);
writeFileSync("node.json", cache.serialize());
EOF

run() { "$@" || exit 2; }
{
    run venv/bin/python python.py sign-in
    java_saves python.json
    run venv/bin/python python.py again
    run node node.mjs sign-in
    run node node.mjs again
    java_saves node.json
    run node node.mjs again
} | tee output.log
cat >expected.log <<'EOF'
MSAL for Python: type ssh-cert, from cache; key key
MSAL for Java reads python.json (accounts: 1) and saves it
MSAL for Python: type Bearer, from cache; key None
MSAL for Node: in the visited tenant, name "user@example.com"; token from the cache
MSAL for Node: in the visited tenant, name "user@example.com"; token from the cache
MSAL for Java reads node.json (accounts: 1) and saves it
MSAL for Node: in the home tenant, name ""; token from the provider
EOF
cmp -s output.log expected.log && echo "still so: what Java does not know of an entry is gone" && exit 0
echo "this has changed"
exit 1
