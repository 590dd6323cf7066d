//! What an operator does to an open store that other processes have open too.

use crate::backend::Backend;
use crate::backend::operate::Operate;
use crate::crypto::KeySource;
use crate::model::error::{Error, Result};
use crate::platform::disk::{Disk, Folder};
use crate::store::access::not_embedded;
use crate::store::core::Core;
use crate::store::location::KEYRING;
use crate::store::shared::SharedFolder;

/// Writes the keyring anew, wrapped by exactly these keys. Processes that have the store open keep
/// its secrets, which stay as they are; those that open it meanwhile read the old one or the new one.
pub(crate) fn rotate_key(core: &Core, folder: &SharedFolder, keys: &KeySource) -> Result<()> {
    // Before the turn: a key provider may take its time.
    let bytes = core.enter_ledger()?.rows()?.keyring().encode(keys)?;
    let _turn = folder.take_turn()?;
    // Another store's keyring may be there, if the folder was replaced.
    operate(core, |place| place.check_files())?;
    let disk = Folder::create(&folder.folders.path).map_err(Error::io("open the store's folder"))?;
    disk.prepare(KEYRING, &bytes).map_err(Error::io("write the keyring"))?;
    disk.switch(KEYRING).map_err(Error::io(
        "put the keyring in place; either the old or the new keys open the store",
    ))
}

/// Lets the place work on all of its rows.
///
/// # Errors
/// `InvalidInput` of a place that has none of these operations; `Closed`; and those of the work.
fn operate<T>(core: &Core, work: impl FnOnce(&dyn Operate) -> Result<T>) -> Result<T> {
    let Backend::Remote(remote) = &core.backend else { return Err(not_embedded()) };
    remote.operate(work)
}
