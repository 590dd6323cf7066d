//! Appending: what was acknowledged is on the disk, whatever fails.

use super::*;

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

// Without it: each fence of a call stands by itself, and a reader comes in between.
#[test]
fn a_reader_sees_all_fences_of_a_call_or_none() {
    const CALLS: u32 = 300;
    let scopes = |call: u32| -> Vec<TaggedScope> {
        let scope = |half: u32| {
            let mut tag = [0; 16];
            tag[..4].copy_from_slice(&call.to_be_bytes());
            tag[4..8].copy_from_slice(&half.to_be_bytes());
            TaggedScope::Account(AccountTag::from_bytes(tag))
        };
        (0..16).map(scope).collect()
    };
    let machine = new_machine();
    let ledger = open(&machine).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for call in 0..CALLS {
                let span = ledger.stand(&scopes(call), NO_CUTOFF, at(7)).unwrap();
                if call % 64 == 0 {
                    ledger.wait(span.last).unwrap();
                }
            }
        });
        let mut call = 0;
        while call < CALLS {
            let fences = ledger.fences();
            let stand = scopes(call).into_iter().filter(|one| fences.last(*one).is_some()).count();
            drop(fences);
            assert!([0, 16].contains(&stand), "{stand} of 16 stand");
            if stand > 0 {
                call += 1;
            } else {
                assert!(!writer.is_finished() || ledger.fences().last(scopes(call)[0]).is_some());
                std::thread::yield_now();
            }
        }
        writer.join().unwrap();
    });
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
            Err(Error::Poisoned(Component::Ledger)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(indeterminate > 0);
    assert_eq!(gone(&ledger).len(), indeterminate, "the fences stand");
    machine.set_failing_syncs(false);
    assert!(
        matches!(
            ledger.stand(&[account(1)], NO_CUTOFF, at(7)),
            Err(Error::Poisoned(Component::Ledger))
        ),
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
        Err(Error::Full(Component::Ledger))
    ));
    assert_eq!(gone(&ledger).len() as u64, reserve, "what is refused does not stand");
    machine.set_full(false);
    append(&ledger, &[&[99]]);
    drop(ledger);
    machine.cut_power(3);
    assert_eq!(gone(&open(&machine).unwrap()).len() as u64, reserve + 1);
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
