#!/usr/bin/env bash
# Two services of one app (the same client id) share one MSAL cache file, so that the user signs in once. MSAL for Node
# or Python signs them in; MSAL for Go reads the file. One would guess that Go, too, redeems the refresh token once the
# access token has ended: it finds the account, and the entry has the same fields whoever wrote it. That holds for what
# Python wrote. Of what Node wrote Go says "no token found", and does not ask the provider, because it looks for a
# refresh token only where the file has an `AppMetadata` entry of the client, and Node writes none for such an app.
# So the user has to sign in again, beside a refresh token that would have done. Whoever hands tokens on in this format
# has to write that entry too; and a refresh token that one reader does not find is alive all the same, and has to go
# at a sign-out.
#
#     findings/msal-go-finds-no-refresh-token-that-node-wrote.sh
#
# Needs go, python3 (with venv) and node (with npm). Exit code: 0 if it is still so, 1 if not, 2 if it could not be
# tried. No provider is asked: the HTTP clients answer themselves.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv && venv/bin/python -m pip install --quiet --disable-pip-version-check msal==1.39.0 || exit 2
npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts @azure/msal-node@7.2.3 || exit 2
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
go mod init finding 2>go.log
go get github.com/AzureAD/microsoft-authentication-library-for-go@v1.10.1 2>>go.log || { cat go.log; exit 2; }


# What the provider answers to all three: the access token has as good as ended.
cat >answers.py <<'EOF'
import base64
import json
import time

TENANT = "aaaaaaaa-0000-4000-8000-00000000000a"
AUTHORITY = f"https://login.microsoftonline.com/{TENANT}"


def text(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


now = int(time.time())
claims = {"iss": f"{AUTHORITY}/v2.0", "aud": "web", "sub": "s", "oid": "user", "tid": TENANT,
          "preferred_username": "user@example.com", "exp": now + 3600, "iat": now}
TOKENS = {"token_type": "Bearer", "expires_in": 1, "scope": "User.Read", "access_token": "AT", "refresh_token": "RT",
          "id_token": f"{text({})}.{text(claims)}.x", "client_info": text({"uid": "user", "utid": TENANT})}
OPENID = {"issuer": f"{AUTHORITY}/v2.0", "authorization_endpoint": f"{AUTHORITY}/a", "token_endpoint": f"{AUTHORITY}/t",
          "jwks_uri": f"{AUTHORITY}/k", "end_session_endpoint": f"{AUTHORITY}/l"}
json.dump({"tokens": TOKENS, "openid": OPENID, "authority": AUTHORITY}, open("answers.json", "w"))
EOF
python3 answers.py

cat >python.py <<'EOF'
import json
import pathlib

import msal

answers = json.loads(pathlib.Path("answers.json").read_text())


class Answer:
    status_code, headers = 200, {}

    def __init__(self, body):
        self.text = json.dumps(body)

    def raise_for_status(self):
        pass


class Provider:
    def get(self, *_, **__):
        return Answer(answers["openid"])

    def post(self, *_, **__):
        return Answer(answers["tokens"])

    def close(self):
        pass


cache = msal.SerializableTokenCache()
app = msal.ConfidentialClientApplication("web", client_credential="fake", authority=answers["authority"],
                                         token_cache=cache, http_client=Provider(), instance_discovery=False)
app.acquire_token_by_authorization_code("code", ["User.Read"], redirect_uri="https://app.example")
pathlib.Path("python.json").write_text(cache.serialize())
EOF

cat >node.mjs <<'EOF'
import { readFileSync, writeFileSync } from "node:fs";
import { ConfidentialClientApplication } from "@azure/msal-node";

const { tokens, openid, authority } = JSON.parse(readFileSync("answers.json", "utf8"));
const networkClient = {
    async sendGetRequestAsync(url) {
        const body = url.includes("/discovery/instance") ? { tenant_discovery_endpoint: "unused", metadata: [] } : openid;
        return { status: 200, headers: {}, body };
    },
    sendPostRequestAsync: async () => ({ status: 200, headers: {}, body: tokens }),
};
const auth = { clientId: "web", clientSecret: "fake", authority };
const app = new ConfidentialClientApplication({ auth, system: { networkClient } });
await app.acquireTokenByCode({ code: "code", scopes: ["User.Read"], redirectUri: "https://app.example" });
writeFileSync("node.json", app.getTokenCache().serialize());
EOF

cat >main.go <<'EOF'
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/cache"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
)

var answers struct {
	Tokens, OpenID json.RawMessage
	Authority      string
}
var redeemed = 0

type provider struct{}

func (provider) Do(request *http.Request) (*http.Response, error) {
	body := answers.OpenID
	if request.Method == http.MethodPost {
		body = answers.Tokens
		redeemed++
	} else if strings.Contains(request.URL.Path, "/discovery/instance") {
		body = json.RawMessage(`{"tenant_discovery_endpoint": "unused", "metadata": [{"preferred_network": "login.microsoftonline.com",
			"preferred_cache": "login.windows.net", "aliases": ["login.microsoftonline.com", "login.windows.net"]}]}`)
	}
	return &http.Response{StatusCode: 200, Request: request, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(string(body)))}, nil
}

func (provider) CloseIdleConnections() {}

// file is read by the library and not written.
type file string

func (f file) Replace(_ context.Context, cache cache.Unmarshaler, _ cache.ReplaceHints) error {
	bytes, err := os.ReadFile(string(f))
	must(err)
	return cache.Unmarshal(bytes)
}

func (file) Export(context.Context, cache.Marshaler, cache.ExportHints) error { return nil }

func main() {
	ctx := context.Background()
	bytes, err := os.ReadFile("answers.json")
	must(err)
	must(json.Unmarshal(bytes, &answers))
	credential, err := confidential.NewCredFromSecret("fake")
	must(err)
	app, err := confidential.New(answers.Authority, "web", credential, confidential.WithHTTPClient(provider{}),
		confidential.WithCache(file(os.Args[1])))
	must(err)
	parts := strings.Split(answers.Authority, "/")
	account, err := app.Account(ctx, "user."+parts[len(parts)-1])
	must(err)
	_, err = app.AcquireTokenSilent(ctx, []string{"User.Read"}, confidential.WithSilentAccount(account))
	answer := "a token"
	if err != nil {
		answer = err.Error()
	}
	fmt.Printf("MSAL for Go reads %s: account %q; %s; redeemed %d times\n", os.Args[1], account.PreferredUsername, answer, redeemed)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
EOF
go build -o finding . 2>>go.log || { cat go.log; exit 2; }
venv/bin/python python.py && node node.mjs || exit 2
# The same file of Node's, with the one entry more.
python3 - <<'EOF'
import json

cache = json.load(open("node.json"))
(environment,) = {entry["environment"] for entry in cache["RefreshToken"].values()}
cache["AppMetadata"] = {f"appmetadata-{environment}-web": {"client_id": "web", "environment": environment}}
json.dump(cache, open("node-and-metadata.json", "w"))
EOF
echo "MSAL for Go 1.10.1, Python 1.39.0, Node 7.2.3; the access token has ended"
cat >expected.log <<'EOF'
MSAL for Go reads python.json: account "user@example.com"; a token; redeemed 1 times
MSAL for Go reads node.json: account "user@example.com"; no token found; redeemed 0 times
MSAL for Go reads node-and-metadata.json: account "user@example.com"; a token; redeemed 1 times
EOF
for written in python node node-and-metadata; do ./finding "$written.json" 2>&1 || true; done | tee output.log
cmp -s output.log expected.log && echo "still so: Go finds no refresh token that Node wrote" && exit 0
echo "this has changed"
exit 1
