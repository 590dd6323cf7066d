//! Opening a database, and making one.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::handle::{Handle, io_error};
use super::recovery::{Recovered, is_alone, recover, set_tripwire};
use super::replay::Fault;
use super::{Durability, Engine, EngineError, Found, SledEngine, Tuning, open_error};
use crate::model::error::{Component, Error, Result};
use crate::platform::disk::{create_private, sync_folder};

/// What an error says when the system refused to read: the next attempt may succeed.
const READ: &str = "read the engine; nothing of it was lost, try again";

/// Opens the database in the folder `name` of `parent`, or makes it there.
pub(super) fn open(parent: &Path, name: &str, tuning: Tuning) -> Result<SledEngine> {
    let path = parent.join(name);
    let was_missing = match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        metadata => metadata.map(|_| false).map_err(Error::io(READ))?,
    };
    if was_missing {
        create(parent, name, tuning).map_err(open_error)?;
    }
    // (A rename of a process that died before it synced the folder is made durable before anything
    // is read of it.)
    clean(&path).map_err(Error::io("clean the engine's folder"))?;
    let log = open_log(&path)?;
    wait_unlocked(&log).map_err(Error::io("wait for the engine's lock"))?;
    let (db, recovered) = open_recovered(&path, &log, tuning)?;
    let found = Found { snapshot_was_damaged: recovered.snapshot_was_damaged };
    let engine = SledEngine::start(db, log, tuning, found).map_err(open_error)?;
    sync_folder(&path).map_err(Error::io("sync the engine's folder"))?;
    let is_alone = is_alone(&path, &recovered.snapshot).map_err(Error::io(READ))?;
    if !is_alone {
        // sled did not see the snapshot, and has read all of the log anew.
        return Err(Error::io(READ)(io::Error::other("the snapshot was passed over")));
    }
    Ok(engine)
}

/// Recovers the log and makes sled open it. What fails, and not because the system refused, is
/// tried once more: sled does not always say that the system refused.
fn open_recovered(path: &Path, log: &File, tuning: Tuning) -> Result<(Handle, Recovered)> {
    let attempt = || {
        let recovered = recover(path, log).map_err(refused)?;
        set_tripwire(path, &recovered.snapshot, log).map_err(refused)?;
        let db = Handle::open(&config(path, tuning)).map_err(open_error)?;
        Ok((db, recovered))
    };
    match attempt() {
        Err(Error::Damaged { .. }) => {
            probe(path, log).map_err(Error::io(READ))?;
            wait_unlocked(log).map_err(Error::io("wait for the engine's lock"))?;
            attempt()
        }
        result => result,
    }
}

fn refused(fault: Fault) -> Error {
    match fault {
        Fault::Io(error) => match io_error(error) {
            EngineError::Io(source) => Error::io(READ)(source),
            other => open_error(other),
        },
        Fault::Damaged(problem) => Error::damaged(Component::Engine, problem),
    }
}

/// Tries whether the system lets us do what sled does when it opens: sled's panics do not say what
/// failed.
fn probe(path: &Path, log: &File) -> io::Result<()> {
    // As many files at once as sled has.
    let files = ["conf", "db"].map(|name| File::open(path.join(name)));
    for file in files {
        match file {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            File::open(entry.path())?;
        }
    }
    log.metadata().map(drop)
}

fn open_log(path: &Path) -> Result<File> {
    let log = File::options().read(true).write(true).open(path.join("db"));
    log.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::damaged(Component::Engine, "its log is missing"),
        _ => Error::io("open the engine's log")(error),
    })
}

fn config(path: &Path, tuning: Tuning) -> sled::Config {
    sled::Config::new().path(path).cache_capacity(tuning.cache_bytes).flush_every_ms(None)
}

/// Makes a database beside its place and renames it, so that sled never meets half of its own
/// files.
fn create(parent: &Path, name: &str, tuning: Tuning) -> Result<(), EngineError> {
    let path = parent.join(format!("{name}.new"));
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(error)),
        _ => {}
    }
    create_private(&path).map_err(io_error)?;
    let db = Handle::open(&config(&path, tuning))?;
    // Windows syncs only what is open for writing.
    let file =
        |name: &str| File::options().read(true).write(true).open(path.join(name)).map_err(io_error);
    let engine = SledEngine::start(db, file("db")?, tuning, Found::default())?;
    engine.sync(Durability::PowerLoss)?;
    drop(engine);
    for name in ["conf", "db"] {
        file(name)?.sync_all().map_err(io_error)?;
    }
    sync_folder(&path).map_err(io_error)?;
    fs::rename(&path, parent.join(name)).and_then(|()| sync_folder(parent)).map_err(io_error)
}

/// Waits while a child of this process, between fork and exec, holds sled's lock of an earlier
/// open. No other process can: we have the store's lock. (Or an earlier open gave up a flush that
/// has not returned: so this does not wait for ever.)
fn wait_unlocked(log: &File) -> io::Result<()> {
    for _ in 0..5000 {
        match log.try_lock() {
            Ok(()) => return log.unlock(),
            Err(fs::TryLockError::WouldBlock) => {
                std::thread::sleep(std::time::Duration::from_millis(1))
            }
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::ErrorKind::WouldBlock.into())
}

/// Removes snapshots that were being written when the process died. The older snapshot and the log
/// are still whole.
fn clean(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".generating") || name.ends_with(".in___motion") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
