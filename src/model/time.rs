//! Time as a number: milliseconds, as a point in time and as an interval.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time: milliseconds since the Unix epoch.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
pub(crate) struct Millis(u64);

/// How long something takes or lasts, in milliseconds.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
pub(crate) struct Interval(u64);

impl Millis {
    pub(crate) const EPOCH: Self = Self(0);
    /// After every other time.
    pub(crate) const MAX: Self = Self(u64::MAX);

    #[inline]
    pub(crate) const fn new(since_epoch: u64) -> Self {
        Self(since_epoch)
    }

    /// Milliseconds since the Unix epoch.
    #[inline]
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) const fn saturating_add(self, interval: Interval) -> Self {
        Self(self.0.saturating_add(interval.0))
    }

    #[inline]
    pub(crate) const fn saturating_sub(self, interval: Interval) -> Self {
        Self(self.0.saturating_sub(interval.0))
    }

    /// How much later it is than the other time; zero if it is not later.
    #[inline]
    pub(crate) const fn since(self, earlier: Self) -> Interval {
        Interval(self.0.saturating_sub(earlier.0))
    }

    /// How far the two are apart, whichever is the earlier.
    #[inline]
    pub(crate) const fn abs_diff(self, other: Self) -> Interval {
        Interval(self.0.abs_diff(other.0))
    }
}

impl Interval {
    pub(crate) const ZERO: Self = Self(0);
    pub(crate) const MAX: Self = Self(u64::MAX);

    #[inline]
    pub(crate) const fn new(millis: u64) -> Self {
        Self(millis)
    }

    /// In milliseconds.
    #[inline]
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    #[inline]
    pub(crate) const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    #[inline]
    pub(crate) const fn saturating_mul(self, times: u64) -> Self {
        Self(self.0.saturating_mul(times))
    }

    /// One of this many equal parts of it.
    #[inline]
    pub(crate) const fn part_of(self, parts: u64) -> Self {
        Self(self.0 / parts)
    }
}

impl From<Interval> for Duration {
    fn from(interval: Interval) -> Self {
        Self::from_millis(interval.0)
    }
}

/// Times before the epoch become the epoch, times beyond the range its end.
pub(crate) fn to_millis(time: SystemTime) -> Millis {
    Millis(time.duration_since(UNIX_EPOCH).map_or(0, |since| millis(since).0))
}

pub(crate) fn millis(duration: Duration) -> Interval {
    Interval(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// The time `millis` after the epoch; what the system cannot express becomes the epoch.
pub(crate) fn from_millis(millis: Millis) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis.0)).unwrap_or(UNIX_EPOCH)
}
