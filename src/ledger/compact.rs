//! Compaction: a new file without the records that no longer decide anything. It is written beside the old one and takes its place
//! by a rename; what stands in memory is then rebuilt from it.

use super::format::{Header, Record, What};
use super::{Ledger, State, fences_of, file_bytes, slots_of};
use crate::clock::Millis;
use crate::error::{Error, Part, Result};
use crate::rule::{Fence, Position, Scope};
use std::sync::PoisonError;

impl Ledger {
    /// Writes a new file without the records that no longer decide anything or are older than `oldest`, if that is worth it.
    ///
    /// # Errors
    /// `Io` if nothing was changed; `Poisoned` if it is unknown which file would be found after a crash.
    pub(crate) fn compact(&self, oldest: Millis) -> Result<bool> {
        let mut state = self.lock();
        // Under steady sign-outs something is always pending: then the next sweep tries again.
        for _ in 0..64 {
            if state.failed.is_some() {
                return Err(Error::Poisoned(Part::Ledger));
            }
            state = match (state.busy, state.pending.is_empty()) {
                (true, _) => self.wait_changed(state),
                (false, false) => self.lead(state, Self::write_group),
                (false, true) => return self.rewrite(&mut state, oldest),
            };
        }
        Ok(false)
    }

    /// The caller holds the lock, and nothing is pending or being written.
    fn rewrite(&self, state: &mut State, oldest: Millis) -> Result<bool> {
        let (old_floor, mut known_since) = (state.header.floor, state.header.known_since);
        let (sign_outs, openings) = {
            let fences = self.fences();
            (fences.in_order(), fences.openings().to_vec())
        };
        let sign_outs = sign_outs.into_iter().filter(|(_, fence)| fence.position > old_floor);
        let sign_outs: Vec<(Scope, Fence)> = sign_outs.collect();
        let too_old = sign_outs.iter().map(|(_, fence)| fence).filter(|fence| fence.time < oldest);
        let floor = too_old.map(|fence| fence.position).max().unwrap_or(old_floor);
        let dropped = sign_outs.iter().filter(|(_, fence)| fence.position <= floor);
        known_since = dropped.map(|(_, fence)| fence.time).max().map_or(known_since, |latest| latest.max(known_since));

        let record = |position, time, what| Record { in_group: 0, in_call: 0, call_size: 1, position, time, what };
        let kept_sign_outs = sign_outs.iter().filter(|(_, fence)| fence.position > floor);
        let mut kept: Vec<Record> =
            kept_sign_outs.map(|(scope, f)| record(f.position, f.time, What::SignOut(*scope, f.cutoff))).collect();
        // An opening is over when the floor has passed the next one, or when all that signed in before the next is too old.
        // Only from the front: one less in the middle would lengthen the one before it.
        let next = openings.iter().skip(1).map(|(position, _, time)| (*position, *time)).chain([(Position::MAX, Millis::MAX)]);
        let live = openings.iter().zip(next).skip_while(|(_, (position, time))| *position <= floor || *time < oldest);
        kept.extend(live.map(|((position, opening, time), _)| record(*position, *time, What::Opened(*opening))));
        kept.sort_unstable_by_key(|record| record.position);
        let waste = state.used().saturating_sub(kept.len() as u64);
        if waste < (kept.len() as u64).max(u64::from(self.growth.chunk)) {
            return Ok(false);
        }
        let header = Header {
            serial: state
                .header
                .serial
                .checked_add(1)
                .ok_or_else(|| Error::damaged(Part::Ledger, "it was compacted too often"))?,
            chunk: self.growth.chunk,
            kept: u32::try_from(kept.len()).map_err(|_| Error::Full(Part::Ledger))?,
            tail: state.end + 1,
            floor,
            known_since,
            ..state.header
        };
        let bytes = file_bytes(&header, &self.mac, &kept, self.growth);
        self.disk.prepare(&self.name, &bytes).map_err(Error::io("write the compacted ledger"))?;
        let switched = self.disk.switch(&self.name).and_then(|()| self.disk.open(&self.name));
        state.file = switched
            .map_err(|error| {
                self.fail(state, error.kind());
                Error::Poisoned(Part::Ledger)
            })?
            .into();
        state.slots = slots_of(&bytes);
        state.header = header;

        let mut fences = fences_of(&state.header, &kept);
        if state.begun.is_none() {
            fences.end_openings(state.end + 1);
        }
        *self.fences.write().unwrap_or_else(PoisonError::into_inner) = fences;
        Ok(true)
    }
}
