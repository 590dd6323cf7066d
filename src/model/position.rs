//! Places in the ledger, and the openings that they are counted in.

use super::tag::sixteen_bytes;

/// The place of a record in the ledger: strictly rising, never reused. The first is 1.
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
pub(crate) struct Position(u64);

impl Position {
    /// Before every record.
    pub(crate) const ZERO: Self = Self(0);
    /// Behind every record.
    pub(crate) const MAX: Self = Self(u64::MAX);

    #[inline]
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    #[inline]
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) const fn next(self) -> Self {
        self.plus(1)
    }

    #[inline]
    pub(crate) const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The position this many records further.
    #[inline]
    pub(crate) const fn plus(self, records: u64) -> Self {
        Self(self.0.saturating_add(records))
    }

    /// How many records there are from `start` on, this one not counted; 0 if it is before.
    #[inline]
    pub(crate) const fn since(self, start: Self) -> u64 {
        self.0.saturating_sub(start.0)
    }
}

sixteen_bytes! {
    /// The random number of one opening of the ledger.
    #[derive(serde::Serialize, serde::Deserialize)]
    Opening;
}
