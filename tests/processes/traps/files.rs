//! Files that are moved, removed or replaced below a living process; and who may read them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use oubliette_testkit::disk::Home;

use super::{file, holder, ledger, refused, two};
use crate::child::Process;

/// SQLite's file, its log, and the index of that.
fn rows(folder: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| file(folder, "rows-", &format!(".db{suffix}")))
}

/// Puts a copy of the file in its place.
fn replace(path: &Path) {
    let beside = path.with_extension("copied");
    fs::copy(path, &beside).unwrap();
    fs::rename(beside, path).unwrap();
}

/// The verb is refused, as the store's files are not those that it has opened; from then on all that
/// needs rows is, but sign-outs are done, and seen by a process that opens the store later.
fn assert_noticed(home: &Home, what: &str, change: impl FnOnce([PathBuf; 3])) {
    let (mut first, mut second) = two(&home.path());
    second.must("put 1 rt-2");
    first.must("in 2 rt-1");
    change(rows(&home.path()));
    let error = refused(&mut first, "put 1 rt-3");
    assert!(error.starts_with("Damaged { part: Engine"), "{what}: {error}");
    let error = refused(&mut second, "in 3 rt-1");
    assert!(error.starts_with("Damaged { part: Engine"), "{what}: {error}");
    for verb in ["put 1 rt-4", "get 1", "in 4 rt-1"] {
        let error = refused(&mut first, verb);
        assert_eq!(error, "Poisoned(Engine)", "{what}, {verb}");
    }
    first.must("out 1");
    second.must("out 2");
}

#[test]
fn rows_that_are_replaced_are_noticed() {
    let home = Home::new();
    assert_noticed(&home, "replaced", |[rows, ..]| replace(&rows));
    // The copy is whole, as the log was not moved.
    let mut third = Process::with_store(&home.path());
    assert_eq!((&*third.must("get 1"), &*third.must("get 2")), ("", ""));
    third.must("verify");
}

#[test]
fn rows_that_are_moved_away_are_noticed() {
    let home = Home::new();
    assert_noticed(&home, "moved", |[rows, ..]| {
        fs::rename(&rows, rows.with_extension("moved")).unwrap();
    });
}

#[test]
fn rows_that_are_removed_are_noticed() {
    let home = Home::new();
    assert_noticed(&home, "removed", |all| {
        all.iter().for_each(|path| fs::remove_file(path).unwrap());
    });
}

#[test]
fn an_index_of_the_log_that_is_removed_is_noticed() {
    let home = Home::new();
    assert_noticed(&home, "without an index", |[_, _, index]| fs::remove_file(index).unwrap());
}

#[test]
fn a_log_that_is_removed_is_noticed() {
    let home = Home::new();
    assert_noticed(&home, "without a log", |[_, log, _]| fs::remove_file(log).unwrap());
}

/// As above, by a process that has written nothing before, when another one has made a new log.
#[test]
fn a_log_that_is_removed_before_the_first_write_is_noticed() {
    let home = Home::new();
    let (_first, mut second) = two(&home.path());
    let [_, log, _] = rows(&home.path());
    fs::remove_file(log).unwrap();
    // (It may fail. But SQLite has made an empty log.)
    let mut third = Process::servant();
    let opened = third.ask(&format!("open {}", home.path().display()));
    let error = refused(&mut second, "put 1 rt-3");
    assert!(error.starts_with("Damaged { part: Engine"), "{opened}, then {error}");
}

/// A process that has another ledger open than those that come later: its sign-outs are refused, and
/// so is what it would read without theirs.
#[test]
fn a_ledger_that_is_replaced_is_noticed() {
    let home = Home::new();
    let (mut first, mut second) = two(&home.path());
    let mut writer = Process::with_store(&home.path());
    first.must("in 2 rt-1");
    first.must("out 2");
    first.must("in 3 rt-1");
    writer.must("put 3 rt-2");
    replace(&ledger(&home.path()));
    let mut third = Process::with_store(&home.path());
    assert_eq!(third.must("get 1"), "rt-1");
    let error = refused(&mut first, "out 1");
    assert!(error.starts_with("Damaged { part: Ledger"), "{error}");
    for verb in ["out 1", "get 1", "put 1 rt-2"] {
        assert_eq!(refused(&mut first, verb), "Poisoned(Ledger)", "{verb}");
    }
    third.must("out 1");
    // Who only reads, or writes no sign-out, looks each second.
    for (process, verb) in [(&mut second, "get 1"), (&mut writer, "put 3 rt-3")] {
        let error = loop {
            let answer = process.ask(verb);
            if let Some(error) = answer.strip_prefix("no ") {
                break error.to_owned();
            }
        };
        assert!(error.starts_with("Damaged { part: Ledger"), "{verb}: {error}");
    }
    assert_eq!(refused(&mut second, "get 1"), "Poisoned(Ledger)");
}

#[test]
fn a_ledger_that_is_removed_is_noticed() {
    let home = Home::new();
    let (mut first, mut second) = two(&home.path());
    fs::remove_file(ledger(&home.path())).unwrap();
    for process in [&mut first, &mut second] {
        let error = refused(process, "out 1");
        assert!(error.starts_with("Damaged { part: Ledger"), "{error}");
        assert_eq!(refused(process, "get 1"), "Poisoned(Ledger)");
    }
}

/// No process makes new rows, or forgets what is there, below others.
#[test]
fn rows_that_are_missing_are_not_made_below_others() {
    let home = Home::new();
    let (mut first, _second) = two(&home.path());
    let [path, ..] = rows(&home.path());
    fs::rename(&path, path.with_extension("moved")).unwrap();
    let mut third = Process::servant();
    let error = refused(&mut third, &format!("open {}", home.path().display()));
    assert!(error.starts_with("Damaged { part: Engine"), "{error}");
    let error = refused(&mut third, &format!("open-forgetting {}", home.path().display()));
    assert!(error.starts_with("AlreadyOpen"), "{error}");
    assert!(error.contains("in_this_process: false"), "{error}");

    // Nothing was touched.
    fs::rename(path.with_extension("moved"), &path).unwrap();
    first.must("put 1 rt-2");
    third.must(&format!("open {}", home.path().display()));
    assert_eq!(third.must("get 1"), "rt-2");
}

#[test]
fn only_the_owner_may_read_any_file() {
    for (mask, ledger) in [("022", ""), ("022", "with-ledger"), ("000", "")] {
        let home = Home::new();
        let folders = [home.path(), home.beside("ledger")];
        let open = match ledger {
            "" => format!("open {}", folders[0].display()),
            _ => format!("open {} with-ledger {}", folders[0].display(), folders[1].display()),
        };
        let mut first = Process::servant();
        first.must(&format!("umask {mask}"));
        first.must(&open);
        first.must("in 1 rt-1");
        let mut second = Process::servant();
        second.must(&format!("umask {mask}"));
        second.must(&open);
        second.must("put 1 rt-2");
        second.must("out 1");
        second.must("sweep");
        for folder in folders.iter().filter(|folder| folder.exists()) {
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode(folder), 0o700, "{folder:?}");
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let wanted = if path.is_dir() { 0o700 } else { 0o600 };
                assert_eq!(mode(&path), wanted, "{path:?} under umask {mask}");
            }
        }
        first.must("close");
    }
}

/// A second handle would drop the locks of the first.
#[test]
fn a_second_opening_in_one_process_is_refused_and_drops_no_lock() {
    let home = Home::new();
    let (mut first, mut second) = two(&home.path());
    second.must("close");
    let link = home.beside("link");
    std::os::unix::fs::symlink(home.path(), &link).unwrap();
    let locked =
        ["live", "opening"].map(|suffix| file(&home.path(), "ledger-", &format!(".{suffix}")));
    for path in [home.path(), home.path().join("../tokens/."), link] {
        let error = refused(&mut first, &format!("open-again {}", path.display()));
        assert!(error.starts_with("AlreadyOpen"), "{error}");
        assert!(error.contains("in_this_process: true"), "{error}");
        assert_eq!(holder(&locked[0]), Some(first.id()));
        assert_eq!(holder(&locked[1]), None);
    }
    // What reads the ledger without opening the store drops none either.
    first.must("out 3");
    assert_eq!(first.must(&format!("history {}", home.path().display())), "1");
    assert_eq!(holder(&locked[0]), Some(first.id()));
    second.must(&format!("open {}", home.path().display()));
    first.must("put 1 rt-2");
    assert_eq!(second.must("get 1"), "rt-2");
    // After it was closed it can be opened again.
    first.must("close");
    first.must(&format!("open {}", home.path().display()));
    assert_eq!(first.must("get 1"), "rt-2");
}
