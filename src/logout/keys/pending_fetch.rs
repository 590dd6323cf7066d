//! A fetch that is going on, as seen by the tasks that wait for it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// A fetch that is going on. No path can forget to end it: it is over when its task is gone, for
/// whatever reason (finished, panicked, or dropped with its runtime).
#[derive(Clone)]
pub(super) struct PendingFetch {
    ended: watch::Receiver<()>,
    /// When waiters give up: its runtime may have stopped without dropping the task. `None` if the
    /// clock cannot express that time.
    lost_at: Option<Instant>,
}

/// Held by the task. Dropping it wakes all waiters.
pub(super) struct FetchGuard(
    #[expect(dead_code, reason = "its drop is the signal")] watch::Sender<()>,
);

impl PendingFetch {
    /// A fetch that begins at `now`, and ends by itself after `limit`.
    pub(super) fn new(now: Instant, limit: Duration) -> (Self, FetchGuard) {
        let (guard, ended) = watch::channel(());
        // One second more, for a busy runtime.
        let lost_at = now.checked_add(limit.saturating_add(Duration::from_secs(1)));
        (Self { ended, lost_at }, FetchGuard(guard))
    }

    pub(super) fn is_running(&self) -> bool {
        self.ended.has_changed().is_ok()
            && self.lost_at.is_none_or(|lost_at| Instant::now() < lost_at)
    }

    pub(super) async fn wait(mut self) {
        // Nothing is ever sent: a change means that the sender is gone.
        let ended = self.ended.changed();
        match self.lost_at {
            Some(lost_at) => drop(timeout_at(lost_at, ended).await),
            None => drop(ended.await),
        }
    }
}
