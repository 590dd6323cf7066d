//! What operators do to a store beside the processes that have it open.

use std::fs;

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::disk::{Home, entries};

use crate::child::{Process, builder, tokens};

fn key(number: u8) -> KeySource {
    KeySource::bytes([number; 32])
}

/// The rows' file of a store.
fn rows_bytes(home: &Home) -> u64 {
    fs::metadata(entry_of_rows(home)).unwrap().len()
}

fn entry_of_rows(home: &Home) -> std::path::PathBuf {
    let is_it = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "db");
    entries(&home.path(), "rows-").into_iter().find(is_it).unwrap()
}

#[test]
fn the_key_is_changed_beside_others_which_all_go_on() {
    let home = Home::new();
    let path = home.path().display().to_string();
    let store = builder(&home.path()).open().unwrap();
    let mut before = Process::with_store(&home.path());
    before.must("in 1 rt-1");
    store.rotate_key(&key(9).also(key(8))).unwrap();
    assert!(!store.stats().unwrap().opened_by_previous_key);
    let mut after = Process::servant();
    let refused = after.ask(&format!("open {path}"));
    assert_eq!(refused, "no KeyRejected");
    for number in [8, 9] {
        let mut one = Process::servant();
        one.must(&format!("open-keyed {path} {number}"));
        assert_eq!(one.must("get 1"), "rt-1");
    }
    after.must(&format!("open-keyed {path} 9"));
    // Those from before, and those from after, are of one store.
    before.must("in 2 rt-2");
    assert_eq!(after.must("get 2"), "rt-2");
    after.must("out 1");
    assert_eq!(before.must("get 1"), "");
    assert_eq!(tokens(&store, 2).unwrap(), ["rt-2"]);
    // One of them changes it again.
    before.must("rotate 5");
    assert_eq!(Process::servant().ask(&format!("open-keyed {path} 9")), "no KeyRejected");
    store.close().unwrap();
    before.kill();
    after.kill();
    let store = builder(&home.path()).key(key(5)).open().unwrap();
    assert_eq!(tokens(&store, 2).unwrap(), ["rt-2"]);
}

/// What a rotation leaves that ends at one of its steps: one of the two keys opens the store.
#[test]
fn a_rotation_that_ends_anywhere_leaves_a_store_that_opens() {
    let home = Home::new();
    let keyring = home.path().join("keyring");
    let store = builder(&home.path()).open().unwrap();
    store.sign_in(sign_in(1)).unwrap().put(refresh("rt-1")).unwrap();
    let old = fs::read(&keyring).unwrap();
    store.rotate_key(&key(9)).unwrap();
    store.close().unwrap();
    let new = fs::read(&keyring).unwrap();
    assert!(!home.path().join("keyring.new").exists());
    for (written, is_switched) in
        [(0, false), (new.len() / 2, false), (new.len(), false), (0, true)]
    {
        fs::write(&keyring, if is_switched { &new } else { &old }).unwrap();
        if !is_switched {
            fs::write(home.path().join("keyring.new"), &new[..written]).unwrap();
        }
        let builder = builder(&home.path());
        let store = if is_switched { builder.key(key(9)) } else { builder }.open().unwrap();
        assert_eq!(tokens(&store, 1).unwrap(), ["rt-1"]);
        store.rotate_key(&key(9)).unwrap();
        store.close().unwrap();
    }
}

#[test]
fn the_keyring_of_another_store_is_not_overwritten() {
    let home = Home::new();
    let store = builder(&home.path()).open().unwrap();
    fs::rename(home.path(), home.beside("moved")).unwrap();
    let mut other = Process::with_store(&home.path());
    other.must("in 1 rt-1");
    let refused = store.rotate_key(&key(9));
    assert!(matches!(refused, Err(Error::Damaged { .. })), "{refused:?}");
    other.must("close");
    other.must(&format!("open {}", home.path().display()));
    assert_eq!(other.must("get 1"), "rt-1");
}

fn fill(store: &TokenStore, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let live = store.sign_in(sign_in(number)).unwrap();
        live.put(refresh(&format!("rt-{number}-{}", "x".repeat(4000)))).unwrap();
    }
}

#[test]
fn space_is_given_back_beside_others() {
    let home = Home::new();
    let store = builder(&home.path()).open().unwrap();
    let mut other = Process::with_store(&home.path());
    other.must("in 1000 rt-1000");
    fill(&store, 0..300);
    let estimate = store.compaction_estimate().unwrap();
    assert_eq!(estimate.copy_bytes, 0);
    for number in 1..300 {
        store.sign_out(SignOut::account(&account(number))).unwrap();
    }
    store.wait_reclaimed().unwrap();
    let compacted = store.compact().unwrap();
    assert_eq!((compacted.accounts, compacted.tampered), (2, 0));
    assert!(compacted.bytes_after < compacted.bytes_before / 4, "{compacted:?}");
    assert_eq!(rows_bytes(&home), compacted.bytes_after);
    // Nothing is lost of what lives, and the other goes on.
    assert_eq!(other.must("get 1000"), "rt-1000");
    other.must("in 1001 rt-1001");
    assert_eq!(tokens(&store, 1001).unwrap(), ["rt-1001"]);
    assert_eq!(tokens(&store, 0).unwrap().len(), 1);

    // The end of a sweep does the same, if it is worth it.
    assert!(!store.sweep(10_000).unwrap().compacted);
    fill(&store, 300..500);
    store.sign_out(SignOut::everybody()).unwrap();
    store.wait_reclaimed().unwrap();
    let swept = store.sweep(10_000).unwrap();
    assert!(swept.finished && swept.compacted, "{swept:?}");
    assert!(rows_bytes(&home) < 1 << 18);
    other.must("verify");
}

/// What is written while the backup is made is in it as of one moment, or not; and nothing of a web
/// session is.
#[test]
fn a_backup_is_made_beside_others_that_write() {
    let home = Home::new();
    let ledger = home.beside("ledger");
    let builder = || builder(&home.path()).ledger_dir(&ledger);
    let open = format!("open {} with-ledger {}", home.path().display(), ledger.display());
    let store = builder().open().unwrap();
    let mut other = Process::servant();
    other.must(&open);
    fill(&store, 0..60);
    // Another process signs in and out, without an end.
    other.say("restless 1000");
    let backed_up = store.backup(home.beside("backup")).unwrap();
    assert_eq!(other.hear().unwrap().trim(), "ok");
    assert!(backed_up.accounts >= 60 && backed_up.tampered == 0, "{backed_up:?}");
    let name = |folder: &std::path::Path| {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|one| one.unwrap().file_name()).collect();
        names.sort();
        names.into_iter().map(|name| name.to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let names = name(&home.beside("backup"));
    assert!(names.len() == 2 && names[0] == "keyring" && names[1].ends_with(".db"), "{names:?}");
    // Who signs out behind it stays out.
    store.sign_out(SignOut::account(&account(7))).unwrap();
    other.must("out 8");
    let refused = builder().restore(home.beside("backup"));
    assert!(matches!(refused, Err(Error::AlreadyOpen { .. })), "{refused:?}");
    store.close().unwrap();
    other.must("close");
    fs::remove_dir_all(home.path()).unwrap();
    let store = builder().restore(home.beside("backup")).unwrap();
    assert!(store.verify().unwrap().is_sound());
    let lives = (0..60).filter(|number| !tokens(&store, *number).unwrap().is_empty());
    assert_eq!(lives.count(), 58);
    assert!(tokens(&store, 7).unwrap().is_empty() && tokens(&store, 8).unwrap().is_empty());
    // It is a store that processes share.
    other.must(&open);
    other.must("out 9");
    assert!(tokens(&store, 9).unwrap().is_empty());
}

/// Nobody has it open while one has it alone, and the other way round.
#[test]
fn who_is_alone_is_alone() {
    let home = Home::new();
    let path = home.path().display().to_string();
    let mut other = Process::with_store(&home.path());
    other.must("in 1 rt-1");
    let refused = builder(&home.path()).alone().open();
    assert!(matches!(refused, Err(Error::AlreadyOpen { .. })), "{refused:?}");
    other.must("close");
    let store = builder(&home.path()).alone().open().unwrap();
    assert!(other.ask(&format!("open {path}")).starts_with("no AlreadyOpen"));
    assert_eq!(tokens(&store, 1).unwrap(), ["rt-1"]);
    store.sign_in(sign_in(2)).unwrap().put(refresh("rt-2")).unwrap();
    store.close().unwrap();
    other.must(&format!("open {path}"));
    assert_eq!(other.must("get 2"), "rt-2");
}

/// A bearer of the old keyring and the old rows gets nothing after an erasure.
#[test]
fn what_others_share_is_erased_when_one_has_it_alone() {
    let home = Home::new();
    let path = home.path().display().to_string();
    let store = builder(&home.path()).open().unwrap();
    fill(&store, 1..4);
    store.sign_out(SignOut::account(&account(2))).unwrap();
    let refused = store.complete_erasure(&key(9));
    assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{refused:?}");
    store.backup(home.beside("backup")).unwrap();
    store.close().unwrap();
    let before = entry_of_rows(&home);
    let store = builder(&home.path()).alone().open().unwrap();
    let erased = store.complete_erasure(&key(9)).unwrap();
    assert_eq!((erased.accounts, erased.leftovers), (2, false));
    store.close().unwrap();
    assert!(!before.exists() && !before.with_extension("db-wal").exists());
    let mut other = Process::servant();
    assert_eq!(other.ask(&format!("open {path}")), "no KeyRejected");
    other.must(&format!("open-keyed {path} 9"));
    assert_eq!(other.must("get 2"), "");
    assert!(other.must("get 3").starts_with("rt-3"));
    other.must("close");
    let refused = builder(&home.path()).key(key(9).previous(key(7))).restore(home.beside("backup"));
    assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{refused:?}");
}

/// There and back: what lives stays, and what has ended stays ended, also by an as-of of before.
#[test]
fn a_store_is_moved_to_sqlite_and_back() {
    let home = Home::new();
    let path = home.path().display().to_string();
    let sled = || oubliette_testkit::disk::builder_at(&home.path()).clock(SystemClock);
    let store = sled().open().unwrap();
    fill(&store, 0..5);
    store.sign_out(SignOut::account(&account(0))).unwrap();
    let id = store.account(&account(1)).unwrap()[0].id();
    let moved = store.migrate(Storage::Sqlite).unwrap();
    assert_eq!((moved.accounts, moved.tampered, moved.leftovers), (4, 0, false));
    // It goes on, alone.
    store.sign_out(SignOut::account(&account(2))).unwrap();
    let mut other = Process::servant();
    assert!(other.ask(&format!("open {path}")).starts_with("no AlreadyOpen"));
    store.close().unwrap();
    assert!(entries(&home.path(), "engine-").is_empty());
    for _ in 0..2 {
        other.must(&format!("open {path}"));
        let store = sled().open().unwrap();
        let lives = (0..5).filter(|number| !tokens(&store, *number).unwrap().is_empty());
        assert_eq!(lives.collect::<Vec<_>>(), [1, 3, 4]);
        assert!(store.resume(&account(1), id).unwrap().is_some());
        assert!(matches!(store.migrate(Storage::Embedded), Err(Error::InvalidInput { .. })));
        store.close().unwrap();
        other.must("close");
    }
    other.must(&format!("open {path}"));
    other.must("out 3");
    other.must("close");
    let store = builder(&home.path()).alone().open().unwrap();
    store.migrate(Storage::Embedded).unwrap();
    store.close().unwrap();
    assert!(entries(&home.path(), "rows-").is_empty());
    let refused = other.ask(&format!("open {path}"));
    assert!(refused.starts_with("no InvalidInput"), "{refused}");
    let store = sled().open().unwrap();
    let lives = (0..5).filter(|number| !tokens(&store, *number).unwrap().is_empty());
    assert_eq!(lives.collect::<Vec<_>>(), [1, 4]);
    assert!(store.resume(&account(1), id).unwrap().is_some());
    assert!(store.verify().unwrap().is_sound());
}

/// What a move leaves that ends at one of its steps: the store is of one kind, and has all of it.
#[test]
fn a_move_that_ends_anywhere_leaves_one_store() {
    for to in [Storage::Sqlite, Storage::Embedded] {
        let home = Home::new();
        let open = || builder_of_any(&home).alone().open().unwrap();
        let store = open();
        fill(&store, 0..3);
        if to == Storage::Embedded {
            store.migrate(Storage::Sqlite).unwrap();
        }
        store.close().unwrap();
        let (old, new) = (home.beside("old"), home.beside("new"));
        oubliette_testkit::disk::copy(&home.path(), &old);
        let store = open();
        store.migrate(to).unwrap();
        store.close().unwrap();
        oubliette_testkit::disk::copy(&home.path(), &new);
        let rows = |folder: &std::path::Path| {
            let names = fs::read_dir(folder).unwrap().map(|one| one.unwrap().file_name());
            let mut names = names.map(|name| name.to_string_lossy().into_owned());
            names.find(|name| name.starts_with("engine-") || name.ends_with(".db")).unwrap()
        };
        let (before, after) = (rows(&old), rows(&new));
        // Marked; half of it there; all of it there; the mark removed, and the old not yet.
        for step in 0..4 {
            fs::remove_dir_all(home.path()).unwrap();
            oubliette_testkit::disk::copy(&old, &home.path());
            if step < 3 {
                fs::write(home.path().join("moving"), &after).unwrap();
            }
            let (from, to) = (new.join(&after), home.path().join(&after));
            match (step, from.is_dir()) {
                (0, _) => {}
                (1, true) => fs::create_dir(&to).unwrap(),
                (1, false) => fs::write(&to, &fs::read(&from).unwrap()[..4096]).unwrap(),
                (_, true) => oubliette_testkit::disk::copy(&from, &to),
                (_, false) => drop(fs::copy(&from, &to).unwrap()),
            }
            let store = builder_of_any(&home).open().unwrap();
            for number in 0..3 {
                assert_eq!(tokens(&store, number).unwrap().len(), 1, "step {step}");
            }
            store.sign_out(SignOut::account(&account(1))).unwrap();
            store.close().unwrap();
            let counts = if step < 3 { &before } else { &after };
            assert_eq!(rows(&home.path()), *counts, "step {step}");
            let other = if step < 3 { &after } else { &before };
            assert!(!home.path().join(other).exists(), "step {step}");
            let store = open();
            assert!(tokens(&store, 1).unwrap().is_empty(), "step {step}");
            store.migrate(to_of(&after)).unwrap();
            assert_eq!(tokens(&store, 2).unwrap().len(), 1, "step {step}");
            store.close().unwrap();
        }
    }
}

/// Whatever keeps it.
fn builder_of_any(home: &Home) -> Builder {
    oubliette_testkit::disk::builder_at(&home.path()).clock(SystemClock)
}

fn to_of(name: &str) -> Storage {
    if name.starts_with("engine-") { Storage::Embedded } else { Storage::Sqlite }
}

/// Rows that cannot be read are no backup without them.
#[test]
fn rows_that_cannot_be_read_make_no_backup() {
    let home = Home::new();
    let store = builder(&home.path()).open().unwrap();
    fill(&store, 0..3);
    let foreign = rusqlite::Connection::open(entry_of_rows(&home)).unwrap();
    foreign.execute("ALTER TABLE row RENAME TO gone", []).unwrap();
    assert!(store.backup(home.beside("backup")).is_err());
    assert!(!home.beside("backup").join("keyring").exists());
    foreign.execute("ALTER TABLE gone RENAME TO row", []).unwrap();
    assert_eq!(store.backup(home.beside("another")).unwrap().accounts, 3);
}

/// What a backup was of says what a restore gives.
#[test]
fn a_restored_store_is_kept_as_the_backup_was() {
    let home = Home::new();
    let any = || builder_of_any(&home);
    let store = any().open().unwrap();
    fill(&store, 0..4);
    store.backup(home.beside("sled")).unwrap();
    store.migrate(Storage::Sqlite).unwrap();
    store.backup(home.beside("alone")).unwrap();
    store.close().unwrap();
    let store = any().open().unwrap();
    store.backup(home.beside("shared")).unwrap();
    store.sign_out(SignOut::account(&account(2))).unwrap();
    store.close().unwrap();
    let refused = any().sqlite().restore(home.beside("sled"));
    assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{refused:?}");
    assert!(entries(&home.path(), "engine-").is_empty(), "nothing was changed");
    for (backup, kept) in
        [("sled", "engine-"), ("alone", "rows-"), ("sled", "engine-"), ("shared", "rows-")]
    {
        let store = any().restore(home.beside(backup)).unwrap();
        let lives = (0..4).filter(|number| !tokens(&store, *number).unwrap().is_empty());
        assert_eq!(lives.collect::<Vec<_>>(), [0, 1, 3], "{backup}");
        store.close().unwrap();
        for kind in ["engine-", "rows-"] {
            assert_eq!(entries(&home.path(), kind).is_empty(), kind != kept, "{backup}");
        }
        let verified = any().verify().unwrap();
        assert!(verified.is_sound() && verified.accounts == 3, "{verified:?}");
    }
}

/// Rows that were moved here end with a checkpoint: without it an older ledger would do.
#[test]
fn moved_rows_without_their_checkpoint_are_damage() {
    let home = Home::new();
    let store = builder_of_any(&home).open().unwrap();
    fill(&store, 0..3);
    store.migrate(Storage::Sqlite).unwrap();
    store.close().unwrap();
    let foreign = rusqlite::Connection::open(entry_of_rows(&home)).unwrap();
    foreign.execute("DELETE FROM row WHERE key=CAST('C' AS BLOB)", []).unwrap();
    drop(foreign);
    let refused = builder(&home.path()).open();
    assert!(matches!(refused, Err(Error::Damaged { part: Component::Engine, .. })), "{refused:?}");
}
