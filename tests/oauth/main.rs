//! What the `oauth2` and `openidconnect` crates give, as what the store takes.

mod answers;
#[path = "../common/mod.rs"]
mod common;
mod grants;
mod providers;
mod refusals;
mod tokens;
