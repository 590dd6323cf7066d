//! The reclaimer and the sweep beside new lives of the accounts that they are at. (A section is two rows here, with a rest behind each.)

use crate::*;

/// Hole: between two sections the account gets a sign-in that the first one has not seen.
#[test]
fn what_comes_between_two_sections_stays() {
    check(3000, || {
        let machine = Machine::new();
        let store = open(&machine);
        // An account that stays live, with a sign-in that is to go: its header stays, with other sign-ins in it.
        let staying = store.sign_in(SignIn::new(account(1), tenant(1)).session(session(1))).unwrap();
        staying.put(tokens("staying")).unwrap();
        let leaving = store.sign_in(SignIn::new(account(1), tenant(1)).session(session(2))).unwrap();
        leaving.put(tokens("leaving")).unwrap();
        store.sign_out(SignOut::session(&session(2)).policy(SessionPolicy::OnlySession)).unwrap();
        let joined = spawn({
            let store = store.clone();
            move || {
                let live = store.sign_in(SignIn::new(account(1), tenant(1)).session(session(3))).unwrap();
                live.put(tokens("joined")).unwrap();
                live
            }
        });
        let sweeping = spawn({
            let store = store.clone();
            move || store.sweep(3).unwrap()
        });
        let joined = joined.join().unwrap();
        sweeping.join().unwrap();
        store.wait_reclaimed().unwrap();
        assert_eq!(read(&joined).as_deref(), Some("joined"));
        assert_eq!(read(&staying).as_deref(), Some("staying"));
        assert_eq!(read(&leaving), None);
        // Rows of two sign-ins and of what finds them are left, and no more.
        let rows = machine.rows().len();
        assert!(rows <= 1 + 2 * 3 + 3 + 1, "{rows} rows");
        store.close().unwrap();
    });
}

#[test]
fn a_new_life_beside_the_reclaim_of_the_old_one() {
    check(3000, || {
        let machine = Machine::new();
        let store = open(&machine);
        let old = store.sign_in(request(1)).unwrap();
        old.put(tokens("old")).unwrap();
        store.sign_out(SignOut::account(&account(1))).unwrap();
        let new = store.sign_in(request(1)).unwrap();
        new.put(tokens("new")).unwrap();
        let reader = spawn({
            let (old, new) = (old.clone(), new.clone());
            move || {
                assert_eq!(read(&new).as_deref(), Some("new"));
                assert_eq!(read(&old), None);
            }
        });
        store.wait_reclaimed().unwrap();
        assert_eq!(read(&new).as_deref(), Some("new"));
        reader.join().unwrap();
        drop((old, new));
        assert_eq!(readable(&reopen_after_power_cut(&machine, store), 1), ["new"]);
    });
}
