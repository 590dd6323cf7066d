//! Logout tokens: the form that they must have, and what a verified one says. Nothing here knows
//! where keys come from, a request or the store.

pub(crate) mod logout_token;
pub(crate) mod profile;
pub(crate) mod unverified;
