//! Logout tokens: which form they must have, and what a verified one says. Nothing here knows a
//! key's source, a request or the store.

pub(crate) mod logout_token;
pub(crate) mod profile;
