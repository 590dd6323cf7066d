//! Flushes, on a thread of their own, so that one which never returns can be given up.
//!
//! A write of sled's that fails in the background can leave a flush waiting for ever; so can a disk
//! that does not answer. A thread that waits for a flush waits for a limited time: after it the
//! flushing thread, and the database that it is in, are left behind. They are never dropped, for
//! that would flush again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::engine::{Durability, EngineError};

/// How often this looks whether a thread waits for a write that has failed.
const TICK: Duration = Duration::from_millis(200);

/// What is flushed.
pub(super) trait Flush: Send + Sync + 'static {
    /// Returns when all that was written before is as durable as that, or never.
    fn flush(&self, durability: Durability) -> Result<(), EngineError>;

    /// Wakes the threads that wait in vain, if there are any. It returns at once.
    fn nudge(&self);

    /// No thread waits for the flush at work any more.
    fn given_up(&self);

    /// The flush that was given up has returned.
    fn returned(&self);
}

/// The thread that flushes one database.
pub(super) struct Flusher {
    shared: Arc<Shared>,
    pub(super) thread: Option<JoinHandle<()>>,
    timeout: Duration,
    given_up: Arc<AtomicBool>,
    /// The thread's share of what it flushes: not one that would keep it.
    work: Weak<dyn Flush>,
}

struct Shared {
    state: Mutex<State>,
    asked: Condvar,
    done: Condvar,
}

enum State {
    Idle,
    Asked(Durability),
    AtWork,
    Done(Result<(), EngineError>),
    /// The thread is to end, and to let go of the database before.
    Ending,
    Ended,
    /// No thread waits any more.
    GivenUp,
}

impl Flusher {
    /// Begins the thread. `given_up` is set if it is ever given up.
    ///
    /// # Errors
    /// If the system allows no thread.
    pub(super) fn start(
        work: Arc<impl Flush>,
        timeout: Duration,
        given_up: Arc<AtomicBool>,
    ) -> Result<Self, EngineError> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::Idle),
            asked: Condvar::new(),
            done: Condvar::new(),
        });
        let there = shared.clone();
        let share = Arc::downgrade(&work);
        let thread = Builder::new()
            .name("oubliette-flush".into())
            .spawn(move || there.run(work))
            .map_err(EngineError::Io)?;
        Ok(Self { shared, thread: Some(thread), timeout, given_up, work: share })
    }

    /// Flushes `work`, the same as the thread's. One flush at a time.
    ///
    /// # Errors
    /// Those of the flush; `Io` (`TimedOut`) if it does not return in time, and from then on.
    pub(super) fn flush(
        &self,
        work: &impl Flush,
        durability: Durability,
    ) -> Result<(), EngineError> {
        let mut state = self.shared.state();
        if !matches!(*state, State::Idle) {
            return Err(timed_out());
        }
        *state = State::Asked(durability);
        self.shared.asked.notify_one();
        let end = Instant::now().checked_add(self.timeout);
        loop {
            match std::mem::replace(&mut *state, State::Idle) {
                State::Done(result) => return result,
                other => *state = other,
            }
            let left = end.map_or(TICK, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                *state = State::GivenUp;
                drop(state);
                self.give_up();
                return Err(timed_out());
            }
            let (again, waited) = self
                .shared
                .done
                .wait_timeout(state, left.min(TICK))
                .unwrap_or_else(PoisonError::into_inner);
            state = again;
            if waited.timed_out() {
                work.nudge();
            }
        }
    }

    /// No thread waits for the flush any more; but should the write that it hangs on have failed,
    /// the other threads that wait for that are to be woken.
    fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
        let Some(work) = self.work.upgrade() else { return };
        work.given_up();
        let shared = self.shared.clone();
        // (Where the system allows no more threads, none is woken.)
        let _ = Builder::new().name("oubliette-wake".into()).spawn(move || shared.wake(&*work));
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }
}

impl Drop for Flusher {
    /// Makes the thread let go of the database, which may flush it a last time.
    fn drop(&mut self) {
        if self.is_given_up() {
            return;
        }
        let mut state = self.shared.state();
        *state = State::Ending;
        self.shared.asked.notify_one();
        let is_ending = |state: &mut State| matches!(state, State::Ending);
        let waited = self.shared.done.wait_timeout_while(state, self.timeout, is_ending);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            *state = State::GivenUp;
            self.given_up.store(true, Ordering::Release);
            return;
        }
        drop(state);
        // It has ended but for its last line.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, work: Arc<impl Flush>) {
        let mut state = self.state();
        loop {
            match *state {
                State::Asked(durability) => {
                    *state = State::AtWork;
                    drop(state);
                    let result = work.flush(durability);
                    state = self.state();
                    if matches!(*state, State::GivenUp) {
                        return self.returned(state, work);
                    }
                    *state = State::Done(result);
                    self.done.notify_one();
                }
                // (Given up before it began.)
                State::GivenUp => return self.returned(state, work),
                State::Ending => {
                    drop(state);
                    drop(work);
                    *self.state() = State::Ended;
                    self.done.notify_one();
                    return;
                }
                _ => {
                    let (again, waited) = self
                        .asked
                        .wait_timeout(state, 5 * TICK)
                        .unwrap_or_else(PoisonError::into_inner);
                    state = again;
                    if waited.timed_out() {
                        // A reader can wait in vain too.
                        work.nudge();
                    }
                }
            }
        }
    }
}

impl Shared {
    /// The flush that was given up has returned. No thread relies on the database any more, and its
    /// destructor would flush what no thread waits for.
    fn returned(&self, mut state: MutexGuard<'_, State>, work: Arc<impl Flush>) {
        *state = State::Ended;
        drop(state);
        self.done.notify_all();
        work.returned();
        std::mem::forget(work);
    }

    /// Wakes the threads that wait in vain, until the flush that was given up has returned.
    fn wake(&self, work: &dyn Flush) {
        let mut state = self.state();
        while matches!(*state, State::GivenUp) {
            drop(state);
            work.nudge();
            state = self
                .done
                .wait_timeout(self.state(), TICK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

fn timed_out() -> EngineError {
    EngineError::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "the disk did not answer in time",
    ))
}
