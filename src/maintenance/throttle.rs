//! The pace of deleting: unhurried while nobody waits, so that readers do not notice it.

use std::time::{Duration, Instant};

use crate::store::queue::Backlog;

/// After so many rows it is time for a rest.
const STINT: usize = if cfg!(oubliette_shuttle) { 1 } else { 16 };

/// How many times as long as the work the rest is: what readers share with the reclaimer (the
/// processor, the engine's cache) is theirs for most of the time.
const REST: u32 = 3;

/// No rest is longer: where the work took long, it was the disk or another process that did.
const LONGEST: Duration = Duration::from_millis(20);

/// The pace of who deletes rows.
pub(crate) struct Pace<'a> {
    /// Who may be in a hurry; `None` if the caller is.
    backlog: Option<&'a Backlog>,
    rows: usize,
    worked: Duration,
}

impl<'a> Pace<'a> {
    /// Rests now and then.
    pub(crate) fn steady(backlog: &'a Backlog) -> Self {
        Self { backlog: Some(backlog), rows: 0, worked: Duration::ZERO }
    }

    /// Never rests.
    pub(crate) fn hurried() -> Self {
        Self { backlog: None, rows: 0, worked: Duration::ZERO }
    }

    /// So many rows were looked at since `start`. Rests, if it is time for it: **whoever calls this
    /// holds nothing**, neither the gate nor a lock, since others would wait for it all the while.
    pub(crate) fn worked(&mut self, rows: usize, start: Instant) {
        let Some(backlog) = self.backlog else { return };
        self.rows += rows.max(1);
        self.worked += start.elapsed();
        if self.rows >= STINT {
            backlog.rest((self.worked * REST).min(LONGEST));
            (self.rows, self.worked) = (0, Duration::ZERO);
        }
    }
}
