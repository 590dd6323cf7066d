//! The tokens that were carried out just now, so that a repeat does nothing.
//!
//! A token that comes again, from a provider that saw no answer or from somebody who overheard it, would append to the ledger once more, and
//! within the skew of the clocks it would end sign-ins made since. This remembers what was carried out whole, by a hash of all that was signed: the `jti`
//! is left to itself, so that a provider that reuses one loses no sign-out. It may forget (it is bounded, and gone after a restart): then the
//! cutoff of the sign-out protects all sign-ins but those within the skew.

use std::collections::{HashSet, VecDeque};

use crate::sync::Mutex;

/// How many of an issuer's tokens are remembered.
const MOST: usize = 1024;

/// SHA-256 of what was signed.
pub(super) type Digest = [u8; 32];

#[derive(Default)]
pub(super) struct Recent(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    all: HashSet<Digest>,
    order: VecDeque<Digest>,
}

impl Recent {
    pub(super) fn has(&self, token: &Digest) -> bool {
        self.with(|memory| memory.all.contains(token))
    }

    /// Remembers a token, once it was carried out whole: everybody it names was signed out, durably, before this.
    pub(super) fn add(&self, token: Digest) {
        self.with(|memory| {
            if !memory.all.insert(token) {
                return;
            }
            memory.order.push_back(token);
            if memory.order.len() > MOST
                && let Some(oldest) = memory.order.pop_front()
            {
                memory.all.remove(&oldest);
            }
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Memory) -> T) -> T {
        // What a panic leaves behind is whole: at worst a token is forgotten too late.
        work(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_forgets_the_oldest() {
        let recent = Recent::default();
        let token = |number: usize| {
            let mut token = [0; 32];
            token[..8].copy_from_slice(&number.to_be_bytes());
            token
        };
        for number in 0..=MOST {
            recent.add(token(number));
            recent.add(token(number));
        }
        assert_eq!([0, 1, MOST, MOST + 1].map(|number| recent.has(&token(number))), [false, true, true, false]);
        recent.with(|memory| assert_eq!((memory.all.len(), memory.order.len()), (MOST, MOST)));
    }
}
