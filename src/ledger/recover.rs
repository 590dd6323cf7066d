//! What a ledger's file says when it is opened: which records count, what must be written again, and what is damage.
//!
//! A group is written only after the previous group's sync returned. So a gap can only be in the last group: it was
//! torn, nobody was told that it succeeded, and a call of it counts whole or not at all. Every other gap, and every slot
//! that is neither its filler nor a record, is damage. Pure functions over a buffer.

use super::format::{HEADER_BYTES, Header, LedgerKey, Record, SLOT_BYTES, Seal, Slot, What};
use crate::error::{Error, Part, Result};
use crate::rule::Position;

/// What was found.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) header: Header,
    /// The records that count, in order of position.
    pub(super) records: Vec<Record>,
    /// The highest position.
    pub(super) end: Position,
    /// How many slots count. If the file is longer (`is_cut`), the rest is to be cut off.
    pub(super) slots: u64,
    pub(super) is_cut: bool,
    /// The lowest position whose record was voided now: nobody can have been told of it, or of any behind it.
    pub(super) voided: Option<Position>,
    /// From the first slot of the last group to the end of the file: to be written and synced before anything counts,
    /// since what was read may have been only in the page cache.
    pub(super) rewrite: (u64, Vec<u8>),
}

/// Reads a ledger's file.
///
/// # Errors
/// `Damaged`, or `UnsupportedFormat`.
pub(super) fn recover(file: &[u8], key: &LedgerKey, ledger_id: [u8; 16]) -> Result<Recovered> {
    let header = Header::decode(file, key, ledger_id)?;
    let seal = Seal { key, ledger_id, serial: header.serial };
    let (slots, is_cut) = read_slots(file, &seal, &header)?;
    let kept = usize::try_from(header.kept).unwrap_or(usize::MAX);
    let (kept, tail) = slots.split_at_checked(kept).ok_or_else(|| damaged("records are missing at its end"))?;

    let mut records = kept_records(kept, &header)?;
    let used = tail.iter().rposition(|slot| *slot != Slot::Filler).map_or(0, |last| last + 1);
    let (tail, _) = tail.split_at(used);
    let group = last_group(tail, &header)?;
    let (before, torn) = tail.split_at(group);
    if calls(before).any(|(slots, whole)| !whole && slots.iter().any(counts)) {
        return Err(damaged("a call is not whole"));
    }
    let whole = without_torn_calls(torn, header.tail + group as u64);
    let voided = (header.tail + group as u64..).zip(torn.iter().zip(&whole)).find(|(_, (was, is))| was != is);
    let voided = voided.map(|(position, _)| position);

    records.extend(before.iter().chain(&whole).filter_map(|slot| match slot {
        Slot::Record(record) if record.what != What::Void => Some(*record),
        _ => None,
    }));
    let first = u64::from(header.kept) + group as u64;
    let after = (first..).zip(whole.iter().chain(std::iter::repeat(&Slot::Filler))).zip(slots.iter().skip(first as usize));
    let mut bytes = Vec::with_capacity(slots.len() * SLOT_BYTES);
    for ((place, slot), found) in after {
        // What is as it shall be is copied: making it anew would take most of the time of opening.
        let old = file.get(HEADER_BYTES + place as usize * SLOT_BYTES..).and_then(|rest| rest.first_chunk::<SLOT_BYTES>());
        match old.filter(|_| slot == found) {
            Some(old) => bytes.extend_from_slice(old),
            None => bytes.extend_from_slice(&seal.encode(place, *slot)),
        }
    }
    let end = header.tail - 1 + used as u64;
    Ok(Recovered { records, end, slots: slots.len() as u64, is_cut, voided, rewrite: (first, bytes), header })
}

fn damaged(problem: &'static str) -> Error {
    Error::damaged(Part::Ledger, problem)
}

fn counts(slot: &Slot) -> bool {
    matches!(slot, Slot::Record(record) if record.what != What::Void)
}

/// All slots of whole chunks. A last chunk that is not all filler and records was being added when the machine died, if the
/// chunk before it still ends in filler: then nothing was ever written to it, and it is cut off.
fn read_slots(file: &[u8], seal: &Seal<'_>, header: &Header) -> Result<(Vec<Slot>, bool)> {
    let body = file.get(HEADER_BYTES..).unwrap_or_default();
    // At least 1; and by its word alone no memory is reserved.
    let chunk = usize::try_from(header.chunk).unwrap_or(usize::MAX).max(1);
    let (whole, part) = body.as_chunks::<SLOT_BYTES>();
    let mut slots = seal.decode_all(whole);
    if !part.is_empty() {
        slots.push(None);
    }
    let (before, last) = slots.split_at(slots.len().saturating_sub(1) / chunk * chunk);
    let holds_record = last.iter().any(|slot| matches!(slot, Some(Slot::Record(_))));
    let is_whole = last.len() == chunk && !last.contains(&None);
    let is_cut = !is_whole && !holds_record && before.last() == Some(&Some(Slot::Filler));
    if is_cut {
        slots.truncate(before.len());
    }
    if !slots.len().is_multiple_of(chunk) || slots.last() != Some(&Some(Slot::Filler)) {
        return Err(damaged("it does not end in filler: it was cut off or changed"));
    }
    let slots = slots.into_iter().collect::<Option<_>>().ok_or_else(|| damaged("a slot was changed"))?;
    Ok((slots, is_cut))
}

fn kept_records(kept: &[Slot], header: &Header) -> Result<Vec<Record>> {
    let mut records: Vec<Record> = Vec::with_capacity(kept.len());
    for slot in kept {
        let follows = |record: &Record| records.last().is_none_or(|before| before.position < record.position);
        match slot {
            Slot::Record(record) if record.what != What::Void && record.position < header.tail && follows(record) => {
                records.push(*record);
            }
            _ => return Err(damaged("a record that compaction kept is missing")),
        }
    }
    Ok(records)
}

/// Where in `tail` the last group starts. All slots before it must be records, each in its place.
fn last_group(tail: &[Slot], header: &Header) -> Result<usize> {
    let in_place = |(place, slot): (u64, &Slot)| match slot {
        Slot::Record(record) => record.position == header.tail + place,
        Slot::Filler => true,
    };
    if !(0..).zip(tail).all(in_place) {
        return Err(damaged("a record is out of place"));
    }
    let Some(Slot::Record(last)) = tail.last() else { return Ok(0) };
    let group = (tail.len() - 1).checked_sub(last.in_group.into()).ok_or_else(|| damaged("a group begins before its file"))?;
    let (before, _) = tail.split_at(group);
    if before.contains(&Slot::Filler) { Err(damaged("a synced record is missing")) } else { Ok(group) }
}

/// The calls in a run of slots, and whether each is whole. A slot that begins no whole call is a call by itself.
fn calls(slots: &[Slot]) -> impl Iterator<Item = (&[Slot], bool)> {
    let mut rest = slots;
    std::iter::from_fn(move || {
        let size = match rest.first()? {
            Slot::Record(first) if first.in_call == 0 => usize::from(first.call_size).max(1),
            _ => 1,
        };
        let call = rest.get(..size).filter(|call| is_whole(call));
        let (call, behind) = rest.split_at(call.map_or(1, <[Slot]>::len));
        rest = behind;
        Some((call, is_whole(call)))
    })
}

fn is_whole(call: &[Slot]) -> bool {
    (0u16..).zip(call).all(|(place, slot)| match slot {
        Slot::Record(r) => r.what != What::Void && r.in_call == place && usize::from(r.call_size) == call.len(),
        Slot::Filler => false,
    })
}

/// The last group, with every record voided whose call is not whole. Positions stay used up.
fn without_torn_calls(group: &[Slot], first: Position) -> Vec<Slot> {
    let mut kept = Vec::with_capacity(group.len());
    for (call, whole) in calls(group) {
        if whole {
            kept.extend_from_slice(call);
        } else {
            let place = kept.len() as u64;
            // A group has at most 16 Ki records.
            let in_group = u16::try_from(place).unwrap_or(u16::MAX);
            kept.push(Slot::Record(Record {
                in_group,
                in_call: 0,
                call_size: 1,
                position: first + place,
                time: 0,
                what: What::Void,
            }));
        }
    }
    kept
}
