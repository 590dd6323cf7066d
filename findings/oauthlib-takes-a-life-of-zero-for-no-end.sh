#!/usr/bin/env bash
# oauthlib 3.3.1 (PyPI), which requests-oauthlib stands on: `"expires_in": 0` is a valid response (RFC 6749, sections 5.1 and A.14: one or more
# digits) of a token that has ended already. The field is taken out, as if it had not been sent: what is left is a token without an end. One
# second more or less, and the token has one.
#
# Nothing is asked of anybody; the responses stand below. Exits with 0 as long as it behaves so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" --quiet --disable-pip-version-check install oauthlib==3.3.1
"$folder/env/bin/python" - <<'PY'
import json
import platform
import sys

import oauthlib
from oauthlib.oauth2 import WebApplicationClient

print(f"oauthlib {oauthlib.__version__}, Python {platform.python_version()}")
kept = {}
for life in (1, 0):
    body = json.dumps({"access_token": "at", "token_type": "Bearer", "expires_in": life})
    token = WebApplicationClient("web").parse_request_body_response(body)
    kept[life] = sorted(name for name in token if name.startswith("expires"))
    print(f"{body}: what is kept of its life: {kept[life]}")
sys.exit(0 if kept == {1: ["expires_at", "expires_in"], 0: []} else 1)
PY
