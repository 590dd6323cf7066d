//! Keeping SQLite's log short: a thread writes what is in it to the database, and SQLite begins it
//! anew. A log that is used again costs a commit half of what one that grows does, as a file's
//! length is part of what a sync writes.

use std::path::{Path, PathBuf};

use super::connection::open;
use crate::platform::sync::thread::{self, JoinHandle};
use crate::platform::sync::{Arc, Condvar, Mutex, PoisonError, lock};
use crate::platform::turn::Presence;

/// A log of so many bytes is written to the database.
const LONG: u64 = 4 << 20;

/// What is written meanwhile by others may be in the way of ending; then the next commit tries
/// again.
const TRIES: usize = 16;

/// The thread, and what it is told.
pub(super) struct Checkpointer {
    told: Arc<(Mutex<Told>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Told {
    is_due: bool,
    is_over: bool,
}

impl Checkpointer {
    /// `one` is the lock of those who do this: one process at a time.
    pub(super) fn start(rows: PathBuf, one: Presence) -> std::io::Result<Self> {
        let told = Arc::new((Mutex::new(Told::default()), Condvar::new()));
        let of = told.clone();
        let run = move || {
            let (told, changed) = &*of;
            loop {
                let mut state = lock(told);
                while !state.is_due && !state.is_over {
                    state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if state.is_over {
                    return;
                }
                state.is_due = false;
                drop(state);
                if one.try_alone().unwrap_or(false) {
                    // What fails now is tried again behind the next commit.
                    let _ = write_back(&rows);
                    one.leave();
                }
            }
        };
        let thread = thread::Builder::new().name("oubliette-checkpoint".into()).spawn(run)?;
        Ok(Self { told, thread: Some(thread) })
    }

    /// Has the log written back, if it is long.
    pub(super) fn look(&self, rows: &Path) {
        let mut log = rows.as_os_str().to_owned();
        log.push("-wal");
        if std::fs::metadata(PathBuf::from(log)).is_ok_and(|log| log.len() > LONG) {
            let (told, changed) = &*self.told;
            lock(told).is_due = true;
            changed.notify_one();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        let (told, changed) = &*self.told;
        lock(told).is_over = true;
        changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Until two answers in a row are the same: that all is done which was there says only that what
/// this connection knew was done.
pub(super) fn write_back(rows: &Path) -> rusqlite::Result<()> {
    let connection = open(rows).map_err(|_| rusqlite::Error::InvalidQuery)?;
    connection.pragma_update(None, "cache_size", -512)?;
    let mut before = (-1, -1);
    for _ in 0..TRIES {
        let answer = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        })?;
        if answer == before && answer.0 == answer.1 {
            return Ok(());
        }
        before = answer;
    }
    Ok(())
}
