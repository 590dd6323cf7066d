#!/usr/bin/env bash
# Two apps share one token cache file, as MSAL's libraries are made to: one uses MSAL for Node, the other MSAL for
# Python. One would guess that `remove_account` in Python signs the user out of that file, whichever library wrote the
# entries: it looks for them by their fields, and afterwards `get_accounts` is empty. But it deletes each under a key
# that it makes itself from the fields, and Node's keys have one hyphen more. So the account entry goes, whose keys
# are the same, and the access, refresh and ID tokens all stay, without an error. Node no longer lists the account,
# and still answers who kept the account object. Whoever moves such a file elsewhere meets tokens of users who have
# signed out.
#
#     findings/msal-python-removes-no-token-that-node-wrote.sh
#
# Needs python3 (with venv) and node (with npm). Exit code: 0 if it is still so, 1 if not, 2 if it could not be tried.
# No provider is asked: the HTTP clients answer themselves.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv && venv/bin/python -m pip install --quiet --disable-pip-version-check msal==1.39.0 || exit 2
npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts @azure/msal-node@7.2.3 || exit 2

cat >node.mjs <<'EOF'
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { ConfidentialClientApplication, version } from "@azure/msal-node";

const TENANT = "aaaaaaaa-0000-4000-8000-00000000000a";
const USER = "11111111-0000-4000-8000-000000000001";
const base64url = (data) => Buffer.from(JSON.stringify(data)).toString("base64url");
const networkClient = {
    async sendGetRequestAsync(url) {
        const base = `https://login.microsoftonline.com/${TENANT}`;
        const body = url.includes("/discovery/instance")
            ? { tenant_discovery_endpoint: "unused", metadata: [] }
            : { issuer: `${base}/v2.0`, authorization_endpoint: `${base}/a`, token_endpoint: `${base}/t`, jwks_uri: `${base}/k` };
        return { status: 200, headers: {}, body };
    },
    async sendPostRequestAsync() {
        const claims = { aud: "web", iss: "https://op", sub: "s", oid: USER, tid: TENANT, preferred_username: "user" };
        const body = {
            token_type: "Bearer", expires_in: 3600, ext_expires_in: 3600, scope: "User.Read openid profile offline_access",
            access_token: "FAKE-AT", refresh_token: "FAKE-RT", client_info: base64url({ uid: USER, utid: TENANT }),
            id_token: `${base64url({ alg: "none" })}.${base64url(claims)}.FAKE`,
        };
        return { status: 200, headers: {}, body };
    },
};
const app = new ConfidentialClientApplication({
    auth: { clientId: "web", clientSecret: "fake", authority: `https://login.microsoftonline.com/${TENANT}` },
    system: { networkClient },
});
const cache = app.getTokenCache();
if (!existsSync("cache.json")) {
    const request = { code: "c", scopes: ["User.Read"], redirectUri: "https://app.example.com" };
    const { account } = await app.acquireTokenByCode(request);
    writeFileSync("cache.json", cache.serialize());
    writeFileSync("account.json", JSON.stringify(account));
    console.log(`MSAL for Node ${version} has signed a user in`);
} else {
    cache.deserialize(readFileSync("cache.json", "utf8"));
    networkClient.sendPostRequestAsync = async () => { throw new Error("the provider was asked"); };
    const listed = (await cache.getAllAccounts()).length;
    const account = JSON.parse(readFileSync("account.json", "utf8"));
    const silent = app.acquireTokenSilent({ account, scopes: ["User.Read"] });
    const token = await silent.then((answer) => answer.accessToken, (error) => error.errorCode);
    console.log(`MSAL for Node lists ${listed} accounts, and gives who kept the account object: ${token}`);
    process.exit(listed === 0 && token === "FAKE-AT" ? 0 : 1);
}
EOF

cat >python.py <<'EOF'
import json
import pathlib
import sys

import msal

TENANT = "aaaaaaaa-0000-4000-8000-00000000000a"
ALIASES = ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"]


class Answer:
    status_code, headers = 200, {}

    def __init__(self, body):
        self.text = json.dumps(body)

    def json(self):
        return json.loads(self.text)

    def raise_for_status(self):
        pass


class Provider:
    def get(self, url, **_):
        if "/discovery/instance" in url:
            aliases = [{"preferred_network": ALIASES[0], "preferred_cache": ALIASES[1], "aliases": ALIASES}]
            return Answer({"tenant_discovery_endpoint": "unused", "metadata": aliases})
        base = f"https://{ALIASES[0]}/{TENANT}"
        return Answer({"issuer": f"{base}/v2.0", "authorization_endpoint": f"{base}/a", "token_endpoint": f"{base}/t"})

    def post(self, url, **_):
        raise AssertionError("the provider was asked")

    def close(self):
        pass


def count():
    kept = json.loads(cache.serialize())
    return {node: len(kept[node]) for node in ("Account", "AccessToken", "RefreshToken", "IdToken")}


cache = msal.SerializableTokenCache()
cache.deserialize(pathlib.Path("cache.json").read_text())
app = msal.ConfidentialClientApplication(
    "web", client_credential="fake", authority=f"https://{ALIASES[0]}/{TENANT}", token_cache=cache, http_client=Provider())
before, accounts = count(), app.get_accounts()
print(f"MSAL for Python {msal.__version__} sees {len(accounts)} account:", before)
app.remove_account(accounts[0])
after, left = count(), app.get_accounts()
print(f"after remove_account it sees {len(left)}:", after)
pathlib.Path("cache.json").write_text(cache.serialize())
sys.exit(0 if (len(accounts), left) == (1, []) and after == before | {"Account": 0} and min(before.values()) == 1 else 1)
EOF

node node.mjs || exit 2
if venv/bin/python python.py && node node.mjs; then
    echo "still so: the account is gone, and every token stays"
else
    echo "this has changed"
    exit 1
fi
