//! Connections to the rows' file, and the statements that verbs use.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params_from_iter,
};

use super::files::{APPLICATION_ID, FORMAT};
use crate::backend::exchange::Scan;
use crate::engine::Row;
use crate::model::error::{Component, Error, Result};
use crate::platform::sync::atomic::{AtomicU64, Ordering};
use crate::platform::sync::{Arc, Mutex, lock};

/// What is written by a newer SQLite or an older one beside us may wait so long; our own processes
/// wait before, in our queue.
const FOREIGN: Duration = Duration::from_secs(5);

/// No more connections are kept open than this.
const MOST: usize = 8;

const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE
    .union(OpenFlags::SQLITE_OPEN_NOFOLLOW)
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Connections, opened as they are needed, to read and to write. The one that was used last is taken
/// first: what another one commits empties a connection's cache, what it commits itself does not.
pub(super) struct Connections {
    path: std::path::PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// How many pages SQLite's log had behind the last commit of this process.
    logged: Arc<AtomicU64>,
}

impl Connections {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::default(), logged: Arc::default() }
    }

    /// An idle connection, or another.
    pub(super) fn take(&self) -> Result<Connection> {
        let idle = lock(&self.idle).pop();
        idle.map_or_else(|| self.open(), Ok)
    }

    /// Another connection.
    pub(super) fn open(&self) -> Result<Connection> {
        let mut connection = open(&self.path)?;
        let logged = self.logged.clone();
        let note = move |_: &mut Wal, pages: std::ffi::c_int| {
            logged.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        };
        connection.wal_hook(Some(note)).map_err(sqlite("set up the rows"))?;
        Ok(connection)
    }

    /// How many pages SQLite's log had behind the last commit of this process. (Its file is as long
    /// as it ever was.)
    pub(super) fn logged(&self) -> u64 {
        self.logged.load(Ordering::Relaxed)
    }

    /// Keeps a connection that has ended what it was at.
    pub(super) fn give_back(&self, connection: Connection) {
        let mut idle = lock(&self.idle);
        if idle.len() < MOST {
            idle.push(connection);
        }
    }

    /// Runs `work` in a transaction that has SQLite's lock from its beginning, and is kept if the
    /// work says so.
    pub(super) fn write<T>(
        &self,
        mut connection: Connection,
        work: impl FnOnce(&Connection) -> Result<(T, bool)>,
    ) -> Result<T> {
        let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let done = begun.map_err(sqlite("begin to write rows")).and_then(|transaction| {
            let (done, is_kept) = work(&transaction)?;
            if is_kept {
                transaction.commit().map_err(sqlite("write rows"))?;
            }
            Ok(done)
        });
        // (One that could not even be rolled back is closed; and so is one with an error, as what it
        // has misread may be in its cache.)
        if done.is_ok() && connection.is_autocommit() {
            self.give_back(connection);
        }
        done
    }
}

/// A connection to the file, which is there.
pub(super) fn open(path: &Path) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, FLAGS).map_err(sqlite("open the rows"))?;
    let set_up = || -> rusqlite::Result<()> {
        connection.busy_timeout(FOREIGN)?;
        // None of ours deletes the log or checkpoints when it closes: a process whose locks another
        // close has dropped would lose what it writes then.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_prepared_statement_cache_capacity(32);
        connection.execute_batch(
            "PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-2048; \
             PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit=16777216; \
             PRAGMA cell_size_check=ON; PRAGMA checkpoint_fullfsync=1",
        )
    };
    set_up().map_err(sqlite("set up the rows"))?;
    Ok(connection)
}

/// Makes the tables in an empty file, which is closed again: all of it is in the one file then.
pub(super) fn make(path: &Path) -> Result<()> {
    let make = || -> rusqlite::Result<()> {
        let connection = Connection::open_with_flags(path, FLAGS)?;
        connection.execute_batch(&format!(
            "PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL; \
             CREATE TABLE row(key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL); \
             PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={FORMAT}"
        ))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.close().map_err(|(_, error)| error)
    };
    // (What SQLite calls damage of a file that is just being made, is a call that has failed.)
    make().map_err(|error| match sqlite("make the rows' file")(error) {
        Error::Damaged { .. } => Error::io("make the rows' file")(std::io::ErrorKind::Other.into()),
        error => error,
    })
}

/// One row.
pub(super) fn get(connection: &Connection, key: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT value FROM row WHERE key=?")?
        .query_row([key], |row| row.get(0))
        .optional()
}

/// Rows in the order of their keys.
pub(super) fn scan(connection: &Connection, scan: &Scan) -> rusqlite::Result<Vec<Row>> {
    let limit = i64::try_from(scan.limit).unwrap_or(i64::MAX);
    let mut rows = Vec::new();
    let from = scan.after.as_ref().filter(|after| **after >= scan.prefix);
    // (A prefix without an end: as of the empty one.)
    let sql = match (scan.with_values, from.is_some(), end_of(&scan.prefix).is_some()) {
        (true, true, true) => {
            "SELECT key,value FROM row WHERE key>?1 AND key<?2 ORDER BY key LIMIT ?3"
        }
        (true, false, true) => {
            "SELECT key,value FROM row WHERE key>=?1 AND key<?2 ORDER BY key LIMIT ?3"
        }
        (true, true, false) => {
            "SELECT key,value FROM row WHERE key>?1 AND key>?2 ORDER BY key LIMIT ?3"
        }
        (true, false, false) => {
            "SELECT key,value FROM row WHERE key>=?1 AND key>=?2 ORDER BY key LIMIT ?3"
        }
        // The index of the keys has all of it.
        (false, true, true) => {
            "SELECT key,x'' FROM row WHERE key>?1 AND key<?2 ORDER BY key LIMIT ?3"
        }
        (false, false, true) => {
            "SELECT key,x'' FROM row WHERE key>=?1 AND key<?2 ORDER BY key LIMIT ?3"
        }
        (false, true, false) => {
            "SELECT key,x'' FROM row WHERE key>?1 AND key>?2 ORDER BY key LIMIT ?3"
        }
        (false, false, false) => {
            "SELECT key,x'' FROM row WHERE key>=?1 AND key>=?2 ORDER BY key LIMIT ?3"
        }
    };
    let first = from.unwrap_or(&scan.prefix);
    let end = end_of(&scan.prefix).unwrap_or_default();
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(rusqlite::params![first, end, limit])?;
    while let Some(row) = found.next()? {
        rows.push((row.get(0)?, row.get(1)?));
    }
    Ok(rows)
}

/// The most rows under a prefix that a glance brings.
const MOST_AT_A_GLANCE: usize = 64;

/// A few rows of one moment, by one statement: those with these keys, and all whose keys begin so; in
/// the order of their keys. `None` if that takes more than a glance.
pub(super) fn glance(
    connection: &Connection,
    keys: &[Vec<u8>],
    prefix: Option<&[u8]>,
) -> rusqlite::Result<Option<Vec<Row>>> {
    let sql = match (keys.len(), prefix.is_some()) {
        (1, false) => "SELECT key,value FROM row WHERE key=?1",
        (2, false) => {
            "SELECT key,value FROM row WHERE key=?1 UNION ALL \
             SELECT key,value FROM row WHERE key=?2"
        }
        (3, false) => {
            "SELECT key,value FROM row WHERE key=?1 UNION ALL \
             SELECT key,value FROM row WHERE key=?2 UNION ALL \
             SELECT key,value FROM row WHERE key=?3"
        }
        (0, true) => "SELECT key,value FROM row WHERE key>=?1 AND key<?2",
        (1, true) => {
            "SELECT key,value FROM row WHERE key=?1 UNION ALL \
             SELECT key,value FROM row WHERE key>=?2 AND key<?3"
        }
        _ => return Ok(None),
    };
    let end = prefix.map(end_of);
    if matches!(end, Some(None)) {
        return Ok(None);
    }
    let (end, most) = (end.flatten(), keys.len() + MOST_AT_A_GLANCE);
    let bounds = prefix.into_iter().chain(end.as_deref());
    let mut statement = connection.prepare_cached(sql)?;
    let mut found =
        statement.query(params_from_iter(keys.iter().map(Vec::as_slice).chain(bounds)))?;
    let mut rows: Vec<Row> = Vec::new();
    while let Some(row) = found.next()? {
        if rows.len() == most {
            return Ok(None);
        }
        rows.push((row.get(0)?, row.get(1)?));
    }
    rows.sort_unstable();
    rows.dedup();
    Ok(Some(rows))
}

/// Whether any row's key begins so.
pub(super) fn is_any_under(connection: &Connection, prefix: &[u8]) -> rusqlite::Result<bool> {
    let one = Scan { limit: 1, with_values: false, ..Scan::all(prefix.to_vec()) };
    Ok(!scan(connection, &one)?.is_empty())
}

/// Puts or deletes a row.
pub(super) fn write(
    connection: &Connection,
    key: &[u8],
    value: Option<&[u8]>,
) -> rusqlite::Result<()> {
    match value {
        Some(value) => connection
            .prepare_cached(
                "INSERT INTO row VALUES(?,?) ON CONFLICT(key) DO UPDATE SET value=excluded.value",
            )?
            .execute([key, value])
            .map(drop),
        None => connection.prepare_cached("DELETE FROM row WHERE key=?")?.execute([key]).map(drop),
    }
}

/// The least key that is above all that begin with `prefix`; `None` if there is none.
fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// What an error of SQLite's means for the caller.
pub(super) fn sqlite(action: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full(Component::Engine),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::damaged(Component::Engine, "SQLite says that the rows' file is malformed")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Busy { pid: None },
        _ => Error::io(action)(std::io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glance_brings_what_is_there_and_no_more_than_a_few_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("rows");
        super::super::files::make_private(&path).unwrap();
        make(&path).unwrap();
        let rows = open(&path).unwrap();
        let key = |name: &str| name.as_bytes().to_vec();
        for name in ["a", "b1", "b2", "c"] {
            write(&rows, &key(name), Some(&key(name))).unwrap();
        }
        let glance = |keys: &[&str], prefix: Option<&str>| {
            let keys: Vec<_> = keys.iter().map(|name| key(name)).collect();
            let found = glance(&rows, &keys, prefix.map(str::as_bytes)).unwrap()?;
            assert!(found.iter().all(|(key, value)| key == value));
            Some(found.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect())
        };
        let some = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(glance(&["a"], None), some(&["a"]));
        assert_eq!(glance(&["c", "x"], None), some(&["c"]));
        assert_eq!(glance(&["c", "a", "b2"], None), some(&["a", "b2", "c"]));
        assert_eq!(glance(&[], Some("b")), some(&["b1", "b2"]));
        // Once, though it was asked for twice.
        assert_eq!(glance(&["b1"], Some("b")), some(&["b1", "b2"]));
        // (No prefix has an end that is above all.)
        assert_eq!(glance(&[], Some("")), None::<Vec<String>>);
        assert_eq!(glance(&["a", "b", "c", "d"], None), None);
        for number in 0..MOST_AT_A_GLANCE - 1 {
            let name = format!("b3-{number:02}");
            write(&rows, &key(&name), Some(&key(&name))).unwrap();
        }
        assert_eq!(glance(&[], Some("b")), None);
        write(&rows, b"b1", None).unwrap();
        assert_eq!(glance(&[], Some("b")).map(|all| all.len()), Some(MOST_AT_A_GLANCE));
    }
}
