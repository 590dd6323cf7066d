//! The ledger on a pretended machine: acknowledged records are never lost silently.

mod append;
mod compaction;
mod damage;
mod readers;

use std::collections::BTreeSet;

use super::append::Span;
use super::format::{HEADER_BYTES, Header, LedgerKey, SLOT_BYTES, Seal, Slot};
use super::{Growth, Ledger};
use crate::crypto::LedgerRootKey;
use crate::model::error::{Component, Error, Result};
use crate::model::position::{Opening, Position};
use crate::model::random_id::LedgerId;
use crate::model::tag::{AccountTag, TaggedScope};
use crate::model::time::Millis;
use crate::platform::sync::Mutex;
use crate::rule::NO_CUTOFF;
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

/// Appends several calls in one group, since no thread writes before the wait.
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

/// The accounts that are signed out.
fn gone(ledger: &Ledger) -> BTreeSet<u8> {
    (0..=255).filter(|n| ledger.fences().last(account(*n)).is_some()).collect()
}

/// The calls of the last group of [`three_groups`].
const LAST: [&[u8]; 3] = [&[6], &[7, 8, 9], &[10]];

/// The file of a ledger with the opening's record in slot 0, then three groups: {1}, {2 | 3 4 5},
/// and as the last {6 | 7 8 9 | 10}, in slots 1, 2 to 5 and 6 to 10.
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

/// Opens a damaged file, and gives the accounts that are signed out if it opens. Then it must go on
/// like any other: it can be appended to, and the same accounts are signed out when it is opened
/// again.
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
            Error::Damaged { part: Component::Ledger, .. }
            | Error::UnsupportedFormat { part: Component::Ledger, .. },
        ) => None,
        Err(other) => panic!("{other:?}"),
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
