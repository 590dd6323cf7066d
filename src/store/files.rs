//! What the operations on a whole open store work with: changing keys, copying, moving to a fresh
//! engine. One operation runs at a time, beside the verbs.
//!
//! Compaction, backup and complete erasure are one mechanism: the live rows go to a fresh engine,
//! account by account, while verbs go on; then the store switches to it, with exclusive access for
//! a moment (`maintenance/`). Rotation only writes the keyring.

use crate::ledger::Ledger;
use crate::model::error::{Component, Error, Result};
use crate::model::random_id::LedgerId;
use crate::model::storage::Storage;
use crate::platform::disk::Disk;
use crate::rows::store_rows::Fresh;
use crate::store::location::{Held, KEYRING, MOVING, Place, parse_engine};

/// The engine's folder may be this much larger than twice the live rows: it is never quite empty.
const COMPACT_ABOVE: u64 = 8 << 20;

/// This much space must be left beside a copy of the rows.
pub(crate) const SPARE_BYTES: u64 = 16 << 20;

/// What an operation works on, beside the store's core. An operation holds its lock for as long as
/// it lasts.
pub(crate) struct Premises {
    pub(crate) place: Box<dyn Place>,
    pub(crate) disk: Box<dyn Disk>,
    /// What the engine is, and the serial in its name.
    pub(crate) engine: (Storage, u32),
    /// The sizes that the move recorded which made the engine; `None` if the rows were never moved,
    /// or by an earlier build.
    pub(crate) fresh: Option<Fresh>,
}

impl Premises {
    pub(crate) fn new(
        place: Box<dyn Place>,
        disk: Box<dyn Disk>,
        engine: (Storage, u32),
        fresh: Option<Fresh>,
    ) -> Self {
        Self { place, disk, engine, fresh }
    }

    /// Whether an engine of `size` bytes, of which `live` are live, would shrink by compaction.
    pub(crate) fn is_bloated(&self, size: u64, live: u64) -> bool {
        is_bloated(self.fresh, size, live)
    }

    /// Makes sure that there is space for `bytes`, and to spare: a copy that takes the last of it
    /// would make the writes of the open store fail.
    ///
    /// # Errors
    /// `Full`.
    pub(crate) fn need(&self, bytes: u64) -> Result<()> {
        let wanted = bytes.saturating_add(SPARE_BYTES);
        if self.place.available().is_some_and(|free| free < wanted) {
            Err(Error::Full(Component::Engine))
        } else {
            Ok(())
        }
    }

    /// Records durably what is being made or is to be removed: if the process dies, the next open
    /// removes it.
    ///
    /// # Errors
    /// `InvalidInput` if an earlier move could not be cleared away: what its mark names must not be
    /// forgotten.
    pub(crate) fn mark(&self, names: &[&str]) -> Result<()> {
        if self.disk.read(MOVING).map_err(Error::io("read the mark of a move"))?.is_some() {
            return Err(Error::invalid(
                "store",
                "an earlier move of its rows could not be cleared away; reopen it first",
            ));
        }
        let marked = self
            .disk
            .prepare(MOVING, names.join("\n").as_bytes())
            .and_then(|()| self.disk.switch(MOVING));
        marked.map_err(Error::io("write the mark of a move"))
    }
}

fn is_bloated(fresh: Option<Fresh>, size: u64, live: u64) -> bool {
    // The engine after the last move is as small as an engine gets. Scale its size to what is live
    // now.
    let least = fresh.map_or(0, |fresh| {
        let scaled =
            u128::from(fresh.engine_bytes) * u128::from(live) / u128::from(fresh.live_bytes.max(1));
        let scaled = u64::try_from(scaled).unwrap_or(u64::MAX);
        // If little was live then, its size says nothing about a full engine, as an empty engine
        // takes space too. So it is not scaled up.
        if fresh.live_bytes < COMPACT_ABOVE { scaled.min(fresh.engine_bytes) } else { scaled }
    });
    size > COMPACT_ABOVE.saturating_add(live.saturating_mul(2))
        && size > least.saturating_mul(5) / 4
}

/// What an unfinished move has made, or was to remove.
#[derive(Default)]
pub(crate) struct Unfinished {
    is_marked: bool,
    engines: Vec<String>,
    ledgers: Vec<String>,
}

impl Unfinished {
    /// Reads the mark that [`Premises::mark`] left, in the store whose keyring names this ledger.
    ///
    /// # Errors
    /// `Damaged` if it says something that no move writes: ignoring it could make a part of an
    /// engine count.
    pub(crate) fn read(disk: &dyn Disk, ledger_id: &LedgerId) -> Result<Self> {
        let Some(mark) = disk.read(MOVING).map_err(Error::io("read the mark of a move"))? else {
            return Ok(Self::default());
        };
        let mut unfinished = Self { is_marked: true, ..Self::default() };
        for name in String::from_utf8_lossy(&mark).lines() {
            if let Some((_, id, _)) = parse_engine(name) {
                // An engine of another ledger is never opened, and is removed with all others of
                // that kind.
                unfinished.engines.extend((id == *ledger_id).then(|| name.into()));
            } else if Ledger::is_file_name(name) {
                unfinished.ledgers.push(name.into());
            } else {
                return Err(Error::damaged(
                    Component::Engine,
                    "the mark of an unfinished move is not as it was written",
                ));
            }
        }
        unfinished.ledgers.retain(|name| *name != Ledger::file_name(ledger_id));
        Ok(unfinished)
    }

    /// Removes the engines of the unfinished move. Called before an engine is made, as that may
    /// have the same name. A second call removes nothing: by then the name may be that of the
    /// store's own engine.
    pub(crate) fn remove_engines(&mut self, place: &dyn Place) -> Result<()> {
        std::mem::take(&mut self.engines).iter().try_for_each(|name| place.engines().remove(name))
    }

    /// Removes what is left of the unfinished move. The store's own ledger was found sound, and is
    /// none of these. A ledger is locked before it is removed, as another process may have it open.
    pub(crate) fn clear(
        mut self,
        place: &dyn Place,
        disk: &dyn Disk,
        held: &mut Held,
    ) -> Result<()> {
        if !self.is_marked {
            return Ok(());
        }
        self.remove_engines(place)?;
        for name in &self.ledgers {
            place.lock_ledger(name, held)?;
            place
                .ledger_disk()?
                .remove(name)
                .map_err(Error::io("remove a ledger that does not count"))?;
        }
        disk.discard(KEYRING).map_err(Error::io("remove a keyring that does not count"))?;
        // Last: what the mark names is durably gone by now.
        disk.remove(MOVING).map_err(Error::io("remove the mark of a move"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn fresh(live: u64, engine: u64) -> Option<Fresh> {
        Some(Fresh { live_bytes: live * MIB, engine_bytes: engine * MIB })
    }

    #[test]
    fn an_engine_is_bloated_if_it_is_larger_than_it_has_to_be() {
        let is_bloated = |fresh, size: u64, live: u64| is_bloated(fresh, size * MIB, live * MIB);
        // Nothing is known: more than twice what is live.
        assert!(!is_bloated(None, 208, 100) && is_bloated(None, 209, 100));
        // It could not be made smaller than 270.
        assert!(!is_bloated(fresh(100, 270), 270, 100) && !is_bloated(fresh(100, 270), 337, 100));
        assert!(is_bloated(fresh(100, 270), 338, 100));
        // For more that is live it takes more, for less it takes less.
        assert!(!is_bloated(fresh(100, 270), 600, 200) && is_bloated(fresh(100, 270), 700, 200));
        assert!(is_bloated(fresh(100, 270), 270, 50));
        // An engine that was nearly empty says nothing of a full one.
        assert!(is_bloated(fresh(0, 1), 209, 100) && is_bloated(fresh(1, 4), 209, 100));
    }
}
