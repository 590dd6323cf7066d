//! A fetch as those see it who wait for it, and how many of them there may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// A fetch that is going on. It has no end that could be forgotten: it is over when its task is
/// gone, however that went (done, panicked, or dropped with its runtime).
#[derive(Clone)]
pub(super) struct Flight {
    landed: watch::Receiver<()>,
    /// When nobody waits any more, for its runtime may have stopped without ending. No end, if the
    /// clock does not reach so far.
    lost_at: Option<Instant>,
}

/// Held by the task. Dropped, it wakes all who wait.
pub(super) struct Landing(
    #[expect(dead_code, reason = "its drop is the signal")] watch::Sender<()>,
);

impl Flight {
    /// One that takes off at `now`, and is over by itself after `limit`.
    pub(super) fn new(now: Instant, limit: Duration) -> (Self, Landing) {
        let (landing, landed) = watch::channel(());
        // The second is for a busy runtime.
        let lost_at = now.checked_add(limit.saturating_add(Duration::from_secs(1)));
        (Self { landed, lost_at }, Landing(landing))
    }

    pub(super) fn is_in_the_air(&self) -> bool {
        self.landed.has_changed().is_ok()
            && self.lost_at.is_none_or(|lost_at| Instant::now() < lost_at)
    }

    pub(super) async fn wait(mut self) {
        // It tells nothing before it is over.
        let landed = self.landed.changed();
        match self.lost_at {
            Some(lost_at) => drop(timeout_at(lost_at, landed).await),
            None => drop(landed.await),
        }
    }
}

/// Where tokens wait, so that strangers' take up no more than this.
#[derive(Clone, Default)]
pub(super) struct Room(Arc<AtomicUsize>);

/// Of memory, for all who wait at a time.
const BYTES: usize = 16 * 1024 * 1024;
/// What one takes up besides its token: a task and a future or two.
const EACH: usize = 2 * 1024;

/// A place in it, until it is dropped.
pub(super) struct Seat(Room, usize);

impl Room {
    /// A place for a token of this length, which is held as it came, in its parts and in its
    /// claims; none if the room is full.
    pub(super) fn enter(&self, token_bytes: usize) -> Option<Seat> {
        let size = EACH.saturating_add(token_bytes.saturating_mul(3));
        let entered = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            taken.checked_add(size).filter(|taken| *taken <= BYTES)
        });
        entered.is_ok().then(|| Seat(self.clone(), size))
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}
