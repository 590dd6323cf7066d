#!/usr/bin/env bash
# MSAL for Python and MSAL for Node write one cache format, so that two services of one app can share what they get.
# One would guess that the app's own token, got by one (client credentials, the same client, tenant and scope), serves
# the other until it expires. It never does: an app's token has no user, which Python writes as a `home_account_id` of
# null and Node as an empty text, and each looks for its own way alone. Each asks the provider again, and the cache
# holds two entries for one token, under keys that differ by a hyphen and a host. Whoever counts on the shared cache
# to spare the provider, or reads app tokens by "the id is null", meets it.
#
#     findings/msal-app-tokens-never-cross-between-libraries.sh
#
# Needs python3 (with venv) and node (with npm). Exit code: 0 if it is still so, 1 if not, 2 if it could not be tried.
# No provider is asked: the HTTP clients answer themselves, and count.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv && venv/bin/python -m pip install --quiet --disable-pip-version-check msal==1.39.0 || exit 2
npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts @azure/msal-node@7.2.3 || exit 2

# Each reads cache.json, asks for the app's token, writes cache.json, and says how often the provider was asked.
cat >python.py <<'EOF'
import json
import pathlib
import sys

import msal

ALIASES = ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"]
BASE = f"https://{ALIASES[0]}/aaaaaaaa-0000-4000-8000-00000000000a"


class Answer:
    status_code, headers = 200, {}

    def __init__(self, body):
        self.text = json.dumps(body)

    def json(self):
        return json.loads(self.text)

    def raise_for_status(self):
        pass


class Provider:
    asked = 0

    def get(self, url, **_):
        if "/discovery/instance" in url:
            aliases = [{"preferred_network": ALIASES[0], "preferred_cache": ALIASES[1], "aliases": ALIASES}]
            return Answer({"tenant_discovery_endpoint": "unused", "metadata": aliases})
        return Answer({"issuer": f"{BASE}/v2.0", "authorization_endpoint": f"{BASE}/a", "token_endpoint": f"{BASE}/t"})

    def post(self, url, **_):
        self.asked += 1
        return Answer({"token_type": "Bearer", "expires_in": 3600, "access_token": "FAKE-AT-of-Python"})

    def close(self):
        pass


cache, provider, path = msal.SerializableTokenCache(), Provider(), pathlib.Path("cache.json")
cache.deserialize(path.read_text() if path.exists() else "{}")
app = msal.ConfidentialClientApplication(
    "web", client_credential="fake", authority=BASE, token_cache=cache, http_client=provider)
token = app.acquire_token_for_client(["https://api.example.com/.default"])["access_token"]
path.write_text(cache.serialize())
print(f"MSAL for Python {msal.__version__}: {token}, the provider was asked {provider.asked} times", file=sys.stderr)
print(provider.asked)
EOF

cat >node.mjs <<'EOF'
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { ConfidentialClientApplication, version } from "@azure/msal-node";

const authority = "https://login.microsoftonline.com/aaaaaaaa-0000-4000-8000-00000000000a";
let asked = 0;
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
    async sendPostRequestAsync() {
        asked += 1;
        return { status: 200, headers: {}, body: { token_type: "Bearer", expires_in: 3600, access_token: "FAKE-AT-of-Node" } };
    },
};
const auth = { clientId: "web", clientSecret: "fake", authority };
const app = new ConfidentialClientApplication({ auth, system: { networkClient } });
const cache = app.getTokenCache();
if (existsSync("cache.json")) cache.deserialize(readFileSync("cache.json", "utf8"));
const { accessToken } = await app.acquireTokenByClientCredential({ scopes: ["https://api.example.com/.default"] });
writeFileSync("cache.json", cache.serialize());
console.error(`MSAL for Node ${version}: ${accessToken}, the provider was asked ${asked} times`);
console.log(asked);
EOF

# Each twice: its own token serves it.
python_first="$(venv/bin/python python.py) $(venv/bin/python python.py) $(node node.mjs) $(node node.mjs)" || exit 2
rm cache.json
node_first="$(node node.mjs) $(node node.mjs) $(venv/bin/python python.py) $(venv/bin/python python.py)" || exit 2
python3 - "$python_first" "$node_first" <<'EOF'
import json
import sys

entries = json.load(open("cache.json"))["AccessToken"]
for key, entry in entries.items():
    print(f"home_account_id {json.dumps(entry['home_account_id'])} in {entry['environment']}: {key}")
ids = sorted(str(entry["home_account_id"]) for entry in entries.values())
still = sys.argv[1:] == ["1 0 1 0", "1 0 1 0"] and ids == ["", "None"]
print("still so: each asks for a token of its own, whichever came first" if still else "this has changed")
sys.exit(0 if still else 1)
EOF
