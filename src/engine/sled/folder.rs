//! sled's databases in a folder, each in a folder of its own.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{SledEngine, Tuning};
use crate::engine::{Engine, Engines};
use crate::model::error::{Error, Result};
use crate::platform::disk::{create_private, private_file, sync_folder};

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
        Ok(Box::new(SledEngine::open(&self.path, name, self.tuning)?))
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
                Err(Error::Io { action: "remove the old engine's folder", source: error })
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
        Ok(Box::new(SledEngine::open(folder, name, tuning)?))
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
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            let mut file = private_file().create(true).truncate(true).open(&target)?;
            io::copy(&mut File::open(entry.path())?, &mut file)?;
            file.sync_all()?;
        } else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it holds something that is neither a file nor a folder",
            ));
        }
    }
    sync_folder(to)
}
