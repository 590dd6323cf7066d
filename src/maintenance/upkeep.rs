//! Upkeep: a thread that sweeps from time to time, a little at a time, and stops cleanly.
//!
//! While it waits it holds nothing of the store, and while it works nothing that keeps the store
//! open.

use crate::maintenance::figures::stats;
use crate::maintenance::sweep::sweep;
use crate::model::error::{Error, Result};
use crate::model::report::Swept;
use crate::model::time::from_millis;
use crate::observe;
use crate::platform::sync::thread::JoinHandle;
use crate::platform::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak, lock};
use crate::store::core::OnClosing;
use crate::store::lifetime::Works;
use std::time::{Duration, Instant, SystemTime};

/// How the upkeep goes about its work. Made by [`TokenStore::upkeep`](crate::TokenStore::upkeep).
#[must_use = "nothing happens before `start`"]
#[derive(Clone, Debug)]
pub struct UpkeepBuilder {
    works: Weak<Works>,
    interval: Duration,
    budget: usize,
    pause: Duration,
}

/// A thread that sweeps a store from time to time.
///
/// It ends when the store is closed, when this is dropped (without waiting for it), or with
/// [`stop`](Self::stop). It does not keep the store open: dropping the last handle of the store
/// closes it as ever, in the middle of a pass too.
///
/// ```
/// # use std::time::Duration;
/// # use oubliette::*;
/// # let store = TokenStore::in_memory()?;
/// let upkeep = store.upkeep().interval(Duration::from_secs(3600)).start()?;
/// // ... at shutdown:
/// let state = upkeep.stop();
/// assert!(state.last_error.is_none());
/// store.close()?;
/// # Ok::<(), Error>(())
/// ```
#[must_use = "dropping it ends the upkeep"]
pub struct Upkeep {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
    pid: u32,
}

/// What the upkeep has done so far.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct UpkeepState {
    /// Passes that came to the end of all accounts.
    pub passes: u64,
    /// Passes that an error ended.
    pub failures: u64,
    /// What the last whole pass did.
    pub last_swept: Option<Swept>,
    /// When the last whole pass ended, by the store's clock.
    pub last_swept_at: Option<SystemTime>,
    /// Why the last pass failed; `None` if it did not.
    pub last_error: Option<Arc<Error>>,
    /// Whether the thread has ended: because it was told to, or the store is closed.
    pub has_ended: bool,
}

impl UpkeepBuilder {
    pub(crate) fn of(works: &Arc<Works>) -> Self {
        Self {
            works: Arc::downgrade(works),
            interval: Duration::from_secs(3600),
            budget: 64,
            pause: Duration::from_millis(50),
        }
    }

    /// From the beginning of a pass over all accounts to that of the next. One that takes longer is
    /// followed at once. The first begins at the start. Default: an hour.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How many accounts are looked at, at most, before a pause. Default: 64.
    pub fn budget(mut self, accounts: usize) -> Self {
        self.budget = accounts.max(1);
        self
    }

    /// How long the pause is. Default: 50 ms; so with the default budget about 1000 accounts a
    /// second at most.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// [`Error::Io`] if it could not be started; [`Error::Closed`].
    pub fn start(self) -> Result<Upkeep> {
        let works = self.works.upgrade().ok_or(Error::Closed)?;
        let bell = Arc::new(Bell::default());
        works.core.tell_on_closing(Arc::downgrade(&bell));
        drop(works);
        let rung = bell.clone();
        let thread = crate::platform::sync::thread::Builder::new()
            .name("oubliette-upkeep".into())
            .spawn(move || run(&self, &rung));
        let thread = thread.map_err(Error::io("start the upkeep's thread"))?;
        Ok(Upkeep { bell, thread: Some(thread), pid: std::process::id() })
    }
}

impl Upkeep {
    /// What has been done so far.
    #[must_use]
    pub fn state(&self) -> UpkeepState {
        self.bell.lock().state.clone()
    }

    /// Begins a pass at once, or goes on with the one at hand without further pauses, and returns
    /// when it has ended.
    pub fn pass_now(&self) -> UpkeepState {
        let mut ring = self.bell.lock();
        let wanted = ring.begun + u64::from(!ring.is_working);
        ring.hurry = ring.hurry.max(wanted);
        self.bell.changed.notify_all();
        while !ring.state.has_ended && ring.ended < wanted {
            ring = self.bell.wait(ring);
        }
        ring.state.clone()
    }

    /// Stops, waits until the thread has ended, and says what it did. It ends when it has looked at
    /// the accounts that it is at; if it is just compacting the engine's folder, when that is done.
    /// (In async code, which may not wait, drop it.)
    pub fn stop(mut self) -> UpkeepState {
        self.bell.stop();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != crate::platform::sync::thread::current().id()
            && self.pid == std::process::id()
        {
            // Should it have panicked, the hook has told.
            let _ = thread.join();
        }
        self.state()
    }

    /// The thread that does it.
    #[cfg(feature = "test-util")]
    #[doc(hidden)]
    #[must_use]
    pub fn thread_id(&self) -> Option<crate::platform::sync::thread::ThreadId> {
        self.thread.as_ref().map(|thread| thread.thread().id())
    }

    /// Waits until something is so: for tests.
    #[cfg(feature = "test-util")]
    #[doc(hidden)]
    pub fn wait_until(&self, mut is_so: impl FnMut(&UpkeepState, u64) -> bool) {
        let mut ring = self.bell.lock();
        while !is_so(&ring.state, ring.slices) {
            ring = self.bell.wait(ring);
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        // Not waited for: it may be this very thread that drops it, and it touches nothing that is
        // not its own after the slice at hand.
        self.bell.stop();
    }
}

impl std::fmt::Debug for Upkeep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Upkeep").field(&self.state()).finish()
    }
}

/// What the thread waits at.
#[derive(Default)]
pub(crate) struct Bell {
    ring: Mutex<Ring>,
    changed: Condvar,
}

#[derive(Default)]
struct Ring {
    state: UpkeepState,
    is_over: bool,
    is_working: bool,
    begun: u64,
    ended: u64,
    slices: u64,
    /// Up to this pass there are no pauses.
    hurry: u64,
}

impl OnClosing for Weak<Bell> {
    fn is_there(&self) -> bool {
        self.strong_count() > 0
    }

    fn closing(&self) {
        if let Some(bell) = self.upgrade() {
            bell.stop();
        }
    }
}

impl Bell {
    fn stop(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        lock(&self.ring)
    }

    fn wait<'a>(&self, ring: MutexGuard<'a, Ring>) -> MutexGuard<'a, Ring> {
        self.changed.wait(ring).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `end`, if there is one, or until somebody is in a hurry; whether to go on.
    fn pause(&self, end: Option<Instant>, is_hurried: impl Fn(&Ring) -> bool) -> bool {
        let mut ring = self.lock();
        loop {
            if ring.is_over || is_hurried(&ring) {
                return !ring.is_over;
            }
            ring = match end.map(|end| end.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return true,
                Some(left) => {
                    self.changed.wait_timeout(ring, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.wait(ring),
            };
        }
    }

    fn change(&self, change: impl FnOnce(&mut Ring)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

/// The thread.
fn run(how: &UpkeepBuilder, bell: &Bell) {
    /// Whatever ends the thread, nobody waits for it for ever.
    struct Ended<'a>(&'a Bell);
    impl Drop for Ended<'_> {
        fn drop(&mut self) {
            self.0.change(|ring| (ring.state.has_ended, ring.is_working) = (true, false));
        }
    }
    let _ended = Ended(bell);
    loop {
        let next = Instant::now().checked_add(how.interval);
        bell.change(|ring| (ring.begun, ring.is_working) = (ring.begun + 1, true));
        let Some(result) = pass(how, bell) else { return };
        let is_closed = matches!(result, Err(Error::Closed | Error::Forked));
        // A pass that the store's closing ends is nothing to be woken for.
        if !is_closed {
            observe::upkept(result.is_ok());
        }
        bell.change(|ring| {
            (ring.ended, ring.is_working) = (ring.begun, false);
            match result {
                Ok((swept, at)) => {
                    ring.state.passes += 1;
                    (ring.state.last_swept, ring.state.last_swept_at) = (Some(swept), Some(at));
                    ring.state.last_error = None;
                }
                Err(_) if is_closed => {}
                Err(error) => {
                    ring.state.failures += 1;
                    ring.state.last_error = Some(Arc::new(error));
                }
            }
        });
        if is_closed || !bell.pause(next, |ring| ring.hurry > ring.begun) {
            return;
        }
    }
}

/// One pass over all accounts, slice by slice; `None` if it was told to end.
fn pass(how: &UpkeepBuilder, bell: &Bell) -> Option<Result<(Swept, SystemTime)>> {
    let mut all = Swept::default();
    loop {
        if bell.lock().is_over {
            return None;
        }
        // Not the owner: who drops the last handle closes the store, also now.
        let works = how.works.upgrade()?;
        let slice = match sweep(&works, how.budget) {
            Ok(slice) => slice,
            Err(error) => return Some(Err(error)),
        };
        let at = from_millis(works.core.clock.now());
        // The figures fail only if the store has: the next slice says so.
        let _ = stats(&works);
        drop(works);
        bell.change(|ring| ring.slices += 1);
        all.add(slice);
        if slice.finished {
            return Some(Ok((all, at)));
        }
        if !bell.pause(Instant::now().checked_add(how.pause), |ring| ring.hurry >= ring.begun) {
            return None;
        }
    }
}
