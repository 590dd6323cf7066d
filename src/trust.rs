//! How far the clock is believed when something is deleted for its age.
//!
//! What was deleted stays deleted, so one sweep by a clock that is a hundred days ahead would sign everybody out for good. Reading by such
//! a clock harms nobody for long: what is too old by it is there again when the clock is corrected. So only deletion asks here.
//!
//! A time is *known* when somebody else than this process's clock speaks for it: it has been at least that time. Known are
//! - what the clock of an earlier opening showed, once that of a later one shows no less (several readings, of two openings);
//! - the time of a verified ID or logout token, which is the provider's clock;
//! - what an operator says;
//! - any of these, and the time that has passed since then in this process, by a clock that nobody sets.
//!
//! A clock that shows more than a bound beyond what is known has jumped, or the process was off for that long: these look alike. Deletion
//! then goes by what is known. Nothing that this process's own clock shows makes more known, however often it shows it: else a clock that
//! jumps by a little less than the bound each time would be followed anywhere.
//!
//! A pure state machine: `tests` below go through every history of some steps.

use crate::clock::Millis;

/// What is known in an open store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trust {
    /// It was at least this time ...
    known: Millis,
    /// ... when so much had passed in this process.
    when: Millis,
    bound: Millis,
}

/// What one opening leaves for the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The time that was known.
    pub(crate) known: Millis,
    /// What the clock showed then.
    pub(crate) shown: Millis,
}

impl Trust {
    /// Of a store that nothing is remembered of.
    pub(crate) fn new(shown: Millis, passed: Millis, bound: Millis) -> Self {
        Self { known: shown, when: passed, bound }
    }

    /// Takes over what the opening before has left. What its clock showed counts if ours shows no less.
    pub(crate) fn remember(&mut self, left: Known, shown: Millis, passed: Millis) {
        let agreed = if left.shown <= shown { left.shown } else { 0 };
        (self.known, self.when) = (left.known.max(agreed), passed);
    }

    /// Somebody else says that it was this time. Whoever is ahead of our clock by more than the bound says nothing that could be judged.
    pub(crate) fn confirm(&mut self, told: Millis, shown: Millis, passed: Millis) {
        if told > shown.saturating_add(self.bound) {
            return;
        }
        let told = told.min(shown);
        if told > self.at(passed) {
            (self.known, self.when) = (told, passed);
        }
    }

    /// The time that something is deleted by.
    pub(crate) fn for_deletion(&self, shown: Millis, passed: Millis) -> Millis {
        if self.held_by(shown, passed).is_some() { self.at(passed) } else { shown }
    }

    /// How far the clock is ahead of what is known, if that is more than the bound.
    pub(crate) fn held_by(&self, shown: Millis, passed: Millis) -> Option<Millis> {
        shown.checked_sub(self.at(passed)).filter(|ahead| *ahead > self.bound)
    }

    /// What to leave for the next opening.
    pub(crate) fn known(&self, shown: Millis, passed: Millis) -> Known {
        Known { known: self.at(passed), shown }
    }

    fn at(&self, passed: Millis) -> Millis {
        self.known.saturating_add(passed.saturating_sub(self.when))
    }
}
