//! Opening a store that is kept by SQLite: beside other processes, or as the first.

#[cfg(all(unix, feature = "sqlite"))]
pub(crate) mod sqlite;

use crate::api::builder::Builder;
use crate::model::error::{Error, Result};
use crate::model::storage::Storage;
use crate::store::location::{MOVING, parse_engine};

impl Builder {
    /// Whether the store in this folder is kept by SQLite, or will be.
    ///
    /// # Errors
    /// `InvalidInput` if it is kept by the other engine than was asked for, or by one that this
    /// build does not have; `Io`.
    pub(crate) fn is_kept_by_sqlite(&self) -> Result<bool> {
        let Some(folders) = self.in_folders() else { return Ok(false) };
        let names = match std::fs::read_dir(&folders.path) {
            Ok(entries) => entries
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect::<std::io::Result<Vec<_>>>(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(crate::platform::path::at(&folders.path)(error)),
        };
        let mut names = names.map_err(Error::io("list the store's folder"))?;
        // What a move did not finish does not count.
        let mark = match std::fs::read(folders.path.join(MOVING)) {
            Ok(mark) => mark,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::io("read the mark of a move")(error)),
        };
        let mark = String::from_utf8_lossy(&mark);
        names.retain(|name| !mark.lines().any(|marked| marked == name));
        let found = names.iter().filter_map(|name| parse_engine(name));
        match found.max_by_key(|(_, _, serial)| *serial) {
            Some((Storage::Sqlite, ..)) if cfg!(all(unix, feature = "sqlite")) => return Ok(true),
            Some((Storage::Sqlite, ..)) => {
                let problem = "it is kept by SQLite: build with the feature `sqlite`, on Unix";
                return Err(Error::invalid("store", problem));
            }
            Some((Storage::Embedded, ..)) if self.is_sqlite => {
                let problem = "it is kept by sled: open it without Builder::sqlite, or move it there \
                               first, by `oubliette migrate`";
                return Err(Error::invalid("store", problem));
            }
            Some((Storage::Embedded, ..)) => return Ok(false),
            None => {}
        }
        Ok(self.is_sqlite)
    }

    #[cfg(not(all(unix, feature = "sqlite")))]
    pub(super) fn join_sqlite(self) -> Result<crate::api::token_store::TokenStore> {
        Err(Error::invalid("store", "this build has no SQLite"))
    }
}
