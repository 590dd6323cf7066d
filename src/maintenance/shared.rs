//! What an operator does to an open store that other processes have open too: they all go on.

use std::path::Path;

use crate::backend::Backend;
use crate::backend::operate::Operate;
use crate::backend::remote::patiently;
use crate::crypto::KeySource;
use crate::maintenance::backup;
use crate::maintenance::sweep::sweep_slice;
use crate::model::error::{Error, Result};
use crate::model::report::{BackupReport, CompactionEstimate, CompactionReport};
use crate::model::storage::Storage;
use crate::platform::disk::{Disk, Folder};
use crate::store::access::not_embedded;
use crate::store::core::Core;
use crate::store::location::{KEYRING, Place};
use crate::store::progress::Sweep;
use crate::store::shared::SharedFolder;

/// So many accounts are swept at a time, before it is asked whether the store is to be closed.
const SWEPT: usize = 64;

/// Writes the keyring anew, wrapped by exactly these keys. Processes that have the store open keep
/// its secrets, which stay as they are; those that open it meanwhile read the old one or the new one.
pub(crate) fn rotate_key(core: &Core, folder: &SharedFolder, keys: &KeySource) -> Result<()> {
    // Before the turn: a key provider may take its time.
    let bytes = core.enter_ledger()?.rows()?.keyring().encode(keys)?;
    let _turn = folder.take_turn()?;
    // Another store's keyring may be there, if the folder was replaced.
    operate(core, |place| place.check_files())?;
    let disk =
        Folder::create(&folder.folders.path).map_err(Error::io("open the store's folder"))?;
    disk.prepare(KEYRING, &bytes).map_err(Error::io("write the keyring"))?;
    disk.switch(KEYRING).map_err(Error::io(
        "put the keyring in place; either the old or the new keys open the store",
    ))
}

/// Deletes what is dead, compacts the ledger if that is worth it, and gives the free pages of the
/// rows' file back. The rows stay in their file: processes that have it open could not follow them.
pub(crate) fn compact(core: &Core) -> Result<CompactionReport> {
    let Backend::Remote(remote) = &core.backend else { return Err(not_embedded()) };
    let bytes_before = core.enter()?.size()?;
    let oldest = core.enter()?.time_for_deletion()?.saturating_sub(core.longest_age());
    let ledger_compacted = patiently(|| remote.with(|place| place.forget(oldest)))?;
    let (mut progress, mut tampered) = (Sweep::default(), 0);
    loop {
        if core.is_closing() {
            return Err(Error::Closed);
        }
        let swept = sweep_slice(core, &mut progress, SWEPT)?;
        tampered += swept.tampered;
        if swept.finished {
            break;
        }
    }
    give_back(core)?;
    let counted = operate(core, |place| place.count())?;
    Ok(CompactionReport {
        accounts: counted.accounts,
        rows: counted.rows,
        live_bytes: counted.bytes,
        bytes_before,
        bytes_after: core.enter()?.size()?,
        tampered,
        ledger_compacted,
        leftovers: false,
    })
}

/// Gives free pages back, if that is worth it. Says whether it was.
pub(crate) fn give_back_if_loose(core: &Core) -> Result<bool> {
    let is_loose = operate(core, |place| place.is_loose())?;
    if is_loose {
        give_back(core)?;
    }
    Ok(is_loose)
}

/// Copies the rows as they are at one moment, and the keyring.
pub(crate) fn backup(core: &Core, folder: &SharedFolder, path: &Path) -> Result<BackupReport> {
    operate(core, |place| place.check_files())?;
    let disk = folder.folders.disk()?;
    let engines = folder.folders.engines();
    backup::backup(core, backup::Site { disk: &*disk, engines, storage: Storage::Sqlite }, path)
}

/// What [`compact`] takes: nothing is copied.
pub(crate) fn estimate(core: &Core, folder: &SharedFolder) -> Result<CompactionEstimate> {
    let engine_bytes = core.enter()?.size()?;
    Ok(CompactionEstimate {
        engine_bytes,
        copy_bytes: 0,
        peak_bytes: engine_bytes,
        free_bytes: folder.folders.available(),
        memory_bytes: 0,
    })
}

fn give_back(core: &Core) -> Result<()> {
    operate(core, |place| place.give_back(&|| core.is_closing()))
}

/// Lets the place work on all of its rows.
///
/// # Errors
/// `InvalidInput` of a place that has none of these operations; `Closed`; and those of the work.
fn operate<T>(core: &Core, work: impl FnOnce(&dyn Operate) -> Result<T>) -> Result<T> {
    let Backend::Remote(remote) = &core.backend else { return Err(not_embedded()) };
    remote.operate(work)
}
