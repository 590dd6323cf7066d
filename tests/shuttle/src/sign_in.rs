//! Sign-ins beside sign-outs of the same account: which came first is told by positions, and a join brings back nobody.

use crate::*;

#[test]
fn a_sign_in_that_joins_beside_a_sign_out() {
    check(3000, || {
        let machine = Machine::new();
        let store = open(&machine);
        let first = store.sign_in(request(1)).unwrap();
        first.put(tokens("first")).unwrap();
        let gone = Arc::new(AtomicBool::new(false));
        let joining = spawn({
            let (store, gone) = (store.clone(), gone.clone());
            move || {
                let came_after = gone.load(SeqCst);
                let live = match store.sign_in(request(1)) {
                    Ok(live) => live,
                    Err(Error::Overtaken { .. }) => return assert!(!came_after),
                    Err(other) => panic!("{other:?}"),
                };
                match live.put(tokens("second")) {
                    Ok(_) => {}
                    Err(Error::SignedOut) => assert!(!came_after, "a sign-in that came after the sign-out was ended by it"),
                    Err(other) => panic!("{other:?}"),
                }
                assert!(!came_after || read(&live).as_deref() == Some("second"));
            }
        });
        let putting = spawn({
            let first = first.clone();
            move || drop(first.put(tokens("late")))
        });
        store.sign_out(SignOut::account(&account(1))).unwrap();
        gone.store(true, SeqCst);
        assert_eq!(read(&first), None);
        joining.join().unwrap();
        putting.join().unwrap();
        assert_eq!(read(&first), None);
        let before = readable(&store, 1);
        assert!(before.iter().all(|secret| secret == "second"));
        drop(first);
        // What lived lives on, what was gone is gone.
        assert_eq!(readable(&reopen_after_power_cut(&machine, store), 1), before);
    });
}

/// Whoever signs in at the same time shares one life, and none of them is lost.
#[test]
fn sign_ins_of_one_account_at_once() {
    check(2000, || {
        let machine = Machine::new();
        let store = open(&machine);
        let threads: Vec<_> = (0..3)
            .map(|number| {
                let store = store.clone();
                spawn(move || {
                    let live = store.sign_in(request(1)).unwrap();
                    live.put(tokens(&number.to_string())).unwrap();
                    assert_eq!(read(&live), Some(number.to_string()));
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let mut all = readable(&reopen_after_power_cut(&machine, store), 1);
        all.sort_unstable();
        assert_eq!(all, ["0", "1", "2"]);
    });
}
