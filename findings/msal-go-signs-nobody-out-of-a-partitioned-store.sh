#!/usr/bin/env bash
# MSAL for Go leaves the storage of its cache to the app, and hints at a key for each user's part (`PartitionKey`), so
# that a web app can keep one row for each user. A sign-in writes, and `Account` and `AcquireTokenSilent` read, under
# the user's home account id. One would guess that `RemoveAccount` empties the row of the account that it is given. It
# asks for the row with the empty key, which there is not, takes the account out of memory, and writes what is left
# under the empty key. The user's row stays as it was, and there is no error: the next `Account` finds the user again,
# and `AcquireTokenSilent` answers with their token. An app that goes by the hints has to delete the row itself; and
# whoever takes such rows over finds signed-out users in them.
#
#     findings/msal-go-signs-nobody-out-of-a-partitioned-store.sh
#
# Needs go. Exit code: 0 if it is still so, 1 if not, 2 if it could not be tried. No provider is asked: the HTTP client
# answers itself.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
go mod init finding 2>go.log
go get github.com/AzureAD/microsoft-authentication-library-for-go@v1.10.1 2>>go.log || { cat go.log; exit 2; }

cat >main.go <<'EOF'
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/cache"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
)

const tenant = "aaaaaaaa-0000-4000-8000-00000000000a"
const authority = "https://login.microsoftonline.com/" + tenant

type object = map[string]any

func text(value any) string {
	bytes, _ := json.Marshal(value)
	return base64.RawURLEncoding.EncodeToString(bytes)
}

// provider answers in the place of Entra ID.
type provider struct{}

func (provider) Do(request *http.Request) (*http.Response, error) {
	now := time.Now().Unix()
	claims := object{"iss": authority + "/v2.0", "aud": "web", "sub": "s", "oid": "user", "tid": tenant,
		"preferred_username": "user@example.com", "exp": now + 3600, "iat": now}
	body := object{"token_type": "Bearer", "expires_in": 3600, "scope": "User.Read",
		"access_token": "AT", "refresh_token": "RT", "client_info": text(object{"uid": "user", "utid": "home"}),
		"id_token": text(object{}) + "." + text(claims) + ".x"}
	if strings.Contains(request.URL.Path, "openid-configuration") {
		body = object{"issuer": authority + "/v2.0", "authorization_endpoint": authority + "/a", "token_endpoint": authority + "/t"}
	}
	bytes, _ := json.Marshal(body)
	return &http.Response{StatusCode: 200, Request: request, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(string(bytes)))}, nil
}

func (provider) CloseIdleConnections() {}

// rows is a store of one row for each key that the library hints at.
type rows map[string][]byte

func (r rows) Replace(_ context.Context, cache cache.Unmarshaler, hints cache.ReplaceHints) error {
	row, found := r[hints.PartitionKey]
	if !found {
		row = []byte("{}")
	}
	return cache.Unmarshal(row)
}

func (r rows) Export(_ context.Context, cache cache.Marshaler, hints cache.ExportHints) error {
	row, err := cache.Marshal()
	r[hints.PartitionKey] = row
	return err
}

// secrets says what tokens a row has.
func (r rows) secrets(key string) string {
	row, found := r[key]
	if !found {
		return "no row"
	}
	kinds := map[string]map[string]struct{ Secret string }{}
	if err := json.Unmarshal(row, &kinds); err != nil {
		panic(err)
	}
	tokens := []string{}
	for _, kind := range []string{"AccessToken", "RefreshToken"} {
		for _, entry := range kinds[kind] {
			tokens = append(tokens, entry.Secret)
		}
	}
	return fmt.Sprint(tokens)
}

func main() {
	ctx, store, scopes := context.Background(), rows{}, []string{"User.Read"}
	credential, err := confidential.NewCredFromSecret("fake")
	must(err)
	app, err := confidential.New(authority, "web", credential, confidential.WithHTTPClient(provider{}),
		confidential.WithCache(store), confidential.WithInstanceDiscovery(false))
	must(err)
	result, err := app.AcquireTokenByAuthCode(ctx, "code", "https://app.example", scopes)
	must(err)
	say := func(when string) {
		fmt.Printf("%s: the user's row: %s; the row with the empty key: %s\n", when, store.secrets("user.home"), store.secrets(""))
	}
	say("signed in")
	must(app.RemoveAccount(ctx, result.Account))
	say("account removed, without an error")
	account, err := app.Account(ctx, "user.home")
	must(err)
	silent, err := app.AcquireTokenSilent(ctx, scopes, confidential.WithSilentAccount(account))
	must(err)
	fmt.Printf("asked for the account again: %s, with the token %s\n", account.PreferredUsername, silent.AccessToken)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
EOF
go build -o finding . 2>>go.log || { cat go.log; exit 2; }
echo "MSAL for Go 1.10.1, with a row for each PartitionKey"
cat >expected.log <<'EOF'
signed in: the user's row: [AT RT]; the row with the empty key: no row
account removed, without an error: the user's row: [AT RT]; the row with the empty key: []
asked for the account again: user@example.com, with the token AT
EOF
./finding >output.log 2>&1 || true
cat output.log
cmp -s output.log expected.log && echo "still so: the user's row keeps the tokens" && exit 0
echo "this has changed"
exit 1
