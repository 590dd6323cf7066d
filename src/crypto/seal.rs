//! AES-256-GCM with random nonces, and HKDF-SHA256 for keys used once.
//!
//! `seal[key](aad, plaintext) = nonce12 | ciphertext | tag16`

use aes_gcm::aead::{AeadInOut, KeyInit, inout::InOutBuf};
use aes_gcm::{Aes256Gcm, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;
use std::marker::PhantomData;
use zeroize::{Zeroize, Zeroizing};

use super::keys::{Derives, Seals, StreamKey};
use crate::model::error::{Error, Result};
use crate::platform::wipe::{CIPHER_STACK, HASH_STACK, on_clean_stack};

/// Bytes of an AES-GCM nonce (NIST SP 800-38D §8.2: 96 bits).
pub(crate) const NONCE_BYTES: usize = 12;
/// Bytes of an AES-GCM authentication tag.
pub(crate) const TAG_BYTES: usize = 16;
/// What sealing adds to a plaintext.
pub(crate) const OVERHEAD_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// A 256-bit key for one purpose, on the heap, wiped when dropped. `keys.rs` has the purposes.
pub(crate) struct Key<P>(Box<Zeroizing<[u8; 32]>>, PhantomData<fn() -> P>);

impl<P> Key<P> {
    /// A new key from the operating system's random numbers.
    pub(crate) fn random() -> Result<Self> {
        Self::try_init(|bytes| fill(bytes))
    }

    /// A key that `init` writes in place, so that no copy is left on the stack.
    pub(crate) fn init(init: impl FnOnce(&mut [u8; 32])) -> Self {
        let mut key = Self(Box::new(Zeroizing::new([0; 32])), PhantomData);
        init(&mut key.0);
        #[cfg(feature = "test-util")]
        super::watch::key(key.bytes());
        key
    }

    /// As [`Key::init`], where writing may fail.
    pub(crate) fn try_init(init: impl FnOnce(&mut [u8; 32]) -> Result<()>) -> Result<Self> {
        let mut key = Self(Box::new(Zeroizing::new([0; 32])), PhantomData);
        init(&mut key.0)?;
        #[cfg(feature = "test-util")]
        super::watch::key(key.bytes());
        Ok(key)
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl<P> Clone for Key<P> {
    fn clone(&self) -> Self {
        Self::init(|bytes| bytes.copy_from_slice(self.bytes()))
    }
}

impl<P> std::fmt::Debug for Key<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// `N` random bytes from the operating system: ids, salts, nonces. The system is asked each time,
/// so a cloned machine repeats none.
pub(crate) fn fresh<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

fn fill(bytes: &mut [u8]) -> Result<()> {
    #[cfg(test)]
    if super::chance::fill(bytes) {
        return Ok(());
    }
    getrandom::fill(bytes).map_err(|e| Error::io("get random numbers")(std::io::Error::other(e)))
}

/// `HKDF-Expand[SHA-256](key, info)` into `out`. The key is uniform, so there is nothing to extract
/// (RFC 5869 §3.3).
///
/// # Panics
/// Never: `out` is far below the 8160 bytes that RFC 5869 allows.
pub(crate) fn expand<P: Derives>(key: &Key<P>, info: &[&[u8]], out: &mut [u8]) {
    #[cfg(feature = "test-util")]
    super::watch::hmac_key(key.bytes());
    let done = on_clean_stack::<HASH_STACK, _>(|| {
        let hkdf = Hkdf::<Sha256>::from_prk(key.bytes());
        hkdf.is_ok_and(|hkdf| hkdf.expand_multi_info(info, out).is_ok())
    });
    assert!(done, "a 32-byte key and a short output are within RFC 5869's bounds");
}

/// `HKDF-Expand[SHA-256](key, info)` as a key.
pub(crate) fn sub_key<P: Derives, Q>(key: &Key<P>, info: &[&[u8]]) -> Key<Q> {
    Key::init(|bytes| expand(key, info, bytes))
}

/// Seals the bytes of `row` from `from` on, in place: they become `nonce | ciphertext | tag`.
///
/// `row` must hold [`NONCE_BYTES`] spare bytes at `from`, then the plaintext; its capacity should
/// allow for [`TAG_BYTES`] more.
pub(crate) fn seal_in_place<P: Seals>(
    key: &Key<P>,
    aad: &[u8],
    row: &mut Vec<u8>,
    from: usize,
) -> Result<()> {
    let nonce = fresh::<NONCE_BYTES>()?;
    let sealed = row.get_mut(from..).and_then(|rest| rest.split_at_mut_checked(NONCE_BYTES));
    let (nonce_bytes, text) =
        sealed.ok_or_else(|| Error::invalid("row", "it has no room for its nonce"))?;
    nonce_bytes.copy_from_slice(&nonce);
    let tag = on_clean_stack::<CIPHER_STACK, _>(|| {
        let cipher = Aes256Gcm::new(key.bytes().into());
        cipher.encrypt_inout_detached(&Nonce::from(nonce), aad, InOutBuf::from(&mut *text))
    });
    let tag = tag.map_err(|_| {
        text.zeroize();
        Error::invalid("row", "it is too long to seal")
    })?;
    row.extend_from_slice(&tag);
    Ok(())
}

/// The key stream of AES-256-GCM under this nonce: bytes that cannot be told from random ones
/// without the key.
///
/// # Panics
/// Never: `len` is far below the 64 GiB that GCM allows.
pub(crate) fn keystream(key: &StreamKey, nonce: [u8; NONCE_BYTES], len: usize) -> Vec<u8> {
    let mut stream = vec![0; len];
    let done = on_clean_stack::<CIPHER_STACK, _>(|| {
        let cipher = Aes256Gcm::new(key.bytes().into());
        cipher
            .encrypt_inout_detached(&Nonce::from(nonce), &[], InOutBuf::from(&mut *stream))
            .is_ok()
    });
    assert!(done, "a short text is within GCM's bounds");
    stream
}

/// Opens `sealed` (`nonce | ciphertext | tag`) in place and returns the plaintext within it, or
/// `None` if one bit is not as it was sealed.
///
/// The caller wipes the buffer.
pub(crate) fn open_in_place<'a, P: Seals>(
    key: &Key<P>,
    aad: &[u8],
    sealed: &'a mut [u8],
) -> Option<&'a mut [u8]> {
    let (nonce, rest) = sealed.split_first_chunk_mut::<NONCE_BYTES>()?;
    let (text, tag) = rest.split_last_chunk_mut::<TAG_BYTES>()?;
    let opened = on_clean_stack::<CIPHER_STACK, _>(|| {
        let cipher = Aes256Gcm::new(key.bytes().into());
        cipher.decrypt_inout_detached(
            &Nonce::from(*nonce),
            aad,
            InOutBuf::from(&mut *text),
            &(*tag).into(),
        )
    });
    opened.ok().map(|()| text)
}

#[cfg(test)]
mod tests {
    use super::super::keys::SealingKey;
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_unchanged() {
        let key = SealingKey::random().unwrap();
        let mut row = b"head".to_vec();
        row.extend_from_slice(&[0; NONCE_BYTES]);
        row.extend_from_slice(b"the token");
        seal_in_place(&key, b"place", &mut row, 4).unwrap();
        assert_eq!(row.len(), 4 + OVERHEAD_BYTES + 9);
        assert_eq!(open_in_place(&key, b"place", &mut row.clone()[4..]).unwrap(), b"the token");
        assert!(open_in_place(&key, b"other place", &mut row.clone()[4..]).is_none());
        for bit in 4 * 8..row.len() * 8 {
            let mut changed = row.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open_in_place(&key, b"place", &mut changed[4..]).is_none(), "bit {bit}");
        }
        for len in 0..row.len() - 4 {
            assert!(
                open_in_place(&key, b"place", &mut row.clone()[4..4 + len]).is_none(),
                "length {len}"
            );
        }
    }

    #[test]
    fn no_nonce_is_used_twice() {
        let key = SealingKey::random().unwrap();
        let nonces: std::collections::BTreeSet<_> = (0..1000)
            .map(|_| {
                let mut row = vec![0; NONCE_BYTES];
                seal_in_place(&key, b"place", &mut row, 0).unwrap();
                row[..NONCE_BYTES].to_vec()
            })
            .collect();
        assert_eq!(nonces.len(), 1000);
    }
}
