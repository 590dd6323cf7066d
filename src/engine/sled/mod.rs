//! sled 0.34.7, and everything that is known to go wrong with it, which is handled in this room.
//!
//! - Half-written creations: the database is made in a folder beside its own, which is then
//!   renamed.
//! - Half-written snapshots (`*.generating`), which sled would read and call corrupt: removed
//!   before open.
//! - sled takes a read that fails while it opens for the end of its log, and overwrites what is
//!   behind: it is never given anything to recover ([`recovery`]). A read that fails later is an
//!   error.
//! - `flush` does not reach the disk on Linux (`sync_file_range`): we sync the same file through a
//!   handle of our own.
//! - Panics on damaged files and in its destructors: every handle is guarded ([`handle`]).
//! - A write that fails in the background may leave all threads waiting that wait for it: they are
//!   woken, and a flush that does not return all the same is given up ([`flusher`]). (sled takes a
//!   signal that interrupts such a write for a failure: nothing can be tried again.)
//! - A batch that fails on a page that it cannot read leaves half of itself behind, and the next
//!   flush, also its destructor's, makes that durable: all pages of a batch are read before it
//!   begins; behind one that failed all the same nothing is flushed any more, and [`replay`] ends
//!   before it.
//! - A batch that returned `Ok` is no commit if the flush behind it fails: the store stops using
//!   the engine after any error.
//! - Transactions, subscribers and `flush_async` can dead-lock: never used. The periodic flusher
//!   only logs its errors: off.
//! - One lock for the whole process, at which readers queue: batches and flushes are kept apart
//!   before they come to it ([`exclusion`]).
//! - Values that would go to separate, never synced blob files: the store keeps its rows below that
//!   size.

mod birth;
mod exclusion;
mod flusher;
mod folder;
mod handle;
mod log;
mod recovery;
mod replay;
mod snapshot;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::exclusion::DISK;
use self::flusher::{Flush, Flusher};
pub(crate) use self::folder::SledFolder;
use self::handle::{Handle, io_error};
use super::{Batch, Commit, Durability, Engine, EngineError, Found, GivenUp, Limits, Row};
use crate::model::error::{Component, Error, Result};
use crate::model::tag::AccountTag;

/// How many long batches of the process hold up its readers.
static LONG_BATCHES: AtomicUsize = AtomicUsize::new(0);
/// A batch of more changes is long: it takes about 0.1 ms or more.
const LONG: usize = 16;
/// How much may be flushed and not synced: half a segment. sled believes that all segments before
/// the last are on the disk, and takes a hole in one for the end of that segment alone.
const SYNC_BEHIND: u64 = 256 << 10;

/// How the engine is to be run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    pub(crate) cache_bytes: u64,
    /// How long a flush may take.
    pub(crate) disk_timeout: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, disk_timeout: Duration::from_secs(30) }
    }
}

/// A sled database.
pub(crate) struct SledEngine {
    // (Dropped before the thread is, which has the other share of the database, and drops it.)
    base: Arc<Base>,
    flusher: Flusher,
    tuning: Tuning,
    sync: Mutex<Progress>,
    changed: Condvar,
    found: Found,
    given_up: GivenUp,
}

/// What the thread that flushes shares with all others.
struct Base {
    db: Handle,
    /// Our own handle of sled's log, opened before any write so that we are told of its errors too.
    log: File,
    /// Whether a batch has failed: half of it may be in memory, and must never reach the disk. It
    /// is set while no flush is at work, and none begins after it.
    is_broken: AtomicBool,
    /// About how much was flushed since the last sync.
    unsynced: AtomicU64,
    /// Whether anything had to be on the disk yet. Until then, as while the rows of another engine
    /// are being moved here, a hole does no harm.
    is_promised: AtomicBool,
}

/// How far commits have come; counted from open.
#[derive(Default)]
struct Progress {
    committed: u64,
    flushed: u64,
    synced: u64,
    busy: bool,
    /// Whether a commit or a sync has failed. The system tells of a failed sync once, so the next
    /// one would lie.
    failed: bool,
}

impl SledEngine {
    /// Opens the database in the folder `name` of `parent`, or makes it there.
    ///
    /// # Errors
    /// `Damaged` if what is there cannot be opened however often it is tried; `Io` or `Full` if the
    /// system refuses: then nothing is lost.
    pub(crate) fn open(parent: &Path, name: &str, tuning: Tuning) -> Result<Self> {
        birth::open(parent, name, tuning)
    }

    /// The engine over an open database.
    fn start(db: Handle, log: File, tuning: Tuning, found: Found) -> Result<Self, EngineError> {
        let base = Arc::new(Base {
            db,
            log,
            is_broken: AtomicBool::new(false),
            unsynced: AtomicU64::new(0),
            is_promised: AtomicBool::new(false),
        });
        let given_up = GivenUp::default();
        let flusher = Flusher::start(base.clone(), tuning.disk_timeout, given_up.0.clone())?;
        // What an earlier process left to the system is synced with the first thing that is to be
        // durable.
        let sync = Mutex::new(Progress { committed: 1, ..Progress::default() });
        Ok(Self { base, flusher, tuning, sync, changed: Condvar::new(), found, given_up })
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.sync.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what became of a write.
    fn committed(&self, applied: Result<(), EngineError>) -> Result<(), EngineError> {
        let mut progress = self.progress();
        progress.failed |= applied.is_err();
        progress.committed += 1;
        applied
    }

    /// Applies several changes together. All readers of the process wait meanwhile.
    fn apply(&self, changes: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<(), EngineError> {
        let _long = (changes.len() > LONG).then(LongBatch::begin);
        if self.base.is_promised.load(Ordering::Acquire) {
            // A page that cannot be read fails now, when nothing has been changed. (Nothing counts
            // yet of an engine that rows are being moved to.)
            self.base
                .db()?
                .call(|db| changes.iter().try_for_each(|(key, _)| db.get(key).map(drop)))?;
        }
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        let Some(_alone) = DISK.alone(self.tuning.disk_timeout) else {
            return Err(EngineError::Io(io::Error::new(
                io::ErrorKind::TimedOut,
                "a flush of this process does not end",
            )));
        };
        // A thread that waited behind a batch that failed must not have sled write what that one
        // left.
        let applied = self.base.db()?.call(|db| db.apply_batch(batch));
        if applied.is_err() {
            self.base.is_broken.store(true, Ordering::Release);
        }
        applied
    }
}

impl Base {
    /// The database, unless there is half a batch in it: then any call could make sled write that
    /// half.
    fn db(&self) -> Result<&Handle, EngineError> {
        if self.is_broken.load(Ordering::Acquire) {
            return Err(EngineError::Io(io::Error::other("half a batch is there")));
        }
        Ok(&self.db)
    }
}

impl Flush for Base {
    fn flush(&self, durability: Durability) -> Result<(), EngineError> {
        let unsynced = {
            let _shared = DISK.share();
            let flushed = self.db()?.call(sled_flush)? as u64;
            self.unsynced.fetch_add(flushed, Ordering::AcqRel) + flushed
        };
        let is_promised =
            self.is_promised.load(Ordering::Acquire) || durability == Durability::PowerLoss;
        if durability == Durability::PowerLoss || unsynced >= SYNC_BEHIND && is_promised {
            self.log.sync_data().map_err(io_error)?;
            self.unsynced.store(0, Ordering::Release);
        }
        self.is_promised.store(is_promised, Ordering::Release);
        Ok(())
    }

    fn nudge(&self) {
        self.db.nudge();
    }

    fn given_up(&self) {
        DISK.give_up();
    }

    fn returned(&self) {
        DISK.returned();
    }
}

fn sled_flush(db: &sled::Db) -> sled::Result<usize> {
    db.flush()
}

impl Engine for SledEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.base.db()?.call(|db| db.get(key)).map(|value| value.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, EngineError> {
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        self.base.db()?.call(|db| {
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

    fn commit(&self, _: &AccountTag, batch: Batch) -> Result<Commit, EngineError> {
        // The caller holds the account's lock, so no other thread changes the guarded row between
        // this look and the batch.
        if let Some((key, expected)) = &batch.guard
            && self.base.db()?.call(|db| db.get(key))?.as_deref() != expected.as_deref()
        {
            return Ok(Commit::Conflict);
        }
        if batch.changes.is_empty() {
            // sled would log that there is nothing, and write a new snapshot at the next open.
            return Ok(Commit::Done);
        }
        let applied = match <[_; 1]>::try_from(batch.changes) {
            // One row is whole by itself, and holds no reader up.
            Ok([(key, value)]) => self.base.db().and_then(|db| {
                db.call(|db| match value {
                    Some(value) => db.insert(key, value).map(drop),
                    None => db.remove(key).map(drop),
                })
            }),
            Err(changes) => self.apply(changes),
        };
        self.committed(applied)?;
        Ok(Commit::Done)
    }

    /// This goes row by row: a batch holds up every reader of the process while it is applied.
    fn discard(&self, keys: Vec<Vec<u8>>) -> Result<(), EngineError> {
        keys.into_iter().try_for_each(|key| {
            let removed = self.base.db().and_then(|db| db.call(|db| db.remove(key).map(drop)));
            self.committed(removed)
        })
    }

    fn sync(&self, durability: Durability) -> Result<(), EngineError> {
        let mut progress = self.progress();
        let target = progress.committed;
        loop {
            let reached = if durability == Durability::PowerLoss {
                progress.synced
            } else {
                progress.flushed
            };
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
            let done = self.flusher.flush(&*self.base, durability);
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
        self.base.db.call(|db| db.size_on_disk())
    }

    fn limits(&self) -> Limits {
        // What is longer goes to blob files of their own, which sled never syncs.
        Limits { value_bytes: 8 << 10 }
    }

    fn found(&self) -> Found {
        self.found
    }

    fn given_up(&self) -> GivenUp {
        self.given_up.clone()
    }
}

impl Drop for SledEngine {
    fn drop(&mut self) {
        // What sled's destructor would flush is flushed where it can be given up.
        if self.base.is_broken.load(Ordering::Acquire) && !self.base.db.is_failed() {
            // Its destructor would flush: it is left behind, as after a flush that does not return.
            // (If a write failed, sled flushes nothing.)
            std::mem::forget(self.base.clone());
            self.given_up.0.store(true, Ordering::Release);
        } else {
            let _ = self.flusher.flush(&*self.base, Durability::ProcessCrash);
        }
    }
}

impl std::fmt::Debug for SledEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SledEngine(..)")
    }
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

pub(crate) fn open_error(error: EngineError) -> Error {
    match error {
        EngineError::Full => Error::Full(Component::Engine),
        EngineError::Panicked => {
            Error::damaged(Component::Engine, "its code panicked while opening it")
        }
        EngineError::Io(e) if e.kind() == io::ErrorKind::InvalidData => {
            Error::damaged(Component::Engine, "its files are corrupt")
        }
        EngineError::Io(source) => Error::io("open the engine")(source),
    }
}
