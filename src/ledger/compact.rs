//! Compaction: a new file without the records that no longer decide anything. It is written beside
//! the old one, while sign-outs go on, and takes its place by a rename. A successor, which a
//! complete erasure makes, is the same under a new id and key.
//!
//! 1. The plan says, by what stands in memory: what is too old, and whether it is worth it.
//! 2. From some synced position on, the *start*, all that is written to the old file is kept for
//!    the new one too: its *tail*.
//! 3. What stands at or before the start is written to the new file, in order. What a newer
//!    sign-out has hidden meanwhile is left out; so the switch waits until the newest that stood
//!    then is synced, and with it in the tail: an acknowledged record goes only for one that is on
//!    the disk.
//! 4. The tail follows, as it is: groups and calls stay what they were.
//! 5. Alone for a moment, the rest of the tail, the header, and the switch. Sign-outs wait for
//!    these few records and two syncs.

use super::format::{Header, LedgerKey, Record, What};
use super::fresh::{Fresh, Switched, behind, slots_for};
use super::open::floor;
use super::{Ledger, State};
use crate::crypto::{LedgerRootKey, fresh};
use crate::model::error::{Component, Error, Result};
use crate::model::position::{Opening, Position};
use crate::model::random_id::LedgerId;
use crate::model::time::Millis;
use crate::platform::sync::{Arc, PoisonError, TryLockError};
use crate::rule::{Fence, InOrder, SHARDS};

/// How many records are looked up and written at a time.
const SLICE: usize = 4096;
/// After so many rounds the rest of the tail is written while sign-outs wait: they come in faster
/// than they can be copied.
const ROUNDS: usize = 16;

/// Lets other threads in that wait to change or to see what stands. (A thread that waits for a lock
/// never gets one that is let go of and taken again at once: it takes longer to wake up.)
#[derive(Default)]
pub(super) struct Turns(usize);

impl Turns {
    /// Counts what the caller has looked at under a lock.
    pub(super) fn looked_at(&mut self, fences: usize) {
        self.0 += fences;
    }

    /// Pauses, if many fences were looked at since the last pause. The caller holds no lock.
    pub(super) fn make_way(&mut self) {
        if self.0 < SLICE {
            return;
        }
        self.0 = 0;
        #[cfg(not(oubliette_shuttle))]
        std::thread::sleep(std::time::Duration::from_micros(50));
        #[cfg(oubliette_shuttle)]
        crate::platform::sync::thread::yield_now();
    }
}

/// What a new file leaves out.
struct Plan {
    /// The highest position of what is dropped for its age.
    floor: Position,
    known_since: Millis,
    /// The position of the first opening that is kept.
    first_opening: Position,
    /// How many records are kept.
    kept: u64,
}

impl Ledger {
    /// Writes a new file without the records that no longer decide anything or are older than
    /// `oldest`, if that is worth it, and no other thread [tends](Ledger::tend) the file now.
    ///
    /// # Errors
    /// `Io` if nothing was changed; `Poisoned` if it is unknown which file would be found after a
    /// crash.
    pub(crate) fn compact(&self, oldest: Millis) -> Result<bool> {
        // This does not wait: the thread that tends it may be waiting for the caller, which has
        // entered the store. The next sweep tries again.
        let _tending = match self.tending.try_lock() {
            Ok(tending) => tending,
            Err(TryLockError::Poisoned(tending)) => tending.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(false),
        };
        let plan = self.plan(oldest)?;
        if !self.is_worth(&plan) {
            return Ok(false);
        }
        let copying = self.begin_copying()?;
        // Random, not the next: of two attempts, of which the first failed in the middle, no slot
        // shall pass for one of the other's.
        let serial = u32::from_be_bytes(fresh()?);
        let mut file = Fresh::begin(
            &*self.disk,
            &copying.name,
            copying.key.clone(),
            copying.ledger_id,
            serial,
        )?;
        let kept = self.write_kept(&mut file, &plan, copying.start)?;
        self.write_tail(&mut file, &copying)?;
        if self.switch_to(file, &plan, &copying, (kept, serial))? {
            self.forget_dropped();
        }
        Ok(true)
    }

    /// Whether a new file would be at most half as large as the one in use, and smaller by a chunk
    /// at least.
    fn is_worth(&self, plan: &Plan) -> bool {
        let used = self.lock().used();
        let waste = used.saturating_sub(plan.kept);
        waste >= plan.kept.max(u64::from(self.growth.chunk))
    }

    /// Writes the tail to the new file as it grows, and syncs it: so that little is left for the
    /// moment in which sign-outs wait. When this returns, all that stood when the kept records had
    /// been written is synced in the old file, and with it in the tail.
    fn write_tail(&self, file: &mut Fresh<'_>, copying: &Copying<'_>) -> Result<()> {
        // Whatever has hidden one of the kept records stands by now.
        let newest = self.lock().end;
        for _ in 0..ROUNDS {
            let tail = copying.take();
            if tail.is_empty() {
                break;
            }
            file.append(&tail)?;
        }
        file.sync()?;
        self.wait(newest).map_err(|_| Error::Poisoned(Component::Ledger))
    }

    /// Completes the new file and puts it in the place of the old one, while no other thread
    /// writes. Says whether records have been dropped for their age.
    fn switch_to(
        &self,
        mut file: Fresh<'_>,
        plan: &Plan,
        copying: &Copying<'_>,
        (kept, serial): (u32, u32),
    ) -> Result<bool> {
        let mut state = self.lock_idle()?;
        file.append(&state.copied.take().unwrap_or_default())?;
        let header = self.header_for(plan, kept, copying.start, copying.ledger_id, serial);
        file.seal_up(
            &header,
            slots_for(u64::from(kept) + behind(copying.start, state.end), self.growth),
        )?;
        let switched = file.switch(header).map_err(|error| {
            self.fail(&mut state, error.kind());
            Error::Poisoned(Component::Ledger)
        })?;
        state.install(switched);
        Ok(self.let_dropped_stand(plan))
    }

    /// Takes the fences out of memory that the floor stands for. A shard at a time, so that no
    /// thread waits for long.
    fn forget_dropped(&self) {
        let mut turns = Turns::default();
        for shard in 0..SHARDS {
            let mut fences = self.fences.write().unwrap_or_else(PoisonError::into_inner);
            turns.looked_at(fences.of_shard(shard).count());
            fences.forget_shard(shard);
            drop(fences);
            turns.make_way();
        }
    }

    /// Writes a ledger with another id and key that says all that this one says: the same sign-outs
    /// and openings at the same positions. It counts from when a keyring names it; then it is to be
    /// [adopted](Ledger::adopt). The caller [tends](Ledger::tend) this one, and sees to it that
    /// there is no sign-out meanwhile.
    ///
    /// # Errors
    /// `Io`, `Full`; `Poisoned` after an earlier failure. Nothing was changed.
    pub(crate) fn succession(&self, ledger_id: LedgerId, key: &LedgerRootKey) -> Result<Successor> {
        let state = self.lock_idle()?;
        let (start, is_quiet) = (state.end, state.pending.is_empty());
        drop(state);
        if !is_quiet {
            return Err(Error::Poisoned(Component::Ledger));
        }
        let plan = self.plan(Millis::EPOCH)?;
        let (name, key): (_, Arc<LedgerKey>) =
            (Self::file_name(&ledger_id), LedgerKey::new(key, &ledger_id).into());
        let mut file = Fresh::begin(&*self.disk, &name, key.clone(), ledger_id, 0)?;
        let kept = self.write_kept(&mut file, &plan, start)?;
        let header = self.header_for(&plan, kept, start, ledger_id, 0);
        file.seal_up(&header, slots_for(kept.into(), self.growth))?;
        let switched = file.switch(header).map_err(Error::io("write the new ledger"))?;
        Ok(Successor { name, key, switched })
    }

    /// Goes on with the successor, and removes this ledger's own file for good.
    ///
    /// # Errors
    /// `Io` if the old file could not be removed; then this ledger refuses all further work.
    pub(crate) fn adopt(&self, successor: Successor) -> Result<()> {
        let mut state = self.lock();
        self.disk.remove(&state.name).map_err(|source| {
            self.fail(&mut state, source.kind());
            let action =
                "remove the old ledger; the erasure has happened: reopen the store, with the new key (the old one does not open it any more)";
            Error::io(action)(source)
        })?;
        let Successor { name, key, switched } = successor;
        (state.name, state.key) = (name, key);
        state.install(switched);
        Ok(())
    }

    /// What a new file would keep: the sign-outs that still decide something and are not older than
    /// `oldest`, and the openings that sign-ins above the floor can be of. A shard at a time, so
    /// that no thread waits for long.
    fn plan(&self, oldest: Millis) -> Result<Plan> {
        if self.is_failed() {
            return Err(Error::Poisoned(Component::Ledger));
        }
        let (synced, (old_floor, known_since)) = (self.synced(), self.horizon());
        // Twice through what stands: the floor first, then what is above it.
        let each = |look: &mut dyn FnMut(Fence)| {
            let mut turns = Turns::default();
            for shard in 0..SHARDS {
                let fences = self.fences();
                let known =
                    fences.of_shard(shard).map(|(_, fence)| fence).inspect(|_| turns.looked_at(1));
                known
                    .filter(|fence| fence.position > old_floor && fence.position <= synced)
                    .for_each(&mut *look);
                drop(fences);
                turns.make_way();
            }
        };
        let mut plan =
            Plan { floor: old_floor, known_since, first_opening: Position::ZERO, kept: 0 };
        each(&mut |fence| {
            if fence.time < oldest {
                plan.floor = plan.floor.max(fence.position);
            }
        });
        each(&mut |fence| {
            if fence.position > plan.floor {
                plan.kept += 1;
            } else {
                plan.known_since = plan.known_since.max(fence.time);
            }
        });
        self.plan_openings(&mut plan, oldest);
        Ok(plan)
    }

    /// Adds the openings that are kept to the plan.
    fn plan_openings(&self, plan: &mut Plan, oldest: Millis) {
        // An opening is over when the floor has passed the next one, or when all that signed in
        // before the next is too old. Only from the front: one less in the middle would lengthen
        // the one before it.
        let openings = self.fences().openings().to_vec();
        let next = openings
            .iter()
            .skip(1)
            .map(|(position, _, time)| (*position, *time))
            .chain([(Position::MAX, Millis::MAX)]);
        let mut live = openings
            .iter()
            .zip(next)
            .skip_while(|(_, (position, time))| *position <= plan.floor || *time < oldest)
            .peekable();
        plan.first_opening = live.peek().map_or(Position::ZERO, |((position, ..), _)| *position);
        plan.kept += live.count() as u64;
    }

    /// Writes what stands at or before `start`, in order of position, and gives how many records
    /// that are.
    fn write_kept(&self, file: &mut Fresh<'_>, plan: &Plan, start: Position) -> Result<u32> {
        let mut found = InOrder::none();
        let mut turns = Turns::default();
        for shard in 0..SHARDS {
            let before = found.len();
            self.fences().find_places(shard, plan.floor.next()..=start, &mut found);
            turns.looked_at(found.len() - before);
            turns.make_way();
        }
        found.sort();
        let openings: Vec<(Position, Opening, Millis)> = self.fences().openings().to_vec();
        let kept_openings = openings
            .into_iter()
            .filter(|(position, ..)| (plan.first_opening..=start).contains(position));
        let mut openings = kept_openings
            .map(|(position, opening, time)| record(position, time, What::Opened(opening)))
            .peekable();

        // In order of position: each opening comes before the first fence that is newer.
        for first in (0..found.len()).step_by(SLICE) {
            let mut records = Vec::with_capacity(SLICE);
            let fences = self.fences();
            for (scope, fence) in fences.at(&found, first..found.len().min(first + SLICE)) {
                records.extend(std::iter::from_fn(|| {
                    openings.next_if(|opened| opened.position < fence.position)
                }));
                records.push(record(
                    fence.position,
                    fence.time,
                    What::SignOut(scope, fence.cutoff),
                ));
            }
            drop(fences);
            turns.looked_at(records.len());
            turns.make_way();
            file.append(&records)?;
        }
        let rest: Vec<Record> = openings.collect();
        file.append(&rest)?;
        u32::try_from(file.slots()).map_err(|_| Error::Full(Component::Ledger))
    }

    /// From now on all that is written is kept for a new file too, until the result is dropped.
    fn begin_copying(&self) -> Result<Copying<'_>> {
        let mut state = self.lock_idle()?;
        state.copied = Some(Vec::new());
        let (name, key, ledger_id) =
            (state.name.clone(), state.key.clone(), state.header.ledger_id);
        Ok(Copying { ledger: self, start: self.synced(), name, key, ledger_id })
    }

    /// The header of the new file.
    fn header_for(
        &self,
        plan: &Plan,
        kept: u32,
        start: Position,
        ledger_id: LedgerId,
        serial: u32,
    ) -> Header {
        let Plan { floor, known_since, .. } = *plan;
        Header {
            ledger_id,
            serial,
            chunk: self.growth.chunk,
            kept,
            tail: start.next(),
            floor,
            known_since,
        }
    }

    /// Makes the floor stand for what the new file leaves out. Says whether there is any.
    fn let_dropped_stand(&self, plan: &Plan) -> bool {
        let mut fences = self.fences.write().unwrap_or_else(PoisonError::into_inner);
        fences.forget_openings(plan.first_opening);
        if plan.floor > Position::ZERO {
            fences.stand_for_dropped(floor(plan.floor, plan.known_since));
        }
        plan.floor > Position::ZERO
    }
}

impl State {
    /// From now on this file counts.
    fn install(&mut self, switched: Switched) {
        let Switched { file, header, slots } = switched;
        (self.file, self.header, self.slots) = (file, header, slots);
    }
}

/// While it lives, what is written to the old file is kept for the new one too.
struct Copying<'a> {
    ledger: &'a Ledger,
    /// The position behind which the tail begins.
    start: Position,
    name: String,
    key: Arc<LedgerKey>,
    ledger_id: LedgerId,
}

impl Copying<'_> {
    /// What has been written since the last call.
    fn take(&self) -> Vec<Record> {
        self.ledger.lock().copied.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        self.ledger.lock().copied = None;
    }
}

/// A ledger that is written and waits for a keyring to name it.
pub(crate) struct Successor {
    name: String,
    key: Arc<LedgerKey>,
    switched: Switched,
}

/// A record that compaction keeps. It stands alone: the call and the group that it was of are
/// whole.
fn record(position: Position, time: Millis, what: What) -> Record {
    Record { in_group: 0, in_call: 0, call_size: 1, position, time, what }
}
