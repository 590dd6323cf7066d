//! Sign-outs that are being counted: whoever deletes what has ended waits for them, as what is
//! deleted cannot be counted.

use crate::platform::sync::{Condvar, Mutex, PoisonError, lock};

/// How many sign-outs are being counted, from before they stand.
#[derive(Default)]
pub(crate) struct Counting {
    now: Mutex<usize>,
    changed: Condvar,
}

impl Counting {
    /// From now on, until it is dropped, nobody begins to delete. Waits for nobody.
    pub(crate) fn begin(&self) -> Counts<'_> {
        *lock(&self.now) += 1;
        Counts(self)
    }

    /// Waits until nothing is being counted, and gives what `end` says then: a sign-out that is to
    /// be counted, and has not begun by then, lies behind it. The caller may hold nothing, neither
    /// lock nor gate.
    pub(crate) fn none_before<T>(&self, end: impl FnOnce() -> T) -> T {
        let mut now = lock(&self.now);
        while *now > 0 {
            now = self.changed.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
        end()
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
