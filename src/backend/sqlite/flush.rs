//! Making what was committed durable: a sync of SQLite's log, behind its lock, for all threads that
//! wait.
//!
//! SQLite commits without a sync (`synchronous=NORMAL`); a checkpoint syncs the log before it
//! writes the database, and the database before the log begins anew. So when a sync of the log has
//! returned, all that was committed before it is durable: in this log, or in the database.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::model::error::{Component, Error, Result};
use crate::observe;
use crate::platform::path::at;
use crate::platform::sync::atomic::{AtomicBool, Ordering};
use crate::platform::sync::{Condvar, Mutex, PoisonError, lock};

/// SQLite's log, and how far it was synced.
pub(super) struct Flusher {
    path: PathBuf,
    log: Mutex<Option<File>>,
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

impl Flusher {
    pub(super) fn of(rows: &Path) -> Self {
        let mut path = rows.as_os_str().to_owned();
        path.push("-wal");
        Self {
            path: path.into(),
            log: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            failed: AtomicBool::new(false),
        }
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
    /// `Io` if that is not so, or the log is not the one that other processes write any more: then
    /// the store refuses all further work.
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
        let mut log = lock(&self.log);
        let io = |error| Error::io("sync SQLite's log")(at(&self.path)(error));
        let log = match &mut *log {
            Some(log) => log,
            // (SQLite has no lock on it: it may be opened and closed.)
            none => {
                none.insert(File::options().read(true).write(true).open(&self.path).map_err(io)?)
            }
        };
        if log.metadata().map_err(io)?.nlink() == 0 {
            let problem = "SQLite's log was removed while the store was open";
            return Err(Error::damaged(Component::Engine, problem));
        }
        log.sync_data().map_err(io)
    }

    pub(super) fn fail(&self) {
        if !self.failed.swap(true, Ordering::AcqRel) {
            observe::poisoned(Component::Engine);
        }
    }
}
