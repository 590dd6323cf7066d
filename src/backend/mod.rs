//! Where rows and sign-outs live: the seam between verbs and places.
//!
//! A verb is *plan, exchange, decide*. Its plan is a function of what it sees (rows, the fences of
//! some scopes, the ledger's end) and says what is to change; plans and decisions are the same for
//! all backends. Only the exchange differs:
//!
//! - [`Embedded`] runs a plan once, under the locks of the accounts and the session that the verb
//!   names, beside an engine and the ledger's file that this process alone has open. Nothing that a
//!   plan saw can change before its change is written.
//! - [`Remote`] runs a plan on what one [exchange](Exchange) has brought of one moment, and again
//!   if it asked for more than that. It sends the change with guards (rows that must be as they
//!   were) and with the scopes that were looked at (no newer fence may stand there); if the place
//!   says that either does not hold, it looks again. Nothing is locked between two exchanges, so an
//!   instance that dies or stands still holds nobody up.
//!
//! So a plan has no effects of its own: it may be run more than once.

#[cfg(all(test, feature = "test-util"))]
mod conformance;
pub(crate) mod embedded;
pub(crate) mod exchange;
#[cfg(all(unix, feature = "sqlite"))]
pub(crate) mod operate;
pub(crate) mod remote;
mod sight;
#[cfg(all(unix, feature = "sqlite"))]
pub(crate) mod sqlite;

pub(crate) use embedded::{Embedded, Lock, Working};
pub(crate) use exchange::{Ask, Guard};
pub(crate) use remote::{Remote, Tried};
pub(crate) use sight::Sight;

/// The place of one store.
pub(crate) enum Backend {
    /// In this process.
    Embedded(Box<Embedded>),
    /// Elsewhere, and shared with other instances.
    #[cfg_attr(
        not(any(feature = "test-util", all(unix, feature = "sqlite"))),
        expect(dead_code, reason = "a feature brings one")
    )]
    Remote(Remote),
}
