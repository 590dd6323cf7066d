//! How far the clock is believed when something is deleted for its age.
//!
//! What was deleted stays deleted, so one sweep by a clock that is a hundred days ahead would sign
//! all users out for good. Reading by such a clock does no lasting harm: what is too old by it is
//! there again when the clock is corrected. So only deletion asks here.
//!
//! A time is *known* when something other than this process's clock vouches for it: it has been at
//! least that time. Known are
//! - what the clock of an earlier opening showed, once that of a later one has shown no less for as
//!   long as the bound (several readings, of two openings; an operator who restarts an app whose
//!   clock is wrong has that long to see it);
//! - the time of a verified ID or logout token, which is the provider's clock;
//! - what an operator says;
//! - any of these, and the time that has passed since then in this process, by a clock that cannot
//!   be set.
//!
//! A clock that shows more than a bound beyond what is known has jumped, or the process was off for
//! that long: these look alike. Deletion then goes by what is known. Nothing that this process's
//! own clock shows makes more known, however often it shows it: else a clock that jumps by a little
//! less than the bound each time would be followed anywhere.
//!
//! A pure state machine: `tests` below go through every history of some steps.

use crate::model::time::{Interval, Millis};

/// What is known in an open store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trust {
    /// It was at least this time, ...
    known: Millis,
    /// ... when so much had passed in this process.
    when: Interval,
    /// What the opening before showed, as long as ours has not shown less; and what had passed when
    /// ours began.
    earlier: Option<(Millis, Interval)>,
    bound: Interval,
}

/// What one opening leaves for the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// The time that was known.
    pub(crate) known: Millis,
    /// What the clock showed then.
    pub(crate) shown: Millis,
}

impl Trust {
    /// What is known in a store of which nothing is remembered.
    pub(crate) fn new(shown: Millis, passed: Interval, bound: Interval) -> Self {
        Self { known: shown, when: passed, earlier: None, bound }
    }

    /// Takes over what the opening before has left.
    pub(crate) fn remember(&mut self, left: Known, passed: Interval) {
        (self.known, self.when) = (left.known, passed);
        self.earlier = Some((left.shown, passed));
    }

    /// Whether two openings agree by now.
    fn look(&mut self, shown: Millis, passed: Interval) {
        let Some((earlier, began)) = self.earlier else { return };
        if shown < earlier {
            self.earlier = None;
        } else if passed.saturating_sub(began) >= self.bound {
            self.earlier = None;
            // It was at least that when ours began.
            let since = earlier.saturating_add(passed.saturating_sub(began));
            if since > self.at(passed) {
                (self.known, self.when) = (since, passed);
            }
        }
    }

    /// Takes in the time that another clock shows. One that is ahead of our clock by more than the
    /// bound says nothing that could be judged.
    pub(crate) fn confirm(&mut self, told: Millis, shown: Millis, passed: Interval) {
        if told > shown.saturating_add(self.bound) {
            return;
        }
        let told = told.min(shown);
        if told > self.at(passed) {
            (self.known, self.when) = (told, passed);
        }
    }

    /// The time that something is deleted by.
    pub(crate) fn for_deletion(&mut self, shown: Millis, passed: Interval) -> Millis {
        if self.held_by(shown, passed).is_some() { self.at(passed) } else { shown }
    }

    /// How far the clock is ahead of what is known, if that is more than the bound.
    pub(crate) fn held_by(&mut self, shown: Millis, passed: Interval) -> Option<Interval> {
        self.look(shown, passed);
        Some(shown.since(self.at(passed))).filter(|ahead| *ahead > self.bound)
    }

    /// What to leave for the next opening.
    pub(crate) fn known(&mut self, shown: Millis, passed: Interval) -> Known {
        self.look(shown, passed);
        Known { known: self.at(passed), shown }
    }

    fn at(&self, passed: Interval) -> Millis {
        self.known.saturating_add(passed.saturating_sub(self.when))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Interval = Interval::new(2);
    const START: Millis = Millis::new(100);

    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// Time goes by.
        Pass,
        /// The clock is set, so far off.
        Set(i64),
        /// The process ends, and another begins a little later.
        Reopen,
        /// A provider says what time it is.
        Told,
    }

    const STEPS: [Step; 7] = [
        Step::Pass,
        Step::Set(0),
        Step::Set(1),
        Step::Set(10),
        Step::Set(-10),
        Step::Reopen,
        Step::Told,
    ];

    /// One history: a real time, a clock beside it, openings one after the other.
    struct World {
        real: Millis,
        offset: i64,
        /// When this process began.
        began: Millis,
        trust: Trust,
        /// What speaks for the time, by hand: a time, and since when.
        evidence: Vec<(Millis, Millis)>,
        /// What the clock of the process before showed in the end, if this one's has not shown
        /// less.
        earlier: Option<Millis>,
    }

    impl World {
        fn new() -> Self {
            let trust = Trust::new(START, Interval::ZERO, BOUND);
            Self {
                real: START,
                offset: 0,
                began: START,
                trust,
                evidence: vec![(START, START)],
                earlier: None,
            }
        }

        fn shown(&self) -> Millis {
            Millis::new(self.real.get().checked_add_signed(self.offset).unwrap())
        }

        fn passed(&self) -> Interval {
            self.real.since(self.began)
        }

        fn step(&mut self, step: Step) {
            match step {
                Step::Pass => self.real = self.real.saturating_add(Interval::new(1)),
                Step::Set(offset) => self.offset = offset,
                Step::Told => {
                    self.trust.confirm(self.real, self.shown(), self.passed());
                    if self.real <= self.shown().saturating_add(BOUND) {
                        self.evidence.push((self.real.min(self.shown()), self.real));
                    }
                }
                Step::Reopen => {
                    let left = self.trust.known(self.shown(), self.passed());
                    let reading = self.shown();
                    // What was known goes on from what it was when it was left; the time in between
                    // is not known.
                    let known = self.known();
                    self.real = self.real.saturating_add(Interval::new(1));
                    self.began = self.real;
                    self.evidence = vec![(known, self.real)];
                    self.earlier = Some(reading);
                    self.trust = Trust::new(self.shown(), Interval::ZERO, BOUND);
                    self.trust.remember(left, Interval::ZERO);
                }
            }
            // It is looked at all the time.
            let (shown, passed) = (self.shown(), self.passed());
            self.earlier = self.earlier.filter(|earlier| *earlier <= shown);
            if let Some(earlier) = self.earlier.filter(|_| passed >= BOUND) {
                self.evidence.push((earlier, self.began));
            }
            self.trust.held_by(shown, passed);
        }

        /// The latest time that anything but this process's own clock speaks for.
        fn known(&self) -> Millis {
            self.evidence
                .iter()
                .map(|(time, since)| time.saturating_add(self.real.since(*since)))
                .max()
                .unwrap()
        }
    }

    /// Goes through every history of up to this many steps, and calls `check` at each.
    fn every_history(steps: usize, check: &mut impl FnMut(&World, &[Step])) {
        fn go(path: &mut Vec<Step>, left: usize, check: &mut impl FnMut(&World, &[Step])) {
            let mut world = World::new();
            path.iter().for_each(|step| world.step(*step));
            check(&world, path);
            if left > 0 {
                for step in STEPS {
                    path.push(step);
                    go(path, left - 1, check);
                    path.pop();
                }
            }
        }
        go(&mut Vec::new(), steps, check);
    }

    #[test]
    fn nothing_is_deleted_by_a_time_that_only_this_clock_speaks_for() {
        let (mut held, mut free) = (0, 0);
        every_history(6, &mut |world, path| {
            let mut trust = world.trust.clone();
            let time = trust.for_deletion(world.shown(), world.passed());
            assert!(
                time <= world.known().saturating_add(BOUND),
                "{path:?}: deleted by {time:?}, known is {:?}",
                world.known()
            );
            // Nor later than the clock shows, which may be behind for good reason.
            assert!(time <= world.shown().max(world.known()), "{path:?}");
            match trust.held_by(world.shown(), world.passed()) {
                Some(ahead) => (held, _) = (held + 1, assert!(ahead > BOUND)),
                None => {
                    (free, _) = (
                        free + 1,
                        assert_eq!(
                            time,
                            world.shown(),
                            "{path:?}: a clock that is believed is gone by"
                        ),
                    )
                }
            }
        });
        assert!(held > 1000 && free > 1000, "{held} held, {free} not");
    }

    /// The clock of one process alone never ends the hold, however long it is wrong; the
    /// right time, which a provider says, ends it at once.
    #[test]
    fn a_jump_holds_until_somebody_else_speaks_for_it() {
        let mut world = World::new();
        world.step(Step::Set(10));
        for _ in 0..50 {
            assert_eq!(world.trust.held_by(world.shown(), world.passed()), Some(Interval::new(10)));
            world.step(Step::Pass);
        }
        world.step(Step::Told);
        assert_eq!(
            world.trust.held_by(world.shown(), world.passed()),
            Some(Interval::new(10)),
            "the provider says that it is earlier"
        );
        world.step(Step::Set(0));
        assert_eq!(world.trust.held_by(world.shown(), world.passed()), None);
        // The process was off for long: the next opening knows no more than this one left, and a
        // login says more.
        world.step(Step::Reopen);
        [world.real, world.began] =
            [world.real, world.began].map(|time| time.saturating_add(Interval::new(1000)));
        world.trust = Trust::new(world.shown(), Interval::ZERO, BOUND);
        world.trust.remember(Known { known: START, shown: START }, Interval::ZERO);
        assert!(world.trust.held_by(world.shown(), world.passed()).is_some());
        world.step(Step::Told);
        assert_eq!(world.trust.held_by(world.shown(), world.passed()), None);
    }

    fn begun(shown: u64, passed: u64) -> Trust {
        Trust::new(Millis::new(shown), Interval::new(passed), BOUND)
    }

    fn known_at(trust: &mut Trust, shown: u64, passed: u64) -> u64 {
        trust.known(Millis::new(shown), Interval::new(passed)).known.get()
    }

    #[test]
    fn two_openings_agree_after_a_while_and_one_that_shows_less_never() {
        let left = Known { known: Millis::new(100), shown: Millis::new(150) };
        for (shown, agrees) in [(150, true), (149, false), (400, true), (90, false)] {
            let mut trust = begun(shown, 7);
            trust.remember(left, Interval::new(7));
            let known: Vec<u64> =
                (0..4).map(|passed| known_at(&mut trust, shown + passed, 7 + passed)).collect();
            assert_eq!(
                known,
                if agrees { [100, 101, 152, 153] } else { [100, 101, 102, 103] },
                "{shown}"
            );
        }
        // Corrected before it was believed, and wrong again.
        let mut trust = begun(150, 0);
        trust.remember(left, Interval::ZERO);
        assert_eq!(
            [(150, 0), (101, 1), (152, 2), (153, 3)]
                .map(|(shown, passed)| known_at(&mut trust, shown, passed)),
            [100, 101, 102, 103]
        );
    }

    #[test]
    fn whoever_is_far_ahead_of_the_clock_says_nothing() {
        let mut trust = begun(100, 0);
        for (told, expected) in [(1000, 120), (123, 120), (122, 120), (90, 120)] {
            trust.confirm(Millis::new(told), Millis::new(110), Interval::new(20));
            assert_eq!(known_at(&mut trust, 110, 20), expected);
        }
        // A jump that a provider confirms only in part stays one.
        let mut trust = begun(100, 0);
        trust.confirm(Millis::new(150), Millis::new(200), Interval::ZERO);
        assert_eq!(known_at(&mut trust, 200, 0), 150);
        assert_eq!(trust.held_by(Millis::new(200), Interval::ZERO), Some(Interval::new(50)));
    }
}
