//! Locks among the processes of one machine, which the kernel frees when their holder dies.
//!
//! They are record locks (`fcntl`): they wait in the kernel, in order, and are not inherited by a
//! forked child. Two of their ways shape this file. They belong to the process, so its threads need
//! a lock of their own before them. And *any* close of the file by the process drops them, so a
//! file is open once in a process, however often it is [opened](LockFile::open) here, and nobody
//! else may open it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex as StdMutex;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::disk::private_file;
use super::path::at;
use super::stat;
use crate::platform::sync::{Condvar, Mutex, MutexGuard, PoisonError, lock, thread};

/// The kernel says that waiting would be a deadlock when two processes wait for each other, even if
/// different threads do so. Then the lock is tried again after this time.
const AGAIN: Duration = Duration::from_micros(200);

/// Most turns are over in so many tries: that is cheaper than a thread that waits.
const SHORT_TRIES: usize = 4;
const SHORT: Duration = Duration::from_micros(40);

/// The lock files that this process has open. (A forked child has a copy, and none of the locks.)
static OPEN: StdMutex<Vec<Open>> = StdMutex::new(Vec::new());

struct Open {
    pid: u32,
    identity: (u64, u64),
    file: Weak<LockFile>,
}

/// A lock file, and what the threads of this process do with it.
struct LockFile {
    /// `None` once it is being closed.
    file: Option<File>,
    path: PathBuf,
    identity: (u64, u64),
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// A thread of this process has its turn, or is about to.
    is_taken: bool,
    /// That thread waits for another process.
    is_wanted: bool,
    /// The waiting thread of this process is at work.
    is_waiting: bool,
    /// It has got the lock for the thread that wants it.
    is_got: bool,
    error: Option<io::ErrorKind>,
    /// How many of this process are there, and whether one is alone.
    present: usize,
    is_alone: bool,
}

impl LockFile {
    /// The lock file of this name, which is made if it is not there.
    fn open(path: &Path) -> io::Result<Arc<Self>> {
        loop {
            let mut all = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
            // (If it is there, it is looked at by its name: to open and close it would drop locks.)
            match private_file().create_new(true).open(path) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(at(path)(error)),
            }
            let (pid, identity) = (std::process::id(), identity(path)?);
            let known = all.iter().find(|one| one.pid == pid && one.identity == identity);
            match known.map(|one| one.file.upgrade()) {
                Some(Some(open)) => return Ok(open),
                // It is being closed at this moment.
                Some(None) => {
                    drop(all);
                    std::thread::yield_now();
                }
                None => {
                    let file = Arc::new(Self {
                        file: Some(private_file().open(path).map_err(at(path))?),
                        path: path.to_owned(),
                        identity,
                        state: Mutex::default(),
                        changed: Condvar::new(),
                    });
                    all.push(Open { pid, identity, file: Arc::downgrade(&file) });
                    return Ok(file);
                }
            }
        }
    }

    fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Locks or unlocks among processes. `false` if another one is in the way.
    fn operate(&self, operation: FlockOperation) -> io::Result<bool> {
        loop {
            match fcntl_lock(self.file()?, operation) {
                Ok(()) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::DEADLK) => std::thread::sleep(AGAIN),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => return Ok(false),
                Err(error) => return Err(at(&self.path)(error.into())),
            }
        }
    }

    /// (Unlocking a file that is open does not fail; should it, the process's end unlocks it.)
    fn unlock(&self) {
        let _ = self.operate(FlockOperation::Unlock);
    }

    /// The process that has the lock, as it is seen from here.
    fn holder(&self) -> Option<u32> {
        let held = fcntl_getlk(self.file().ok()?, &Flock::from(FlockType::WriteLock)).ok()??;
        held.pid.map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Closed under the lock: who opens the file next finds it closed, and gets locks that this
        // does not drop.
        let mut all = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let (pid, identity) = (std::process::id(), self.identity);
        all.retain(|one| one.pid != pid || one.identity != identity);
        drop(self.file.take());
        drop(all);
    }
}

/// A lock that one thread of one process holds at a time; and bytes in its file, which those who
/// hold it leave for the next.
#[derive(Clone)]
pub(crate) struct Turnstile(Arc<LockFile>);

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
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        LockFile::open(path).map(Self)
    }

    /// Waits for the turn, for so long at most.
    pub(crate) fn take(&self, at_most: Duration) -> Result<Turn, Late> {
        let end = Instant::now().checked_add(at_most);
        let mut state = self.0.lock();
        while state.is_taken {
            state = self.wait_until(state, end).ok_or(Late::Busy(None))?;
        }
        state.is_taken = true;
        drop(state);
        for number in 0..=SHORT_TRIES {
            match self.0.operate(FlockOperation::NonBlockingLockExclusive) {
                Ok(true) => return Ok(Turn(self.clone())),
                Ok(false) if number < SHORT_TRIES => std::thread::sleep(SHORT),
                Ok(false) => {}
                Err(error) => return Err(self.give_up(Late::Io(error))),
            }
        }
        self.take_late(end)
    }

    /// The turn, if nobody has it now.
    pub(crate) fn try_take(&self) -> io::Result<Option<Turn>> {
        let mut state = self.0.lock();
        if std::mem::replace(&mut state.is_taken, true) {
            return Ok(None);
        }
        drop(state);
        match self.0.operate(FlockOperation::NonBlockingLockExclusive) {
            Ok(true) => Ok(Some(Turn(self.clone()))),
            Ok(false) => {
                self.end_turn();
                Ok(None)
            }
            Err(error) => {
                self.end_turn();
                Err(error)
            }
        }
    }

    /// Another thread waits in the kernel, so that this one can give up.
    fn take_late(&self, end: Option<Instant>) -> Result<Turn, Late> {
        let mut state = self.0.lock();
        (state.is_wanted, state.is_got, state.error) = (true, false, None);
        if !state.is_waiting {
            let me = self.clone();
            let thread = thread::Builder::new().name("oubliette-turn".into());
            match thread.spawn(move || me.wait()) {
                Ok(_) => state.is_waiting = true,
                Err(error) => {
                    state.is_wanted = false;
                    drop(state);
                    return Err(self.give_up(Late::Io(error)));
                }
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
            match self.wait_until(state, end) {
                Some(waited) => state = waited,
                None => {
                    // Should the waiting thread get it after all, it lets it go.
                    let mut state = self.0.lock();
                    if state.is_got {
                        state.is_wanted = false;
                        return Ok(Turn(self.clone()));
                    }
                    state.is_wanted = false;
                    drop(state);
                    let holder = self.0.holder();
                    return Err(self.give_up(Late::Busy(holder)));
                }
            }
        }
    }

    /// What the waiting thread does: it gets the lock once, for whoever wants it then.
    fn wait(&self) {
        loop {
            let got = self.0.operate(FlockOperation::LockExclusive);
            let state = self.0.lock();
            if self.hand_over(got, state) {
                return;
            }
        }
    }

    /// What the waiting thread has got goes to whoever wants it. `false`: it is gone again.
    fn hand_over(&self, got: io::Result<bool>, mut state: MutexGuard<'_, State>) -> bool {
        match got {
            // Before this could look, another thread may have had its turn by this very lock, and
            // let it go. While it is wanted, nobody does.
            Ok(_) if state.is_wanted => {
                match self.0.operate(FlockOperation::NonBlockingLockExclusive) {
                    Ok(true) => state.is_got = true,
                    Ok(false) => return false,
                    Err(error) => state.error = Some(error.kind()),
                }
            }
            // Who has its turn by now, or is about to, has it by this lock too, and lets it go.
            Ok(_) if state.is_taken => {}
            Ok(_) => self.0.unlock(),
            Err(error) => state.error = Some(error.kind()),
        }
        state.is_waiting = false;
        drop(state);
        self.0.changed.notify_all();
        true
    }

    fn give_up(&self, late: Late) -> Late {
        self.end_turn();
        late
    }

    /// Both in one step: between them, the waiting thread could get the lock, and take it for that
    /// of a thread that has its turn.
    fn end_turn(&self) {
        let mut state = self.0.lock();
        self.0.unlock();
        state.is_taken = false;
        drop(state);
        self.0.changed.notify_all();
    }

    /// Waits for a change; `None` if the time is over.
    fn wait_until<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        end: Option<Instant>,
    ) -> Option<MutexGuard<'a, State>> {
        // (No end, if the clock cannot hold it.)
        let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return None;
        }
        let waited = self.0.changed.wait_timeout(state, left);
        Some(waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// As [`Turn::left`], where nobody has a turn.
    pub(crate) fn left(&self, place: u64) -> io::Result<u8> {
        let mut byte = [0];
        self.0.file()?.read_at(&mut byte, place).map_err(at(&self.0.path))?;
        let [byte] = byte;
        Ok(byte)
    }

    /// As [`Turn::leave`], by one that does not have its turn.
    pub(crate) fn leave(&self, place: u64, byte: u8) -> io::Result<()> {
        self.0.file()?.write_all_at(&[byte], place).map_err(at(&self.0.path))
    }
}

impl Turn {
    /// Whether the lock's file still has a name: who looks for it by that would make another, and
    /// have its turn at the same time.
    pub(crate) fn is_of_all(&self) -> io::Result<bool> {
        let file = &self.0.0;
        Ok(stat::of_file(file.file()?).map_err(at(&file.path))?.names > 0)
    }

    /// A byte that an earlier holder has left at this place; 0 at first.
    pub(crate) fn left(&self, place: u64) -> io::Result<u8> {
        self.left_all(place).map(|[byte]| byte)
    }

    /// Likewise several.
    pub(crate) fn left_all<const N: usize>(&self, place: u64) -> io::Result<[u8; N]> {
        let (mut bytes, file) = ([0; N], &self.0.0);
        file.file()?.read_at(&mut bytes, place).map_err(at(&file.path))?;
        Ok(bytes)
    }

    /// Leaves several bytes for the next holder.
    pub(crate) fn leave_all(&self, place: u64, bytes: &[u8]) -> io::Result<()> {
        let file = &self.0.0;
        file.file()?.write_all_at(bytes, place).map_err(at(&file.path))
    }

    /// Leaves a byte for the next holder: who dies leaves it too, unless the machine dies as well.
    pub(crate) fn leave(&self, place: u64, byte: u8) -> io::Result<()> {
        self.0.leave(place, byte)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.end_turn();
    }
}

/// A lock that processes hold for their lives, together, or one of them alone.
pub(crate) struct Presence {
    file: Arc<LockFile>,
    mine: Mutex<Mine>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mine {
    Nothing,
    Shared,
    Alone,
}

impl Presence {
    /// The lock of this file, which is made if it is not there. Nothing is locked yet.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: LockFile::open(path)?, mine: Mutex::new(Mine::Nothing) })
    }

    /// Whether nobody else is there: then nobody comes until this [shares](Self::share) it, or
    /// [leaves](Self::leave).
    pub(crate) fn try_alone(&self) -> io::Result<bool> {
        let (mut mine, mut state) = (lock(&self.mine), self.file.lock());
        if state.is_alone || state.present > 0 {
            return Ok(false);
        }
        let is_alone = self.file.operate(FlockOperation::NonBlockingLockExclusive)?;
        if is_alone {
            (*mine, state.is_alone) = (Mine::Alone, true);
        }
        Ok(is_alone)
    }

    /// Is there, beside others, unless somebody else is alone there.
    pub(crate) fn try_share(&self) -> io::Result<bool> {
        let (mut mine, mut state) = (lock(&self.mine), self.file.lock());
        if state.is_alone && *mine != Mine::Alone
            || !self.file.operate(FlockOperation::NonBlockingLockShared)?
        {
            return Ok(false);
        }
        if *mine == Mine::Alone {
            state.is_alone = false;
        }
        if *mine != Mine::Shared {
            state.present += 1;
        }
        *mine = Mine::Shared;
        Ok(true)
    }

    /// Whether anybody else is there, in this process or another.
    pub(crate) fn has_others(&self) -> bool {
        self.file.lock().present > 1 || self.file.holder().is_some()
    }

    /// Is no longer there.
    pub(crate) fn leave(&self) {
        let (mut mine, mut state) = (lock(&self.mine), self.file.lock());
        match std::mem::replace(&mut *mine, Mine::Nothing) {
            Mine::Nothing => return,
            Mine::Shared => state.present = state.present.saturating_sub(1),
            Mine::Alone => state.is_alone = false,
        }
        if state.present == 0 {
            self.file.unlock();
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.leave();
    }
}

/// What a file is, under whichever name: its device and its number there.
pub(crate) fn identity(path: &Path) -> io::Result<(u64, u64)> {
    Ok(stat::of_path(path).map_err(at(path))?.identity)
}
