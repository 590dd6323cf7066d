//! Operations on all of the rows, beside processes that go on: no slice of them holds the rows' lock
//! for longer than a commit does.

use std::time::Duration;

use rusqlite::Connection;

use super::checkpointer::write_back;
use super::connection::sqlite;
use super::{Place, Sqlite};
use crate::backend::operate::{Counted, Operate};
use crate::model::error::Result;
use crate::rows::row_key::{self, AccountRow};

/// So many rows are counted in one read: a longer one would keep SQLite's log from beginning anew.
const COUNTED: i64 = 1024;

/// So many pages are given back in one turn: some tenths of a millisecond.
const PAGES: i64 = 64;

/// How long others have between two such turns: the lock alone does not let those in who wait for it.
const PAUSE: Duration = Duration::from_micros(200);

impl Operate for Sqlite {
    fn check_files(&self) -> Result<()> {
        self.flusher.check()?;
        self.check_names()?;
        self.ledger.check_name()
    }

    fn count(&self) -> Result<Counted> {
        let (mut counted, mut after) = (Counted::default(), Vec::new());
        loop {
            let slice = self.read(|rows| sizes(rows, &after))?;
            let Some((last, _)) = slice.last() else { return Ok(counted) };
            after.clone_from(last);
            for (key, bytes) in &slice {
                let Some(row) = row_key::parse(key) else { continue };
                counted.accounts += u64::from(matches!(row, AccountRow::Header));
                counted.rows += 1;
                counted.bytes += key.len() as u64 + bytes;
            }
        }
    }

    fn is_loose(&self) -> Result<bool> {
        let (free, all) =
            self.read(|rows| Ok((number(rows, "freelist_count")?, number(rows, "page_count")?)))?;
        Ok(free > PAGES && free > all / 8)
    }

    fn give_back(&self, is_over: &dyn Fn() -> bool) -> Result<()> {
        let mut before = i64::MAX;
        while !is_over() {
            let left = self.in_turn(|rows| {
                let left = give_some(rows).map_err(sqlite("give free pages back"))?;
                Ok((left, true))
            })?;
            // (What can be given back is; a foreign tool may have made a file that gives nothing.)
            if left == 0 || left >= before {
                break;
            }
            before = left;
            self.checkpointer.look(self.connections.logged());
            std::thread::sleep(PAUSE);
        }
        // The file gets shorter with the log's last page.
        write_back(&self.path, &self.turnstile).map(drop).map_err(sqlite("write SQLite's log back"))
    }
}

impl Place {
    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        self.flusher.check()?;
        let connection = self.connections.take()?;
        let found = read(&connection).map_err(sqlite("read the rows"))?;
        self.connections.give_back(connection);
        Ok(found)
    }
}

/// The next keys, and how long their values are.
fn sizes(rows: &Connection, after: &[u8]) -> rusqlite::Result<Vec<(Vec<u8>, u64)>> {
    let sql = "SELECT key,length(value) FROM row WHERE key>? ORDER BY key LIMIT ?";
    let mut statement = rows.prepare_cached(sql)?;
    let found = statement.query_map(rusqlite::params![after, COUNTED], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
    })?;
    found.collect()
}

fn number(rows: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    rows.pragma_query_value(None, pragma, |row| row.get(0))
}

/// Gives some pages back, and says how many free ones are left.
fn give_some(rows: &Connection) -> rusqlite::Result<i64> {
    let mut statement = rows.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    // Each step gives one back.
    let mut steps = statement.query([])?;
    while steps.next()?.is_some() {}
    number(rows, "freelist_count")
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use std::cell::Cell;

    use super::super::FAILED;
    use crate::backend::Backend;
    use crate::backend::remote::error_of;
    use crate::{AccountId, Builder, ClientId, RefreshToken, SignIn, SignOut, TenantId};

    // Without it: all pages in one turn, which others wait for.
    #[test]
    fn others_have_their_turns_while_pages_are_given_back() {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let builder = || -> Builder {
            crate::TokenStore::builder(folder.path().join("tokens"))
                .key(crate::KeySource::bytes([7; 32]))
                .sqlite()
        };
        let store = builder().open().unwrap();
        let account =
            |number: u32| AccountId::new("login.example.com", number.to_string()).unwrap();
        let sign_in = |number| SignIn::new(account(number), TenantId::new("contoso").unwrap());
        let client = ClientId::new("app").unwrap();
        for number in 0..200 {
            let token = RefreshToken::new(client.clone(), "x".repeat(6000));
            store.sign_in_with(sign_in(number), token).unwrap();
        }
        store.sign_out(SignOut::everybody()).unwrap();
        store.wait_reclaimed().unwrap();
        let Backend::Remote(remote) = &store.core().backend else { unreachable!() };
        let free = |name: &'static str| {
            let path = std::fs::read_dir(folder.path().join("tokens")).unwrap();
            let is_it = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "db");
            let path = path.flatten().map(|entry| entry.path()).find(is_it).unwrap();
            let connection = super::super::connection::open(&path).unwrap();
            super::number(&connection, name).unwrap()
        };
        let before = free("freelist_count");
        assert!(before > 4 * super::PAGES, "{before}");
        let turns = Cell::new(0);
        remote
            .operate(|place| {
                place.give_back(&|| {
                    // A turn of its own, which waits for no other thread.
                    store.sign_in(sign_in(1000 + turns.get())).unwrap();
                    turns.set(turns.get() + 1);
                    false
                })
            })
            .unwrap();
        assert!(i64::from(turns.get()) >= before / super::PAGES, "{} turns", turns.get());
        assert_eq!(free("freelist_count"), 0);
    }

    // Else all would, until they have closed.
    #[test]
    fn what_one_process_refuses_for_its_own_sight_of_the_files_others_do_not() {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let path = folder.path().join("tokens");
        let key = crate::KeySource::bytes([7; 32]);
        let store = crate::TokenStore::builder(&path).key(key).sqlite().open().unwrap();
        let Backend::Remote(remote) = &store.core().backend else { unreachable!() };
        remote.with(|place| place.flush(0)).unwrap();
        let files = || std::fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path());
        let rows = files().find(|path| path.extension().is_some_and(|end| end == "db")).unwrap();
        let away = rows.with_extension("away");
        std::fs::rename(&rows, &away).unwrap();
        remote.operate(|place| place.check_files()).unwrap_err();
        std::fs::rename(&away, &rows).unwrap();
        let refused = remote.with(|place| place.flush(0)).map_err(error_of);
        assert!(matches!(refused, Err(crate::Error::Poisoned(_))), "{refused:?}");
        let turn = files().find(|path| path.to_string_lossy().ends_with(".db.turn")).unwrap();
        assert_ne!(std::fs::read(turn).unwrap().first(), Some(&FAILED));
    }
}
