//! Backups: who signed out since stays out, whatever the age of the backup; and what is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::disk::*;

/// A store with its ledger in a folder of its own.
struct Pair {
    home: Home,
    clock: ManualClock,
    storage: Storage,
}

impl Pair {
    fn embedded() -> Self {
        Self { home: Home::new(), clock: ManualClock::new(now()), storage: Storage::Embedded }
    }

    #[cfg(all(unix, feature = "sqlite"))]
    fn sqlite() -> Self {
        Self { storage: Storage::Sqlite, ..Self::embedded() }
    }

    fn builder(&self) -> Builder {
        self.with_ledger("ledger")
    }

    fn with_ledger(&self, name: &str) -> Builder {
        let builder = self.home.builder().ledger_dir(self.home.beside(name));
        self.of_kind(builder.clock(self.clock.clone()))
    }

    fn of_kind(&self, builder: Builder) -> Builder {
        match self.storage {
            #[cfg(all(unix, feature = "sqlite"))]
            Storage::Sqlite => builder.sqlite(),
            _ => builder,
        }
    }

    /// Where the rows are in a folder, of a store or a backup.
    fn rows_in(&self, folder: &Path) -> PathBuf {
        if self.storage == Storage::Embedded {
            return entry(folder, "engine-");
        }
        let is_it = |path: &PathBuf| path.extension().is_some_and(|end| end == "db");
        entries(folder, "rows-").into_iter().find(is_it).unwrap()
    }

    /// The name that rows would have after some more moves.
    fn later_name(&self, folder: &Path) -> String {
        let name = self.rows_in(folder).file_name().unwrap().to_string_lossy().into_owned();
        let (before, after) = name.rsplit_once('-').unwrap();
        format!("{before}-7{}", after.trim_start_matches(|digit: char| digit.is_ascii_digit()))
    }

    /// A part of rows, as of a copy that has begun.
    fn half(&self, path: &Path) {
        if self.storage == Storage::Embedded {
            fs::create_dir(path).unwrap();
            fs::write(path.join("db"), "half").unwrap();
        } else {
            fs::write(path, "half").unwrap();
        }
    }

    /// The rows are lost.
    fn lose_rows(&self, path: &Path) {
        if self.storage == Storage::Embedded {
            fs::remove_dir_all(path).unwrap();
        } else {
            for suffix in ["", "-wal", "-shm"] {
                fs::remove_file(format!("{}{suffix}", path.display())).unwrap();
            }
        }
    }

    fn open(&self) -> TokenStore {
        self.builder().open().unwrap()
    }

    /// The volume with the data is lost. The ledger's is not.
    fn lose_data(&self) {
        fs::remove_dir_all(self.home.path()).unwrap();
    }
}

fn fill(store: &TokenStore, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        let live = store.sign_in(sign_in(number).session(session(number))).unwrap();
        live.put([
            access("a", &format!("at-{number}")).into(),
            refresh(&format!("rt-{number}")).into(),
        ])
        .unwrap();
    }
}

fn signed_in(store: &TokenStore, numbers: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let is_in = |number: &u32| {
        let lives = store.account(&account(*number)).unwrap();
        for live in &lives {
            let refresh = live.refresh_token(&client()).unwrap().unwrap();
            assert_eq!(refresh.secret.expose(), format!("rt-{number}"));
        }
        !lives.is_empty()
    };
    numbers.into_iter().filter(is_in).collect()
}

fn who_signed_out_since_stays_out_at_any_age_of_the_backup(new: fn() -> Pair) {
    let pair = new();
    let store = pair.open();
    fill(&store, 0..10);
    // One backup after each sign-out; between some of them the ledger is compacted, the key
    // changed, days pass, and the store is reopened.
    let mut store = Some(store);
    for age in 0..10u32 {
        let open = store.as_ref().unwrap();
        let backed_up = open.backup(pair.home.beside(&format!("backup-{age}"))).unwrap();
        assert_eq!(backed_up.accounts, u64::from(10 - age));
        open.sign_out(SignOut::account(&account(age))).unwrap();
        match age % 4 {
            0 => {
                (0..1500).for_each(|_| drop(open.sign_out(SignOut::account(&account(99))).unwrap()))
            }
            1 => drop(open.sweep(1000).unwrap()),
            2 => {
                store.take().unwrap().close().unwrap();
                store = Some(pair.open());
            }
            _ => pair.clock.advance(Duration::from_secs(24 * 3600)),
        }
    }
    let store = store.unwrap();
    fill(&store, [3]);
    let now_in = signed_in(&store, 0..10);
    assert_eq!(now_in, [3]);
    store.close().unwrap();
    for age in 0..10 {
        pair.lose_data();
        let store = pair.builder().restore(pair.home.beside(&format!("backup-{age}"))).unwrap();
        // All have signed out since, also who has signed in again after the backup; and the ledger
        // goes on.
        assert!(signed_in(&store, 0..10).is_empty(), "age {age}");
        fill(&store, [20]);
        store.sign_out(SignOut::account(&account(20))).unwrap();
        store.close().unwrap();
    }
}

fn who_has_not_signed_out_is_back(new: fn() -> Pair) {
    let pair = new();
    let store = pair.open();
    fill(&store, 0..6);
    let id = store.account(&account(1)).unwrap()[0].id();
    store.backup(pair.home.beside("backup")).unwrap();
    store.sign_out(SignOut::session(&session(2))).unwrap();
    store.sign_out(SignOut::tenant(&tenant(3))).unwrap();
    fill(&store, [7]);
    drop(store);
    // The process died, and the data are still there; or gone.
    for lost in [false, true] {
        if lost {
            pair.lose_data();
        }
        let store = pair.builder().restore(pair.home.beside("backup")).unwrap();
        assert_eq!(signed_in(&store, 0..8), [0, 1, 4, 5], "the backup is older than account 7");
        assert!(store.resume(&account(1), id).unwrap().is_some());
        assert!(store.verify().unwrap().is_sound());
        store.close().unwrap();
        assert_eq!(signed_in(&pair.open(), 0..8), [0, 1, 4, 5]);
        assert_eq!(pair.builder().verify().unwrap().accounts, 4);
    }
}

fn a_backup_has_no_ledger_and_hides_as_much_as_the_store(new: fn() -> Pair) {
    let pair = new();
    let store = pair.open();
    fill(&store, 0..3);
    let path = pair.home.beside("backup");
    store.backup(&path).unwrap();
    let files = contents(&path);
    assert!(files.keys().all(|name| !name.to_string_lossy().contains("ledger")));
    assert!(files.keys().any(|name| name == Path::new("keyring")));
    for needle in ["rt-1", "at-1", "user-1", "tenant-1", "session-1"] {
        assert!(
            files.values().all(|bytes| bytes.as_ref().is_none_or(|bytes| !bytes
                .windows(needle.len())
                .any(|part| part == needle.as_bytes()))),
            "{needle}"
        );
    }
    // A folder that is not empty is refused, the store's own too.
    for path in [path, pair.home.path()] {
        let before = contents(&path);
        assert!(matches!(store.backup(&path), Err(Error::InvalidInput { .. })));
        assert_eq!(contents(&path), before);
    }
}

fn a_ledger_that_is_older_than_the_backup_is_refused(new: fn() -> Pair) {
    let pair = new();
    let store = pair.open();
    fill(&store, 0..3);
    store.close().unwrap();
    let older = pair.home.beside("older-ledger");
    copy(&pair.home.beside("ledger"), &older);
    let store = pair.open();
    store.sign_out(SignOut::account(&account(1))).unwrap();
    store.backup(pair.home.beside("backup")).unwrap();
    store.sign_out(SignOut::account(&account(2))).unwrap();
    store.close().unwrap();
    // Also if damage may be answered by forgetting: a wrong ledger at a restore is the operator's
    // to put right.
    let restore = |ledger: &str| {
        let builder = pair.with_ledger(ledger);
        builder.on_damage(OnDamage::ForgetEveryone).restore(pair.home.beside("backup"))
    };
    let before = contents(&pair.home.path());
    for ledger in ["older-ledger", "no-ledger"] {
        assert!(
            matches!(restore(ledger), Err(Error::Damaged { part: Component::Ledger, .. })),
            "{ledger}"
        );
        let mut after = contents(&pair.home.path());
        after.insert("lock".into(), before[Path::new("lock")].clone());
        assert!(after == before, "nothing was changed");
    }
    assert_eq!(signed_in(&restore("ledger").unwrap(), 0..3), [0]);
    pair.lose_data();
    for ledger in ["older-ledger", "no-ledger"] {
        assert!(
            matches!(restore(ledger), Err(Error::Damaged { part: Component::Ledger, .. })),
            "{ledger}"
        );
    }
    assert_eq!(signed_in(&restore("ledger").unwrap(), 0..3), [0]);
}

fn what_is_no_whole_backup_of_this_store_is_refused(new: fn() -> Pair) {
    let (pair, other) = (new(), new());
    let store = pair.open();
    fill(&store, 0..3);
    store.backup(pair.home.beside("backup")).unwrap();
    store.close().unwrap();
    let foreign = other.open();
    fill(&foreign, 0..3);
    foreign.backup(pair.home.beside("foreign")).unwrap();
    copy(&pair.home.beside("backup"), &pair.home.beside("half"));
    let rows = pair.rows_in(&pair.home.beside("half"));
    fs::remove_dir_all(&rows).or_else(|_| fs::remove_file(rows)).unwrap();
    // One that died in the middle: its rows may look like anything, and the keyring is put last.
    copy(&pair.home.beside("backup"), &pair.home.beside("unfinished"));
    fs::remove_file(pair.home.beside("unfinished").join("keyring")).unwrap();
    let rows = pair.rows_in(&pair.home.beside("unfinished"));
    if rows.is_file() {
        fs::write(rows, "").unwrap();
    }
    for wrong in ["foreign", "half", "unfinished", "nothing"] {
        let result = pair.builder().restore(pair.home.beside(wrong));
        assert!(matches!(result, Err(Error::InvalidInput { .. })), "{wrong}: {result:?}");
        assert_eq!(signed_in(&pair.open(), 0..3), [0, 1, 2], "{wrong}");
    }
    let wrong_key =
        pair.builder().key(KeySource::bytes([8; 32])).restore(pair.home.beside("backup"));
    assert!(matches!(wrong_key, Err(Error::KeyRejected)));
    // Beside a store that is open.
    let store = pair.open();
    assert!(matches!(
        pair.builder().restore(pair.home.beside("backup")),
        Err(Error::AlreadyOpen { .. })
    ));
    drop(store);
    // The engine of a backup cut short.
    copy(&pair.home.beside("backup"), &pair.home.beside("cut"));
    let rows = pair.rows_in(&pair.home.beside("cut"));
    let db = if rows.is_dir() { rows.join("db") } else { rows };
    fs::write(&db, &fs::read(&db).unwrap()[..1000]).unwrap();
    assert!(pair.builder().restore(pair.home.beside("cut")).is_err());
    assert_eq!(signed_in(&pair.open(), 0..3), [0, 1, 2]);
}

fn keys_that_changed_since_stay_changed(new: fn() -> Pair) {
    let pair = new();
    let store = pair.open();
    fill(&store, 0..3);
    store.backup(pair.home.beside("backup")).unwrap();
    let (old, new) = (|| KeySource::bytes(KEY), || KeySource::bytes([9; 32]));
    store.rotate_key(&new()).unwrap();
    store.close().unwrap();
    // The keyring in place is kept: the backup's key is not even needed.
    let store = pair.builder().key(new()).restore(pair.home.beside("backup")).unwrap();
    assert_eq!(signed_in(&store, 0..3), [0, 1, 2]);
    store.close().unwrap();
    assert!(matches!(pair.builder().key(old()).open(), Err(Error::KeyRejected)));
    // Where it is lost the backup's is needed, and what is put in place opens with the new key
    // alone.
    pair.lose_data();
    assert!(matches!(
        pair.builder().key(new()).restore(pair.home.beside("backup")),
        Err(Error::KeyRejected)
    ));
    let store =
        pair.builder().key(new().previous(old())).restore(pair.home.beside("backup")).unwrap();
    assert_eq!(signed_in(&store, 0..3), [0, 1, 2]);
    store.close().unwrap();
    assert!(matches!(pair.builder().key(old()).open(), Err(Error::KeyRejected)));
    assert_eq!(signed_in(&pair.builder().key(new()).open().unwrap(), 0..3), [0, 1, 2]);
}

fn a_backup_from_before_an_erasure_or_a_forgetting_cannot_come_back(new: fn() -> Pair) {
    for erase in [false, true] {
        let pair = new();
        let store = pair.open();
        fill(&store, 0..3);
        store.backup(pair.home.beside("backup")).unwrap();
        if erase {
            // (Of a store that others may have open it is refused.)
            if pair.storage == Storage::Sqlite {
                let refused = store.complete_erasure(&KeySource::bytes(KEY));
                assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{refused:?}");
            }
            store.close().unwrap();
            let alone = pair.builder().alone().open().unwrap();
            alone.complete_erasure(&KeySource::bytes(KEY)).unwrap();
            alone.close().unwrap();
        } else {
            store.close().unwrap();
        }
        let left: &[u32] = if erase {
            &[0, 1, 2]
        } else {
            fs::remove_file(pair.home.path().join("keyring")).unwrap();
            drop(pair.builder().on_damage(OnDamage::ForgetEveryone).open().unwrap());
            &[]
        };
        let result = pair.builder().restore(pair.home.beside("backup"));
        assert!(matches!(result, Err(Error::InvalidInput { .. })), "{result:?}");
        assert_eq!(signed_in(&pair.open(), 0..3), left);
        pair.lose_data();
        let result = pair.builder().restore(pair.home.beside("backup"));
        assert!(
            matches!(result, Err(Error::Damaged { part: Component::Ledger, .. })),
            "{result:?}"
        );
    }
}

fn an_interrupted_restore_is_called_again(new: fn() -> Pair) {
    let pair = new();
    let store = pair.open();
    fill(&store, 0..3);
    store.backup(pair.home.beside("backup")).unwrap();
    store.close().unwrap();
    let backup = pair.home.beside("backup");
    let next = pair.later_name(&backup);
    let half = |lost: bool| {
        if lost {
            pair.lose_data();
            fs::create_dir(pair.home.path()).unwrap();
        }
        // It died while it copied: the mark names what is not whole.
        fs::write(pair.home.path().join("moving"), &next).unwrap();
        pair.half(&pair.home.path().join(&next));
    };
    half(false);
    assert_eq!(signed_in(&pair.open(), 0..3), [0, 1, 2], "the store goes on with what it had");
    assert!(!pair.home.path().join(&next).exists() && !pair.home.path().join("moving").exists());
    for lost in [false, true] {
        half(lost);
        if lost {
            assert!(matches!(
                pair.builder().open(),
                Err(Error::Damaged { part: Component::Keyring, .. })
            ));
        }
        let store = pair.builder().restore(&backup).unwrap();
        assert_eq!(signed_in(&store, 0..3), [0, 1, 2]);
        assert!(
            !pair.home.path().join(&next).exists() && !pair.home.path().join("moving").exists()
        );
    }
    // Copied, and the keyring not yet in place.
    fs::remove_file(pair.home.path().join("keyring")).unwrap();
    assert!(matches!(pair.builder().open(), Err(Error::Damaged { part: Component::Keyring, .. })));
    assert_eq!(signed_in(&pair.builder().restore(&backup).unwrap(), 0..3), [0, 1, 2]);
}

/// The engine is lost, and the restore dies before it counts: an open without it makes an engine of
/// the name that the mark holds. That one is the store's own, and stays.
fn who_signs_in_after_an_interrupted_restore_stays_in(new: fn() -> Pair) {
    for has_half in [false, true] {
        let pair = new();
        let store = pair.open();
        fill(&store, 0..1);
        store.backup(pair.home.beside("backup")).unwrap();
        store.close().unwrap();
        let engine = pair.rows_in(&pair.home.path());
        pair.lose_rows(&engine);
        if has_half {
            pair.half(&engine);
        }
        fs::write(pair.home.path().join("moving"), engine.file_name().unwrap().as_encoded_bytes())
            .unwrap();
        let store = pair.open();
        assert!(!pair.home.path().join("moving").exists() && engine.exists());
        fill(&store, 1..2);
        assert!(store.stats().is_ok());
        store.close().unwrap();
        assert_eq!(signed_in(&pair.open(), 0..2), [1]);
        assert_eq!(
            signed_in(&pair.builder().restore(pair.home.beside("backup")).unwrap(), 0..2),
            [0]
        );
    }
}

#[test]
fn a_mark_that_no_move_wrote_is_damage_and_nothing_is_removed() {
    let pair = Pair::embedded();
    let store = pair.open();
    fill(&store, 0..3);
    store.close().unwrap();
    let before = contents(&pair.home.path());
    for mark in ["../ledger", "keyring", "engine-00", "\u{0}"] {
        fs::write(pair.home.path().join("moving"), mark).unwrap();
        assert!(matches!(pair.builder().open(), Err(Error::Damaged { .. })), "{mark:?}");
        fs::remove_file(pair.home.path().join("moving")).unwrap();
    }
    assert_eq!(contents(&pair.home.path()).len(), before.len());
    assert_eq!(signed_in(&pair.open(), 0..3), [0, 1, 2]);
}

/// Somebody copies the folder while the rows are being sealed anew, and opens the copy later with
/// the same ledger's folder.
#[test]
fn a_copy_taken_during_an_erasure_does_not_harm_the_store() {
    let pair = Pair::embedded();
    let store = pair.open();
    fill(&store, 0..3);
    store.close().unwrap();
    let copied = pair.home.beside("copy");
    copy(&pair.home.path(), &copied);
    let ledger_of = || {
        let names = fs::read_dir(pair.home.beside("ledger"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        names
            .filter(|name| name.starts_with("ledger-") && !name.ends_with(".lock"))
            .collect::<Vec<_>>()
    };
    let old = ledger_of().remove(0);
    let store = pair.open();
    store.complete_erasure(&KeySource::bytes(KEY)).unwrap();
    let [new] = ledger_of().try_into().unwrap();
    assert_ne!(old, new);
    fs::write(copied.join("moving"), format!("{new}\n{old}")).unwrap();
    fs::write(copied.join("keyring.new"), "half").unwrap();
    let open_copy = || builder_at(&copied).ledger_dir(pair.home.beside("ledger")).open();
    assert!(
        matches!(open_copy(), Err(Error::AlreadyOpen { .. })),
        "of the store that has both ledgers' locks"
    );
    store.close().unwrap();
    assert!(matches!(open_copy(), Err(Error::Damaged { part: Component::Ledger, .. })));
    assert_eq!(ledger_of(), [new]);
    let store = pair.open();
    // A copy from after the erasure names a ledger that is in use.
    fs::remove_dir_all(&copied).unwrap();
    copy(&pair.home.path(), &copied);
    assert!(matches!(open_copy(), Err(Error::AlreadyOpen { .. })));
    store.sign_out(SignOut::account(&account(1))).unwrap();
    store.close().unwrap();
    assert_eq!(signed_in(&pair.open(), 0..3), [0, 2]);
}

fn verifying_a_closed_store_changes_nothing_and_makes_none(new: fn() -> Pair) {
    let pair = new();
    assert!(matches!(pair.builder().verify(), Err(Error::InvalidInput { .. })));
    let store = pair.open();
    fill(&store, 0..3);
    store.sign_out(SignOut::account(&account(1))).unwrap();
    assert!(matches!(pair.builder().verify(), Err(Error::AlreadyOpen { .. })));
    drop(store);
    let files = || {
        let mut files = contents(&pair.home.path());
        // It has the id of the process that has it.
        *files.get_mut(Path::new("lock")).unwrap() = None;
        (
            files,
            contents(&pair.home.beside("ledger"))
                .into_iter()
                .filter(|(name, _)| name.extension().is_none())
                .collect::<Vec<_>>(),
        )
    };
    let before = files();
    let verified = pair.builder().verify().unwrap();
    assert_eq!(
        (verified.accounts, verified.sign_ins, verified.tokens, verified.sign_outs),
        (2, 2, 4, 1)
    );
    assert!(verified.is_sound());
    assert!(files() == before);
    // No lock file is made where there is none, as where nothing can be written.
    fs::remove_file(pair.home.path().join("lock")).unwrap();
    assert!(pair.builder().verify().unwrap().is_sound());
    assert!(!pair.home.path().join("lock").exists());
    // One changed byte in the middle of the ledger's used slots.
    let ledgers = entries(&pair.home.beside("ledger"), "ledger-");
    let ledger = ledgers.into_iter().find(|path| path.extension().is_none()).unwrap();
    let mut bytes = fs::read(&ledger).unwrap();
    bytes[512 + 70] ^= 1;
    fs::write(&ledger, bytes).unwrap();
    assert!(matches!(
        pair.builder().on_damage(OnDamage::ForgetEveryone).verify(),
        Err(Error::Damaged { part: Component::Ledger, .. })
    ));
}

fn a_backup_is_verified_where_it_lies(new: fn() -> Pair) {
    let pair = new();
    let store = pair.open();
    fill(&store, 0..3);
    store.sign_out(SignOut::account(&account(1))).unwrap();
    let backup = pair.home.beside("backup");
    store.backup(&backup).unwrap();
    let verify = || builder_at(&backup).ledger_dir(pair.home.beside("ledger")).verify();
    store.close().unwrap();
    let before = contents(&backup);
    let verified = verify().unwrap();
    assert!(verified.is_sound(), "{verified:?}");
    assert_eq!((verified.accounts, verified.tokens), (2, 4));
    assert!(contents(&backup) == before);
    // Other bytes.
    let rows = pair.rows_in(&backup);
    let db = if rows.is_dir() { rows.join("db") } else { rows };
    let mut bytes = fs::read(&db).unwrap();
    bytes.iter_mut().skip(6000).for_each(|byte| *byte ^= 1);
    fs::write(&db, bytes).unwrap();
    let verified = verify();
    assert!(!verified.is_ok_and(|verified| verified.is_sound() && verified.accounts == 2));
}

/// A module of tests for each of what may keep a store.
macro_rules! on_each {
    ($($test:ident)*) => {
        mod embedded {
            $(#[test]
            fn $test() {
                super::$test(super::Pair::embedded);
            })*
        }

        #[cfg(all(unix, feature = "sqlite"))]
        mod sqlite {
            $(#[test]
            fn $test() {
                super::$test(super::Pair::sqlite);
            })*
        }
    };
}

on_each! {
    a_backup_is_verified_where_it_lies
    who_signed_out_since_stays_out_at_any_age_of_the_backup
    who_has_not_signed_out_is_back
    a_backup_has_no_ledger_and_hides_as_much_as_the_store
    a_ledger_that_is_older_than_the_backup_is_refused
    what_is_no_whole_backup_of_this_store_is_refused
    keys_that_changed_since_stay_changed
    a_backup_from_before_an_erasure_or_a_forgetting_cannot_come_back
    an_interrupted_restore_is_called_again
    who_signs_in_after_an_interrupted_restore_stays_in
    verifying_a_closed_store_changes_nothing_and_makes_none
}
