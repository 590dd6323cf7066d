//! Buffers that are wiped when dropped: all of their capacity, in one sweep. (`zeroize` alone goes
//! byte by byte, which for a token takes as long as opening it.) And the stack, wiped after work
//! with keys.

use std::ops::{Deref, DerefMut};

/// Bytes that are wiped when dropped.
#[derive(Clone, Default)]
pub(crate) struct Wiped(pub(crate) Vec<u8>);

impl Drop for Wiped {
    fn drop(&mut self) {
        // Within the capacity, so the bytes do not move.
        self.0.resize(self.0.capacity(), 0);
        self.0.fill(0);
        zeroize::optimization_barrier(self.0.as_slice());
    }
}

impl Deref for Wiped {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Wiped {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

/// Bytes of stack that HMAC and HKDF use, rounded up.
pub(crate) const HASH_STACK: usize = 2048;
/// Bytes of stack that AES-GCM uses, rounded up: it works on many blocks at a time.
pub(crate) const CIPHER_STACK: usize = 16384;

/// Runs `work`, then overwrites the `N` bytes of the stack below, which it used. The cryptographic
/// crates wipe the last place of a key, but moving a key leaves a copy behind; and what lies on the
/// stack is copied into other memory wherever a value with padding is made there and moved.
pub(crate) fn on_clean_stack<const N: usize, T>(work: impl FnOnce() -> T) -> T {
    // Not inlined, so that all of its frame lies below ours, where the next call's will.
    #[inline(never)]
    fn apart<T>(work: impl FnOnce() -> T) -> T {
        work()
    }
    let done = apart(work);
    zeroize::zeroize_stack::<N>();
    done
}
