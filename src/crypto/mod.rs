//! Keys, sealing and keyed hashes. Nothing in here knows what a token is or where bytes are stored.
//!
//! Every label is versioned, every input is length-prefixed or of fixed width, every integer is big-endian.

mod key_source;
mod keyring;
mod seal;
mod tag;

pub use key_source::{KeyProvider, KeySource, WrapContext, WrappedKey};
pub(crate) use keyring::{Keyring, KeyringSecrets};
pub(crate) use seal::{Key, NONCE_BYTES, OVERHEAD_BYTES, TAG_BYTES, fresh, open_in_place, seal_in_place, sub_key};
pub(crate) use tag::{Mac, TAG_LEN, Tag, Tagger};
