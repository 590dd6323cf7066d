//! How much memory the tokens that wait, for keys or to be decrypted, may take up: a semaphore that
//! counts bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the memory of the tokens that wait for the same, so that anybody's tokens take up no more
/// than [`MAX_BYTES`] together.
#[derive(Clone, Default)]
pub(super) struct ByteSemaphore(Arc<AtomicUsize>);

/// The most memory for all tokens that wait at a time.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// What one waiter takes up beside its token: a task and a future or two.
const BYTES_PER_WAITER: usize = 2 * 1024;

/// The memory of one token that waits. Dropping it gives the memory back.
pub(super) struct BytePermit(ByteSemaphore, usize);

impl ByteSemaphore {
    /// A permit for a token of this length, which is held as it came, in its parts and in its
    /// claims; `None` if too many wait already.
    pub(super) fn acquire(&self, token_bytes: usize) -> Option<BytePermit> {
        let size = BYTES_PER_WAITER.saturating_add(token_bytes.saturating_mul(3));
        let acquired = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            taken.checked_add(size).filter(|taken| *taken <= MAX_BYTES)
        });
        acquired.is_ok().then(|| BytePermit(self.clone(), size))
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for BytePermit {
    fn drop(&mut self) {
        self.0.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}
