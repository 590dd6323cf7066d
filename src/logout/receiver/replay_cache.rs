//! What was carried out just now, so that a repeat does nothing twice.
//!
//! A token that comes again, from a provider that saw no answer or from somebody who overheard it,
//! would append to the ledger once more, and within the skew of the clocks it would end sign-ins
//! made since. This remembers what was carried out, by a hash of all that was signed: the `jti` is
//! left to itself, so that a provider that reuses one loses no sign-out. It may forget (it is
//! bounded, and gone after a restart): then the cutoff of the sign-out protects all sign-ins but
//! those within the skew. And it lets one at a time work at the same.

use std::collections::{HashMap, VecDeque};

use std::sync::{Arc, Weak};

use tokio::sync::OwnedMutexGuard;

use crate::platform::sync::{Mutex, PoisonError};

/// How many are remembered.
const MOST: usize = 1024;
/// How many may wait to work at the same: a copy of a token that is sent without end must not fill
/// the memory while a hook is slow.
const MOST_WAITING: usize = 32;

/// SHA-256 of what was signed, or asked.
pub(crate) type Digest = [u8; 32];

/// How far a sign-out has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Only a part of it can be done as long as this store is open; that is durable.
    Part,
    /// The store's part is durable. What the app has of its own is still there, perhaps.
    Durable,
    /// Nothing is left to do.
    Whole,
}

#[derive(Default)]
pub(crate) struct Recent(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    marks: HashMap<Digest, Mark>,
    order: VecDeque<Digest>,
    at_work: HashMap<Digest, Weak<tokio::sync::Mutex<()>>>,
}

/// The right to work at something alone, until it is dropped.
pub(crate) struct Alone {
    _guard: OwnedMutexGuard<()>,
}

impl Recent {
    /// Waits until nobody else works at this; `None` if too many wait already.
    pub(crate) async fn alone(&self, what: Digest) -> Option<Alone> {
        let turn = self.with(|memory| {
            if let Some(turn) = memory.at_work.get(&what).and_then(Weak::upgrade) {
                return (Arc::strong_count(&turn) <= MOST_WAITING + 1).then_some(turn);
            }
            // Those that are done, whenever there are twice as many as there were.
            if memory.at_work.len() == memory.at_work.capacity() {
                memory.at_work.retain(|_, turn| turn.strong_count() > 0);
            }
            let turn = Arc::default();
            memory.at_work.insert(what, Arc::downgrade(&turn));
            Some(turn)
        })?;
        Some(Alone { _guard: turn.lock_owned().await })
    }

    pub(crate) fn mark(&self, what: &Digest) -> Option<Mark> {
        self.with(|memory| memory.marks.get(what).copied())
    }

    pub(crate) fn set(&self, what: Digest, mark: Mark) {
        self.with(|memory| {
            if memory.marks.insert(what, mark).is_some() {
                return;
            }
            memory.order.push_back(what);
            if memory.order.len() > MOST
                && let Some(oldest) = memory.order.pop_front()
            {
                memory.marks.remove(&oldest);
            }
        });
    }

    pub(crate) fn forget(&self, what: &Digest) {
        self.with(|memory| {
            if memory.marks.remove(what).is_some() {
                memory.order.retain(|one| one != what);
            }
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Memory) -> T) -> T {
        // What a panic leaves behind is whole: at worst something is remembered for longer.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_forgets_the_oldest() {
        let recent = Recent::default();
        let digest = |number: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            digest
        };
        for number in 0..=MOST {
            recent.set(digest(number), Mark::Durable);
            recent.set(digest(number), Mark::Whole);
        }
        let marks = [0, 1, MOST, MOST + 1].map(|number| recent.mark(&digest(number)));
        assert_eq!(marks, [None, Some(Mark::Whole), Some(Mark::Whole), None]);
        recent.with(|memory| assert_eq!((memory.marks.len(), memory.order.len()), (MOST, MOST)));
    }
}
