//! Batches that failed half-way, and plans that are out of date.

use std::os::unix::fs::FileExt;

use super::*;
use crate::engine::sled::handle::Handle;
use crate::engine::sled::log::{self, Message, SEGMENT, SEGMENT_HEADER};
use crate::engine::sled::recovery::write_plan;
use crate::engine::sled::replay::{Tip, replay};
use crate::engine::sled::snapshot::Snapshot;

fn put(engine: &SledEngine, keys: &[&str]) {
    let mut batch = Batch::default();
    keys.iter().for_each(|key| batch.put(key.as_bytes().to_vec(), vec![7; 40]));
    let _ = engine.commit(&AccountTag::NONE, batch).unwrap();
    engine.sync(Durability::PowerLoss).unwrap();
}

fn keys(engine: &SledEngine) -> Vec<String> {
    rows(engine).into_keys().map(|key| String::from_utf8(key).unwrap()).collect()
}

/// Makes of the last batch in the log what sled makes of one that failed: its beginning says that
/// it is no batch.
fn fail_last_batch(folder: &Path) {
    let path = folder.join("db");
    let bytes = fs::read(&path).unwrap();
    let mut last = None;
    for (segment, offset) in bytes.chunks(SEGMENT as usize).zip((0..).step_by(SEGMENT as usize)) {
        let Some(header) = log::Header::read(segment.first_chunk().unwrap()) else { continue };
        let (mut at, number) =
            (SEGMENT_HEADER, u64::try_from(header.lsn / SEGMENT as i64).unwrap());
        loop {
            let len = match log::message(segment, at, number) {
                Message::Batch { len, .. } => {
                    last = last.max(Some((header.lsn + at as i64, offset + at as u64, len)));
                    len
                }
                Message::Page { len, .. }
                | Message::Nothing { len }
                | Message::FailedBatch { len } => len,
                _ => break,
            };
            at += len as usize;
        }
    }
    let (_, at, len) = last.unwrap();
    let mut message = bytes[at as usize..(at + u64::from(len)) as usize].to_vec();
    message[4] = 1;
    // (A batch's beginning has eight bytes behind its header.)
    let (header, body) = message.split_at(message.len() - 8);
    let crc = log::message_crc(&header[4..], body).to_le_bytes();
    message[..4].copy_from_slice(&crc);
    fs::File::options().write(true).open(path).unwrap().write_all_at(&message, at).unwrap();
}

#[test]
fn of_a_batch_that_failed_nothing_is_found() {
    let home = tempfile::tempdir().unwrap();
    drop(open(home.path()).unwrap());
    let engine = open(home.path()).unwrap();
    put(&engine, &["a", "b"]);
    put(&engine, &["c", "d"]);
    let killed = copy(home.path());
    fail_last_batch(&killed.path().join(NAME));
    let engine = open(killed.path()).unwrap();
    assert_eq!(keys(&engine), ["a", "b"]);
    // The log goes on behind it.
    put(&engine, &["e", "f"]);
    drop(engine);
    assert_eq!(keys(&open(killed.path()).unwrap()), ["a", "b", "e", "f"]);
}

/// A build that knows of no plans has opened the store since one was written, and users have signed
/// in.
#[test]
fn a_plan_that_the_log_has_gone_beyond_is_dropped() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(NAME);
    let config = || sled::Config::new().path(&folder).cache_capacity(4 << 20).flush_every_ms(None);
    // Twice, so that its snapshot is at the very end of its log.
    for key in ["a", "b"] {
        let db = Handle::open(&config()).unwrap();
        db.call(|db| db.insert(key, key).and_then(|_| db.flush())).unwrap();
    }
    drop(Handle::open(&config()).unwrap());
    drop(Handle::open(&config()).unwrap());
    let base = snapshots(home.path()).pop().unwrap();
    let name = base.file_name().unwrap().to_str().unwrap().to_owned();
    let snapshot = Snapshot::read(&fs::read(&base).unwrap()).unwrap();
    let (lsn, segment) = (snapshot.stable.unwrap(), snapshot.active.unwrap());
    let log = fs::File::options().read(true).write(true).open(folder.join("db")).unwrap();
    let planned =
        replay(&crate::engine::sled::recovery::Files { folder: &folder, log: &log }, snapshot)
            .unwrap()
            .unwrap()
            .snapshot;
    write_plan(&folder, &name, &planned, Some(Tip { lsn, segment })).unwrap();
    let db = Handle::open(&config()).unwrap();
    db.call(|db| db.insert("c", "c").and_then(|_| db.flush())).unwrap();
    drop(db);
    assert_eq!(snapshots(home.path()), [base], "it has had no reason to write another");
    assert_eq!(keys(&open(home.path()).unwrap()), ["a", "b", "c"]);
}
