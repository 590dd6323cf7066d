#!/bin/sh
# A user who signs out of one app at django-oauth-toolkit (RP-initiated logout) loses the tokens of all apps and of all browsers, though the other
# browser stays signed in at the provider. No app is told: there is no back or front channel. Another app learns of it when its token is refused.
#
# Runs the PyPI package in a temporary folder, with Django's own test client as the browsers.
set -eu
VERSION=3.4.1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "django-oauth-toolkit==$VERSION"
cat >run.py <<'EOF'
import logging
from urllib.parse import parse_qs, urlencode, urlparse

import django
from django.conf import settings
from django.urls import include, path
from jwcrypto import jwk

settings.configure(
    SECRET_KEY="secret", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, USE_TZ=True,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "oauth2_provider"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    OAUTH2_PROVIDER={
        "OIDC_ENABLED": True, "OIDC_RP_INITIATED_LOGOUT_ENABLED": True, "PKCE_REQUIRED": False, "SCOPES": {"openid": "openid"},
        "OIDC_RSA_PRIVATE_KEY": jwk.JWK.generate(kty="RSA", size=2048).export_to_pem(True, None).decode(),
    },
)
django.setup()
urlpatterns = [path("o/", include("oauth2_provider.urls", namespace="oauth2_provider"))]
logging.disable(logging.CRITICAL)

from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from oauth2_provider.models import Application
from oauth2_provider.settings import DEFAULTS

call_command("migrate", verbosity=0)
user = User.objects.create_user("jane", password="p")
BACK = "https://app.example/back"
for name in ["one", "two"]:
    Application.objects.create(
        name=name, client_id=name, client_secret="secret", hash_client_secret=False, client_type="confidential", algorithm="RS256",
        authorization_grant_type="authorization-code", redirect_uris=BACK, post_logout_redirect_uris=BACK, skip_authorization=True, user=user)

def authorize(browser, app):
    ask = {"client_id": app, "response_type": "code", "scope": "openid", "redirect_uri": BACK, "nonce": "n"}
    return browser.get("/o/authorize/?" + urlencode(ask))

def signed_in(browser, app):
    code = parse_qs(urlparse(authorize(browser, app)["Location"]).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "client_id": app, "client_secret": "secret"}
    return browser.post("/o/token/", form).json()

def answers(tokens):
    return Client().get("/o/userinfo/", headers={"authorization": "Bearer " + tokens["access_token"]}).status_code

def works(app, tokens):
    access = answers(tokens)
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": app, "client_secret": "secret"}
    return access, Client().post("/o/token/", form).status_code

here, elsewhere = Client(), Client()
here.force_login(user)
elsewhere.force_login(user)
mine = signed_in(here, "one")
others = {"the other app, same browser": ("two", signed_in(here, "two")), "the same app, other browser": ("one", signed_in(elsewhere, "one"))}
print("access tokens before:", *[answers(tokens) for _, tokens in others.values()])
left = here.post("/o/logout/", {"id_token_hint": mine["id_token"], "client_id": "one", "post_logout_redirect_uri": BACK, "allow": "true"})
print("signed out of app one in one browser:", left.status_code)
for name, (app, tokens) in others.items():
    print(f"{name}: access token, refresh token: %s, %s" % works(app, tokens))
print("the other browser is still signed in at the provider:", authorize(elsewhere, "one")["Location"].startswith(BACK + "?code="))
channels = [name for name in DEFAULTS if "CHANNEL" in name]
print("settings that tell an app of a sign-out:", channels or "none")
EOF
echo "django-oauth-toolkit $VERSION"
venv/bin/python run.py >output.log 2>errors.log || { cat output.log errors.log; exit 1; }
cat output.log
cat >expected.log <<'EOF'
access tokens before: 200 200
signed out of app one in one browser: 302
the other app, same browser: access token, refresh token: 401, 400
the same app, other browser: access token, refresh token: 401, 400
the other browser is still signed in at the provider: True
settings that tell an app of a sign-out: none
EOF
cmp -s output.log expected.log && exit 0
echo "django-oauth-toolkit $VERSION does something else now" >&2
exit 1
