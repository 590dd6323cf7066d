//! The ledger: any bytes; any bytes with the right authentication put on again; files put together slot by slot; and histories of a real
//! one with crashes. What recovery makes of a file is compared with a naive reading of it, by the book.

mod history;
mod naive;

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use oubliette::fuzzing::{FileHeader, LedgerFile, LedgerOn, SlotRecord};
use oubliette::{Error, Machine};

pub use self::history::Verb;
use crate::bounds::within;
use crate::input::Encode;

/// Bytes before the first slot, and of a slot.
const HEADER_BYTES: usize = 512;
const SLOT_BYTES: usize = 64;

crate::plans! {
    /// What the rest of a run's bytes is.
    pub enum Plan {
        /// The file.
        Raw { crash: Crash },
        /// The file, authenticated anew: its header if `header`, and all slots but those of `left` (a bit for every 64th).
        Mended { header: bool, left: u64, crash: Crash },
        /// These slots.
        Slots { head: Head, items: Vec<Item>, fillers: u8, cut: u16, crash: Crash },
        /// These calls of a ledger.
        History { chunk: u8, reserve: u8, verbs: Vec<Verb> },
    }
}

crate::plans! {
    /// How the machine dies while the ledger is being opened.
    pub enum Crash {
        Never {},
        After { calls: u8, seed: u64 },
    }
}

crate::plans! {
    /// The header's fields.
    pub enum Head {
        /// As a ledger has them that has kept so many records.
        Sound { chunk: u8, kept: u8, gap: u8, floor: u8 },
        Any { serial: u32, chunk: u32, kept: u32, tail: u64, floor: u64, known_since: u64 },
    }
}

crate::plans! {
    /// A run of slots.
    pub enum Item {
        /// A group of calls of these sizes.
        Group { calls: Vec<u8> },
        Opening {},
        Void { in_group: u8 },
        Gap { slots: u8 },
        /// A record that may be out of place.
        Record { in_group: u16, in_call: u16, call_size: u16, ahead: u8, kind: u8 },
        Bad { byte: u8 },
    }
}

static FILE: LazyLock<LedgerFile> = LazyLock::new(LedgerFile::default);

/// The bytes of a run.
pub fn input(plan: &Plan, rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    plan.encode(&mut bytes);
    bytes.extend_from_slice(rest);
    bytes
}

pub fn run(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let Ok(plan) = Plan::arbitrary(&mut data) else { return };
    crate::show(&plan);
    match plan {
        Plan::Raw { crash } => compare(data.take_rest(), &crash),
        Plan::Mended { header, left, crash } => {
            let mut file = data.take_rest().to_vec();
            FILE.mend(&mut file, header, |place| left >> (place % 64) & 1 == 0);
            compare(&file, &crash);
        }
        Plan::Slots { head, items, fillers, cut, crash } => {
            let mut file = put_together(&head, &items, fillers);
            file.truncate(file.len().saturating_sub(cut.into()));
            compare(&file, &crash);
        }
        Plan::History { chunk, reserve, verbs } => history::run(chunk, reserve, &verbs),
    }
}

/// A file of these slots.
pub fn put_together(head: &Head, items: &[Item], fillers: u8) -> Vec<u8> {
    let header = match *head {
        Head::Sound { chunk, kept, gap, floor } => FileHeader {
            serial: 1,
            chunk: u32::from(chunk % 32) + 1,
            kept: kept.into(),
            tail: 1 + u64::from(kept) + u64::from(gap),
            // Below the tail.
            floor: u64::from(floor) % (1 + u64::from(kept) + u64::from(gap)),
            known_since: 7,
        },
        Head::Any { serial, chunk, kept, tail, floor, known_since } => {
            FileHeader { serial, chunk, kept, tail, floor, known_since }
        }
    };
    let mut slots: Vec<Option<Result<SlotRecord, u8>>> = Vec::new();
    let record = |slots: &[_], kind, in_group, in_call, call_size| {
        let place = slots.len() as u64;
        // Those that compaction kept have positions below the tail.
        let position = place
            .checked_sub(header.kept.into())
            .map_or(place + 1, |behind| header.tail.wrapping_add(behind));
        let tag = match kind {
            7 => [place as u8; 16],
            1 | 6 => [0; 16],
            _ => [place as u8 % 3; 16],
        };
        let cutoff = if kind < 6 { u64::MAX } else { 0 };
        Some(Ok(SlotRecord {
            in_group,
            in_call,
            call_size,
            position,
            time: 100 + place,
            kind,
            tag,
            cutoff,
        }))
    };
    for item in items.iter().take(64) {
        match item {
            Item::Group { calls } => {
                let mut in_group = 0;
                for size in calls.iter().take(16).map(|size| u16::from(size % 8)) {
                    for in_call in 0..size {
                        let kind = 1 + (in_call % 5) as u8;
                        slots.push(record(&slots, kind, in_group, in_call, size));
                        in_group += 1;
                    }
                }
            }
            Item::Opening {} => slots.push(record(&slots, 7, 0, 0, 1)),
            Item::Void { in_group } => {
                slots.push(record(&slots, 6, u16::from(*in_group), 0, 1).map(|r| r.map(voided)))
            }
            Item::Gap { slots: count } => slots.extend((0..count % 32).map(|_| None)),
            Item::Record { in_group, in_call, call_size, ahead, kind } => {
                let record = record(&slots, kind % 8, *in_group, *in_call, *call_size);
                let ahead = u64::from(*ahead);
                slots.push(record.map(|r| {
                    r.map(|r| SlotRecord { position: r.position.wrapping_add(ahead), ..r })
                }));
            }
            Item::Bad { byte } => slots.push(Some(Err(*byte))),
        }
    }
    slots.extend((0..fillers).map(|_| None));
    let mut file = FILE.header(&header);
    assert!(
        !matches!(head, Head::Sound { .. }) || FILE.read_header(&file).is_ok(),
        "a sound header is refused"
    );
    for (place, slot) in (0..).zip(&slots) {
        match slot {
            Some(Err(byte)) => file.extend_from_slice(&[*byte; SLOT_BYTES]),
            Some(Ok(record)) => {
                file.extend_from_slice(&FILE.slot(header.serial, place, Some(record)))
            }
            None => file.extend_from_slice(&FILE.slot(header.serial, place, None)),
        }
    }
    // Each slot is read as what was written there.
    let written = slots.iter().map(|slot| match slot {
        Some(Err(_)) => None,
        // (Without a kind it is filler.)
        Some(Ok(record)) => Some(Some(*record).filter(|record| record.kind > 0)),
        None => Some(None),
    });
    let read = FILE.read_slots(header.serial, file[HEADER_BYTES..].as_chunks().0);
    assert!(read.into_iter().eq(written), "a slot is read as another");
    file
}

fn voided(record: SlotRecord) -> SlotRecord {
    SlotRecord { time: 0, ..record }
}

/// Recovery says what the naive reading says; and what it writes is read again as the same, whenever the machine dies meanwhile.
fn compare(file: &[u8], crash: &Crash) {
    let expected = naive::recover(&FILE, file);
    let found = match within((64 << 10) + 16 * file.len(), || FILE.recover(file)) {
        Ok(found) => found,
        Err(Error::Damaged { .. } | Error::UnsupportedFormat { .. }) => {
            return assert!(expected.is_none(), "a sound file is damage");
        }
        Err(error) => panic!("{error:?}"),
    };
    let expected = expected.expect("damage is read");
    assert_eq!(found.records, expected.records, "other records count");
    assert_eq!(
        (found.end, found.voided, found.slots, found.is_cut),
        (expected.end, expected.voided, expected.slots, expected.is_cut)
    );
    let whole = HEADER_BYTES + expected.slots as usize * SLOT_BYTES;
    let (first, rewrite) = &found.rewrite;
    let kept = &file[..HEADER_BYTES + *first as usize * SLOT_BYTES];
    assert_eq!(kept.len() + rewrite.len(), whole, "not all slots to the end are written again");

    let machine = Machine::new();
    machine.set_files([(LedgerFile::name(), file.to_vec())].into());
    let chunk = FILE.read_header(file).map_or(1, |header| header.chunk);
    if let Crash::After { calls, seed } = crash {
        machine.die_after(u64::from(*calls % 16));
        let _ = LedgerOn::open(&machine, chunk, 3, 0);
        machine.cut_power(*seed);
        let left = machine.files().remove(&LedgerFile::name()).expect("the file is there");
        let again = FILE.recover(&left).expect("a crash while opening is no damage");
        assert_eq!(
            (&again.records, again.end),
            (&found.records, found.end),
            "a crash while opening changed what counts"
        );
    }
    let ledger = LedgerOn::open(&machine, chunk, 3, 0)
        .expect("what is sound opens")
        .expect("it reaches the start");
    assert_eq!(ledger.synced(), found.end);
    drop(ledger);
    // What was written and synced survives as it is.
    machine.cut_power(1);
    let written = machine.files().remove(&LedgerFile::name()).expect("the file is there");
    let again = FILE.recover(&written).expect("what was written is sound");
    assert_eq!(
        (again.records, again.end, again.voided, again.is_cut),
        (found.records, found.end, None, false)
    );
}
