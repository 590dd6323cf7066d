//! Rotation, complete erasure and compaction: interrupted at every write, beside verbs at work, and
//! what is left of the old.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oubliette::*;
use oubliette_testkit::accounts::*;

const OLD: [u8; 32] = [7; 32];
const NEW: [u8; 32] = [8; 32];

fn open_with(machine: &Machine, key: KeySource) -> Result<TokenStore> {
    machine.builder().alone().clock(ManualClock::new(now())).key(key).open()
}

fn open(machine: &Machine) -> TokenStore {
    open_with(machine, KeySource::bytes(OLD)).unwrap()
}

/// Whichever of the two keys wraps the store by now.
fn open_either(machine: &Machine) -> TokenStore {
    open_with(machine, KeySource::bytes(NEW).previous(KeySource::bytes(OLD))).unwrap()
}

fn long(number: u32) -> String {
    format!("rt-{number}-{}", "x".repeat(15_000))
}

/// Accounts 0 to 8 with two sign-ins each, tokens of two tenants, a token in parts. Every third is
/// signed out, and its rows are still there for some; the last one's second sign-in has ended by
/// its session.
fn fill(machine: &Machine) -> Vec<(u32, [u8; 16])> {
    let store = open(machine);
    let mut live = Vec::new();
    for number in 0..9 {
        for part in 0..2 {
            let request =
                sign_in(number).session(session(10 * number + part)).subject(subject(number));
            let handle = store.sign_in(request).unwrap();
            let guest = AccessToken {
                tenant: Some(tenant(100)),
                ..access("a", &format!("guest-{number}"))
            };
            let tokens = [
                access("a", &format!("at-{number}")).into(),
                refresh(&long(number)).into(),
                guest.into(),
            ];
            assert_eq!(handle.put(tokens).unwrap().stored, 3);
            if number % 3 != 0 && !(number == 8 && part == 1) {
                live.push((number, handle.id()));
            }
        }
    }
    let only = |number| SignOut::session(&session(number)).policy(SessionPolicy::OnlySession);
    store.sign_out(only(81)).unwrap();
    store.sign_out(SignOut::account(&account(0))).unwrap();
    store.sign_out(SignOut::tenant(&tenant(3))).unwrap();
    store.wait_reclaimed().unwrap();
    store.sign_out(SignOut::subject(&subject(6))).unwrap();
    live
}

/// Exactly these sign-ins live, with all their tokens, and the indexes find them.
fn check(store: &TokenStore, live: &[(u32, [u8; 16])], what: &str) {
    let found: BTreeSet<(u32, [u8; 16])> = (0..9)
        .flat_map(|number| {
            store
                .account(&account(number))
                .unwrap()
                .into_iter()
                .map(move |handle| (number, handle.id()))
        })
        .collect();
    assert_eq!(found, live.iter().copied().collect(), "{what}");
    for (number, id) in live {
        let handle = store.resume(&account(*number), *id).unwrap().unwrap();
        let secret = handle.access_token(&query("a")).unwrap().unwrap().secret;
        assert_eq!(secret.expose(), format!("at-{number}"), "{what}");
        assert_eq!(
            handle.refresh_token(&client()).unwrap().unwrap().secret.expose(),
            long(*number),
            "{what}"
        );
        let guest = handle.access_token(&query("a").tenant(tenant(100))).unwrap().unwrap().secret;
        assert_eq!(guest.expose(), format!("guest-{number}"), "{what}");
    }
    let numbers: BTreeSet<u32> = live.iter().map(|(number, _)| *number).collect();
    let all = store.accounts(Page::first(100)).unwrap().accounts;
    assert_eq!(all.iter().filter(|found| found.id != account(20)).count(), numbers.len(), "{what}");
    assert_eq!(
        store.accounts_in(&tenant(100), Page::first(100)).unwrap().accounts.len(),
        numbers.len(),
        "{what}"
    );
    for number in 0..9 {
        let expected = usize::from(numbers.contains(&number));
        assert_eq!(
            store.accounts_in(&tenant(number), Page::first(9)).unwrap().accounts.len(),
            expected,
            "{what}"
        );
        assert_eq!(store.accounts_of_subject(&subject(number)).unwrap().len(), expected, "{what}");
        assert!(
            store.last_sign_out(&SignOutScope::Account(account(0))).unwrap().record.is_some(),
            "{what}"
        );
    }
}

/// Dies at every call of the operation, in every way, and looks; the store must work on afterwards.
fn interrupt(operation: impl Fn(&TokenStore) -> Result<()>) {
    interrupt_of(Storage::Embedded, operation);
}

/// As [`interrupt`], of a store that is kept so.
fn interrupt_of(storage: Storage, operation: impl Fn(&TokenStore) -> Result<()>) {
    let machine = Machine::new();
    let live = fill(&machine);
    if storage != Storage::Embedded {
        open(&machine).migrate(storage).unwrap();
    }
    machine.cut_power(1);
    let mut deaths = 0;
    for calls in 0.. {
        let mut finished = true;
        for seed in 0..6 {
            let machine = machine.copy();
            let store = open(&machine);
            machine.die_after(calls);
            let done = operation(&store);
            finished &= done.is_ok();
            // The process, or the machine; and the machine right after the process has come up
            // again.
            drop(store);
            let what = format!("died after {calls} calls, seed {seed}, {done:?}");
            match seed % 3 {
                0 => machine.kill_process(seed),
                1 => machine.cut_power(seed),
                _ => {
                    machine.kill_process(seed);
                    drop(open_either(&machine));
                    machine.cut_power(seed);
                }
            }
            let store = open_either(&machine);
            check(&store, &live, &what);
            // It goes on from there: in, out, and the operation once more.
            let handle = store.sign_in(sign_in(20)).unwrap();
            handle.put(access("a", "at-20")).unwrap();
            store.sign_out(SignOut::account(&account(1))).unwrap();
            operation(&store).unwrap();
            assert_eq!(
                handle.access_token(&query("a")).unwrap().unwrap().secret.expose(),
                "at-20",
                "{what}"
            );
            drop((store, handle));
            machine.cut_power(seed);
            assert!(!machine.files().contains_key("moving"), "{what}");
            let store = open_either(&machine);
            let rest: Vec<_> = live.iter().copied().filter(|(number, _)| *number != 1).collect();
            check(&store, &rest, &what);
            assert_eq!(store.account(&account(20)).unwrap().len(), 1, "{what}");
            assert!(store.verify().unwrap().is_sound(), "{what}");
            let ledgers =
                machine.files().into_keys().filter(|name| name.starts_with("ledger-")).count();
            assert_eq!(ledgers, 1, "{what}");
            deaths += 1;
        }
        if finished {
            break;
        }
    }
    assert!(deaths > 10, "{deaths}");
}

#[test]
fn a_rotation_that_dies_anywhere_leaves_a_store_that_opens() {
    interrupt(|store| store.rotate_key(&KeySource::bytes(NEW)));
}

#[test]
fn a_compaction_that_dies_anywhere_loses_and_revives_nobody() {
    interrupt(|store| store.compact().map(drop));
}

#[test]
fn an_erasure_that_dies_anywhere_loses_and_revives_nobody() {
    interrupt(|store| store.complete_erasure(&KeySource::bytes(NEW)).map(drop));
}

#[test]
fn a_migration_that_dies_anywhere_loses_and_revives_nobody() {
    interrupt_of(Storage::Embedded, |store| store.migrate(Storage::Sqlite).map(drop));
    interrupt_of(Storage::Sqlite, |store| store.migrate(Storage::Embedded).map(drop));
    interrupt_of(Storage::Sqlite, |store| store.complete_erasure(&KeySource::bytes(NEW)).map(drop));
}

#[test]
fn rows_that_others_may_share_are_not_opened_by_one_that_did_not_ask_to_be_alone() {
    let machine = Machine::new();
    let live = fill(&machine);
    open(&machine).migrate(Storage::Sqlite).unwrap();
    let refused = machine.builder().open();
    assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{refused:?}");
    check(&open(&machine), &live, "alone");
}

#[test]
fn a_full_disk_stops_a_move_and_nothing_else() {
    let machine = Machine::new();
    let live = fill(&machine);
    let store = open(&machine);
    machine.set_full(true);
    assert!(store.complete_erasure(&KeySource::bytes(NEW)).is_err());
    assert!(store.rotate_key(&KeySource::bytes(NEW)).is_err());
    assert!(store.compact().is_err());
    check(&store, &live, "full");
    store.sign_out(SignOut::account(&account(1))).unwrap();
    machine.set_full(false);
    store.compact().unwrap();
    store.complete_erasure(&KeySource::bytes(NEW)).unwrap();
    let rest: Vec<_> = live.iter().copied().filter(|(number, _)| *number != 1).collect();
    check(&store, &rest, "with space again");
}

#[test]
fn rotated_keys_open_the_store_until_they_are_left_out() {
    let machine = Machine::new();
    let live = fill(&machine);
    let store = open(&machine);
    store.rotate_key(&KeySource::bytes(NEW).also(KeySource::bytes(OLD))).unwrap();
    check(&store, &live, "still open");
    drop(store);
    for key in [OLD, NEW] {
        check(&open_with(&machine, KeySource::bytes(key)).unwrap(), &live, "either key");
    }
    let store =
        open_with(&machine, KeySource::bytes([9; 32]).previous(KeySource::bytes(NEW))).unwrap();
    assert!(store.stats().unwrap().opened_by_previous_key);
    store.rotate_key(&KeySource::bytes([9; 32])).unwrap();
    assert!(!store.stats().unwrap().opened_by_previous_key);
    drop(store);
    for key in [OLD, NEW] {
        assert!(matches!(open_with(&machine, KeySource::bytes(key)), Err(Error::KeyRejected)));
    }
    check(&open_with(&machine, KeySource::bytes([9; 32])).unwrap(), &live, "the new key");
    // A key that cannot be had, or a placeholder, changes nothing.
    let store = open_with(&machine, KeySource::bytes([9; 32])).unwrap();
    let before = machine.files();
    assert!(store.rotate_key(&KeySource::bytes([0; 32])).is_err());
    assert!(store.complete_erasure(&KeySource::file("no/such/key")).is_err());
    assert_eq!(machine.files(), before);
}

#[test]
fn after_an_erasure_nothing_from_before_opens() {
    let machine = Machine::new();
    let live = fill(&machine);
    let before = machine.copy();
    let store = open(&machine);
    let handle = store.account(&account(1)).unwrap().remove(0);
    let erased = store.complete_erasure(&KeySource::bytes(NEW)).unwrap();
    assert_eq!((erased.accounts, erased.tampered), (6, 0));
    // Handles from before go on.
    assert_eq!(handle.access_token(&query("a")).unwrap().unwrap().secret.expose(), "at-1");
    handle.put(access("b", "later")).unwrap();
    store.rotate_key(&KeySource::bytes(NEW)).unwrap();
    drop((handle, store));
    let store = open_with(&machine, KeySource::bytes(NEW)).unwrap();
    check(&store, &live, "erased");
    drop(store);
    machine.cut_power(1);

    // Not one sealed value is as it was, and no file.
    let old: BTreeSet<Vec<u8>> =
        before.rows().into_values().filter(|value| !value.is_empty()).collect();
    assert!(machine.rows().into_values().all(|value| !old.contains(&value)));
    let files = machine.files();
    assert!(before.files().into_iter().all(|(name, bytes)| files.get(&name) != Some(&bytes)));
    // The key that is held now opens no part of the old store, in whatever company.
    assert!(matches!(open_with(&before, KeySource::bytes(NEW)), Err(Error::KeyRejected)));
    let mixed = machine.copy();
    mixed.set_rows(before.rows());
    assert!(matches!(
        open_with(&mixed, KeySource::bytes(NEW)),
        Err(Error::Damaged { part: Component::Engine, .. })
    ));
    let mut rows = before.rows();
    rows.remove(b"C".as_slice());
    mixed.set_rows(rows);
    let store = open_with(&mixed, KeySource::bytes(NEW)).unwrap();
    assert!(matches!(store.account(&account(1)), Err(Error::Tampered(_))));
    drop(store);
    // The old keyring, put back, finds its ledger gone: it does not open without the sign-outs that
    // its successor records.
    let back = machine.copy();
    let mut files = back.files();
    files.insert("keyring".into(), before.files()["keyring"].clone());
    back.set_files(files);

    assert!(matches!(
        open_with(&back, KeySource::bytes(OLD)),
        Err(Error::Damaged { part: Component::Ledger, .. })
    ));
}

#[test]
fn rows_that_do_not_open_stay_behind() {
    let machine = Machine::new();
    let live = fill(&machine);
    for erase in [false, true] {
        let machine = machine.copy();
        let mut rows = machine.rows();
        // The last byte of every header but the first, of one sign-in and one token.
        let headers: Vec<Vec<u8>> =
            rows.keys().filter(|key| key.len() == 18).skip(1).cloned().collect();
        for key in &headers {
            *rows.get_mut(key).unwrap().last_mut().unwrap() ^= 1;
        }
        machine.set_rows(rows);
        let store = open(&machine);
        assert_eq!(store.verify().unwrap().tampered, headers.len() as u64);
        let tampered = if erase {
            store.complete_erasure(&KeySource::bytes(NEW)).unwrap().tampered
        } else {
            store.compact().unwrap().tampered
        };
        assert_eq!(tampered, headers.len() as u64);
        assert!(store.verify().unwrap().is_sound());
        assert!(store.accounts(Page::first(10)).unwrap().accounts.len() < live.len());
    }
}

/// Three threads sign in, store, sign out and look, each with accounts of its own, while the rows
/// move again and again.
#[test]
fn verbs_go_on_beside_moves() {
    let machine = Machine::new();
    let store = open(&machine);
    let done = AtomicBool::new(false);
    let live: Vec<Vec<bool>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3u32)
            .map(|worker| {
                let (store, done) = (&store, &done);
                scope.spawn(move || {
                    let mut live = vec![None; 8];
                    let mut round = 0u32;
                    while !done.load(Ordering::Relaxed) || round < 100 {
                        round += 1;
                        let place = (round.wrapping_mul(7) % 8) as usize;
                        let who = 100 + worker * 8 + place as u32;
                        let secret = format!("at-{worker}-{round}");
                        match &live[place] {
                            None => {
                                assert!(store.account(&account(who)).unwrap().is_empty());
                                let handle =
                                    store.sign_in(sign_in(who).session(session(who))).unwrap();
                                handle.put(access("a", &secret)).unwrap();
                                live[place] = Some((handle, secret));
                            }
                            Some((handle, secret)) if round.is_multiple_of(3) => {
                                let found = handle.access_token(&query("a")).unwrap().unwrap();
                                assert_eq!(found.secret.expose(), secret);
                                store.sign_out(SignOut::session(&session(who))).unwrap();
                                assert!(handle.access_token(&query("a")).unwrap().is_none());
                                assert!(matches!(
                                    handle.put(access("a", "late")),
                                    Err(Error::SignedOut)
                                ));
                                live[place] = None;
                            }
                            Some((handle, _)) => {
                                handle
                                    .put([access("a", &secret).into(), refresh("rt").into()])
                                    .unwrap();
                                let found = handle.access_token(&query("a")).unwrap().unwrap();
                                assert_eq!(found.secret.expose(), secret);
                                let handle = handle.clone();
                                live[place] = Some((handle, secret));
                            }
                        }
                    }
                    live.into_iter().map(|live| live.is_some()).collect()
                })
            })
            .collect();
        for round in 0..40 {
            match round % 4 {
                0 => drop(store.complete_erasure(&KeySource::bytes(NEW)).unwrap()),
                1 => store.rotate_key(&KeySource::bytes(OLD)).unwrap(),
                2 => drop(store.sweep(1000).unwrap()),
                _ => drop(store.compact().unwrap()),
            }
        }
        done.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    drop(store);
    machine.cut_power(3);
    let store = open_either(&machine);
    for (worker, live) in (0..).zip(live) {
        for (place, live) in (0..).zip(live) {
            assert_eq!(
                !store.account(&account(100 + worker * 8 + place)).unwrap().is_empty(),
                live
            );
        }
    }
    assert!(store.verify().unwrap().is_sound());
}

#[test]
fn a_store_that_is_closed_during_a_move_leaves_nothing_behind() {
    for erase in [false, true] {
        let machine = Machine::new();
        let live = fill(&machine);
        let store = open(&machine);
        let closing = std::thread::scope(|scope| {
            let mover = scope.spawn(|| {
                let mover = store.clone();
                // Until the close comes in between.
                loop {
                    let moved = if erase {
                        mover.complete_erasure(&KeySource::bytes(NEW)).map(drop)
                    } else {
                        mover.compact().map(drop)
                    };
                    if let Err(error) = moved {
                        return error;
                    }
                }
            });
            store.clone().close().unwrap();
            // Nobody is at work in the folder any more: another store can be opened there.
            check(&open_either(&machine), &live, "closed");
            mover.join().unwrap()
        });
        assert!(matches!(closing, Error::Closed), "{closing}");
        assert!(!machine.files().contains_key("moving"));
        check(&open_either(&machine), &live, "after");
    }
}

/// A move died, and then a part was damaged: forgetting everyone forgets the move too, and only
/// once.
#[test]
fn everyone_can_be_forgotten_beside_the_mark_of_a_move() {
    let machine = Machine::new();
    fill(&machine);
    let ledger = machine.files().into_keys().find(|name| name.starts_with("ledger-")).unwrap();
    let engine = format!("engine-{}-1", &ledger["ledger-".len()..]);
    for (mark, is_damaged) in
        [(engine.as_str(), true), ("garbage", false), ("garbage", true), (ledger.as_str(), true)]
    {
        let machine = machine.copy();
        let mut files = machine.files();
        files.insert("moving".into(), mark.into());
        if is_damaged {
            files.get_mut(&ledger).unwrap()[600] ^= 1;
        }
        machine.set_files(files);
        assert!(
            matches!(open_with(&machine, KeySource::bytes(OLD)), Err(Error::Damaged { .. })),
            "{mark}"
        );
        let forgetting =
            machine.builder().clock(ManualClock::new(now())).on_damage(OnDamage::ForgetEveryone);
        let store = forgetting.open().unwrap();
        store.sign_in(sign_in(1)).unwrap();
        store.compact().unwrap();
        drop(store);
        machine.cut_power(1);
        // Not forgotten once more.
        assert_eq!(open(&machine).account(&account(1)).unwrap().len(), 1, "{mark}");
    }
}

/// An erasure died, and one of the two ledgers was damaged: only the one that the keyring names can
/// be damage. The other is cleared away, and has nobody forgotten.
#[test]
fn a_damaged_ledger_that_does_not_count_has_nobody_forgotten() {
    let machine = Machine::new();
    let live = fill(&machine);
    let own = |machine: &Machine| {
        drop(open_either(machine));
        machine.files().into_keys().find(|name| name.starts_with("ledger-")).unwrap()
    };
    let old = own(&machine);
    let mut counted = BTreeSet::new();
    for calls in 0.. {
        let machine = machine.copy();
        let store = open(&machine);
        machine.die_after(calls);
        let is_done =
            store.complete_erasure(&KeySource::bytes(NEW)).is_ok_and(|erased| !erased.leftovers);
        drop(store);
        machine.kill_process(calls);
        let counts = own(&machine.copy());
        for name in machine.files().into_keys().filter(|name| name.starts_with("ledger-")) {
            let machine = machine.copy();
            let mut files = machine.files();
            files.get_mut(&name).unwrap()[600] ^= 1;
            machine.set_files(files);
            let keys = || KeySource::bytes(NEW).previous(KeySource::bytes(OLD));
            let refusing = open_with(&machine.copy(), keys());
            let forgetting = machine
                .builder()
                .clock(ManualClock::new(now()))
                .key(keys())
                .on_damage(OnDamage::ForgetEveryone);
            let store = forgetting.open().unwrap();
            if name == counts {
                assert!(
                    matches!(refusing, Err(Error::Damaged { part: Component::Ledger, .. })),
                    "{calls}"
                );
                assert!(store.accounts(Page::first(100)).unwrap().accounts.is_empty(), "{calls}");
            } else {
                counted.insert(counts == old);
                check(&refusing.unwrap(), &live, "refusing");
                check(&store, &live, "forgetting");
            }
            assert_eq!(
                machine.files().into_keys().filter(|name| name.starts_with("ledger-")).count(),
                1,
                "{calls}"
            );
        }
        if is_done {
            break;
        }
    }
    assert_eq!(counted.len(), 2, "it dies before the switch and behind it");
}

/// A sweep compacts the ledger, which takes its time, and an operator compacts the engine, which
/// has to be alone for a moment: it waits for the ledger first, and not at the gate, where
/// everybody else would wait behind it.
#[test]
fn who_wants_to_be_alone_waits_for_the_ledgers_compaction_by_itself() {
    let machine = Machine::new();
    let store = machine.builder().open().unwrap();
    (0..60).for_each(|_| drop(store.sign_out(SignOut::account(&account(1))).unwrap()));
    machine.set_holding_next_files(true);
    std::thread::scope(|scope| {
        let sweep = scope.spawn(|| store.sweep(1000).unwrap());
        machine.wait_held();
        let compaction = scope.spawn(|| store.compact().unwrap());
        let (done, is_done) = std::sync::mpsc::channel();
        let (store, there) = (&store, machine.clone());
        scope.spawn(move || {
            // Its mark is there: next it watches for changes, for which it is alone.
            while !there.files().contains_key("moving") {
                std::thread::yield_now();
            }
            for number in 0..2000 {
                store.sign_out(SignOut::account(&account(number % 7))).unwrap();
                std::thread::yield_now();
            }
            done.send(()).unwrap();
        });
        let told = is_done.recv_timeout(Duration::from_secs(60));
        machine.set_holding_next_files(false);
        assert!(told.is_ok(), "sign-outs waited");
        assert!(sweep.join().unwrap().finished);
        compaction.join().unwrap();
    });
}

/// The rest of the upkeep may be what makes room.
#[test]
fn a_ledger_that_cannot_be_compacted_does_not_keep_a_sweep_from_its_end() {
    let machine = Machine::new();
    let store = machine.builder().open().unwrap();
    (0..60).for_each(|_| drop(store.sign_out(SignOut::account(&account(1))).unwrap()));
    machine.set_full(true);
    assert!((0..2).all(|_| store.sweep(1000).unwrap().finished));
    let before = store.stats().unwrap().ledger_bytes;
    machine.set_full(false);
    assert!(store.sweep(1000).unwrap().finished);
    assert!(store.stats().unwrap().ledger_bytes < before);
}

/// A build that cannot open SQLite's file refuses to move there before it has changed anything.
#[test]
#[cfg(not(all(unix, feature = "sqlite")))]
fn rows_do_not_move_where_this_build_cannot_follow() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let open = || TokenStore::builder(&path).key(KeySource::bytes([7; 32])).alone().open().unwrap();
    let store = open();
    let live = store.sign_in(sign_in(1)).unwrap();
    live.put(refresh("rt")).unwrap();
    let refused = store.migrate(Storage::Sqlite);
    assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{refused:?}");
    let found = live.refresh_token(&client()).unwrap().unwrap();
    assert_eq!(found.secret.expose(), "rt");
    drop(live);
    store.close().unwrap();
    let live = open().account(&account(1)).unwrap().remove(0);
    assert_eq!(live.refresh_token(&client()).unwrap().unwrap().secret.expose(), "rt");
}
