"""Writes msal-python.json: the cache of the real MSAL for Python, fed by a token endpoint that is made up here.

    python generate.py DIRECTORY

No network: the HTTP client is a stub. Same bytes every time: the clock goes on by a second with each sign-in and not else, and all tokens
are made from their names.
"""

import base64
import json
import pathlib
import sys
import unittest.mock
import urllib.parse
import warnings

import msal

NOW = 1795132800  # 2026-11-20T00:00:00Z
HOST = "login.microsoftonline.com"
B2C_HOST = "example.b2clogin.com"
ADFS_HOST = "fs.example.com"
TENANT_A = "aaaaaaaa-0000-4000-8000-00000000000a"
TENANT_B = "bbbbbbbb-0000-4000-8000-00000000000b"
TENANT_B2C = "b2c00000-0000-4000-8000-0000000000b2"
WEB = "c1000000-0000-4000-8000-000000000001"
DESKTOP = "c2000000-0000-4000-8000-000000000002"

# Name: (user id, home tenant, name to sign in with). The AD FS server tells only a subject.
USERS = {
    "user-1": ("11111111-0000-4000-8000-000000000001", TENANT_A, "user-1@example.com"),
    "user-2": ("22222222-0000-4000-8000-000000000002", TENANT_A, "user-2@example.com"),
    "user-3": ("33333333-0000-4000-8000-000000000003", TENANT_B, "user-3@example.org"),
    "user-b2c": ("b2b2b2b2-0000-4000-8000-000000000004", TENANT_B2C, "user-b2c@example.net"),
    "user-adfs": (None, None, "EXAMPLE\\user-adfs"),
}


class Clock:
    def __init__(self):
        self.now = NOW

    def time(self):
        return self.now


CLOCK = Clock()


def base64url(data):
    return base64.urlsafe_b64encode(json.dumps(data, separators=(",", ":")).encode()).decode().rstrip("=")


def id_token(who, client, path, host):
    uid, utid, name = USERS[who]
    tenant = path.split("/")[0]
    claims = {"aud": client, "iss": f"https://{host}/{path}", "iat": CLOCK.now, "nbf": CLOCK.now, "exp": CLOCK.now + 3600}
    claims["sub"] = f"Fake-Subject+of/{who}=" if uid is None else f"fake-subject-of-{who}-for-{client[:2]}"
    if uid is None:
        claims["upn"] = name
    else:
        # In another tenant than its own a guest has another object id.
        claims["oid"] = uid if tenant == utid or host == B2C_HOST else uid.replace("0000", "9999", 1)
        claims["preferred_username"] = name
        claims["sid"] = f"fake-session-of-{who}"
    if host == HOST:
        claims.update(tid=tenant, auth_time=NOW - 600, ver="2.0")
    return ".".join([base64url({"typ": "JWT", "alg": "none"}), base64url(claims), "FAKE-SIGNATURE"])


class Answer:
    headers = {}
    status_code = 200

    def __init__(self, body):
        self.text = json.dumps(body)

    def raise_for_status(self):
        pass


class Provider:
    """An HTTP client that is its own provider."""

    def __init__(self):
        self.issued = 0

    def get(self, url, **_):
        parts = urllib.parse.urlparse(url)
        path = parts.path.removesuffix("/.well-known/openid-configuration").removesuffix("/v2.0").strip("/")
        base = f"https://{parts.netloc}/{path}/oauth2/v2.0"
        return Answer({
            "issuer": f"https://{parts.netloc}/{path}/v2.0",
            "authorization_endpoint": f"{base}/authorize",
            "token_endpoint": f"{base}/token",
        })

    def post(self, url, data=None, **_):
        parts = urllib.parse.urlparse(url)
        path = parts.path.removesuffix("/oauth2/v2.0/token").strip("/")
        self.issued += 1
        mark = f"{self.issued:02}"
        answer = {"token_type": "Bearer", "expires_in": 3600, "ext_expires_in": 7200}
        if data["grant_type"] == "client_credentials":
            return Answer(answer | {"access_token": f"FAKE-ACCESS-TOKEN-{mark}-of-the-app"})

        # The made-up codes and assertions begin with the name of the user.
        who = (data.get("code") or data["assertion"]).split(".")[0]
        uid, utid, _ = USERS[who]
        answer["access_token"] = f"FAKE-ACCESS-TOKEN-{mark}-of-{who}"
        answer["refresh_token"] = f"FAKE-REFRESH-TOKEN-{mark}-of-{who}"
        answer["id_token"] = id_token(who, data["client_id"], path, parts.netloc)
        answer["scope"] = data["scope"]
        if uid is not None:
            policy = "-" + path.split("/")[1].lower() if parts.netloc == B2C_HOST else ""
            answer["client_info"] = base64url({"uid": uid + policy, "utid": utid})
        if data["client_id"] == DESKTOP:
            answer["foci"] = "1"
        if who == "user-1":
            answer["refresh_in"] = 1800
        return Answer(answer)

    def close(self):
        pass


def main(directory):
    cache = msal.SerializableTokenCache()
    provider = Provider()

    def web(authority):
        return msal.ConfidentialClientApplication(
            WEB, client_credential="fake-secret", authority=f"https://{authority}", token_cache=cache, http_client=provider)

    def sign_in(app, who, *scopes):
        app.acquire_token_by_authorization_code(f"{who}.code", list(scopes), redirect_uri="https://app.example.com/back")
        CLOCK.now += 1

    in_a, in_b = web(f"{HOST}/{TENANT_A}"), web(f"{HOST}/{TENANT_B}")
    sign_in(in_a, "user-1", "User.Read", "Mail.Read")
    sign_in(in_a, "user-1", "https://api.example.com/Files.Read", "https://api.example.com/Files.Write")
    sign_in(in_b, "user-1", "User.Read")  # a guest there
    sign_in(in_a, "user-2", "User.Read")
    sign_in(in_b, "user-3", "User.Read")
    sign_in(web(f"{B2C_HOST}/example.onmicrosoft.com/B2C_1_Sign_In"), "user-b2c", "https://example.onmicrosoft.com/api/read")
    sign_in(web(f"{ADFS_HOST}/adfs"), "user-adfs", "https://fs.example.com/api/read")
    in_b.acquire_token_on_behalf_of("user-2.assertion", ["https://other.example.com/Data.Read"])
    CLOCK.now += 1
    in_a.acquire_token_for_client(["https://api.example.com/.default"])
    in_b.acquire_token_for_client(["https://api.example.com/.default"])
    desktop = msal.PublicClientApplication(
        DESKTOP, authority=f"https://{HOST}/{TENANT_A}", token_cache=cache, http_client=provider)
    sign_in(desktop, "user-1", "User.Read")

    (pathlib.Path(directory) / "msal-python.json").write_text(cache.serialize() + "\n", encoding="utf-8")


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    with unittest.mock.patch("time.time", CLOCK.time):
        main(sys.argv[1])
