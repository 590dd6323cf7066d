//! Rows in SQLite's file as the engine of a store that this process alone has open: for what cannot
//! be done beside others, and for copies.
//!
//! Its file is the one that processes share. What keeps these from it is the lock of the folder,
//! which whoever opens this holds alone.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::FAILED;
use super::connection::{
    Connections, get, is_any_under, make, open as connect, scan, sqlite, write,
};
use super::files::{check_version, make_private};
use super::flush::{Flusher, write_again};
use super::join::{check_format, keep_log, parts_of, twice_if_damaged};
use crate::backend::exchange::Scan;
use crate::engine::{Batch, Commit, Durability, Engine, EngineError, Limits, Row};
use crate::model::error::{Error, Result};
use crate::model::tag::AccountTag;
use crate::platform::disk::{private_file, sync_folder};
use crate::platform::path::at;
use crate::platform::sync::{Mutex, lock};

/// So many rows are deleted in one transaction.
const SLICE: usize = 128;

/// The file, as the engine of one process.
pub(crate) struct Alone {
    path: PathBuf,
    readers: Connections,
    writer: Mutex<Connection>,
    durable: Durable,
}

/// How a sync makes what was committed durable.
enum Durable {
    /// By the log.
    Log(Flusher),
    /// By the file itself, which has no log and counts only when it is whole.
    File,
}

/// Opens the rows' file of this name, or makes it.
///
/// # Errors
/// `Damaged`, `UnsupportedFormat`, `Full`, `Io`.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Engine>> {
    check_version()?;
    let path = &found(path)?;
    if !path.try_exists().map_err(at(path)).map_err(Error::io("look for the rows"))? {
        super::join::make_rows(folder_of(path), path)?;
    }
    let [.., turn, _] = parts_of(path);
    // (No lock is lost with this: nobody has one.)
    if fs::read(turn).is_ok_and(|state| state.first() == Some(&FAILED)) {
        write_again(path)?;
    }
    let writer = twice_if_damaged(path, || {
        let writer = connect(path)?;
        check_format(&writer)?;
        keep_log(&writer)?;
        // (With the first read the log is there.)
        is_any_under(&writer, &[]).map_err(sqlite("read the rows"))?;
        Ok(writer)
    })?;
    let set_up = || {
        // Whoever is alone writes the log back when it closes: then the file is all there is.
        writer.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        writer.pragma_update(None, "wal_autocheckpoint", 1000)
    };
    set_up().map_err(sqlite("set up the rows"))?;
    let durable = Durable::Log(Flusher::of(path)?);
    sync_folder(folder_of(path)).map_err(Error::io("sync the store's folder"))?;
    Ok(Box::new(Alone::new(path, writer, durable)))
}

/// Makes the rows' file of this name, which counts only when all of it is there: without a log, and
/// without a sync before the last.
///
/// # Errors
/// `Full`, `Io`.
pub(crate) fn export(path: &Path) -> Result<Box<dyn Engine>> {
    make_private(path)?;
    let path = &found(path)?;
    make(path)?;
    let writer = connect(path)?;
    let set_up = || -> rusqlite::Result<()> {
        let mode: String =
            writer.pragma_update_and_check(None, "journal_mode", "MEMORY", |row| row.get(0))?;
        debug_assert_eq!(mode, "memory");
        writer.pragma_update(None, "synchronous", "OFF")
    };
    set_up().map_err(sqlite("set up the rows"))?;
    Ok(Box::new(Alone::new(path, writer, Durable::File)))
}

/// Copies a rows' file that no process has open, durably: with its log, as a part of it may be there
/// alone, and without the log's index, which SQLite makes anew.
///
/// # Errors
/// `Io`, `Full`.
pub(crate) fn import(from: &Path, to: &Path) -> Result<()> {
    remove(to)?;
    let [file, log, ..] = parts_of(from);
    let [to_file, to_log, ..] = parts_of(to);
    let copied = copy(&log, &to_log)
        .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        .and_then(|()| copy(&file, &to_file))
        .and_then(|()| sync_folder(folder_of(to)));
    copied.map_err(Error::io("copy the rows"))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut original = File::open(from).map_err(at(from))?;
    let mut copy = private_file().create_new(true).open(to).map_err(at(to))?;
    io::copy(&mut original, &mut copy).and_then(|_| copy.sync_all()).map_err(at(to))
}

/// Removes a rows' file, with all that lies beside it, for good.
///
/// # Errors
/// `Io`.
pub(crate) fn remove(path: &Path) -> Result<()> {
    // The file itself last: what lies beside one that is gone, nobody would find.
    for part in parts_of(path).into_iter().rev() {
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove the old rows")(at(&part)(error)));
            }
            _ => {}
        }
    }
    sync_folder(folder_of(path)).map_err(Error::io("sync the store's folder"))
}

impl Alone {
    fn new(path: &Path, writer: Connection, durable: Durable) -> Self {
        let readers = Connections::new(path);
        Self { path: path.to_owned(), readers, writer: Mutex::new(writer), durable }
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, EngineError> {
        // The one that writes sees the same rows, and a file without a log has no other.
        if matches!(self.durable, Durable::File) {
            return read(&lock(&self.writer)).map_err(failed);
        }
        let connection = self.readers.take().map_err(opened)?;
        let found = read(&connection).map_err(failed)?;
        self.readers.give_back(connection);
        Ok(found)
    }
}

impl Engine for Alone {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.read(|rows| get(rows, key))
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, EngineError> {
        let after = after.map(<[u8]>::to_vec);
        let wanted = Scan { after, limit, ..Scan::all(prefix.to_vec()) };
        self.read(|rows| scan(rows, &wanted))
    }

    fn commit(&self, _: &AccountTag, batch: Batch) -> Result<Commit, EngineError> {
        let mut writer = lock(&self.writer);
        let transaction =
            writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        if let Some((key, value)) = &batch.guard
            && get(&transaction, key).map_err(failed)? != *value
        {
            return Ok(Commit::Conflict);
        }
        for (key, value) in &batch.changes {
            write(&transaction, key, value.as_deref()).map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
        Ok(Commit::Done)
    }

    fn discard(&self, keys: Vec<Vec<u8>>) -> Result<(), EngineError> {
        for slice in keys.chunks(SLICE) {
            let changes = slice.iter().map(|key| (key.clone(), None)).collect();
            let _ = self.commit(&AccountTag::NONE, Batch { guard: None, changes })?;
        }
        Ok(())
    }

    fn sync(&self, durability: Durability) -> Result<(), EngineError> {
        if durability == Durability::ProcessCrash {
            return Ok(());
        }
        match &self.durable {
            Durable::Log(log) => log.flush().map_err(opened),
            Durable::File => {
                // (No lock of SQLite's is lost when this is closed, as none is held.)
                let _writer = lock(&self.writer);
                let synced = File::open(&self.path).and_then(|file| file.sync_all());
                synced.and_then(|()| sync_folder(folder_of(&self.path))).map_err(EngineError::Io)
            }
        }
    }

    fn size(&self) -> Result<u64, EngineError> {
        let mut bytes = 0;
        for part in parts_of(&self.path).iter().take(2) {
            bytes += fs::metadata(part).map_or(0, |found| found.len());
        }
        Ok(bytes)
    }

    fn limits(&self) -> Limits {
        Limits { value_bytes: usize::MAX }
    }
}

impl std::fmt::Debug for Alone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Alone(..)")
    }
}

/// SQLite follows no link in any part of a path.
fn found(path: &Path) -> Result<PathBuf> {
    let folder = folder_of(path);
    let folder = fs::canonicalize(folder)
        .map_err(at(folder))
        .map_err(Error::io("find the folder of the rows"))?;
    Ok(folder.join(path.file_name().unwrap_or_default()))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn failed(error: rusqlite::Error) -> EngineError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => EngineError::Full,
        _ => EngineError::Io(io::Error::other(error)),
    }
}

fn opened(error: Error) -> EngineError {
    match error {
        Error::Full(_) => EngineError::Full,
        error => EngineError::Io(io::Error::other(error)),
    }
}
