//! Ways past the public interface for the fuzz targets in `fuzz/`: compiled with `--cfg fuzzing`
//! alone.
//!
//! These are thin on purpose: the modules themselves decide all that is decided here. What a target
//! needs beyond them, such as sealing bytes that the store would never write, is put together from
//! the same parts.

mod keys;
mod ledger;
mod rows;

pub use crate::ledger::fuzzing::{
    FileHeader, LedgerFile, LedgerOn, Read, SignedIn, SlotRecord, Standing,
};
#[cfg(feature = "logout")]
pub use crate::logout::fuzzing::discovered;
pub use keys::{
    KeyringFacts, MAX_KEYRING_BYTES, create_keyring, key_of_env, key_of_systemd, key_of_text,
    open_keyring,
};
pub use rows::{Body, PART_BYTES, Rows, SignInBody, index_key, is_refusal, reread_key};

use crate::crypto::{
    Key, NONCE_BYTES, RootKey, SealingKey, Seals, expand as hkdf_expand, seal_in_place,
};
use crate::model::error::Result;

/// `nonce | ciphertext | tag` of any text under any key.
///
/// # Errors
/// `InvalidInput` if the text is too long.
pub fn seal(key: &[u8; 32], aad: &[u8], text: &[u8]) -> Result<Vec<u8>> {
    let key: SealingKey = fixed_key(key);
    seal_behind(&key, aad, &[], text)
}

/// HKDF-Expand with SHA-256, as all keys are derived.
#[must_use]
pub fn expand(key: &[u8; 32], info: &[&[u8]], len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    let key: RootKey = fixed_key(key);
    hkdf_expand(&key, info, &mut out);
    out
}

fn fixed_key<P>(bytes: &[u8; 32]) -> Key<P> {
    Key::init(|key| key.copy_from_slice(bytes))
}

fn seal_behind<P: Seals>(key: &Key<P>, aad: &[u8], front: &[u8], text: &[u8]) -> Result<Vec<u8>> {
    let mut row = front.to_vec();
    row.resize(front.len() + NONCE_BYTES, 0);
    row.extend_from_slice(text);
    seal_in_place(key, aad, &mut row, front.len())?;
    Ok(row)
}
