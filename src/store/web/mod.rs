//! Web sessions: the app's data for a browser's cookie, stored beside the tokens and found by the
//! keyed hash of the session's id.
//!
//! One that is *bound* to a sign-in is a row inside that sign-in, sealed by the account's key: by
//! the rule, it lives and dies with its sign-in, at the same moment. An *unbound* one (before the
//! login) has a place of its own, outside all accounts, and its own as-of: a sign-out of everybody
//! ends it too.
//!
//! **Its place says which sign-in it is bound to, not its data.** Only `create` makes a place; a
//! save replaces what is in one, and never moves it. So no late save of a request from before a
//! login, a logout or an expiry can free a session from its sign-in, give it to another, or bring
//! it back.
//!
//! The index row finds a bound web session, and is put and deleted in one batch with it. A bound
//! one without its index row can neither be loaded nor be deleted by its id: so the sweep does not
//! restore the index row, but deletes the web session.

mod find;
mod record;
mod sweep;
mod verbs;

pub(crate) use find::{is_found, read_bound, read_unbound};
pub(crate) use record::{MAX_WEB_BYTES, WebRecord};
pub(crate) use sweep::{Kind, tidy_slice, tidy_unbound};
pub(crate) use verbs::{create, delete, delete_expired, load, save};

use crate::model::random_id::SignInId;
use crate::model::tag::AccountTag;

/// The sign-in that a web session ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) account: AccountTag,
    pub(crate) sign_in: SignInId,
}
