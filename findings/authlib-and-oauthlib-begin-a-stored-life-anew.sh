#!/usr/bin/env bash
# simple-oauth2 (npm) gives a token an `expires_at`, and stored as JSON, as its own documentation does it, that is a
# text in ISO 8601. Authlib and requests-oauthlib (PyPI) give a token an `expires_at` too, in seconds since 1970. A
# service in Python that reads what one in Node stored would be guessed to fail, or to know the end. But both take an
# `expires_at` that is no number for none, without a word, and reckon it from `expires_in`, beginning now. So a token
# that has been over for years lives for another hour, and again at each reading of the store: it is not refreshed, and
# a sweep that asks these libraries keeps it. Whoever reads tokens of others has to refuse an end that they do not
# understand.
#
#     findings/authlib-and-oauthlib-begin-a-stored-life-anew.sh
#
# Needs python3 (with venv) and node (with npm). Exit code: 0 if it is still so, 1 if not, 2 if it could not be tried.
# No provider is asked.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check \
    authlib==1.9.10 requests==2.34.2 requests-oauthlib==2.0.0 oauthlib==4.0.1 || exit 2
npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts simple-oauth2@5.1.0 || exit 2

# A token of one hour, stored on the first of January 2020.
cat >store.js <<'EOF'
const { AuthorizationCode } = require("simple-oauth2");
const { now } = Date;
Date.now = () => Date.UTC(2020, 0, 1);
const client = new AuthorizationCode({ client: { id: "web", secret: "fake" }, auth: { tokenHost: "https://provider.example" } });
const token = client.createToken({ access_token: "FAKE", token_type: "Bearer", refresh_token: "FAKE-RT", expires_in: 3600 });
const stored = JSON.stringify(token);
Date.now = now;
console.error(`simple-oauth2 stores: ${stored}; read again, it has expired: ${client.createToken(JSON.parse(stored)).expired()}`);
console.log(stored);
EOF

cat >read.py <<'EOF'
import json
import sys
import time
from importlib.metadata import version

from authlib.integrations.requests_client import OAuth2Session as Authlib
from oauthlib.oauth2 import TokenExpiredError
from requests_oauthlib import OAuth2Session as RequestsOauthlib

stored = sys.stdin.read()


def authlib():
    """Whether the token counts as expired, and for how many seconds more it lives."""
    token = Authlib("web", token=json.loads(stored)).token
    return token.is_expired(), round(token["expires_at"] - time.time(), -2)


def requests_oauthlib():
    client = RequestsOauthlib("web", token=json.loads(stored))._client
    try:
        client.add_token("https://api.example")
    except TokenExpiredError:
        return True, 0
    return False, round(client._expires_at - time.time(), -2)


ends = {}
for name, read in ("authlib", authlib), ("requests-oauthlib", requests_oauthlib):
    ends[name] = read()
    print(f"{name} {version(name)} (oauthlib {version('oauthlib')}): expired %s, lives %.0f seconds more" % ends[name])
still = set(ends.values()) == {(False, 3600)}
print("still so: the life begins with the reading" if still else "this has changed")
sys.exit(0 if still else 1)
EOF
node store.js >stored.json || exit 2
venv/bin/python read.py <stored.json
