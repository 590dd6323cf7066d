//! The slots of a file that is being read, authenticated ahead of the reader.

use std::sync::Arc;
use std::thread::{Builder, Scope, ScopedJoinHandle, available_parallelism};

use super::format::{SLOT_BYTES, Seal, Slot};

/// At least so many slots are worth a thread.
const SHARE: usize = 2 * 1024;

/// Slots that are being authenticated ahead of the reader, on several processors if there are many:
/// that is most of the work of opening.
#[derive(Default)]
pub(super) struct Ahead<'scope> {
    pub(super) bytes: Arc<Vec<u8>>,
    first: u64,
    shares: Vec<Share<'scope>>,
}

/// From which slot to which, and the thread that does it; `None` if the reader does it itself.
type Share<'scope> = (usize, usize, Option<ScopedJoinHandle<'scope, Vec<Option<Slot>>>>);

impl<'scope> Ahead<'scope> {
    /// Begins to authenticate the slots in `bytes`, of which the first has the number `first`.
    pub(super) fn begin(
        scope: &'scope Scope<'scope, '_>,
        seal: &'scope Seal<'scope>,
        first: u64,
        bytes: Vec<u8>,
    ) -> Self {
        let slots = bytes.len() / SLOT_BYTES;
        let bytes = Arc::new(bytes);
        let threads = available_parallelism().map_or(1, usize::from).min(8).min(slots / SHARE);
        let share = slots.div_ceil(threads.max(1)).next_multiple_of(Seal::BLOCK).max(Seal::BLOCK);
        let spawn = |from: usize, to: usize| {
            let bytes = bytes.clone();
            Builder::new().spawn_scoped(scope, move || {
                seal.decode(first + from as u64, slots_of(&bytes, from, to))
            })
        };
        // Where the system allows no more threads, the reader does it itself.
        let shares = (0..slots).step_by(share).map(|from| (from, (from + share).min(slots)));
        let shares = shares
            .map(|(from, to)| (from, to, (threads > 0).then(|| spawn(from, to).ok()).flatten()))
            .collect();
        Self { bytes, first, shares }
    }

    /// What the slots are, in order; `None` is one that this ledger did not write there.
    pub(super) fn decoded(self, seal: &Seal<'_>) -> impl Iterator<Item = Option<Slot>> {
        let Self { bytes, first, shares } = self;
        let part = !bytes.len().is_multiple_of(SLOT_BYTES);
        let whole = shares.into_iter().flat_map(move |(from, to, other)| {
            let share = other.and_then(|other| other.join().ok());
            share.unwrap_or_else(|| seal.decode(first + from as u64, slots_of(&bytes, from, to)))
        });
        whole.chain(part.then_some(None))
    }
}

fn slots_of(bytes: &[u8], from: usize, to: usize) -> &[[u8; SLOT_BYTES]] {
    bytes.as_chunks::<SLOT_BYTES>().0.get(from..to).unwrap_or_default()
}
