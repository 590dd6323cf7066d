#!/bin/sh
# tower-sessions can name its cookie with the prefix `__Host-`, and sets it with `Secure`, as that prefix needs. When the session has ended, the
# response that is to remove the cookie has the same name and no `Secure`. Browsers ignore such a cookie (RFC 6265bis, section 5.7: a cookie named
# `__Host-` without the Secure attribute is dropped whole), so the old one stays until it expires, and comes along with each request.
#
# Logs in and out through the layer, and prints both `Set-Cookie`s.
set -eu
VERSION=0.15.0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p src
cat >Cargo.toml <<TOML
[package]
name = "removal"
version = "0.0.0"
edition = "2021"
[dependencies]
axum = { version = "=0.8.9", default-features = false }
tokio = { version = "1", features = ["macros", "rt"] }
tower = { version = "0.5", features = ["util"] }
tower-sessions = "=$VERSION"
TOML
cat >src/main.rs <<'RUST'
use axum::{body::Body, http::{header, Request}, routing::get, Router};
use tower::ServiceExt;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer};

async fn set_cookie(app: &Router, path: &str, cookie: &str) -> String {
    let request = Request::get(path).header(header::COOKIE, cookie).body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let layer = SessionManagerLayer::new(MemoryStore::default()).with_name("__Host-session");
    let app = Router::new()
        .route("/in", get(|session: Session| async move { session.insert("user", 1).await.unwrap() }))
        .route("/out", get(|session: Session| async move { session.flush().await.unwrap() }))
        .layer(layer);
    let set = set_cookie(&app, "/in", "").await;
    let removed = set_cookie(&app, "/out", set.split(';').next().unwrap()).await;
    let attributes = |cookie: &str| cookie.split("; ").skip(1).collect::<Vec<_>>().join("; ");
    println!("set: {}", attributes(&set));
    println!("removed: {}", attributes(&removed));
}
RUST
cargo build --quiet
output=$(./target/debug/removal)
printf 'tower-sessions %s\n%s\n' "$VERSION" "$output"
set_line=$(printf '%s\n' "$output" | grep '^set:')
removed_line=$(printf '%s\n' "$output" | grep '^removed:')
case "$set_line" in *Secure*) ;; *) echo 'CHANGED: the cookie is not set with Secure' >&2; exit 1 ;; esac
case "$removed_line" in *Max-Age=0*) ;; *) echo 'CHANGED: nothing removes the cookie' >&2; exit 1 ;; esac
case "$removed_line" in *Secure*) echo 'CHANGED: the removal has Secure' >&2; exit 1 ;; *) ;; esac
