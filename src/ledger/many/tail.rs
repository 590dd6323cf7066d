//! Reading on: what other processes have appended is taken in, call by call.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::super::format::{Header, LedgerKey, Record, SLOT_BYTES, Seal, Slot, What};
use super::super::keep::forget_dropped;
use super::super::open::{floor, let_stand};
use super::super::{offset, seal_of};
use super::{Many, damaged, header_of};
use crate::model::error::{Component, Error, Result};
use crate::model::position::Position;
use crate::model::random_id::LedgerId;
use crate::platform::path::at;
use crate::platform::stat;
use crate::platform::sync::atomic::Ordering;
use crate::platform::sync::{PoisonError, lock};

/// How many slots are read at a time: mostly there are few.
const AT_A_TIME: usize = 16;

/// The file, as far as it was read.
pub(super) struct Tail {
    pub(super) file: Arc<File>,
    /// What the file is.
    pub(super) identity: (u64, u64),
    pub(super) header: Header,
}

/// The slot behind the end that is known, and what is in it as long as nothing was appended.
pub(super) struct Next {
    file: Arc<File>,
    offset: u64,
    filler: [u8; SLOT_BYTES],
}

/// How reading on has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// All that is there was read.
    All,
    /// The rest is in another file, or will be.
    Moved,
    /// There is a call of which a part is missing: it is being written, or its writer has died.
    Part,
    /// There are bytes that are no slot of this file, or out of place: they are being written, or
    /// are damage.
    Foreign,
}

impl Tail {
    pub(super) fn open(path: &Path, key: &LedgerKey, ledger_id: LedgerId) -> Result<Self> {
        let file = File::options().read(true).write(true).open(path);
        let file = file.map_err(at(path)).map_err(Error::io("open the ledger"))?;
        let header = header_of(&file, key, ledger_id)?;
        let identity = stat::of_file(&file).map_err(Error::io("look at the ledger"))?.identity;
        Ok(Self { file: file.into(), identity, header })
    }

    /// The slot of a position of the tail.
    pub(super) fn place_of(&self, position: Position) -> u64 {
        u64::from(self.header.kept) + position.since(self.header.tail)
    }
}

impl Next {
    pub(super) fn behind(tail: &Tail, key: &LedgerKey, end: Position) -> Self {
        let place = tail.place_of(end.next());
        let fillers = seal_of(key, &tail.header).fillers(place, place + 1);
        let filler = fillers.first_chunk().copied().unwrap_or([0; SLOT_BYTES]);
        Self { file: tail.file.clone(), offset: offset(place), filler }
    }
}

impl Many {
    /// Takes in all that was appended before this call, by whichever process.
    ///
    /// # Errors
    /// `Damaged` if the file is not as the ledger left it; `Io`, `Poisoned`.
    pub(crate) fn read_on(&self) -> Result<()> {
        self.check()?;
        if !self.has_more()? {
            return Ok(());
        }
        let mut tail = lock(&self.tail);
        loop {
            match self.take_in(&mut tail)? {
                // A part of a call was not returned to anybody.
                Found::All | Found::Part => return Ok(()),
                Found::Foreign => break,
                // As long as the name leads here, nothing is behind it.
                Found::Moved if self.is_named(&tail) => return Ok(()),
                Found::Moved => {
                    let there = Tail::open(&self.path, &self.key, self.ledger_id)?;
                    if self.end().next() < there.header.tail {
                        break;
                    }
                    self.go_on_in(&mut tail, there)?;
                }
            }
        }
        drop(tail);
        self.take_turn().map(drop)
    }

    /// Looks whether the name still leads to the file that is open: in another, nobody sees what is
    /// written here.
    ///
    /// # Errors
    /// `Damaged`: then the ledger refuses all further work. `Busy`, `Io`, `Poisoned`.
    pub(crate) fn check_name(&self) -> Result<()> {
        self.check()?;
        let is_named = self.is_named(&lock(&self.tail));
        // In a turn: it may have been compacted.
        if is_named { Ok(()) } else { self.take_turn().map(drop) }
    }

    /// Whether the name leads to the file that is open.
    fn is_named(&self, tail: &Tail) -> bool {
        stat::of_path(&self.path).is_ok_and(|named| named.identity == tail.identity)
    }

    /// Whether there is something in the next slot. This is what most looks cost.
    pub(super) fn has_more(&self) -> Result<bool> {
        let next = self.next.read().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = [0; SLOT_BYTES];
        next.file.read_exact_at(&mut bytes, next.offset).map_err(Error::io("read the ledger"))?;
        Ok(bytes != next.filler)
    }

    /// Takes in whole calls from behind the known end on.
    pub(super) fn take_in(&self, tail: &mut Tail) -> Result<Found> {
        let seal = seal_of(&self.key, &tail.header);
        let mut end = self.end();
        let mut call: Vec<Record> = Vec::new();
        let mut place = tail.place_of(end.next());
        let found = 'file: loop {
            let slots = self.slots_from(tail, place)?;
            if slots.is_empty() {
                // (The last slot of the file is never a record.)
                break Found::Foreign;
            }
            for slot in seal.decode_in_block(place, &slots) {
                let position = end.plus(call.len() as u64 + 1);
                match slot {
                    None => break 'file Found::Foreign,
                    Some(Slot::Filler) if call.is_empty() => break 'file Found::All,
                    Some(Slot::Filler) => break 'file Found::Part,
                    Some(Slot::Record(record)) if record.position != position => {
                        break 'file Found::Foreign;
                    }
                    Some(Slot::Record(record)) if record.what == What::Moved => {
                        break 'file if call.is_empty() { Found::Moved } else { Found::Part };
                    }
                    Some(Slot::Record(record)) => {
                        let is_next = usize::from(record.in_call) == call.len()
                            && call.first().is_none_or(|one| one.call_size == record.call_size);
                        if !is_next {
                            break 'file Found::Part;
                        }
                        if record.in_group == 0 {
                            // What is before it was synced before it was written.
                            self.is_synced(position.previous());
                        }
                        call.push(record);
                        if call.len() == usize::from(record.call_size) {
                            end = position;
                            self.let_call_stand(&mut call, end);
                        }
                    }
                }
                place += 1;
            }
        };
        self.has_read_to(tail, end);
        Ok(found)
    }

    /// Takes in what this process has written behind `start`, without reading it again; unless another
    /// thread has taken in a part of it.
    pub(super) fn take_in_own(
        &self,
        tail: &mut Tail,
        start: Position,
        records: Vec<Record>,
    ) -> Result<()> {
        if self.end() != start {
            return self.take_in(tail).and_then(not_whole);
        }
        let (mut end, mut call) = (start, Vec::new());
        for record in records {
            end = record.position;
            call.push(record);
            if call.len() == usize::from(record.call_size) {
                self.let_call_stand(&mut call, end);
            }
        }
        self.has_read_to(tail, end);
        Ok(())
    }

    /// Some slots of one block, from this place on, as far as the file goes.
    pub(super) fn slots_from(&self, tail: &Tail, place: u64) -> Result<Vec<[u8; SLOT_BYTES]>> {
        let left = Seal::BLOCK - usize::try_from(place % Seal::BLOCK as u64).unwrap_or(0);
        let mut bytes = vec![0; left.min(AT_A_TIME) * SLOT_BYTES];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match tail.file.read_at(rest, offset(place) + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read the ledger")(error)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes.as_chunks::<SLOT_BYTES>().0.to_vec())
    }

    /// All of a call at once, for every reader of this process.
    fn let_call_stand(&self, call: &mut Vec<Record>, end: Position) {
        let mut fences = self.fences.write().unwrap_or_else(PoisonError::into_inner);
        for record in call.drain(..) {
            let_stand(&mut fences, &record);
        }
        // Before the fences are let go of: who sees them sees this end at least.
        self.end.store(end.get(), Ordering::Release);
    }

    pub(super) fn has_read_to(&self, tail: &Tail, end: Position) {
        self.end.store(end.get(), Ordering::Release);
        let next = Next::behind(tail, &self.key, end);
        *self.next.write().unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// Goes on in the file that has the name now. The caller has its turn.
    pub(super) fn go_on(&self, tail: &mut Tail) -> Result<()> {
        let there = Tail::open(&self.path, &self.key, self.ledger_id)?;
        if there.header == tail.header {
            return Ok(());
        }
        if self.end().next() < there.header.tail {
            // It was compacted more than once since: what is missing here lies among what was kept.
            *tail = there;
            let end = self.read_anew()?;
            self.known_since.store(tail.header.known_since.get(), Ordering::Release);
            self.has_read_to(tail, end);
            return Ok(());
        }
        self.go_on_in(tail, there)
    }

    /// Goes on in a file of which all before the tail is known.
    fn go_on_in(&self, tail: &mut Tail, there: Tail) -> Result<()> {
        *tail = there;
        self.known_since.store(tail.header.known_since.get(), Ordering::Release);
        if tail.header.floor > Position::ZERO {
            let known = floor(tail.header.floor, tail.header.known_since);
            let mut fences = self.fences.write().unwrap_or_else(PoisonError::into_inner);
            fences.stand_for_dropped(known);
            drop(fences);
            forget_dropped(&self.fences);
        }
        self.has_read_to(tail, self.end());
        Ok(())
    }
}

/// The file does not say what it should: seen in a turn, when nobody writes.
pub(super) fn not_whole(found: Found) -> Result<()> {
    match found {
        Found::All => Ok(()),
        Found::Moved | Found::Part => Err(damaged("a call is not whole")),
        Found::Foreign => {
            Err(Error::damaged(Component::Ledger, "a slot was changed, or is out of place"))
        }
    }
}
