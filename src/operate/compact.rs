//! Compaction of the engine's folder: the live rows go to a fresh one.

use std::cell::Cell;

use super::mover::{Moved, move_live};
use super::{Doubt, Premises};
use crate::clock::millis;
use crate::engine::Engine;
use crate::error::{Error, Part, Result};
use crate::gate::Core;
use crate::place::{MOVING, engine_name};

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// The accounts that are live.
    pub accounts: u64,
    /// Their rows, without index rows.
    pub rows: u64,
    /// The size of these rows.
    pub live_bytes: u64,
    /// The engine's size on the disk before.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
    /// Accounts and sign-ins that did not open, and are gone now. (Tokens are copied as they are.)
    pub tampered: u64,
    /// Whether the ledger was worth compacting too.
    pub ledger_compacted: bool,
    /// Whether the old folder could not be removed from the disk. The next open removes it.
    pub leftovers: bool,
}

/// Compacts the ledger, if that is worth it, and the engine's folder.
pub(crate) fn compact(core: &Core, premises: &mut Premises) -> Result<Compacted> {
    let open = core.enter()?;
    let bytes_before = open.size()?;
    let ledger_id = open.rows()?.keyring().secrets.ledger_id;
    drop(open);
    let ledger_compacted = core.ledger.compact(core.clock.for_deletion().saturating_sub(millis(core.options.max_sign_in_age)))?;
    let next = premises.serial.checked_add(1).ok_or_else(|| Error::invalid("engine", "it was compacted too often"))?;
    let (old, new) = (engine_name(&ledger_id, premises.serial), engine_name(&ledger_id, next));

    premises.need(bytes_before / 2)?;
    premises.mark(&[&new])?;
    let begun = Cell::new(false);
    let moved = premises.place.open_engine(&new).and_then(|target| switch(core, premises, target, &begun));
    let (engine, moved) = moved.inspect_err(|_| {
        // If this fails, or the switch itself did, the next open does it: the mark says what does not count.
        if !begun.get() && premises.place.remove_engine(&new).is_ok() {
            let _ = premises.disk.remove(MOVING);
        }
    })?;
    premises.serial = next;
    drop(engine);
    // It has happened: nothing below may say otherwise. What cannot be removed now is at the next open.
    let leftovers = premises.place.remove_engine(&old).is_err();
    let bytes_after = core.enter().and_then(|open| open.size()).unwrap_or_default();
    let Moved { accounts, rows, bytes, tampered } = moved;
    premises.compacted = Some((bytes, bytes_after));
    Ok(Compacted { accounts, rows, live_bytes: bytes, bytes_before, bytes_after, tampered, ledger_compacted, leftovers })
}

/// Moves, and puts the target in the engine's place. Removing the mark is the switch: until then the target does not count, and from
/// then on its serial, the higher one, does.
fn switch(
    core: &Core,
    premises: &Premises,
    target: Box<dyn Engine>,
    begun: &Cell<bool>,
) -> Result<(Option<Box<dyn Engine>>, Moved)> {
    move_live(core, target, None, |open, target, position, moved| {
        let doubt = Doubt(core, Part::Engine);
        begun.set(true);
        premises.disk.remove(MOVING).map_err(Error::io("switch to the fresh engine; the store is poisoned, reopen it"))?;
        let old = open.replace(target, None, position);
        std::mem::forget(doubt);
        Ok((old, moved))
    })
}
