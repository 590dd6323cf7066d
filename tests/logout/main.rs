//! The sign-out callbacks of OpenID Connect.

mod algorithms;
mod claims;
#[path = "../common/mod.rs"]
mod common;
mod conformance;
mod effects;
mod entra;
mod key_sets;
mod settings;
mod signer;
mod stub;
