//! How the file grows: a chunk at a time, before the slots are needed.

use std::io;

use super::{Ledger, State, offset, seal_of};
use crate::platform::sync::MutexGuard;

/// How the file grows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    /// How many slots are added at a time.
    pub(crate) chunk: u32,
    /// How many empty slots are kept ready, so that sign-outs are acknowledged when the disk is
    /// full.
    pub(crate) reserve: u64,
}

impl Default for Growth {
    /// 64 KiB at a time; 4096 sign-outs (256 KiB) in reserve.
    fn default() -> Self {
        Self { chunk: 1024, reserve: 4096 }
    }
}

impl Ledger {
    /// Adds chunks until `wanted` slots are free, as far as the disk has space. A chunk is synced
    /// before it counts.
    pub(super) fn grow<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        wanted: u64,
    ) -> MutexGuard<'a, State> {
        while state.failed.is_none() && state.free() < wanted {
            let (file, key, header, slots) =
                (state.file.clone(), state.key.clone(), state.header.clone(), state.slots);
            drop(state);
            let seal = seal_of(&key, &header);
            let end = slots + u64::from(header.chunk);
            let bytes = seal.fillers(slots, end);
            let grown = file.write_at(offset(slots), &bytes).and_then(|()| file.sync());
            state = self.lock();
            match grown {
                Ok(()) => state.slots = end,
                // What is behind the last whole chunk does not count; the next attempt writes it
                // anew.
                Err(error) if is_full(&error) => {
                    let _ = file.set_len(offset(slots));
                    break;
                }
                Err(error) => self.fail(&mut state, error.kind()),
            }
        }
        state
    }
}

/// Whether an error says that there is no space, so that nothing else is in doubt.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
