//! The ledger as an audit trail: read without the lock, beside whoever has the store open, without
//! changing anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::disk::*;

/// Everything in the folder, and when each file was last changed.
type Snapshot = (std::collections::BTreeMap<PathBuf, Option<Vec<u8>>>, Vec<(PathBuf, SystemTime)>);

fn snapshot(folder: &Path) -> Snapshot {
    let contents = contents(folder);
    let changed = contents
        .keys()
        .map(|name| (name.clone(), folder.join(name).metadata().unwrap().modified().unwrap()));
    let changed = changed.collect();
    (contents, changed)
}

fn kinds<'a>(records: impl Iterator<Item = &'a PastSignOut>) -> Vec<SignOutScopeKind> {
    records.map(|record| record.kind).collect()
}

#[test]
fn it_tells_who_was_signed_out_when_and_how() {
    let machine = Machine::new();
    let clock = ManualClock::new(now());
    let open = || machine.builder().clock(clock.clone()).open().unwrap();
    let store = open();
    store.sign_in(sign_in(1).session(session(1)).subject(subject(1))).unwrap();
    let first = store.sign_out(SignOut::account(&account(7))).unwrap();
    clock.advance(Duration::from_secs(24 * 3600));
    // The session's own record, and its account's.
    let by_session = store.sign_out(SignOut::session(&session(1)).signed_in_before(now())).unwrap();
    drop(store);
    let store = open();
    store.sign_out(SignOut::subject(&subject(2))).unwrap();
    store.sign_out(SignOut::tenant(&tenant(1))).unwrap();
    let last = store.sign_out(SignOut::everybody()).unwrap();

    let history = machine.builder().history().unwrap();
    // The process that has it open says the same, of all and of some.
    let within = store.history().unwrap();
    assert_eq!((&within.records, within.position), (&history.records, history.position));
    assert_eq!(within.known_since, history.known_since);
    let some = [SignOutScope::Subject(subject(2))];
    let within = store.history_of(&some).unwrap();
    assert_eq!(within.records, machine.builder().history_of(&some).unwrap().records);
    assert_eq!(within.covering(&some).count(), 2);
    use SignOutScopeKind::*;
    assert_eq!(
        kinds(history.records.iter()),
        [Account, Session, Account, Subject, Tenant, Everybody]
    );
    assert!(history.records.is_sorted_by_key(|record| record.position));
    let [a, s, sa, .., e] = history.records.as_slice() else { panic!() };
    assert_eq!((a.position, a.at, a.signed_in_before), (first.position, now(), None));
    assert_eq!(
        (sa.position, sa.at, sa.signed_in_before),
        (by_session.position, by_session.at, Some(now()))
    );
    assert_eq!(
        (s.signed_in_before, e.position, e.signed_in_before),
        (Some(now()), last.position, None)
    );
    assert_eq!((history.position, history.known_since), (last.position, now()));

    // Of a few scopes the same as of all.
    for scope in [
        SignOutScope::Account(account(7)),
        SignOutScope::Session(session(1)),
        SignOutScope::Subject(subject(2)),
        SignOutScope::Tenant(tenant(1)),
    ] {
        let one = std::slice::from_ref(&scope);
        let few = machine.builder().history_of(one).unwrap();
        assert!(
            few.of(&scope).eq(history.of(&scope)) && few.covering(one).eq(history.covering(one))
        );
        assert_eq!(
            (few.records.len(), few.position, few.known_since),
            (2, history.position, history.known_since)
        );
    }

    // Each answer agrees with the open store's.
    let scopes = [
        SignOutScope::Account(account(1)),
        SignOutScope::Account(account(7)),
        SignOutScope::Session(session(1)),
        SignOutScope::Subject(subject(2)),
        SignOutScope::Tenant(tenant(1)),
        SignOutScope::Everybody,
        SignOutScope::Account(account(2)),
        SignOutScope::Session(session(2)),
    ];
    for scope in &scopes {
        let told = history
            .of(scope)
            .next_back()
            .map(|record| (record.position, record.at, record.signed_in_before));
        let known = store
            .last_sign_out(scope)
            .unwrap()
            .exact
            .map(|record| (record.position, record.at, record.signed_in_before));
        assert_eq!(told, known, "{scope:?}");
    }
    assert_eq!(kinds(history.covering(&[])), [Everybody]);
    assert_eq!(
        kinds(
            history.covering(&[SignOutScope::Account(account(1)), SignOutScope::Tenant(tenant(1))])
        ),
        [Account, Tenant, Everybody]
    );
    assert_eq!(
        kinds(
            history
                .covering(&[SignOutScope::Session(session(1)), SignOutScope::Session(session(9))])
        ),
        [Session, Everybody]
    );

    let day = |days: u64| {
        let seconds = 1_800_000_000 / 86_400 * 86_400 + days * 86_400;
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    };
    let expected = [
        ((day(0), Account), 1),
        ((day(1), Everybody), 1),
        ((day(1), Tenant), 1),
        ((day(1), Account), 1),
        ((day(1), Session), 1),
        ((day(1), Subject), 1),
    ];
    assert_eq!(history.by_day(), expected.into());
    assert!(
        !format!("{history:?}").contains("user-"),
        "whom, only who has the key and asks by id is told"
    );
}

#[test]
fn what_compaction_drops_is_said() {
    let machine = Machine::new();
    let clock = ManualClock::new(now());
    let store = machine.builder().clock(clock.clone()).open().unwrap();
    for _ in 0..40 {
        store.sign_out(SignOut::account(&account(1))).unwrap();
    }
    assert_eq!(machine.builder().history().unwrap().records.len(), 40);
    clock.advance(Duration::from_secs(1));
    store.sign_out(SignOut::account(&account(2))).unwrap();
    assert!(store.compact().unwrap().ledger_compacted);
    let history = machine.builder().history().unwrap();
    assert_eq!((history.records.len(), history.known_since), (2, now()));
    let position = history.position;

    // Older than any sign-in can be.
    clock.advance(Duration::from_secs(91 * 24 * 3600));
    (0..40).for_each(|_| drop(store.sign_out(SignOut::account(&account(3))).unwrap()));
    assert!(store.compact().unwrap().ledger_compacted);
    let history = machine.builder().history().unwrap();
    assert_eq!((history.records.len(), history.known_since), (1, now() + Duration::from_secs(1)));
    assert!(history.of(&SignOutScope::Account(account(1))).next().is_none());
    assert_eq!(history.position, position + 40);
}

#[test]
fn it_reads_beside_the_app_and_changes_nothing() {
    for elsewhere in [false, true] {
        let home = Home::new();
        let ledger_dir = home.beside("ledgers");
        let builder =
            || if elsewhere { home.builder().ledger_dir(&ledger_dir) } else { home.builder() };
        let store = builder().open().unwrap();
        store.sign_out(SignOut::account(&account(1))).unwrap();
        store.wait_reclaimed().unwrap();
        assert!(matches!(builder().open(), Err(Error::AlreadyOpen { .. })));
        let snapshots = || (snapshot(&home.path()), elsewhere.then(|| snapshot(&ledger_dir)));
        let before = snapshots();
        assert_eq!(builder().history().unwrap().of(&SignOutScope::Account(account(1))).count(), 1);
        assert_eq!(snapshots(), before);
        store.close().unwrap();
        let before = snapshots();
        assert_eq!(builder().history().unwrap().records.len(), 1);
        assert_eq!(snapshots(), before);
        // Without its engine too.
        fs::remove_dir_all(entry(&home.path(), "engine-")).unwrap();
        assert_eq!(builder().history().unwrap().records.len(), 1);
    }
}

#[test]
fn where_there_is_nothing_it_makes_nothing() {
    let home = Home::new();
    let nothing = home.builder().history();
    assert!(matches!(nothing, Err(Error::InvalidInput { field: "store", .. })));
    assert!(!home.path().exists());
    let ledger_dir = home.beside("ledgers");
    home.builder().ledger_dir(&ledger_dir).open().unwrap().close().unwrap();
    fs::rename(&ledger_dir, home.beside("away")).unwrap();
    let missing = home.builder().ledger_dir(&ledger_dir).history();
    assert!(matches!(missing, Err(Error::Damaged { part: Component::Ledger, .. })));
    assert!(!ledger_dir.exists());
}

#[test]
fn it_wants_the_key_and_an_undamaged_ledger() {
    let home = Home::new();
    let store = home.open();
    store.sign_out(SignOut::account(&account(1))).unwrap();
    store.close().unwrap();
    let with = |key| TokenStore::builder(home.path()).key(key).history();
    assert!(matches!(with(KeySource::bytes([8; 32])), Err(Error::KeyRejected)));
    assert!(matches!(
        with(KeySource::file(home.beside("none"))),
        Err(Error::KeyUnavailable { .. })
    ));
    assert!(matches!(
        TokenStore::builder(home.path()).history(),
        Err(Error::InvalidInput { field: "key", .. })
    ));

    let ledger = entry(&home.path(), "ledger-");
    let sound = fs::read(&ledger).unwrap();
    // A bit of the header, of the record, and of a filler slot.
    for at in [40, 512 + 64 + 20, 512 + 640] {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        fs::write(&ledger, bytes).unwrap();
        assert!(
            matches!(home.builder().history(), Err(Error::Damaged { part: Component::Ledger, .. })),
            "byte {at}"
        );
    }
    fs::write(&ledger, &sound[..sound.len() - 64 * 1024]).unwrap();
    assert!(home.builder().history().is_ok(), "whole chunks of filler are no records");
    fs::write(&ledger, &sound[..700]).unwrap();
    assert!(matches!(
        home.builder().history(),
        Err(Error::Damaged { part: Component::Ledger, .. })
    ));
}

/// Sign-outs, compactions, rotations and erasures as fast as they go, and a reader: it sees
/// everything that was acknowledged before it began, and of a session's sign-out all or nothing.
#[test]
fn a_reader_beside_writers_misses_nothing_and_sees_no_damage() {
    let home = Home::new();
    let store = home.open();
    for number in 0..8 {
        for _ in 0..2 {
            store.sign_in(sign_in(number).session(session(1))).unwrap();
        }
    }
    let (acknowledged, done) = (AtomicU64::new(0), AtomicBool::new(false));
    // Of the session alone: its writer may be the last to be let run.
    let of_session = AtomicU64::new(0);
    let reads = std::thread::scope(|scope| {
        for writer in 0..2 {
            let (store, acknowledged, done) = (&store, &acknowledged, &done);
            let of_session = &of_session;
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let sign_out = if writer == 0 {
                        SignOut::account(&account(100))
                    } else {
                        SignOut::session(&session(1))
                    };
                    let receipt = store.sign_out(sign_out).unwrap();
                    acknowledged.fetch_max(receipt.position, Ordering::Relaxed);
                    if writer == 1 {
                        of_session.store(receipt.position, Ordering::Relaxed);
                        (0..8).for_each(|number| {
                            drop(store.sign_in(sign_in(number).session(session(1))).unwrap())
                        });
                    }
                }
            });
        }
        let (mover, is_done) = (&store, &done);
        scope.spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                mover.complete_erasure(&KeySource::bytes(KEY)).unwrap();
                mover.compact().unwrap();
                mover.rotate_key(&KeySource::bytes(KEY)).unwrap();
            }
        });
        let mut reads = 0;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..300 {
                let before = acknowledged.load(Ordering::Relaxed);
                let has_session = of_session.load(Ordering::Relaxed) > 0;
                let history = home.builder().history().unwrap();
                assert!(history.position >= before, "{} of {before}", history.position);
                if has_session {
                    let last = history.of(&SignOutScope::Session(session(1))).next_back().unwrap();
                    let at = |number| {
                        history
                            .of(&SignOutScope::Account(account(number)))
                            .next_back()
                            .unwrap()
                            .position
                    };
                    let positions: Vec<u64> = (0..8).map(at).collect();
                    assert!(
                        positions
                            .iter()
                            .all(|at| (last.position + 1..=last.position + 8).contains(at)),
                        "{positions:?}"
                    );
                    reads += 1;
                }
            }
        }));
        done.store(true, Ordering::Relaxed);
        outcome.map(|()| reads)
    });
    assert!(reads.unwrap() > 100);
}
