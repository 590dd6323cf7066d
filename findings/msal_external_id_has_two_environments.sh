#!/bin/sh
# MSAL libraries file a user of Entra External ID under the host of the authority that the app was configured with. A tenant has two such
# hosts, by its name and by its id, and tokens name only the latter as issuer. So what two apps that spell it differently keep of one user in
# one cache lies under two environments. In Python that makes two accounts; in Node the account stays under the host that came first, and the
# tokens of the other host have no account of theirs.
#
# Runs msal (PyPI) and @azure/msal-node (npm) in a temporary folder, with an HTTP client that answers inside of the process.
set -eu
MSAL=1.39.0 NODE=7.2.3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "msal==$MSAL"
npm init -y >npm.log && npm install --silent --no-fund --no-audit "@azure/msal-node@$NODE" >>npm.log

cat >ask.py <<'EOF'
import base64, json, time
import msal

TENANT = "aaaaaaaa-0000-4000-8000-00000000000a"
USER = "11111111-0000-4000-8000-000000000001"
encoded = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

class Answer:
    def __init__(self, value):
        self.status_code, self.text, self.headers = 200, json.dumps(value), {}
    def raise_for_status(self):
        pass

class Microsoft:
    """The documents and tokens of one external tenant, whichever of its hosts is asked."""
    def get(self, url, **_):
        host = url.split("/")[2]
        return Answer({"issuer": f"https://{TENANT}.ciamlogin.com/{TENANT}/v2.0",
                       "authorization_endpoint": f"https://{host}/{TENANT}/oauth2/v2.0/authorize",
                       "token_endpoint": f"https://{host}/{TENANT}/oauth2/v2.0/token"})
    def post(self, url, **_):
        now = int(time.time())
        claims = {"iss": f"https://{TENANT}.ciamlogin.com/{TENANT}/v2.0", "aud": "web", "sub": "s", "oid": USER, "tid": TENANT,
                  "exp": now + 3600, "iat": now}
        return Answer({"access_token": "at", "refresh_token": "rt", "token_type": "Bearer", "expires_in": 3600,
                       "id_token": f"e30.{encoded(claims)}.x", "client_info": encoded({"uid": USER, "utid": TENANT})})
    def close(self):
        pass

cache = msal.SerializableTokenCache()
for host in ["contoso.ciamlogin.com", f"{TENANT}.ciamlogin.com"]:
    app = msal.ConfidentialClientApplication("web", authority=f"https://{host}/{TENANT}", client_credential="s", http_client=Microsoft(), token_cache=cache)
    app.acquire_token_by_authorization_code("code", scopes=["User.Read"], redirect_uri="https://app.example")
for kind in ["Account", "RefreshToken"]:
    for entry in json.loads(cache.serialize())[kind].values():
        print(kind, entry["environment"])
EOF
cat >ask.mjs <<'EOF'
import * as msal from "@azure/msal-node";

const TENANT = "aaaaaaaa-0000-4000-8000-00000000000a";
const USER = "11111111-0000-4000-8000-000000000001";
const encoded = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const issuer = `https://${TENANT}.ciamlogin.com/${TENANT}/v2.0`;
const hosts = ["contoso.ciamlogin.com", `${TENANT}.ciamlogin.com`];
// The documents and tokens of one external tenant, whichever of its hosts is asked.
const microsoft = {
    async sendGetRequestAsync(url) {
        const at = `https://${new URL(url).host}/${TENANT}`;
        const body = { issuer, authorization_endpoint: `${at}/oauth2/v2.0/authorize`, token_endpoint: `${at}/oauth2/v2.0/token`,
            end_session_endpoint: `${at}/oauth2/v2.0/logout`, jwks_uri: `${at}/discovery/v2.0/keys` };
        return { status: 200, headers: {}, body };
    },
    async sendPostRequestAsync() {
        const now = Math.floor(Date.now() / 1000);
        const claims = { iss: issuer, aud: "web", sub: "s", oid: USER, tid: TENANT, exp: now + 3600, iat: now };
        const body = { access_token: "at", refresh_token: "rt", token_type: "Bearer", expires_in: 3600, scope: "User.Read",
            id_token: `e30.${encoded(claims)}.x`, client_info: encoded({ uid: USER, utid: TENANT }) };
        return { status: 200, headers: {}, body };
    },
};
let cache = "";
for (const host of hosts) {
    const app = new msal.ConfidentialClientApplication({
        auth: { clientId: "web", clientSecret: "s", authority: `https://${host}/${TENANT}`, knownAuthorities: hosts },
        system: { networkClient: microsoft },
    });
    if (cache) app.getTokenCache().deserialize(cache);
    await app.acquireTokenByCode({ code: "code", scopes: ["User.Read"], redirectUri: "https://app.example" });
    cache = app.getTokenCache().serialize();
}
for (const kind of ["Account", "RefreshToken"]) {
    for (const entry of Object.values(JSON.parse(cache)[kind])) console.log(kind, entry.environment);
}
EOF

id=aaaaaaaa-0000-4000-8000-00000000000a
result=0
check() {
    echo "$1: one user signs in at each of the tenant's two hosts; the environments in the cache:"
    echo "$2"
    if [ "$2" != "$3" ]; then
        echo "$1 does something else now" >&2
        result=1
    fi
}
check "msal $MSAL" "$(venv/bin/python ask.py)" "Account contoso.ciamlogin.com
Account $id.ciamlogin.com
RefreshToken contoso.ciamlogin.com
RefreshToken $id.ciamlogin.com"
check "@azure/msal-node $NODE" "$(node ask.mjs)" "Account contoso.ciamlogin.com
RefreshToken contoso.ciamlogin.com
RefreshToken $id.ciamlogin.com"
exit $result
