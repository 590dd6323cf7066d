//! What the ledger tells about itself.

use super::{Ledger, offset};
use crate::model::position::Position;
use crate::model::time::Millis;

/// What the ledger tells about itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LedgerStats {
    pub(crate) synced: Position,
    pub(crate) fences: usize,
    pub(crate) bytes: u64,
    pub(crate) free_slots: u64,
    pub(crate) groups: u64,
}

impl Ledger {
    /// Up to which position records may have been dropped for their age, and since when all are
    /// known.
    pub(crate) fn horizon(&self) -> (Position, Millis) {
        let state = self.lock();
        (state.header.floor, state.header.known_since)
    }

    pub(crate) fn stats(&self) -> LedgerStats {
        let state = self.lock();
        LedgerStats {
            synced: self.synced(),
            fences: self.fences().len(),
            bytes: offset(state.slots),
            free_slots: state.free(),
            groups: state.groups,
        }
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ledger({:?})", self.stats())
    }
}
