//! What a ledger's file says when it is opened: which records count, what must be written again,
//! and what is damage.
//!
//! A group is written only after the previous group's sync returned. So a gap can only be in the
//! last group: it was torn, no caller was told that it succeeded, and a call of it counts whole or
//! not at all. Every other gap, and every slot that is neither its filler nor a record, is damage.
//!
//! The file is read slot by slot, once, and never held whole: it may be hundreds of megabytes.

use std::collections::VecDeque;
use std::io::Read;

use super::ahead::Ahead;
use super::format::{HEADER_BYTES, Header, LedgerKey, Record, SLOT_BYTES, Seal, Slot, What};
use crate::model::error::{Component, Error, Result};
use crate::model::position::Position;
use crate::model::random_id::LedgerId;
use crate::model::time::Millis;

/// What was found.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) header: Header,
    /// The highest position.
    pub(super) end: Position,
    /// How many slots count. If the file is longer (`is_cut`), the rest is to be cut off.
    pub(super) slots: u64,
    pub(super) is_cut: bool,
    /// The lowest position whose record was voided now: no caller can have been told that it, or
    /// any behind it, succeeded.
    pub(super) voided: Option<Position>,
    /// What is from the first slot of the last group to the end of the file. It has to be written
    /// and synced before anything counts, since what was read may have been only in the page cache.
    pub(super) rewrite: (u64, Vec<u8>),
}

/// How many slots are read at a time: 1 MiB, and a whole number of blocks of fillers.
const AT_A_TIME: usize = 16 * 1024;

/// Reads a ledger's file from its beginning, and gives `each` record that counts, in order of
/// position. They count only if all is well in the end.
///
/// # Errors
/// `Damaged`, or `UnsupportedFormat`; `Io`.
pub(super) fn recover(
    mut file: impl Read,
    key: &LedgerKey,
    ledger_id: LedgerId,
    mut each: impl FnMut(&Header, &Record),
) -> Result<Recovered> {
    let io = |error| Error::io("read the ledger")(error);
    let mut head = Vec::with_capacity(HEADER_BYTES);
    file.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut head).map_err(io)?;
    let header = Header::decode(&head, key, ledger_id)?;
    let seal = Seal { key, ledger_id, serial: header.serial };
    let mut scan = Scan::new(&header);
    std::thread::scope(|scope| {
        let mut read = |first| -> Result<Ahead<'_>> {
            // A short file takes little memory: the first buffer grows with what is there.
            let mut bytes = Vec::with_capacity(if first == 0 { 0 } else { AT_A_TIME * SLOT_BYTES });
            file.by_ref()
                .take((AT_A_TIME * SLOT_BYTES) as u64)
                .read_to_end(&mut bytes)
                .map_err(io)?;
            Ok(Ahead::begin(scope, &seal, first, bytes))
        };
        let (mut first, mut ahead) = (0, read(0)?);
        loop {
            let is_last = ahead.bytes.len() < AT_A_TIME * SLOT_BYTES;
            let now = ahead;
            // While this thread goes through these, others authenticate what is behind them.
            first += AT_A_TIME as u64;
            ahead = if is_last { Ahead::default() } else { read(first)? };
            for slot in now.decoded(&seal) {
                scan.push(slot, &mut each)?;
            }
            if is_last {
                return scan.finish(&seal, &mut each);
            }
        }
    })
}

fn damaged(problem: &'static str) -> Error {
    Error::damaged(Component::Ledger, problem)
}

fn counts(slot: &Slot) -> bool {
    matches!(slot, Slot::Record(record) if is_something(record))
}

/// Whether it says something: also not if it says that a file was to follow which never took this
/// one's place.
fn is_something(record: &Record) -> bool {
    !matches!(record.what, What::Void | What::Moved)
}

/// How far the file has been read.
struct Scan<'a> {
    header: &'a Header,
    /// Slots so far.
    slots: u64,
    /// What the last chunk's slots were so far, and how the chunk before it ended.
    chunk: Chunk,
    before: Option<bool>,
    /// The position of the last record that compaction kept.
    last_kept: Position,
    /// Slots of the tail that may be of the last group, or of a call that is; `settled` is how many
    /// were before them. The last of them is a record.
    window: VecDeque<Slot>,
    settled: u64,
    /// Fillers behind them.
    fillers: u64,
}

#[derive(Clone, Copy, Default)]
struct Chunk {
    len: u64,
    has_record: bool,
    has_foreign: bool,
    ends_in_filler: bool,
}

impl<'a> Scan<'a> {
    fn new(header: &'a Header) -> Self {
        let (window, chunk) = (VecDeque::new(), Chunk::default());
        Self {
            header,
            slots: 0,
            chunk,
            before: None,
            last_kept: Position::ZERO,
            window,
            settled: 0,
            fillers: 0,
        }
    }

    /// Takes in the next slot; `None` is one that this ledger did not write there.
    ///
    /// A last chunk that is not all filler and records was being added when the machine died, if
    /// the chunk before it still ends in filler: then nothing was ever written to it, and it is cut
    /// off. So a foreign slot is tolerated as long as no record is in its chunk and no chunk
    /// behind.
    fn push(&mut self, slot: Option<Slot>, each: &mut impl FnMut(&Header, &Record)) -> Result<()> {
        if self.chunk.len == u64::from(self.header.chunk) {
            if self.chunk.has_foreign {
                return Err(damaged("a slot was changed"));
            }
            self.before = Some(self.chunk.ends_in_filler);
            self.chunk = Chunk::default();
        }
        let chunk = &mut self.chunk;
        chunk.len += 1;
        chunk.has_record |= matches!(slot, Some(Slot::Record(_)));
        chunk.has_foreign |= slot.is_none();
        chunk.ends_in_filler = slot == Some(Slot::Filler);
        if chunk.has_foreign && (chunk.has_record || self.before != Some(true)) {
            return Err(damaged("a slot was changed"));
        }
        let place = self.slots;
        self.slots += 1;
        match slot {
            Some(slot) if place < u64::from(self.header.kept) => self.keep(slot, each),
            Some(Slot::Record(record)) => self.append(record, each),
            Some(Slot::Filler) => {
                self.fillers += 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Takes in a slot that compaction kept.
    fn keep(&mut self, slot: Slot, each: &mut impl FnMut(&Header, &Record)) -> Result<()> {
        match slot {
            Slot::Record(record)
                if is_something(&record)
                    && record.position < self.header.tail
                    && record.position > self.last_kept =>
            {
                self.last_kept = record.position;
                each(self.header, &record);
                Ok(())
            }
            _ => Err(damaged("a record that compaction kept is missing")),
        }
    }

    /// Takes in a record of the tail.
    fn append(&mut self, record: Record, each: &mut impl FnMut(&Header, &Record)) -> Result<()> {
        /// No group reaches further back.
        const REACH: u64 = u16::MAX as u64;
        let place = self.settled + self.window.len() as u64 + self.fillers;
        if record.position != self.header.tail.plus(place) {
            return Err(damaged("a record is out of place"));
        }
        if self.fillers > REACH {
            return Err(damaged("a synced record is missing"));
        }
        self.window.extend((0..std::mem::take(&mut self.fillers)).map(|_| Slot::Filler));
        self.window.push_back(Slot::Record(record));
        self.settle(place.saturating_sub(REACH), false, each)
    }

    /// Settles what is before this place of the tail. It is certainly not of the last group: none
    /// of it may be missing, and every call must be whole. A call that ends behind it waits, unless
    /// this is the end of the file (`is_last`).
    fn settle(
        &mut self,
        before: u64,
        is_last: bool,
        each: &mut impl FnMut(&Header, &Record),
    ) -> Result<()> {
        while self.settled < before {
            let left = usize::try_from(before - self.settled).unwrap_or(usize::MAX);
            let size = self.window.front().map_or(1, size_of_call);
            if size > left && !is_last {
                return Ok(());
            }
            let is_whole = size <= left && is_whole(self.window.iter().take(size), size);
            for _ in 0..if is_whole { size } else { 1 } {
                let Some(slot) = self.window.pop_front() else {
                    return Err(damaged("a synced record is missing"));
                };
                self.settled += 1;
                match slot {
                    Slot::Filler => return Err(damaged("a synced record is missing")),
                    Slot::Record(_) if !is_whole && counts(&slot) => {
                        return Err(damaged("a call is not whole"));
                    }
                    Slot::Record(record) if is_something(&record) => each(self.header, &record),
                    Slot::Record(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Looks at the last chunk, whose slots do not count if it was being added when the machine
    /// died. Says whether that is so.
    fn end_chunk(&mut self) -> Result<bool> {
        let (header, chunk) = (self.header, self.chunk);
        let is_whole_chunk = chunk.len == u64::from(header.chunk) && !chunk.has_foreign;
        let is_cut =
            !is_whole_chunk && chunk.len > 0 && !chunk.has_record && self.before == Some(true);
        if is_cut {
            self.slots -= chunk.len;
        } else if !is_whole_chunk || !chunk.ends_in_filler {
            return Err(damaged("it does not end in filler: it was cut off or changed"));
        }
        if self.slots < u64::from(header.kept) {
            return Err(damaged("records are missing at its end"));
        }
        Ok(is_cut)
    }

    /// Says what was found, once the file is at its end.
    fn finish(
        mut self,
        seal: &Seal<'_>,
        each: &mut impl FnMut(&Header, &Record),
    ) -> Result<Recovered> {
        let header = self.header;
        let is_cut = self.end_chunk()?;

        // A file that was to follow never took this one's place: all that is before the record of
        // it was synced before.
        let was_to_move = self.window.pop_back_if(|slot| leads_on(slot)).is_some();

        // What is before the last group must be whole.
        let used = self.settled + self.window.len() as u64;
        let group = match self.window.back() {
            Some(Slot::Record(last)) if !was_to_move => (used - 1)
                .checked_sub(last.in_group.into())
                .ok_or_else(|| damaged("a group begins before its file"))?,
            _ => used,
        };
        self.settle(group, true, each)?;

        // Of the last group, what is not whole is voided.
        let torn: Vec<Slot> = self.window.into();
        let whole = without_torn_calls(&torn, header.tail.plus(group));
        let voided = torn.iter().zip(&whole).position(|(was, is)| was != is);
        let voided = voided.map(|place| header.tail.plus(group + place as u64));
        for slot in &whole {
            match slot {
                Slot::Record(record) if is_something(record) => each(header, record),
                _ => {}
            }
        }

        // From its first slot on, the file is written again.
        let first = u64::from(header.kept) + group;
        let behind = first + whole.len() as u64;
        let mut bytes: Vec<u8> =
            (first..).zip(&whole).flat_map(|(place, slot)| seal.encode(place, *slot)).collect();
        bytes.extend_from_slice(&seal.fillers(behind, self.slots));
        let end = header.tail.previous().plus(used);
        Ok(Recovered {
            header: header.clone(),
            end,
            slots: self.slots,
            is_cut,
            voided,
            rewrite: (first, bytes),
        })
    }
}

fn leads_on(slot: &Slot) -> bool {
    matches!(slot, Slot::Record(Record { what: What::Moved, .. }))
}

/// Of how many slots the call is that this one begins. A slot that begins none is one by itself.
fn size_of_call(slot: &Slot) -> usize {
    match slot {
        Slot::Record(first) if first.in_call == 0 => usize::from(first.call_size).max(1),
        _ => 1,
    }
}

/// Whether these slots are a call of this size.
fn is_whole<'a>(call: impl Iterator<Item = &'a Slot>, size: usize) -> bool {
    let mut places = 0;
    let is_its = |slot: &Slot| match slot {
        Slot::Record(r) => {
            let is_its = is_something(r)
                && usize::from(r.in_call) == places
                && usize::from(r.call_size) == size;
            places += 1;
            is_its
        }
        Slot::Filler => false,
    };
    let mut call = call;
    call.all(is_its) && places == size
}

/// The last group, with every record voided whose call is not whole. Positions stay used up.
fn without_torn_calls(group: &[Slot], first: Position) -> Vec<Slot> {
    let mut kept = Vec::with_capacity(group.len());
    let mut rest = group;
    while let Some(slot) = rest.first() {
        let size = size_of_call(slot);
        let call = rest.get(..size).filter(|call| is_whole(call.iter(), size));
        if let Some(call) = call {
            kept.extend_from_slice(call);
        } else {
            let place = kept.len() as u64;
            // A group has at most 16 Ki records.
            let in_group = u16::try_from(place).unwrap_or(u16::MAX);
            kept.push(Slot::Record(Record {
                in_group,
                in_call: 0,
                call_size: 1,
                position: first.plus(place),
                time: Millis::EPOCH,
                what: What::Void,
            }));
        }
        rest = rest.get(call.map_or(1, <[Slot]>::len)..).unwrap_or_default();
    }
    kept
}
