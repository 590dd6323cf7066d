//! Encrypted tokens (RFC 7516): keys of the app's own decrypt one, and what is inside is a signed
//! token. Nothing here knows an issuer's settings, a request or the store; and nothing here
//! authenticates a token: anybody can encrypt for a public key, so the signature inside decides.

mod agreement;
pub(crate) mod algorithm;
mod content;
pub(crate) mod decryption_key;
pub(crate) mod decryption_keys;
mod key_pair;
mod key_wrap;
pub(crate) mod public_key;
#[cfg(test)]
mod rfc_vectors;
pub(crate) mod sealed_token;
pub(crate) mod token;
#[cfg(test)]
mod wycheproof_vectors;
