#!/usr/bin/env bash
# A service signs a user in with MSAL for Go and also calls an API on behalf of what the user sends it (on-behalf-of),
# with one store for the cache. One would guess that the store gets what was gained on the user's behalf, under the key
# that the library hints at (a hash of what the user sent), and that the second such call is answered from there. But
# those tokens are kept in a second cache in memory, and what is written under their key is the first cache: the tokens
# of the sign-in, once more, under a key that names nobody. The tokens gained on behalf of the user never reach the
# store. The second call reads the row into a cache that cannot read rows, and ends with an error, after the provider
# has been asked. Whoever deletes the row of a user who signs out leaves a copy of their refresh token behind, in a row
# that cannot be found from the user.
#
#     findings/msal-go-stores-the-sign-in-where-on-behalf-of-belongs.sh
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

// provider answers in the place of Entra ID, and counts what it is asked for on behalf of the user.
type provider struct{}

var asked = 0

func (provider) Do(request *http.Request) (*http.Response, error) {
	now := time.Now().Unix()
	claims := object{"iss": authority + "/v2.0", "aud": "web", "sub": "s", "oid": "user", "tid": tenant,
		"preferred_username": "user@example.com", "exp": now + 3600, "iat": now}
	name := "of-sign-in"
	if request.ParseForm() == nil && request.PostForm.Get("requested_token_use") == "on_behalf_of" {
		name, asked = "on-behalf-of", asked+1
	}
	body := object{"token_type": "Bearer", "expires_in": 3600, "scope": "User.Read",
		"access_token": "AT-" + name, "refresh_token": "RT-" + name, "client_info": text(object{"uid": "user", "utid": "home"}),
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
	if row, found := r[hints.PartitionKey]; found {
		return cache.Unmarshal(row)
	}
	return nil
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
	_, err = app.AcquireTokenByAuthCode(ctx, "code", "https://app.example", scopes)
	must(err)
	say := func(when string) {
		for key := range store {
			name := "by a hash"
			if key == "user.home" {
				name = "of the user"
			}
			fmt.Printf("%s: the row %s: %s\n", when, name, store.secrets(key))
		}
	}
	say("signed in")
	for call := 1; call <= 2; call++ {
		result, err := app.AcquireTokenOnBehalfOf(ctx, "what the user sent", scopes)
		fmt.Printf("on behalf, call %d: token %q, an error: %t, the provider was asked %d times\n", call, result.AccessToken, err != nil, asked)
	}
	delete(store, "user.home")
	say("the user's row deleted")
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
signed in: the row of the user: [AT-of-sign-in RT-of-sign-in]
on behalf, call 1: token "AT-on-behalf-of", an error: false, the provider was asked 1 times
on behalf, call 2: token "", an error: true, the provider was asked 2 times
the user's row deleted: the row by a hash: [AT-of-sign-in RT-of-sign-in]
EOF
./finding >output.log 2>&1 || true
cat output.log
cmp -s output.log expected.log && echo "still so: the row by a hash has what the sign-in brought" && exit 0
echo "this has changed"
exit 1
