//! The check whether the file says what stands in memory, while sign-outs go on.

use std::io::{Cursor, Read};

use super::format::{Header, LedgerKey, SLOT_BYTES, What};
use super::keep::Turns;
use super::recover::recover;
use super::{Ledger, State, offset, open::stream, seal_of};
use crate::model::error::{Component, Error, Result};
use crate::model::position::Position;
use crate::platform::sync::Arc;
use crate::rule::{Fence, SHARDS};

/// What of the file is written and synced.
pub(super) struct Written<R> {
    pub(super) file: R,
    pub(super) key: Arc<LedgerKey>,
    pub(super) header: Header,
    /// The last position in it.
    pub(super) end: Position,
}

impl Ledger {
    /// Reads the file again, compares, and says how many sign-outs decide something.
    ///
    /// # Errors
    /// `Damaged` if the file does not say what stands in memory; `Poisoned` after an earlier
    /// failure.
    pub(crate) fn check(&self) -> Result<u64> {
        let _tending = self.tend();
        let Written { file, key, header, end } = self.written_now()?;
        let (mut found, mut turns): (Vec<Position>, _) = (Vec::new(), Turns::default());
        let mut is_same = true;
        let read = recover(file, &key, header.ledger_id, |_, record| {
            let What::SignOut(scope, cutoff) = record.what else { return };
            let fence = Fence { position: record.position, cutoff, time: record.time };
            turns.looked_at(1);
            turns.make_way();
            let fences = self.fences();
            if fences.holds(&scope, &fence) {
                found.push(fence.position);
            } else {
                is_same &= fences.last(scope).is_some_and(|newer| newer.position > fence.position);
            }
        })?;

        // The other way round: each fence that stands and was synced then is in the file.
        is_same &= read.end == end && read.header == header;
        for shard in 0..SHARDS {
            let fences = self.fences();
            let positions = fences
                .of_shard(shard)
                .map(|(_, fence)| fence.position)
                .inspect(|_| turns.looked_at(1));
            is_same &= positions
                .filter(|position| *position <= end)
                .all(|position| found.binary_search(&position).is_ok());
            drop(fences);
            turns.make_way();
        }
        let state = self.lock_idle()?;
        is_same &= self.ends_in_filler(&state)?;
        drop(state);
        if !is_same {
            return Err(Error::damaged(
                Component::Ledger,
                "its file is not as this process wrote it",
            ));
        }
        Ok(self.fences().len() as u64)
    }

    /// The file as far as it is written and synced at this moment. What is written behind that
    /// meanwhile is left out: in its place are the fillers that were there. The caller tends the
    /// ledger, so that no other file takes its place.
    pub(super) fn written_now(&self) -> Result<Written<impl Read>> {
        let state = self.lock_idle()?;
        let (end, used) = (self.synced(), self.written(&state));
        let (name, key, header) = (state.name.clone(), state.key.clone(), state.header.clone());
        drop(state);
        let fillers =
            seal_of(&key, &header).fillers(used, (used + 1).next_multiple_of(header.chunk.into()));
        let file = stream(&*self.disk, &name)?.take(offset(used)).chain(Cursor::new(fillers));
        Ok(Written { file, key, header, end })
    }

    /// How many slots of the file have been written to.
    fn written(&self, state: &State) -> u64 {
        u64::from(state.header.kept) + self.synced().next().since(state.header.tail)
    }

    /// Whether all slots are filler that have not been written to.
    fn ends_in_filler(&self, state: &State) -> Result<bool> {
        let fillers = seal_of(&state.key, &state.header).fillers(self.written(state), state.slots);
        let mut bytes = vec![0; fillers.len() / SLOT_BYTES * SLOT_BYTES];
        state
            .file
            .read_at(offset(self.written(state)), &mut bytes)
            .map_err(Error::io("read the ledger"))?;
        Ok(bytes == fillers)
    }
}
