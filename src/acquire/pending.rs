//! What waits until another process has ended what only one does at a time. There is nothing to wait
//! for between processes but what that one stores: so it is looked for again and again, by one
//! thread or task of this process for all.

use std::io;
use std::time::{Duration, Instant};

use super::{AcquireError, RefreshFailed, RefreshLeader};
use crate::backend::exchange::Lease;
use crate::model::error::Result as StoreResult;
use crate::model::query::RefreshQuery;
use crate::model::tag::LeaseTag;
use crate::platform::sync::thread;
use crate::store::core::Core;

const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(100);

/// A refresh that begins when it gets its lease. Its leader keeps the key meanwhile: who wants the
/// same waits for this.
pub(super) struct Pending {
    pub(super) leader: RefreshLeader,
    pub(super) redeems: Option<RefreshQuery>,
    pub(super) lease: LeaseTag,
    pauses: Pauses,
}

impl Pending {
    pub(super) fn new(
        leader: RefreshLeader,
        redeems: Option<RefreshQuery>,
        lease: LeaseTag,
        give_up_after: Duration,
    ) -> Self {
        Self { leader, redeems, lease, pauses: Pauses::new(give_up_after) }
    }

    /// How long it waits now; `None` if it has waited for too long.
    pub(super) fn pause(&mut self) -> Option<Duration> {
        self.pauses.next()
    }

    /// The key is free for who has more patience.
    pub(super) fn give_up(self) -> AcquireError {
        taken_elsewhere()
    }
}

/// The lease of this name. Waits for it on this thread.
pub(super) fn wait_for(
    core: &Core,
    lease: &LeaseTag,
    give_up_after: Duration,
) -> Result<Lease, AcquireError> {
    let mut pauses = Pauses::new(give_up_after);
    loop {
        let taken: StoreResult<Option<Lease>> = core.lease(lease);
        match (taken?, pauses.next()) {
            (Some(lease), _) => return Ok(lease),
            (None, Some(pause)) => thread::sleep(pause),
            (None, None) => return Err(taken_elsewhere()),
        }
    }
}

/// Longer and longer, until the time is over.
struct Pauses {
    at_most: Duration,
    began: Instant,
    next: Duration,
}

impl Pauses {
    fn new(at_most: Duration) -> Self {
        Self { at_most, began: Instant::now(), next: FIRST }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let left = self.at_most.checked_sub(self.began.elapsed()).filter(|left| !left.is_zero())?;
        let pause = self.next.min(left);
        self.next = self.next.saturating_mul(2).min(LONGEST);
        Some(pause)
    }
}

fn taken_elsewhere() -> AcquireError {
    let problem = "another process has been refreshing it for longer than give_up_after";
    AcquireError::Refresh(RefreshFailed::new(io::Error::new(io::ErrorKind::TimedOut, problem)))
}
