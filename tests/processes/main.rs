//! What only several processes show that have one store open: rows in SQLite, on a real folder.
//!
//! Every process here is one of its own: this binary, started again with a role in its environment.
//! Never two handles of one process: record locks, SQLite's too, are a process's.
#![cfg(unix)]

mod child;
mod formats;
mod kill;
mod linearizability;
mod operators;
mod refresh;
mod traps;

/// Not a test but what a child does.
#[test]
fn child() {
    child::play();
}
