//! Speaks the line protocol for SQLCipher: the SQLite driver, built with another library in
//! SQLite's place.

#[path = "../../plain/src/sqlite.rs"]
mod sqlite;

/// A raw 256-bit key.
const SQLCIPHER_KEY: Option<&str> = Some("x'0707070707070707070707070707070707070707070707070707070707070707'");

fn main() {
    peers_kit::serve::<sqlite::Sqlite<false>>();
}
