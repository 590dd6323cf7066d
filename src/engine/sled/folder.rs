//! sled's databases in a folder, each in a folder of its own.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{SledEngine, Tuning};
use crate::engine::{Engine, Engines};
use crate::model::error::{Error, Result};
use crate::platform::disk::{create_private, private_file, sync_folder};
use crate::platform::path::at;

/// How much memory a backup's engine may take for its cache while it is made.
const EXPORT_CACHE_BYTES: u64 = 16 << 20;
/// About how much an engine takes beside its cache and its pages.
const SPARE_BYTES: u64 = 16 << 20;

/// A folder of databases.
#[derive(Clone, Debug)]
pub(crate) struct SledFolder {
    pub(crate) path: PathBuf,
    pub(crate) tuning: Tuning,
}

impl Engines for SledFolder {
    fn open(&self, name: &str) -> Result<Box<dyn Engine>> {
        let opened = SledEngine::open(&self.path, name, self.tuning);
        Ok(Box::new(opened.map_err(|error| error.at(&self.path.join(name)))?))
    }

    fn remove(&self, name: &str) -> Result<()> {
        // Threads of sled can outlive its handle by a little, and put a file where one was just
        // removed.
        let path = self.path.join(name);
        let is_busy = |error: &io::Error| error.kind() == io::ErrorKind::DirectoryNotEmpty;
        let mut removed = fs::remove_dir_all(&path);
        for _ in 0..20 {
            if !removed.as_ref().is_err_and(is_busy) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
            removed = fs::remove_dir_all(&path);
        }
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove the old engine's folder")(at(&path)(error)))
            }
            _ => sync_folder(&self.path).map_err(Error::io("sync the store's folder")),
        }
    }

    fn import(&self, from: &Path, name: &str) -> Result<()> {
        let copied =
            copy_folder(from, &self.path.join(name)).and_then(|()| sync_folder(&self.path));
        copied.map_err(Error::io("copy the engine's folder"))
    }

    fn export(&self, folder: &Path, name: &str) -> Result<Box<dyn Engine>> {
        let tuning = Tuning { cache_bytes: EXPORT_CACHE_BYTES, ..self.tuning };
        let opened = SledEngine::open(folder, name, tuning);
        Ok(Box::new(opened.map_err(|error| error.at(&folder.join(name)))?))
    }

    fn memory_of_another(&self, engine_bytes: u64) -> u64 {
        // Measured: 2.5 times the cache, and some bytes for each page.
        let cache = self.tuning.cache_bytes.saturating_mul(3);
        cache.saturating_add(SPARE_BYTES + engine_bytes / 32)
    }
}

/// Copies the files of a folder, and of those in it, durably. Nothing but files and folders is
/// followed.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    create_private(to)?;
    for entry in fs::read_dir(from).map_err(at(from))? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            let mut original = File::open(entry.path()).map_err(at(&entry.path()))?;
            let copied =
                private_file().create(true).truncate(true).open(&target).and_then(|mut file| {
                    io::copy(&mut original, &mut file).and_then(|_| file.sync_all())
                });
            copied.map_err(at(&target))?;
        } else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it holds something that is neither a file nor a folder",
            ));
        }
    }
    sync_folder(to)
}
