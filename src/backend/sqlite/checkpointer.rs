//! Keeping SQLite's log short: a thread writes what is in it to the database, and SQLite begins it
//! anew. A log that is used again costs a commit half of what one that grows does, as a file's
//! length is part of what a sync writes.
//!
//! SQLite begins the log anew only if a writer finds all of it written back, and nobody reading it.
//! Where writers never rest that can take for ever: so a log that has grown too long is ended in a
//! turn of the rows, in which nobody writes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Row, ffi};

use super::connection::open;
use super::{FAILED, STATE};
use crate::platform::sync::thread::{self, JoinHandle};
use crate::platform::sync::{Arc, Condvar, Mutex, PoisonError, lock};
use crate::platform::turn::{Presence, Turnstile};

/// A log of so many pages, 4 MiB, is written to the database.
const LONG: u64 = 1024;

/// How often it is written back while others write, before it is ended: what is left for that is
/// what came during the last time.
const TIMES: usize = 3;

/// How long the writers wait for those who read.
const FOR_READERS: Duration = Duration::from_millis(5);

/// How often another one that writes the log back is waited for.
const WAITS: usize = 40;

/// How long the turn of the rows is waited for.
const FOR_TURN: Duration = Duration::from_millis(500);

/// After a try in vain the next one comes so much later: one process that stands still in the middle
/// of reading is in the way for as long as it stands.
const AGAIN: Duration = Duration::from_millis(200);

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
    pub(super) fn start(
        rows: PathBuf,
        turnstile: Turnstile,
        one: Presence,
    ) -> std::io::Result<Self> {
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
                drop(state);
                let mut is_done = true;
                if one.try_alone().unwrap_or(false) {
                    // What fails now is tried again behind a later commit.
                    is_done = write_back(&rows, &turnstile).unwrap_or(false);
                    one.leave();
                }
                let mut state = lock(told);
                if !is_done && !state.is_over {
                    let waited = changed.wait_timeout_while(state, AGAIN, |told| !told.is_over);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                state.is_due = false;
            }
        };
        let thread = thread::Builder::new().name("oubliette-checkpoint".into()).spawn(run)?;
        Ok(Self { told, thread: Some(thread) })
    }

    /// Has a log of so many pages written back, if it is long.
    pub(super) fn look(&self, pages: u64) {
        if pages > LONG {
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

/// Writes the log back, so that the next commit begins it anew; and ends it in a turn if others write
/// all the while. `false` if somebody still reads what is in it.
pub(super) fn write_back(rows: &Path, turnstile: &Turnstile) -> rusqlite::Result<bool> {
    if turnstile.left(STATE).is_ok_and(|state| state == FAILED) {
        // What is in the log may not be on the disk.
        return Ok(true);
    }
    let connection = open(rows).map_err(|_| rusqlite::Error::InvalidQuery)?;
    connection.pragma_update(None, "cache_size", -512)?;
    let run = |mode: &str| {
        // The system tells of a failed sync once, and this connection alone: after that nobody knows
        // what is in the database, though SQLite counts it as written back.
        let fail = |error: &rusqlite::Error| {
            if is_failed_sync(error) {
                let _ = turnstile.leave(STATE, FAILED);
            }
        };
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        let answer = |row: &Row<'_>| {
            let (is_busy, pages, done) = (row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?);
            Ok((is_busy != 0, pages, done))
        };
        connection.query_row::<(bool, i64, i64), _, _>(&sql, [], answer).inspect_err(fail)
    };
    let (mut before, mut waits) = (-1, 0);
    for _ in 0..TIMES {
        let (_, mut pages, mut done) = run("PASSIVE")?;
        // (No pages: another one is at it.)
        while pages < 0 && waits < WAITS {
            waits += 1;
            thread::sleep(FOR_READERS);
            (_, pages, done) = run("PASSIVE")?;
        }
        // That all is done which was there says only that what this connection knew was done: so it
        // is asked twice.
        if pages >= 0 && pages == done && pages == before {
            return Ok(true);
        }
        before = pages;
    }
    let Ok(_turn) = turnstile.take(FOR_TURN) else { return Ok(false) };
    // Most of it is written back already.
    connection.busy_timeout(FOR_READERS)?;
    run("RESTART").map(|(is_busy, ..)| !is_busy)
}

fn is_failed_sync(error: &rusqlite::Error) -> bool {
    const SYNCS: [i32; 2] = [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC];
    error.sqlite_error().is_some_and(|error| SYNCS.contains(&error.extended_code))
}
