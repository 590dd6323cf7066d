//! The ledger's file, opened by any number of processes of one machine.
//!
//! The file is the one that a single process writes, by the same rule: a group is written only
//! behind the sync of the one before. Here the groups of all processes take turns: a process reads
//! on to the end, appends its group, syncs, and lets the next one in (`append.rs`). Whoever dies in
//! its turn leaves a byte that says so, and the next one repairs first (`turns.rs`). Readers take no
//! turn: they look at the next slot, and take in a call when it is whole (`tail.rs`). So a sign-out
//! that returned is seen by every look of every process that begins later.
//!
//! A power loss may take records that were seen, as they were not yet synced, and sign-ins that
//! build on them may be durable all the same. So the first process that opens the file after all
//! others have gone records a new opening first (`open.rs`): no as-of of before lies among the
//! positions that are given out from then on.

mod append;
mod compact;
mod open;
mod tail;
#[cfg(all(test, feature = "test-util"))]
mod tests;
mod turns;

pub(crate) use append::Stood;
pub(crate) use open::Among;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Growth;
use super::format::{HEADER_BYTES, Header, LedgerKey, SLOT_BYTES};
use super::look::{Seen, seen};
use super::open::stream;
use crate::model::error::{Component, Error, Result};
use crate::model::position::Position;
use crate::model::random_id::LedgerId;
use crate::model::tag::TaggedScope;
use crate::model::time::Millis;
use crate::observe;
use crate::platform::disk::Disk;
use crate::platform::stat;
use crate::platform::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::platform::sync::{Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, lock};
use crate::platform::turn::{Presence, Turnstile};
use crate::rule::Fences;
use append::Call;
use tail::{Next, Tail};

/// How long a sign-out waits for its turn. Another process's turn takes a sync of the disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// The ledger of a store that many processes have open.
pub(crate) struct Many {
    disk: Box<dyn Disk>,
    folder: PathBuf,
    path: PathBuf,
    name: String,
    key: Arc<LedgerKey>,
    ledger_id: LedgerId,
    growth: Growth,
    turnstile: Turnstile,
    /// A thread that writes a whole file holds both: the first among the threads of this process,
    /// the second among processes.
    tending: Mutex<()>,
    tender: Presence,
    /// Calls that wait for a turn. Lock order: a turn, `tail`, `next`, `fences`; the queue alone.
    queue: Mutex<Queue>,
    changed: Condvar,
    tail: Mutex<Tail>,
    /// The slot behind the known end, for readers.
    next: RwLock<Next>,
    fences: RwLock<Fences>,
    end: AtomicU64,
    /// All up to here is certainly on the disk.
    synced: AtomicU64,
    known_since: AtomicU64,
    groups: AtomicU64,
    failed: AtomicBool,
    /// Whether an opening was recorded since the first process opened the file.
    begun: AtomicBool,
    /// That this process has the ledger open.
    presence: Presence,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<Call>>,
    /// Whether a thread has its turn, or waits for it, for all of them.
    is_led: bool,
}

/// What the ledger says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) fences: usize,
    pub(crate) bytes: u64,
    pub(crate) free_slots: u64,
    pub(crate) groups: u64,
}

impl Many {
    /// The newest position that was seen.
    pub(crate) fn end(&self) -> Position {
        Position::new(self.end.load(Ordering::Acquire))
    }

    /// The fences that were seen.
    pub(crate) fn fences(&self) -> RwLockReadGuard<'_, Fences> {
        self.fences.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A position up to which all is on the disk: a group is written only behind the sync of the one
    /// before.
    pub(crate) fn synced(&self) -> Position {
        Position::new(self.synced.load(Ordering::Acquire))
    }

    /// Whether it is known that an opening was recorded, durably, since the first process opened the
    /// file.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Since when all sign-outs are known.
    pub(crate) fn known_since(&self) -> Millis {
        Millis::new(self.known_since.load(Ordering::Acquire))
    }

    /// Syncs what was seen: another process may not have done so yet.
    ///
    /// # Errors
    /// `Indeterminate`, `Poisoned`.
    pub(crate) fn sync(&self) -> Result<()> {
        self.check()?;
        let (file, end) = (lock(&self.tail).file.clone(), self.end());
        file.sync_data().map_err(|error| {
            self.fail();
            Error::Indeterminate(error)
        })?;
        self.is_synced(end);
        Ok(())
    }

    /// The sign-outs in the file that are wanted, as they are now.
    ///
    /// # Errors
    /// `Damaged` if the file is not as the ledger left it; `Busy`, `Io`, `Poisoned`.
    pub(crate) fn history(&self, wanted: &dyn Fn(&TaggedScope) -> bool) -> Result<Seen> {
        /// How often it is read beside those who write to it.
        const TRIES: usize = 8;
        self.check()?;
        let read = || seen(stream(&*self.disk, &self.name)?, &self.key, self.ledger_id, wanted);
        for _ in 0..TRIES {
            if let Ok(seen) = read() {
                return Ok(seen);
            }
        }
        let _in_turn = self.take_turn()?;
        read()
    }

    pub(crate) fn figures(&self) -> Result<Figures> {
        let tail = lock(&self.tail);
        let bytes = stat::of_file(&tail.file).map_err(Error::io("look at the ledger"))?.len;
        let slots = bytes.saturating_sub(HEADER_BYTES as u64) / SLOT_BYTES as u64;
        let used = tail.place_of(self.end().next());
        Ok(Figures {
            fences: self.fences().len(),
            bytes,
            free_slots: slots.saturating_sub(used + 2),
            groups: self.groups.load(Ordering::Relaxed),
        })
    }

    /// Refuses what needs the ledger behind a failure of it.
    ///
    /// # Errors
    /// `Poisoned`.
    pub(crate) fn check(&self) -> Result<()> {
        if self.failed.load(Ordering::Acquire) {
            return Err(Error::Poisoned(Component::Ledger));
        }
        Ok(())
    }

    fn is_synced(&self, position: Position) {
        self.synced.fetch_max(position.get(), Ordering::AcqRel);
    }

    /// Refuses all further work: it is unknown what is in the file.
    fn fail(&self) {
        if !self.failed.swap(true, Ordering::AcqRel) {
            observe::poisoned(Component::Ledger);
        }
    }
}

impl std::fmt::Debug for Many {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ledger({:?})", self.figures().ok())
    }
}

fn damaged(problem: &'static str) -> Error {
    Error::damaged(Component::Ledger, problem)
}

fn header_of(file: &std::fs::File, key: &LedgerKey, ledger_id: LedgerId) -> Result<Header> {
    use std::os::unix::fs::FileExt;
    let mut head = vec![0; HEADER_BYTES];
    file.read_exact_at(&mut head, 0).map_err(Error::io("read the ledger"))?;
    Header::decode(&head, key, ledger_id)
}
