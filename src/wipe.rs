//! Buffers that are wiped when dropped: all of their capacity, in one sweep. (`zeroize` alone goes byte by byte, which for a token
//! takes as long as opening it.)

use std::ops::{Deref, DerefMut};

/// Bytes that leave nothing behind.
#[derive(Clone, Default)]
pub(crate) struct Wiped(pub(crate) Vec<u8>);

impl Drop for Wiped {
    fn drop(&mut self) {
        // Within the capacity: nothing moves.
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
