//! The sign-out callbacks of OpenID Connect.

mod algorithms;
mod claims;
mod conformance;
mod decryption_keys;
mod effects;
mod encryption;
mod entra;
mod key_sets;
mod settings;
