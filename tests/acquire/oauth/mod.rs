//! What the `oauth2` and `openidconnect` crates give, as what the store takes.

mod answers;
mod grants;
mod providers;
mod redeem;
mod refusals;
mod tokens;
