#!/usr/bin/env bash
# A token response may say `ext_expires_in`: for how many seconds the access token may be used while the provider is
# out of order. The MSAL libraries keep it in their common cache format as `extended_expires_on`, in seconds since
# 1970. One would guess that one response gives one time. MSAL for Python writes the time of the response plus
# `ext_expires_in`; MSAL for Node writes the time of the token's expiry plus `ext_expires_in`, which is a whole
# `expires_in` later. Nothing in an entry tells for sure who wrote it. Whoever reads a cache of another library and
# goes by this field uses a token for longer than its provider said, or for less long.
#
#     findings/msal-extended-expiry-counts-from-two-times.sh
#
# Needs python3 (with venv) and node (with npm). Exit code: 0 if it is still so, 1 if not, 2 if it could not be tried.
# No provider is asked: the HTTP clients answer themselves.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv && venv/bin/python -m pip install --quiet --disable-pip-version-check msal==1.39.0 || exit 2
npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts @azure/msal-node@7.2.3 || exit 2

# What both are answered: the token lives for one hour, and may be used for two.
cat >answer.json <<'EOF'
{"token_type": "Bearer", "expires_in": 3600, "ext_expires_in": 7200, "access_token": "FAKE-AT"}
EOF

cat >python.py <<'EOF'
import json
import pathlib

import msal

BASE = "https://login.microsoftonline.com/aaaaaaaa-0000-4000-8000-00000000000a"


class Answer:
    status_code, headers = 200, {}

    def __init__(self, text):
        self.text = text

    def raise_for_status(self):
        pass


class Provider:
    def get(self, url, **_):
        body = {"issuer": f"{BASE}/v2.0", "authorization_endpoint": f"{BASE}/a", "token_endpoint": f"{BASE}/t"}
        return Answer(json.dumps(body))

    def post(self, url, **_):
        return Answer(pathlib.Path("answer.json").read_text())

    def close(self):
        pass


cache = msal.SerializableTokenCache()
app = msal.ConfidentialClientApplication(
    "web", client_credential="fake", authority=BASE, token_cache=cache, http_client=Provider())
app.acquire_token_for_client(["https://api.example.com/.default"])
pathlib.Path("python.json").write_text(cache.serialize())
print(f"MSAL for Python {msal.__version__}")
EOF

cat >node.mjs <<'EOF'
import { readFileSync, writeFileSync } from "node:fs";
import { ConfidentialClientApplication, version } from "@azure/msal-node";

const authority = "https://login.microsoftonline.com/aaaaaaaa-0000-4000-8000-00000000000a";
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
        return { status: 200, headers: {}, body: JSON.parse(readFileSync("answer.json", "utf8")) };
    },
};
const auth = { clientId: "web", clientSecret: "fake", authority };
const app = new ConfidentialClientApplication({ auth, system: { networkClient } });
await app.acquireTokenByClientCredential({ scopes: ["https://api.example.com/.default"] });
writeFileSync("node.json", app.getTokenCache().serialize());
console.log(`MSAL for Node ${version}`);
EOF

venv/bin/python python.py || exit 2
node node.mjs || exit 2
python3 - <<'EOF'
import json
import sys

seen = {}
for library in ("python", "node"):
    (entry,) = json.load(open(f"{library}.json"))["AccessToken"].values()
    cached, expires, extended = (int(entry[name]) for name in ("cached_at", "expires_on", "extended_expires_on"))
    print(f"{library:6}: expires_on is cached_at + {expires - cached}, extended_expires_on is cached_at + {extended - cached}")
    seen[library] = extended - expires
still = seen == {"python": 3600, "node": 7200}
print("still so: of one response, Node makes a time that is an hour later" if still else "this has changed")
sys.exit(0 if still else 1)
EOF
