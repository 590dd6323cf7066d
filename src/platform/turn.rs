//! Locks among the processes of one machine, which the kernel frees when their holder dies.
//!
//! They are record locks (`fcntl`): they wait in the kernel, in order, and are not inherited by a
//! forked child. Two of their ways shape this file. They belong to the process, so threads need a
//! lock of their own before them. And *any* close of the file by the process drops them, so a file
//! is opened once in a process, which [`Turnstile::open`] and its caller see to.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::disk::private_file;
use super::path::at;
use crate::platform::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, lock, thread};

/// The kernel says that waiting would be a deadlock when two processes wait for each other, even if
/// different threads do so. Then the lock is tried again after this time.
const AGAIN: Duration = Duration::from_micros(200);

/// A lock that one thread of one process holds at a time; and bytes in its file, which those who
/// hold it leave for the next.
#[derive(Clone)]
pub(crate) struct Turnstile(Arc<Inner>);

struct Inner {
    file: File,
    path: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// A thread of this process has it, or is about to.
    is_taken: bool,
    /// That thread waits for another process.
    is_wanted: bool,
    /// The waiting thread of this process is at work.
    is_waiting: bool,
    /// It has got the lock for the thread that wants it.
    is_got: bool,
    error: Option<io::ErrorKind>,
}

/// The lock was not got in time. The process that has it, if that could be told.
#[derive(Debug)]
pub(crate) enum Late {
    Busy(Option<u32>),
    Io(io::Error),
}

/// While it lives, its thread has its turn.
pub(crate) struct Turn(Turnstile);

impl Turnstile {
    /// The lock of this file, which is made if it is not there.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let file = private_file().create(true).truncate(false).open(&path).map_err(at(&path))?;
        Ok(Self(Arc::new(Inner { file, path, state: Mutex::default(), changed: Condvar::new() })))
    }

    /// Waits for the turn, for so long at most.
    pub(crate) fn take(&self, at_most: Duration) -> Result<Turn, Late> {
        let end = Instant::now() + at_most;
        let mut state = self.lock();
        while state.is_taken {
            state = self.wait_until(state, end).ok_or(Late::Busy(None))?;
        }
        state.is_taken = true;
        drop(state);
        match self.try_lock() {
            Ok(true) => return Ok(Turn(self.clone())),
            Ok(false) => {}
            Err(error) => return Err(self.give_up(Late::Io(error))),
        }

        // Another thread waits in the kernel, so that this one can give up.
        let mut state = self.lock();
        (state.is_wanted, state.is_got, state.error) = (true, false, None);
        if !state.is_waiting {
            state.is_waiting = true;
            let me = self.clone();
            if let Err(error) =
                thread::Builder::new().name("oubliette-turn".into()).spawn(move || me.wait())
            {
                (state.is_waiting, state.is_wanted) = (false, false);
                drop(state);
                return Err(self.give_up(Late::Io(error)));
            }
        }
        loop {
            if state.is_got {
                state.is_wanted = false;
                return Ok(Turn(self.clone()));
            }
            if let Some(kind) = state.error.take() {
                state.is_wanted = false;
                drop(state);
                return Err(self.give_up(Late::Io(kind.into())));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // Should the waiting thread get it after all, it lets it go.
                state.is_wanted = false;
                drop(state);
                let holder = self.holder();
                return Err(self.give_up(Late::Busy(holder)));
            }
            state =
                self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What the waiting thread does: it gets the lock once, for whoever wants it then.
    fn wait(&self) {
        let got = loop {
            match fcntl_lock(&self.0.file, FlockOperation::LockExclusive) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::DEADLK) => std::thread::sleep(AGAIN),
                got => break got,
            }
        };
        let mut state = self.lock();
        match got {
            Ok(()) if state.is_wanted => state.is_got = true,
            // Who has its turn by now, or is about to, has it by this lock too, and lets it go.
            Ok(()) if state.is_taken => {}
            Ok(()) => self.unlock(),
            Err(error) => state.error = Some(io::Error::from(error).kind()),
        }
        state.is_waiting = false;
        self.0.changed.notify_all();
    }

    /// (Unlocking a file that is open does not fail; should it, the process's end unlocks it.)
    fn unlock(&self) {
        let _ = fcntl_lock(&self.0.file, FlockOperation::Unlock);
    }

    fn try_lock(&self) -> io::Result<bool> {
        loop {
            match fcntl_lock(&self.0.file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => return Ok(false),
                Err(error) => return Err(at(&self.0.path)(error.into())),
            }
        }
    }

    /// The process that has it, as it is seen from here.
    fn holder(&self) -> Option<u32> {
        holder(&self.0.file)
    }

    fn give_up(&self, late: Late) -> Late {
        self.end_turn();
        late
    }

    /// Both in one step: between them, the waiting thread could get the lock, and take it for that
    /// of a thread that has its turn.
    fn end_turn(&self) {
        let mut state = self.lock();
        self.unlock();
        state.is_taken = false;
        drop(state);
        self.0.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    fn wait_until<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        end: Instant,
    ) -> Option<MutexGuard<'a, State>> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        Some(self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl Turn {
    /// A byte that an earlier holder has left at this place; 0 at first.
    pub(crate) fn left(&self, place: u64) -> io::Result<u8> {
        let mut byte = [0];
        let read = self.0.0.file.read_at(&mut byte, place).map_err(at(&self.0.0.path))?;
        Ok(if read == 0 { 0 } else { byte[0] })
    }

    /// Leaves a byte for the next holder: who dies leaves it too, unless the machine dies as well.
    pub(crate) fn leave(&self, place: u64, byte: u8) -> io::Result<()> {
        self.0.leave(place, byte)
    }
}

impl Turnstile {
    /// As [`Turn::leave`], by one that does not have its turn.
    pub(crate) fn leave(&self, place: u64, byte: u8) -> io::Result<()> {
        self.0.file.write_all_at(&[byte], place).map_err(at(&self.0.path))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.end_turn();
    }
}

/// A lock that processes hold for their lives.
pub(crate) struct Presence {
    file: File,
    path: PathBuf,
}

impl Presence {
    /// The lock of this file, which is made if it is not there. Nothing is locked yet.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let file = private_file().create(true).truncate(false).open(&path).map_err(at(&path))?;
        Ok(Self { file, path })
    }

    /// Whether nobody else is there: then nobody comes until this is [shared](Self::share).
    pub(crate) fn try_alone(&self) -> io::Result<bool> {
        match fcntl_lock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Ok(false),
            Err(error) => Err(at(&self.path)(error.into())),
        }
    }

    /// Is there, beside others; waits for one that is alone.
    pub(crate) fn share(&self) -> io::Result<()> {
        loop {
            match fcntl_lock(&self.file, FlockOperation::LockShared) {
                Err(rustix::io::Errno::INTR) => {}
                got => return got.map_err(|error| at(&self.path)(error.into())),
            }
        }
    }

    /// Is no longer there.
    pub(crate) fn leave(&self) {
        // (Unlocking a file that is open does not fail.)
        let _ = fcntl_lock(&self.file, FlockOperation::Unlock);
    }
}

fn holder(file: &File) -> Option<u32> {
    let whole = Flock::from(FlockType::WriteLock);
    let held = fcntl_getlk(file, &whole).ok().flatten()?;
    held.pid.map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
}

/// What a file is, under whichever name: its device and its number there. (By a look at its name:
/// to open and close it would drop the locks that this process has on it.)
pub(crate) fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::metadata(path).map_err(at(path))?;
    Ok((found.dev(), found.ino()))
}
