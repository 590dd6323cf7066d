//! Guards that the other tests do not hold: each test here fails when one guard, named above it, is
//! taken out.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::fixture::open;

// Without it: `State::install` in ledger/compact.rs keeps `state.file`, so appends go to the file that was
// replaced.
#[test]
fn sign_outs_after_a_compaction_are_in_the_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let builder =
            TokenStore::builder(folder.path().join("tokens")).key(KeySource::bytes([7; 32]));
        builder.clock(ManualClock::new(now())).open().unwrap()
    };
    let store = open();
    store.sign_in(sign_in(1)).unwrap().put(refresh("rt")).unwrap();
    // More waste than a chunk of the ledger, so that the sweep compacts it.
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                (0..100).for_each(|_| drop(store.sign_out(SignOut::account(&account(9))).unwrap()))
            });
        }
    });
    let before = store.stats().unwrap().fences;
    assert!(store.sweep(1000).unwrap().finished);
    store.sign_out(SignOut::account(&account(1))).unwrap();
    assert_eq!((before, store.stats().unwrap().fences), (1, 2));
    store.close().unwrap();
    let store = open();
    assert!(store.account(&account(1)).unwrap().is_empty());
    let last = store.last_sign_out(&SignOutScope::Account(account(1))).unwrap();
    assert_eq!(
        last.exact.map(|record| record.position),
        Some(1602),
        "one opening and 1600 sign-outs before it"
    );
}

// Without it: a failed sync of the ledger is tried once more.
#[test]
fn a_failed_sync_of_the_ledger_is_not_tried_again() {
    let machine = Machine::new();
    let store = open(&machine);
    machine.set_failing_syncs(true);
    let before = machine.calls();
    assert!(matches!(store.sign_out(SignOut::account(&account(1))), Err(Error::Indeterminate(_))));
    assert_eq!(machine.calls() - before, 2, "one write and one sync");
    assert!(store.sign_out(SignOut::account(&account(1))).is_err());
    assert_eq!(machine.calls() - before, 2, "and nothing ever after");
}

// Without it: `State::free` gives out the last slot of the file too.
#[test]
fn a_ledger_that_was_filled_up_opens_again() {
    let machine = Machine::new();
    let store = open(&machine);
    machine.set_full(true);
    let mut number = 0;
    while store.sign_out(SignOut::account(&account(number))).is_ok() {
        number += 1;
    }
    drop(store);
    machine.cut_power(1);
    let store = open(&machine);
    for number in 0..number {
        assert!(
            store.last_sign_out(&SignOutScope::Account(account(number))).unwrap().exact.is_some()
        );
    }
}

// Without it: a new chunk of the ledger counts before it is synced.
#[test]
fn a_call_that_outgrows_the_reserve_can_be_torn_and_is_mended() {
    let machine = Machine::new();
    let store = open(&machine);
    for number in 0..48 {
        store.sign_in(sign_in(number).session(session(1))).unwrap();
    }
    assert!(store.stats().unwrap().ledger_reserve < 49);
    drop(store);
    let (mut torn, mut whole) = (0, 0);
    for (calls, seed) in (0..12).flat_map(|calls| (0..16).map(move |seed| (calls, seed))) {
        let machine = machine.copy();
        let store = open(&machine);
        machine.die_after(calls);
        let done = store.sign_out(SignOut::session(&session(1))).is_ok();
        drop(store);
        machine.cut_power(seed);
        let store = machine.builder().clock(ManualClock::new(now())).open();
        let store = store
            .unwrap_or_else(|error| panic!("died after {calls} calls, seed {seed}: {error:?}"));
        let live = store.accounts_of_session(&session(1)).unwrap().len();
        assert!(live == 0 || (live == 48 && !done), "{live} live after {calls} calls, seed {seed}");
        *(if live == 0 { &mut whole } else { &mut torn }) += 1;
    }
    assert!(torn > 16 && whole > 16, "{torn} {whole}");
}

/// A clock at which something happens when it is asked for the time again.
#[derive(Clone, Default)]
struct Trap(Arc<Mutex<Option<Armed>>>);

/// After how many more looks at the clock, and what happens then.
type Armed = (u32, Box<dyn FnOnce() + Send>);

impl Trap {
    /// `then` happens at the `number`th time from now on.
    fn set(&self, number: u32, then: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap() = Some((number, Box::new(then)));
    }
}

impl Clock for Trap {
    fn now(&self) -> SystemTime {
        let mut trap = self.0.lock().unwrap();
        let sprung = match trap.as_mut() {
            Some((1, _)) => trap.take(),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        drop(trap);
        if let Some((_, then)) = sprung {
            then();
        }
        oubliette_testkit::accounts::now()
    }
}

// Without it: `put` does not look again after its commit.
#[test]
fn a_put_that_a_sign_out_overtakes_says_so() {
    let (machine, trap) = (Machine::new(), Trap::default());
    let store = machine.builder().clock(trap.clone()).open().unwrap();
    let live = store.sign_in(sign_in(1)).unwrap();
    // A put asks for the time before its commit and after it. The sign-out comes between.
    trap.set(2, {
        let store = store.clone();
        move || {
            assert!(
                std::thread::spawn(move || store.sign_out(SignOut::account(&account(1))))
                    .join()
                    .unwrap()
                    .is_ok()
            )
        }
    });
    assert!(matches!(live.put(refresh("rt")), Err(Error::SignedOut)));
}

// Without it: a sign-in commits without the checkpoint.
#[test]
fn an_older_ledger_is_damage_after_a_sign_in_alone_and_a_crash() {
    let machine = Machine::new();
    let store = open(&machine);
    store.sign_in(sign_in(2)).unwrap().put(refresh("rt")).unwrap();
    let older = machine.files();
    store.sign_out(SignOut::account(&account(2))).unwrap();
    store.sign_in(sign_in(1)).unwrap();
    // Neither closed nor waited for reclaim.
    machine.kill_process(1);
    drop(store);
    machine.set_files(older);
    assert!(matches!(
        machine.builder().open(),
        Err(Error::Damaged { part: Component::Ledger, .. })
    ));
}

// Without it: an account that begins anew keeps its generation and key.
#[test]
fn a_new_life_has_a_new_generation() {
    let machine = Machine::new();
    let store = open(&machine);
    // `format 1 | 'H' | epoch 4 | generation 16 | ...`, see docs/format.md.
    let generation = || {
        let header =
            machine.rows().into_iter().find(|(key, _)| key[0] == b'A' && key.len() == 18).unwrap();
        header.1[6..22].to_vec()
    };
    store.sign_in(sign_in(1)).unwrap();
    let first = generation();
    store.sign_in(sign_in(1)).unwrap();
    assert_eq!(generation(), first, "who joins shares the life that is there");
    // The reclaimer must not delete the header before the next sign-in sees it: the fence stands,
    // its row is still held.
    let rows = machine.rows();
    store.sign_out(SignOut::account(&account(1))).unwrap();
    store.wait_reclaimed().unwrap();
    machine.set_rows(rows);
    store.sign_in(sign_in(1)).unwrap();
    assert_ne!(generation(), first, "the next life has nothing of it");
}

// Without it: the parts of a longer token stay behind the shorter one that takes its place.
#[test]
fn a_shorter_token_leaves_no_parts_of_the_longer_one() {
    let machine = Machine::new();
    let store = open(&machine);
    let live = store.sign_in(sign_in(1)).unwrap();
    live.put(access("a", "short")).unwrap();
    let before = machine.rows().len();
    live.put(access("a", &"x".repeat(20_000))).unwrap();
    assert!(machine.rows().len() > before);
    live.put(access("a", "short")).unwrap();
    assert_eq!(machine.rows().len(), before);
}

// Without it: what is torn is not read again; the last try does not take the account's lock.
#[test]
fn a_large_token_is_read_whole_beside_writers_of_it() {
    let store = open(&Machine::new());
    let live = store.sign_in(sign_in(1)).unwrap();
    let secret = |n: u32| format!("{n}:").repeat(6000 + 2000 * n as usize);
    live.put(access("a", &secret(0))).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (live, stop) = (&live, &stop);
            scope.spawn(move || {
                for n in (0..9).cycle() {
                    if stop.load(std::sync::atomic::Ordering::Relaxed) {
                        break;
                    }
                    live.put(access("a", &secret((n + writer * 3) % 9))).unwrap();
                }
            });
        }
        let read = |_| {
            live.access_token(&query("a")).map(|token| token.unwrap().secret.expose().to_owned())
        };
        let found: Vec<_> = (0..1000).map(read).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for token in found {
            let token = token.unwrap();
            assert!((0..9).any(|n| token == secret(n)), "a mixture");
        }
    });
}

// Without it: a session's lock is not taken, by its sign-out or by its sign-in.
#[test]
fn a_sign_in_of_a_session_waits_while_the_session_is_signed_out() {
    let (machine, trap) = (Machine::new(), Trap::default());
    let store = machine.builder().clock(trap.clone()).open().unwrap();
    store.sign_in(sign_in(1)).unwrap();
    // A sign-out asks for the time between looking for the session's accounts and letting its
    // fences stand.
    let (sender, signed_in) = std::sync::mpsc::channel();
    trap.set(1, {
        let store = store.clone();
        move || {
            let signing_in =
                std::thread::spawn(move || store.sign_in(sign_in(1).session(session(1))));
            // It must be kept waiting; if it is not, it has time to come between.
            for _ in 0..10_000 {
                std::thread::yield_now();
                if signing_in.is_finished() {
                    break;
                }
            }
            sender.send(signing_in).unwrap();
        }
    });
    store.sign_out(SignOut::session(&session(1))).unwrap();
    let late = signed_in.recv().unwrap().join().unwrap().unwrap();
    assert!(late.is_live().unwrap(), "it is newer than the sign-out: both browsers are in");
    assert_eq!(store.account(&account(1)).unwrap().len(), 2);
}

// Without it: the accounts' locks are not taken when refresh tokens are.
#[test]
fn nobody_reclaims_what_a_sign_out_is_taking() {
    let machine = Machine::new();
    let store = open(&machine);
    store.sign_in(sign_in(1)).unwrap().put(refresh("rt")).unwrap();
    // Dead already by its tenant, and not yet reclaimed.
    let rows = machine.rows();
    store.sign_out(SignOut::tenant(&tenant(1))).unwrap();
    store.wait_reclaimed().unwrap();
    machine.set_rows(rows);
    machine.set_holding_syncs(true);
    let taking = std::thread::spawn({
        let store = store.clone();
        move || store.sign_out(SignOut::account(&account(1)).taking_refresh_tokens()).unwrap()
    });
    machine.wait_held();
    let sweeping = std::thread::spawn({
        let store = store.clone();
        move || store.sweep(1).unwrap()
    });
    // It must be kept waiting; if it is not, it has time to go on.
    (0..10_000).for_each(|_| std::thread::yield_now());
    machine.set_holding_syncs(false);
    assert_eq!(taking.join().unwrap().refresh_tokens, [refresh("rt")]);
    sweeping.join().unwrap();
}

// Without it: reclaim deletes tokens by a fence of their tenant that is not durable.
#[test]
fn a_guests_token_is_not_deleted_for_a_sign_out_that_was_lost() {
    let mut lost = 0;
    for seed in 0..16 {
        let machine = Machine::new();
        let store = open(&machine);
        let live = store.sign_in(sign_in(1)).unwrap();
        live.put(AccessToken { tenant: Some(tenant(2)), ..access("a", "guest") }).unwrap();
        machine.set_holding_syncs(true);
        let signing_out = std::thread::spawn({
            let store = store.clone();
            move || store.sign_out(SignOut::tenant(&tenant(2)))
        });
        machine.wait_held();
        store.sweep(1).unwrap();
        // Makes what the sweep deleted durable.
        live.put(refresh("rt")).unwrap();
        machine.cut_power(seed);
        assert!(signing_out.join().unwrap().is_err());
        drop((store, live));
        let store = open(&machine);
        let recorded =
            store.last_sign_out(&SignOutScope::Tenant(tenant(2))).unwrap().exact.is_some();
        let live = store.account(&account(1)).unwrap().remove(0);
        let found = live.access_token(&query("a").tenant(tenant(2))).unwrap().is_some();
        assert_eq!(found, !recorded, "seed {seed}");
        lost += u32::from(!recorded);
    }
    assert!(lost > 2, "{lost}");
}

// Without it: reclaim deletes sign-ins by a fence that is not durable.
#[test]
fn nobody_is_deleted_for_a_sign_out_that_was_lost() {
    let mut lost = 0;
    for seed in 0..16 {
        let machine = Machine::new();
        let store = open(&machine);
        let lives =
            [1, 2].map(|number| store.sign_in(SignIn::new(account(number), tenant(1))).unwrap());
        let other = store.sign_in(sign_in(3)).unwrap();
        machine.set_holding_syncs(true);
        let signing_out = std::thread::spawn({
            let store = store.clone();
            move || store.sign_out(SignOut::tenant(&tenant(1)))
        });
        machine.wait_held();
        // One of the tenant's two accounts, at least, and the third perhaps.
        store.sweep(2).unwrap();
        // Makes what the sweep deleted durable.
        other.put(refresh("rt")).unwrap();
        machine.cut_power(seed);
        assert!(signing_out.join().unwrap().is_err());
        drop((store, lives, other));
        let store = open(&machine);
        let recorded =
            store.last_sign_out(&SignOutScope::Tenant(tenant(1))).unwrap().exact.is_some();
        let found = store.accounts_in(&tenant(1), Page::first(10)).unwrap().accounts.len();
        assert_eq!(found, if recorded { 0 } else { 2 }, "seed {seed}");
        lost += u32::from(!recorded);
    }
    assert!(lost > 2, "{lost}");
}

// Without it: an answer about a sign-out that is not durable yet.
#[test]
fn last_sign_out_does_not_speak_of_what_may_be_lost() {
    let machine = Machine::new();
    let store = open(&machine);
    machine.set_holding_syncs(true);
    let spawn = |ask: fn(&TokenStore) -> bool| {
        let store = store.clone();
        std::thread::spawn(move || ask(&store))
    };
    let signing_out = spawn(|store| store.sign_out(SignOut::account(&account(1))).is_ok());
    machine.wait_held();
    let asking = spawn(|store| store.last_sign_out(&SignOutScope::Account(account(1))).is_ok());
    for _ in 0..10_000 {
        std::thread::yield_now();
        if asking.is_finished() {
            break;
        }
    }
    machine.cut_power(1);
    assert!(!signing_out.join().unwrap() && !asking.join().unwrap());
}
