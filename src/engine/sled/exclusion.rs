//! Keeps batches and flushes apart, of all databases of the process.
//!
//! sled has one lock of the whole process, which a batch takes alone and a flush shares while it
//! writes to the disk; readers queue behind a batch that waits for a flush. So the two are kept
//! apart before they come to sled's lock, and no reader waits for the disk. A flush that never
//! returns must not hold up all other threads: once it is given up, batches are refused at once
//! until it does return.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A lock that a batch holds alone and flushes share.
pub(super) struct Exclusion {
    state: Mutex<State>,
    changed: Condvar,
}

/// The one of this process.
pub(super) static DISK: Exclusion = Exclusion::new();

#[derive(Default)]
struct State {
    flushes: usize,
    is_alone: bool,
    /// Batches that wait. They come first, except for the flushes that waited when the last one
    /// ended.
    waiting: usize,
    /// Flushes that wait.
    flushes_waiting: usize,
    /// How many of them go before the next batch.
    let_through: usize,
    /// Flushes that were given up, and have not returned.
    given_up: usize,
}

impl State {
    /// Whether a batch can begin.
    fn is_free(&self) -> bool {
        !self.is_alone && self.flushes == 0 && self.let_through == 0
    }
}

impl Exclusion {
    pub(super) const fn new() -> Self {
        let state = State {
            flushes: 0,
            is_alone: false,
            waiting: 0,
            flushes_waiting: 0,
            let_through: 0,
            given_up: 0,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a flush, when no batch is at work.
    pub(super) fn share(&self) -> Shared<'_> {
        let mut state = self.state();
        state.flushes_waiting += 1;
        let wait =
            |state: &mut State| state.is_alone || state.waiting > 0 && state.let_through == 0;
        let mut state =
            self.changed.wait_while(state, wait).unwrap_or_else(PoisonError::into_inner);
        state.flushes_waiting -= 1;
        state.let_through = state.let_through.saturating_sub(1);
        state.flushes += 1;
        Shared(self)
    }

    /// Begins a batch, when no flush and no other batch is at work; `None` if that does not come
    /// within `timeout`, or cannot come.
    pub(super) fn alone(&self, timeout: Duration) -> Option<Alone<'_>> {
        let end = Instant::now().checked_add(timeout);
        let mut state = self.state();
        state.waiting += 1;
        while state.given_up == 0 && !state.is_free() {
            let left = end.map_or(timeout, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            state =
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.waiting -= 1;
        let is_mine = state.given_up == 0 && state.is_free();
        state.is_alone |= is_mine;
        drop(state);
        if !is_mine {
            // Flushes that waited behind this go on.
            self.changed.notify_all();
            return None;
        }
        Some(Alone(self))
    }

    /// Counts a flush as one that no thread waits for any more, until it has
    /// [returned](Self::returned).
    pub(super) fn give_up(&self) {
        self.state().given_up += 1;
        self.changed.notify_all();
    }

    /// Counts a flush that was given up as returned.
    pub(super) fn returned(&self) {
        self.state().given_up -= 1;
        self.changed.notify_all();
    }
}

/// A flush is at work while this lives.
pub(super) struct Shared<'a>(&'a Exclusion);

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        self.0.state().flushes -= 1;
        self.0.changed.notify_all();
    }
}

/// A batch is at work while this lives.
pub(super) struct Alone<'a>(&'a Exclusion);

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_alone = false;
        state.let_through = state.flushes_waiting;
        drop(state);
        self.0.changed.notify_all();
    }
}
