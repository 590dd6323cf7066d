//! An instance's way to the place, on which exchanges are delayed, lost or repeated.

use super::{Exchanged, Fate, Flaw, SharedMachine, State, Step};
use crate::backend::exchange::{
    Answer, Ask, Change, Changed, End, Ended, Exchange, ExchangeError, Lease, Seen, Size,
};
#[cfg(all(unix, feature = "sqlite"))]
use crate::backend::operate::Operate;
use crate::clock::trust::Known;
use crate::ledger::Seen as History;
use crate::model::tag::{LeaseTag, TaggedScope};
use crate::model::time::{Millis, to_millis};
use crate::platform::sync::MutexGuard;
use crate::store::access::not_embedded;

/// One instance's connection.
pub(crate) struct Instance {
    pub(super) machine: SharedMachine,
    pub(super) number: usize,
    /// Its own way to a place that is real.
    pub(super) real: Option<Box<dyn Exchange>>,
}

/// A lease that an instance has.
struct HeldLease {
    machine: SharedMachine,
    number: usize,
    name: LeaseTag,
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        let mut state = self.machine.state();
        if state.leases.get(&self.name) == Some(&self.number) {
            state.leases.remove(&self.name);
        }
    }
}

impl Instance {
    fn tell(&self, step: Step, is_done: bool) -> Fate {
        let hook = self.machine.state().hook.clone();
        // The place is free meanwhile: the hook may use it.
        hook.map_or(Fate::Answered, |hook| hook(Exchanged { instance: self.number, step, is_done }))
    }

    fn reach(&self, step: Step) -> Answer<MutexGuard<'_, State>> {
        let mut state = self.machine.state();
        if self.number < state.first_alive {
            return Err(ExchangeError::NotSent);
        }
        if step == Step::Look {
            return Ok(state);
        }
        state.calls += 1;
        match state.calls_left {
            Some(0) => return Err(ExchangeError::NotSent),
            Some(left) => state.calls_left = Some(left - 1),
            None => {}
        }
        Ok(state)
    }

    fn exchange<T>(
        &self,
        step: Step,
        mut effect: impl FnMut(&mut State) -> Answer<T>,
    ) -> Answer<T> {
        let fate = self.tell(step, false);
        if fate == Fate::NotSent {
            return Err(ExchangeError::NotSent);
        }
        let mut answer = effect(&mut *self.reach(step)?);
        if fate == Fate::Repeated {
            answer = effect(&mut *self.reach(step)?);
        }
        if self.tell(step, true) == Fate::Lost || fate == Fate::Lost {
            return Err(ExchangeError::Unknown);
        }
        answer
    }

    /// An exchange with a place that is real, in the same circumstances.
    fn really<T>(
        &self,
        step: Step,
        real: &dyn Exchange,
        mut effect: impl FnMut(&dyn Exchange) -> Answer<T>,
    ) -> Answer<T> {
        let fate = self.tell(step, false);
        if fate == Fate::NotSent {
            return Err(ExchangeError::NotSent);
        }
        let mut once = || {
            let state = self.reach(step)?;
            if step == Step::Change && state.fails_changes {
                return Err(ExchangeError::Unknown);
            }
            if state.is_full && matches!(step, Step::Change | Step::End) {
                return Err(ExchangeError::Full);
            }
            let fails = state.fails_flushes;
            drop(state);
            let answer = effect(real)?;
            if fails && step != Step::Look { Err(ExchangeError::Unknown) } else { Ok(answer) }
        };
        let mut answer = once();
        if fate == Fate::Repeated && answer.is_ok() {
            answer = once();
        }
        if self.tell(step, true) == Fate::Lost || fate == Fate::Lost {
            return Err(ExchangeError::Unknown);
        }
        answer
    }

    /// Makes durable what a change has done. Whatever goes wrong here leaves the outcome unknown.
    fn flush_own(&self, incarnation: u64) -> Answer<()> {
        match self.flush(incarnation) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(ExchangeError::Unknown),
        }
    }
}

impl State {
    /// The place's clock; `None` if it believes the instances.
    fn time(&self) -> Option<Millis> {
        self.clock.as_ref().map(|clock| to_millis(clock.now()))
    }
}

impl Exchange for Instance {
    fn look(&self, ask: &Ask) -> Answer<Seen<'static>> {
        if let Some(real) = &self.real {
            let mut seen = self.really(Step::Look, &**real, |real| real.look(ask))?;
            if let Some(now) = self.machine.state().time() {
                seen.ledger.now = now;
            }
            return Ok(seen);
        }
        self.exchange(Step::Look, |state| {
            let now = state.time().unwrap_or(Millis::MAX);
            Ok(state.place.look(ask, now))
        })
    }

    fn change(&self, change: &Change) -> Answer<Changed> {
        if let Some(real) = &self.real {
            return self.really(Step::Change, &**real, |real| real.change(change));
        }
        let (changed, incarnation) = self.exchange(Step::Change, |state| {
            if state.fails_changes {
                return Err(ExchangeError::Unknown);
            }
            if state.is_full && change.rows.iter().any(|(_, value)| value.is_some()) {
                return Err(ExchangeError::Full);
            }
            Ok((state.place.change(change), state.place.incarnation))
        })?;
        if changed == Changed::Done && change.durability.is_some() {
            self.flush_own(incarnation)?;
        }
        Ok(changed)
    }

    fn glance(&self, ask: &Ask) -> Answer<Option<Seen<'static>>> {
        let Some(real) = &self.real else { return Ok(None) };
        let mut seen = self.really(Step::Look, &**real, |real| real.glance(ask))?;
        if let (Some(seen), Some(now)) = (&mut seen, self.machine.state().time()) {
            seen.ledger.now = now;
        }
        Ok(seen)
    }

    fn change_in_turn(
        &self,
        plan: &mut dyn FnMut(Seen<'_>) -> Option<Change>,
    ) -> Answer<Option<Changed>> {
        let Some(real) = &self.real else { return Ok(None) };
        let mut first = None;
        self.really(Step::Change, &**real, |real| {
            // (No turn comes twice.)
            if let Some(first) = first {
                return Ok(first);
            }
            let changed = real.change_in_turn(&mut |mut seen| {
                if let Some(now) = self.machine.state().time() {
                    seen.ledger.now = now;
                }
                plan(seen)
            })?;
            first = Some(changed);
            Ok(changed)
        })
    }

    fn end(&self, end: &End) -> Answer<Ended> {
        if let Some(real) = &self.real {
            let now = self.machine.state().time().unwrap_or(end.now);
            let end = End { now, ..end.clone() };
            return self.really(Step::End, &**real, |real| real.end(&end));
        }
        let is_early = self.machine.state().place.flaw == Some(Flaw::IndexBefore);
        let found = if is_early {
            Some(self.exchange(Step::Look, |state| Ok(state.place.whole(end)))?)
        } else {
            None
        };
        let (ended, incarnation) = self.exchange(Step::End, |state| {
            if state.is_full {
                return Err(ExchangeError::Full);
            }
            let at = state.time().unwrap_or(end.now);
            let whole = found.clone().unwrap_or_else(|| state.place.whole(end));
            Ok((state.place.end(end, whole, at), state.place.incarnation))
        })?;
        if self.machine.state().place.flaw != Some(Flaw::AnswersEarly) {
            self.flush_own(incarnation)?;
        }
        Ok(ended)
    }

    fn flush(&self, incarnation: u64) -> Answer<bool> {
        if let Some(real) = &self.real {
            return self.really(Step::Flush, &**real, |real| real.flush(incarnation));
        }
        self.exchange(Step::Flush, |state| {
            if state.fails_flushes {
                return Err(ExchangeError::Unknown);
            }
            let is_same = state.place.incarnation == incarnation;
            if is_same {
                state.place.flushed = state.place.now.clone();
            }
            Ok(is_same)
        })
    }

    #[cfg(all(unix, feature = "sqlite"))]
    fn operate(&self) -> Option<&dyn Operate> {
        self.real.as_ref()?.operate()
    }

    fn forget(&self, oldest: Millis) -> Answer<bool> {
        if let Some(real) = &self.real {
            return self.really(Step::Forget, &**real, |real| real.forget(oldest));
        }
        self.exchange(Step::Forget, |state| {
            state.place.forget(oldest);
            Ok(true)
        })
    }

    fn size(&self) -> Answer<Size> {
        let state = self.reach(Step::Look)?;
        match &self.real {
            Some(real) => {
                drop(state);
                real.size()
            }
            None => Ok(state.place.size()),
        }
    }

    fn is_failed(&self) -> bool {
        self.real.as_ref().is_some_and(|real| real.is_failed())
    }

    fn is_near(&self) -> bool {
        self.real.as_ref().is_some_and(|real| real.is_near())
    }

    fn lease(&self, name: &LeaseTag) -> Answer<Option<Lease>> {
        if let Some(real) = &self.real {
            return real.lease(name);
        }
        let (name, mut state) = (*name, self.reach(Step::Look)?);
        let first_alive = state.first_alive;
        if state.leases.get(&name).is_some_and(|holder| *holder >= first_alive) {
            return Ok(None);
        }
        state.leases.insert(name, self.number);
        Ok(Some(Lease::new(HeldLease { machine: self.machine.clone(), number: self.number, name })))
    }

    fn begin(&self, now: Millis) -> Answer<bool> {
        self.real.as_ref().map_or(Ok(false), |real| real.begin(now))
    }

    fn leave_known(&self, known: &Known) -> Answer<()> {
        self.real.as_ref().map_or(Ok(()), |real| real.leave_known(known))
    }

    fn latest_time(&self, shown: Millis) -> Option<Millis> {
        self.real.as_ref().and_then(|real| real.latest_time(shown))
    }

    fn history(&self, wanted: &dyn Fn(&TaggedScope) -> bool) -> Answer<History> {
        match &self.real {
            Some(real) => real.history(wanted),
            None => Err(ExchangeError::Here(Box::new(not_embedded()))),
        }
    }

    fn check_ledger(&self) -> Answer<Option<u64>> {
        self.real.as_ref().map_or(Ok(None), |real| real.check_ledger())
    }
}
