//! The fences of one scope.

use super::{Fence, Life, NO_CUTOFF};
use crate::model::position::Position;
use crate::model::time::Millis;

/// The fences of one scope that are not [hidden](Fence::hides) by a newer one; positions rise.
///
/// A sign-out without a cutoff hides all before it; so does one by a signal that came in time,
/// whose cutoff lies behind its own time for what the clocks may differ by. Older ones stay only
/// behind signals that came late.
#[derive(Clone, Debug)]
pub(super) struct Frontier {
    fences: Vec<Fence>,
    /// The one with the latest time of all, hidden ones included: clocks may have gone back between
    /// two of them.
    latest: Fence,
}

impl Frontier {
    pub(super) fn of(fence: Fence) -> Self {
        Self { fences: vec![fence], latest: fence }
    }

    pub(super) fn add(&mut self, fence: Fence) {
        self.fences.retain(|older| !fence.hides(older));
        if self.latest.time <= fence.time {
            self.latest = fence;
        }
        self.fences.push(fence);
    }

    /// Without those up to `floor`; `None` if none is left.
    pub(super) fn above(mut self, floor: Position) -> Option<Self> {
        self.fences.retain(|fence| fence.position > floor);
        if self.latest.position <= floor {
            self.latest = *self.fences.iter().max_by_key(|fence| fence.time)?;
        }
        (!self.fences.is_empty()).then_some(self)
    }

    /// The only fence, if one says all.
    pub(super) fn single(&self) -> Option<Fence> {
        match self.fences.as_slice() {
            [only] if *only == self.latest => Some(*only),
            _ => None,
        }
    }

    pub(super) fn view(&self) -> View<'_> {
        View { floor: None, fences: &self.fences, latest: Some(self.latest) }
    }
}

/// What stands in one scope.
#[derive(Clone, Copy, Default)]
pub(super) struct View<'a> {
    /// The fence of everybody that stands for all that was dropped for its age.
    pub(super) floor: Option<Fence>,
    pub(super) fences: &'a [Fence],
    pub(super) latest: Option<Fence>,
}

impl<'a> View<'a> {
    /// Of a scope with one fence.
    pub(super) fn single(fence: &'a Fence) -> Self {
        Self { floor: None, fences: std::slice::from_ref(fence), latest: Some(*fence) }
    }

    /// A copy.
    pub(super) fn to_frontier(self) -> Option<Frontier> {
        Some(Frontier { fences: self.fences.to_vec(), latest: self.latest? })
    }

    /// Those that must be kept.
    pub(super) fn all(self) -> impl Iterator<Item = Fence> + 'a {
        let hidden = self.latest.filter(|latest| !self.fences.contains(latest));
        self.floor.into_iter().chain(hidden).chain(self.fences.iter().copied())
    }

    /// The newest.
    pub(super) fn last(self) -> Option<Fence> {
        self.fences.last().copied().or(self.floor)
    }

    /// The highest position, up to `end`, of one that covers the sign-in.
    pub(super) fn covering(self, life: &Life, end: Position) -> Option<Position> {
        let covers = |f: &Fence| f.position <= end && f.position > life.as_of && f.takes(life.time);
        self.fences.iter().copied().rev().chain(self.floor).find(covers).map(|fence| fence.position)
    }

    /// Whether a sign-out that came at this time or later covers a sign-in of that time, at any
    /// as-of.
    pub(super) fn is_covered_since(self, time: Millis) -> bool {
        let latest = self.latest.into_iter().chain(self.floor).any(|fence| fence.time >= time);
        latest && self.fences.iter().copied().chain(self.floor).any(|fence| time <= fence.cutoff)
    }

    /// The time up to which sign-ins have ended by what was signalled from elsewhere, if that
    /// covers one of this time.
    pub(super) fn told_until(self, time: Millis) -> Option<Millis> {
        let told =
            self.fences.iter().map(|fence| fence.cutoff).filter(|cutoff| *cutoff != NO_CUTOFF);
        told.filter(|cutoff| time <= *cutoff).max()
    }
}
