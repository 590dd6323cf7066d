//! An instance's way to the place, on which exchanges are delayed, lost or repeated.

use super::{Exchanged, Fate, Flaw, SharedMachine, State, Step};
use crate::backend::exchange::{
    Answer, Ask, Change, Changed, End, Ended, Exchange, ExchangeError, Seen, Size,
};
use crate::model::time::{Millis, to_millis};
use crate::platform::sync::MutexGuard;

/// One instance's connection.
pub(crate) struct Instance {
    pub(super) machine: SharedMachine,
    pub(super) number: usize,
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
    fn look(&self, ask: &Ask) -> Answer<Seen> {
        self.exchange(Step::Look, |state| {
            let now = state.time().unwrap_or(Millis::MAX);
            Ok(state.place.look(ask, now))
        })
    }

    fn change(&self, change: &Change) -> Answer<Changed> {
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

    fn end(&self, end: &End) -> Answer<Ended> {
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

    fn forget(&self, oldest: Millis) -> Answer<()> {
        self.exchange(Step::Forget, |state| {
            state.place.forget(oldest);
            Ok(())
        })
    }

    fn size(&self) -> Answer<Size> {
        Ok(self.reach(Step::Look)?.place.size())
    }
}
