//! The sign-outs that were carried out lately, so that a replay does nothing twice.
//!
//! A token can come again, from a provider that saw no answer or from an eavesdropper. It would
//! append to the ledger once more, and end sign-ins that were made since, within the skew of the
//! clocks. This cache remembers what was carried out, by a hash of all that was signed: the `jti`
//! is not used, so that a provider that reuses one loses no sign-out. The cache may forget (it is
//! bounded, and gone after a restart): then the cutoff of the sign-out protects all sign-ins but
//! those within the skew. It also lets one task at a time work at a sign-out.

use std::collections::{HashMap, VecDeque};

use std::sync::{Arc, Weak};

use tokio::sync::OwnedMutexGuard;

use crate::platform::sync::{Mutex, PoisonError};

/// How many sign-outs are remembered.
const MAX_REMEMBERED: usize = 1024;
/// How many tasks may wait for a turn at one sign-out: copies of a token that are sent without end
/// must not fill the memory while a hook is slow.
const MAX_WAITING: usize = 32;

/// SHA-256 of what was signed, or of the session that was named.
pub(crate) type Digest = [u8; 32];

/// How far a sign-out has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Only a part of it can be done as long as this store is open; that part is durable.
    Partial,
    /// The store's part is durable. What the app holds itself may still be there.
    Durable,
    /// Nothing is left to do.
    Complete,
}

#[derive(Default)]
pub(crate) struct ReplayCache(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    progress: HashMap<Digest, Progress>,
    order: VecDeque<Digest>,
    at_work: HashMap<Digest, Weak<tokio::sync::Mutex<()>>>,
}

/// The right to work at a sign-out alone, until it is dropped.
pub(crate) struct Turn {
    _guard: OwnedMutexGuard<()>,
}

impl ReplayCache {
    /// Waits until no other task works at this; `None` if too many wait already.
    pub(crate) async fn turn(&self, what: Digest) -> Option<Turn> {
        let turn = self.with(|memory| {
            if let Some(turn) = memory.at_work.get(&what).and_then(Weak::upgrade) {
                return (Arc::strong_count(&turn) <= MAX_WAITING + 1).then_some(turn);
            }
            // Finished entries are removed only when the map would grow, so that their removal
            // costs little for each entry.
            if memory.at_work.len() == memory.at_work.capacity() {
                memory.at_work.retain(|_, turn| turn.strong_count() > 0);
            }
            let turn = Arc::default();
            memory.at_work.insert(what, Arc::downgrade(&turn));
            Some(turn)
        })?;
        Some(Turn { _guard: turn.lock_owned().await })
    }

    pub(crate) fn progress(&self, what: &Digest) -> Option<Progress> {
        self.with(|memory| memory.progress.get(what).copied())
    }

    pub(crate) fn set(&self, what: Digest, progress: Progress) {
        self.with(|memory| {
            if memory.progress.insert(what, progress).is_some() {
                return;
            }
            memory.order.push_back(what);
            if memory.order.len() > MAX_REMEMBERED
                && let Some(oldest) = memory.order.pop_front()
            {
                memory.progress.remove(&oldest);
            }
        });
    }

    pub(crate) fn forget(&self, what: &Digest) {
        self.with(|memory| {
            if memory.progress.remove(what).is_some() {
                memory.order.retain(|one| one != what);
            }
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Memory) -> T) -> T {
        // After a panic the state is still consistent: at worst an entry is remembered for longer.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_forgets_the_oldest() {
        let cache = ReplayCache::default();
        let digest = |number: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            digest
        };
        for number in 0..=MAX_REMEMBERED {
            cache.set(digest(number), Progress::Durable);
            cache.set(digest(number), Progress::Complete);
        }
        let progress = [0, 1, MAX_REMEMBERED, MAX_REMEMBERED + 1]
            .map(|number| cache.progress(&digest(number)));
        assert_eq!(progress, [None, Some(Progress::Complete), Some(Progress::Complete), None]);
        cache.with(|memory| {
            assert_eq!(
                (memory.progress.len(), memory.order.len()),
                (MAX_REMEMBERED, MAX_REMEMBERED)
            )
        });
    }
}
