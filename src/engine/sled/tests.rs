//! Real files of sled's, and what becomes of them.

mod faults;
mod flush;
#[cfg(unix)]
mod half;
mod like_sled;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{SledEngine, Tuning};
use crate::engine::{Batch, Durability, Engine};
use crate::model::tag::AccountTag;

/// A small generator of numbers, the same in every run.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

const TUNING: Tuning =
    Tuning { cache_bytes: 4 << 20, disk_timeout: std::time::Duration::from_secs(30) };
const NAME: &str = "engine";

fn open(parent: &Path) -> crate::Result<SledEngine> {
    SledEngine::open(parent, NAME, TUNING)
}

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn rows(engine: &SledEngine) -> Rows {
    engine.scan(b"", None, usize::MAX).unwrap().into_iter().collect()
}

/// Some batches and single rows, over many segments, of which many come to hold nothing.
fn work(engine: &SledEngine, chance: &mut Chance, turns: u64) {
    for _ in 0..turns {
        let mut batch = Batch::default();
        for _ in 0..=chance.below(6) {
            let key = format!("row {}", chance.below(900)).into_bytes();
            match chance.below(5) {
                0 => batch.delete(key),
                _ => batch.put(key, vec![chance.below(256) as u8; chance.below(9_000) as usize]),
            }
        }
        let _ = engine.commit(&AccountTag::NONE, batch).unwrap();
        if chance.below(4) == 0 {
            engine.sync(Durability::ProcessCrash).unwrap();
        }
    }
}

/// A copy of an engine's folder, as it would be found if the process died now.
fn copy(parent: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_files(&parent.join(NAME), &to.path().join(NAME));
    to
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_files(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file of a folder, and what is in it.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries =
        fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file());
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect()
}

fn snapshots(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent.join(NAME)).unwrap().map(|entry| entry.unwrap());
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("snap."))
        .map(|entry| entry.path())
        .collect()
}
