#!/usr/bin/env bash
# A user is signed in to an app in two browsers, by a provider that is built with idpyoidc, and signs out at the
# provider in the newer one, of all apps. One would guess that the app is told by back-channel logout of the session of
# that browser, or of all sessions of the user: a logout token with a `sid`, or with a `sub`. It gets one logout token,
# with the `sid` of the user's first session at that app, and no `sub`. So the app ends the session of the browser that
# the user did not touch, and not of the one where they signed out. Where only the one app is signed out of, the `sid`
# is the right one. An app that such a provider tells of a sign-out cannot take the `sid` for all that is meant: it has
# to look up whose session that is, and to ask the provider about the user's others.
#
#     findings/idpyoidc-tells-an-app-of-the-wrong-session.sh
#
# Needs python3 (with venv). Exit code: 0 if it is still so, 1 if not, 2 if it could not be tried. Runs the provider
# inside the process, with an HTTP client that notes what apps are told.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv && venv/bin/python -m pip install --quiet --disable-pip-version-check idpyoidc==5.0.0 || exit 2

cat >provider.py <<'EOF'
import sys
from importlib.metadata import version
from types import SimpleNamespace
from urllib.parse import parse_qs, urlparse

from cryptojwt.jws.jws import factory
from idpyoidc.server import Server
from idpyoidc.server.configure import OPConfiguration
from idpyoidc.server.user_authn.authn_context import INTERNETPROTOCOLPASSWORD

ISSUER, BACK = "https://provider.example", "https://app.example/back"


def claims(token):
    return factory(token).jwt.payload()


class Provider:
    """Two apps, and one user, whom it believes without a password."""

    def __init__(self):
        oidc, token = "idpyoidc.server.oidc", {"class": "idpyoidc.server.token.jwt_token.JWTToken", "kwargs": {}}
        self.server = Server(OPConfiguration(base_path=".", conf={
            "issuer": ISSUER,
            "keys": {"uri_path": "keys", "key_defs": [{"type": "RSA", "use": ["sig"]},
                                                      {"type": "EC", "crv": "P-256", "use": ["sig"]}]},
            "endpoint": {
                "authorization": {"path": "authorize", "class": f"{oidc}.authorization.Authorization", "kwargs": {}},
                "token": {"path": "token", "class": f"{oidc}.token.Token",
                          "kwargs": {"client_authn_method": ["client_secret_post"]}},
                "session": {"path": "leave", "class": f"{oidc}.session.Session",
                            "kwargs": {"post_logout_uri_path": "left", "signing_alg": "ES256",
                                       "logout_verify_url": f"{ISSUER}/sure", "client_authn_method": []}},
            },
            "authentication": {"user": {"acr": INTERNETPROTOCOLPASSWORD, "kwargs": {"user": "user"},
                                        "class": "idpyoidc.server.user_authn.user.NoAuthn"}},
            "userinfo": {"class": "idpyoidc.server.user_info.UserInfo", "kwargs": {"db": {"user": {}}}},
            "token_handler_args": {"code": {"lifetime": 600}, "token": token, "refresh": token,
                                   "id_token": {"class": "idpyoidc.server.token.id_token.IDToken", "kwargs": {}}},
            "cookie_handler": {"class": "idpyoidc.server.cookie_handler.CookieHandler",
                               "kwargs": {"sign_key": "0123456789abcdef" * 2,
                                          "name": {"session": "s", "register": "r", "session_management": "m"}}},
        }))
        self.told, context = [], self.server.context
        context.httpc, context.httpc_params = self.post, {}
        for app in ("mail", "calendar"):
            context.cdb[app] = {
                "client_id": app, "client_secret": "secret", "redirect_uris": [(BACK, None)],
                "token_endpoint_auth_method": "client_secret_post", "response_types_supported": ["code"],
                "allowed_scopes": ["openid"], "backchannel_logout_uri": f"https://{app}.example/logout"}

    def post(self, _, url, data=None, **__):
        token = claims(parse_qs(data)["logout_token"][0])
        self.told.append((urlparse(url).hostname.split(".")[0], token.get("sid"), token.get("sub")))
        return SimpleNamespace(status_code=200)

    def sign_in(self, app):
        """The browser's cookies, and the `sid` of the app's ID token."""
        authorize, token = self.server.get_endpoint("authorization"), self.server.get_endpoint("token")
        asked = authorize.process_request(authorize.parse_request({
            "client_id": app, "redirect_uri": BACK, "response_type": "code", "scope": "openid", "state": "s", "nonce": "n"}))
        got = token.process_request(token.parse_request({
            "grant_type": "authorization_code", "code": asked["response_args"]["code"], "redirect_uri": BACK,
            "client_id": app, "client_secret": "secret", "state": "s"}))
        return asked["cookie"], claims(got["response_args"]["id_token"])["sid"]

    def sign_out(self, cookies, everywhere):
        leave = self.server.get_endpoint("session")
        page = leave.process_request({}, http_info={"cookie": cookies})["redirect_location"]
        signed = leave.unpack_signed_jwt(parse_qs(urlparse(page).query)["sjwt"][0])
        leave.do_verified_logout(signed["sid"], alla=everywhere)


def told(everywhere):
    provider = Provider()
    _, other = provider.sign_in("mail")
    cookies, here = provider.sign_in("mail")
    provider.sign_in("calendar")
    provider.sign_out(cookies, everywhere)
    names = {here: "this browser's session", other: "the other browser's session"}
    return [(names[sid], sub) for app, sid, sub in provider.told if app == "mail"]


print(f"idpyoidc {version('idpyoidc')}; mail is told of (session, subject)")
one, all_apps = told(False), told(True)
print(f"signed out of mail:     {one}")
print(f"signed out of all apps: {all_apps}")
still = one == [("this browser's session", None)] and all_apps == [("the other browser's session", None)]
print("still so: mail ends the session of the other browser" if still else "this has changed")
sys.exit(0 if still else 1)
EOF
venv/bin/python -W ignore provider.py
