//! The engines in a store's folder, sled's and SQLite's: what a name is like says which.

use std::path::{Path, PathBuf};

#[cfg(all(unix, feature = "sqlite"))]
use crate::backend::sqlite::alone as sqlite;
use crate::engine::{Engine, Engines, SledFolder, Tuning};
use crate::model::error::Result;
use crate::store::location::is_rows_like;

/// The engines in a folder.
#[derive(Clone, Debug)]
pub(crate) struct EngineFolder {
    path: PathBuf,
    pub(crate) tuning: Tuning,
}

impl EngineFolder {
    pub(crate) fn new(path: PathBuf, tuning: Tuning) -> Self {
        Self { path, tuning }
    }

    fn sled(&self) -> SledFolder {
        SledFolder { path: self.path.clone(), tuning: self.tuning }
    }
}

impl Engines for EngineFolder {
    fn open(&self, name: &str) -> Result<Box<dyn Engine>> {
        if is_rows_like(name) {
            sqlite::open(&self.path.join(name))
        } else {
            self.sled().open(name)
        }
    }

    fn remove(&self, name: &str) -> Result<()> {
        if is_rows_like(name) {
            sqlite::remove(&self.path.join(name))
        } else {
            self.sled().remove(name)
        }
    }

    fn import(&self, from: &Path, name: &str) -> Result<()> {
        if is_rows_like(name) {
            sqlite::import(from, &self.path.join(name))
        } else {
            self.sled().import(from, name)
        }
    }

    fn export(&self, folder: &Path, name: &str) -> Result<Box<dyn Engine>> {
        if is_rows_like(name) {
            sqlite::export(&folder.join(name))
        } else {
            self.sled().export(folder, name)
        }
    }

    fn memory_of_another(&self, engine_bytes: u64) -> u64 {
        self.sled().memory_of_another(engine_bytes)
    }
}

/// A build without them opens none.
#[cfg(not(all(unix, feature = "sqlite")))]
mod sqlite {
    use super::{Engine, Path, Result};
    use crate::model::error::Error;

    pub(super) fn open(_: &Path) -> Result<Box<dyn Engine>> {
        Err(missing())
    }

    pub(super) fn export(_: &Path) -> Result<Box<dyn Engine>> {
        Err(missing())
    }

    pub(super) fn import(_: &Path, _: &Path) -> Result<()> {
        Err(missing())
    }

    /// (None is made by this build.)
    pub(super) fn remove(path: &Path) -> Result<()> {
        match path.try_exists() {
            Ok(false) => Ok(()),
            _ => Err(missing()),
        }
    }

    fn missing() -> Error {
        Error::invalid("store", "it is kept by SQLite: build with the feature `sqlite`, on Unix")
    }
}
