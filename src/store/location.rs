//! Where a store lives: a folder (and perhaps another for the ledger), locked, or a pretended
//! machine.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

use crate::engine::{Engines, SledFolder, Tuning};
use crate::model::error::{Error, Result};
use crate::model::random_id::LedgerId;
use crate::platform::disk::{Disk, Folder, private_file};

/// The name of the file of wrapped keys.
pub(crate) const KEYRING: &str = "keyring";
/// The file that names the ledger of a store whose creation is not finished.
pub(crate) const BIRTH: &str = "birth";
/// The file that names what an unfinished move of the live rows has made, or is to remove.
pub(crate) const MOVING: &str = "moving";
/// The file that says that the engine was missing. It stays until an open that succeeded has
/// reported it.
pub(crate) const MISSING: &str = "missing";
const LOCK: &str = "lock";
const ENGINE: &str = "engine-";

/// What holds the folders for this process until it is dropped.
pub(crate) type Held = Vec<Box<dyn std::any::Any + Send>>;

/// Where a store lives.
pub(crate) trait Place: Send + Sync {
    /// Locks the place for this process.
    fn lock(&self) -> Result<Held>;

    /// Locks a ledger too: another store's folder may be a copy of this one's, and name the same
    /// ledger.
    fn lock_ledger(&self, ledger: &str, held: &mut Held) -> Result<()>;

    /// The folder with the keyring.
    fn disk(&self) -> Result<Box<dyn Disk>>;

    /// The folder with the ledger.
    fn ledger_disk(&self) -> Result<Box<dyn Disk>>;

    /// Makes renames in the folders durable: an earlier process may have died before it synced
    /// them, and what is read from here on must be what a crash would leave.
    fn sync(&self) -> Result<()>;

    /// The store's engines.
    fn engines(&self) -> &dyn Engines;

    /// How many bytes are free for the engine; `None` if that is not known.
    fn available(&self) -> Option<u64>;
}

/// The name of the engine's folder beside the ledger of this id. An engine of another ledger has
/// another name, so the two are never mixed, and forgetting everyone needs no deletion to take
/// effect. The serial rises when the rows move to a fresh folder.
pub(crate) fn engine_name(ledger_id: &LedgerId, serial: u32) -> String {
    format!("{ENGINE}{}-{serial}", base16ct::lower::encode_string(ledger_id.as_bytes()))
}

/// The ledger's id and the serial in an engine's name. `None` for a name that ends in `.new`: such
/// an engine is unfinished.
pub(crate) fn parse_engine(name: &str) -> Option<(LedgerId, u32)> {
    let (id, serial) = name.strip_prefix(ENGINE)?.split_once('-')?;
    let mut bytes = [0; 16];
    let is_id = id.len() == 32 && base16ct::lower::decode(id, &mut bytes).is_ok();
    let number = serial.parse().ok().filter(|number: &u32| number.to_string() == serial)?;
    is_id.then_some((LedgerId::from_bytes(bytes), number))
}

/// Whether a name is that of an engine, finished or not.
pub(crate) fn is_engine(name: &str) -> bool {
    parse_engine(name.strip_suffix(".new").unwrap_or(name)).is_some()
}

/// The serial of the newest engine of this ledger among `names`, if there is one.
pub(crate) fn newest_engine(names: &[String], ledger_id: &LedgerId) -> Option<u32> {
    names
        .iter()
        .filter_map(|name| parse_engine(name))
        .filter(|(id, _)| id == ledger_id)
        .map(|(_, serial)| serial)
        .max()
}

/// Folders of the file system.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    pub(crate) path: PathBuf,
    pub(crate) ledger: Option<PathBuf>,
    pub(crate) engines: SledFolder,
}

impl Folders {
    pub(crate) fn new(path: PathBuf, ledger: Option<PathBuf>, tuning: Tuning) -> Self {
        Self { engines: SledFolder { path: path.clone(), tuning }, path, ledger }
    }
}

impl Place for Folders {
    fn lock(&self) -> Result<Held> {
        crate::platform::disk::create_private(&self.path)
            .map_err(Error::io("make the store's folder"))?;
        Ok(vec![Box::new(Locked::take(self.path.join(LOCK))?)])
    }

    fn lock_ledger(&self, ledger: &str, held: &mut Held) -> Result<()> {
        let path = self.ledger.as_ref().unwrap_or(&self.path);
        crate::platform::disk::create_private(path)
            .map_err(Error::io("make the ledger's folder"))?;
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

    fn sync(&self) -> Result<()> {
        let own = self.disk()?.sync().map_err(Error::io("sync the store's folder"));
        let ledger = || self.ledger_disk()?.sync().map_err(Error::io("sync the ledger's folder"));
        if self.ledger.is_some() { own.and_then(|()| ledger()) } else { own }
    }

    fn engines(&self) -> &dyn Engines {
        &self.engines
    }

    fn available(&self) -> Option<u64> {
        fs4::available_space(&self.path).ok()
    }
}

/// A locked file. Dropping it unlocks the file explicitly, as closing it may not be enough: a child
/// of this process that has not called `exec` yet holds a copy of the file, and with it the lock.
struct Locked(File);

impl Locked {
    /// Takes the lock, and writes the id of this process into the file.
    fn take(path: PathBuf) -> Result<Self> {
        let mut file = private_file()
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(Error::io("open the lock file"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // The id is only a hint for the operator.
                let _ = file.take(32).read_to_string(&mut pid);
                return Err(Error::AlreadyOpen { pid: pid.trim().parse().ok() });
            }
            Err(fs::TryLockError::Error(error)) => {
                return Err(Error::io("lock the store's folder")(error));
            }
        }
        let pid = format!("{}\n", std::process::id());
        // If this fails, only the hint is missing: a full disk must not keep the store from
        // opening.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(pid.as_bytes()));
        Ok(Self(file))
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}
