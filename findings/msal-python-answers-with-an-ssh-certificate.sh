#!/usr/bin/env bash
# MSAL for Python can ask Entra for an SSH certificate in the place of an access token (`data={"token_type":
# "ssh-cert", ...}`), as tools that log in to virtual machines do. It comes into the same cache as access tokens. One
# would guess that the two are kept apart, and that who asks for a plain access token afterwards gets one. But the
# type is no part of the key, so that the certificate takes the place of the bearer token of the same scopes, and no
# part of the search: a plain `acquire_token_silent` is answered from the cache with the certificate. Whoever shares a
# cache with such a tool, or reads one without a look at `token_type`, meets it.
#
#     findings/msal-python-answers-with-an-ssh-certificate.sh
#
# Needs python3 (with venv). Exit code: 0 if it is still so, 1 if not, 2 if it could not be tried. No provider is
# asked: the HTTP client answers itself.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv && venv/bin/python -m pip install --quiet --disable-pip-version-check msal==1.39.0 || exit 2

cat >python.py <<'EOF'
import base64
import json
import sys

import msal

TENANT, USER = "aaaaaaaa-0000-4000-8000-00000000000a", "11111111-0000-4000-8000-000000000001"
BASE, SCOPES = f"https://login.microsoftonline.com/{TENANT}", ["https://api.example.com/user_impersonation"]


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
    asked = 0

    def get(self, url, **_):
        return Answer({"issuer": f"{BASE}/v2.0", "authorization_endpoint": f"{BASE}/a", "token_endpoint": f"{BASE}/t"})

    def post(self, url, data=None, **_):
        self.asked += 1
        kind = data.get("token_type", "Bearer")
        claims = {"aud": "tool", "iss": "https://op", "sub": "s", "oid": USER, "tid": TENANT}
        return Answer({
            "token_type": kind, "expires_in": 3600, "access_token": f"FAKE-{kind}", "refresh_token": "FAKE-RT",
            "client_info": base64url({"uid": USER, "utid": TENANT}),
            "id_token": f"{base64url({'alg': 'none'})}.{base64url(claims)}.FAKE",
        })

    def close(self):
        pass


provider = Provider()
app = msal.PublicClientApplication("tool", authority=BASE, http_client=provider, instance_discovery=False)
print(f"MSAL for Python {msal.__version__}")
app.acquire_token_by_authorization_code("c", SCOPES, redirect_uri="http://localhost")
(account,) = app.get_accounts()
plain = lambda: (app.acquire_token_silent(SCOPES, account=account) or {}).get("access_token")
first = plain()
print(f"a plain acquire_token_silent gives {first}")
certificate = app.acquire_token_silent(SCOPES, account=account, data={"token_type": "ssh-cert", "key_id": "1", "req_cnf": "{}"})
print(f"one for a certificate gives {certificate['access_token']}")
asked, second = provider.asked, plain()
entries = list(app.token_cache.search("AccessToken"))
print(f"a plain one then gives {second}, and asks the provider {provider.asked - asked} times")
print("in the cache:", [entry["token_type"] for entry in entries])
still = (first, second, provider.asked) == ("FAKE-Bearer", "FAKE-ssh-cert", asked) and len(entries) == 1
print("still so: who asks for an access token is given the certificate" if still else "this has changed")
sys.exit(0 if still else 1)
EOF
venv/bin/python python.py
