//! Sign-outs beside puts and readers, and beside each other. After `Ok` nothing from before is readable, nor after a power cut.

use crate::*;

#[test]
fn a_put_beside_a_sign_out() {
    check(3000, || {
        let machine = Machine::new();
        let store = open(&machine);
        let live = store.sign_in(request(1)).unwrap();
        live.put(tokens("before")).unwrap();
        let gone = Arc::new(AtomicBool::new(false));

        let put = spawn({
            let live = live.clone();
            let gone = gone.clone();
            move || {
                let was_gone = gone.load(SeqCst);
                match live.put(tokens("late")) {
                    Ok(_) => assert!(!was_gone, "stored after the sign-out"),
                    Err(Error::SignedOut) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
        let reader = spawn({
            let live = live.clone();
            let gone = gone.clone();
            move || {
                for _ in 0..2 {
                    let was_gone = gone.load(SeqCst);
                    assert!(!(read(&live).is_some() && was_gone), "read after the sign-out");
                }
            }
        });
        store.sign_out(SignOut::account(&account(1))).unwrap();
        gone.store(true, SeqCst);
        assert_eq!(read(&live), None);
        put.join().unwrap();
        reader.join().unwrap();
        assert_eq!(read(&live), None);
        assert!(matches!(live.put(tokens("later")), Err(Error::SignedOut)));
        assert!(readable(&store, 1).is_empty());
        drop(live);
        assert!(readable(&reopen_after_power_cut(&machine, store), 1).is_empty());
    });
}

/// `Ok` of a put says that its tokens are readable: one that a sign-out overtook while it was being synced says `SignedOut`.
#[test]
fn a_put_that_a_sign_out_overtakes_says_so() {
    check(2000, || {
        let machine = Machine::new();
        let store = open(&machine);
        let live = store.sign_in(request(1)).unwrap();
        machine.set_holding_engine_syncs(true);
        let put = spawn({
            let live = live.clone();
            move || live.put(tokens("late"))
        });
        machine.wait_held();
        store.sign_out(SignOut::tenant(&tenant(1))).unwrap();
        machine.set_holding_engine_syncs(false);
        assert!(matches!(put.join().unwrap(), Err(Error::SignedOut)));
        assert_eq!(read(&live), None);
        store.close().unwrap();
    });
}

#[test]
fn sign_outs_that_share_a_sync_beside_a_reader() {
    check(2000, || {
        let machine = Machine::new();
        let store = open(&machine);
        let lives: Vec<_> = (0..3).map(|number| store.sign_in(request(number)).unwrap()).collect();
        lives.iter().for_each(|live| drop(live.put(tokens("before")).unwrap()));
        let gone: Arc<[AtomicBool; 3]> = Arc::default();

        let requests = [SignOut::account(&account(0)), SignOut::session(&session(1)), SignOut::tenant(&tenant(2))];
        let threads: Vec<_> = requests
            .into_iter()
            .enumerate()
            .map(|(number, request)| {
                let (store, live, gone) = (store.clone(), lives[number].clone(), gone.clone());
                spawn(move || {
                    let receipt = store.sign_out(request).unwrap();
                    gone[number].store(true, SeqCst);
                    assert_eq!(read(&live), None);
                    receipt.position
                })
            })
            .collect();
        for (number, live) in lives.iter().enumerate() {
            let was_gone = gone[number].load(SeqCst);
            assert!(!(read(live).is_some() && was_gone), "read after the sign-out");
        }
        let mut positions: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        positions.sort_unstable();
        positions.dedup();
        assert_eq!(positions.len(), 3);
        drop(lives);
        let store = reopen_after_power_cut(&machine, store);
        assert!((0..3).all(|number| readable(&store, number).is_empty()));
    });
}

/// What is acknowledged beside a compaction of the ledger is in the new file too; and what hides an older record that goes is on the disk before.
#[test]
fn sign_outs_beside_a_compaction_of_the_ledger() {
    check(1000, || {
        let machine = Machine::new();
        let store = open(&machine);
        for number in 0..2 {
            store.sign_in(request(number)).unwrap().put(tokens("before")).unwrap();
        }
        // One that a newer one may hide, and enough others for it to be worth it.
        store.sign_out(SignOut::account(&account(1))).unwrap();
        (0..40).for_each(|_| drop(store.sign_out(SignOut::account(&account(9))).unwrap()));
        let bytes = store.stats().unwrap().ledger_bytes;
        let rows = machine.rows();
        let threads: Vec<_> = (0..2)
            .map(|number| {
                let store = store.clone();
                spawn(move || drop(store.sign_out(SignOut::account(&account(number))).unwrap()))
            })
            .collect();
        store.sweep(1000).unwrap();
        assert!(store.stats().unwrap().ledger_bytes < bytes);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        store.verify().unwrap();
        machine.cut_power(1);
        drop(store);
        // The engine's rows come back: the ledger alone keeps them dead.
        machine.set_rows(rows);
        let store = open(&machine);
        assert!((0..2).all(|number| readable(&store, number).is_empty()));
    });
}

/// The machine dies at some call: whoever got `Ok` is gone for the next process too, and everybody gets an answer.
#[test]
fn the_disk_goes_beside_sign_outs() {
    check(2000, || {
        let machine = Machine::new();
        let store = open(&machine);
        for number in 0..2 {
            store.sign_in(request(number)).unwrap().put(tokens("before")).unwrap();
        }
        let threads: Vec<_> = (0..2)
            .map(|number| {
                let store = store.clone();
                spawn(move || store.sign_out(SignOut::account(&account(number))).is_ok())
            })
            .collect();
        machine.set_failing_syncs(true);
        let acknowledged: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        machine.cut_power(7);
        drop(store);
        machine.set_failing_syncs(false);
        let store = open(&machine);
        for (number, is_acknowledged) in acknowledged.into_iter().enumerate() {
            assert!(!is_acknowledged || readable(&store, number as u32).is_empty());
        }
    });
}

/// A session's sign-out takes the accounts that it is of: also one whose sign-in of it comes at the same time, if that is not newer. And
/// it gives the refresh tokens that it ends, whoever deletes rows beside it.
#[test]
fn a_sessions_sign_out_beside_a_sign_in_of_it() {
    check(2000, || {
        let machine = Machine::new();
        let store = open(&machine);
        let sign_in = |number, sid| store.sign_in(SignIn::new(account(number), tenant(1)).session(session(sid))).unwrap();
        let first = sign_in(1, 7);
        first.put(tokens("first")).unwrap();
        let other = sign_in(2, 8);
        other.put(tokens("other")).unwrap();
        let joining = spawn({
            let store = store.clone();
            move || {
                let live = store.sign_in(SignIn::new(account(2), tenant(1)).session(session(7)))?;
                Ok(live.put(tokens("second")).map(|_| live.clone()).map_err(|_| live))
            }
        });
        let sweeping = spawn({
            let store = store.clone();
            move || {
                store.sweep(3).unwrap();
            }
        });
        let receipt = store.sign_out(SignOut::session(&session(7)).taking_refresh_tokens()).unwrap();
        assert_eq!(read(&first), None);
        assert!(receipt.refresh_tokens.iter().any(|token| token.secret.expose() == "first"));
        sweeping.join().unwrap();
        match joining.join().unwrap() {
            Ok(Ok(live)) if live.is_live().unwrap() => assert_eq!(receipt.accounts, Some(1)),
            // It was taken, and its account with it.
            Ok(Ok(_) | Err(_)) => {
                assert_eq!(receipt.accounts, Some(2));
                assert_eq!(read(&other), None);
            }
            Err(Error::Overtaken { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
        assert!(readable(&store, 1).is_empty());
        store.close().unwrap();
    });
}

/// A sign-in that was begun before the sign-out is over with it, wherever the two meet: it is refused, or it is dead.
#[test]
fn a_sign_in_on_its_way_beside_a_sign_out() {
    check(3000, || {
        let machine = Machine::new();
        let store = open(&machine);
        let other = store.sign_in(request(1)).unwrap();
        let moment = store.as_of().unwrap();
        let on_its_way = spawn({
            let store = store.clone();
            move || {
                let result = store.sign_in_with(request(1).as_of(moment), tokens("late"));
                match result {
                    Ok((live, _)) => Some(live),
                    Err(Error::Overtaken { .. }) => None,
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
        store.sign_out(SignOut::account(&account(1))).unwrap();
        assert!(readable(&store, 1).is_empty());
        let late = on_its_way.join().unwrap();
        assert!(readable(&store, 1).is_empty());
        assert!(late.is_none_or(|late| !late.is_live().unwrap()));
        // Whoever begins now is in.
        let moment = store.as_of().unwrap();
        assert!(store.sign_in(request(1).as_of(moment)).unwrap().is_live().unwrap());
        drop(other);
    });
}

/// Sign-outs of the same two sessions, named in either order, do not wait for each other; and a sign-in of one of them beside.
#[test]
fn sign_outs_of_several_sessions_beside_each_other() {
    check(2000, || {
        let machine = Machine::new();
        let store = open(&machine);
        let sign_in = |store: &TokenStore, sid| store.sign_in(SignIn::new(account(sid), tenant(1)).session(session(sid)));
        let lives = [sign_in(&store, 1).unwrap(), sign_in(&store, 2).unwrap()];
        let other_way = spawn({
            let store = store.clone();
            move || {
                store.sign_out(SignOut::session(&session(2)).and(SignOutScope::Session(session(1)))).unwrap();
            }
        });
        let joining = spawn({
            let store = store.clone();
            move || {
                store.sign_in(SignIn::new(account(3), tenant(1)).session(session(2))).unwrap();
            }
        });
        let receipt = store.sign_out(SignOut::session(&session(1)).and(SignOutScope::Session(session(2)))).unwrap();
        // (The other may have come first, and their rows may be gone.)
        assert!(receipt.accounts.is_some_and(|accounts| accounts <= 3));
        other_way.join().unwrap();
        joining.join().unwrap();
        assert!(lives.iter().all(|live| !live.is_live().unwrap()));
        store.close().unwrap();
    });
}
