//! sled 0.34.7, armoured: everything that is known to go wrong with it is handled in this file.
//!
//! - Half-written creations: the database is made in a folder beside its own, which is then renamed.
//! - Half-written snapshots (`*.generating`), which sled would read and call corrupt: removed before open.
//! - `flush` does not reach the disk on Linux (`sync_file_range`): we sync the same file through a handle of our own.
//! - Panics on damaged files and in its destructors: every call is guarded.
//! - A batch that returned `Ok` is no commit if the flush behind it fails: the store stops using the engine after any error.
//! - Transactions, subscribers and `flush_async` can dead-lock: never used. The periodic flusher only logs its errors: off.
//! - One lock of the whole process, which a batch takes alone and a flush shares while it writes to the disk; readers queue behind a batch
//!   that waits for a flush. A lock of our own keeps the two apart before they come to sled's, so that no reader waits for the disk.
//! - Values that would go to separate, never synced blob files: the store keeps its rows below that size.

use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use super::{Batch, Durability, Engine, EngineError, Row};
use crate::crypto::Tag;
use crate::disk::{create_private, sync_folder};
use crate::error::{Error, Part, Result};

/// Held alone by a batch and shared by flushes, of all databases of the process: see above.
static DISK: RwLock<()> = RwLock::new(());
/// How many long batches of the process hold up its readers.
static LONG_BATCHES: AtomicUsize = AtomicUsize::new(0);
/// A batch of more changes is long: it takes about 0.1 ms or more.
const LONG: usize = 16;

/// A sled database.
pub(crate) struct SledEngine {
    /// `None` only while it is being dropped.
    db: Option<sled::Db>,
    /// Our own handle of sled's log, opened before any write so that its errors are told to us too.
    log: File,
    sync: Mutex<Progress>,
    changed: Condvar,
}

/// How far commits have come; counted from open.
#[derive(Default)]
struct Progress {
    committed: u64,
    flushed: u64,
    synced: u64,
    busy: bool,
    /// A commit or a sync has failed. The system tells of a failed sync once, so the next one would lie.
    failed: bool,
}

impl SledEngine {
    /// Opens the database in the folder `name` of `parent`, or makes it there.
    ///
    /// # Errors
    /// `Damaged` if sled cannot open what is there; `Io` or `Full` if the system refuses.
    pub(crate) fn open(parent: &Path, name: &str, cache_bytes: u64) -> Result<Self> {
        let path = parent.join(name);
        if !path.is_dir() {
            create(parent, name, cache_bytes).map_err(open_error)?;
        }
        // (A rename of a process that died before it synced the folder is made durable before anything is read of it.)
        clean(&path).map_err(Error::io("clean the engine's folder"))?;
        let log = File::options().read(true).write(true).open(path.join("db"));
        let log = log.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::damaged(Part::Engine, "its log is missing"),
            _ => Error::io("open the engine's log")(error),
        })?;
        wait_unlocked(&log).map_err(Error::io("wait for the engine's lock"))?;
        let db = guarded(|| config(&path, cache_bytes).open()).map_err(open_error)?;
        sync_folder(&path).map_err(Error::io("sync the engine's folder"))?;
        // What an earlier process left to the system is synced with the first thing that is to be durable.
        let progress = Progress { committed: 1, ..Progress::default() };
        Ok(Self { db: Some(db), log, sync: Mutex::new(progress), changed: Condvar::new() })
    }

    fn db(&self) -> Result<&sled::Db, EngineError> {
        self.db.as_ref().ok_or(EngineError::Panicked)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.sync.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for SledEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let db = self.db()?;
        guarded(|| db.get(key)).map(|value| value.map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, EngineError> {
        let db = self.db()?;
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        guarded(|| {
            let mut rows = Vec::new();
            for row in db.range::<&[u8], _>((from, Bound::Unbounded)).take(limit) {
                // The iterator repeats an error for ever, so the first one ends it.
                let (key, value) = row?;
                if !key.starts_with(prefix) {
                    break;
                }
                rows.push((key.to_vec(), value.to_vec()));
            }
            Ok(rows)
        })
    }

    fn commit(&self, _: &Tag, batch: Batch) -> Result<bool, EngineError> {
        let db = self.db()?;
        // The caller holds the account's lock, so nobody changes the guarded row between this look and the batch.
        if let Some((key, expected)) = &batch.guard
            && guarded(|| db.get(key))?.as_deref() != expected.as_deref()
        {
            return Ok(false);
        }
        let applied = match <[_; 1]>::try_from(batch.changes) {
            // One row is whole by itself, and holds nobody up.
            Ok([(key, value)]) => guarded(|| match value {
                Some(value) => db.insert(key, value).map(drop),
                None => db.remove(key).map(drop),
            }),
            Err(changes) => apply(db, changes),
        };
        let mut progress = self.progress();
        progress.failed |= applied.is_err();
        progress.committed += 1;
        drop(progress);
        applied.map(|()| true)
    }

    fn sync(&self, durability: Durability) -> Result<(), EngineError> {
        let db = self.db()?;
        let mut progress = self.progress();
        let target = progress.committed;
        loop {
            let reached = if durability == Durability::PowerLoss { progress.synced } else { progress.flushed };
            if reached >= target {
                return Ok(());
            }
            if progress.failed {
                return Err(EngineError::Io(io::Error::other("an earlier write or sync failed")));
            }
            if progress.busy {
                progress = self.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            progress.busy = true;
            let upto = progress.committed;
            drop(progress);
            let flushed = {
                let _shared = DISK.read().unwrap_or_else(PoisonError::into_inner);
                guarded(|| db.flush())
            };
            let done = flushed.and_then(|_| match durability {
                Durability::PowerLoss => self.log.sync_data().map_err(io_error),
                Durability::ProcessCrash => Ok(()),
            });
            progress = self.progress();
            progress.busy = false;
            progress.failed |= done.is_err();
            self.changed.notify_all();
            done?;
            progress.flushed = progress.flushed.max(upto);
            if durability == Durability::PowerLoss {
                progress.synced = progress.synced.max(upto);
            }
        }
    }

    fn is_busy(&self) -> bool {
        LONG_BATCHES.load(Ordering::Relaxed) > 0
    }

    fn size(&self) -> Result<u64, EngineError> {
        let db = self.db()?;
        guarded(|| db.size_on_disk())
    }
}

impl Drop for SledEngine {
    fn drop(&mut self) {
        let db = self.db.take();
        // sled's destructors unwrap the result of their last sync.
        let _ = catch_unwind(AssertUnwindSafe(move || drop(db)));
    }
}

impl std::fmt::Debug for SledEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SledEngine(..)")
    }
}

/// Applies several changes together. All readers of the process wait meanwhile.
fn apply(db: &sled::Db, changes: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<(), EngineError> {
    let _long = (changes.len() > LONG).then(LongBatch::begin);
    let mut batch = sled::Batch::default();
    for (key, value) in changes {
        match value {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        }
    }
    let _alone = DISK.write().unwrap_or_else(PoisonError::into_inner);
    guarded(|| db.apply_batch(batch))
}

/// Counts a long batch while it lasts.
struct LongBatch;

impl LongBatch {
    fn begin() -> Self {
        LONG_BATCHES.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for LongBatch {
    fn drop(&mut self) {
        LONG_BATCHES.fetch_sub(1, Ordering::Relaxed);
    }
}

fn config(path: &Path, cache_bytes: u64) -> sled::Config {
    sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(None)
}

/// Makes a database beside its place and renames it, so that sled never meets half of its own files.
fn create(parent: &Path, name: &str, cache_bytes: u64) -> Result<(), EngineError> {
    let path = parent.join(format!("{name}.new"));
    if path.exists() {
        fs::remove_dir_all(&path).map_err(io_error)?;
    }
    create_private(&path).map_err(io_error)?;
    guarded(|| config(&path, cache_bytes).open().and_then(|db| db.flush()))?;
    for file in ["conf", "db"] {
        // Windows syncs only what is open for writing.
        File::options().write(true).open(path.join(file)).and_then(|file| file.sync_all()).map_err(io_error)?;
    }
    sync_folder(&path).map_err(io_error)?;
    fs::rename(&path, parent.join(name)).and_then(|()| sync_folder(parent)).map_err(io_error)
}

/// Waits while a child of this process, between fork and exec, holds sled's lock of an earlier open. Nobody else can: we have the
/// store's lock.
fn wait_unlocked(log: &File) -> io::Result<()> {
    for _ in 0..5000 {
        match log.try_lock() {
            Ok(()) => return log.unlock(),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(std::time::Duration::from_millis(1)),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::ErrorKind::WouldBlock.into())
}

/// Removes snapshots that were being written when the process died. The older snapshot and the log are still whole.
fn clean(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".generating") || name.ends_with(".in___motion") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, EngineError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| match error {
            sled::Error::Io(error) => io_error(error),
            // The other variants' texts say nothing of rows, but nothing of use to a caller either.
            _ => EngineError::Io(io::Error::from(io::ErrorKind::InvalidData)),
        }),
        Err(_) => Err(EngineError::Panicked),
    }
}

fn io_error(error: io::Error) -> EngineError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => EngineError::Full,
        _ => EngineError::Io(error),
    }
}

pub(crate) fn open_error(error: EngineError) -> Error {
    match error {
        EngineError::Full => Error::Full(Part::Engine),
        EngineError::Panicked => Error::damaged(Part::Engine, "its code panicked while opening it"),
        EngineError::Io(e) if e.kind() == io::ErrorKind::InvalidData => Error::damaged(Part::Engine, "its files are corrupt"),
        EngineError::Io(source) => Error::Io { action: "open the engine", source },
    }
}
