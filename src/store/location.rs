//! Where a store lives: a folder (and perhaps another for the ledger), locked, or a pretended
//! machine.

use std::path::{Path, PathBuf};

use crate::engine::{Engines, Tuning};
use crate::model::error::{Error, Result};
use crate::model::random_id::LedgerId;
use crate::model::storage::Storage;
use crate::platform::disk::{self, Disk, Folder};
use crate::store::engines::EngineFolder;
use crate::store::lock_file::Locked;

/// The name of the file of wrapped keys.
pub(crate) const KEYRING: &str = "keyring";
/// The file that names the ledger of a store whose creation is not finished.
pub(crate) const BIRTH: &str = "birth";
/// The file that names what an unfinished move of the live rows has made, or is to remove.
pub(crate) const MOVING: &str = "moving";
/// The file that says that the engine was missing. It stays until an open that succeeded has
/// reported it.
pub(crate) const MISSING: &str = "missing";
pub(crate) const LOCK: &str = "lock";
/// How the name of a file begins that holds rows in SQLite's format.
const ROWS: &str = "rows-";
/// And how it ends.
const FILE: &str = ".db";
const ENGINE: &str = "engine-";

/// What holds the folders for this process until it is dropped.
pub(crate) type Held = Vec<Box<dyn std::any::Any + Send>>;

/// Where a store lives.
pub(crate) trait Place: Send + Sync {
    /// Locks the place for this process.
    fn lock(&self) -> Result<Held>;

    /// Locks a ledger too: another store's folder may be a copy of this one's, and name the same
    /// ledger. A lock that is among those held already is not taken again.
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

    /// Whether processes can share a store there.
    ///
    /// # Errors
    /// `InvalidInput`, `Io`.
    fn check_shared(&self) -> Result<()> {
        Ok(())
    }

    /// The folder that all of it but the ledger is in; `None` of a pretended machine.
    fn folder(&self) -> Option<&Path> {
        None
    }
}

/// The name of the engine's folder, or of the rows' file, beside the ledger of this id. An engine of
/// another ledger has another name, so the two are never mixed, and forgetting everyone needs no
/// deletion to take effect. The serial rises when the rows move to a fresh place, of whichever kind:
/// the highest counts.
pub(crate) fn engine_name(storage: Storage, ledger_id: &LedgerId, serial: u32) -> String {
    let id = base16ct::lower::encode_string(ledger_id.as_bytes());
    match storage {
        Storage::Embedded => format!("{ENGINE}{id}-{serial}"),
        Storage::Sqlite => format!("{ROWS}{id}-{serial}{FILE}"),
    }
}

/// The kind, the ledger's id and the serial in an engine's name. `None` for a name that ends in
/// `.new`: such an engine is unfinished.
pub(crate) fn parse_engine(name: &str) -> Option<(Storage, LedgerId, u32)> {
    let (storage, rest) = match name.strip_prefix(ENGINE) {
        Some(rest) => (Storage::Embedded, rest),
        None => (Storage::Sqlite, name.strip_prefix(ROWS)?.strip_suffix(FILE)?),
    };
    let (id, serial) = rest.split_once('-')?;
    let mut bytes = [0; 16];
    let is_id = id.len() == 32 && base16ct::lower::decode(id, &mut bytes).is_ok();
    let number = serial.parse().ok().filter(|number: &u32| number.to_string() == serial);
    is_id.then_some((storage, LedgerId::from_bytes(bytes), number?))
}

/// Whether a name is that of an engine, finished or not.
pub(crate) fn is_engine(name: &str) -> bool {
    parse_engine(name.strip_suffix(".new").unwrap_or(name)).is_some()
}

/// Whether a name is that of a rows' file.
#[cfg(all(unix, feature = "sqlite"))]
pub(crate) fn is_rows(name: &str) -> bool {
    matches!(parse_engine(name), Some((Storage::Sqlite, ..)))
}

/// Whether a name is that of a rows' file, finished or not, or of something beside it.
pub(crate) fn is_rows_like(name: &str) -> bool {
    name.starts_with(ROWS)
}

/// The newest engine of this ledger among `names`, if there is one.
pub(crate) fn newest_engine(names: &[String], ledger_id: &LedgerId) -> Option<(Storage, u32)> {
    names
        .iter()
        .filter_map(|name| parse_engine(name))
        .filter(|(_, id, _)| id == ledger_id)
        .map(|(storage, _, serial)| (storage, serial))
        .max_by_key(|(_, serial)| *serial)
}

/// Folders of the file system.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    pub(crate) path: PathBuf,
    pub(crate) ledger: Option<PathBuf>,
    pub(crate) engines: EngineFolder,
}

impl Folders {
    pub(crate) fn new(path: PathBuf, ledger: Option<PathBuf>, tuning: Tuning) -> Self {
        Self { engines: EngineFolder::new(path.clone(), tuning), path, ledger }
    }

    /// Takes those of the locks whose files are there, and makes none: for a look at a store that
    /// nobody may change meanwhile, and that perhaps cannot be written to.
    pub(crate) fn lock_as_it_is(&self, ledger: impl FnOnce() -> Result<String>) -> Result<Held> {
        let mut held: Held = Vec::new();
        let mut lock = |path: PathBuf| {
            let locked = Locked::take_if_there(path)?;
            held.extend(locked.map(|locked| Box::new(locked) as _));
            Ok::<_, Error>(())
        };
        lock(self.path.join(LOCK))?;
        lock(self.ledger_lock(&ledger()?))?;
        Ok(held)
    }

    pub(crate) fn ledger_folder(&self) -> &Path {
        self.ledger.as_ref().unwrap_or(&self.path)
    }

    pub(crate) fn ledger_lock(&self, ledger: &str) -> PathBuf {
        self.ledger_folder().join(format!("{ledger}.lock"))
    }
}

impl Place for Folders {
    fn lock(&self) -> Result<Held> {
        disk::create_private(&self.path).map_err(Error::io("make the store's folder"))?;
        Ok(vec![Box::new(Locked::take(self.path.join(LOCK))?)])
    }

    fn lock_ledger(&self, ledger: &str, held: &mut Held) -> Result<()> {
        let path = self.ledger_lock(ledger);
        let is_it = |one: &Locked| one.is_at(&path);
        if held.iter().any(|one| one.downcast_ref::<Locked>().is_some_and(is_it)) {
            return Ok(());
        }
        disk::create_private(self.ledger_folder())
            .map_err(Error::io("make the ledger's folder"))?;
        held.push(Box::new(Locked::take(path)?));
        Ok(())
    }

    fn disk(&self) -> Result<Box<dyn Disk>> {
        Ok(Box::new(Folder::create(&self.path).map_err(Error::io("make the store's folder"))?))
    }

    fn ledger_disk(&self) -> Result<Box<dyn Disk>> {
        let path = self.ledger_folder();
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

    #[cfg(all(unix, feature = "sqlite"))]
    fn check_shared(&self) -> Result<()> {
        crate::backend::sqlite::check_place(&self.path, self.ledger_folder())
    }

    #[cfg(not(all(unix, feature = "sqlite")))]
    fn check_shared(&self) -> Result<()> {
        let problem = "rows in SQLite need a build with the feature `sqlite`, on Unix";
        Err(crate::model::error::Error::invalid("store", problem))
    }

    fn folder(&self) -> Option<&Path> {
        Some(&self.path)
    }
}
