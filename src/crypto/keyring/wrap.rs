//! The two ways to wrap the mount key: under a local key, and by a provider.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::super::key_source::{KeyProvider, KeySource, MAX_BLOB_BYTES, WrapContext, WrappedKey};
use super::super::keys::{MountKey, OperatorKey, SealingKey};
use super::super::seal::{
    NONCE_BYTES, OVERHEAD_BYTES, TAG_BYTES, expand, fresh, open_in_place, seal_in_place,
};
use super::Reader;
use crate::model::error::{Error, Result};
use crate::model::random_id::StoreId;

/// The id of a local key, derived from the key: operators need not invent one, and no two keys
/// share one.
pub(super) fn kek_id(kek: &OperatorKey) -> [u8; 16] {
    let mut id = [0; 16];
    expand(kek, &[b"oubliette/v1/kek-id"], &mut id);
    id
}

/// The key for a single wrap, and the commitment to the operator's key, which is not a secret.
fn wrapping_key(kek: &OperatorKey, salt: &[u8; 16], store_id: &StoreId) -> (SealingKey, [u8; 32]) {
    let mut both = Zeroizing::new([0; 64]);
    expand(kek, &[b"oubliette/v1/kek-wrap", salt, store_id.as_bytes()], &mut *both);
    let (key, commit) = both.split_at(32);
    let mut commitment = [0; 32];
    commitment.copy_from_slice(commit);
    (SealingKey::init(|bytes| bytes.copy_from_slice(key)), commitment)
}

fn wrap_aad(store_id: &StoreId, kek_id: &[u8; 16]) -> Vec<u8> {
    [b"oubliette/v1/mount-key".as_slice(), store_id.as_bytes(), kek_id].concat()
}

/// Wraps under a key that is used this once.
pub(super) fn wrap_locally(
    kek: &OperatorKey,
    mount_key: &MountKey,
    store_id: &StoreId,
) -> Result<WrappedKey> {
    let (key_id, salt) = (kek_id(kek), fresh()?);
    let (key, commit) = wrapping_key(kek, &salt, store_id);
    // Wiped if sealing fails; of the right size, so that growing leaves no clear copy behind.
    let mut blob = Zeroizing::new(Vec::with_capacity(salt.len() + OVERHEAD_BYTES + 32 + 32));
    blob.extend_from_slice(&salt);
    blob.extend_from_slice(&[0; NONCE_BYTES]);
    blob.extend_from_slice(mount_key.bytes());
    seal_in_place(&key, &wrap_aad(store_id, &key_id), &mut blob, salt.len())?;
    blob.extend_from_slice(&commit);
    Ok(WrappedKey { key_id, blob: std::mem::take(&mut *blob) })
}

/// The mount key, or `None` if one bit of the blob is not as it was, or the key is another.
pub(super) fn open_local_blob(
    kek: &OperatorKey,
    key_id: &[u8; 16],
    blob: &[u8],
    store_id: &StoreId,
) -> Option<MountKey> {
    let mut blob = Reader(blob);
    let salt = blob.array()?;
    let mut sealed = Zeroizing::new(*blob.array::<{ NONCE_BYTES + 32 + TAG_BYTES }>()?);
    let commit = blob.array::<32>()?;
    let (key, expected) = wrapping_key(kek, salt, store_id);
    // Checked before the seal: only the commitment rules out that two keys open the same bytes.
    let same: bool = expected.ct_eq(commit).into();
    if !same || !blob.0.is_empty() {
        return None;
    }
    let mount_key = open_in_place(&key, &wrap_aad(store_id, key_id), &mut *sealed)?;
    Reader(mount_key).key()
}

/// Wraps the mount key by the provider, and refuses a blob that must not be stored.
pub(super) fn wrap_by(
    provider: &dyn KeyProvider,
    source: &KeySource,
    mount_key: &MountKey,
    store_id: &StoreId,
) -> Result<WrappedKey> {
    let wrapped = provider
        .wrap(mount_key.bytes(), &WrapContext::new(store_id.as_bytes()))
        .map_err(|e| provider_failed(source, e))?;
    if wrapped.blob.len() > MAX_BLOB_BYTES {
        return Err(source.unavailable("what it wrapped is longer than 4096 bytes"));
    }
    if wrapped.blob.windows(32).any(|part| part == mount_key.bytes()) {
        return Err(source.unavailable("what it wrapped is readable"));
    }
    Ok(wrapped)
}

/// The mount key, or `None` if the provider says that the wrap is not its own.
pub(super) fn unwrap_by(
    provider: &dyn KeyProvider,
    source: &KeySource,
    wrapped: &WrappedKey,
    store_id: &StoreId,
) -> Result<Option<MountKey>> {
    let mount_key = provider
        .unwrap(wrapped, &WrapContext::new(store_id.as_bytes()))
        .map_err(|e| provider_failed(source, e))?;
    Ok(mount_key.map(|key| MountKey::init(|bytes| bytes.copy_from_slice(&*key))))
}

fn provider_failed(source: &KeySource, error: impl std::fmt::Display) -> Error {
    source.unavailable(format!("it failed: {error}"))
}
