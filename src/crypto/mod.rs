//! Keys, sealing and keyed hashes. This module must not know what a token is or where bytes are
//! stored.
//!
//! Every label is versioned, every input is length-prefixed or of fixed width, every integer is
//! big-endian.

#[cfg(test)]
pub(crate) mod chance;
mod key_source;
mod keyring;
mod keys;
mod seal;
mod tag;
#[cfg(test)]
mod vectors;
#[cfg(feature = "test-util")]
mod watch;

pub use key_source::{KeyProvider, KeySource, WrapContext, WrappedKey};
pub(crate) use keyring::{Keyring, KeyringSecrets};
pub(crate) use keys::{AccountKey, LedgerRootKey, RootKey, SealingKey, StreamKey};
pub(crate) use seal::{
    NONCE_BYTES, OVERHEAD_BYTES, TAG_BYTES, fresh, keystream, open_in_place, seal_in_place, sub_key,
};
pub(crate) use tag::{Mac, Tagger};
#[cfg(feature = "test-util")]
pub use watch::observe_keys;
#[cfg(all(fuzzing, feature = "test-util"))]
pub(crate) use {
    keys::Seals,
    seal::{Key, expand},
};
