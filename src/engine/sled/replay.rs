//! What sled's log says beyond a snapshot: sled's own recovery, read by read, except that a read
//! which fails is an error.
//!
//! sled takes a failed read for the end of its log, and then overwrites what it could not read. So
//! it is never given anything to recover: the store recovers the log before, with the same rules,
//! and gives sled the snapshot. Source: sled's `pagecache/{iterator,snapshot}.rs`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};

use super::log::{
    self, Header, Message, Pointer, SEGMENT, SEGMENT_HEADER, SEGMENT_LSN, border_above,
    border_below,
};
use super::snapshot::{Part, Snapshot};
use crate::platform::disk::fill;

/// Why a log could not be read to its end.
#[derive(Debug)]
pub(super) enum Fault {
    /// The system refused to read it: the next time it may be whole.
    Io(io::Error),
    /// It is not as sled writes it.
    Damaged(&'static str),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What is read of an engine.
pub(super) trait Source {
    /// The log's length.
    fn len(&self) -> io::Result<u64>;

    /// Reads the log from `at` on, until the buffer is full or the log at its end, and says how
    /// much that was.
    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Whether there is a file beside the log of this number.
    fn has_blob(&self, number: i64) -> io::Result<bool>;
}

/// Reads all of the buffer, or up to the file's end.
pub(super) fn read_at(mut file: &File, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
    file.seek(SeekFrom::Start(at))?;
    fill(&mut file, buffer)
}

/// The end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tip {
    pub(super) lsn: i64,
    /// Where its segment lies in the file.
    pub(super) segment: u64,
}

/// A log that was read to its end.
#[derive(Debug)]
pub(super) struct Replayed {
    /// As of the end, to go on with a fresh segment.
    pub(super) snapshot: Snapshot,
    /// `None` if nothing was logged since the snapshot that this began from.
    pub(super) tip: Option<Tip>,
}

/// A position that no header names which sled has written: see
/// [`set_tripwire`](super::recovery::set_tripwire).
pub(super) const TRIPWIRE: i64 = i64::MIN;

/// The headers of all segments from this LSN on: where each lies, and up to where everything was
/// stable by its word.
pub(super) fn headers(source: &dyn Source, from: i64) -> Result<BTreeMap<i64, (u64, i64)>, Fault> {
    let len = source.len()?;
    let mut found = BTreeMap::new();
    let mut offset = 0;
    while offset + SEGMENT_HEADER as u64 <= len {
        let mut bytes = [0; SEGMENT_HEADER];
        if source.read_at(offset, &mut bytes)? < SEGMENT_HEADER {
            return Err(Fault::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        let header =
            Header::read(&bytes).filter(|header| header.lsn >= from && header.stable != TRIPWIRE);
        if let Some(Header { lsn, stable }) = header
            && (lsn % SEGMENT_LSN != 0
                || lsn > i64::MAX - 2 * SEGMENT_LSN
                || found.insert(lsn, (offset, stable)).is_some())
        {
            return Err(Fault::Damaged("two of its segments claim to be one"));
        }
        offset += SEGMENT;
    }
    Ok(found)
}

/// Goes on from a snapshot to the log's end. `None` if it is there, and a fresh segment is to
/// follow.
pub(super) fn replay(source: &dyn Source, base: Snapshot) -> Result<Option<Replayed>, Fault> {
    let known = base.stable;
    let from = border_below(known.unwrap_or(0));
    let segments = headers(source, from)?;
    if segments.is_empty() {
        return without_log(source, base);
    }
    let stable = segments.values().map(|(_, stable)| *stable).max().unwrap_or(from).max(from);
    let places: BTreeMap<i64, u64> =
        segments.into_iter().map(|(lsn, (offset, _))| (lsn, offset)).collect();
    let last = end_of_tail(source, stable, &places, known.unwrap_or(-1))?;

    let mut snapshot = base;
    let tip = apply_log(source, &mut snapshot, places, last)?;
    let end = tip.map_or(known.unwrap_or(0), |tip| tip.lsn);
    if known.is_some_and(|known| end < known) {
        return Err(Fault::Damaged("its log ends before its snapshot"));
    }
    snapshot.stable = Some(border_above(end));
    snapshot.active = None;
    Ok(Some(Replayed { snapshot: checked(source, snapshot)?, tip }))
}

/// As [`replay`], where there is no segment behind the snapshot.
fn without_log(source: &dyn Source, base: Snapshot) -> Result<Option<Replayed>, Fault> {
    match base.stable {
        None => Err(Fault::Damaged("its log is empty")),
        Some(lsn) if lsn == border_above(lsn) && base.active.is_none() => {
            checked(source, base).map(|_| None)
        }
        Some(lsn) => {
            let snapshot = Snapshot { stable: Some(border_above(lsn)), active: None, ..base };
            Ok(Some(Replayed { snapshot: checked(source, snapshot)?, tip: None }))
        }
    }
}

/// Applies what the log says beyond the snapshot, up to the LSN `last`, and gives the log's end.
fn apply_log(
    source: &dyn Source,
    snapshot: &mut Snapshot,
    places: BTreeMap<i64, u64>,
    last: i64,
) -> Result<Option<Tip>, Fault> {
    let known = snapshot.stable.unwrap_or(-1);
    let mut walk = Walk {
        source,
        segments: places,
        current: None,
        most: Some(last),
        known,
        at: None,
        tip: 0,
        is_tail: false,
    };
    while let Some((message, lsn)) = walk.next()? {
        if lsn < known {
            continue;
        }
        if lsn >= last {
            return Err(Fault::Damaged("its log goes beyond its end"));
        }
        let applied = snapshot.apply(
            message.change,
            message.page,
            Part { lsn, pointer: message.pointer, len: message.len },
        );
        applied.ok_or(Fault::Damaged("its log names a page that cannot be"))?;
    }
    Ok(walk.at.map(|lsn| Tip { lsn, segment: walk.tip }))
}

/// The snapshot, if nothing of it contradicts the log.
fn checked(source: &dyn Source, snapshot: Snapshot) -> Result<Snapshot, Fault> {
    if let Some(problem) = snapshot.problem(source.len()?) {
        return Err(Fault::Damaged(problem));
    }
    // sled reads these when it opens, before it overwrites all that it takes to be free.
    for part in snapshot.first_pages() {
        let offset = part.pointer.offset();
        let mut segment = vec![0; SEGMENT as usize];
        let len = source.read_at(offset - offset % SEGMENT, &mut segment)?;
        segment.truncate(len);
        let (at, number) =
            (usize::try_from(offset % SEGMENT), u64::try_from(part.lsn / SEGMENT_LSN));
        let found = at.ok().zip(number.ok()).map(|(at, number)| log::message(&segment, at, number));
        if !matches!(found, Some(Message::Page { .. })) {
            return Err(Fault::Damaged("its first pages are damaged"));
        }
    }
    Ok(snapshot)
}

/// The last LSN that belongs to the log. Segments above what is known to be stable may be missing
/// or torn: it ends with the first that is.
///
/// (sled begins a segment too early where everything up to a border is stable: one that holds
/// nothing any more may be gone. And where the first one is missing it gives up all of the log, not
/// only the rest.)
fn end_of_tail(
    source: &dyn Source,
    stable: i64,
    places: &BTreeMap<i64, u64>,
    known: i64,
) -> Result<i64, Fault> {
    let first = border_below(stable.max(-1) + 1);
    let mut expected = first;
    let mut tail = BTreeMap::new();
    let mut missing = None;
    for (lsn, offset) in places.range(expected..) {
        if *lsn != expected {
            missing = Some(expected);
            break;
        }
        tail.insert(*lsn, *offset);
        expected += SEGMENT_LSN;
    }
    let mut walk = Walk {
        source,
        segments: tail,
        current: None,
        most: missing,
        known,
        at: None,
        tip: 0,
        is_tail: true,
    };
    while walk.next()?.is_some() {}
    Ok(walk.at.unwrap_or(first) - 1)
}

/// A change of a page, as the log has it.
struct Found {
    change: log::Change,
    page: u64,
    pointer: Pointer,
    len: u64,
}

/// Walks through segments, message by message.
struct Walk<'a> {
    source: &'a dyn Source,
    segments: BTreeMap<i64, u64>,
    /// The segment that is being read, and its place.
    current: Option<(Vec<u8>, u64)>,
    /// Nothing above is looked at.
    most: Option<i64>,
    /// What is below is in the snapshot.
    known: i64,
    /// Where the next message would be.
    at: Option<i64>,
    /// The place of the segment that was read last.
    tip: u64,
    /// Whether a message that cannot be read ends the log. It ends only its segment where later
    /// ones are known to be sound: then it is the rest of a segment that was being written anew.
    is_tail: bool,
}

impl Walk<'_> {
    fn next(&mut self) -> Result<Option<(Found, i64)>, Fault> {
        loop {
            let place = self.at.unwrap_or(0) % SEGMENT_LSN;
            if place < SEGMENT_HEADER as i64 || place > SEGMENT_LSN - log::MESSAGE_HEADER as i64 {
                self.current = None;
            }
            if self.current.is_none() && !self.next_segment()? {
                return Ok(None);
            }
            let (Some((segment, offset)), Some(lsn)) = (&self.current, self.at) else {
                return Ok(None);
            };
            if self.most.is_some_and(|most| lsn > most) {
                return Ok(None);
            }
            let place = lsn % SEGMENT_LSN;
            let (Ok(at), Ok(number)) = (usize::try_from(place), u64::try_from(lsn / SEGMENT_LSN))
            else {
                return Ok(None);
            };
            let offset = offset + at as u64;
            match log::message(segment, at, number) {
                Message::Page { change, page, blob, len } => {
                    self.at = Some(lsn + i64::from(len));
                    let pointer = match blob {
                        // (sled passes over what is gone from beside the log.)
                        Some(file) if !self.source.has_blob(file)? => continue,
                        Some(file) => Pointer::Blob(offset, file),
                        None => Pointer::Inline(offset),
                    };
                    return Ok(Some((Found { change, page, pointer, len: len.into() }, lsn)));
                }
                Message::Batch { last, .. } if self.most.is_some_and(|most| last > most) => {
                    return Ok(None);
                }
                // Nothing behind it was ever acknowledged. (What an older build has gone on behind
                // is in the snapshot.)
                Message::FailedBatch { .. } if lsn >= self.known => return Ok(None),
                Message::Batch { len, .. }
                | Message::Nothing { len }
                | Message::FailedBatch { len } => self.at = Some(lsn + i64::from(len)),
                Message::None if self.is_tail => return Ok(None),
                Message::None | Message::Cap => self.current = None,
                Message::CutOff => return Ok(None),
                Message::Impossible => {
                    return Err(Fault::Damaged("its log holds a message that sled does not write"));
                }
            }
        }
    }

    /// Reads the next segment, if there is one to read.
    fn next_segment(&mut self) -> Result<bool, Fault> {
        let Some((lsn, offset)) =
            self.segments.first_key_value().map(|(lsn, offset)| (*lsn, *offset))
        else {
            return Ok(false);
        };
        if self.most.is_some_and(|most| lsn > most) {
            return Ok(false);
        }
        let mut bytes = vec![0; SEGMENT as usize];
        let len = self.source.read_at(offset, &mut bytes)?;
        bytes.truncate(len);
        let header = bytes.first_chunk().and_then(Header::read);
        if header.is_none_or(|header| header.lsn != lsn) {
            return Err(Fault::Io(io::Error::other(
                "a segment's header was another when it was read again",
            )));
        }
        self.segments.remove(&lsn);
        self.at = Some(lsn + SEGMENT_HEADER as i64);
        self.tip = offset;
        self.current = Some((bytes, offset));
        Ok(true)
    }
}
