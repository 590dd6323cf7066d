//! Compaction: no verdict changes, whatever stops it, while sign-outs go on.

use super::*;
use crate::model::tag::{SignInTag, TenantTag};
use crate::rule::Life;

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
        sign_in: SignInTag::filled(0),
        account: AccountTag::filled(1),
        other: None,
        tenant: TenantTag::filled(0),
        session: None,
        subject: None,
        ends: Millis::MAX,
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
        // Every sign-in older than the newest record that was dropped for its age is dead now;
        // about the others nothing changed. (That record is of everybody, at 19: newer ones of the
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
            Err(Error::Poisoned(Component::Ledger)) => {
                assert!(matches!(
                    ledger.stand(&[account(77)], NO_CUTOFF, at(7)),
                    Err(Error::Poisoned(Component::Ledger))
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
            sign_in: SignInTag::filled(0),
            account: AccountTag::filled(50),
            other: None,
            tenant: TenantTag::filled(0),
            session: None,
            subject: None,
            ends: Millis::MAX,
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
        sign_in: SignInTag::filled(0),
        account: AccountTag::filled(account),
        other: None,
        tenant: TenantTag::filled(0),
        session: None,
        subject: None,
        ends: Millis::MAX,
    };
    cast().map(|who| fences.is_dead(&life(who))).collect()
}
