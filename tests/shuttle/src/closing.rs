//! Closing beside verbs: each ends with `Closed` or as it would have, and nobody waits for ever.

use crate::*;

#[test]
fn closing_beside_everything() {
    check(2000, || {
        let machine = Machine::new();
        let store = open(&machine);
        let live = store.sign_in(request(1)).unwrap();
        live.put(tokens("before")).unwrap();
        store.sign_in(request(2)).unwrap().put(tokens("leaving")).unwrap();
        let closed = |result: Result<()>| match result {
            Ok(()) | Err(Error::Closed) => {}
            Err(other) => panic!("{other:?}"),
        };
        let verbs: [Box<dyn FnOnce(TokenStore) -> Result<()> + Send>; 4] = [
            Box::new(move |_| live.put(tokens("late")).map(drop)),
            Box::new(|store| store.sign_out(SignOut::account(&account(2))).and_then(|_| store.wait_reclaimed()).map(drop)),
            Box::new(|store| store.sweep(64).map(drop)),
            Box::new(|store| store.stats().map(drop)),
        ];
        let threads: Vec<_> = verbs
            .into_iter()
            .map(|verb| {
                let store = store.clone();
                spawn(move || closed(verb(store)))
            })
            .collect();
        closed(store.close());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let store = open(&machine);
        assert_eq!(readable(&store, 1).len(), 1);
    });
}
