#!/bin/sh
# A provider that encrypts a client's ID tokens (OpenID Connect Core 1.0, section 10.2) answers the token request with a JWE in `id_token`. The
# `openidconnect` crate reads signed ID tokens alone, and its error is that of the whole answer: the access token and the refresh token, which are
# as ever, are lost with it, though the code is spent. Its client does have a type parameter for algorithms of content encryption.
#
# Redeems a code at a provider of its own, which answers with a JWE of the right shape (five parts) beside two plain tokens.
set -eu
VERSION=4.1.0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p src
cat >Cargo.toml <<TOML
[package]
name = "encrypted"
version = "0.0.0"
edition = "2021"
[dependencies]
openidconnect = { version = "=$VERSION", default-features = false }
TOML
cat >src/main.rs <<'RUST'
use openidconnect::core::{CoreClient, CoreJsonWebKeySet};
use openidconnect::{AuthorizationCode, ClientId, HttpRequest, HttpResponse, IssuerUrl, OAuth2TokenResponse, TokenUrl};

fn main() {
    let issuer = IssuerUrl::new("https://login.example.com".into()).unwrap();
    let client = CoreClient::new(ClientId::new("app".into()), issuer, CoreJsonWebKeySet::new(vec![]))
        .set_token_uri(TokenUrl::new("https://login.example.com/token".into()).unwrap());
    for (what, id_token) in [
        // {"alg":"RS256"}.{"iss":"https://login.example.com","sub":"1","aud":"app","exp":1,"iat":1}.signature
        ("signed", "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUuY29tIiwic3ViIjoiMSIsImF1ZCI6ImFwcCIsImV4cCI6MSwiaWF0IjoxfQ.c2ln"),
        // {"alg":"RSA-OAEP-256","enc":"A256GCM","cty":"JWT"}.key.iv.text.tag
        ("encrypted", "eyJhbGciOiJSU0EtT0FFUC0yNTYiLCJlbmMiOiJBMjU2R0NNIiwiY3R5IjoiSldUIn0.a2V5.aXY.dGV4dA.dGFn"),
    ] {
        let http = |_: HttpRequest| -> Result<HttpResponse, std::io::Error> {
            let body = format!(r#"{{"access_token":"at","refresh_token":"rt","token_type":"bearer","expires_in":60,"id_token":"{id_token}"}}"#);
            let response = openidconnect::http::Response::builder().header("content-type", "application/json");
            Ok(response.body(body.into_bytes()).unwrap())
        };
        let answer = client.exchange_code(AuthorizationCode::new("code".into())).request(&http);
        match answer {
            Ok(answer) => println!("{what}: {} {}", answer.access_token().secret(), answer.refresh_token().unwrap().secret()),
            Err(openidconnect::RequestTokenError::Parse(error, _)) => println!("{what}: no token at all: {}", error.path()),
            Err(error) => println!("{what}: {error}"),
        }
    }
}
RUST
cargo build --quiet
output=$(./target/debug/encrypted)
printf 'openidconnect %s\n%s\n' "$VERSION" "$output"
expected='signed: at rt
encrypted: no token at all: .'
if [ "$output" != "$expected" ]; then
    echo 'CHANGED: an encrypted ID token does not cost the other tokens, or costs more' >&2
    exit 1
fi
