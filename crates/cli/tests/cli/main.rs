//! The program `oubliette`, run as operators run it: what it does to a store, what it prints, and
//! its exit codes.
//!
//! Whatever it prints is searched for keys and tokens, and with `--json` has to be one JSON object.
#![allow(unreachable_pub, reason = "this is no library")]

mod accounts;
mod history;
mod import;
mod keys;
mod sign_out;
mod site;
mod upkeep;
