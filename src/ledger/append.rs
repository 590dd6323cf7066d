//! Group commit: fences stand in memory, and their records go to the disk together.
//!
//! A call lets its fences stand and queues their records (`stand`), then waits until they are on
//! the disk (`wait`). The first thread that waits while no other writes becomes the leader
//! (`lead`): it writes and syncs what is pending, for all threads that wait (`write_group`). The
//! others find their records synced when it is done, or one of them leads the next group.

use std::io;

use super::format::{MAX_GROUP, Record, Slot, What};
use super::{Ledger, Pending, State, offset, seal_of};
use crate::model::error::{Component, Error, Result};
use crate::model::position::Position;
use crate::model::tag::TaggedScope;
use crate::model::time::Millis;
use crate::observe;
use crate::platform::sync::atomic::Ordering;
use crate::platform::sync::{MutexGuard, PoisonError};
use crate::rule::{Before, Fence};

/// The most sign-outs that one call may record.
pub(crate) const MAX_CALL: usize = MAX_GROUP;

/// Where a call's records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The last of them: when it is durable, all are.
    pub(crate) last: Position,
}

impl Ledger {
    /// As [`Ledger::stand_watched`], for a caller that does not ask what stood before.
    #[cfg(all(any(test, fuzzing), feature = "test-util"))]
    pub(crate) fn stand(
        &self,
        scopes: &[TaggedScope],
        cutoff: Millis,
        time: Millis,
    ) -> Result<Span> {
        self.stand_watched(scopes, cutoff, time, false).map(|(span, _)| span)
    }

    /// Lets a fence of each scope stand, all at once for every reader. They are durable when
    /// [`Ledger::wait`] has returned `Ok`. Gives what stood in these scopes before, if that is
    /// wanted.
    ///
    /// # Errors
    /// `Full` if there is no room and none can be made; `Poisoned` after an earlier failure. Then
    /// nothing stands.
    ///
    /// `InvalidInput` if there are more than [`MAX_CALL`] scopes.
    pub(crate) fn stand_watched(
        &self,
        scopes: &[TaggedScope],
        cutoff: Millis,
        time: Millis,
        watched: bool,
    ) -> Result<(Span, Before)> {
        if scopes.is_empty() || scopes.len() > MAX_CALL {
            return Err(Error::invalid("sign-out", "it has too many accounts for one call"));
        }
        let sign_outs: Vec<What> =
            scopes.iter().map(|scope| What::SignOut(*scope, cutoff)).collect();
        self.enqueue(&sign_outs, if watched { scopes } else { &[] }, time)
    }

    /// Records this opening, if nothing has been appended yet: before the first as-of is taken. (A
    /// process that only reads costs no space, however often it is started on a full disk.)
    ///
    /// # Errors
    /// As [`Ledger::stand_watched`] and [`Ledger::wait`].
    pub(crate) fn begin(&self, now: Millis) -> Result<()> {
        let begun = self.lock().begun;
        match begun {
            Some(position) => self.wait(position),
            None => self.wait(self.enqueue(&[], &[], now)?.0.last),
        }
    }

    /// Returns when the record at `position` is on the disk. The thread that waits may be the one
    /// that writes for all.
    ///
    /// # Errors
    /// `Indeterminate` if writing or syncing failed: the fences stand, but only in this process.
    pub(crate) fn wait(&self, position: Position) -> Result<()> {
        let mut state = self.lock();
        loop {
            if self.synced() >= position {
                return Ok(());
            }
            if let Some(kind) = state.failed {
                return Err(Error::Indeterminate(kind.into()));
            }
            state = if state.busy {
                self.wait_changed(state)
            } else {
                self.lead(state, Self::write_group)
            };
        }
    }

    /// Returns when every record that stands now is on the disk.
    ///
    /// # Errors
    /// As [`Ledger::wait`].
    pub(crate) fn settle(&self) -> Result<()> {
        let end = self.lock().end;
        self.wait(end)
    }

    /// Puts the call behind what is pending; and before the first one this opening, so that no
    /// as-of of an earlier opening can lie among the positions that are given out from now on.
    /// Gives what stood in the `watched` scopes before, too.
    fn enqueue(
        &self,
        call: &[What],
        watched: &[TaggedScope],
        time: Millis,
    ) -> Result<(Span, Before)> {
        // A call has at most `MAX_CALL` records.
        let call_size = u16::try_from(call.len()).unwrap_or(u16::MAX);
        let mut state = self.lock_with_room(call_size)?;
        let is_first = state.begun.is_none();
        let mut fences = self.fences.write().unwrap_or_else(PoisonError::into_inner);
        let before = fences.before(watched, state.end.next());

        // The fences stand before the records are written, and all of them at once for every
        // reader: this thread has the fences to itself.
        let mut append = |in_call, call_size, what| {
            state.end = state.end.next();
            let position = state.end;
            match what {
                What::SignOut(scope, cutoff) => {
                    fences.stand(scope, Fence { position, cutoff, time })
                }
                What::Opened(opening) => {
                    fences.open(position, opening, time);
                    state.begun = Some(position);
                }
                What::Void | What::Moved => {}
            }
            state.pending.push(Pending { in_call, call_size, position, time, what });
        };
        if is_first {
            append(0, 1, What::Opened(self.opening));
        }
        (0u16..).zip(call).for_each(|(in_call, what)| append(in_call, call_size, *what));
        Ok((Span { last: state.end }, before))
    }

    /// The state, with free slots for a call of this size, and for this opening if it is not
    /// recorded yet. If there are too few, this thread adds them, or waits for the one that is
    /// writing.
    fn lock_with_room(&self, call_size: u16) -> Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        let needed = |state: &State| u64::from(call_size) + u64::from(state.begun.is_none());
        while state.failed.is_none() && state.free() < needed(&state) {
            if state.busy {
                state = self.wait_changed(state);
            } else {
                let wanted = needed(&state);
                state = self.lead(state, |ledger, state| ledger.grow(state, wanted));
                if state.failed.is_none() && state.free() < needed(&state) {
                    return Err(Error::Full(Component::Ledger));
                }
            }
        }
        if state.failed.is_some() {
            return Err(Error::Poisoned(Component::Ledger));
        }
        Ok(state)
    }

    /// Runs `work` as the only thread that touches the file, then makes room for the reserve. The
    /// work may unlock the state meanwhile.
    pub(super) fn lead<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        work: impl FnOnce(&'a Self, MutexGuard<'a, State>) -> MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        state.busy = true;
        // Should the work panic, no thread may wait for ever, and none may trust the file.
        let guard = Leader { ledger: self };
        let mut state = work(self, state);
        std::mem::forget(guard);
        state.busy = false;
        self.changed.notify_all();
        state
    }

    /// Writes and syncs up to one group of what is pending, wakes the threads that wait for it,
    /// then tops up the reserve.
    fn write_group<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let group = state.take_group();
        let Some((first, last)) =
            group.first().zip(group.last()).map(|(f, l)| (f.position, l.position))
        else {
            return state;
        };
        let (file, key, header) = (state.file.clone(), state.key.clone(), state.header.clone());
        drop(state);

        // Other calls let their fences stand, and queue behind this group, while it is written.
        let seal = seal_of(&key, &header);
        let place = u64::from(header.kept) + first.since(header.tail);
        let records: Vec<Record> =
            (0u16..).zip(&group).map(|(in_group, pending)| pending.record(in_group)).collect();
        let bytes: Vec<u8> = (place..)
            .zip(&records)
            .flat_map(|(place, record)| seal.encode(place, Slot::Record(*record)))
            .collect();
        let sign_outs =
            group.iter().filter(|p| p.in_call == 0 && matches!(p.what, What::SignOut(..))).count();
        let watch = observe::watch();
        let written = file.write_at(offset(place), &bytes).and_then(|()| file.sync());

        let mut state = self.lock();
        match written {
            Ok(()) => {
                state.groups += 1;
                self.synced.store(last.get(), Ordering::Release);
                if let Some(copied) = &mut state.copied {
                    copied.extend(records);
                }
                observe::synced(sign_outs, watch, offset(state.slots), state.free());
            }
            // Nothing is tried again: after a failed sync the system may call lost pages clean.
            Err(error) => self.fail(&mut state, error.kind()),
        }
        self.changed.notify_all();
        self.grow(state, self.growth.reserve)
    }
}

impl State {
    /// Takes up to one group from the front of what is pending. No call is in two groups.
    fn take_group(&mut self) -> Vec<Pending> {
        let mut size = self.pending.len().min(MAX_GROUP);
        while self.pending.get(size).is_some_and(|next| next.in_call != 0) {
            size -= 1;
        }
        self.pending.drain(..size).collect()
    }
}

impl Pending {
    /// As it stands in the file, at this place of its group.
    fn record(&self, in_group: u16) -> Record {
        let Self { in_call, call_size, position, time, what } = *self;
        Record { in_group, in_call, call_size, position, time, what }
    }
}

/// Makes the ledger refuse all further work, if it is dropped: the work of the thread that led
/// panicked.
struct Leader<'a> {
    ledger: &'a Ledger,
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let mut state = self.ledger.lock();
        state.busy = false;
        self.ledger.fail(&mut state, io::ErrorKind::Other);
        self.ledger.changed.notify_all();
    }
}
