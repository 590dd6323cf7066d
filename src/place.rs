//! Where a store lives: a folder (and perhaps another for the ledger), locked, or a pretended machine.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

use crate::disk::{Disk, Folder, private_file};
use crate::engine::{Engine, SledEngine};
use crate::error::{Error, Result};

/// The name of the file of wrapped keys.
pub(crate) const KEYRING: &str = "keyring";
/// The file that names the ledger of a birth that is not over.
pub(crate) const BIRTH: &str = "birth";
const LOCK: &str = "lock";
const ENGINE: &str = "engine-";

/// What holds the folders for this process until it is dropped.
pub(crate) type Held = Vec<Box<dyn std::any::Any + Send>>;

/// Where a store lives.
pub(crate) trait Place: Send {
    /// Takes the place for this process.
    fn lock(&self) -> Result<Held>;

    /// Takes a ledger too: another store's folder may be a copy of this one's, and name the same.
    fn lock_ledger(&self, ledger: &str, held: &mut Held) -> Result<()>;

    /// The folder with the keyring.
    fn disk(&self) -> Result<Box<dyn Disk>>;

    /// The folder with the ledger.
    fn ledger_disk(&self) -> Result<Box<dyn Disk>>;

    /// Opens the engine of this name, or makes it.
    fn open_engine(&self, name: &str) -> Result<Box<dyn Engine>>;

    /// Removes an engine that no keyring names any more.
    fn remove_engine(&self, name: &str) -> Result<()>;
}

/// The name of the engine's folder beside the ledger of this id. An engine of another ledger has another name, so the two are
/// never mixed, and forgetting everyone needs no deletion to take effect.
pub(crate) fn engine_name(ledger_id: &[u8; 16]) -> String {
    format!("{ENGINE}{}", base16ct::lower::encode_string(ledger_id))
}

/// The ledger's id in the name of what is, or was becoming, an engine's folder.
pub(crate) fn engine_id(name: &str) -> Option<[u8; 16]> {
    let id = name.strip_prefix(ENGINE)?;
    let mut bytes = [0; 16];
    base16ct::lower::decode(id.strip_suffix(".new").unwrap_or(id), &mut bytes).is_ok_and(|id| id.len() == 16).then_some(bytes)
}

/// Folders of the file system.
#[derive(Debug)]
pub(crate) struct Folders {
    pub(crate) path: PathBuf,
    pub(crate) ledger: Option<PathBuf>,
    pub(crate) cache_bytes: u64,
}

impl Place for Folders {
    fn lock(&self) -> Result<Held> {
        crate::disk::create_private(&self.path).map_err(Error::io("make the store's folder"))?;
        Ok(vec![Box::new(Locked::take(self.path.join(LOCK))?)])
    }

    fn lock_ledger(&self, ledger: &str, held: &mut Held) -> Result<()> {
        let path = self.ledger.as_ref().unwrap_or(&self.path);
        crate::disk::create_private(path).map_err(Error::io("make the ledger's folder"))?;
        held.push(Box::new(Locked::take(path.join(format!("{ledger}.lock")))?));
        Ok(())
    }

    fn disk(&self) -> Result<Box<dyn Disk>> {
        Ok(Box::new(Folder::create(&self.path).map_err(Error::io("make the store's folder"))?))
    }

    fn ledger_disk(&self) -> Result<Box<dyn Disk>> {
        let path = self.ledger.as_ref().unwrap_or(&self.path);
        Ok(Box::new(Folder::create(path).map_err(Error::io("make the ledger's folder"))?))
    }

    fn open_engine(&self, name: &str) -> Result<Box<dyn Engine>> {
        Ok(Box::new(SledEngine::open(&self.path, name, self.cache_bytes)?))
    }

    fn remove_engine(&self, name: &str) -> Result<()> {
        fs::remove_dir_all(self.path.join(name)).map_err(Error::io("remove the old engine's folder"))
    }
}

/// A locked file. It is unlocked in so many words: a child of this process that has not yet become another program holds a
/// copy of the file, and with it the lock.
struct Locked(File);

impl Locked {
    /// Takes the lock, and writes who has it.
    fn take(path: PathBuf) -> Result<Self> {
        let mut file = private_file().create(true).truncate(false).open(path).map_err(Error::io("open the lock file"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Who holds it is only a hint for the operator.
                let _ = file.take(32).read_to_string(&mut pid);
                return Err(Error::AlreadyOpen { pid: pid.trim().parse().ok() });
            }
            Err(fs::TryLockError::Error(error)) => return Err(Error::io("lock the store's folder")(error)),
        }
        let pid = format!("{}\n", std::process::id());
        // Without it nothing is amiss but the hint: a full disk must not keep the store from opening.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(pid.as_bytes()));
        Ok(Self(file))
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}
