//! A file in every damaged form: it is refused, or every acknowledged record counts.

use super::*;

#[test]
fn a_whole_file_opens_with_everybody_gone() {
    assert_eq!(outcome(&three_groups()), Some((1..=10).collect()));
}

#[test]
fn every_torn_form_of_the_last_group_counts_each_call_whole_or_not_at_all() {
    let whole = three_groups();
    for written in 0u32..1 << 5 {
        let mut bytes = whole.clone();
        for slot in (6..11).filter(|slot| written & (1 << (slot - 6)) == 0) {
            bytes[slot_range(slot)].copy_from_slice(&filler(slot));
        }
        let has = |slot: u32| written & (1 << slot) != 0;
        let mut expected: BTreeSet<u8> = (1..=5).collect();
        expected.extend(has(0).then_some(6));
        if (1..4).all(has) {
            expected.extend([7, 8, 9]);
        }
        expected.extend(has(4).then_some(10));
        assert_eq!(outcome(&bytes), Some(expected), "{written:05b}");
    }
}

#[test]
fn a_call_that_was_voided_tells_the_checkpoint() {
    let mut bytes = three_groups();
    bytes[slot_range(8)].copy_from_slice(&filler(8));
    let machine = with_file(&bytes);
    let found = Ledger::read(machine.disk().unwrap(), ID, &key(), GROWTH).unwrap();
    assert!(
        [7, 8, 11].map(|at| found.reaches(Position::new(at))) == [true, false, false],
        "the call at 8 to 10 is voided"
    );
    assert_eq!(
        machine.files()[&Ledger::file_name(&ID)],
        bytes,
        "nothing is written before the checkpoint was asked for"
    );
    assert_eq!(found.settle().unwrap().synced(), Position::new(11), "positions are used up");
}

#[test]
fn a_header_that_says_what_cannot_be_is_damage() {
    let bytes = three_groups();
    let sound = Header::decode(&bytes, &LedgerKey::new(&key(), &ID), ID).unwrap();
    let with = |change: &dyn Fn(&mut Header)| {
        let mut header = sound.clone();
        change(&mut header);
        outcome(
            &[header.encode(&LedgerKey::new(&key(), &ID)).as_slice(), &bytes[HEADER_BYTES..]]
                .concat(),
        )
    };
    assert!(with(&|_| {}).is_some());
    assert_eq!(with(&|header| header.chunk = 0), None);
    assert_eq!(
        with(&|header| header.chunk = u32::MAX),
        None,
        "it would reserve memory for so many slots"
    );
    assert_eq!(
        with(&|header| header.tail = Position::ZERO),
        None,
        "there is no position before the first"
    );
    assert_eq!(with(&|header| header.tail = Position::MAX), None, "positions would overflow");
    assert_eq!(
        with(&|header| header.floor = header.tail),
        None,
        "it would cover what is still to come"
    );
}

#[test]
fn a_missing_record_before_the_last_group_is_damage() {
    for slot in 0..6 {
        let mut bytes = three_groups();
        bytes[slot_range(slot)].copy_from_slice(&filler(slot));
        assert_eq!(outcome(&bytes), None, "slot {slot}");
    }
}

#[test]
fn every_foreign_slot_is_damage() {
    let whole = three_groups();
    let other = {
        // The same records in a ledger of another id, under the same key.
        let machine = Machine::new();
        let id = LedgerId::filled(8);
        Ledger::create(&*machine.disk().unwrap(), id, &key(), GROWTH, at(5)).unwrap();
        let ledger = open_as(&machine, id).unwrap();
        append(&ledger, &[&[1]]);
        append(&ledger, &[&[2], &[3, 4, 5]]);
        append(&ledger, &LAST);
        machine.files().remove(&Ledger::file_name(&id)).unwrap()
    };
    let slots = (whole.len() - HEADER_BYTES) / SLOT_BYTES;
    assert_eq!(slots, 16);
    let last_chunk = 12;
    let mut damaged = 0;
    for slot in 0..slots {
        let copies =
            (0..slots).filter(|from| *from != slot).map(|from| whole[slot_range(from)].to_vec());
        let foreign =
            [vec![0; SLOT_BYTES], vec![0xff; SLOT_BYTES], other[slot_range(slot)].to_vec()];
        for content in copies.chain(foreign) {
            let mut bytes = whole.clone();
            bytes[slot_range(slot)].copy_from_slice(&content);
            match outcome(&bytes) {
                None => damaged += 1,
                // Nothing was ever written to a last chunk whose forerunner ends in filler.
                Some(found) => {
                    assert!(slot >= last_chunk && found == (1..=10).collect(), "slot {slot}")
                }
            }
        }
        // Two slots exchanged.
        for with in 0..slot {
            let mut bytes = whole.clone();
            bytes[slot_range(slot)].copy_from_slice(&whole[slot_range(with)]);
            bytes[slot_range(with)].copy_from_slice(&whole[slot_range(slot)]);
            assert!(
                outcome(&bytes)
                    .is_none_or(|found| with >= last_chunk && found == (1..=10).collect())
            );
        }
    }
    assert_eq!(damaged, last_chunk * 18);
}

#[test]
fn every_flipped_bit_is_damage_or_harmless() {
    let whole = three_groups();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        let found = outcome(&bytes);
        assert!(
            found.is_none() || (at >= slot_range(12).start && found == Some((1..=10).collect())),
            "byte {at}"
        );
    }
}

#[test]
fn every_cut_is_damage_or_harmless() {
    let whole = three_groups();
    for len in 0..whole.len() {
        let found = outcome(&whole[..len]);
        assert!(
            found.is_none() || (len >= slot_range(12).start && found == Some((1..=10).collect())),
            "length {len}"
        );
    }
}

#[test]
fn a_file_cut_to_whole_chunks_while_full_is_damage() {
    // The last record of a chunk may be written only when the next chunk is there: so a cut behind
    // it shows.
    let machine = new_machine();
    let ledger = open(&machine).unwrap();
    for number in 1..=7 {
        append(&ledger, &[&[number]]);
    }
    let bytes = file(&machine);
    assert_eq!(outcome(&bytes[..slot_range(8).start]), None);
    assert_eq!(outcome(&bytes[..slot_range(12).start]), Some((1..=7).collect()));
}

#[test]
fn every_crash_while_growing_is_mended() {
    let whole = three_groups();
    let garbage = |len: usize| (0..len).map(|i| (i * 37) as u8).collect::<Vec<_>>();
    let chunk: Vec<u8> = (16..20).flat_map(filler).collect();
    for len in 1..=chunk.len() {
        for tail in [chunk[..len].to_vec(), vec![0; len], garbage(len)] {
            assert_eq!(
                outcome(&[whole.as_slice(), &tail].concat()),
                Some((1..=10).collect()),
                "{len}"
            );
        }
    }
}

#[test]
fn changed_kept_records_are_damage() {
    let machine = new_machine();
    assert!(busy(&machine).0.compact(at(0)).unwrap());
    let whole = file(&machine);
    let header = Header::decode(&whole, &LedgerKey::new(&key(), &ID), ID).unwrap();
    let (kept, serial) = (header.kept as usize, header.serial);
    assert!(kept > 3);
    for slot in 0..kept {
        let serial_filler = Seal { key: &LedgerKey::new(&key(), &ID), ledger_id: ID, serial }
            .encode(slot as u64, Slot::Filler);
        for content in [
            vec![0; SLOT_BYTES],
            serial_filler.to_vec(),
            whole[slot_range((slot + 1) % kept)].to_vec(),
        ] {
            let mut bytes = whole.clone();
            bytes[slot_range(slot)].copy_from_slice(&content);
            assert_eq!(outcome(&bytes), None, "slot {slot}");
        }
    }
}
