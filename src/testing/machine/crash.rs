//! What a crash leaves.

use super::disk::{MemoryFile, overwrite};
use super::{Machine, State};
use crate::platform::sync::Arc;

/// A disk writes whole sectors.
const SECTOR: usize = 512;

impl Machine {
    pub(super) fn crash(&self, power: bool, seed: u64) {
        let mut next = chance(seed);
        let mut guard = self.lock_state();
        let state = &mut *guard;
        if power {
            state.lose_unsynced(&mut next);
        }
        // (What the process gave to the system is still there when only the process dies; and still
        // not durable.)
        for rows in state.engines.values() {
            rows.crash(power, |n| usize::try_from(next()).unwrap_or(0) % (n + 1));
        }
        if power {
            state.prepared.clear();
        }
        state.start_again();
        drop(guard);
        self.changed.notify_all();
    }
}

impl State {
    /// Takes back some of the renames and removals, and of the writes, that were not synced.
    fn lose_unsynced(&mut self, next: &mut impl FnMut() -> u64) {
        for (name, before) in std::mem::take(&mut self.renamed) {
            match before {
                Some(before) if next().is_multiple_of(2) => drop(self.files.insert(name, before)),
                None if next().is_multiple_of(2) => drop(self.files.remove(&name)),
                _ => {}
            }
        }
        self.files.values_mut().for_each(|file| file.lose_unsynced(next));
    }

    /// Cuts off the store that was open, and takes back all faults.
    fn start_again(&mut self) {
        self.epoch += 1;
        self.lock = Arc::default();
        self.calls_left = None;
        self.is_full = false;
        self.fails_syncs = false;
        self.holds_syncs = false;
        self.holds_engine_syncs = false;
        self.holds_next_files = false;
        self.holds_next_writes = false;
        self.is_engine_busy = false;
    }
}

impl MemoryFile {
    /// Keeps what is durable, and of each other write any of its sectors.
    fn lose_unsynced(&mut self, next: &mut impl FnMut() -> u64) {
        for (offset, bytes) in std::mem::take(&mut self.unsynced) {
            let mut at = 0;
            while at < bytes.len() {
                let end = (at + SECTOR - (offset + at) % SECTOR).min(bytes.len());
                if next().is_multiple_of(2) {
                    overwrite(
                        &mut self.durable,
                        offset + at,
                        bytes.get(at..end).unwrap_or_default(),
                    );
                }
                at = end;
            }
        }
        self.live = self.durable.clone();
    }
}

/// Chance that a seed repeats.
fn chance(seed: u64) -> impl FnMut() -> u64 {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random >> 11
    }
}
