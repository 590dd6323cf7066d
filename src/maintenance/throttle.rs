//! The throttle of deleting: it pauses between bursts of rows while no caller waits for the
//! reclaim, so that readers do not notice it.

use std::time::{Duration, Instant};

use crate::store::backlog::Backlog;

/// The rows between two pauses.
const ROWS_PER_BURST: usize = if cfg!(oubliette_shuttle) { 1 } else { 16 };

/// How many times as long as the work a pause is. Readers and the reclaimer share the processor and
/// the engine's cache; with this factor readers have them for most of the time.
const PAUSE_FACTOR: u32 = 3;

/// The longest pause. If the work took longer than this allows for, the disk or another process was
/// slow, and a longer pause would not help.
const MAX_PAUSE: Duration = Duration::from_millis(20);

/// Slows down a thread that deletes rows.
pub(crate) struct Throttle<'a> {
    /// Knows when a pause has to end; `None` if there are no pauses.
    backlog: Option<&'a Backlog>,
    rows: usize,
    worked: Duration,
}

impl<'a> Throttle<'a> {
    /// Pauses now and then, as long as nothing waits for this backlog.
    pub(crate) fn new(backlog: &'a Backlog) -> Self {
        Self { backlog: Some(backlog), rows: 0, worked: Duration::ZERO }
    }

    /// Never pauses.
    pub(crate) fn off() -> Self {
        Self { backlog: None, rows: 0, worked: Duration::ZERO }
    }

    /// Records that `rows` were looked at since `start`, and pauses if it is time for it.
    ///
    /// **The caller must hold neither the gate nor a lock**: other threads would wait for it during
    /// the pause.
    pub(crate) fn worked(&mut self, rows: usize, start: Instant) {
        let Some(backlog) = self.backlog else { return };
        self.rows += rows.max(1);
        self.worked += start.elapsed();
        if self.rows >= ROWS_PER_BURST {
            backlog.pause((self.worked * PAUSE_FACTOR).min(MAX_PAUSE));
            (self.rows, self.worked) = (0, Duration::ZERO);
        }
    }
}
