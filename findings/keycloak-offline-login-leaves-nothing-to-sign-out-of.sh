#!/usr/bin/env bash
# An app that asks Keycloak for `offline_access` gets a refresh token that outlives the user's
# session; that is what the scope is for. One would guess that there is a session all the same, that
# the user can end it at Keycloak, and that an app with a back-channel logout URL is told so. But a
# login that asks for the scope, and is the first in its browser, ends the session that it has just
# made: the next app asks for the password again, signing out at Keycloak finds nobody to sign out,
# also if it is the app that sends the user there with its ID token, and the app is told nothing.
# The token stays good. If another app was signed in to in that browser before, the same login joins
# its session, and the app is told. (That the address for signing out leaves offline sessions alone
# is on purpose: keycloak/keycloak #46479.)
#
# An administrator who signs the user out, which revokes the offline token too, does not reach the
# app either.
#
# Apps that want to hear of sign-outs ask Keycloak for no `offline_access`: it gives refresh tokens
# without it.
#
#     findings/keycloak-offline-login-leaves-nothing-to-sign-out-of.sh
#
# Needs Java 17 or later (with mvn) and python3. Exit code: 0 if it is still so, 1 if not, 2 if it
# could not be tried. Takes a minute.
set -euo pipefail
VERSION=26.7.3
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || { kill "$server" && wait "$server" || true; } 2>/dev/null; rm -rf "$work"' EXIT
cd "$work"
mvn --batch-mode org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack "-Dartifact=org.keycloak:keycloak-quarkus-dist:$VERSION:zip" \
  "-DoutputDirectory=$work" >maven.log 2>&1 || { cat maven.log; exit 2; }
port=$((20000 + RANDOM % 20000))
touch server.log
export JAVA_OPTS_KC_HEAP='-Xms64m -Xmx512m' JAVA_OPTS_APPEND=-XX:TieredStopAtLevel=1
KC_BOOTSTRAP_ADMIN_CLIENT_ID=admin KC_BOOTSTRAP_ADMIN_CLIENT_SECRET=admin bash "keycloak-$VERSION/bin/kc.sh" start-dev --db=dev-mem \
  --http-host=127.0.0.1 --http-port=$port >server.log 2>&1 &
server=$!
until grep -q 'Listening on:' server.log; do
  kill -0 "$server" 2>/dev/null || { cat server.log; exit 2; }
  sleep 0.5
done

cat >try.py <<'PYTHON'
import html, http.server, json, re, sys, threading, time, urllib.error, urllib.request
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

KEYCLOAK = f"http://localhost:{sys.argv[1]}"
told = 0

class App(http.server.BaseHTTPRequestHandler):
    """Counts what it is told by the back channel."""
    def do_POST(self):
        global told
        told += 1
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
threading.Thread(target=server.serve_forever, daemon=True).start()
APP = f"http://127.0.0.1:{server.server_port}"

class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None

def ask(method, url, body=None, **headers):
    request = urllib.request.Request(url, method=method, data=body and body.encode(), headers=headers)
    try:
        return urllib.request.build_opener(Stay).open(request)
    except urllib.error.HTTPError as answer:
        return answer

def post(url, **form):
    with ask("POST", url, urlencode(form), **{"content-type": "application/x-www-form-urlencoded"}) as answer:
        return json.loads(answer.read())

def admin(method, path, body=None):
    token = post(f"{KEYCLOAK}/realms/master/protocol/openid-connect/token", grant_type="client_credentials", client_id="admin", client_secret="admin")
    headers = {"authorization": f"Bearer {token['access_token']}", "content-type": "application/json"}
    with ask(method, f"{KEYCLOAK}/admin/realms{path}", body and json.dumps(body), **headers) as answer:
        assert answer.status < 300, answer.read()
        return answer.read()

OIDC = f"{KEYCLOAK}/realms/shop/protocol/openid-connect"
admin("POST", "", {
    "realm": "shop", "enabled": True,
    "users": [{"id": "jane", "username": "jane", "enabled": True, "email": "jane@example.com", "firstName": "Jane", "lastName": "Doe",
               "realmRoles": ["offline_access"], "credentials": [{"type": "password", "value": "jane"}]}],
    "clients": [{"clientId": name, "secret": "secret", "redirectUris": [f"{APP}/*"], "frontchannelLogout": False,
                 "attributes": {"post.logout.redirect.uris": f"{APP}/*", **more}}
                for name, more in [("app", {"backchannel.logout.url": f"{APP}/told"}), ("other", {})]],
})

class Browser:
    def __init__(self):
        self.cookies, self.passwords = {}, 0

    def open(self, url, form=None):
        """Goes there, and on, but not to the app."""
        while not url.startswith(APP):
            headers = {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
            body = urlencode(form) if form else None
            if body:
                headers["content-type"] = "application/x-www-form-urlencoded"
            with ask("POST" if body else "GET", url, body, **headers) as answer:
                text = answer.read().decode()
                for cookie in answer.headers.get_all("set-cookie") or []:
                    name, value = cookie.split(";")[0].split("=", 1)
                    self.cookies.pop(name, None) if "Max-Age=0" in cookie else self.cookies.update({name: value})
                to, form = answer.headers.get("location"), None
            if to is None:
                return url, text
            url = urljoin(url, to)
        return url, ""

    def press(self, page, **form):
        url, text = page
        hidden = re.findall(r'<input type="hidden"[^>]*name="([^"]*)"[^>]*value="([^"]*)"', text)
        action = html.unescape(re.search(r'<form[^>]*action="([^"]*)"', text).group(1))
        return self.open(urljoin(url, action), {**dict(hidden), **form})

    def sign_in(self, client, scope):
        page = self.open(f"{OIDC}/auth?" + urlencode({"client_id": client, "response_type": "code", "scope": scope, "redirect_uri": f"{APP}/back"}))
        if 'name="password"' in page[1]:
            self.passwords += 1
            page = self.press(page, username="jane", password="jane")
        code = parse_qs(urlsplit(page[0]).query)["code"][0]
        return post(f"{OIDC}/token", grant_type="authorization_code", code=code, redirect_uri=f"{APP}/back", client_id=client, client_secret="secret")

    def sign_out(self, tokens):
        self.open(f"{OIDC}/logout?" + urlencode({"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": f"{APP}/out"}))

def ends(tokens):
    """How often the app was told since, and whether its refresh token is good."""
    global told
    was, told = told, 0
    answer = post(f"{OIDC}/token", grant_type="refresh_token", refresh_token=tokens["refresh_token"], client_id="app", client_secret="secret")
    return f"the app is told {was} times, its refresh token is {'good' if 'access_token' in answer else 'refused'}"

browser = Browser()
tokens = browser.sign_in("app", "openid")
browser.sign_out(tokens)
print(f"signed in without offline_access, signed out: {ends(tokens)}")

browser = Browser()
tokens = browser.sign_in("app", "openid offline_access")
browser.sign_out(tokens)
print(f"with it, signed out: {ends(tokens)}")
browser.sign_in("other", "openid")
print(f"with it, then signed in to another app: the password was asked for {browser.passwords} times")

browser = Browser()
browser.sign_in("other", "openid")
tokens = browser.sign_in("app", "openid offline_access")
browser.sign_out(tokens)
print(f"with it, in the session of another app, signed out: {ends(tokens)}")

tokens = Browser().sign_in("app", "openid offline_access")
time.sleep(1.1)  # in the second of its issue a token is not refused
admin("POST", "/shop/users/jane/logout")
print(f"with it, signed out by an administrator: {ends(tokens)}")
PYTHON
cat >expected.log <<'TEXT'
signed in without offline_access, signed out: the app is told 1 times, its refresh token is refused
with it, signed out: the app is told 0 times, its refresh token is good
with it, then signed in to another app: the password was asked for 2 times
with it, in the session of another app, signed out: the app is told 1 times, its refresh token is good
with it, signed out by an administrator: the app is told 0 times, its refresh token is refused
TEXT
echo "Keycloak $VERSION"
python3 try.py $port >output.log 2>errors.log || { cat output.log errors.log; exit 2; }
cat output.log
cmp -s output.log expected.log && echo 'still so: who signs in with offline_access alone cannot sign out at Keycloak' && exit 0
echo 'this has changed'
exit 1
