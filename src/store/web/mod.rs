//! Web sessions: what a browser's cookie stands for, kept beside the tokens, and found by the keyed
//! hash of its id.
//!
//! One that is *bound* to a sign-in is a row inside that sign-in, sealed by the account's key: it
//! lives and dies by the rule with its sign-in, in the same stroke. One that is not bound yet
//! (before the login) has a place of its own, outside all accounts, and the moment it was made at:
//! a sign-out of everybody ends it too.
//!
//! **Its place says whom it is bound to, not its data.** Only [`create`] makes a place; a save
//! replaces what is in one, and never moves it. So no late save of a request from before a login, a
//! logout or an expiry frees a session from its sign-in, gives it to another, or brings it back.
//!
//! The index row finds, and is put and deleted in one batch with what it finds. A bound one without
//! it cannot be loaded, and not be deleted by its id either: so the sweep does not put it back, but
//! deletes what has lost it.

mod find;
mod record;
mod sweep;
#[cfg(any(feature = "tower-sessions", oubliette_shuttle))]
mod verbs;

pub(crate) use find::{is_found, read_bound, read_unbound};
pub(crate) use record::WebRecord;
pub(crate) use sweep::{Kind, tidy_slice, tidy_unbound};
#[cfg(any(feature = "tower-sessions", oubliette_shuttle))]
#[cfg_attr(not(feature = "tower-sessions"), allow(unused_imports))]
pub(crate) use verbs::{create, delete, delete_expired, load, save};

use crate::model::random_id::SignInId;
use crate::model::tag::AccountTag;

/// The sign-in that a web session ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) account: AccountTag,
    pub(crate) sign_in: SignInId,
}
