//! Compaction of the engine's folder: the live rows go to a fresh one.

use super::Doubt;
use crate::engine::Engine;
use crate::maintenance::migrate::{Moved, move_live};
use crate::model::error::{Component, Error, Result};
use crate::model::report::{CompactionEstimate, CompactionReport, MigrationReport};
use crate::model::storage::Storage;
use crate::observe;
use crate::rows::store_rows::Fresh;
use crate::store::core::Core;
use crate::store::files::{Premises, SPARE_BYTES};
use crate::store::location::{MOVING, engine_name};
use std::cell::Cell;

/// Says what a compaction would take.
pub(crate) fn estimate(core: &Core, premises: &Premises) -> Result<CompactionEstimate> {
    let engine_bytes = core.enter()?.size()?;
    let copy_bytes = engine_bytes.saturating_add(SPARE_BYTES);
    let memory_bytes = premises.place.engines().memory_of_another(engine_bytes);
    Ok(CompactionEstimate {
        engine_bytes,
        copy_bytes,
        peak_bytes: engine_bytes.saturating_add(copy_bytes),
        free_bytes: premises.place.available(),
        memory_bytes,
    })
}

/// How much space has to be free for a copy of an engine of this size: the size that the last copy
/// had, but at least a half of this one, and at most all of it.
fn space(engine_bytes: u64, fresh: Option<Fresh>) -> u64 {
    fresh.map_or(0, |fresh| fresh.engine_bytes).clamp(engine_bytes / 2, engine_bytes)
}

/// Compacts the ledger, if that is worth it, and the engine.
pub(crate) fn compact(core: &Core, premises: &mut Premises) -> Result<CompactionReport> {
    let storage = premises.engine.0;
    compact_to(core, premises, storage)
}

/// As [`compact`], to an engine of this kind.
fn compact_to(core: &Core, premises: &mut Premises, storage: Storage) -> Result<CompactionReport> {
    let open = core.enter()?;
    let bytes_before = open.size()?;
    let ledger_id = open.rows()?.keyring().secrets.ledger_id;
    drop(open);
    let ledger_compacted = core
        .embedded()?
        .ledger
        .compact(core.clock.for_deletion().saturating_sub(core.longest_age()))?;
    observe::compacting(&estimate(core, premises)?);
    let (kind, serial) = premises.engine;
    let next = serial
        .checked_add(1)
        .ok_or_else(|| Error::invalid("engine", "it was compacted too often"))?;
    let old = engine_name(kind, &ledger_id, serial);
    let new = engine_name(storage, &ledger_id, next);

    premises.need(space(bytes_before, premises.fresh))?;
    premises.mark(&[&new])?;
    let begun = Cell::new(false);
    let moved = premises
        .place
        .engines()
        .open(&new)
        .and_then(|target| switch(core, premises, target, &begun));
    let (engine, moved) = moved.inspect_err(|_| {
        // If this fails, or the switch itself did, the next open does it: the mark says what does
        // not count.
        if !begun.get() && premises.place.engines().remove(&new).is_ok() {
            let _ = premises.disk.remove(MOVING);
        }
    })?;
    premises.engine = (storage, next);
    drop(engine);
    // The compaction has happened: no error may say otherwise from here on. What cannot be removed
    // now is removed at the next open.
    let leftovers = premises.place.engines().remove(&old).is_err();
    let bytes_after = core.enter().and_then(|open| open.size()).unwrap_or_default();
    premises.fresh = Some(moved.fresh());
    let Moved { accounts, rows, bytes, tampered, .. } = moved;
    Ok(CompactionReport {
        accounts,
        rows,
        live_bytes: bytes,
        bytes_before,
        bytes_after,
        tampered,
        ledger_compacted,
        leftovers,
    })
}

/// Compacts the store to an engine of this kind, by which it is kept from then on.
pub(crate) fn migrate(
    core: &Core,
    premises: &mut Premises,
    to: Storage,
) -> Result<MigrationReport> {
    if to == Storage::Sqlite && core.knows_two_tags() {
        // A place that processes share knows one tag of an account: it would let sign-ins live that
        // a sign-out under the other has ended.
        let problem = "it has sign-ins of version 1 of the format; move it when these have ended";
        return Err(Error::invalid("store", problem));
    }
    if to == Storage::Sqlite {
        premises.place.check_shared()?;
    }
    let CompactionReport { accounts, rows, live_bytes, tampered, leftovers, .. } =
        compact_to(core, premises, to)?;
    Ok(MigrationReport { accounts, rows, live_bytes, tampered, leftovers })
}

/// Moves, and puts the target in the engine's place. Removing the mark is the switch: until then
/// the target does not count, and from then on its serial, the higher one, does.
fn switch(
    core: &Core,
    premises: &Premises,
    target: Box<dyn Engine>,
    begun: &Cell<bool>,
) -> Result<(Option<Box<dyn Engine>>, Moved)> {
    move_live(core, target, None, |open, target, position, moved| {
        let doubt = Doubt(core, Component::Engine);
        begun.set(true);
        premises
            .disk
            .remove(MOVING)
            .map_err(Error::io("switch to the fresh engine; the store is poisoned, reopen it"))?;
        let old = open.entered_mut()?.replace(target, None, position);
        std::mem::forget(doubt);
        Ok((old, moved))
    })
}
