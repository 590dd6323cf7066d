//! A copy of the live rows, with the keyring, and without the ledger: only the ledger in use knows
//! which sign-ins have ended since.

use crate::engine::Engines;
use crate::maintenance::migrate::{Moved, copy_live};
use crate::model::error::{Error, Result};
use crate::model::report::BackupReport;
use crate::model::storage::Storage;
use crate::platform::disk::{Disk, Folder, create_private};
use crate::store::core::Core;
use crate::store::files::Premises;
use crate::store::location::{KEYRING, engine_name};
use std::fs;
use std::path::Path;

/// Copies the live rows, each account as it is at one moment, and then the keyring, whose presence
/// says that the backup is whole. What the rows' name is like says what keeps them.
pub(crate) fn backup(core: &Core, site: Site<'_>, path: &Path) -> Result<BackupReport> {
    create_private(path).map_err(Error::io("make the backup's folder"))?;
    let entries: std::io::Result<Vec<_>> = fs::read_dir(path).and_then(Iterator::collect);
    if !entries.map_err(Error::io("read the backup's folder"))?.is_empty() {
        return Err(Error::invalid("backup", "the folder is not empty"));
    }
    let keyring = site.disk.read(KEYRING).map_err(Error::io("read the keyring"))?;
    let keyring = keyring
        .ok_or_else(|| Error::invalid("backup", "the keyring was taken away under the store"))?;
    let ledger_id = core.enter()?.rows()?.keyring().secrets.ledger_id;
    let target = site.engines.export(path, &engine_name(site.storage, &ledger_id, 0))?;
    let (Moved { accounts, rows, bytes, tampered, .. }, position) = copy_live(core, target)?;
    let disk = Folder::create(path).map_err(Error::io("open the backup's folder"))?;
    disk.prepare(KEYRING, &keyring)
        .and_then(|()| disk.switch(KEYRING))
        .map_err(Error::io("write the backup's keyring"))?;
    Ok(BackupReport { accounts, rows, live_bytes: bytes, tampered, position: position.get() })
}

/// What is copied, beside what the store's core has.
pub(crate) struct Site<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) engines: &'a dyn Engines,
    pub(crate) storage: Storage,
}

impl<'a> From<&'a Premises> for Site<'a> {
    fn from(premises: &'a Premises) -> Self {
        Self {
            disk: &*premises.disk,
            engines: premises.place.engines(),
            storage: premises.engine.0,
        }
    }
}
