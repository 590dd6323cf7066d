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

use super::format::{LedgerKey, Record};
use super::fresh::{Fresh, Switched, behind, slots_for};
use super::keep::{Plan, forget_dropped};
use super::{Ledger, State};
use crate::crypto::{LedgerRootKey, fresh};
use crate::model::error::{Component, Error, Result};
use crate::model::position::Position;
use crate::model::random_id::LedgerId;
use crate::model::time::Millis;
use crate::platform::sync::{Arc, TryLockError};

/// After so many rounds the rest of the tail is written while sign-outs wait: they come in faster
/// than they can be copied.
const ROUNDS: usize = 16;

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
        let kept = plan.write(&self.fences, &mut file, copying.start)?;
        self.write_tail(&mut file, &copying)?;
        if self.switch_to(file, &plan, &copying, (kept, serial))? {
            forget_dropped(&self.fences);
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
        let header =
            plan.header(copying.ledger_id, (serial, self.growth.chunk), (kept, copying.start));
        file.seal_up(
            &header,
            slots_for(u64::from(kept) + behind(copying.start, state.end), self.growth),
        )?;
        let switched = file.switch(header).map_err(|error| {
            self.fail(&mut state, error.kind());
            Error::Poisoned(Component::Ledger)
        })?;
        state.install(switched);
        Ok(plan.let_dropped_stand(&self.fences))
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
        let kept = plan.write(&self.fences, &mut file, start)?;
        let header = plan.header(ledger_id, (0, self.growth.chunk), (kept, start));
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

    /// What a new file would keep.
    fn plan(&self, oldest: Millis) -> Result<Plan> {
        if self.is_failed() {
            return Err(Error::Poisoned(Component::Ledger));
        }
        Ok(Plan::new(&self.fences, self.synced(), self.horizon(), oldest))
    }

    /// From now on all that is written is kept for a new file too, until the result is dropped.
    fn begin_copying(&self) -> Result<Copying<'_>> {
        let mut state = self.lock_idle()?;
        state.copied = Some(Vec::new());
        let (name, key, ledger_id) =
            (state.name.clone(), state.key.clone(), state.header.ledger_id);
        Ok(Copying { ledger: self, start: self.synced(), name, key, ledger_id })
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
