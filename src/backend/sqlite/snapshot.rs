//! Rows of one moment, read as they are asked for, and the ledger beside them.

use std::cell::{Cell, RefCell};

use rusqlite::Connection;

use super::connection::{get, glance, scan, sqlite};
use super::{Place, here};
use crate::backend::exchange::{Answer, Ask, More, Scan};
use crate::engine::Row;
use crate::model::error::Result;
use crate::model::position::Position;
use crate::platform::sync::{Arc, RwLockReadGuard};
use crate::rule::Fences;

/// A read transaction, which begins with the first row that is asked for.
pub(super) struct Snapshot {
    place: Arc<Place>,
    end_before: Position,
    connection: RefCell<Option<Connection>>,
}

impl Snapshot {
    /// (A sign-out asks for no rows, and is done when they have failed, too: that is looked at where
    /// rows are read.)
    pub(super) fn of(place: &Arc<Place>) -> Self {
        let end_before = place.ledger.end();
        Self { place: place.clone(), end_before, connection: RefCell::default() }
    }

    fn read<T>(&self, read: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let mut connection = self.connection.borrow_mut();
        if let Some(connection) = &*connection {
            return read(connection).map_err(sqlite("read the rows"));
        }
        let begin = |connection: &Connection| {
            connection.prepare_cached("BEGIN")?.execute([])?;
            read(connection)
        };
        let (reader, found) = first_read(&self.place, begin)?;
        *connection = Some(reader);
        drop(connection);
        // What these rows were written on is in the ledger by now.
        self.place.ledger.read_on()?;
        Ok(found)
    }
}

/// Reads. What SQLite calls damage at the beginning is read once more on a new connection: it says so
/// of a read that failed for a moment, too.
fn first_read<T>(
    place: &Place,
    read: impl Fn(&Connection) -> rusqlite::Result<T>,
) -> Result<(Connection, T)> {
    place.flusher.check()?;
    place.check_files_now_and_then()?;
    let first = place.connections.take()?;
    if let Ok(found) = read(&first) {
        return Ok((first, found));
    }
    let second = place.connections.open()?;
    drop(first);
    let found = read(&second).map_err(sqlite("read the rows"))?;
    Ok((second, found))
}

impl More for Snapshot {
    fn get(&self, key: &[u8]) -> Answer<Option<Vec<u8>>> {
        self.read(|connection| get(connection, key)).map_err(here)
    }

    fn scan(&self, wanted: &Scan) -> Answer<Vec<Row>> {
        self.read(|connection| scan(connection, wanted)).map_err(here)
    }

    fn fences(&self) -> RwLockReadGuard<'_, Fences> {
        self.place.ledger.fences()
    }

    fn end(&self) -> Position {
        self.place.ledger.end()
    }

    fn end_before(&self) -> Position {
        self.end_before
    }
}

/// The ledger beside a few rows that were read at a glance: by one statement, which is a moment by
/// itself.
pub(super) struct Glance {
    place: Arc<Place>,
    end_before: Position,
}

impl Glance {
    /// `None` if what is asked for takes more.
    pub(super) fn of(place: &Arc<Place>, ask: &Ask) -> Result<Option<(Self, Vec<Row>)>> {
        let prefix = match ask.scans.as_slice() {
            [] if ask.keys.is_empty() => return Ok(None),
            [] => None,
            [Scan { prefix, after: None, limit: usize::MAX, .. }] => Some(prefix.as_slice()),
            _ => return Ok(None),
        };
        let end_before = place.ledger.end();
        let (connection, rows) = first_read(place, |rows| glance(rows, &ask.keys, prefix))?;
        place.connections.give_back(connection);
        let Some(rows) = rows else { return Ok(None) };
        // What these rows were written on is in the ledger by now.
        place.ledger.read_on()?;
        Ok(Some((Self { place: place.clone(), end_before }, rows)))
    }
}

impl More for Glance {
    fn get(&self, _: &[u8]) -> Answer<Option<Vec<u8>>> {
        Ok(None)
    }

    fn scan(&self, _: &Scan) -> Answer<Vec<Row>> {
        Ok(Vec::new())
    }

    fn fences(&self) -> RwLockReadGuard<'_, Fences> {
        self.place.ledger.fences()
    }

    fn end(&self) -> Position {
        self.place.ledger.end()
    }

    fn end_before(&self) -> Position {
        self.end_before
    }

    fn has_rows(&self) -> bool {
        false
    }
}

/// Rows as they are in a turn.
pub(super) struct InTurn<'a> {
    pub(super) place: &'a Place,
    pub(super) rows: &'a Connection,
    pub(super) end_before: Position,
    /// Set if something could not be read.
    pub(super) has_failed: &'a Cell<bool>,
}

impl InTurn<'_> {
    fn answer<T>(&self, read: rusqlite::Result<T>) -> Answer<T> {
        read.inspect_err(|_| self.has_failed.set(true))
            .map_err(sqlite("read the rows"))
            .map_err(here)
    }
}

impl More for InTurn<'_> {
    fn get(&self, key: &[u8]) -> Answer<Option<Vec<u8>>> {
        self.answer(get(self.rows, key))
    }

    fn scan(&self, wanted: &Scan) -> Answer<Vec<Row>> {
        self.answer(scan(self.rows, wanted))
    }

    fn fences(&self) -> RwLockReadGuard<'_, Fences> {
        self.place.ledger.fences()
    }

    fn end(&self) -> Position {
        self.place.ledger.end()
    }

    fn end_before(&self) -> Position {
        self.end_before
    }

    fn is_in_turn(&self) -> bool {
        true
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.get_mut().take() {
            let ended =
                connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
            // (One that cannot end it is closed.)
            if ended.is_ok() {
                self.place.connections.give_back(connection);
            }
        }
    }
}
