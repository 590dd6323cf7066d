//! A disk that fills up, fails, or dies at every single call; an engine that fails; damage and what
//! is done about it.

use std::collections::BTreeMap;

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::fixture::open;

fn builder(machine: &Machine) -> Builder {
    machine.builder().clock(ManualClock::new(now()))
}

fn ledger_name(machine: &Machine) -> String {
    machine.files().into_keys().find(|name| name.starts_with("ledger-")).unwrap()
}

#[test]
fn a_full_disk_still_takes_sign_outs_from_the_reserve() {
    let machine = Machine::new();
    let store = open(&machine);
    let lives: Vec<_> = (0..60).map(|n| store.sign_in(sign_in(n)).unwrap()).collect();
    machine.set_full(true);
    let reserve = store.stats().unwrap().ledger_reserve as u32;
    assert!((24..60).contains(&reserve), "{reserve}");
    for number in 0..reserve {
        store.sign_out(SignOut::account(&account(number))).unwrap();
    }
    assert!(matches!(
        store.sign_out(SignOut::account(&account(59))),
        Err(Error::Full(Component::Ledger))
    ));
    assert!(lives[59].is_live().unwrap(), "a refused sign-out changes nothing");
    machine.set_full(false);
    store.sign_out(SignOut::account(&account(59))).unwrap();
    drop((store, lives));
    machine.cut_power(1);
    let store = open(&machine);
    let gone = |number: &u32| store.account(&account(*number)).unwrap().is_empty();
    assert_eq!(
        (0..60).filter(gone).collect::<Vec<_>>(),
        (0..reserve).chain([59]).collect::<Vec<_>>()
    );
}

#[test]
fn a_failing_sync_is_indeterminate_and_everything_is_refused() {
    let machine = Machine::new();
    let store = open(&machine);
    let live = store.sign_in(sign_in(1)).unwrap();
    let other = store.sign_in(sign_in(2)).unwrap();
    other.put(refresh("rt")).unwrap();
    machine.set_failing_syncs(true);
    assert!(matches!(store.sign_out(SignOut::account(&account(1))), Err(Error::Indeterminate(_))));
    machine.set_failing_syncs(false);
    let poisoned = |result: Result<()>| {
        assert!(matches!(result, Err(Error::Poisoned(Component::Ledger))), "{result:?}")
    };
    poisoned(live.put(refresh("rt")).map(drop));
    poisoned(other.refresh_token(&client()).map(drop));
    poisoned(store.sign_out(SignOut::account(&account(2))).map(drop));
    poisoned(store.sign_in(sign_in(3)).map(drop));
    poisoned(store.stats().map(drop));
    poisoned(store.close());
    // A reopened store knows one outcome, for good.
    machine.cut_power(1);
    let found = open(&machine).account(&account(1)).unwrap().len();
    assert_eq!(open(&machine).account(&account(1)).unwrap().len(), found);
    assert_eq!(
        open(&machine).account(&account(2)).unwrap()[0].refresh_token(&client()).unwrap(),
        Some(refresh("rt"))
    );
}

#[test]
fn sign_outs_work_when_the_engine_has_failed() {
    let machine = Machine::new();
    let store = open(&machine);
    let lives: Vec<_> = (1..=4)
        .map(|n| {
            let request = sign_in(n).session(session(n)).subject(subject(n));
            let live = store.sign_in(request).unwrap();
            live.put(refresh("rt")).unwrap();
            live
        })
        .collect();
    machine.set_failing_engine(true);
    assert!(matches!(lives[0].put(refresh("rt-2")), Err(Error::Io { .. })));
    machine.set_failing_engine(false);
    // From now on it refuses rather than guesses.
    assert!(matches!(lives[0].refresh_token(&client()), Err(Error::Poisoned(Component::Engine))));
    assert!(matches!(lives[0].put(refresh("rt-2")), Err(Error::Poisoned(Component::Engine))));
    assert!(store.stats().unwrap().engine_failed);
    store.sign_out(SignOut::account(&account(1))).unwrap();
    store.sign_out(SignOut::subject(&subject(2))).unwrap();
    match store.sign_out(SignOut::session(&session(3))) {
        Err(Error::OnlySessionEnded { receipt, .. }) => assert_eq!(receipt.position, 4),
        other => panic!("{other:?}"),
    }
    let only = SignOut::session(&session(3)).policy(SessionPolicy::OnlySession);
    store.sign_out(only).unwrap();
    let taken = store.sign_out(SignOut::account(&account(1)).taking_refresh_tokens()).unwrap();
    assert!(taken.refresh_tokens_missed && taken.refresh_tokens.is_empty());
    assert!(matches!(store.wait_reclaimed(), Err(Error::Poisoned(_))), "nobody hangs");
    assert!(matches!(store.close(), Err(Error::Poisoned(Component::Engine))));
    drop(lives);
    let store = open(&machine);
    let live: Vec<u32> =
        (1..=4).filter(|n| !store.account(&account(*n)).unwrap().is_empty()).collect();
    assert_eq!(live, [4]);
}

#[test]
fn an_engine_that_fails_to_sync_stores_nothing_for_certain() {
    let machine = Machine::new();
    let store = open(&machine);
    let live = store.sign_in(sign_in(1)).unwrap();
    live.put(refresh("first")).unwrap();
    machine.set_failing_engine(true);
    assert!(live.put(refresh("second")).is_err());
    assert!(matches!(live.put(refresh("third")), Err(Error::Poisoned(Component::Engine))));
    drop((store, live));
    machine.cut_power(3);
    let store = open(&machine);
    let found = store.account(&account(1)).unwrap()[0].refresh_token(&client()).unwrap().unwrap();
    assert_eq!(found.secret.expose(), "first");
}

#[test]
fn a_death_at_any_call_of_creation_leaves_nothing_or_a_store() {
    let mut deaths = 0;
    for calls in 0.. {
        let machine = Machine::new();
        machine.die_after(calls);
        let opened = builder(&machine).open();
        let finished = opened.is_ok();
        drop(opened);
        if calls % 2 == 0 {
            machine.cut_power(calls)
        } else {
            machine.kill_process(calls)
        }
        let store = open(&machine);
        let live = store.sign_in(sign_in(1)).unwrap();
        live.put(refresh("rt")).unwrap();
        deaths += 1;
        if finished {
            break;
        }
    }
    assert!(deaths > 8, "{deaths}");
}

#[test]
fn a_death_at_any_call_of_opening_revives_nobody() {
    let machine = Machine::new();
    let store = open(&machine);
    for number in 0..10 {
        store.sign_in(sign_in(number)).unwrap().put(refresh("rt")).unwrap();
    }
    for number in 0..5 {
        store.sign_out(SignOut::account(&account(number))).unwrap();
    }
    drop(store);
    machine.cut_power(1);
    for calls in 0.. {
        let machine = machine.copy();
        machine.die_after(calls);
        let finished = builder(&machine).open().is_ok();
        machine.cut_power(calls);
        let store = open(&machine);
        let living: Vec<u32> =
            (0..10).filter(|n| !store.account(&account(*n)).unwrap().is_empty()).collect();
        assert_eq!(living, [5, 6, 7, 8, 9], "after {calls} calls");
        if finished {
            break;
        }
    }
}

/// What opens, or does not, after some files are changed.
fn with_files(machine: &Machine, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> Machine {
    let machine = machine.copy();
    let mut files = machine.files();
    change(&mut files);
    machine.set_files(files);
    machine
}

#[test]
fn what_is_missing_or_foreign_is_damage_and_can_be_forgotten() {
    let machine = Machine::new();
    let store = open(&machine);
    store.sign_in(sign_in(1)).unwrap().put(refresh("rt")).unwrap();
    store.sign_out(SignOut::account(&account(2))).unwrap();
    store.sign_in(sign_in(3)).unwrap();
    store.close().unwrap();
    let ledger = ledger_name(&machine);
    let foreign = Machine::new();
    open(&foreign).close().unwrap();
    let foreign = foreign.files();
    let foreign_ledger =
        foreign.iter().find(|(name, _)| name.starts_with("ledger-")).unwrap().1.clone();
    let header_only = machine.files()[&ledger][..512].to_vec();
    type Change = Box<dyn Fn(&mut BTreeMap<String, Vec<u8>>)>;
    let named = |name: &str| name.to_owned();
    let cases: Vec<(Component, Change)> = vec![
        (Component::Keyring, Box::new(|files| drop(files.remove("keyring")))),
        (Component::Ledger, {
            let name = named(&ledger);
            Box::new(move |files| drop(files.remove(&name)))
        }),
        (Component::Ledger, {
            let name = named(&ledger);
            Box::new(move |files| drop(files.insert(name.clone(), Vec::new())))
        }),
        (Component::Ledger, {
            let name = named(&ledger);
            Box::new(move |files| drop(files.insert(name.clone(), foreign_ledger.clone())))
        }),
        (Component::Ledger, {
            let name = named(&ledger);
            Box::new(move |files| drop(files.insert(name.clone(), header_only.clone())))
        }),
        (
            Component::Keyring,
            Box::new(|files| *files.get_mut("keyring").unwrap().last_mut().unwrap() ^= 1),
        ),
        (Component::Keyring, Box::new(|files| files.get_mut("keyring").unwrap().truncate(100))),
    ];
    for (number, (part, change)) in cases.into_iter().enumerate() {
        let changed = with_files(&machine, &*change);
        let before = (changed.files(), changed.rows());
        match builder(&changed).open() {
            Err(Error::Damaged { part: found, .. }) => assert_eq!(found, part, "case {number}"),
            other => panic!("case {number}: {other:?}"),
        }
        assert_eq!(
            (changed.files(), changed.rows()),
            before,
            "case {number}: refusing changes nothing"
        );
        let store = builder(&changed).on_damage(OnDamage::ForgetEveryone).open().unwrap();
        assert!(store.accounts(Page::first(10)).unwrap().accounts.is_empty());
        let live = store.sign_in(sign_in(1)).unwrap();
        live.put(refresh("new")).unwrap();
        store.close().unwrap();
        drop(live);
        let store = open(&changed);
        assert_eq!(
            store.account(&account(1)).unwrap()[0].refresh_token(&client()).unwrap(),
            Some(refresh("new"))
        );
        assert!(store.account(&account(3)).unwrap().is_empty());
    }
}

#[test]
fn a_foreign_keyring_with_the_same_key_finds_no_ledger() {
    let (machine, other) = (Machine::new(), Machine::new());
    open(&machine).close().unwrap();
    open(&other).close().unwrap();
    let changed = with_files(&machine, |files| {
        drop(files.insert("keyring".into(), other.files()["keyring"].clone()))
    });
    assert!(matches!(
        builder(&changed).open(),
        Err(Error::Damaged { part: Component::Ledger, .. })
    ));
}

#[test]
fn an_older_ledger_than_the_engine_has_seen_is_damage() {
    let machine = Machine::new();
    let store = open(&machine);
    store.sign_in(sign_in(1)).unwrap();
    store.sign_out(SignOut::account(&account(9))).unwrap();
    let older = machine.files();
    store.sign_out(SignOut::account(&account(1))).unwrap();
    // Any of these tells the engine how far the ledger was.
    let tellers: [fn(&TokenStore); 3] = [
        |store| drop(store.sign_in(sign_in(2)).unwrap()),
        |store| assert!(store.wait_reclaimed().is_ok()),
        |_| {},
    ];
    for (number, teller) in tellers.into_iter().enumerate() {
        let machine = machine.copy();
        let store = open(&machine);
        teller(&store);
        store.close().unwrap();
        machine.set_files(older.clone());
        let opened = builder(&machine).open();
        assert!(matches!(opened, Err(Error::Damaged { part: Component::Ledger, .. })), "{number}");
    }
}

#[test]
fn forgetting_everyone_dies_at_any_call_and_nobody_is_back() {
    let machine = Machine::new();
    let store = open(&machine);
    store.sign_in(sign_in(1)).unwrap().put(refresh("rt")).unwrap();
    store.close().unwrap();
    let ledger = ledger_name(&machine);
    let damaged = with_files(&machine, |files| files.get_mut(&ledger).unwrap()[40] ^= 1);
    for calls in 0.. {
        let machine = damaged.copy();
        machine.die_after(calls);
        let finished = builder(&machine).on_damage(OnDamage::ForgetEveryone).open().is_ok();
        machine.cut_power(calls);
        let store = builder(&machine).on_damage(OnDamage::ForgetEveryone).open().unwrap();
        assert!(store.account(&account(1)).unwrap().is_empty(), "after {calls} calls");
        store.sign_in(sign_in(1)).unwrap();
        if finished {
            break;
        }
    }
}

#[test]
fn a_wrong_key_changes_nothing_and_a_previous_one_opens() {
    let machine = Machine::new();
    let store = open(&machine);
    store.sign_in(sign_in(1)).unwrap();
    store.close().unwrap();
    let before = (machine.files(), machine.rows());
    for on_damage in [OnDamage::Refuse, OnDamage::ForgetEveryone] {
        let opened = builder(&machine).key(KeySource::bytes([8; 32])).on_damage(on_damage).open();
        assert!(matches!(opened, Err(Error::KeyRejected)));
        assert_eq!((machine.files(), machine.rows()), before);
    }
    let key = KeySource::bytes([8; 32]).previous(KeySource::bytes([7; 32]));
    let store = builder(&machine).key(key).open().unwrap();
    assert!(store.stats().unwrap().opened_by_previous_key);
    assert_eq!(store.account(&account(1)).unwrap().len(), 1);
    store.close().unwrap();
    assert!(!open(&machine).stats().unwrap().opened_by_previous_key);
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let machine = Machine::new();
    open(&machine).close().unwrap();
    let newer = with_files(&machine, |files| files.get_mut("keyring").unwrap()[4] = 9);
    let before = newer.files();
    match builder(&newer).on_damage(OnDamage::ForgetEveryone).open() {
        Err(Error::UnsupportedFormat { part: Component::Keyring, found: 9, supported: 2 }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(newer.files(), before);
    // The keyring speaks for all: elsewhere a format byte is no more than a changed byte.
    let ledger = ledger_name(&machine);
    let changed = with_files(&machine, |files| files.get_mut(&ledger).unwrap()[4] = 9);
    assert!(matches!(
        builder(&changed).open(),
        Err(Error::Damaged { part: Component::Ledger, .. })
    ));
}

#[test]
fn settings_out_of_range_are_refused() {
    let open = |builder: Builder| match builder.open() {
        Err(Error::InvalidInput { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(open(builder(&Machine::new()).max_sign_ins(0)), "max_sign_ins");
    assert_eq!(open(builder(&Machine::new()).max_sign_ins(65)), "max_sign_ins");
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(open(TokenStore::builder(folder.path().join("tokens"))), "key");
    assert!(!folder.path().join("tokens").exists());
}

#[test]
fn the_ledger_is_compacted_by_the_sweep_and_stays_bounded() {
    let machine = Machine::new();
    let store = open(&machine);
    let live = store.sign_in(sign_in(1)).unwrap();
    let mut largest = 0;
    for round in 0..40 {
        for number in 2..10 {
            store.sign_out(SignOut::account(&account(number))).unwrap();
        }
        if round % 4 == 3 {
            assert!(store.sweep(1000).unwrap().finished);
        }
        largest = largest.max(store.stats().unwrap().ledger_bytes);
    }
    assert!(largest < 8 * 1024, "{largest} bytes for 320 sign-outs of 8 accounts");
    assert!(live.is_live().unwrap());
    drop((store, live));
    machine.cut_power(5);
    let store = open(&machine);
    assert_eq!(store.account(&account(1)).unwrap().len(), 1);
    let last = store.last_sign_out(&SignOutScope::Account(account(5))).unwrap().record.unwrap();
    assert_eq!(last.position, 320 - 4 + 1);
}
