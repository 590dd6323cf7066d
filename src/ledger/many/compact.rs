//! Compaction beside other processes: a new file is written beside the old one, and takes its place
//! in a turn. A record at the end of the old file leads those there who have it open.

use std::os::unix::fs::FileExt;

use super::super::format::{Record, Slot, What};
use super::super::fresh::{Fresh, behind, slots_for};
use super::super::keep::{Plan, forget_dropped};
use super::super::{offset, seal_of};
use super::tail::Tail;
use super::turns::{AT_WORK, CLEAN, FAILED, InTurn, STATE};
use super::{Many, damaged};
use crate::crypto::fresh;
use crate::model::error::{Error, Result};
use crate::model::position::Position;
use crate::model::time::Millis;
use crate::platform::sync::TryLockError;
use crate::platform::turn::Presence;

/// No other process writes a whole file while it lives.
struct Tending<'a>(&'a Presence);

impl Drop for Tending<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Many {
    /// Writes a new file without the records that no longer decide anything or are older than
    /// `oldest`, if that is worth it, and no other thread or process is at it.
    ///
    /// # Errors
    /// `Io`, `Full`, `Busy`: the ledger goes on in the old file, or in the new one. `Poisoned`,
    /// `Damaged`.
    pub(crate) fn compact(&self, oldest: Millis) -> Result<bool> {
        let _tending = match self.tending.try_lock() {
            Ok(tending) => tending,
            Err(TryLockError::Poisoned(tending)) => tending.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(false),
        };
        if !self.tender.try_alone().map_err(Error::io("take the lock of the ledger's file"))? {
            return Ok(false);
        }
        let _tending = Tending(&self.tender);
        // In a turn: the start lies between two groups, and nothing is left to be repaired.
        let (start, before) = {
            let in_turn = self.take_turn()?;
            (self.end(), in_turn.tail.header.clone())
        };
        let floor = self.fences().floor().map_or(Position::ZERO, |floor| floor.position);
        let plan = Plan::new(&self.fences, start, (floor, self.known_since()), oldest);
        if !self.is_worth(&plan) {
            return Ok(false);
        }
        // Random, not the next: of two attempts, of which the first failed in the middle, no slot
        // shall pass for one of the other's.
        let serial = u32::from_be_bytes(fresh()?);
        let mut file =
            Fresh::begin(&*self.disk, &self.name, self.key.clone(), self.ledger_id, serial)?;
        let kept = plan.write(&self.fences, &mut file, start)?;
        file.sync()?;

        let InTurn { turn, mut tail, bytes, .. } = self.take_turn()?;
        if tail.header != before {
            return Ok(false);
        }
        let end = self.end();
        file.append(&self.records(&tail, start, end)?)?;
        let header = plan.header(self.ledger_id, (serial, self.growth.chunk), (kept, start));
        file.seal_up(&header, slots_for(u64::from(kept) + behind(start, end), self.growth))?;
        if bytes < offset(tail.place_of(end.next()) + 2) {
            // (No slot is left for the record that leads to the next file: a store in one process
            // has filled it.)
            return Ok(false);
        }
        turn.leave(STATE, AT_WORK).map_err(Error::io("write the ledger's lock file"))?;
        // From here on, whoever finds that this process has died finds out which file counts.
        if let Err(error) = self.say_moved(&tail, end) {
            self.fail();
            let _ = turn.leave(STATE, FAILED);
            return Err(Error::io("write to the ledger")(error));
        }
        file.switch(header).map_err(Error::io("put the compacted ledger in place"))?;
        self.go_on(&mut tail)?;
        turn.leave(STATE, CLEAN).map_err(Error::io("write the ledger's lock file"))?;
        drop((tail, turn));
        if plan.let_dropped_stand(&self.fences) {
            forget_dropped(&self.fences);
        }
        Ok(true)
    }

    /// Whether a new file would be at most half as large as the one in use, and smaller by a chunk
    /// at least.
    fn is_worth(&self, plan: &Plan) -> bool {
        let tail = crate::platform::sync::lock(&self.tail);
        let waste = tail.place_of(self.end().next()).saturating_sub(plan.kept);
        waste >= plan.kept.max(u64::from(self.growth.chunk))
    }

    /// The records behind `start`, up to `end`, as they are in the file.
    fn records(&self, tail: &Tail, start: Position, end: Position) -> Result<Vec<Record>> {
        let seal = seal_of(&self.key, &tail.header);
        let (mut place, last) = (tail.place_of(start.next()), tail.place_of(end.next()));
        let mut records = Vec::new();
        while place < last {
            let slots = seal.decode_in_block(place, &self.slots_from(tail, place)?);
            let before = records.len();
            for slot in slots.into_iter().take(usize::try_from(last - place).unwrap_or(0)) {
                let Some(Slot::Record(record)) = slot else {
                    return Err(damaged("a slot was changed"));
                };
                records.push(record);
            }
            if records.len() == before {
                return Err(damaged("it was cut off"));
            }
            place += (records.len() - before) as u64;
        }
        Ok(records)
    }

    /// Leads those who have this file open to the next one. There is a slot for it that no sign-out
    /// takes. It is synced, for a page that cannot be written later is dropped, and with it what
    /// leads them.
    fn say_moved(&self, tail: &Tail, end: Position) -> std::io::Result<()> {
        let (position, time, what) = (end.next(), Millis::EPOCH, What::Moved);
        let moved = Record { in_group: 0, in_call: 0, call_size: 1, position, time, what };
        let place = tail.place_of(position);
        let bytes = seal_of(&self.key, &tail.header).encode(place, Slot::Record(moved));
        tail.file.write_all_at(&bytes, offset(place))?;
        tail.file.sync_data()
    }
}
