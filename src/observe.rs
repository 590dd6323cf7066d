//! What the store tells operators while it works: metrics and spans, behind the features `metrics` and `tracing`. Never a token, never a clear
//! identifier. Without the features every call here is empty.

#![allow(dead_code)]
use std::time::Duration;

/// What became of an acquisition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acquisition {
    /// The cache had it.
    Hit,
    /// The cache had it, and it was due: somebody refreshes it.
    Due,
    /// This caller refreshed it.
    Refreshed,
    /// Somebody else refreshed it meanwhile.
    Waited,
    /// The user has to be asked.
    InteractionRequired,
    /// The sign-in has ended.
    SignedOut,
    /// The refresh, or the store, failed.
    Failed,
}

/// What became of a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refresh {
    Stored,
    SignedOut,
    InvalidGrant,
    InteractionRequired,
    Failed,
    /// It panicked or was dropped.
    Abandoned,
}

pub(crate) fn acquired(_how: Acquisition) {}

pub(crate) fn refreshed(_how: Refresh, _took: Duration) {}

/// One more (or one less) waits for a refresh that somebody else does.
pub(crate) fn waiting(_by: i8) {}
