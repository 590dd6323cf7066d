//! For tests of what is left in memory: an observer is called for every key that is made, so that
//! it can look for copies of it.
//!
//! Only with the feature `test-util`. The observer gets half of each key, inverted, so that neither
//! it nor what it notes is a copy of a key. Without an observer, a key costs one more atomic load.

use std::sync::OnceLock;

use sha2::block_api::compress256;
use zeroize::Zeroizing;

use crate::platform::wipe::{HASH_STACK, on_clean_stack};

static OBSERVER: OnceLock<fn([u8; 16])> = OnceLock::new();

/// From now on, `observer` is called for every key with the inverted first half of its bytes, as
/// they are in memory. For a key of HMAC, which keeps two states of the hash and not the key, it is
/// called for these states too. `false` if there is an observer already.
pub fn observe_keys(observer: fn([u8; 16])) -> bool {
    OBSERVER.set(observer).is_ok()
}

/// A key was made.
pub(super) fn key(key: &[u8; 32]) {
    tell(key);
}

/// A key was given to HMAC-SHA256 (RFC 2104 §2), itself or within HKDF: what stays in memory are
/// the hash's states after the key with the inner and with the outer padding, and these are as
/// secret as the key: they suffice to forge.
pub(super) fn hmac_key(key: &[u8; 32]) {
    if OBSERVER.get().is_none() {
        return;
    }
    on_clean_stack::<HASH_STACK, _>(|| {
        for pad in [0x36, 0x5c] {
            let mut block = Zeroizing::new([pad; 64]);
            block.iter_mut().zip(key).for_each(|(to, from)| *to ^= from);
            let mut state = Zeroizing::new(SHA_256);
            compress256(&mut state, std::slice::from_ref(&*block));
            let mut bytes = Zeroizing::new([0; 32]);
            let words = bytes.as_chunks_mut().0;
            words
                .iter_mut()
                .zip(state.iter())
                .for_each(|(to, word): (&mut [u8; 4], &u32)| *to = word.to_ne_bytes());
            tell(&bytes);
        }
    });
}

fn tell(secret: &[u8; 32]) {
    if let Some(observer) = OBSERVER.get() {
        let mut half = [0; 16];
        half.iter_mut().zip(secret).for_each(|(to, from)| *to = !from);
        observer(half);
    }
}

/// The initial state of SHA-256 (FIPS 180-4 §5.3.3).
const SHA_256: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
