//! An engine in memory, for models and users' tests. Its rows outlive it, and a crash forgets what
//! was not synced.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::{Batch, Commit, Durability, Engine, EngineError, Limits, Row};
use crate::model::tag::AccountTag;
use crate::platform::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The rows of a memory engine, as the "disk" keeps them. Clones share the rows.
#[derive(Clone, Default)]
pub(crate) struct MemoryRows(Arc<Mutex<Rows>>);

#[derive(Default)]
struct Rows {
    live: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What survives the machine.
    durable: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Batches behind `durable`, oldest first; the first `flushed` of them survive the process.
    unsynced: Vec<Changes>,
    flushed: usize,
    failing: bool,
    /// What was read, and on which thread, for tests that count reads: keys, and the prefixes of
    /// scans that began.
    #[cfg(test)]
    reads: Vec<(Option<String>, Vec<u8>)>,
}

/// Notes a read.
#[cfg(test)]
fn read<'a>(mut state: MutexGuard<'a, Rows>, key: &[u8]) -> MutexGuard<'a, Rows> {
    let thread = std::thread::current().name().map(Into::into);
    state.reads.push((thread, key.into()));
    state
}

impl MemoryRows {
    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All rows, in order.
    pub(crate) fn all(&self) -> Vec<Row> {
        self.lock().live.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Puts these rows in the place of all, as a restored backup would.
    pub(crate) fn replace(&self, rows: impl IntoIterator<Item = Row>) {
        let mut state = self.lock();
        state.live = rows.into_iter().collect();
        state.durable = state.live.clone();
        state.unsynced.clear();
        state.flushed = 0;
    }

    /// Makes every write and sync fail from now on, or work again.
    pub(crate) fn fail(&self, failing: bool) {
        self.lock().failing = failing;
    }

    /// The keys and prefixes that were read since the last call, except by the reclaimer.
    #[cfg(all(test, feature = "logout"))]
    pub(crate) fn take_reads(&self) -> Vec<Vec<u8>> {
        let reads = std::mem::take(&mut self.lock().reads);
        let others =
            reads.into_iter().filter(|(thread, _)| thread.as_deref() != Some("oubliette-reclaim"));
        others.map(|(_, key)| key).collect()
    }

    /// Forgets what a crash may forget: batches are lost from the end, `pick(n)` says how many of
    /// `n` stay. What was flushed survives the process, and is still not durable then.
    pub(crate) fn crash(&self, power: bool, pick: impl FnOnce(usize) -> usize) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let safe = if power { 0 } else { state.flushed };
        let stay = safe + pick(state.unsynced.len() - safe);
        state.unsynced.truncate(stay);
        if power {
            state.unsynced.drain(..).for_each(|changes| apply(&mut state.durable, changes));
        }
        state.live = state.durable.clone();
        state.unsynced.iter().for_each(|changes| apply(&mut state.live, changes.clone()));
        state.flushed = state.unsynced.len();
        state.failing = false;
    }
}

impl std::fmt::Debug for MemoryRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryRows({})", self.lock().live.len())
    }
}

/// The engine over some [`MemoryRows`].
#[derive(Debug)]
pub(crate) struct MemoryEngine(pub(crate) MemoryRows);

impl Engine for MemoryEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let state = self.0.lock();
        #[cfg(test)]
        let state = read(state, key);
        Ok(state.live.get(key).cloned())
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, EngineError> {
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let state = self.0.lock();
        #[cfg(test)]
        let state = if after.is_none() { read(state, prefix) } else { state };
        let rows = state
            .live
            .range::<[u8], _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix));
        Ok(rows.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn commit(&self, _: &AccountTag, batch: Batch) -> Result<Commit, EngineError> {
        let mut state = self.0.lock();
        if state.failing {
            return Err(EngineError::Io(std::io::Error::other("injected")));
        }
        if batch.guard.is_some_and(|(key, expected)| state.live.get(&key) != expected.as_ref()) {
            return Ok(Commit::Conflict);
        }
        apply(&mut state.live, batch.changes.clone());
        state.unsynced.push(batch.changes);
        Ok(Commit::Done)
    }

    fn discard(&self, keys: Vec<Vec<u8>>) -> Result<(), EngineError> {
        let mut state = self.0.lock();
        if state.failing {
            return Err(EngineError::Io(std::io::Error::other("injected")));
        }
        for key in keys {
            // This goes row by row, so that a crash may come between any two.
            let change = vec![(key, None)];
            apply(&mut state.live, change.clone());
            state.unsynced.push(change);
        }
        Ok(())
    }

    fn sync(&self, durability: Durability) -> Result<(), EngineError> {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        if state.failing {
            return Err(EngineError::Io(std::io::Error::other("injected")));
        }
        state.flushed = state.unsynced.len();
        if durability == Durability::PowerLoss {
            for changes in state.unsynced.drain(..) {
                apply(&mut state.durable, changes);
            }
            state.flushed = 0;
        }
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits { value_bytes: usize::MAX }
    }

    fn size(&self) -> Result<u64, EngineError> {
        Ok(self.0.lock().live.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum())
    }
}

/// Applies changes, in their order.
fn apply(rows: &mut BTreeMap<Vec<u8>, Vec<u8>>, changes: Changes) {
    for (key, value) in changes {
        match value {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        };
    }
}
