//! The pauses of a caller that finds another process at the refresh it needs. There is nothing to
//! wait for between processes but what that one stores: so the caller looks again.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(100);

/// Longer and longer, until the time is over.
pub(super) struct Pauses {
    at_most: Duration,
    began: Option<Instant>,
    next: Duration,
}

impl Pauses {
    pub(super) fn new(at_most: Duration) -> Self {
        Self { at_most, began: None, next: FIRST }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let began = *self.began.get_or_insert_with(Instant::now);
        let left = self.at_most.checked_sub(began.elapsed()).filter(|left| !left.is_zero())?;
        let pause = self.next.min(left);
        self.next = self.next.saturating_mul(2).min(LONGEST);
        Some(pause)
    }
}
