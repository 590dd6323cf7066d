//! Web sessions beside the sign-out of what they are bound to: no late save, and no new id for the old one, brings a session back.

use oubliette::modelling::{web_create, web_delete, web_load, web_save};

use crate::*;

const ID: [u8; 16] = [1; 16];
const NEXT: [u8; 16] = [2; 16];

#[test]
fn a_save_and_a_change_of_id_beside_a_sign_out() {
    check(1500, || {
        let machine = Machine::new();
        let store = open(&machine);
        let live = store.sign_in(request(1)).unwrap();
        web_create(&store, ID, Some(&live), "first").unwrap();
        let gone = Arc::new(AtomicBool::new(false));
        let saving = spawn({
            let (store, live) = (store.clone(), live.clone());
            move || web_save(&store, ID, Some(&live), "late").unwrap()
        });
        // As `cycle_id` does: the old one is deleted, and the new one made from what was loaded before.
        let cycling = spawn({
            let (store, live, gone) = (store.clone(), live.clone(), gone.clone());
            move || {
                let was_gone = gone.load(SeqCst);
                let loaded = web_load(&store, ID).unwrap();
                assert!(!(was_gone && loaded.is_some()), "loaded after the sign-out");
                web_delete(&store, ID).unwrap();
                assert_eq!(web_create(&store, NEXT, Some(&live), "cycled").unwrap(), NEXT);
            }
        });
        store.sign_out(SignOut::account(&account(1))).unwrap();
        gone.store(true, SeqCst);
        assert_eq!(web_load(&store, ID).unwrap(), None);
        assert_eq!(web_load(&store, NEXT).unwrap(), None);
        saving.join().unwrap();
        cycling.join().unwrap();
        drop(live);
        let store = reopen_after_power_cut(&machine, store);
        assert_eq!(web_load(&store, ID).unwrap(), None);
        assert_eq!(web_load(&store, NEXT).unwrap(), None);
    });
}

#[test]
fn a_save_beside_a_deletion() {
    check(1500, || {
        let store = open(&Machine::new());
        let live = store.sign_in(request(1)).unwrap();
        for binding in [Some(&live), None] {
            web_create(&store, ID, binding, "first").unwrap();
            let saving = spawn({
                let (store, binding) = (store.clone(), binding.cloned());
                move || web_save(&store, ID, binding.as_ref(), "late").unwrap()
            });
            web_delete(&store, ID).unwrap();
            assert_eq!(web_load(&store, ID).unwrap(), None);
            saving.join().unwrap();
            assert_eq!(web_load(&store, ID).unwrap(), None);
        }
        store.close().unwrap();
    });
}

/// Everything that takes the gate, the stripes and the accounts' locks in some order.
#[test]
fn saves_a_sweep_and_a_compaction() {
    check(1500, || {
        let machine = Machine::new();
        let store = open(&machine);
        let live = store.sign_in(request(1)).unwrap();
        web_create(&store, ID, Some(&live), "first").unwrap();
        web_create(&store, NEXT, None, "nobody's").unwrap();
        let saving = spawn({
            let (store, live) = (store.clone(), live.clone());
            move || {
                web_save(&store, ID, Some(&live), "saved").unwrap();
                web_save(&store, NEXT, None, "saved").unwrap();
            }
        });
        let sweeping = spawn({
            let store = store.clone();
            move || {
                store.sweep(64).unwrap();
            }
        });
        let compacting = spawn({
            let store = store.clone();
            move || {
                store.compact().unwrap();
            }
        });
        store.sign_out(SignOut::account(&account(2))).unwrap();
        [saving, sweeping, compacting].into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(web_load(&store, ID).unwrap(), Some((true, "saved".into())));
        assert_eq!(web_load(&store, NEXT).unwrap(), Some((false, "saved".into())));
        drop(live);
        store.close().unwrap();
    });
}
