//! Our recovery finds what sled's own does, on whatever a crash leaves.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};

use super::*;
use crate::engine::sled::handle::Handle;
use crate::engine::sled::log::{SEGMENT, border_above, border_below};
use crate::engine::sled::recovery::{Files, recover, set_tripwire};
use crate::engine::sled::replay::headers;
use crate::engine::sled::snapshot::Snapshot;

fn log_of(parent: &Path) -> File {
    File::options().read(true).write(true).open(parent.join(NAME).join("db")).unwrap()
}

/// What sled makes of it by itself: its snapshot, and the rows.
fn by_sled(parent: &Path) -> Option<(Snapshot, Rows)> {
    let config = sled::Config::new().path(parent.join(NAME)).flush_every_ms(None);
    let db = Handle::open(&config).ok()?;
    let rows = db
        .call(|db| {
            db.iter().map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
        })
        .ok()?;
    drop(db);
    let snapshot = snapshots(parent).into_iter().max().unwrap();
    Some((Snapshot::read(&fs::read(snapshot).unwrap()).unwrap(), rows))
}

/// Whether sled gives up all of the log behind its snapshot, where ours goes on: the segment is
/// missing whose end is the last that is known to be stable, and it holds nothing that is needed
/// any more (see `replay::end_of_tail`).
fn is_given_up_by_sled(parent: &Path) -> bool {
    let newest = snapshots(parent).into_iter().max().and_then(|path| fs::read(path).ok());
    let known = newest.and_then(|bytes| Snapshot::read(&bytes)).and_then(|it| it.stable);
    let from = border_below(known.unwrap_or(0));
    let files = Files { folder: &parent.join(NAME), log: &log_of(parent) };
    let Ok(segments) = headers(&files, from) else { return false };
    let stable = segments.values().map(|(_, stable)| *stable).max().unwrap_or(from).max(from);
    !segments.contains_key(&border_below(stable))
}

/// As a crash or a bad disk might leave it.
fn tear(parent: &Path, chance: &mut Chance, how: u64) {
    let mut log = log_of(parent);
    let len = log.metadata().unwrap().len();
    let at = len.saturating_sub(chance.below(3 * SEGMENT).max(1));
    let zeros = vec![0; chance.below(70_000) as usize];
    match how {
        0 => {}
        1 => log.set_len(at).unwrap(),
        2 => {
            log.seek(SeekFrom::Start(at)).unwrap();
            log.write_all(&zeros[..zeros.len().min((len - at) as usize)]).unwrap();
        }
        3 => {
            // The header of one of the last segments.
            log.seek(SeekFrom::Start(at / SEGMENT * SEGMENT)).unwrap();
            log.write_all(&[0; 20]).unwrap();
        }
        _ => snapshots(parent).iter().for_each(|snapshot| fs::remove_file(snapshot).unwrap()),
    }
}

#[test]
fn what_a_crash_leaves_is_recovered_as_sled_does() {
    let mut chance = Chance(7);
    let (mut alike, mut refused) = (0, 0);
    for round in 0..2 {
        let home = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            let engine = open(home.path()).unwrap();
            for _ in 0..5 {
                let turns = 20 + chance.below(150);
                work(&engine, &mut chance, turns);
                for how in 0..5 {
                    let ours = copy(home.path());
                    tear(ours.path(), &mut chance, how);
                    let theirs = copy(ours.path());
                    let is_given_up = is_given_up_by_sled(theirs.path());
                    let log = log_of(ours.path());
                    let recovered = recover(&ours.path().join(NAME), &log);
                    match by_sled(theirs.path()) {
                        None => refused += 1,
                        Some((snapshot, rows)) => {
                            let name = &recovered.as_ref().unwrap().snapshot;
                            let at = i64::from_str_radix(name.strip_prefix("snap.").unwrap(), 16)
                                .unwrap();
                            let files = Files { folder: &ours.path().join(NAME), log: &log };
                            assert!(
                                headers(&files, at).unwrap().is_empty(),
                                "round {round}, {how}: sled has something to recover"
                            );
                            let name = recovered
                                .unwrap_or_else(|fault| panic!("round {round}, {how}: {fault:?}"))
                                .snapshot;
                            let ours_now = Snapshot::read(
                                &fs::read(ours.path().join(NAME).join(name)).unwrap(),
                            )
                            .unwrap();
                            if is_given_up {
                                let theirs = snapshot.stable.map(border_above);
                                assert!(ours_now.stable >= theirs, "round {round}, {how}");
                                continue;
                            }
                            assert_eq!(ours_now.pages, snapshot.pages, "round {round}, {how}");
                            assert_eq!(ours_now.stable, snapshot.stable.map(border_above));
                            assert_eq!(
                                super::rows(&open(ours.path()).unwrap()),
                                rows,
                                "round {round}, {how}"
                            );
                            alike += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(alike > 60, "{alike} alike, {refused} refused by sled");
}

#[test]
fn a_log_without_its_snapshot_has_every_row() {
    let mut chance = Chance(3);
    let home = tempfile::tempdir().unwrap();
    for round in 0..25 {
        let engine = open(home.path()).unwrap();
        work(&engine, &mut chance, [0, 0, 0, 1, 60, 1, 0, 5][round % 8]);
        engine.sync(Durability::ProcessCrash).unwrap();
        let expected = rows(&engine);
        let killed = copy(home.path());
        drop(engine);
        for folder in [killed.path(), copy(home.path()).path()] {
            snapshots(folder).iter().for_each(|snapshot| fs::remove_file(snapshot).unwrap());
            assert!(rows(&open(folder).unwrap()) == expected, "round {round}");
            let copied = copy(folder);
            assert!(by_sled(copied.path()).unwrap().1 == expected, "sled by itself, round {round}");
        }
    }
}

#[test]
fn a_segment_that_held_nothing_ends_no_log() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path()).unwrap();
    work(&engine, &mut Chance(5), 100);
    engine.sync(Durability::ProcessCrash).unwrap();
    let killed = copy(home.path());
    drop(engine);
    // It died when it had begun a segment, and had written nothing in it.
    let log = log_of(killed.path());
    let files = Files { folder: &killed.path().join(NAME), log: &log };
    let (_, (last, _)) = headers(&files, 0).unwrap().pop_last().unwrap();
    (&log).seek(SeekFrom::Start(last + 20)).unwrap();
    (&log).write_all(&vec![0; SEGMENT as usize - 20]).unwrap();
    let engine = open(killed.path()).unwrap();
    work(&engine, &mut Chance(6), 3);
    engine.sync(Durability::ProcessCrash).unwrap();
    let expected = rows(&engine);
    let copied = copy(killed.path());
    snapshots(copied.path()).iter().for_each(|snapshot| fs::remove_file(snapshot).unwrap());
    assert!(rows(&open(copied.path()).unwrap()) == expected);
}

#[test]
fn sled_refuses_a_log_whose_snapshot_it_does_not_see() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path()).unwrap();
    work(&engine, &mut Chance(5), 60);
    drop(engine);
    let engine = open(home.path()).unwrap();
    work(&engine, &mut Chance(6), 5);
    engine.sync(Durability::ProcessCrash).unwrap();
    let expected = rows(&engine);
    let killed = copy(home.path());
    drop(engine);
    let folder = killed.path().join(NAME);
    let log = log_of(killed.path());
    let name = recover(&folder, &log).unwrap().snapshot;
    set_tripwire(&folder, &name, &log).unwrap();
    // It died here, twice.
    set_tripwire(&folder, &name, &log).unwrap();
    let hidden: Vec<_> = snapshots(killed.path())
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    hidden.iter().for_each(|(path, _)| fs::remove_file(path).unwrap());
    let before = fs::read(folder.join("db")).unwrap();
    assert!(by_sled(killed.path()).is_none());
    assert!(fs::read(folder.join("db")).unwrap() == before);
    // It is no obstacle to our own reading, without a snapshot and with it.
    assert!(rows(&open(copy(killed.path()).path()).unwrap()) == expected);
    hidden.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    assert!(rows(&open(killed.path()).unwrap()) == expected);
    assert!(by_sled(killed.path()).unwrap().1 == expected);
}

#[test]
fn opening_without_writing_does_not_let_it_grow() {
    let home = tempfile::tempdir().unwrap();
    let engine = open(home.path()).unwrap();
    work(&engine, &mut Chance(5), 100);
    let expected = rows(&engine);
    drop(engine);
    drop(open(home.path()).unwrap());
    let size = || fs::metadata(home.path().join(NAME).join("db")).unwrap().len();
    let before = size();
    for _ in 0..200 {
        drop(open(home.path()).unwrap());
    }
    assert!(size() <= before + SEGMENT, "{before} bytes, then {}", size());
    assert_eq!(rows(&open(home.path()).unwrap()), expected);
}
