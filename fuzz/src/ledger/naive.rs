//! The ledger's file read by the book (`docs/format.md`, "Opening"), slot by slot, with nothing clever.

use oubliette::fuzzing::{LedgerFile, SlotRecord};

use super::{HEADER_BYTES, SLOT_BYTES};

pub(super) struct Naive {
    pub(super) records: Vec<SlotRecord>,
    pub(super) end: u64,
    pub(super) voided: Option<u64>,
    pub(super) slots: u64,
    pub(super) is_cut: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Cell {
    Filler,
    Record(SlotRecord),
    Bad,
}

/// What counts; `None` is damage.
pub(super) fn recover(ledger: &LedgerFile, file: &[u8]) -> Option<Naive> {
    let header = ledger.read_header(file).ok()?;
    let (whole, part) = file[HEADER_BYTES..].as_chunks::<SLOT_BYTES>();
    let read = ledger.read_slots(header.serial, whole).into_iter();
    let mut cells: Vec<Cell> = read
        .map(|slot| match slot {
            None => Cell::Bad,
            Some(None) => Cell::Filler,
            Some(Some(record)) => Cell::Record(record),
        })
        .collect();
    if !part.is_empty() {
        cells.push(Cell::Bad);
    }

    // 1. A last chunk that is not all fillers, and has no record, is cut off if the chunk before it ends in filler.
    let chunk = header.chunk as usize;
    let last_chunk = cells.len().saturating_sub(1) / chunk * chunk;
    let last = &cells[last_chunk..];
    let is_filler = last.len() == chunk && last.iter().all(|cell| *cell == Cell::Filler);
    let has_record = last.iter().any(|cell| matches!(cell, Cell::Record(_)));
    let before_is_filler = last_chunk > 0 && cells[last_chunk - 1] == Cell::Filler;
    let is_cut = !is_filler && !has_record && before_is_filler && !last.is_empty();
    if is_cut {
        cells.truncate(last_chunk);
    }
    // Whole chunks, ending in filler, and nothing else in them.
    if !cells.len().is_multiple_of(chunk)
        || cells.last() != Some(&Cell::Filler)
        || cells.contains(&Cell::Bad)
    {
        return None;
    }

    // Kept records have rising positions below the tail.
    let kept = header.kept as usize;
    if kept > cells.len() || header.tail == 0 {
        return None;
    }
    let mut records: Vec<SlotRecord> = Vec::new();
    for cell in &cells[..kept] {
        match cell {
            Cell::Record(record)
                if record.kind != 6
                    && record.position < header.tail
                    && records.last().is_none_or(|last| last.position < record.position) =>
            {
                records.push(*record);
            }
            _ => return None,
        }
    }
    // From there on, slot `kept + i` holds position `tail + i`.
    let tail = &cells[kept..];
    for (i, cell) in tail.iter().enumerate() {
        if let Cell::Record(record) = cell {
            (u128::from(record.position) == u128::from(header.tail) + i as u128).then_some(())?;
        }
    }

    // 2. The last group starts `in group` slots before the last record.
    let used = tail.iter().rposition(|cell| *cell != Cell::Filler).map_or(0, |at| at + 1);
    let group = match used.checked_sub(1).map(|last| tail[last]) {
        Some(Cell::Record(last)) => (used - 1).checked_sub(last.in_group.into())?,
        _ => 0,
    };
    // A filler before it, or an incomplete call before it, is damage.
    let mut at = 0;
    while at < group {
        match call(&tail[..group], at) {
            Some(size) => {
                records.extend(tail[at..at + size].iter().filter_map(|cell| record_of(*cell)));
                at += size;
            }
            None => {
                (record_of(tail[at])?.kind == 6).then_some(())?;
                at += 1;
            }
        }
    }
    // Inside it, calls that are not whole are void.
    let mut voided = None;
    while at < used {
        match call(&tail[..used], at) {
            Some(size) => {
                records.extend(tail[at..at + size].iter().filter_map(|cell| record_of(*cell)));
                at += size;
            }
            None => {
                let is_void = |record: SlotRecord| {
                    let place = (at - group) as u16;
                    record.kind == 6
                        && (record.in_group, record.in_call, record.call_size, record.time)
                            == (place, 0, 1, 0)
                };
                if !record_of(tail[at]).is_some_and(is_void) {
                    voided = voided.or(Some(header.tail + at as u64));
                }
                at += 1;
            }
        }
    }
    let end = u64::try_from(u128::from(header.tail) + used as u128 - 1).ok()?;
    Some(Naive { records, end, voided, slots: cells.len() as u64, is_cut })
}

/// How many slots the whole call has that begins here.
fn call(cells: &[Cell], at: usize) -> Option<usize> {
    let first = record_of(cells[at])
        .filter(|first| first.kind != 6 && first.in_call == 0 && first.call_size > 0)?;
    let size = usize::from(first.call_size);
    for place in 0..size {
        let record = record_of(*cells.get(at + place)?)?;
        if record.kind == 6
            || usize::from(record.in_call) != place
            || record.call_size != first.call_size
        {
            return None;
        }
    }
    Some(size)
}

fn record_of(cell: Cell) -> Option<SlotRecord> {
    if let Cell::Record(record) = cell { Some(record) } else { None }
}
