//! Joining the place, or making it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use rusqlite::Connection;

use super::checkpointer::Checkpointer;
use super::connection::{Connections, get, make, sqlite};
use super::files::{APPLICATION_ID, FORMAT, Files, check_local, check_version, make_private};
use super::flush::{Flusher, write_again};
use super::leases::Leases;
use super::{FAILED, Place, STATE, Sqlite};
use crate::clock::trust::Known;
use crate::crypto::Keyring;
use crate::ledger::Growth;
use crate::ledger::many::{Among, Many};
use crate::model::error::{Component, Error, Result};
use crate::model::position::Position;
use crate::platform::disk::sync_folder;
use crate::platform::path::at;
#[cfg(feature = "test-util")]
use crate::platform::sync::Mutex;
use crate::platform::turn::{Presence, Turnstile};
use crate::rows::cipher::Rows;
use crate::rows::row_key::{CHECKPOINT, KNOWN};

/// What joining gives.
pub(crate) struct Joined {
    pub(crate) place: Sqlite,
    /// What earlier processes have left about the time.
    pub(crate) known: Option<Known>,
    /// Whether the rows' file was missing beside a ledger that is none of a new store.
    pub(crate) was_missing: bool,
}

/// Joins the place in this folder, whose keyring this is. One process does so at a time, which the
/// caller sees to. Rows that were moved here have a checkpoint, which was put last.
///
/// # Errors
/// As of opening a store.
pub(crate) fn join(
    (folder, name, ledger_folder): (&Path, &str, &Path),
    is_moved: bool,
    keyring: &Keyring,
    growth: Growth,
    is_new: bool,
    wait: Duration,
) -> Result<Joined> {
    let secrets = &keyring.secrets;
    let among = Among::enter(ledger_folder, &secrets.ledger_id, wait)?;
    // (SQLite follows no link in any part of a path.)
    let folder = &fs::canonicalize(folder)
        .map_err(at(folder))
        .map_err(Error::io("find the store's folder"))?;
    let path = folder.join(name);
    let is_there = path.try_exists().map_err(at(&path)).map_err(Error::io("look for the rows"))?;
    if !is_there {
        if !among.is_first() {
            let problem = "its file is missing, and other processes have the store open";
            return Err(Error::damaged(Component::Engine, problem));
        }
        make_rows(folder, &path)?;
    }
    let [.., turn, checkpointing] = parts_of(&path);
    let io = |error| Error::io("open the rows' lock file")(error);
    let turnstile = Turnstile::open(&turn).map_err(io)?;
    let is_first = among.is_first();
    if is_first && turnstile.left(STATE).map_err(io)? == FAILED {
        write_again(&path)?;
    }
    let rows = Rows::new(keyring.store_id, secrets.clone());
    let connections = Connections::new(&path);
    let (connection, checkpoint, known) = twice_if_damaged(&path, || {
        let connection = connections.open()?;
        check_format(&connection)?;
        keep_log(&connection)?;
        let read = |key| get(&connection, key).map_err(sqlite("read the rows"));
        let (checkpoint, known) = (read(CHECKPOINT)?, read(KNOWN)?);
        Ok((connection, checkpoint, known))
    })?;
    if checkpoint.is_none() && is_moved {
        return Err(Error::damaged(Component::Engine, "its checkpoint is missing"));
    }
    let checkpoint =
        checkpoint.map_or(Ok(Position::ZERO), |row| rows.open_checkpoint(CHECKPOINT, &row))?;
    let known = known.and_then(|row| rows.open_known(KNOWN, &row));
    let (files, flusher) = (Files::note(&path)?, Flusher::of(&path)?);
    let ledger = Many::open(
        among,
        (secrets.ledger_id, &secrets.ledger_key),
        growth,
        checkpoint,
        files.rows(),
    )?;
    if is_first {
        turnstile.leave(STATE, 0).map_err(io)?;
    }
    let one = Presence::open(&checkpointing).map_err(io)?;
    let checkpointer = Checkpointer::start(path.clone(), turnstile.clone(), one)
        .map_err(Error::io("start the thread that writes SQLite's log back"))?;
    let leases = Leases::open(folder)?;
    connections.give_back(connection);
    let place = Place {
        leases,
        connections,
        files,
        flusher,
        turnstile,
        checkpointer,
        ledger,
        rows,
        checkpoint: AtomicU64::new(checkpoint.get()),
        looked: AtomicU64::new(0),
        #[cfg(feature = "test-util")]
        held: Mutex::default(),
        path,
    };
    Ok(Joined { place: Sqlite(place.into()), known, was_missing: !is_there && !is_new })
}

/// Opens the rows; once more if SQLite says that they are damaged. It says so of a read that fails,
/// too (`SQLITE_IOERR_CORRUPTFS`), and who has asked for it forgets everyone for damage. So it is
/// believed if all of the file and its log can be read, and it says so again.
///
/// This process has no connection to the file meanwhile: to close it drops the locks on it.
pub(super) fn twice_if_damaged<T>(path: &Path, open: impl Fn() -> Result<T>) -> Result<T> {
    match open() {
        Err(Error::Damaged { part: Component::Engine, .. }) => {}
        opened => return opened,
    }
    for part in parts_of(path).iter().take(2) {
        let read = fs::File::open(part).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
        match read {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("read the rows")(at(part)(error)));
            }
            _ => {}
        }
    }
    open()
}

/// SQLite writes to a log, and no process is in the way of another. (A copy that SQLite has made has
/// none yet; and the file keeps what a tool has set.)
pub(super) fn keep_log(connection: &Connection) -> Result<()> {
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(sqlite("set up SQLite's log"))?;
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    Err(Error::invalid("store", "SQLite keeps no log (WAL) on this file system"))
}

/// The rows' file, its log, and all else that lies beside it.
pub(super) fn parts_of(path: &Path) -> [PathBuf; 6] {
    ["", "-wal", "-shm", "-journal", ".turn", ".checkpointing"].map(|suffix| beside(path, suffix))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Where a store of this kind may be.
///
/// # Errors
/// `InvalidInput`, `Io`.
pub(crate) fn check_place(folder: &Path, ledger_folder: &Path) -> Result<()> {
    check_version()?;
    check_local(folder)?;
    check_local(ledger_folder)
}

/// Makes the rows' file: beside its name, so that no part of one is ever found.
pub(super) fn make_rows(folder: &Path, path: &Path) -> Result<()> {
    let beside = beside(path, ".new");
    super::alone::remove(&beside)?;
    make_private(&beside)?;
    make(&beside)?;
    // A log that has outlived its file would be taken for this one's.
    let [_, log, index, ..] = parts_of(path);
    for part in [log, index] {
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove the log of rows that are missing")(at(&part)(error)));
            }
            _ => {}
        }
    }
    let done = fs::File::open(&beside)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&beside, path));
    done.map_err(Error::io("make the rows' file"))?;
    sync_folder(folder).map_err(Error::io("sync the store's folder"))
}

pub(super) fn check_format(connection: &Connection) -> Result<()> {
    let number = |name: &str| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i32>(0))
            .map_err(sqlite("read the rows' header"))
    };
    if number("application_id")? != APPLICATION_ID {
        return Err(Error::damaged(Component::Engine, "its file is not one of this store's"));
    }
    let found = number("user_version")?;
    if found < 1 {
        return Err(Error::damaged(Component::Engine, "its file does not say its format"));
    }
    if found > FORMAT {
        let narrow = |version| u8::try_from(version).unwrap_or(u8::MAX);
        return Err(Error::UnsupportedFormat {
            part: Component::Engine,
            found: narrow(found),
            supported: narrow(FORMAT),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    // Else one read that fails forgets everyone, where that was asked for.
    #[test]
    fn damage_is_believed_if_the_files_can_be_read_and_it_is_said_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        fs::write(&path, "all of it").unwrap();
        let tries = Cell::new(0);
        let open = |bad: usize| {
            tries.set(0);
            twice_if_damaged(&path, || {
                tries.set(tries.get() + 1);
                let said = Error::damaged(Component::Engine, "a read has failed, or not");
                if tries.get() > bad { Ok(()) } else { Err(said) }
            })
        };
        open(0).unwrap();
        assert_eq!(tries.get(), 1);
        open(1).unwrap();
        assert_eq!(tries.get(), 2);
        assert!(matches!(open(2), Err(Error::Damaged { part: Component::Engine, .. })));
        // A folder cannot be read as a file is.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(open(1), Err(Error::Io { .. })));
    }
}
