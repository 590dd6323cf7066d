#!/usr/bin/env bash
# Two apps, each with a client id of its own, share one MSAL cache file, and a user has signed in to both. One would
# guess that `remove_account` in one app signs the user out of that app alone, or of both. MSAL for Python does
# something between: it deletes this app's refresh tokens, but the access tokens, the ID tokens and the account entry
# of both. So the other app no longer lists the user, though its refresh token is still there; its own sign-out, which
# starts from that list, finds nobody and deletes nothing. As soon as the user signs in to the first app again, the
# account entry is back for both, and the app that they signed out of redeems the old refresh token. MSAL for Node
# deletes what both apps have. Whoever ends tokens in such a file has to look for refresh tokens without an account.
#
#     findings/msal-python-sign-out-hides-the-refresh-token-of-another-app.sh
#
# Needs python3 (with venv) and node (with npm). Exit code: 0 if it is still so, 1 if not, 2 if it could not be tried.
# No provider is asked: the HTTP client answers itself, and notes which refresh tokens it is sent.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv && venv/bin/python -m pip install --quiet --disable-pip-version-check msal==1.39.0 || exit 2
npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts @azure/msal-node@7.2.3 || exit 2

cat >node.mjs <<'EOF'
import { readFileSync, writeFileSync } from "node:fs";
import { PublicClientApplication } from "@azure/msal-node";

const app = new PublicClientApplication({ auth: { clientId: "calendar" } });
const cache = app.getTokenCache();
cache.deserialize(readFileSync("both.json", "utf8"));
for (const account of await cache.getAllAccounts()) await cache.removeAccount(account);
writeFileSync("node.json", cache.serialize());
EOF

cat >python.py <<'EOF'
import base64
import json
import pathlib
import subprocess
import sys
import time

import msal

TENANT, USER = "aaaaaaaa-0000-4000-8000-00000000000a", "11111111-0000-4000-8000-000000000001"
BASE = f"https://login.microsoftonline.com/{TENANT}"


def text(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


class Answer:
    status_code, headers = 200, {}

    def __init__(self, body):
        self.text = json.dumps(body)

    def raise_for_status(self):
        pass


class Provider:
    def __init__(self):
        self.redeemed, self.given = [], 0

    def get(self, url, **_):
        return Answer({"issuer": f"{BASE}/v2.0", "authorization_endpoint": f"{BASE}/a", "token_endpoint": f"{BASE}/t"})

    def post(self, url, data, **_):
        if "refresh_token" in data:
            self.redeemed.append(data["refresh_token"])
        self.given += 1
        app, now = data["client_id"], int(time.time())
        claims = {"iss": f"{BASE}/v2.0", "aud": app, "sub": "s", "oid": USER, "tid": TENANT,
                  "preferred_username": "user@example.com", "exp": now + 3600, "iat": now}
        return Answer({"token_type": "Bearer", "expires_in": 3600, "access_token": f"AT-{app}-{self.given}",
                       "refresh_token": f"RT-{app}-{self.given}", "id_token": f"{text({})}.{text(claims)}.x",
                       "client_info": text({"uid": USER, "utid": TENANT})})

    def close(self):
        pass


provider, cache = Provider(), msal.SerializableTokenCache()
apps = {name: msal.ConfidentialClientApplication(
    name, client_credential="fake", authority=BASE, token_cache=cache, http_client=provider,
    instance_discovery=False) for name in ("calendar", "mail")}


def sign_in(app):
    assert "access_token" in apps[app].acquire_token_by_authorization_code("c", ["User.Read"], redirect_uri="https://a")


def sign_out(app):
    """Of each account that the app lists; how many those were."""
    accounts = apps[app].get_accounts()
    for account in accounts:
        apps[app].remove_account(account)
    return len(accounts)


def left(serialized):
    kinds = json.loads(serialized)
    return {kind: [entry["client_id"] for entry in kinds[kind].values()] if kind != "Account" else len(kinds[kind])
            for kind in ("Account", "AccessToken", "IdToken", "RefreshToken") if kinds.get(kind)}


print(f"MSAL for Python {msal.__version__}; a user is signed in to the apps calendar and mail")
sign_in("calendar")
sign_in("mail")
pathlib.Path("both.json").write_text(cache.serialize())
subprocess.run(["node", "node.mjs"], check=True)
node = left(pathlib.Path("node.json").read_text())
print(f"MSAL for Node signs them out of calendar; left: {node or 'nothing'}")

seen = [("accounts signed out of calendar", sign_out("calendar")), ("left", left(cache.serialize())),
        ("accounts signed out of mail", sign_out("mail")), ("left", left(cache.serialize()))]
sign_in("calendar")
(account,) = apps["mail"].get_accounts()
token = apps["mail"].acquire_token_silent(["User.Read"], account)
seen += [("they sign in to calendar again; mail, too, has a token", bool(token)), ("by redeeming", provider.redeemed)]
for what, value in seen:
    print(f"{what}: {value}")
hidden = {"RefreshToken": ["mail"]}
still = not node and [value for _, value in seen] == [1, hidden, 0, hidden, True, ["RT-mail-2"]]
print("still so: a refresh token stays that no sign-out reaches" if still else "this has changed")
sys.exit(0 if still else 1)
EOF
venv/bin/python python.py
