//! The ledger's file in every damaged form: acknowledged records are never lost silently.

use std::collections::BTreeSet;

use super::*;
use crate::model::position::{Opening, Position};
use crate::model::random_id::LedgerId;
use crate::model::tag::{AccountTag, TenantTag};
use crate::model::time::Millis;
use crate::rule::Life;
use crate::store::location::Place;
use crate::testing::machine::Machine;

const ID: LedgerId = LedgerId::from_bytes([9; 16]);
const GROWTH: Growth = Growth { chunk: 4, reserve: 4 };

fn key() -> LedgerRootKey {
    LedgerRootKey::init(|bytes| bytes.fill(3))
}

fn at(time: u64) -> Millis {
    Millis::new(time)
}

fn account(number: u8) -> TaggedScope {
    TaggedScope::Account(AccountTag::filled(number))
}

fn new_machine() -> Machine {
    let machine = Machine::new();
    Ledger::create(&*machine.disk().unwrap(), ID, &key(), GROWTH, at(5)).unwrap();
    machine
}

fn open(machine: &Machine) -> Result<Ledger> {
    open_as(machine, ID)
}

fn open_as(machine: &Machine, id: LedgerId) -> Result<Ledger> {
    let ledger = Ledger::read(machine.disk().unwrap(), id, &key(), GROWTH)?.settle()?;
    ledger.begin(at(6))?;
    Ok(ledger)
}

fn file(machine: &Machine) -> Vec<u8> {
    machine.files().remove(&Ledger::file_name(&ID)).unwrap()
}

/// A machine whose ledger is this file.
fn with_file(bytes: &[u8]) -> Machine {
    let machine = Machine::new();
    machine.set_files([(Ledger::file_name(&ID), bytes.to_vec())].into());
    machine
}

/// Several calls in one group, since nobody writes before the wait.
fn append(ledger: &Ledger, calls: &[&[u8]]) {
    let spans: Vec<Span> = calls
        .iter()
        .map(|call| {
            ledger
                .stand(&call.iter().map(|n| account(*n)).collect::<Vec<_>>(), NO_CUTOFF, at(7))
                .unwrap()
        })
        .collect();
    ledger.wait(spans.last().unwrap().last).unwrap();
}

/// Who is signed out.
fn gone(ledger: &Ledger) -> BTreeSet<u8> {
    (0..=255).filter(|n| ledger.fences().last(account(*n)).is_some()).collect()
}

/// The opening's record in slot 0; then three groups: {1}, {2 | 3 4 5}, and as the last {6 | 7 8 9
/// | 10}, in slots 1, 2 to 5 and 6 to 10.
const LAST: [&[u8]; 3] = [&[6], &[7, 8, 9], &[10]];

fn three_groups() -> Vec<u8> {
    let machine = new_machine();
    let ledger = open(&machine).unwrap();
    append(&ledger, &[&[1]]);
    append(&ledger, &[&[2], &[3, 4, 5]]);
    append(&ledger, &LAST);
    assert_eq!((ledger.stats().groups, ledger.synced()), (4, Position::new(11)));
    file(&machine)
}

fn slot_range(slot: usize) -> std::ops::Range<usize> {
    let start = HEADER_BYTES + slot * SLOT_BYTES;
    start..start + SLOT_BYTES
}

fn filler(slot: usize) -> [u8; SLOT_BYTES] {
    Seal { key: &LedgerKey::new(&key(), &ID), ledger_id: ID, serial: 0 }
        .encode(slot as u64, Slot::Filler)
}

/// Opens a damaged file. If it opens, it must go on like any other: append, open again, the same
/// people gone.
fn outcome(bytes: &[u8]) -> Option<BTreeSet<u8>> {
    let machine = with_file(bytes);
    match open(&machine) {
        Ok(ledger) => {
            let found = gone(&ledger);
            let before = ledger.synced();
            assert_eq!(
                (file(&machine).len() - HEADER_BYTES) % (SLOT_BYTES * GROWTH.chunk as usize),
                0,
                "whole chunks"
            );
            append(&ledger, &[&[200], &[201, 202]]);
            assert_eq!(ledger.synced(), before.plus(3));
            drop(ledger);
            machine.cut_power(1);
            let again = gone(&open(&machine).unwrap());
            assert_eq!(again, &found | &[200, 201, 202].into());
            Some(found)
        }
        Err(
            Error::Damaged { part: Part::Ledger, .. }
            | Error::UnsupportedFormat { part: Part::Ledger, .. },
        ) => None,
        Err(other) => panic!("{other:?}"),
    }
}

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

/// Runs `work` on a copy of the machine that dies at its first, second, ... disk call, then loses
/// power in several ways.
fn at_every_death(machine: &Machine, work: impl Fn(&Ledger), check: impl Fn(&Ledger, u64)) -> u64 {
    let mut deaths = 0;
    for calls in 0.. {
        let mut finished = false;
        for seed in 0..8 {
            let machine = machine.copy();
            let ledger = open(&machine).unwrap();
            machine.die_after(calls);
            let before = machine.calls();
            work(&ledger);
            finished = machine.calls() - before <= calls;
            if seed % 2 == 0 {
                machine.cut_power(seed)
            } else {
                machine.kill_process(seed)
            }
            check(&open(&machine).unwrap(), calls);
            deaths += 1;
        }
        if finished {
            break;
        }
    }
    deaths
}

#[test]
fn a_death_at_any_call_while_appending_loses_nothing_acknowledged() {
    let machine = new_machine();
    let acknowledged = Mutex::new(0);
    let deaths = at_every_death(
        &machine,
        |ledger| {
            *acknowledged.lock().unwrap() = 0;
            for number in 1..=20 {
                match ledger
                    .stand(&[account(number), account(number + 100)], NO_CUTOFF, at(7))
                    .map(|span| ledger.wait(span.last))
                {
                    Ok(Ok(())) => *acknowledged.lock().unwrap() = number,
                    _ => break,
                }
            }
        },
        |ledger, calls| {
            let acknowledged = *acknowledged.lock().unwrap();
            let gone = gone(ledger);
            let both = |n: &u8| gone.contains(n) && gone.contains(&(n + 100));
            let neither = |n: &u8| !gone.contains(n) && !gone.contains(&(n + 100));
            assert!((1..=acknowledged).all(|n| both(&n)), "after {calls} calls");
            assert!(
                both(&(acknowledged + 1)) || neither(&(acknowledged + 1)),
                "a call is whole or not there"
            );
            assert!((acknowledged + 2..=20).all(|n| neither(&n)));
        },
    );
    assert!(deaths > 300, "{deaths}");
}

#[test]
fn a_failed_sync_poisons_and_everybody_waiting_is_told() {
    let machine = new_machine();
    let ledger = std::sync::Arc::new(open(&machine).unwrap());
    machine.set_failing_syncs(true);
    let waiters: Vec<_> = (1..=8)
        .map(|number| {
            let ledger = ledger.clone();
            std::thread::spawn(move || {
                ledger
                    .stand(&[account(number)], NO_CUTOFF, at(7))
                    .map(|span| ledger.wait(span.last))
            })
        })
        .collect();
    let mut indeterminate = 0;
    for waiter in waiters {
        match waiter.join().unwrap() {
            Ok(Err(Error::Indeterminate(_))) => indeterminate += 1,
            Err(Error::Poisoned(Part::Ledger)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(indeterminate > 0);
    assert_eq!(gone(&ledger).len(), indeterminate, "the fences stand");
    machine.set_failing_syncs(false);
    assert!(
        matches!(ledger.stand(&[account(1)], NO_CUTOFF, at(7)), Err(Error::Poisoned(Part::Ledger))),
        "nothing is tried again"
    );
}

#[test]
fn a_full_disk_leaves_the_reserve() {
    let machine = new_machine();
    let ledger = open(&machine).unwrap();
    machine.set_full(true);
    let reserve = ledger.stats().free_slots;
    assert!(reserve >= GROWTH.reserve);
    for number in 0..reserve {
        append(&ledger, &[&[number as u8 + 1]]);
    }
    assert!(matches!(
        ledger.stand(&[account(99)], NO_CUTOFF, at(7)),
        Err(Error::Full(Part::Ledger))
    ));
    assert_eq!(gone(&ledger).len() as u64, reserve, "what is refused does not stand");
    machine.set_full(false);
    append(&ledger, &[&[99]]);
    drop(ledger);
    machine.cut_power(3);
    assert_eq!(gone(&open(&machine).unwrap()).len() as u64, reserve + 1);
}

/// The as-ofs that sign-ins between the sign-outs of [`busy`] have, and their accounts and times.
fn cast() -> impl Iterator<Item = (u8, Position, Millis)> {
    (0..4).flat_map(|account| {
        (1..=37).flat_map(move |as_of| {
            (0..6).map(move |time| (account, Position::new(as_of), at(time)))
        })
    })
}

/// Whether each sign-in of the cast, made in this opening, is dead.
fn verdicts(ledger: &Ledger, opening: Opening) -> Vec<bool> {
    let fences = ledger.fences();
    let life = |(account, as_of, time)| Life {
        opening,
        as_of,
        time,
        account: AccountTag::filled(account),
        other: None,
        tenant: TenantTag::filled(0),
        session: None,
        subject: None,
    };
    cast().map(|who| fences.is_dead(&life(who))).collect()
}

/// 36 sign-outs of few accounts, with and without cutoffs, at times 100 to 135.
fn busy(machine: &Machine) -> (Ledger, Opening) {
    let ledger = open(machine).unwrap();
    for number in 0..36u64 {
        let scope = if number == 17 { TaggedScope::Everybody } else { account((number % 3) as u8) };
        let cutoff = if number % 4 == 0 { NO_CUTOFF } else { at(number % 5) };
        let span = ledger.stand(&[scope], cutoff, at(100 + number)).unwrap();
        ledger.wait(span.last).unwrap();
    }
    let opening = ledger.opening();
    (ledger, opening)
}

#[test]
fn compaction_changes_no_verdict() {
    let machine = new_machine();
    let (ledger, opening) = busy(&machine);
    let (before, bytes) = (verdicts(&ledger, opening), file(&machine).len());
    assert!(ledger.compact(at(0)).unwrap());
    assert!(file(&machine).len() < bytes);
    assert_eq!(verdicts(&ledger, opening), before);
    assert!(!ledger.compact(at(0)).unwrap(), "there is nothing more to gain");
    append(&ledger, &[&[77], &[78, 79]]);
    assert_eq!((ledger.synced(), ledger.horizon()), (Position::new(40), (Position::ZERO, at(5))));
    drop(ledger);
    machine.cut_power(1);
    let ledger = open(&machine).unwrap();
    assert_eq!((ledger.synced(), ledger.horizon()), (Position::new(41), (Position::ZERO, at(5))));
    assert_eq!(verdicts(&ledger, opening), before);
    assert!([77, 78, 79].iter().all(|n| gone(&ledger).contains(n)));
}

/// The clock goes back between two processes; the newer sign-out hides the older one, whose time is
/// later.
#[test]
fn compaction_forgets_no_time_of_a_sign_out_that_refuses_an_import() {
    let machine = new_machine();
    let sign_out = |time, count| {
        let ledger = open(&machine).unwrap();
        for _ in 0..count {
            ledger.wait(ledger.stand(&[account(1)], NO_CUTOFF, at(time)).unwrap().last).unwrap();
        }
        ledger
    };
    drop(sign_out(1000, 1));
    let ledger = sign_out(300, 12);
    let life = Life {
        opening: ledger.opening(),
        as_of: Position::new(99),
        time: at(745),
        account: AccountTag::filled(1),
        other: None,
        tenant: TenantTag::filled(0),
        session: None,
        subject: None,
    };
    let is_refused = |ledger: &Ledger, time| ledger.fences().is_covered_since(&life, at(time));
    assert!(is_refused(&ledger, 745) && !is_refused(&ledger, 1001));
    assert!(ledger.compact(at(0)).unwrap());
    assert!(is_refused(&ledger, 745) && !is_refused(&ledger, 1001), "it was signed out at 1000");
    drop(ledger);
    let ledger = open(&machine).unwrap();
    assert!(is_refused(&ledger, 745) && !is_refused(&ledger, 1001), "after a restart too");
}

#[test]
fn what_is_dropped_for_its_age_still_covers_everybody_older() {
    let machine = new_machine();
    let (ledger, opening) = busy(&machine);
    let before = verdicts(&ledger, opening);
    assert!(ledger.compact(at(120)).unwrap());
    let check = |ledger: &Ledger| {
        // Everybody older than the newest record that was dropped for its age is dead now; about
        // the others nothing changed. (That record is everybody's, at 19: newer ones of the
        // accounts hide the two behind it.)
        let (floor, known_since) = ledger.horizon();
        assert_eq!((floor, known_since), (Position::new(19), at(117)));
        for (((_, as_of, _), is), was) in cast().zip(verdicts(ledger, opening)).zip(&before) {
            assert_eq!(is, as_of < floor || *was);
        }
    };
    check(&ledger);
    drop(ledger);
    machine.cut_power(1);
    check(&open(&machine).unwrap());
}

#[test]
fn a_death_at_any_call_while_compacting_changes_no_verdict() {
    let machine = new_machine();
    let (ledger, opening) = busy(&machine);
    let before = verdicts(&ledger, opening);
    let deaths = at_every_death(
        &machine,
        |ledger| drop(ledger.compact(at(0))),
        |ledger, calls| {
            assert_eq!(verdicts(ledger, opening), before, "after {calls} calls");
            append(ledger, &[&[77]]);
        },
    );
    assert!(deaths >= 4 * 8, "{deaths}");
}

#[test]
fn a_compaction_whose_switch_failed_poisons() {
    // Which of the two files a crash leaves is unknown: nothing may be acknowledged in either.
    let (mut poisoned, mut unharmed, mut done) = (0, 0, 0);
    for calls in 0..20 {
        let machine = new_machine();
        let (ledger, _) = busy(&machine);
        machine.die_after(calls);
        let result = ledger.compact(at(0));
        machine.die_after(u64::MAX);
        match result {
            Ok(true) => done += 1,
            Ok(false) => panic!("it is worth it"),
            Err(Error::Io { .. }) => {
                append(&ledger, &[&[77]]);
                unharmed += 1;
            }
            Err(Error::Poisoned(Part::Ledger)) => {
                assert!(matches!(
                    ledger.stand(&[account(77)], NO_CUTOFF, at(7)),
                    Err(Error::Poisoned(Part::Ledger))
                ));
                poisoned += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(
        poisoned >= 2 && unharmed >= 4 && done >= 1,
        "{poisoned} poisoned, {unharmed} unharmed, {done} done"
    );
}

/// A sign-out that stands and is not on the disk yet hides an older one that is. The older one may
/// go only when the newer one is there.
#[test]
fn compaction_leaves_no_record_out_for_one_that_a_crash_takes() {
    for seed in 0..8 {
        let machine = new_machine();
        let (ledger, opening) = busy(&machine);
        append(&ledger, &[&[50]]);
        let as_of = ledger.synced().previous();
        ledger.stand(&[account(50)], NO_CUTOFF, at(200)).unwrap();
        assert!(ledger.compact(at(0)).unwrap());
        machine.cut_power(seed);
        let life = Life {
            opening,
            as_of,
            time: at(150),
            account: AccountTag::filled(50),
            other: None,
            tenant: TenantTag::filled(0),
            session: None,
            subject: None,
        };
        assert!(open(&machine).unwrap().fences().is_dead(&life));
    }
}

/// While the new file is being written or synced, for as long as that takes, sign-outs are
/// acknowledged; and the new file has them.
#[test]
fn sign_outs_go_on_while_the_ledger_is_compacted() {
    for hold in [Machine::set_holding_next_writes, Machine::set_holding_next_files] {
        let machine = new_machine();
        let (ledger, opening) = busy(&machine);
        let before = verdicts(&ledger, opening);
        hold(&machine, true);
        std::thread::scope(|scope| {
            let compaction = scope.spawn(|| ledger.compact(at(0)));
            machine.wait_held();
            append(&ledger, &[&[77], &[78, 79]]);
            // More than the old file has room for: it grows meanwhile.
            (100..140).for_each(|number| append(&ledger, &[&[number]]));
            hold(&machine, false);
            assert!(compaction.join().unwrap().unwrap());
        });
        assert_eq!(verdicts(&ledger, opening), before);
        append(&ledger, &[&[80]]);
        assert!(ledger.check().unwrap() > 40);
        for seed in 0..8 {
            let machine = machine.copy();
            machine.cut_power(seed);
            let ledger = open(&machine).unwrap();
            assert_eq!(verdicts(&ledger, opening), before);
            assert!(
                [77, 78, 79, 80].into_iter().chain(100..140).all(|n| gone(&ledger).contains(&n))
            );
            append(&ledger, &[&[81]]);
        }
    }
}

#[test]
fn a_check_sees_a_changed_byte_wherever_it_is() {
    let machine = new_machine();
    let (ledger, _) = busy(&machine);
    let decides = ledger.check().unwrap();
    assert_eq!(decides, ledger.stats().fences as u64);
    let whole = machine.files();
    let name = Ledger::file_name(&ID);
    let mut damaged = 0;
    for at in (0..file(&machine).len()).step_by(13) {
        let mut files = whole.clone();
        if let Some(byte) = files.get_mut(&name).and_then(|bytes| bytes.get_mut(at)) {
            *byte ^= 4;
        }
        machine.put_bytes(&name, &files[&name]);
        assert!(
            matches!(ledger.check(), Err(Error::Damaged { part: Part::Ledger, .. })),
            "byte {at}"
        );
        damaged += 1;
    }
    machine.put_bytes(&name, &whole[&name]);
    assert_eq!(ledger.check().unwrap(), decides);
    assert!(damaged > 200);
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

#[test]
fn threads_share_syncs_and_all_are_durable() {
    let machine = new_machine();
    let ledger = std::sync::Arc::new(open(&machine).unwrap());
    // Hold the first sync until all others have queued behind it.
    machine.set_holding_syncs(true);
    let spawn = |number: u8| {
        let ledger = ledger.clone();
        std::thread::spawn(move || {
            ledger
                .stand(&[account(number)], NO_CUTOFF, at(7))
                .and_then(|span| ledger.wait(span.last))
        })
    };
    let first = spawn(1);
    machine.wait_held();
    let others: Vec<_> = (2..=5).map(spawn).collect();
    while ledger.lock().pending.len() < 3 {
        // One of them may be waiting for the file to grow.
        std::thread::yield_now();
        if ledger.lock().free() == 0 {
            break;
        }
    }
    machine.set_holding_syncs(false);
    for thread in others.into_iter().chain([first]) {
        thread.join().unwrap().unwrap();
    }
    assert!(ledger.stats().groups < 5, "{} groups", ledger.stats().groups);
    drop(ledger);
    machine.cut_power(1);
    assert_eq!(gone(&open(&machine).unwrap()), (1..=5).collect());
}

#[test]
fn a_look_sees_what_opening_would_and_changes_nothing() {
    let whole = three_groups();
    for written in 0u32..1 << 5 {
        let mut bytes = whole.clone();
        for slot in (6..11).filter(|slot| written & (1 << (slot - 6)) == 0) {
            bytes[slot_range(slot)].copy_from_slice(&filler(slot));
        }
        let machine = with_file(&bytes);
        let seen = Ledger::look(&*machine.disk().unwrap(), ID, &key(), |_| true).unwrap();
        assert_eq!(file(&machine), bytes);
        let ledger =
            Ledger::read(machine.disk().unwrap(), ID, &key(), GROWTH).unwrap().settle().unwrap();
        assert_eq!(
            seen.sign_outs,
            ledger.fences().in_order(),
            "{written:05b}: openings and voided records are no sign-outs"
        );
        assert_eq!((seen.end, seen.known_since), (ledger.synced(), at(5)));
    }
    let mut bytes = whole;
    bytes[slot_range(3)].copy_from_slice(&filler(3));
    let torn = Ledger::look(&*with_file(&bytes).disk().unwrap(), ID, &key(), |_| true);
    assert!(matches!(torn, Err(Error::Damaged { part: Part::Ledger, .. })));
    let missing = Ledger::look(&*Machine::new().disk().unwrap(), ID, &key(), |_| true);
    assert!(matches!(missing, Err(Error::Damaged { part: Part::Ledger, .. })));
}
