//! Tests of the program `oubliette`, run as operators run it: what it does to a store, what it
//! prints, and its exit codes.
//!
//! All that it prints is searched for keys and tokens. With `--json` it must be one JSON object.
#![allow(unreachable_pub, reason = "this is no library")]

mod accounts;
#[cfg(unix)]
mod beside;
mod history;
mod import;
mod keys;
mod places;
mod sign_out;
mod site;
#[cfg(all(unix, feature = "sqlite"))]
mod sqlite;
mod upkeep;
