//! Time as the store sees it: milliseconds since the Unix epoch, as the clock shows them, and time
//! that only passes.
//!
//! Order decides sign-outs; the clock decides only expiry, the age of sign-ins, and explicit
//! cutoffs. A clock can be wrong in either direction, and be corrected: `lasting.rs` says what that
//! does to tokens, and `trust.rs` what it does to deletion by age.

pub(crate) mod lasting;
pub(crate) mod trust;

use crate::clock::trust::{Known, Trust};
#[cfg(feature = "test-util")]
use crate::model::time::from_millis;
use crate::model::time::{Interval, Millis, millis, to_millis};
use crate::observe;
#[cfg(feature = "test-util")]
use crate::platform::sync::atomic::AtomicU64;
use crate::platform::sync::atomic::{AtomicBool, Ordering};
use crate::platform::sync::{Mutex, MutexGuard, PoisonError};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

/// How far the clock has to move on before that is written down.
const WORTH_A_ROW: Interval = Interval::new(10 * 60 * 1000);

/// Where the store gets the time from.
pub trait Clock: Send + Sync + 'static {
    /// The time now. It may be wrong, and be corrected.
    fn now(&self) -> SystemTime;

    /// The time that has passed since some moment in the life of this process: it cannot be set,
    /// and it never goes back. By default it is what the system's monotonic clock ([`Instant`])
    /// says. A clock for tests that moves [`now`](Self::now) as time goes by moves this one
    /// likewise; where `now` moves alone, the clock has been set.
    fn elapsed(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A clock for tests, which moves only when it is told to. Clones share the time.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use oubliette::{Clock, ManualClock};
/// let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(60));
/// ```
#[cfg(feature = "test-util")]
#[derive(Clone, Debug)]
pub struct ManualClock(crate::platform::sync::Arc<Hands>);

#[cfg(feature = "test-util")]
#[derive(Debug)]
struct Hands {
    now: AtomicU64,
    elapsed: AtomicU64,
}

#[cfg(feature = "test-util")]
impl ManualClock {
    /// A clock that shows this time, to the millisecond.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        Self(crate::platform::sync::Arc::new(Hands {
            now: to_millis(now).get().into(),
            elapsed: 0.into(),
        }))
    }

    /// Time goes by.
    pub fn advance(&self, by: Duration) {
        self.0.elapsed.fetch_add(millis(by).get(), Ordering::Relaxed);
        self.0.now.fetch_add(millis(by).get(), Ordering::Relaxed);
    }

    /// Sets the clock, forwards or backwards, as an operator who corrects it: no time goes by.
    pub fn set(&self, now: SystemTime) {
        self.0.now.store(to_millis(now).get(), Ordering::Relaxed);
    }
}

#[cfg(feature = "test-util")]
impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        from_millis(Millis::new(self.0.now.load(Ordering::Relaxed)))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.0.elapsed.load(Ordering::Relaxed))
    }
}

/// The clock of an open store.
pub(crate) struct StoreClock {
    clock: Box<dyn Clock>,
    /// Names this process's time that passes: rows say beside which they were written.
    run: u64,
    trust: Mutex<Trust>,
    /// Whether the last look found that the clock has jumped: each jump is reported once.
    was_held: AtomicBool,
    /// What was last left for later openings.
    left: Mutex<Known>,
}

/// A moment by both kinds of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// What the clock shows.
    pub(crate) shown: Millis,
    /// What has passed in `run`.
    pub(crate) passed: Interval,
    pub(crate) run: u64,
}

impl StoreClock {
    /// `bound`: by how much the clock may jump before it is believed.
    pub(crate) fn new(clock: Box<dyn Clock>, run: u64, bound: Duration) -> Self {
        let (shown, passed) = (to_millis(clock.now()), millis(clock.elapsed()));
        let trust = Mutex::new(Trust::new(shown, passed, millis(bound)));
        Self { clock, run, trust, was_held: AtomicBool::new(false), left: Mutex::default() }
    }

    /// What the clock shows.
    pub(crate) fn now(&self) -> Millis {
        to_millis(self.clock.now())
    }

    /// What has passed in this process, since a moment of no meaning.
    pub(crate) fn passed(&self) -> Interval {
        millis(self.clock.elapsed())
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment { shown: self.now(), passed: self.passed(), run: self.run }
    }

    /// The time by which a caller that deletes what is too old judges age: what the clock shows, or
    /// if it has jumped, an earlier one.
    pub(crate) fn for_deletion(&self) -> Millis {
        let (shown, passed) = (self.now(), self.passed());
        let mut trust = self.trust();
        let held = trust.held_by(shown, passed);
        let time = trust.for_deletion(shown, passed);
        drop(trust);
        if self.was_held.swap(held.is_some(), Ordering::Relaxed) != held.is_some() {
            observe::clock_held(held.map(Duration::from));
        }
        time
    }

    /// By how much the clock is ahead of what is known, if that is so much that nothing is deleted
    /// for its age.
    pub(crate) fn held_by(&self) -> Option<Duration> {
        let held = self.trust().held_by(self.now(), self.passed());
        held.map(Duration::from)
    }

    /// Notes that another clock, which can be believed, has said that it was this time at least.
    pub(crate) fn confirm(&self, told: Millis) {
        let (shown, passed) = (self.now(), self.passed());
        self.trust().confirm(told, shown, passed);
    }

    /// Notes that the clock is right, as an operator says.
    pub(crate) fn confirm_shown(&self) {
        let (shown, passed) = (self.now(), self.passed());
        self.trust().confirm(shown, shown, passed);
    }

    /// Takes over what earlier openings have left.
    pub(crate) fn remember(&self, known: Known) {
        let passed = self.passed();
        self.trust().remember(known, passed);
        self.is_left(&known);
    }

    /// What is to be left for later openings.
    pub(crate) fn known(&self) -> Known {
        let (shown, passed) = (self.now(), self.passed());
        self.trust().known(shown, passed)
    }

    /// As [`known`](Self::known), if the clock has moved on by so much that it is worth a row.
    pub(crate) fn known_anew(&self) -> Option<Known> {
        let known = self.known();
        let left = *self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let has_moved = |from: Millis, to: Millis| from.abs_diff(to) >= WORTH_A_ROW;
        (has_moved(left.shown, known.shown) || has_moved(left.known, known.known)).then_some(known)
    }

    /// Notes what has been left.
    pub(crate) fn is_left(&self, known: &Known) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = *known;
    }

    fn trust(&self) -> MutexGuard<'_, Trust> {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for StoreClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoreClock({})", self.now().get())
    }
}
