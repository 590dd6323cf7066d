//! Sign-outs that are being counted. A thread that deletes ended rows waits for them, as deleted
//! rows cannot be counted.

use crate::platform::sync::{Condvar, Mutex, PoisonError, lock};

/// How many sign-outs are being counted. Each counts from before its fences stand.
#[derive(Default)]
pub(crate) struct Counting {
    now: Mutex<usize>,
    changed: Condvar,
}

impl Counting {
    /// From now on, no thread begins to delete until the result is dropped. Does not wait for a
    /// thread that deletes already.
    pub(crate) fn begin(&self) -> Counts<'_> {
        *lock(&self.now) += 1;
        Counts(self)
    }

    /// Waits until nothing is being counted: a sign-out that stands by now, and is to be counted,
    /// has been. The caller must hold neither a lock nor the gate.
    pub(crate) fn wait_until_none(&self) {
        let mut now = lock(&self.now);
        while *now > 0 {
            now = self.changed.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A sign-out that is being counted.
pub(crate) struct Counts<'a>(&'a Counting);

impl Drop for Counts<'_> {
    fn drop(&mut self) {
        *lock(&self.0.now) -= 1;
        self.0.changed.notify_all();
    }
}
