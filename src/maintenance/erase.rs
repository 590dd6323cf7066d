//! Complete erasure: everything that is live is sealed anew under fresh keys, and nothing that was
//! on the disk before opens any more.

use super::Doubt;
use crate::crypto::{KeySource, Keyring};
use crate::engine::Engine;
use crate::ledger::Ledger;
use crate::maintenance::migrate::{Moved, move_live};
use crate::model::error::{Component, Error, Result};
use crate::model::report::ErasureReport;
use crate::rows::cipher::Rows;
use crate::store::core::Core;
use crate::store::files::Premises;
use crate::store::location::{Held, KEYRING, MOVING, engine_name, is_engine};
use std::cell::Cell;

/// Seals everything that is live anew, and gives the locks of the new ledger to `held`.
pub(crate) fn complete_erasure(
    core: &Core,
    premises: &mut Premises,
    keys: &KeySource,
    held: &mut Held,
) -> Result<ErasureReport> {
    let before = core.enter()?.rows()?.keyring();
    let (keyring, bytes) = before.successor(keys)?;
    let (old_id, new_id) = (before.secrets.ledger_id, keyring.secrets.ledger_id);
    let (old_ledger, new_ledger) = (Ledger::file_name(&old_id), Ledger::file_name(&new_id));
    let new_engine = engine_name(premises.engine.0, &new_id, 0);
    premises.place.lock_ledger(&new_ledger, held)?;

    let open = core.enter()?;
    premises.need(open.size()?)?;
    drop(open);
    premises.mark(&[&new_ledger, &old_ledger])?;
    let begun = Cell::new(false);
    let moved = premises.place.engines().open(&new_engine);
    let moved = moved.and_then(|target| switch(core, premises, target, (&keyring, &bytes), &begun));
    let (engine, moved) = moved.inspect_err(|_| {
        // If this fails, the next open does it. After an uncertain switch only the next open can.
        if !begun.get() {
            let cleared = premises.place.engines().remove(&new_engine);
            let ledger = premises.place.ledger_disk().map(|disk| disk.remove(&new_ledger));
            if cleared.is_ok()
                && matches!(ledger, Ok(Ok(())))
                && premises.disk.discard(KEYRING).is_ok()
            {
                let _ = premises.disk.remove(MOVING);
            }
        }
    })?;
    premises.engine.1 = 0;
    drop(engine);
    // The erasure has happened: no error may say otherwise from here on.
    let leftovers = clear(premises, &old_ledger, &new_engine).is_err();
    premises.fresh = Some(moved.fresh());
    let Moved { accounts, rows, tampered, .. } = moved;
    Ok(ErasureReport { accounts, rows, tampered, leftovers })
}

/// Removes everything that is not of the store as it is now, and then the mark.
fn clear(premises: &Premises, old_ledger: &str, engine: &str) -> Result<()> {
    let names = premises.disk.list().map_err(Error::io("list the store's folder"))?;
    let old = names.iter().filter(|name| is_engine(name) && *name != engine);
    old.into_iter().try_for_each(|name| premises.place.engines().remove(name))?;
    premises
        .place
        .ledger_disk()?
        .discard(old_ledger)
        .map_err(Error::io("remove what was left of the old ledger"))?;
    premises.disk.remove(MOVING).map_err(Error::io("remove the mark of a move"))
}

/// Moves, and lets the new ledger, keys and engine count. Replacing the keyring is the switch; the
/// old ledger is removed before any other thread is let in again, so that an older keyring which is
/// put back later finds it missing, not without the sign-outs of its successor.
fn switch(
    core: &Core,
    premises: &Premises,
    target: Box<dyn Engine>,
    (keyring, bytes): (&Keyring, &[u8]),
    begun: &Cell<bool>,
) -> Result<(Option<Box<dyn Engine>>, Moved)> {
    let rows = Rows::new(keyring.store_id, keyring.secrets.clone());
    let resealed = Rows::new(keyring.store_id, keyring.secrets.clone());
    move_live(core, target, Some(&resealed), |open, target, position, moved| {
        let successor = core
            .embedded()?
            .ledger
            .succession(keyring.secrets.ledger_id, &keyring.secrets.ledger_key)?;
        premises.disk.prepare(KEYRING, bytes).map_err(Error::io("write the new keyring"))?;
        let doubt = Doubt(core, Component::Ledger);
        begun.set(true);
        let switched = premises.disk.switch(KEYRING);
        switched.map_err(Error::io(
            "switch to the new keyring; the store is poisoned, reopen it with either key",
        ))?;
        core.embedded()?.ledger.adopt(successor)?;
        let old = open.entered_mut()?.replace(target, Some(rows), position);
        std::mem::forget(doubt);
        Ok((old, moved))
    })
}
