#!/bin/sh
# tower-sessions' `Session::cycle_id` deletes the session under its old id, to go on under a new one. If the store cannot delete (it is out of
# reach for a moment), the call fails; but the session has its new id by then, and counts as one that is not stored yet. So what was put into it
# before, such as who has just signed in, is created as a new session by the save that the layer makes for any answer below 500; the old one is
# left beside it. A login that ends with "try again, the sessions are out of reach" is a login all the same. (Who does not want that removes
# what was put in, or flushes the session, when `cycle_id` fails.)
set -eu
VERSION=0.15.0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p src
cat >Cargo.toml <<TOML
[package]
name = "cycle"
version = "0.0.0"
edition = "2021"
[dependencies]
async-trait = "0.1"
tokio = { version = "1", features = ["macros", "rt"] }
tower-sessions = { version = "=$VERSION", default-features = false, features = ["memory-store"] }
TOML
cat >src/main.rs <<'RUST'
use std::sync::Arc;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::{Error, Result};
use tower_sessions::{MemoryStore, Session, SessionStore};

/// Keeps sessions, and is out of reach for deletions.
#[derive(Clone, Debug, Default)]
struct NoDeletion(MemoryStore);

#[async_trait::async_trait]
impl SessionStore for NoDeletion {
    async fn create(&self, record: &mut Record) -> Result<()> {
        self.0.create(record).await
    }
    async fn save(&self, record: &Record) -> Result<()> {
        self.0.save(record).await
    }
    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        self.0.load(id).await
    }
    async fn delete(&self, _: &Id) -> Result<()> {
        Err(Error::Backend("out of reach".into()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let store = NoDeletion::default();
    let visitor = Session::new(None, Arc::new(store.clone()), None);
    visitor.save().await.unwrap();
    let old = visitor.id().unwrap();

    let session = Session::new(Some(old), Arc::new(store.clone()), None);
    session.insert("user", "ada").await.unwrap();
    assert!(session.cycle_id().await.is_err());
    // What the layer does behind the handler.
    assert!(session.is_modified());
    session.save().await.unwrap();

    let new = session.id().unwrap();
    let user = |record: Option<Record>| record.map(|record| record.data.get("user").cloned());
    println!("another id: {}", new != old);
    println!("old: {:?}", user(store.load(&old).await.unwrap()));
    println!("new: {:?}", user(store.load(&new).await.unwrap()));
}
RUST
cargo build --quiet --release
./target/release/cycle >seen
echo "tower-sessions $VERSION: cycle_id has failed; after the save:"
cat seen
printf 'another id: true\nold: Some(None)\nnew: Some(Some(String("ada")))\n' >expected
if ! cmp -s seen expected; then
    echo 'CHANGED: a cycle_id that fails is not saved as a new session, or something else' >&2
    exit 1
fi
