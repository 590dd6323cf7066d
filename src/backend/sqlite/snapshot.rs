//! Rows of one moment, read as they are asked for, and the ledger beside them.

use std::cell::RefCell;

use rusqlite::Connection;

use super::connection::{get, open, scan, sqlite};
use super::{Place, here};
use crate::backend::exchange::{Answer, More, Scan};
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

    /// Reads. What SQLite calls damage at the beginning is read once more on a new connection: it
    /// says so of a read that failed for a moment, too.
    fn read<T>(&self, read: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let mut connection = self.connection.borrow_mut();
        if let Some(connection) = &*connection {
            return read(connection).map_err(sqlite("read the rows"));
        }
        let begin = |connection: &Connection| {
            connection.prepare_cached("BEGIN")?.execute([])?;
            read(connection)
        };
        self.place.flusher.check()?;
        self.place.check_files_now_and_then()?;
        let first = self.place.connections.take()?;
        let found = match begin(&first) {
            Ok(found) => {
                *connection = Some(first);
                found
            }
            Err(_) => {
                let second = open(&self.place.path)?;
                drop(first);
                let found = begin(&second).map_err(sqlite("read the rows"))?;
                *connection = Some(second);
                found
            }
        };
        drop(connection);
        // What these rows were written on is in the ledger by now.
        self.place.ledger.read_on()?;
        Ok(found)
    }
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

/// Rows as they are in a turn.
pub(super) struct InTurn<'a> {
    pub(super) place: &'a Place,
    pub(super) rows: &'a Connection,
    pub(super) end_before: Position,
}

impl More for InTurn<'_> {
    fn get(&self, key: &[u8]) -> Answer<Option<Vec<u8>>> {
        get(self.rows, key).map_err(sqlite("read the rows")).map_err(here)
    }

    fn scan(&self, wanted: &Scan) -> Answer<Vec<Row>> {
        scan(self.rows, wanted).map_err(sqlite("read the rows")).map_err(here)
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
