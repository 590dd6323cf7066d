//! Reads that fail, processes that die while they recover, and damaged snapshots.

use std::cell::Cell;
use std::fs::{self, File};
use std::io;

use super::*;
use crate::engine::sled::recovery::{Files, recover, recover_from, write_plan};
use crate::engine::sled::replay::{Fault, Source, replay};
use crate::model::error::{Component, Error};

/// A log of which one read fails, or all from then on.
struct Failing<'a> {
    files: Files<'a>,
    left: Cell<u32>,
    for_ever: bool,
}

impl Failing<'_> {
    fn fails(&self) -> io::Result<()> {
        let left = self.left.get();
        if left > 0 || !self.for_ever {
            self.left.set(left.wrapping_sub(1));
        }
        if left == 0 { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

impl Source for Failing<'_> {
    fn len(&self) -> io::Result<u64> {
        self.fails()?;
        self.files.len()
    }

    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.fails()?;
        self.files.read_at(at, buffer)
    }

    fn has_blob(&self, number: i64) -> io::Result<bool> {
        self.files.has_blob(number)
    }
}

/// An engine as a killed process leaves it, and its rows.
fn killed(turns: u64) -> (tempfile::TempDir, BTreeMap<Vec<u8>, Vec<u8>>) {
    let home = tempfile::tempdir().unwrap();
    drop(open(home.path()).unwrap());
    let engine = open(home.path()).unwrap();
    work(&engine, &mut Chance(11), turns);
    engine.sync(Durability::ProcessCrash).unwrap();
    (copy(home.path()), rows(&engine))
}

fn log_of(folder: &Path) -> File {
    File::options().read(true).write(true).open(folder.join("db")).unwrap()
}

#[test]
fn a_read_that_fails_is_an_error_and_changes_nothing() {
    let (home, expected) = killed(300);
    for for_ever in [false, true] {
        let mut fell = 0;
        for nth in 0.. {
            let home = copy(home.path());
            let folder = home.path().join(NAME);
            let log = log_of(&folder);
            let files = Files { folder: &folder, log: &log };
            let before = content(&folder);
            let failing = Failing {
                files: Files { folder: &folder, log: &log },
                left: Cell::new(nth),
                for_ever,
            };
            match recover_from(&files, &failing) {
                Ok(_) => break,
                Err(Fault::Io(error)) => assert_eq!(error.raw_os_error(), Some(5)),
                Err(fault) => panic!("read {nth}: {fault:?}"),
            }
            fell += 1;
            assert!(content(&folder) == before, "read {nth} failed, and something was written");
            assert!(rows(&open(home.path()).unwrap()) == expected, "read {nth}");
        }
        assert!(fell > 20, "{fell}");
    }
}

#[test]
fn a_process_that_dies_while_it_recovers_changes_nothing_of_the_outcome() {
    let (home, expected) = killed(200);
    let planned = |log: &File, folder: &Path, name: &str| {
        let base =
            crate::engine::sled::snapshot::Snapshot::read(&fs::read(folder.join(name)).unwrap())
                .unwrap();
        let replayed = replay(&Files { folder, log }, base).unwrap().unwrap();
        write_plan(folder, name, &replayed.snapshot, replayed.tip).unwrap()
    };
    let folder = home.path().join(NAME);
    let log = log_of(&folder);
    let name = snapshots(home.path())[0].file_name().unwrap().to_str().unwrap().to_owned();
    let plan = planned(&log, &folder, &name);
    // Planned, and perhaps carried out in part: the end of its segment may be written already, by
    // halves.
    let carried = copy(home.path());
    let done = recover(&carried.path().join(NAME), &log_of(&carried.path().join(NAME))).unwrap();
    assert!(!carried.path().join(NAME).join(&plan).exists());
    for cut in [0, 1, 2] {
        let half = copy(home.path());
        let mut bytes = fs::read(half.path().join(NAME).join("db")).unwrap();
        let whole = fs::read(carried.path().join(NAME).join("db")).unwrap();
        let mid = bytes.len() * cut / 2;
        bytes[..mid].copy_from_slice(&whole[..mid]);
        fs::write(half.path().join(NAME).join("db"), bytes).unwrap();
        assert_eq!(
            recover(&half.path().join(NAME), &log_of(&half.path().join(NAME))).unwrap(),
            done
        );
        assert!(rows(&open(half.path()).unwrap()) == expected);
    }
    // It died before it had removed the older snapshot.
    fs::copy(folder.join(&name), carried.path().join(NAME).join(&name)).unwrap();
    assert!(rows(&open(carried.path()).unwrap()) == expected);
    assert_eq!(snapshots(carried.path()).len(), 1);
    // A plan that another process has overtaken does not count.
    let engine = open(carried.path()).unwrap();
    let _ = engine
        .commit(
            &AccountTag::NONE,
            Batch { guard: None, changes: vec![(b"later".to_vec(), Some(b"1".to_vec()))] },
        )
        .unwrap();
    drop(engine);
    fs::copy(folder.join(&plan), carried.path().join(NAME).join(&plan)).unwrap();
    assert!(open(carried.path()).unwrap().get(b"later").unwrap().is_some());
    assert!(!carried.path().join(NAME).join(&plan).exists());
}

#[test]
fn a_damaged_snapshot_loses_nothing_and_is_told_of() {
    let (home, expected) = killed(200);
    let whole = fs::read(&snapshots(home.path())[0]).unwrap();
    assert!(!open(copy(home.path()).path()).unwrap().found().snapshot_was_damaged);
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cases = [
        vec![],
        whole[..7].to_vec(),
        whole[..whole.len() - 1].to_vec(),
        flipped(0),
        flipped(whole.len() / 2),
        flipped(whole.len() - 9),
    ];
    for (case, bytes) in cases.into_iter().enumerate() {
        let home = copy(home.path());
        fs::write(&snapshots(home.path())[0], bytes).unwrap();
        let engine = open(home.path()).unwrap();
        assert!(engine.found().snapshot_was_damaged, "case {case}");
        assert!(rows(&engine) == expected, "case {case}");
        drop(engine);
        let engine = open(home.path()).unwrap();
        assert!(
            !engine.found().snapshot_was_damaged && rows(&engine) == expected,
            "case {case}, again"
        );
    }
}

/// No memory holds so much.
#[cfg(target_os = "linux")]
#[test]
fn a_file_of_a_size_that_no_snapshot_has_is_not_read() {
    let (home, expected) = killed(50);
    File::options().write(true).open(&snapshots(home.path())[0]).unwrap().set_len(4 << 40).unwrap();
    let engine = open(home.path()).unwrap();
    assert!(engine.found().snapshot_was_damaged && rows(&engine) == expected);
}

#[test]
fn what_sled_would_take_for_an_empty_log_is_damage_and_stays_as_it_is() {
    let (home, _) = killed(50);
    // From here on the snapshot knows of the rows.
    drop(open(home.path()).unwrap());
    let empty = |folder: &Path| {
        fs::write(folder.join("db"), []).unwrap();
        snapshots(folder.parent().unwrap())
            .iter()
            .for_each(|snapshot| fs::remove_file(snapshot).unwrap());
    };
    let zeroed = |folder: &Path| fs::write(folder.join("db"), vec![0; 3 << 20]).unwrap();
    let cut = |folder: &Path| {
        fs::write(folder.join("db"), &fs::read(folder.join("db")).unwrap()[..40_000]).unwrap()
    };
    let conf = |folder: &Path| {
        fs::write(
            folder.join("conf"),
            "segment_size: 1024\nuse_compression: false\nversion: 0.34\n1234",
        )
        .unwrap()
    };
    let huge = |folder: &Path| {
        File::options().write(true).open(folder.join("conf")).unwrap().set_len(6 << 30).unwrap()
    };
    type Damage<'a> = &'a dyn Fn(&Path);
    let cases: [(&str, Damage<'_>); 5] =
        [("empty", &empty), ("zeroed", &zeroed), ("cut", &cut), ("conf", &conf), ("huge", &huge)];
    for (case, damage) in cases {
        let home = copy(home.path());
        let folder = home.path().join(NAME);
        damage(&folder);
        let before = (case != "huge").then(|| content(&folder));
        let refused = open(home.path()).map(drop);
        assert!(
            matches!(refused, Err(Error::Damaged { part: Component::Engine, .. })),
            "{case}: {refused:?}"
        );
        assert!(before.is_none_or(|before| content(&folder) == before), "{case}");
    }
}
