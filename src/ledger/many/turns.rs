//! A process's turn: what it finds when it begins, and what it leaves for the next.

use super::super::open::stream;
use super::super::recover::recover;
use super::super::{Ledger, offset};
use super::tail::{Found, Tail, not_whole};
use super::{Many, PATIENCE, damaged};
use crate::model::error::{Component, Error, Result};
use crate::model::position::Position;
use crate::platform::disk::Folder;
use crate::platform::path::at;
use crate::platform::stat;
use crate::platform::sync::atomic::Ordering;
use crate::platform::sync::{MutexGuard, PoisonError, lock};
use crate::platform::turn::{Late, Turn};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Where in the lock file it is said how the last turn has ended.
pub(super) const STATE: u64 = 0;
/// Where it is said whether an opening was recorded since the first process opened the file.
pub(super) const BEGUN: u64 = 1;

/// Which rows those have who have this ledger open.
pub(super) const ROWS: u64 = 8;

/// All that was written is synced.
pub(super) const CLEAN: u8 = 0;
/// Something is being written. Who finds this finds that the last one died in its turn.
pub(super) const AT_WORK: u8 = 1;
/// A write or a sync failed: what is on the disk is unknown until the first process opens the file
/// that finds no other there.
pub(super) const FAILED: u8 = 2;

/// While it lives, no other process and no other thread writes; and all that is there was read.
pub(super) struct InTurn<'a> {
    pub(super) turn: Turn,
    pub(super) tail: MutexGuard<'a, Tail>,
    /// Whether an opening was recorded since the first process opened the file.
    pub(super) is_begun: bool,
    /// The file's length.
    pub(super) bytes: u64,
}

impl Many {
    /// Waits for this process's turn, and reads on.
    ///
    /// # Errors
    /// `Busy` if it does not come in time: nothing was done. `Poisoned` behind a failed sync of any
    /// process; `Damaged`, `Io`.
    pub(super) fn take_turn(&self) -> Result<InTurn<'_>> {
        self.take_turn_within(PATIENCE)
    }

    /// As [`Many::take_turn`], and waits for so long at most.
    pub(super) fn take_turn_within(&self, patience: Duration) -> Result<InTurn<'_>> {
        let turn = self.turnstile.take(patience).map_err(late)?;
        let mut tail = lock(&self.tail);
        let left = turn.left_all(STATE).map_err(Error::io("read the ledger's lock file"))?;
        let [state, begun] = left;
        match state {
            CLEAN => {}
            AT_WORK => self.repair(&turn, &mut tail)?,
            _ => {
                self.fail();
                return Err(Error::Poisoned(Component::Ledger));
            }
        }
        loop {
            // (Whatever is in the way of a look is in the way of reading on, which says so.)
            let found = match self.has_more() {
                Ok(false) => Found::All,
                _ => self.take_in(&mut tail)?,
            };
            match found {
                Found::Moved => {
                    let before = tail.header.clone();
                    self.go_on(&mut tail)?;
                    if tail.header == before {
                        return Err(damaged("its next file is missing"));
                    }
                }
                found => {
                    not_whole(found)?;
                    let bytes = self.check_names(&turn, &tail)?;
                    return Ok(InTurn { turn, tail, is_begun: begun == 1, bytes });
                }
            }
        }
    }

    /// Whether the names lead other processes to the files that this one has open. Gives the
    /// ledger's length.
    fn check_names(&self, turn: &Turn, tail: &Tail) -> Result<u64> {
        let io = |error| Error::io("look at the ledger")(error);
        let named = match stat::of_path(&self.path) {
            Ok(named) => Some(named),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(io(at(&self.path)(error))),
        };
        if let Some(named) = named.filter(|named| named.identity == tail.identity)
            && turn.is_of_all().map_err(io)?
        {
            return Ok(named.len);
        }
        self.fail();
        Err(damaged("its files were moved, removed or replaced while the store was open"))
    }

    /// What the last one left unfinished is finished as a recovery would: calls that are not whole
    /// count for nothing, and the rest is synced before anything is written behind it.
    fn repair(&self, turn: &Turn, tail: &mut Tail) -> Result<()> {
        // A compaction may have been at work: all of the old file is read before the new one.
        self.take_in(tail)?;
        self.go_on(tail)?;
        let found =
            recover(stream(&*self.disk, &self.name)?, &self.key, self.ledger_id, |_, _| {})?;
        let (first, rewrite) = found.rewrite;
        let cut = if found.is_cut { tail.file.set_len(offset(found.slots)) } else { Ok(()) };
        let repaired = cut
            .and_then(|()| tail.file.write_all_at(&rewrite, offset(first)))
            .and_then(|()| tail.file.sync_data());
        if let Err(error) = repaired {
            self.fail();
            let _ = turn.leave(STATE, FAILED);
            return Err(Error::io("repair the ledger behind a process that died")(error));
        }
        self.disk.sync().map_err(Error::io("sync the ledger's folder"))?;
        turn.leave(STATE, CLEAN).map_err(Error::io("write the ledger's lock file"))
    }

    /// Reads all of the file that has the name now, in place of what is known. The caller has its
    /// turn.
    pub(super) fn read_anew(&self) -> Result<Position> {
        let disk = Folder::create(&self.folder).map_err(Error::io("open the ledger's folder"))?;
        let read =
            Ledger::read_with(Box::new(disk), self.ledger_id, self.key.clone(), self.growth)?;
        let (end, fences) = read.into_known();
        let mut known = self.fences.write().unwrap_or_else(PoisonError::into_inner);
        *known = fences;
        // Before the fences are let go of, as ever.
        self.end.store(end.get(), Ordering::Release);
        drop(known);
        Ok(end)
    }
}

pub(super) fn late(late: Late) -> Error {
    match late {
        Late::Busy(pid) => Error::Busy { pid },
        Late::Io(error) => Error::io("take the lock of the ledger's file")(error),
    }
}
