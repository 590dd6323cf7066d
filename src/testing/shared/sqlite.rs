//! The shared place that is real: a folder of this machine, with instances in one process.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rusqlite::Connection;

use super::SharedMachine;
use crate::api::joining::sqlite::join_beside;
use crate::backend::exchange::Exchange;
use crate::crypto::{KeySource, Keyring};
use crate::ledger::Ledger;
use crate::model::error::Result;
use crate::model::time::Millis;
use crate::platform::sync::Arc;
use crate::store::location::is_rows;
use crate::testing::temporary::TemporaryFolder;

/// It goes with the last clone.
#[derive(Clone)]
pub(super) struct Folder(Arc<TemporaryFolder>);

impl Folder {
    pub(super) fn new() -> Self {
        Self(Arc::new(TemporaryFolder::new()))
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.0.join("tokens")
    }

    pub(super) fn rows(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let Some(connection) = self.connection() else { return BTreeMap::new() };
        let read = || -> rusqlite::Result<BTreeMap<_, _>> {
            let mut statement = connection.prepare("SELECT key, value FROM row")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        read().unwrap_or_default()
    }

    pub(super) fn set_rows(&self, rows: &BTreeMap<Vec<u8>, Vec<u8>>) {
        let Some(mut connection) = self.connection() else { return };
        let mut write = || -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            transaction.execute("DELETE FROM row", [])?;
            for (key, value) in rows {
                transaction.execute("INSERT INTO row VALUES(?,?)", [key, value])?;
            }
            transaction.commit()
        };
        if let Err(error) = write() {
            unreachable!("the rows cannot be replaced: {error}");
        }
    }

    /// What is in it now, elsewhere.
    pub(super) fn copy(&self) -> Self {
        let copy = Self::new();
        let copied = || -> std::io::Result<()> {
            std::fs::create_dir_all(copy.path())?;
            for entry in std::fs::read_dir(self.path())? {
                let name = entry?.file_name();
                let (from, to) = (self.path().join(&name), copy.path().join(&name));
                let name = name.to_string_lossy();
                if is_rows(&name) {
                    // (To open and close the file itself would drop SQLite's locks.)
                    let connection = self.connection().ok_or(std::io::ErrorKind::NotFound)?;
                    connection
                        .execute("VACUUM INTO ?", [to.to_string_lossy()])
                        .map_err(std::io::Error::other)?;
                } else if name == "keyring" || Ledger::is_file_name(&name) {
                    std::fs::copy(from, to)?;
                }
            }
            Ok(())
        };
        if let Err(error) = copied() {
            unreachable!("the place cannot be copied: {error}");
        }
        copy
    }

    /// (By SQLite, which closes files only when this process has no locks on them any more.)
    fn connection(&self) -> Option<Connection> {
        let entries = std::fs::read_dir(self.path()).ok()?;
        let names = entries.flatten().map(|entry| entry.path());
        let is_it =
            |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(is_rows);
        let connection = Connection::open(names.into_iter().find(is_it)?).ok()?;
        connection
            .set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .ok()?;
        Some(connection)
    }
}

/// Another instance; `None` if the place is not of this kind.
pub(super) fn join(
    machine: &SharedMachine,
    key: &KeySource,
    now: Millis,
) -> Result<Option<(Keyring, Box<dyn Exchange>)>> {
    let folder = machine.state().folder.clone();
    folder.map(|folder| join_beside(&folder.path(), key, now)).transpose()
}
