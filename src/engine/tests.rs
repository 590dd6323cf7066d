//! What the store relies on, asked of every engine alike.

use super::{Batch, Durability, Engine, MemoryEngine, MemoryRows, SledEngine, Tuning};
use crate::model::tag::AccountTag;

/// Runs a case on each engine, empty.
fn on_every_engine(case: impl Fn(&dyn Engine)) {
    case(&MemoryEngine(MemoryRows::default()));
    let folder = tempfile::tempdir().unwrap();
    case(&SledEngine::open(folder.path(), "engine", Tuning::default()).unwrap());
}

fn batch(changes: &[(&str, Option<&str>)]) -> Batch {
    let owned = |(key, value): &(&str, Option<&str>)| {
        (key.as_bytes().to_vec(), value.map(|value| value.as_bytes().to_vec()))
    };
    Batch { guard: None, changes: changes.iter().map(owned).collect() }
}

fn text(value: Option<Vec<u8>>) -> Option<String> {
    value.map(|value| String::from_utf8(value).unwrap())
}

#[test]
fn what_is_committed_is_read() {
    on_every_engine(|engine| {
        assert!(
            engine
                .commit(
                    &AccountTag::NONE,
                    batch(&[("a", Some("1")), ("b", Some("2")), ("e", Some(""))])
                )
                .unwrap()
        );
        assert!(
            engine
                .commit(&AccountTag::NONE, batch(&[("a", None), ("b", Some("3")), ("c", None)]))
                .unwrap()
        );
        let rows = ["a", "b", "c", "e"].map(|key| text(engine.get(key.as_bytes()).unwrap()));
        assert_eq!(rows, [None, Some("3".into()), None, Some(String::new())]);
        engine.sync(Durability::ProcessCrash).unwrap();
        engine.sync(Durability::PowerLoss).unwrap();
        assert!(engine.size().unwrap() > 0);
    });
}

#[test]
fn for_one_key_the_last_change_counts() {
    on_every_engine(|engine| {
        engine
            .commit(
                &AccountTag::NONE,
                batch(&[("a", Some("1")), ("a", None), ("b", None), ("b", Some("2"))]),
            )
            .unwrap();
        assert_eq!(
            (engine.get(b"a").unwrap(), text(engine.get(b"b").unwrap())),
            (None, Some("2".into()))
        );
    });
}

#[test]
fn a_batch_whose_guard_does_not_hold_changes_nothing() {
    on_every_engine(|engine| {
        let guarded = |key: &str, expected: Option<&str>| {
            let guard =
                Some((key.as_bytes().to_vec(), expected.map(|value| value.as_bytes().to_vec())));
            engine
                .commit(&AccountTag::NONE, Batch { guard, ..batch(&[("x", Some("written"))]) })
                .unwrap()
        };
        engine.commit(&AccountTag::NONE, batch(&[("h", Some("1"))])).unwrap();
        for (key, expected) in [("h", Some("2")), ("h", None), ("none", Some("1"))] {
            assert!(!guarded(key, expected));
            assert_eq!(engine.get(b"x").unwrap(), None);
        }
        assert!(guarded("h", Some("1")) && guarded("none", None));
        assert_eq!(text(engine.get(b"x").unwrap()), Some("written".into()));
    });
}

#[test]
fn a_scan_gives_a_prefix_in_order_behind_a_key_up_to_a_limit() {
    on_every_engine(|engine| {
        let keys = ["a", "aa", "ab", "ab\u{1}", "b", "ba"];
        engine.commit(&AccountTag::NONE, batch(&keys.map(|key| (key, Some(key))))).unwrap();
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
