//! How far the sweep has come: kept with the open store, from one slice to the next.

use crate::rows::row_key;
use crate::store::web;

/// How far the sweep has come.
#[derive(Default)]
pub(crate) struct Sweep {
    pub(crate) cursor: Cursor,
    /// The bytes of the live rows that it has seen so far.
    pub(crate) live_bytes: u64,
}

/// Where the sweep goes on: after this key of the accounts, of an index, or of web sessions.
#[derive(Clone)]
pub(crate) enum Cursor {
    Accounts(Vec<u8>),
    Indexes(usize, Option<Vec<u8>>),
    Web(web::Kind, Option<Vec<u8>>),
}

impl Default for Cursor {
    fn default() -> Self {
        Self::Accounts(row_key::all_accounts())
    }
}
