//! Which engine a folder's store has, however it is opened; and rows of other formats.
//!
//! `OUBLIETTE_ROUNDS` sets how often a store is born.

use std::fs;
use std::path::Path;

use oubliette_testkit::disk::{Home, entries};
use rusqlite::Connection;

use crate::child::Process;

fn refusal(process: &mut Process, verb: &str) -> String {
    let answer = process.ask(verb);
    answer.strip_prefix("no ").unwrap_or_else(|| panic!("{verb}: {answer}")).to_owned()
}

#[test]
fn who_does_not_ask_for_sqlite_joins_all_the_same() {
    let home = Home::new();
    let path = home.path().display().to_string();
    let mut first = Process::with_store(&home.path());
    first.must("in 1 rt-1");
    let mut second = Process::servant();
    second.must(&format!("open-any {path}"));
    assert_eq!(second.must("get 1"), "rt-1");
    second.must("out 1");
    assert_eq!(first.must("get 1"), "");
    assert!(entries(&home.path(), "engine-").is_empty());
}

#[test]
fn a_store_of_the_other_engine_is_not_opened() {
    let home = Home::new();
    let path = home.path().display().to_string();
    let mut sled = Process::servant();
    sled.must(&format!("open-any {path}"));
    sled.must("in 1 rt-1");
    let mut second = Process::servant();
    for is_open in [true, false] {
        let error = refusal(&mut second, &format!("open {path}"));
        assert!(error.starts_with("InvalidInput") && error.contains("sled"), "{error}");
        assert!(entries(&home.path(), "rows-").is_empty());
        if is_open {
            sled.must("close");
        }
    }
    sled.must(&format!("open-any {path}"));
    assert_eq!(sled.must("get 1"), "rt-1");
}

/// All open a folder in which nothing is yet, at the same time: a store is born once, of one kind.
#[test]
fn a_store_that_many_make_at_once_is_born_once() {
    let mut processes: Vec<Process> = (0..4).map(|_| Process::servant()).collect();
    for round in 0..crate::child::by_hand("OUBLIETTE_ROUNDS", 20) {
        let home = Home::new();
        let path = home.path().display().to_string();
        // In some rounds one of them asks for sled.
        let with_sled = round % 2 == 1;
        for (number, process) in processes.iter_mut().enumerate() {
            let verb = if with_sled && number == 0 { "open-any" } else { "open" };
            process.say(&format!("{verb} {path}"));
        }
        let answers: Vec<String> =
            processes.iter_mut().map(|process| process.hear().unwrap()).collect();
        let is_open = |number: usize| answers[number].starts_with("ok");
        let kinds = ["engine-", "rows-"].map(|kind| {
            entries(&home.path(), kind)
                .into_iter()
                .any(|path| path.extension().is_none_or(|extension| extension == "db"))
        });
        assert_ne!(kinds[0], kinds[1], "round {round}: {answers:?}");
        if !with_sled {
            assert!((0..4).all(is_open), "round {round}: {answers:?}");
        }
        assert!((0..4).any(is_open), "round {round}: {answers:?}");
        let open: Vec<usize> = (0..4).filter(|number| is_open(*number)).collect();
        for number in &open {
            processes[*number].must(&format!("in {number} rt-{number}"));
        }
        for number in &open {
            for of in &open {
                assert_eq!(processes[*of].must(&format!("get {number}")), format!("rt-{number}"));
            }
        }
        for number in open {
            processes[number].must("close");
        }
    }
}

/// What another program, or a newer version, has made of the file.
fn changed(change: impl FnOnce(&Path)) -> (Home, String) {
    let home = Home::new();
    let mut process = Process::with_store(&home.path());
    process.must("in 1 rt-1");
    process.must("close");
    let [rows] = entries(&home.path(), "rows-")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "db"))
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    change(&rows);
    let error = refusal(&mut process, &format!("open {}", home.path().display()));
    (home, error)
}

#[test]
fn rows_of_another_format_are_refused() {
    let set = |name: &'static str, value: i32| {
        move |rows: &Path| {
            let connection = Connection::open(rows).unwrap();
            connection.pragma_update(None, name, value).unwrap();
        }
    };
    let (_home, error) = changed(set("user_version", 2));
    assert_eq!(error, "UnsupportedFormat { part: Engine, found: 2, supported: 1 }");
    let (_home, error) = changed(set("application_id", 7));
    assert!(error.starts_with("Damaged { part: Engine"), "{error}");
    // (The log of the store's own would be taken for that of the other file.)
    let alone = |rows: &Path| {
        for suffix in ["-wal", "-shm"] {
            fs::remove_file(format!("{}{suffix}", rows.display())).unwrap();
        }
    };
    let (_home, error) = changed(|rows| {
        alone(rows);
        fs::write(rows, [7; 8192]).unwrap();
    });
    assert!(error.starts_with("Damaged { part: Engine"), "{error}");
    let (_home, error) = changed(|rows| {
        alone(rows);
        fs::write(rows, "").unwrap();
    });
    assert!(error.starts_with("Damaged { part: Engine"), "{error}");
}
