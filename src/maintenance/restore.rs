//! Restoring a backup beside the ledger in use: users who have signed out since stay out.

use std::path::Path;

use crate::crypto::{KeySource, Keyring};
use crate::engine::{Durability, open_error};
use crate::ledger::{Found, Growth, Ledger};
use crate::model::error::{Component, Error, Result};
use crate::model::random_id::LedgerId;
use crate::model::storage::Storage;
use crate::platform::disk::{Disk, Folder, is_folder};
use crate::rows::cipher::Rows;
use crate::rows::row_key::CHECKPOINT;
use crate::store::files::{Premises, Unfinished};
use crate::store::location::{KEYRING, MISSING, MOVING, Place, engine_name, newest_engine};

/// Puts the backup's engine in its place, and its keyring if the store has none. The store is not
/// open. `only` this kind will be opened then.
pub(crate) fn restore(
    place: Box<dyn Place>,
    key: &KeySource,
    growth: Growth,
    backup: &Path,
    only: Option<Storage>,
) -> Result<()> {
    let mut held = place.lock()?;
    place.sync()?;
    let disk = place.disk()?;
    if !is_folder(backup).map_err(Error::io("look at the backup's folder"))? {
        return Err(Error::invalid("backup", "there is no such folder"));
    }
    let from = Folder::create(backup).map_err(Error::io("open the backup's folder"))?;
    let (keyring, has_keyring) = keyring(&*disk, &from, key)?;
    let id = keyring.secrets.ledger_id;
    let (storage, serial) = engine_of(&from, &id)?;
    #[cfg(not(all(unix, feature = "sqlite")))]
    if storage == Storage::Sqlite {
        place.check_shared()?;
    }
    if only.is_some_and(|only| only != storage) {
        return Err(Error::invalid(
            "backup",
            "it is of a store that is kept by sled: restore it without Builder::sqlite, and migrate \
             the store then",
        ));
    }
    place.lock_ledger(&Ledger::file_name(&id), &mut held)?;
    let ledger = Ledger::read(place.ledger_disk()?, id, &keyring.secrets.ledger_key, growth)?;
    // An earlier mark would be overwritten, and what it names would count.
    Unfinished::read(&*disk, &id)?.clear(&*place, &*disk, &mut held)?;

    let name = next_engine(&*disk, storage, &id)?;
    // The keyring is encoded anew, not copied from the backup: a key that was retired since must
    // not open the store again.
    let bytes = if has_keyring { None } else { Some(keyring.encode(key)?) };
    let premises = Premises::new(place, disk, (storage, 0), None);
    premises.mark(&[&name])?;
    import(&premises, &backup.join(engine_name(storage, &id, serial)), &name, &keyring, &ledger)
        .inspect_err(|_| {
            // If this fails, the next open does it.
            if premises.place.engines().remove(&name).is_ok() {
                let _ = premises.disk.remove(MOVING);
            }
        })?;
    switch(&premises, bytes)?;
    drop(held);
    Ok(())
}

/// The kind and the serial of the backup's engine.
fn engine_of(backup: &Folder, id: &LedgerId) -> Result<(Storage, u32)> {
    let names = backup.list().map_err(Error::io("list the backup's folder"))?;
    newest_engine(&names, id).ok_or_else(|| {
        Error::invalid(
            "backup",
            "it belongs to another store, or this one has erased or forgotten everything since",
        )
    })
}

/// The name under which the store gets another engine.
fn next_engine(disk: &dyn Disk, storage: Storage, id: &LedgerId) -> Result<String> {
    let names = disk.list().map_err(Error::io("list the store's folder"))?;
    let next = newest_engine(&names, id).map_or(Some(0), |(_, newest)| newest.checked_add(1));
    let next = next.ok_or_else(|| Error::invalid("engine", "it was compacted too often"))?;
    Ok(engine_name(storage, id, next))
}

/// Lets the restored engine count, and writes the keyring if there is none.
fn switch(premises: &Premises, keyring: Option<Vec<u8>>) -> Result<()> {
    // The switch, if there is a keyring. If there is none, the store does not open until it is
    // there.
    premises.disk.remove(MOVING).map_err(Error::io("switch to the restored engine"))?;
    // Should an open have found the engine missing, it is there now.
    premises.disk.remove(MISSING).map_err(Error::io("remove the mark of a missing engine"))?;
    if let Some(bytes) = keyring {
        let disk = &premises.disk;
        disk.prepare(KEYRING, &bytes)
            .and_then(|()| disk.switch(KEYRING))
            .map_err(Error::io("write the keyring"))?;
    }
    Ok(())
}

/// The store's own keyring, which may be wrapped by a newer key; or the backup's, if the store's is
/// lost. It names the ledger that has to be there. The backup's says that it is whole, as it was
/// put last: else its rows may look like anything, damage of the store among it.
fn keyring(own: &dyn Disk, backup: &dyn Disk, key: &KeySource) -> Result<(Keyring, bool)> {
    let copied = backup.read(KEYRING).map_err(Error::io("read the backup's keyring"))?;
    let copied = copied.ok_or_else(|| {
        Error::invalid("backup", "it has no keyring, so it is no backup, or not a whole one")
    })?;
    let bytes = own.read(KEYRING).map_err(Error::io("read the keyring"))?;
    match bytes.map(|bytes| Keyring::open(&bytes, key)) {
        None | Some(Err(Error::Damaged { .. })) => {}
        Some(opened) => return opened.map(|keyring| (keyring, true)),
    }
    Ok((Keyring::open(&copied, key)?, false))
}

/// Copies the engine, and checks that this ledger is the one that has gone on since. Opening the
/// copy also makes it whole.
fn import(
    premises: &Premises,
    from: &Path,
    name: &str,
    keyring: &Keyring,
    ledger: &Found,
) -> Result<()> {
    premises.place.engines().import(from, name)?;
    let engine = premises.place.engines().open(name)?;
    let checkpoint = engine.get(CHECKPOINT).map_err(open_error)?;
    let checkpoint = checkpoint.ok_or_else(|| Error::invalid("backup", "it is not whole"))?;
    let rows = Rows::new(keyring.store_id, keyring.secrets.clone());
    if ledger.reaches(rows.open_checkpoint(CHECKPOINT, &checkpoint)?) {
        return engine.sync(Durability::PowerLoss).map_err(open_error);
    }
    Err(Error::damaged(
        Component::Ledger,
        "it is older than the backup: sign-outs are missing; put the one that was last in use in place",
    ))
}
