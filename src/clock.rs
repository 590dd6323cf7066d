//! Time as the store sees it: milliseconds since the Unix epoch, never running backwards inside a process.
//!
//! Order decides sign-outs; the clock decides only expiry, the age of sign-ins, and explicit cutoffs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sync::atomic::{AtomicU64, Ordering};

/// Milliseconds since the Unix epoch.
pub(crate) type Millis = u64;

/// Where the store gets the time from.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> SystemTime;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A clock for tests, which moves only when told to. Clones share the time.
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
pub struct ManualClock(crate::sync::Arc<AtomicU64>);

#[cfg(feature = "test-util")]
impl ManualClock {
    /// A clock that shows this time, to the millisecond.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        Self(crate::sync::Arc::new(AtomicU64::new(to_millis(now))))
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Sets the clock, backwards too: the store then goes on from the latest time that it has seen.
    pub fn set(&self, now: SystemTime) {
        self.0.store(to_millis(now), Ordering::Relaxed);
    }
}

#[cfg(feature = "test-util")]
impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// A clock that does not go back.
pub(crate) struct Monotone {
    clock: Box<dyn Clock>,
    latest: AtomicU64,
}

impl Monotone {
    pub(crate) fn new(clock: Box<dyn Clock>) -> Self {
        Self { clock, latest: AtomicU64::new(0) }
    }

    pub(crate) fn now(&self) -> Millis {
        let now = to_millis(self.clock.now());
        self.latest.fetch_max(now, Ordering::Relaxed).max(now)
    }

    /// What the clock shows, also if it went back.
    pub(crate) fn shows(&self) -> SystemTime {
        self.clock.now()
    }
}

impl std::fmt::Debug for Monotone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Monotone({})", self.latest.load(Ordering::Relaxed))
    }
}

/// Times before the epoch become the epoch, times beyond the range its end.
pub(crate) fn to_millis(time: SystemTime) -> Millis {
    time.duration_since(UNIX_EPOCH).map_or(0, millis)
}

pub(crate) fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The time `millis` after the epoch; what the system cannot express becomes the epoch.
pub(crate) fn from_millis(millis: Millis) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH)
}
