//! The ledger: our own append-only file of sign-outs, the one source of truth about which sign-ins
//! have ended.
//!
//! A fence stands in memory first, so that no reader can miss it; then its record is appended and
//! synced, together with those of other calls that wait (group commit); then the call returns. Only
//! the thread that leads a group touches the file.
//!
//! It knows scopes by their tags alone, and neither engine nor tokens.

mod ahead;
mod append;
mod check;
mod compact;
mod format;
mod fresh;
#[cfg(all(fuzzing, feature = "test-util"))]
pub(crate) mod fuzzing;
mod grow;
mod keep;
mod look;
#[cfg(all(unix, feature = "sqlite"))]
pub(crate) mod many;
mod open;
mod recover;
mod stats;
#[cfg(all(test, feature = "test-util"))]
mod tests;

pub(crate) use append::MAX_CALL;
pub(crate) use grow::Growth;
pub(crate) use look::Seen;
pub(crate) use open::Found;
pub(crate) use stats::LedgerStats;

use std::io;

use crate::model::error::{Component, Error, Result};
use crate::model::position::{Opening, Position};
use crate::model::time::Millis;
use crate::observe;
use crate::platform::disk::{Disk, DiskFile};
use crate::platform::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::platform::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard,
};
use crate::rule::Fences;
use format::{HEADER_BYTES, Header, LedgerKey, Record, SLOT_BYTES, Seal, What};

pub(crate) struct Ledger {
    disk: Box<dyn Disk>,
    growth: Growth,
    /// A thread that writes or reads a whole file of the ledger holds this. Sign-outs do not.
    tending: Mutex<()>,
    /// Lock order: `tending`, (the store's gate, in a thread that waits for that,) `state`, then
    /// `fences`.
    state: Mutex<State>,
    changed: Condvar,
    synced: AtomicU64,
    /// Mirrors `State::failed`, for readers.
    failed: AtomicBool,
    fences: RwLock<Fences>,
    opening: Opening,
}

struct State {
    file: Arc<dyn DiskFile>,
    name: String,
    key: Arc<LedgerKey>,
    header: Header,
    slots: u64,
    /// The highest position given out.
    end: Position,
    /// The records that stand as fences and wait for a group, in order of position.
    pending: Vec<Pending>,
    /// Whether a thread is writing: a group, a chunk, or a new file.
    busy: bool,
    failed: Option<io::ErrorKind>,
    groups: u64,
    /// Where this opening is recorded: before anything else that this process appends.
    begun: Option<Position>,
    /// While a new file is being written beside: what has been written to this one.
    copied: Option<Vec<Record>>,
}

/// A record that waits for its group.
struct Pending {
    in_call: u16,
    call_size: u16,
    position: Position,
    time: Millis,
    what: What,
}

impl Ledger {
    /// The highest synced position: the as-of of a sign-in made now.
    pub(crate) fn synced(&self) -> Position {
        Position::new(self.synced.load(Ordering::Acquire))
    }

    /// The fences that stand, synced or not: what the rule looks at.
    pub(crate) fn fences(&self) -> RwLockReadGuard<'_, Fences> {
        self.fences.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The opening that sign-ins made now belong to.
    pub(crate) fn opening(&self) -> Opening {
        self.opening
    }

    /// Refuses all further work, after a failure elsewhere that leaves open which ledger counts:
    /// nothing but reopening finds out.
    pub(crate) fn give_up(&self) {
        let mut state = self.lock();
        self.fail(&mut state, io::ErrorKind::Other);
        self.changed.notify_all();
    }

    /// Whether an earlier write or sync failed.
    pub(crate) fn is_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Keeps compaction from beginning, once the one that is at work is done. A thread that is
    /// going to be alone in the store takes this before: it waits here for the compaction, and not
    /// there, where all other threads would wait too.
    pub(crate) fn tend(&self) -> MutexGuard<'_, ()> {
        self.tending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, while no thread writes to the file.
    fn lock_idle(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        while state.failed.is_none() && state.busy {
            state = self.wait_changed(state);
        }
        if state.failed.is_some() { Err(Error::Poisoned(Component::Ledger)) } else { Ok(state) }
    }

    /// Waits until another thread has changed the state.
    fn wait_changed<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses all further work: it is unknown what is in the file.
    fn fail(&self, state: &mut State, kind: io::ErrorKind) {
        state.failed = Some(kind);
        if !self.failed.swap(true, Ordering::AcqRel) {
            observe::poisoned(Component::Ledger);
        }
    }
}

impl State {
    /// How many slots are in use, once all that is pending is written.
    fn used(&self) -> u64 {
        u64::from(self.header.kept) + self.end.next().since(self.header.tail)
    }

    /// How many slots can still be given out: the last one of the file stays filler.
    fn free(&self) -> u64 {
        self.slots.saturating_sub(self.used() + 1)
    }
}

fn seal_of<'a>(key: &'a LedgerKey, header: &Header) -> Seal<'a> {
    Seal { key, ledger_id: header.ledger_id, serial: header.serial }
}

/// Where a slot lies in the file.
fn offset(slot: u64) -> u64 {
    HEADER_BYTES as u64 + slot * SLOT_BYTES as u64
}
