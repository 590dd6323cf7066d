//! Compaction: a new file without the records that no longer decide anything. It is written beside the old one and takes its place
//! by a rename; what stands in memory is then rebuilt from it. A successor, which a complete erasure makes, is the same under a new id and key.

use super::format::{Header, LedgerKey, Record, What};
use super::recover::recover;
use super::{Ledger, State, fences_of, file_bytes, slots_of};
use crate::clock::Millis;
use crate::crypto::{Key, fresh};
use crate::disk::DiskFile;
use crate::error::{Error, Part, Result};
use crate::rule::{Fence, Position, Scope};
use crate::sync::{Arc, PoisonError};

impl Ledger {
    /// Writes a new file without the records that no longer decide anything or are older than `oldest`, if that is worth it.
    ///
    /// # Errors
    /// `Io` if nothing was changed; `Poisoned` if it is unknown which file would be found after a crash.
    pub(crate) fn compact(&self, oldest: Millis) -> Result<bool> {
        let mut state = self.lock();
        // Under steady sign-outs something is always pending: then the next sweep tries again.
        for _ in 0..64 {
            if state.failed.is_some() {
                return Err(Error::Poisoned(Part::Ledger));
            }
            state = match (state.busy, state.pending.is_empty()) {
                (true, _) => self.wait_changed(state),
                (false, false) => self.lead(state, Self::write_group),
                (false, true) => return self.rewrite(&mut state, oldest),
            };
        }
        Ok(false)
    }

    /// Reads the file again, and compares: how many sign-outs decide something.
    ///
    /// # Errors
    /// `Damaged` if the file does not say what stands in memory; `Poisoned` after an earlier failure.
    pub(crate) fn check(&self) -> Result<u64> {
        let mut state = self.lock();
        while state.failed.is_none() && (state.busy || !state.pending.is_empty()) {
            state = if state.busy { self.wait_changed(state) } else { self.lead(state, Self::write_group) };
        }
        if state.failed.is_some() {
            return Err(Error::Poisoned(Part::Ledger));
        }
        let bytes = self.disk.read(&state.name).map_err(Error::io("read the ledger"))?;
        let bytes = bytes.ok_or_else(|| Error::damaged(Part::Ledger, "its file is missing"))?;
        let found = recover(&bytes, &state.key, state.header.ledger_id)?;
        let read = fences_of(&found.header, &found.records);
        if found.end != state.end || read.in_order() != self.fences().in_order() {
            return Err(Error::damaged(Part::Ledger, "its file is not as this process wrote it"));
        }
        Ok(read.len() as u64)
    }

    /// The caller holds the lock, and nothing is pending or being written.
    fn rewrite(&self, state: &mut State, oldest: Millis) -> Result<bool> {
        let kept = self.kept(&state.header, oldest);
        let waste = state.used().saturating_sub(kept.records.len() as u64);
        if waste < (kept.records.len() as u64).max(u64::from(self.growth.chunk)) {
            return Ok(false);
        }
        // Random, not the next: of two attempts, of which the first failed in the middle, no slot shall pass for one of the other's.
        let serial = u32::from_be_bytes(fresh()?);
        let header = self.header_for(&kept, state, state.header.ledger_id, serial)?;
        let bytes = file_bytes(&header, &state.key, &kept.records, self.growth);
        self.disk.prepare(&state.name, &bytes).map_err(Error::io("write the compacted ledger"))?;
        let switched = self.disk.switch(&state.name).and_then(|()| self.disk.open(&state.name));
        state.file = switched
            .map_err(|error| {
                self.fail(state, error.kind());
                Error::Poisoned(Part::Ledger)
            })?
            .into();
        self.adopt_records(state, header, slots_of(&bytes), &kept.records);
        Ok(true)
    }

    /// Writes a ledger with another id and key that says all that this one says: the same sign-outs and openings at the same
    /// positions. It counts from when a keyring names it; then it is to be [adopted](Ledger::adopt). The caller sees to it that nobody signs
    /// out meanwhile.
    ///
    /// # Errors
    /// `Io`, `Full`; `Poisoned` after an earlier failure. Nothing was changed.
    pub(crate) fn succession(&self, ledger_id: [u8; 16], key: &Key) -> Result<Successor> {
        let state = self.lock();
        if state.failed.is_some() || state.busy || !state.pending.is_empty() {
            return Err(Error::Poisoned(Part::Ledger));
        }
        let kept = self.kept(&state.header, 0);
        let (name, key) = (Self::file_name(&ledger_id), LedgerKey::new(key, &ledger_id));
        let header = self.header_for(&kept, &state, ledger_id, 0)?;
        let bytes = file_bytes(&header, &key, &kept.records, self.growth);
        let made = self.disk.prepare(&name, &bytes).and_then(|()| self.disk.switch(&name)).and_then(|()| self.disk.open(&name));
        let file = made.map_err(Error::io("write the new ledger"))?.into();
        Ok(Successor { name, key: key.into(), file, header, slots: slots_of(&bytes), records: kept.records })
    }

    /// Goes on with the successor, and removes this ledger's own file for good.
    ///
    /// # Errors
    /// `Io` if the old file could not be removed; then this ledger refuses all further work.
    pub(crate) fn adopt(&self, successor: Successor) -> Result<()> {
        let mut state = self.lock();
        self.disk.remove(&state.name).map_err(|source| {
            self.fail(&mut state, source.kind());
            Error::Io { action: "remove the old ledger; the store is poisoned, reopen it", source }
        })?;
        let Successor { name, key, file, header, slots, records } = successor;
        (state.name, state.key, state.file) = (name, key, file);
        self.adopt_records(&mut state, header, slots, &records);
        Ok(())
    }

    /// What a new file keeps: the sign-outs that still decide something and are not older than `oldest`, and the openings that
    /// sign-ins above the floor can be of.
    fn kept(&self, header: &Header, oldest: Millis) -> Kept {
        let (old_floor, mut known_since) = (header.floor, header.known_since);
        let (sign_outs, openings) = {
            let fences = self.fences();
            (fences.in_order(), fences.openings().to_vec())
        };
        let sign_outs = sign_outs.into_iter().filter(|(_, fence)| fence.position > old_floor);
        let sign_outs: Vec<(Scope, Fence)> = sign_outs.collect();
        let too_old = sign_outs.iter().map(|(_, fence)| fence).filter(|fence| fence.time < oldest);
        let floor = too_old.map(|fence| fence.position).max().unwrap_or(old_floor);
        let dropped = sign_outs.iter().filter(|(_, fence)| fence.position <= floor);
        known_since = dropped.map(|(_, fence)| fence.time).max().map_or(known_since, |latest| latest.max(known_since));

        let record = |position, time, what| Record { in_group: 0, in_call: 0, call_size: 1, position, time, what };
        let kept_sign_outs = sign_outs.iter().filter(|(_, fence)| fence.position > floor);
        let mut records: Vec<Record> =
            kept_sign_outs.map(|(scope, f)| record(f.position, f.time, What::SignOut(*scope, f.cutoff))).collect();
        // An opening is over when the floor has passed the next one, or when all that signed in before the next is too old.
        // Only from the front: one less in the middle would lengthen the one before it.
        let next = openings.iter().skip(1).map(|(position, _, time)| (*position, *time)).chain([(Position::MAX, Millis::MAX)]);
        let live = openings.iter().zip(next).skip_while(|(_, (position, time))| *position <= floor || *time < oldest);
        records.extend(live.map(|((position, opening, time), _)| record(*position, *time, What::Opened(*opening))));
        records.sort_unstable_by_key(|record| record.position);
        Kept { records, floor, known_since }
    }

    fn header_for(&self, kept: &Kept, state: &State, ledger_id: [u8; 16], serial: u32) -> Result<Header> {
        let (floor, known_since) = (kept.floor, kept.known_since);
        let kept = u32::try_from(kept.records.len()).map_err(|_| Error::Full(Part::Ledger))?;
        Ok(Header { ledger_id, serial, chunk: self.growth.chunk, kept, tail: state.end + 1, floor, known_since })
    }

    /// From now on the file that these are in counts.
    fn adopt_records(&self, state: &mut State, header: Header, slots: u64, records: &[Record]) {
        let mut fences = fences_of(&header, records);
        if state.begun.is_none() {
            fences.end_openings(state.end + 1);
        }
        (state.header, state.slots) = (header, slots);
        *self.fences.write().unwrap_or_else(PoisonError::into_inner) = fences;
    }
}

/// What a compacted file holds.
struct Kept {
    records: Vec<Record>,
    floor: Position,
    known_since: Millis,
}

/// A ledger that is written and waits for a keyring to name it.
pub(crate) struct Successor {
    name: String,
    key: Arc<LedgerKey>,
    file: Arc<dyn DiskFile>,
    header: Header,
    slots: u64,
    records: Vec<Record>,
}
