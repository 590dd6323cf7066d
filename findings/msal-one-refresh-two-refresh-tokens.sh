#!/usr/bin/env bash
# An app signs its users in with MSAL for Python, and a second service of the same app (the same client id) refreshes
# their tokens from the same cache file with MSAL for Node. One would guess that the refresh token that a refresh
# brings takes the place of the one that it was got for, as it does where one library is alone. But Python files what
# it gets under `login.microsoftonline.com` and Node under `login.windows.net`, and both read under either name. So
# the old refresh token stays beside the new one, as do two ID tokens; and Python, which looks under its own name
# first, goes on to redeem the old one. Whoever has a provider that rotates refresh tokens and takes the second use of
# one for theft, or moves such a file elsewhere and must choose, meets it. Node writes no time beside a refresh token
# by which to tell.
#
#     findings/msal-one-refresh-two-refresh-tokens.sh
#
# Needs python3 (with venv) and node (with npm). Exit code: 0 if it is still so, 1 if not, 2 if it could not be tried.
# No provider is asked: the HTTP clients answer themselves.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv && venv/bin/python -m pip install --quiet --disable-pip-version-check msal==1.39.0 || exit 2
npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts @azure/msal-node@7.2.3 || exit 2

cat >python.py <<'EOF'
import base64
import json
import pathlib
import sys

import msal

ALIASES = ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"]
TENANT, USER = "aaaaaaaa-0000-4000-8000-00000000000a", "11111111-0000-4000-8000-000000000001"
BASE = f"https://{ALIASES[0]}/{TENANT}"


def base64url(data):
    return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")


class Answer:
    status_code, headers = 200, {}

    def __init__(self, body):
        self.text = json.dumps(body)

    def json(self):
        return json.loads(self.text)

    def raise_for_status(self):
        pass


class Provider:
    redeemed = None

    def get(self, url, **_):
        if "/discovery/instance" in url:
            aliases = [{"preferred_network": ALIASES[0], "preferred_cache": ALIASES[1], "aliases": ALIASES}]
            return Answer({"tenant_discovery_endpoint": "unused", "metadata": aliases})
        return Answer({"issuer": f"{BASE}/v2.0", "authorization_endpoint": f"{BASE}/a", "token_endpoint": f"{BASE}/t"})

    def post(self, url, data=None, **_):
        self.redeemed = data.get("refresh_token")
        claims = {"aud": "web", "iss": "https://op", "sub": "s", "oid": USER, "tid": TENANT, "preferred_username": "user"}
        return Answer({
            "token_type": "Bearer", "expires_in": 3600, "access_token": "FAKE-AT", "refresh_token": "FAKE-RT-1-to-Python",
            "client_info": base64url({"uid": USER, "utid": TENANT}),
            "id_token": f"{base64url({'alg': 'none'})}.{base64url(claims)}.FAKE",
        })

    def close(self):
        pass


cache, provider, path = msal.SerializableTokenCache(), Provider(), pathlib.Path("cache.json")
app = msal.ConfidentialClientApplication(
    "web", client_credential="fake", authority=BASE, token_cache=cache, http_client=provider)
if not path.exists():
    app.acquire_token_by_authorization_code("c", ["User.Read"], redirect_uri="https://app.example.com")
    path.write_text(cache.serialize())
    print(f"MSAL for Python {msal.__version__} has signed a user in")
    sys.exit()
cache.deserialize(path.read_text())
state = json.loads(cache.serialize())
for entry in state["RefreshToken"].values():
    print(f"  {entry['environment']}: {entry['secret']}, last_modification_time {entry.get('last_modification_time')}")
own = [account for account in app.get_accounts() if account["username"] == "user"]
app.acquire_token_silent(["User.Read"], account=own[0], force_refresh=True)
print(f"of these MSAL for Python redeems {provider.redeemed}")
hosts = sorted(entry["environment"] for entry in state["RefreshToken"].values())
still = hosts == ALIASES[:2] and len(state["IdToken"]) == 2 and provider.redeemed == "FAKE-RT-1-to-Python"
print("still so: there are two, and the older one is used" if still else "this has changed")
sys.exit(0 if still else 1)
EOF

cat >node.mjs <<'EOF'
import { readFileSync, writeFileSync } from "node:fs";
import { ConfidentialClientApplication, version } from "@azure/msal-node";

const TENANT = "aaaaaaaa-0000-4000-8000-00000000000a";
const USER = "11111111-0000-4000-8000-000000000001";
const authority = `https://login.microsoftonline.com/${TENANT}`;
const base64url = (data) => Buffer.from(JSON.stringify(data)).toString("base64url");
let redeemed;
const networkClient = {
    async sendGetRequestAsync(url) {
        const body = url.includes("/discovery/instance")
            ? { tenant_discovery_endpoint: "unused", metadata: [] }
            : {
                  issuer: `${authority}/v2.0`, jwks_uri: `${authority}/k`,
                  authorization_endpoint: `${authority}/a`, token_endpoint: `${authority}/t`,
              };
        return { status: 200, headers: {}, body };
    },
    async sendPostRequestAsync(url, options) {
        redeemed = new URLSearchParams(options.body).get("refresh_token");
        const claims = { aud: "web", iss: "https://op", sub: "s", oid: USER, tid: TENANT, preferred_username: "user" };
        const body = {
            token_type: "Bearer", expires_in: 3600, scope: "User.Read openid profile offline_access", access_token: "FAKE-AT",
            refresh_token: "FAKE-RT-2-to-Node", client_info: base64url({ uid: USER, utid: TENANT }),
            id_token: `${base64url({ alg: "none" })}.${base64url(claims)}.FAKE`,
        };
        return { status: 200, headers: {}, body };
    },
};
const auth = { clientId: "web", clientSecret: "fake", authority };
const app = new ConfidentialClientApplication({ auth, system: { networkClient } });
const cache = app.getTokenCache();
cache.deserialize(readFileSync("cache.json", "utf8"));
const [account] = await cache.getAllAccounts();
await app.acquireTokenSilent({ account, scopes: ["User.Read"], forceRefresh: true });
writeFileSync("cache.json", cache.serialize());
console.log(`MSAL for Node ${version} has redeemed ${redeemed}, and been given another; the cache then holds`);
EOF

venv/bin/python python.py || exit 2
node node.mjs || exit 2
venv/bin/python python.py
