//! What the store relies on, tested with every engine alike: the contract of [`Engine`].
//!
//! An engine joins by one implementation of [`Subject`].

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{
    Batch, Commit, Durability, Engine, EngineError, Engines, MemoryEngine, MemoryRows, SledFolder,
    Tuning,
};
use crate::model::tag::AccountTag;

/// An engine that can be opened, closed and killed.
trait Subject {
    fn open(&self) -> Box<dyn Engine>;

    /// The process dies, with the engine open: what is opened next is what it left.
    fn kill(&mut self);
}

/// The engine in memory, whose rows outlive it.
struct Memory(MemoryRows);

impl Subject for Memory {
    fn open(&self) -> Box<dyn Engine> {
        Box::new(MemoryEngine(self.0.clone()))
    }

    fn kill(&mut self) {
        self.0.crash(false, |unsure| unsure / 2);
    }
}

struct Sled(tempfile::TempDir);

impl Subject for Sled {
    fn open(&self) -> Box<dyn Engine> {
        let folder = SledFolder { path: self.0.path().into(), tuning: Tuning::default() };
        folder.open("engine").unwrap()
    }

    /// A process that dies now leaves the files as the system has them.
    fn kill(&mut self) {
        let left = tempfile::tempdir().unwrap();
        copy(self.0.path(), left.path());
        self.0 = left;
    }
}

/// SQLite's file, which one process has open.
#[cfg(all(unix, feature = "sqlite"))]
struct Sqlite(tempfile::TempDir);

#[cfg(all(unix, feature = "sqlite"))]
impl Subject for Sqlite {
    fn open(&self) -> Box<dyn Engine> {
        crate::backend::sqlite::alone::open(&self.0.path().join("rows.db")).unwrap()
    }

    fn kill(&mut self) {
        let left = tempfile::tempdir().unwrap();
        copy(self.0.path(), left.path());
        self.0 = left;
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Runs a case on each engine, empty.
fn on_every_engine(case: impl Fn(&mut dyn Subject)) {
    case(&mut Memory(MemoryRows::default()));
    case(&mut Sled(tempfile::tempdir().unwrap()));
    #[cfg(all(unix, feature = "sqlite"))]
    case(&mut Sqlite(tempfile::tempdir().unwrap()));
}

fn batch(changes: &[(&str, Option<&str>)]) -> Batch {
    let owned = |(key, value): &(&str, Option<&str>)| {
        (key.as_bytes().to_vec(), value.map(|value| value.as_bytes().to_vec()))
    };
    Batch { guard: None, changes: changes.iter().map(owned).collect() }
}

fn commit(engine: &dyn Engine, batch: Batch) -> Commit {
    engine.commit(&AccountTag::NONE, batch).unwrap()
}

fn text(value: Option<Vec<u8>>) -> Option<String> {
    value.map(|value| String::from_utf8(value).unwrap())
}

fn rows(engine: &dyn Engine) -> BTreeMap<String, String> {
    let all = engine.scan(b"", None, usize::MAX).unwrap().into_iter();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    all.map(|(key, value)| (text(key), text(value))).collect()
}

/// A batch of three rows that say which one it is.
fn numbered(number: usize) -> Batch {
    let rows = ["a", "b", "c"].map(|row| format!("{row}{number:03}"));
    let changes = rows.map(|row| (row.into_bytes(), Some(b"x".to_vec())));
    Batch { guard: None, changes: changes.into() }
}

#[test]
fn what_is_committed_is_read() {
    on_every_engine(|subject| {
        let engine = &*subject.open();
        let first = batch(&[("a", Some("1")), ("b", Some("2")), ("e", Some(""))]);
        assert_eq!(commit(engine, first), Commit::Done);
        let second = batch(&[("a", None), ("b", Some("3")), ("c", None)]);
        assert_eq!(commit(engine, second), Commit::Done);
        assert_eq!(commit(engine, Batch::default()), Commit::Done);
        let rows = ["a", "b", "c", "e"].map(|key| text(engine.get(key.as_bytes()).unwrap()));
        assert_eq!(rows, [None, Some("3".into()), None, Some(String::new())]);
        engine.sync(Durability::ProcessCrash).unwrap();
        engine.sync(Durability::PowerLoss).unwrap();
        assert!(engine.size().unwrap() > 0);
    });
}

#[test]
fn for_one_key_the_last_change_counts() {
    on_every_engine(|subject| {
        let engine = &*subject.open();
        let changes = [("a", Some("1")), ("a", None), ("b", None), ("b", Some("2"))];
        assert_eq!(commit(engine, batch(&changes)), Commit::Done);
        assert_eq!(
            (engine.get(b"a").unwrap(), text(engine.get(b"b").unwrap())),
            (None, Some("2".into()))
        );
    });
}

#[test]
fn a_batch_whose_guard_does_not_hold_changes_nothing() {
    on_every_engine(|subject| {
        let engine = &*subject.open();
        let guarded = |key: &str, expected: Option<&str>| {
            let guard =
                Some((key.as_bytes().to_vec(), expected.map(|value| value.as_bytes().to_vec())));
            commit(engine, Batch { guard, ..batch(&[("x", Some("written")), ("y", Some("too"))]) })
        };
        assert_eq!(commit(engine, batch(&[("h", Some("1"))])), Commit::Done);
        for (key, expected) in [("h", Some("2")), ("h", None), ("none", Some("1"))] {
            assert_eq!(guarded(key, expected), Commit::Conflict);
            assert_eq!(engine.get(b"x").unwrap(), None);
        }
        assert_eq!(guarded("h", Some("1")), Commit::Done);
        assert_eq!(guarded("none", None), Commit::Done);
        assert_eq!(text(engine.get(b"x").unwrap()), Some("written".into()));
    });
}

#[test]
fn a_scan_gives_a_prefix_in_order_behind_a_key_up_to_a_limit() {
    on_every_engine(|subject| {
        let engine = &*subject.open();
        let keys = ["a", "aa", "ab", "ab\u{1}", "b", "ba"];
        assert_eq!(commit(engine, batch(&keys.map(|key| (key, Some(key))))), Commit::Done);
        let scan = |prefix: &str, after: Option<&str>, limit| {
            let rows = engine.scan(prefix.as_bytes(), after.map(str::as_bytes), limit).unwrap();
            rows.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(scan("a", None, 99), ["a", "aa", "ab", "ab\u{1}"]);
        assert_eq!(scan("a", Some("aa"), 99), ["ab", "ab\u{1}"]);
        assert_eq!(scan("a", Some("aa0"), 1), ["ab"]);
        assert_eq!(scan("ab", None, 1), ["ab"]);
        assert_eq!(scan("b", Some("b"), 99), ["ba"]);
        assert_eq!(scan("c", None, 99), [""; 0]);
    });
}

#[test]
fn discarded_rows_are_gone_and_the_others_are_not() {
    on_every_engine(|subject| {
        let engine = &*subject.open();
        (0..3).for_each(|number| assert_eq!(commit(engine, numbered(number)), Commit::Done));
        let keys = ["a000", "b001", "none", "a000"].map(|key| key.as_bytes().to_vec());
        engine.discard(keys.into()).unwrap();
        engine.discard(Vec::new()).unwrap();
        engine.sync(Durability::PowerLoss).unwrap();
        let left: Vec<_> = rows(engine).into_keys().collect();
        assert_eq!(left, ["a001", "a002", "b000", "b002", "c000", "c001", "c002"]);
    });
}

#[test]
fn what_was_closed_is_there_again() {
    on_every_engine(|subject| {
        let engine = subject.open();
        let longest = engine.limits().value_bytes.min(1 << 20);
        let long = Batch {
            guard: None,
            changes: vec![
                (b"long".to_vec(), Some(vec![7; longest])),
                (b"e".to_vec(), Some(vec![])),
            ],
        };
        assert_eq!(commit(&*engine, long), Commit::Done);
        engine.sync(Durability::PowerLoss).unwrap();
        drop(engine);
        let engine = subject.open();
        assert_eq!(engine.get(b"long").unwrap(), Some(vec![7; longest]));
        assert_eq!(engine.get(b"e").unwrap(), Some(Vec::new()));
    });
}

#[test]
fn what_was_synced_survives_the_process() {
    for durability in [Durability::ProcessCrash, Durability::PowerLoss] {
        on_every_engine(|subject| {
            let engine = subject.open();
            (0..20).for_each(|number| assert_eq!(commit(&*engine, numbered(number)), Commit::Done));
            engine.discard(vec![b"a000".to_vec()]).unwrap();
            engine.sync(durability).unwrap();
            let before = rows(&*engine);
            assert_eq!(before.len(), 59);
            subject.kill();
            drop(engine);
            assert_eq!(rows(&*subject.open()), before);
        });
    }
}

/// Of what was not synced, later batches go before earlier ones, and each as a whole.
#[test]
fn what_was_not_synced_is_lost_from_the_end_batch_by_batch() {
    on_every_engine(|subject| {
        let engine = subject.open();
        assert_eq!(commit(&*engine, numbered(0)), Commit::Done);
        engine.sync(Durability::ProcessCrash).unwrap();
        (1..200).for_each(|number| assert_eq!(commit(&*engine, numbered(number)), Commit::Done));
        subject.kill();
        drop(engine);
        let left = rows(&*subject.open());
        let whole = left.len() / 3;
        assert!(whole >= 1, "what was synced is gone");
        let expected = (0..whole).flat_map(|number| numbered(number).changes);
        let expected: Vec<_> = expected.map(|(key, _)| String::from_utf8(key).unwrap()).collect();
        let (left, expected): (Vec<_>, std::collections::BTreeSet<_>) =
            (left.into_keys().collect(), expected.into_iter().collect());
        assert_eq!(left, expected.into_iter().collect::<Vec<_>>());
    });
}

#[test]
fn many_may_write_and_sync_at_a_time() {
    on_every_engine(|subject| {
        let engine = &*subject.open();
        std::thread::scope(|scope| {
            for writer in 0..4_usize {
                scope.spawn(move || {
                    for turn in 0..25 {
                        assert_eq!(commit(engine, numbered(writer * 100 + turn)), Commit::Done);
                        let durability =
                            [Durability::ProcessCrash, Durability::PowerLoss][turn % 2];
                        engine.sync(durability).unwrap();
                    }
                });
            }
        });
        assert_eq!(rows(engine).len(), 300);
    });
}

/// Rows that do not change are in every scan, and each once.
#[test]
fn a_scan_beside_writers_misses_nothing_that_stays() {
    on_every_engine(|subject| {
        let engine = &*subject.open();
        (0..50).for_each(|number| assert_eq!(commit(engine, numbered(number)), Commit::Done));
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for turn in 0..100 {
                    assert_eq!(commit(engine, numbered(500 + turn)), Commit::Done);
                    engine.discard(vec![format!("b{}", 500 + turn).into_bytes()]).unwrap();
                }
            });
            let mut scans = 0;
            while scans == 0 || !writer.is_finished() {
                let mut seen = Vec::new();
                while let slice = engine.scan(b"a", seen.last().map(Vec::as_slice), 7).unwrap()
                    && !slice.is_empty()
                {
                    seen.extend(slice.into_iter().map(|(key, _)| key));
                }
                assert!(seen.is_sorted_by(|one, next| one < next));
                let stays = |key: &&Vec<u8>| key.as_slice() < b"a500".as_slice();
                assert_eq!(seen.iter().filter(stays).count(), 50);
                scans += 1;
            }
        });
    });
}

/// After an error nothing is known: the store relies only on being told of it.
#[test]
fn an_engine_that_fails_says_so() {
    let memory = MemoryRows::default();
    memory.fail(true);
    let engine = MemoryEngine(memory);
    assert!(matches!(engine.commit(&AccountTag::NONE, numbered(0)), Err(EngineError::Io(_))));
    assert!(matches!(engine.discard(vec![b"a".to_vec()]), Err(EngineError::Io(_))));
    assert!(matches!(engine.sync(Durability::PowerLoss), Err(EngineError::Io(_))));
}
