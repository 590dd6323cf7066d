//! Upkeep: a thread that sweeps from time to time, a little at a time, and stops cleanly.
//!
//! While it waits it holds nothing of the store. While it works it holds nothing that keeps the
//! store open.

use crate::maintenance::figures::stats;
use crate::maintenance::sweep::sweep;
use crate::model::error::{Error, Result};
use crate::model::report::SweepReport;
use crate::model::time::from_millis;
use crate::observe;
use crate::platform::sync::thread::JoinHandle;
use crate::platform::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak, lock};
use crate::store::core::OnClosing;
use crate::store::lifetime::Works;
use std::time::{Duration, Instant, SystemTime};

/// The settings of the upkeep. Made by [`TokenStore::upkeep`](crate::TokenStore::upkeep).
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
/// closes it, in the middle of a pass too.
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
    notifier: Arc<Notifier>,
    thread: Option<JoinHandle<()>>,
    pid: u32,
}

/// The work of an upkeep so far.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct UpkeepState {
    /// Passes that covered all accounts.
    pub passes: u64,
    /// Passes that an error ended.
    pub failures: u64,
    /// What the last whole pass did.
    pub last_swept: Option<SweepReport>,
    /// When the last whole pass ended, by the store's clock.
    pub last_swept_at: Option<SystemTime>,
    /// Why the last pass failed; `None` if it did not.
    pub last_error: Option<Arc<Error>>,
    /// Whether the thread has ended: because it was stopped, or the store is closed.
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

    /// The time from the beginning of a pass over all accounts to the beginning of the next. After
    /// a pass that takes longer, the next begins at once. The first begins when the thread starts.
    /// Default: an hour.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// The most accounts that are swept between two pauses. Default: 64.
    pub fn budget(mut self, accounts: usize) -> Self {
        self.budget = accounts.max(1);
        self
    }

    /// The length of the pause. Default: 50 ms, so that with the default budget at most about 1000
    /// accounts a second are swept.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// [`Error::Io`] if the thread could not be started; [`Error::Closed`] if the store is closed.
    pub fn start(self) -> Result<Upkeep> {
        let works = self.works.upgrade().ok_or(Error::Closed)?;
        let notifier = Arc::new(Notifier::default());
        works.core.tell_on_closing(Arc::downgrade(&notifier));
        drop(works);
        let shared = notifier.clone();
        let thread = crate::platform::sync::thread::Builder::new()
            .name("oubliette-upkeep".into())
            .spawn(move || run(&self, &shared));
        let thread = thread.map_err(Error::io("start the upkeep's thread"))?;
        Ok(Upkeep { notifier, thread: Some(thread), pid: std::process::id() })
    }
}

impl Upkeep {
    /// The work so far.
    #[must_use]
    pub fn state(&self) -> UpkeepState {
        self.notifier.lock().progress.clone()
    }

    /// Begins a pass at once, or continues the current one without further pauses, and returns when
    /// it has ended.
    pub fn pass_now(&self) -> UpkeepState {
        let mut state = self.notifier.lock();
        let wanted = state.begun + u64::from(!state.is_working);
        state.no_pauses_until = state.no_pauses_until.max(wanted);
        self.notifier.changed.notify_all();
        while !state.progress.has_ended && state.ended < wanted {
            state = self.notifier.wait(state);
        }
        state.progress.clone()
    }

    /// Stops the thread, waits until it has ended, and returns what it did. It ends after the
    /// accounts that it is sweeping; if it is compacting the engine's folder, after that. (In async
    /// code, which may not wait, drop the upkeep instead.)
    pub fn stop(mut self) -> UpkeepState {
        self.notifier.stop();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != crate::platform::sync::thread::current().id()
            && self.pid == std::process::id()
        {
            // If it panicked, the panic hook has reported it.
            let _ = thread.join();
        }
        self.state()
    }

    /// The id of the thread.
    #[cfg(feature = "test-util")]
    #[doc(hidden)]
    #[must_use]
    pub fn thread_id(&self) -> Option<crate::platform::sync::thread::ThreadId> {
        self.thread.as_ref().map(|thread| thread.thread().id())
    }

    /// Waits for a condition on the state and the number of slices: for tests.
    #[cfg(feature = "test-util")]
    #[doc(hidden)]
    pub fn wait_until(&self, mut is_so: impl FnMut(&UpkeepState, u64) -> bool) {
        let mut state = self.notifier.lock();
        while !is_so(&state.progress, state.slices) {
            state = self.notifier.wait(state);
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        // This does not wait, as the upkeep's own thread may drop it. After its current slice, that
        // thread touches nothing but its own data.
        self.notifier.stop();
    }
}

impl std::fmt::Debug for Upkeep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Upkeep").field(&self.state()).finish()
    }
}

/// Wakes the thread, and the callers that wait for it.
#[derive(Default)]
pub(crate) struct Notifier {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    progress: UpkeepState,
    is_stopping: bool,
    is_working: bool,
    /// How many passes have begun, and how many have ended.
    begun: u64,
    ended: u64,
    slices: u64,
    /// Passes up to this one have no pauses.
    no_pauses_until: u64,
}

impl OnClosing for Weak<Notifier> {
    fn is_there(&self) -> bool {
        self.strong_count() > 0
    }

    fn closing(&self) {
        if let Some(notifier) = self.upgrade() {
            notifier.stop();
        }
    }
}

impl Notifier {
    fn stop(&self) {
        self.lock().is_stopping = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `end`, if there is one, or until the work is urgent. Returns whether to go on.
    fn pause(&self, end: Option<Instant>, is_urgent: impl Fn(&State) -> bool) -> bool {
        let mut state = self.lock();
        loop {
            if state.is_stopping || is_urgent(&state) {
                return !state.is_stopping;
            }
            state = match end.map(|end| end.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return true,
                Some(left) => {
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.wait(state),
            };
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

/// The work of the thread: passes, and the time between them.
fn run(settings: &UpkeepBuilder, notifier: &Notifier) {
    /// However the thread ends, the callers that wait for it are woken.
    struct Ended<'a>(&'a Notifier);
    impl Drop for Ended<'_> {
        fn drop(&mut self) {
            self.0.change(|state| (state.progress.has_ended, state.is_working) = (true, false));
        }
    }
    let _ended = Ended(notifier);
    loop {
        let next = Instant::now().checked_add(settings.interval);
        notifier.change(|state| (state.begun, state.is_working) = (state.begun + 1, true));
        let Some(result) = pass(settings, notifier) else { return };
        let is_closed = matches!(result, Err(Error::Closed | Error::Forked));
        // A pass that ends because the store is closed is not reported to operators: it is neither
        // a success nor a failure.
        if !is_closed {
            observe::upkept(result.is_ok());
        }
        notifier.change(|state| {
            (state.ended, state.is_working) = (state.begun, false);
            match result {
                Ok((swept, at)) => {
                    state.progress.passes += 1;
                    (state.progress.last_swept, state.progress.last_swept_at) =
                        (Some(swept), Some(at));
                    state.progress.last_error = None;
                }
                Err(_) if is_closed => {}
                Err(error) => {
                    state.progress.failures += 1;
                    state.progress.last_error = Some(Arc::new(error));
                }
            }
        });
        if is_closed || !notifier.pause(next, |state| state.no_pauses_until > state.begun) {
            return;
        }
    }
}

/// One pass over all accounts, slice by slice; `None` if the thread is to end.
fn pass(
    settings: &UpkeepBuilder,
    notifier: &Notifier,
) -> Option<Result<(SweepReport, SystemTime)>> {
    let mut all = SweepReport::default();
    loop {
        if notifier.lock().is_stopping {
            return None;
        }
        // This reference does not keep the store open: dropping the last handle closes it, also
        // during a pass.
        let works = settings.works.upgrade()?;
        let slice = match sweep(&works, settings.budget) {
            Ok(slice) => slice,
            Err(error) => return Some(Err(error)),
        };
        let at = from_millis(works.core.clock.now());
        // The figures fail only if the store has failed, and then the next slice fails too.
        let _ = stats(&works);
        drop(works);
        notifier.change(|state| state.slices += 1);
        all.add(slice);
        if slice.finished {
            return Some(Ok((all, at)));
        }
        if !notifier.pause(Instant::now().checked_add(settings.pause), |state| {
            state.no_pauses_until >= state.begun
        }) {
            return None;
        }
    }
}
