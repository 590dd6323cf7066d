//! Compaction beside all that changes rows: what arrives in the fresh engine is what the store held, and the locks have one order.

use crate::*;

#[test]
fn a_compaction_beside_puts_sign_outs_and_a_sweep() {
    check(1500, || {
        let machine = Machine::new();
        let store = open(&machine);
        let staying = store.sign_in(request(1)).unwrap();
        staying.put(tokens("old")).unwrap();
        let leaving = store.sign_in(request(2)).unwrap();
        leaving.put(tokens("leaving")).unwrap();
        let compacting = spawn({
            let store = store.clone();
            move || {
                store.compact().unwrap();
            }
        });
        let putting = spawn({
            let staying = staying.clone();
            move || drop(staying.put(tokens("new")).unwrap())
        });
        let sweeping = spawn({
            let store = store.clone();
            move || {
                store.sweep(64).unwrap();
            }
        });
        store.sign_out(SignOut::account(&account(2))).unwrap();
        assert_eq!(read(&leaving), None);
        assert!(store.sign_in(request(3)).unwrap().put(tokens("third")).is_ok());
        [compacting, putting, sweeping].into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(read(&staying).as_deref(), Some("new"));
        assert_eq!(read(&leaving), None);
        drop((staying, leaving));
        let store = reopen_after_power_cut(&machine, store);
        assert_eq!(readable(&store, 1), ["new"]);
        assert!(readable(&store, 2).is_empty());
        assert_eq!(readable(&store, 3), ["third"]);
    });
}
