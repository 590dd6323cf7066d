//! Group commit among processes: the calls of a process's threads go to the disk together, in one
//! turn of the process.

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::append::MAX_CALL;
use super::super::format::{MAX_GROUP, Record, SLOT_BYTES, Seal, Slot, What};
use super::super::{HEADER_BYTES, offset, seal_of};
use super::tail::Tail;
use super::turns::{AT_WORK, BEGUN, CLEAN, FAILED, InTurn, STATE};
use super::{Many, PATIENCE};
use crate::crypto::fresh;
use crate::model::error::{Component, Error, Result};
use crate::model::position::{Opening, Position};
use crate::model::tag::TaggedScope;
use crate::model::time::Millis;
use crate::observe;
use crate::platform::sync::atomic::Ordering;
use crate::platform::sync::{Mutex, MutexGuard, PoisonError, lock};
use crate::rule::Fence;

/// Sign-outs that count together.
pub(super) struct Call {
    records: Vec<What>,
    time: Millis,
    result: Mutex<Option<Result<Stood>>>,
}

/// The slots that sign-outs may take, and the length of the file.
#[derive(Clone, Copy)]
struct Room {
    free: u64,
    bytes: u64,
}

/// What a call has done. It is durable, and every process sees it.
#[derive(Debug)]
pub(crate) struct Stood {
    /// Of its first record, and of its last.
    pub(crate) positions: (Position, Position),
    /// What stood in its scopes before.
    pub(crate) before: Vec<(TaggedScope, Fence)>,
}

impl Many {
    /// Lets a fence of each scope stand, all at once for every reader of every process, and returns
    /// when they are durable. Waits for a turn for so long at most.
    ///
    /// # Errors
    /// `Busy`, `Full`, `Poisoned`, `Damaged`, `Io`: nothing was done. `Indeterminate` if the disk
    /// failed. `InvalidInput` if there are more than [`MAX_CALL`] scopes.
    pub(crate) fn stand(
        &self,
        scopes: &[TaggedScope],
        cutoff: Millis,
        time: Millis,
        patience: Duration,
    ) -> Result<Stood> {
        if scopes.is_empty() || scopes.len() > MAX_CALL {
            return Err(Error::invalid("sign-out", "it has too many accounts for one call"));
        }
        let records = scopes.iter().map(|scope| What::SignOut(*scope, cutoff)).collect();
        self.call(records, time, patience)
    }

    /// Appends records that count together.
    fn call(&self, records: Vec<What>, time: Millis, patience: Duration) -> Result<Stood> {
        self.check()?;
        let began = Instant::now();
        let left = || patience.saturating_sub(began.elapsed());
        let call = Arc::new(Call { records, time, result: Mutex::default() });
        let mut queue = lock(&self.queue);
        queue.waiting.push_back(call.clone());
        loop {
            if let Some(result) = lock(&call.result).take() {
                return result;
            }
            let is_waiting = queue.waiting.iter().any(|one| Arc::ptr_eq(one, &call));
            if !queue.is_led && self.failed.load(Ordering::Acquire) {
                queue.waiting.retain(|one| !Arc::ptr_eq(one, &call));
                return Err(match is_waiting {
                    true => Error::Poisoned(Component::Ledger),
                    // It was taken by a thread that did not come back.
                    false => Error::Indeterminate(std::io::ErrorKind::Other.into()),
                });
            }
            if queue.is_led {
                queue = match left() {
                    // It is being written.
                    _ if !is_waiting => {
                        self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner)
                    }
                    Duration::ZERO => {
                        queue.waiting.retain(|one| !Arc::ptr_eq(one, &call));
                        return Err(Error::Busy { pid: None });
                    }
                    left => {
                        let waited = self.changed.wait_timeout(queue, left);
                        waited.unwrap_or_else(PoisonError::into_inner).0
                    }
                };
                continue;
            }
            queue.is_led = true;
            drop(queue);
            let leading = Leading(self);
            self.lead(&call, left());
            std::mem::forget(leading);
            queue = lock(&self.queue);
            queue.is_led = false;
            self.changed.notify_all();
        }
    }

    /// Takes a turn for all calls that wait when it begins.
    fn lead(&self, own: &Arc<Call>, patience: Duration) {
        match self.take_turn_within(patience) {
            Ok(in_turn) => self.write_calls(in_turn),
            // (Who has more patience leads then.)
            Err(error) => {
                lock(&self.queue).waiting.retain(|call| !Arc::ptr_eq(call, own));
                own.end(Err(error));
            }
        }
    }

    /// Records an opening, if none was since the first process opened the file: before the first
    /// as-of is taken. (Who only reads costs no space, however often the machine restarts with a
    /// full disk.) Says whether
    /// this had to look: what was seen before may miss the opening.
    ///
    /// # Errors
    /// As [`Many::stand`].
    pub(crate) fn begin(&self, now: Millis) -> Result<bool> {
        if self.has_begun() {
            return Ok(false);
        }
        self.call(Vec::new(), now, PATIENCE).map(|_| true)
    }

    fn write_calls(&self, in_turn: InTurn<'_>) {
        let InTurn { turn, mut tail, is_begun, bytes } = in_turn;
        if let Err(error) = turn.leave(STATE, AT_WORK) {
            // Nothing was done yet.
            drop((turn, tail));
            let kind = error.kind();
            let mut error = Some(error);
            for call in std::mem::take(&mut lock(&self.queue).waiting) {
                let error = error.take().unwrap_or_else(|| kind.into());
                call.end(Err(Error::io("write the ledger's lock file")(error)));
            }
            return;
        }
        let (is_begun, calls, room) = match self.make_room(&mut tail, bytes) {
            Ok(room) => (is_begun, self.take_calls(room.free, is_begun), Ok(room)),
            // All that wait at the moment.
            Err(error) => (true, lock(&self.queue).waiting.drain(..).collect(), Err(error)),
        };
        let written = room.and_then(|room| self.write(tail, &calls, room));
        match written {
            Ok(all) => {
                // Should these fail, the next one repairs, or records one opening more.
                if !is_begun && !calls.is_empty() {
                    let _ = turn.leave(BEGUN, 1);
                }
                let _ = turn.leave(STATE, CLEAN);
                self.begun.fetch_or(is_begun || !calls.is_empty(), Ordering::AcqRel);
                drop(turn);
                calls.iter().zip(all).for_each(|(call, stood)| call.end(Ok(stood)));
            }
            Err(error) => {
                // Nothing is tried again: after a failed sync the system may call lost pages clean.
                let _ = turn.leave(STATE, FAILED);
                self.fail();
                drop(turn);
                let mut error = Some(error);
                for call in &calls {
                    let other = || Error::Indeterminate(std::io::ErrorKind::Other.into());
                    call.end(Err(error.take().unwrap_or_else(other)));
                }
            }
        }
    }

    /// Takes calls that together need no more than so many slots. One that needs more by itself
    /// gets an error. The first of all is an opening, if none was recorded yet; a later one says
    /// nothing.
    fn take_calls(&self, free: u64, is_begun: bool) -> Vec<Arc<Call>> {
        let mut queue = lock(&self.queue);
        let (mut calls, mut size) = (Vec::new(), 0);
        if !is_begun && !queue.waiting.is_empty() {
            let time = queue.waiting.front().map_or(Millis::EPOCH, |call| call.time);
            match Call::opening(time) {
                Ok(opening) => calls.push(Arc::new(opening)),
                Err(error) => {
                    queue.waiting.pop_front().inspect(|call| call.end(Err(error)));
                    return calls;
                }
            }
            size = 1;
        }
        let most = free.min(MAX_GROUP as u64);
        while let Some(call) = queue.waiting.front() {
            let own = call.records.len() as u64;
            if own == 0 {
                // (It asked for no more than an opening.)
                calls.push(call.clone());
            } else if size + own > most && (calls.len() > usize::from(!is_begun)) {
                break;
            } else if size + own > free {
                call.end(Err(Error::Full(Component::Ledger)));
            } else {
                size += own;
                calls.push(call.clone());
            }
            queue.waiting.pop_front();
        }
        if size > free {
            calls.drain(..).for_each(|call| call.end(Err(Error::Full(Component::Ledger))));
        }
        calls
    }

    /// Adds chunks until the reserve is free behind what waits, as far as the disk has space; and
    /// says how many slots are free. A chunk is synced before it is used.
    fn make_room(&self, tail: &mut Tail, bytes: u64) -> Result<Room> {
        let waiting: u64 =
            lock(&self.queue).waiting.iter().map(|call| call.records.len() as u64).sum();
        let wanted = waiting.min(MAX_GROUP as u64) + self.growth.reserve;
        let io = |error| Error::io("make the ledger longer")(error);
        let mut slots = bytes.saturating_sub(HEADER_BYTES as u64) / SLOT_BYTES as u64;
        let used = tail.place_of(self.end().next());
        while slots.saturating_sub(used + 2) < wanted {
            let end = slots + u64::from(tail.header.chunk);
            let fillers = seal_of(&self.key, &tail.header).fillers(slots, end);
            let grown = tail
                .file
                .write_all_at(&fillers, offset(slots))
                .and_then(|()| tail.file.sync_data());
            match grown {
                Ok(()) => slots = end,
                Err(error) if super::super::grow::is_full(&error) => {
                    tail.file.set_len(offset(slots)).map_err(io)?;
                    break;
                }
                Err(error) => return Err(io(error)),
            }
        }
        // The last slot stays filler; and the one before it is for the record that leads to the next
        // file, else a file that is full could not be compacted.
        Ok(Room { free: slots.saturating_sub(used + 2), bytes: offset(slots) })
    }

    /// Writes the calls as one group, syncs them, and lets them stand.
    fn write(
        &self,
        tail: MutexGuard<'_, Tail>,
        calls: &[Arc<Call>],
        room: Room,
    ) -> Result<Vec<Stood>> {
        let (start, mut records) = (self.end(), Vec::new());
        let mut all = Vec::with_capacity(calls.len());
        let fences = self.fences();
        for call in calls {
            let size = u16::try_from(call.records.len()).unwrap_or(u16::MAX);
            let mut before = Vec::new();
            let from = start.plus(records.len() as u64);
            for (in_call, what) in (0..).zip(&call.records) {
                let in_group = u16::try_from(records.len()).unwrap_or(u16::MAX);
                let (position, time) = (start.plus(u64::from(in_group) + 1), call.time);
                records.push(Record {
                    in_group,
                    in_call,
                    call_size: size,
                    position,
                    time,
                    what: *what,
                });
                if let What::SignOut(scope, _) = what {
                    before.extend(fences.standing(scope).map(|fence| (*scope, fence)));
                }
            }
            let to = start.plus(records.len() as u64);
            all.push(Stood { positions: (from.next().min(to), to), before });
        }
        drop(fences);
        // What earlier calls of the group have let stand.
        add_earlier(calls, &mut all);

        let place = tail.place_of(start.next());
        let seal: Seal<'_> = seal_of(&self.key, &tail.header);
        let bytes: Vec<u8> = (place..)
            .zip(&records)
            .flat_map(|(place, record)| seal.encode(place, Slot::Record(*record)))
            .collect();
        if records.is_empty() {
            return Ok(all);
        }
        let (file, watch) = (tail.file.clone(), observe::watch());
        file.write_all_at(&bytes, offset(place)).map_err(Error::Indeterminate)?;
        // Readers of this process go on meanwhile.
        drop(tail);
        file.sync_data().map_err(Error::Indeterminate)?;
        self.groups.fetch_add(1, Ordering::Relaxed);
        let written = records.len() as u64;
        let taken_in = self.take_in_own(&mut lock(&self.tail), start, records);
        taken_in.map_err(|error| Error::Indeterminate(std::io::Error::other(error)))?;
        self.is_synced(start.plus(written));
        observe::synced(calls.len(), watch, room.bytes, room.free.saturating_sub(written));
        Ok(all)
    }
}

/// Calls of one group stand one after the other.
fn add_earlier(calls: &[Arc<Call>], all: &mut [Stood]) {
    let mut earlier: Vec<(TaggedScope, Fence)> = Vec::new();
    for (call, stood) in calls.iter().zip(all) {
        let own: Vec<_> = (0..)
            .zip(&call.records)
            .filter_map(|(number, what)| match what {
                What::SignOut(scope, cutoff) => {
                    let (position, _) = stood.positions;
                    let (cutoff, time) = (*cutoff, call.time);
                    Some((*scope, Fence { position: position.plus(number), cutoff, time }))
                }
                _ => None,
            })
            .collect();
        let is_its = |(scope, _): &&(TaggedScope, Fence)| own.iter().any(|(one, _)| one == scope);
        stood.before.extend(earlier.iter().filter(is_its).copied());
        earlier.extend(own);
    }
}

impl Call {
    fn opening(time: Millis) -> Result<Self> {
        let records = vec![What::Opened(Opening::from_bytes(fresh()?))];
        Ok(Self { records, time, result: Mutex::default() })
    }

    fn end(&self, result: Result<Stood>) {
        *lock(&self.result) = Some(result);
    }
}

/// Makes the ledger refuse all further work, if it is dropped: the thread that led panicked.
struct Leading<'a>(&'a Many);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        self.0.fail();
        let mut queue = lock(&self.0.queue);
        queue.is_led = false;
        let waiting = std::mem::take(&mut queue.waiting);
        waiting.iter().for_each(|call| call.end(Err(Error::Poisoned(Component::Ledger))));
        drop(queue);
        self.0.changed.notify_all();
    }
}
