#!/usr/bin/env bash
# A client of Keycloak can have a URL for back-channel logout, and a switch "Front channel logout"
# with a URL of its own. One would guess that Keycloak uses what is there: both, or the one that has
# a URL. But with the switch on it never uses the back channel. If there is no front-channel URL,
# the app is told nothing by anybody. If there is one, the user's own sign-out shows it in a frame,
# and a sign-out by an administrator, who has no page with frames, reaches the app by neither way.
# The sign-out succeeds: the sessions are gone at Keycloak, and the app goes on with its users.
#
# The switch is on in a client that is made in the administrator's console, which shows the field
# for the back channel only while it is off. A client that is made from JSON or by the API can have
# both. An app that is to be told by the back channel needs `"frontchannelLogout": false`.
#
#     findings/keycloak-front-channel-switches-the-back-channel-off.sh
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
import html, http.server, json, re, sys, threading, urllib.error, urllib.request
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
BACK = {"backchannel.logout.url": f"{APP}/told", "backchannel.logout.session.required": "true"}
FRONT = {"frontchannel.logout.url": f"{APP}/frame", "frontchannel.logout.session.required": "true"}
CLIENTS = {
    "the back channel's URL, and the switch off": (False, BACK),
    "the back channel's URL, and the switch on": (True, BACK),
    "both URLs, and the switch on": (True, {**BACK, **FRONT}),
}
admin("POST", "", {
    "realm": "shop", "enabled": True,
    "users": [{"id": "jane", "username": "jane", "enabled": True, "email": "jane@example.com", "firstName": "Jane", "lastName": "Doe",
               "credentials": [{"type": "password", "value": "jane"}]}],
    "clients": [{"clientId": f"app-{number}", "secret": "secret", "redirectUris": [f"{APP}/*"], "frontchannelLogout": switch,
                 "attributes": {"post.logout.redirect.uris": f"{APP}/*", **urls}}
                for number, (switch, urls) in enumerate(CLIENTS.values())],
})

class Browser:
    def __init__(self):
        self.cookies = {}

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

    def sign_in(self, client):
        page = self.open(f"{OIDC}/auth?" + urlencode({"client_id": client, "response_type": "code", "scope": "openid", "redirect_uri": f"{APP}/back"}))
        code = parse_qs(urlsplit(self.press(page, username="jane", password="jane")[0]).query)["code"][0]
        return post(f"{OIDC}/token", grant_type="authorization_code", code=code, redirect_uri=f"{APP}/back", client_id=client, client_secret="secret")

    def sign_out(self, tokens):
        return self.open(f"{OIDC}/logout?" + urlencode({"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": f"{APP}/out"}))

for number, name in enumerate(CLIENTS):
    client, said = f"app-{number}", []
    for who in "the user", "an administrator":
        told, browser = 0, Browser()
        tokens = browser.sign_in(client)
        if who == "the user":
            frames = browser.sign_out(tokens)[1].count(f'<iframe src="{APP}/frame')
        else:
            admin("POST", "/shop/users/jane/logout")
            frames = 0
        refused = post(f"{OIDC}/token", grant_type="refresh_token", refresh_token=tokens["refresh_token"], client_id=client, client_secret="secret")
        assert refused["error"] == "invalid_grant"
        said.append(f"{who} signs out: told {told} times, in {frames} frames")
    print(f"{name}: {'; '.join(said)}")
PYTHON
cat >expected.log <<'TEXT'
the back channel's URL, and the switch off: the user signs out: told 1 times, in 0 frames; an administrator signs out: told 1 times, in 0 frames
the back channel's URL, and the switch on: the user signs out: told 0 times, in 0 frames; an administrator signs out: told 0 times, in 0 frames
both URLs, and the switch on: the user signs out: told 0 times, in 1 frames; an administrator signs out: told 0 times, in 0 frames
TEXT
echo "Keycloak $VERSION"
python3 try.py $port >output.log 2>errors.log || { cat output.log errors.log; exit 2; }
cat output.log
cmp -s output.log expected.log && echo 'still so: with the front channel on, nothing comes by the back channel' && exit 0
echo 'this has changed'
exit 1
