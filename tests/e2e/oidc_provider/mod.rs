//! The sign-out callbacks end to end: `examples/axum_login.rs` with its sign-out routes, browsers, and a certified OpenID provider.
//!
//! `tests/e2e/oidc_provider/run` installs that provider and runs these. Here is what a user does; what else a provider could send is in `tests/signals/logout`.

mod encrypted;
pub(crate) mod node;
mod other_app;
mod restarts;
mod sign_out;
mod site;
mod tokens;
mod user;
