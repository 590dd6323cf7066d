//! The key-value store below: it holds only sealed rows, decides nothing, and is disposable.
//!
//! The trait asks for little, so that a remote store with one row set per account can implement it
//! too: point loads, one atomic commit per account with a guard on the account's header, and
//! bounded scans.

#[cfg(all(test, feature = "test-util"))]
mod conformance;
#[cfg(feature = "test-util")]
mod memory;
mod sled;

#[cfg(feature = "test-util")]
pub(crate) use memory::{MemoryEngine, MemoryRows};
#[cfg(test)]
pub(crate) use sled::SledEngine;
pub(crate) use sled::{SledFolder, Tuning, open_error};

use std::io;
use std::path::Path;

use crate::model::tag::AccountTag;

/// What an `Ok` of a write survives.
///
/// ```
/// use oubliette::Durability;
/// assert!(Durability::PowerLoss > Durability::ProcessCrash);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// The death of this process: the operating system has the data. Lost at worst, never half
    /// there, if the machine dies.
    ProcessCrash,
    /// The death of the machine: the disk said that it has the data.
    PowerLoss,
}

/// Why an engine did not do its work. The store then refuses rather than guesses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// There is no space. Whether the write happened is unknown, as with every error of a write.
    #[error("no space left")]
    Full,
    /// Anything else.
    #[error("the engine failed")]
    Io(#[source] io::Error),
    /// The engine's code panicked.
    #[error("the engine panicked")]
    Panicked,
}

/// What was found about an engine's files when it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Whether a file was damaged that says nothing which is not elsewhere too.
    pub(crate) snapshot_was_damaged: bool,
}

/// Whether an engine was given up: something of it is still at work in this process, and may write
/// to its files until that ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct GivenUp(pub(crate) std::sync::Arc<std::sync::atomic::AtomicBool>);

impl GivenUp {
    pub(crate) fn is_so(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::Acquire)
    }
}

/// A row's key and value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// Changes of one account's rows (and its index rows) that count together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The row that must have this value for the batch to be applied; `None` asks that there is no
    /// such row.
    pub(crate) guard: Option<(Vec<u8>, Option<Vec<u8>>)>,
    /// Rows to put (`Some`) or delete (`None`); for one key the last counts.
    pub(crate) changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.changes.push((key, Some(value)));
    }

    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.changes.push((key, None));
    }
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Commit {
    /// All of the batch was applied.
    Done,
    /// The guard did not hold: the row is not what the caller read. Nothing was applied.
    Conflict,
}

/// What an engine can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The longest value, in bytes. What is longer is cut into several rows above.
    pub(crate) value_bytes: usize,
}

/// A place for sealed rows, ordered by key. `conformance.rs` tests what is said here with every
/// engine.
///
/// After any error of a write, or of a sync, what is there is unknown: the store stops using the
/// engine, and opens it anew.
pub(crate) trait Engine: Send + Sync + std::fmt::Debug {
    /// One row.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// Up to `limit` rows whose keys begin with `prefix` and are above `after`, in order. Changes
    /// meanwhile may be seen or not, also in part: a caller that needs it exact holds the account's
    /// lock.
    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, EngineError>;

    /// Applies all of the batch, or nothing if its guard does not hold. Readers see the change at
    /// once, each row by itself; after a crash all of it is there or nothing, and nothing of a
    /// later batch without the ones before. All rows belong to `account`, whose lock the caller
    /// holds; or, of a batch without a guard, to several accounts whose locks are held for it. An
    /// empty batch does nothing.
    fn commit(&self, account: &AccountTag, batch: Batch) -> Result<Commit, EngineError>;

    /// Deletes rows that no reader can get any more, in the order given, in pieces of any size that
    /// suits the engine: a crash may leave some of them, from the end. Readers of other rows are
    /// held up as little as the engine can.
    fn discard(&self, keys: Vec<Vec<u8>>) -> Result<(), EngineError>;

    /// Returns when all that was committed before the call survives what `durability` says. Many
    /// threads may call it at a time.
    fn sync(&self, durability: Durability) -> Result<(), EngineError>;

    /// Whether a read that began now could be held up by something longer than another row's write.
    #[cfg_attr(not(feature = "tokio"), expect(dead_code, reason = "only async callers ask"))]
    fn is_busy(&self) -> bool {
        false
    }

    /// What was found about its files when it was opened.
    fn found(&self) -> Found {
        Found::default()
    }

    /// Whether it was given up, now or when it is dropped.
    fn given_up(&self) -> GivenUp {
        GivenUp::default()
    }

    /// Bytes on disk.
    fn size(&self) -> Result<u64, EngineError>;

    /// What it can hold.
    fn limits(&self) -> Limits;
}

/// Where a store's engines are, each under a name: the one in use, and for a while the one that its
/// rows are moved to.
pub(crate) trait Engines: Send + Sync {
    /// Opens the engine of this name, or makes it.
    ///
    /// # Errors
    /// `Damaged` if what is there cannot be opened however often it is tried; `Io` or `Full` if the
    /// system refuses: then nothing is lost.
    fn open(&self, name: &str) -> crate::model::error::Result<Box<dyn Engine>>;

    /// Removes an engine that is not the store's any more, or never became it; does nothing if
    /// there is none. No process has it open.
    fn remove(&self, name: &str) -> crate::model::error::Result<()>;

    /// Copies a closed engine from elsewhere, durably.
    fn import(&self, from: &Path, name: &str) -> crate::model::error::Result<()>;

    /// Makes an engine in another folder, for a backup: it is written once, and not read meanwhile.
    fn export(&self, folder: &Path, name: &str) -> crate::model::error::Result<Box<dyn Engine>>;

    /// About how much memory a second engine takes beside one of this size.
    fn memory_of_another(&self, engine_bytes: u64) -> u64;
}
