//! Making what was committed durable: a sync of SQLite's log, behind its lock, for all threads that
//! wait.
//!
//! SQLite commits without a sync (`synchronous=NORMAL`); a checkpoint syncs the log before it
//! writes the database, and the database before the log begins anew. So when a sync of the log has
//! returned, all that was committed before it is durable: in this log, or in the database.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::join::parts_of;
use crate::model::error::{Component, Error, Result};
use crate::observe;
use crate::platform::path::at;
use crate::platform::sync::atomic::{AtomicBool, Ordering};
use crate::platform::sync::{Condvar, Mutex, PoisonError, lock};

/// SQLite's log, and how far it was synced.
pub(super) struct Flusher {
    log: File,
    path: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
    failed: AtomicBool,
}

#[derive(Default)]
struct State {
    /// How many threads have asked so far, and up to which of them a sync has begun and ended.
    asked: u64,
    done: u64,
    is_busy: bool,
}

/// Behind a failed sync the system may call pages clean that are not on the disk: the log's bytes are
/// written once more, so that the next sync counts for them. Nobody has the rows open.
///
/// # Errors
/// `Io`, `Full`.
pub(super) fn write_again(rows: &Path) -> Result<()> {
    let [_, path, ..] = parts_of(rows);
    let again = || -> std::io::Result<()> {
        let log = match File::options().read(true).write(true).open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            log => log?,
        };
        let (mut bytes, mut place) = (vec![0; 1 << 20], 0);
        loop {
            let some = match log.read_at(&mut bytes, place) {
                Ok(0) => return log.sync_all(),
                Ok(some) => some,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            log.write_all_at(bytes.get(..some).unwrap_or_default(), place)?;
            place += some as u64;
        }
    };
    again().map_err(at(&path)).map_err(Error::io("write SQLite's log again behind a failed sync"))
}

impl Flusher {
    /// Of the rows' file, whose log is there by now. It is opened before anything is written: the
    /// system tells each open file once that a write behind it has failed. (SQLite has no lock on
    /// it, so that it may be opened.)
    pub(super) fn of(rows: &Path) -> Result<Self> {
        let [_, path, ..] = parts_of(rows);
        let log = File::options().read(true).write(true).open(&path);
        let log = log.map_err(at(&path)).map_err(Error::io("open SQLite's log"))?;
        let (state, changed) = (Mutex::default(), Condvar::new());
        Ok(Self { log, path, state, changed, failed: AtomicBool::new(false) })
    }

    /// Refuses what needs the rows behind a failed sync.
    ///
    /// # Errors
    /// `Poisoned`.
    pub(super) fn check(&self) -> Result<()> {
        if self.failed.load(Ordering::Acquire) {
            return Err(Error::Poisoned(Component::Engine));
        }
        Ok(())
    }

    /// Returns when all is durable that was committed before this call.
    ///
    /// # Errors
    /// `Io` if that is not so: then the store refuses all further work. `Poisoned` from then on.
    pub(super) fn flush(&self) -> Result<()> {
        let mut state = lock(&self.state);
        state.asked += 1;
        let own = state.asked;
        loop {
            self.check()?;
            if state.done >= own {
                return Ok(());
            }
            if state.is_busy {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.is_busy = true;
            let for_all = state.asked;
            drop(state);
            let synced = self.sync();
            state = lock(&self.state);
            state.is_busy = false;
            match synced {
                Ok(()) => state.done = state.done.max(for_all),
                Err(_) => self.fail(),
            }
            self.changed.notify_all();
            synced?;
        }
    }

    fn sync(&self) -> Result<()> {
        self.log.sync_data().map_err(at(&self.path)).map_err(Error::io("sync SQLite's log"))
    }

    pub(super) fn fail(&self) {
        if !self.failed.swap(true, Ordering::AcqRel) {
            observe::poisoned(Component::Engine);
        }
    }
}
