//! The place's side of each exchange.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::Connection;

use super::connection::{get, is_any_under, scan, sqlite, write};
use super::snapshot::{Glance, InTurn, Snapshot};
use super::{FAILED, PATIENCE, Place, STATE, Sqlite, here, position};
use crate::backend::exchange::{
    Answer, Ask, Change, Changed, End, Ended, Exchange, Guard, Lease, LedgerSeen, More, Scan, Seen,
    Size,
};
use crate::backend::operate::Operate;
use crate::clock::trust::Known;
use crate::engine::{Durability, Row};
use crate::ledger::Seen as History;
use crate::ledger::many::Stood;
use crate::model::error::{Component, Error, Result};
use crate::model::position::Position;
use crate::model::tag::{AccountTag, LeaseTag, TaggedScope};
use crate::model::time::Millis;
use crate::platform::turn::Late;
use crate::rows::row_key::{self, CHECKPOINT, IndexEntry, KNOWN};
use crate::rule::Fences;

/// How long a sign-out waits for what it can do without: then what was named ends, at once.
const MOMENT: Duration = Duration::from_secs(1);

impl Exchange for Sqlite {
    fn look(&self, ask: &Ask) -> Answer<Seen<'static>> {
        // The rows first: what they were written on is in the ledger by then.
        let (rows, scanned, more) = self.look_at_rows(ask)?;
        let fences = self.ledger.fences();
        let mut stand: Vec<_> = Vec::new();
        for (at, scope) in ask.scopes.iter().enumerate() {
            if ask.scopes.get(..at).is_none_or(|before| !before.contains(scope)) {
                stand.extend(fences.standing(scope).map(|fence| (*scope, fence)));
            }
        }
        stand.sort_unstable_by_key(|(_, fence)| fence.position);
        let ledger = self.ledger_seen(&fences);
        drop(fences);
        Ok(Seen { rows, scanned, fences: stand, ledger, more: Some(more) })
    }

    fn is_failed(&self) -> bool {
        self.flusher.check().is_err()
    }

    fn is_near(&self) -> bool {
        true
    }

    fn glance(&self, ask: &Ask) -> Answer<Option<Seen<'static>>> {
        let Some((glance, found)) = Glance::of(&self.0, ask).map_err(here)? else {
            return Ok(None);
        };
        let (rows, scanned) = in_the_order_of(ask, &found);
        let ledger = self.ledger_seen(&self.ledger.fences());
        Ok(Some(Seen { rows, scanned, fences: Vec::new(), ledger, more: Some(Box::new(glance)) }))
    }

    fn change(&self, change: &Change) -> Answer<Changed> {
        let changed = self.change_in(PATIENCE, |rows| {
            if !holds(rows, &change.guards).map_err(sqlite("read the rows"))? {
                return Ok(Some((Changed::Guard, None)));
            }
            // In the turn: no fence that stands now is missed, and no sign-in that is read was
            // written on one that is.
            self.ledger.read_on()?;
            self.write(rows, change).map(Some)
        });
        changed.map(|changed| changed.unwrap_or(Changed::Guard)).map_err(here)
    }

    fn change_in_turn(
        &self,
        plan: &mut dyn FnMut(Seen<'_>) -> Option<Change>,
    ) -> Answer<Option<Changed>> {
        let has_failed = Cell::new(false);
        let changed = self.change_in(MOMENT, |rows| {
            // As for a change: what is planned on is of this moment.
            self.ledger.read_on()?;
            let ledger = self.ledger_seen(&self.ledger.fences());
            let (place, end_before) = (self, ledger.end);
            let more = InTurn { place, rows, end_before, has_failed: &has_failed };
            let (rows_seen, scanned, fences) = (Vec::new(), Vec::new(), Vec::new());
            let seen =
                Seen { rows: rows_seen, scanned, fences, ledger, more: Some(Box::new(more)) };
            let change = plan(seen);
            if has_failed.get() {
                return Err(Error::io("read the rows")(std::io::ErrorKind::Other.into()));
            }
            change.map(|change| self.write(rows, &change)).transpose()
        });
        match changed {
            // Without a turn, what could not be read is read once more on another connection; and
            // whoever has nothing to change is not kept waiting by one who stands still in its turn.
            Err(_) if has_failed.get() => Ok(None),
            Err(Error::Busy { .. }) => Ok(None),
            changed => changed.map_err(here),
        }
    }

    fn end(&self, end: &End) -> Answer<Ended> {
        if end.whole.is_empty() && !end.take {
            let stood = self.stand(end, &end.scopes, PATIENCE).map_err(here)?;
            return Ok(ended(end, Some(Vec::new()), stood));
        }
        // Whether the fences stand, whatever becomes of the rows.
        let mut stood = None;
        let done = self.in_turn_within(MOMENT, |rows| {
            let accounts = accounts_of(rows, end).map_err(sqlite("read the index"))?;
            let standing = match &accounts {
                Some(accounts) => self.stand(end, &with_accounts(&end.scopes, accounts), MOMENT),
                None => self.stand(end, &end.scopes, MOMENT),
            };
            let mut ended = match standing {
                Ok(standing) => ended(end, accounts, standing),
                // Who stands still with the ledger does not stop the rows as well.
                Err(busy @ Error::Busy { .. }) => return Err(busy),
                Err(error) => {
                    stood = Some(Err(error));
                    return Ok(((), false));
                }
            };
            if end.take {
                // In the turn in which the fences stand: what they end goes nowhere before this.
                match holders(rows, end, ended.accounts.as_deref()) {
                    Ok((holders, found)) => (ended.holders, ended.rows) = (holders, found),
                    Err(_) => ended.is_missed = true,
                }
            }
            stood = Some(Ok(ended));
            Ok(((), false))
        });
        match (stood, done) {
            (Some(stood), _) => stood.map_err(here),
            // Without a turn of the rows, or their index, what was named ends.
            (None, done) => {
                let stood = self.stand(end, &end.scopes, PATIENCE).map_err(here)?;
                let accounts = end.whole.is_empty().then(Vec::new);
                let failure = done.err().filter(|_| accounts.is_none());
                Ok(Ended { is_missed: end.take, failure, ..ended(end, accounts, stood) })
            }
        }
    }

    fn flush(&self, _: u64) -> Answer<bool> {
        self.ledger.sync().map_err(here)?;
        // (Should the rows' turn not come, a later one leaves it.)
        let _ = self.leave_checkpoint();
        self.flush_rows().map_err(here)?;
        Ok(true)
    }

    fn forget(&self, oldest: Millis) -> Answer<bool> {
        self.ledger.compact(oldest).map_err(here)
    }

    fn size(&self) -> Answer<Size> {
        let ledger = self.ledger.figures().map_err(here)?;
        let bytes = std::fs::metadata(&self.path).map_err(Error::io("look at the rows' file"));
        Ok(Size {
            fences: ledger.fences,
            bytes: bytes.map_err(here)?.len(),
            ledger_bytes: ledger.bytes,
            free_slots: ledger.free_slots,
            groups: ledger.groups,
        })
    }

    fn begin(&self, now: Millis) -> Answer<bool> {
        self.ledger.begin(now).map_err(here)
    }

    fn leave_known(&self, known: &Known) -> Answer<()> {
        let row = self.rows.seal_known(KNOWN, known).map_err(here)?;
        let put = |rows: &Connection| {
            write(rows, KNOWN, Some(&row)).map_err(sqlite("write rows")).map(|()| ((), true))
        };
        self.in_turn(put).map_err(here)
    }

    fn latest_time(&self, shown: Millis) -> Option<Millis> {
        let since = Some(self.ledger.known_since()).filter(|since| *since <= shown);
        self.ledger.fences().latest_time(shown).max(since)
    }

    fn history(&self, wanted: &dyn Fn(&TaggedScope) -> bool) -> Answer<History> {
        self.ledger.history(wanted).map_err(here)
    }

    fn operate(&self) -> Option<&dyn Operate> {
        Some(self)
    }

    fn lease(&self, name: &LeaseTag) -> Answer<Option<Lease>> {
        Ok(self.leases.take(name).map_err(here)?.map(Lease::new))
    }

    fn check_ledger(&self) -> Answer<Option<u64>> {
        self.ledger.history(&|_| false).map_err(here)?;
        Ok(Some(self.ledger.fences().len() as u64))
    }
}

/// Rows by their keys, rows by their prefixes, and more of their moment.
type Found = (Vec<Option<Vec<u8>>>, Vec<Vec<Row>>, Box<dyn More>);

impl Sqlite {
    fn look_at_rows(&self, ask: &Ask) -> Answer<Found> {
        // (What is under a prefix can be much.)
        if ask.scans.is_empty()
            && let Some((glance, found)) = Glance::of(&self.0, ask).map_err(here)?
        {
            let (rows, scanned) = in_the_order_of(ask, &found);
            return Ok((rows, scanned, Box::new(glance)));
        }
        let snapshot = Snapshot::of(&self.0);
        let rows = ask.keys.iter().map(|key| snapshot.get(key)).collect::<Answer<_>>()?;
        let scanned = ask.scans.iter().map(|one| snapshot.scan(one)).collect::<Answer<_>>()?;
        self.ledger.read_on().map_err(here)?;
        Ok((rows, scanned, Box::new(snapshot)))
    }
}

impl Place {
    /// Behind a failed sync nobody knows what is on the disk, and the system tells each file once:
    /// so all processes are told.
    pub(super) fn flush_rows(&self) -> Result<()> {
        self.flusher.flush().inspect_err(|error| {
            // (What this process has refused before, others have been told of, or need not be.)
            if !matches!(error, Error::Poisoned(_)) {
                let _ = self.turnstile.leave(STATE, FAILED);
            }
        })
    }

    /// Runs `work` in a turn of this process, in a transaction that is rolled back if it says so.
    pub(super) fn in_turn<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<(T, bool)>,
    ) -> Result<T> {
        self.in_turn_within(PATIENCE, work)
    }

    /// As [`Place::in_turn`], and waits for so long at most.
    fn in_turn_within<T>(
        &self,
        patience: Duration,
        work: impl FnOnce(&Connection) -> Result<(T, bool)>,
    ) -> Result<T> {
        self.flusher.check()?;
        // Before the turn: to open one takes longer than most turns.
        let connection = self.connections.take()?;
        let turn = self.turnstile.take(patience).map_err(|late| match late {
            Late::Busy(pid) => Error::Busy { pid },
            Late::Io(error) => Error::io("take the lock of the rows' file")(error),
        })?;
        if turn.left(STATE).map_err(Error::io("read the rows' lock file"))? == FAILED {
            self.flusher.fail();
            return Err(Error::Poisoned(Component::Engine));
        }
        self.connections.write(connection, work)
    }

    /// Runs `work` in a turn, and makes what it has written as durable as it says.
    fn change_in(
        &self,
        patience: Duration,
        work: impl FnOnce(&Connection) -> Result<Option<(Changed, Option<Written>)>>,
    ) -> Result<Option<Changed>> {
        self.check_files_now_and_then()?;
        let done = self.in_turn_within(patience, |rows| {
            let done = work(rows)?;
            let is_kept = matches!(done, Some((_, Some(_))));
            Ok((done, is_kept))
        })?;
        let Some((changed, written)) = done else { return Ok(None) };
        if let Some(Written { checkpoint, durability }) = written {
            self.checkpoint.fetch_max(checkpoint.get(), Ordering::AcqRel);
            self.check_names()?;
            self.checkpointer.look(self.connections.logged());
            if durability == Some(Durability::PowerLoss) {
                self.flush_rows()?;
            }
        }
        Ok(Some(changed))
    }

    /// Writes what is planned, unless a fence stands that the plan has not seen.
    fn write(&self, rows: &Connection, change: &Change) -> Result<(Changed, Option<Written>)> {
        if self.is_fenced(change) {
            return Ok((Changed::Fenced, None));
        }
        for (key, value) in &change.rows {
            write(rows, key, value.as_deref()).map_err(sqlite("write rows"))?;
        }
        let (checkpoint, durability) = (self.put_checkpoint(rows)?, change.durability);
        Ok((Changed::Done, Some(Written { checkpoint, durability })))
    }

    fn ledger_seen(&self, fences: &Fences) -> LedgerSeen {
        LedgerSeen {
            end: self.ledger.end(),
            has_begun: self.ledger.has_begun(),
            openings: fences.all_openings(),
            floor: fences.floor(),
            known_since: self.ledger.known_since(),
            // (All processes have the machine's clock.)
            now: Millis::MAX,
            incarnation: 0,
        }
    }

    fn is_fenced(&self, change: &Change) -> bool {
        let (scopes, seen) = &change.unless;
        let fences = self.ledger.fences();
        *seen > self.ledger.end()
            || scopes.iter().any(|scope| fences.standing(scope).any(|one| one.position > *seen))
            || fences.floor().is_some_and(|floor| floor.position > *seen)
    }

    /// Says in the rows how far the ledger has come: an older one that is put beside them later is
    /// known by it. Gives what they say then.
    fn put_checkpoint(&self, rows: &Connection) -> Result<Position> {
        let synced = self.ledger.synced();
        if synced <= position(&self.checkpoint) {
            return Ok(synced);
        }
        let there = get(rows, CHECKPOINT).map_err(sqlite("read the rows"))?;
        let there =
            there.map_or(Ok(Position::ZERO), |row| self.rows.open_checkpoint(CHECKPOINT, &row))?;
        if synced > there {
            let row = self.rows.seal_checkpoint(CHECKPOINT, synced)?;
            write(rows, CHECKPOINT, Some(&row)).map_err(sqlite("write rows"))?;
        }
        Ok(synced.max(there))
    }

    pub(super) fn leave_checkpoint(&self) -> Result<()> {
        if self.ledger.synced() <= position(&self.checkpoint) {
            return Ok(());
        }
        let at = self.in_turn(|rows| self.put_checkpoint(rows).map(|at| (at, true)))?;
        self.checkpoint.fetch_max(at.get(), Ordering::AcqRel);
        Ok(())
    }

    /// Lets the fences of a sign-out stand.
    fn stand(&self, end: &End, scopes: &[TaggedScope], patience: Duration) -> Result<Stood> {
        self.ledger.stand(scopes, end.cutoff, end.now, patience)
    }
}

/// What a glance has brought, in the order of what was asked for.
fn in_the_order_of(ask: &Ask, found: &[Row]) -> (Vec<Option<Vec<u8>>>, Vec<Vec<Row>>) {
    let of = |key: &Vec<u8>| {
        let at = found.binary_search_by(|(one, _)| one.cmp(key)).ok()?;
        found.get(at).map(|(_, value)| value.clone())
    };
    let under = |scan: &Scan| {
        found.iter().filter(|(key, _)| key.starts_with(&scan.prefix)).cloned().collect()
    };
    (ask.keys.iter().map(of).collect(), ask.scans.iter().map(under).collect())
}

/// What a turn has written.
struct Written {
    /// How far the rows say that the ledger has come.
    checkpoint: Position,
    durability: Option<Durability>,
}

/// What a sign-out has done, but for rows that are wanted.
fn ended(end: &End, accounts: Option<Vec<AccountTag>>, stood: Stood) -> Ended {
    let mut before = stood.before;
    before.sort_unstable_by_key(|(_, fence)| fence.position);
    Ended {
        positions: stood.positions,
        at: end.now,
        accounts,
        rows: Vec::new(),
        holders: Vec::new(),
        before,
        is_missed: false,
        failure: None,
    }
}

/// The accounts that end as a whole; `None` if they are too many.
fn accounts_of(rows: &Connection, end: &End) -> rusqlite::Result<Option<Vec<AccountTag>>> {
    let mut accounts = Vec::new();
    for scope in &end.whole {
        accounts.extend(accounts_in(rows, scope)?);
    }
    accounts.sort_unstable();
    accounts.dedup();
    Ok(Some(accounts).filter(|accounts| with_accounts(&end.scopes, accounts).len() <= end.most))
}

fn with_accounts(scopes: &[TaggedScope], accounts: &[AccountTag]) -> Vec<TaggedScope> {
    let accounts = accounts.iter().copied().map(TaggedScope::Account);
    let more = accounts.filter(|account| !scopes.contains(account));
    scopes.iter().copied().chain(more).collect()
}

/// The accounts that have sign-ins in the scopes, and their rows.
fn holders(
    rows: &Connection,
    end: &End,
    accounts: Option<&[AccountTag]>,
) -> rusqlite::Result<(Vec<AccountTag>, Vec<Row>)> {
    let mut holders = end.holders.clone();
    holders.extend(accounts.into_iter().flatten());
    for scope in &end.scopes {
        holders.extend(accounts_in(rows, scope)?);
    }
    holders.sort_unstable();
    holders.dedup();
    let mut found = Vec::new();
    for account in &holders {
        found.extend(scan(rows, &Scan::all(row_key::account(account)))?);
    }
    Ok((holders, found))
}

fn holds(rows: &Connection, guards: &[Guard]) -> rusqlite::Result<bool> {
    for guard in guards {
        let holds = match guard {
            Guard::Row(key, value) => get(rows, key)? == *value,
            Guard::NoneUnder(prefix) => !is_any_under(rows, prefix)?,
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The accounts of a scope, by the index.
fn accounts_in(rows: &Connection, scope: &TaggedScope) -> rusqlite::Result<Vec<AccountTag>> {
    let entry = match scope {
        TaggedScope::Account(account) => return Ok(vec![*account]),
        TaggedScope::Session(tag) => IndexEntry::Session(*tag),
        TaggedScope::Subject(tag) => IndexEntry::Subject(*tag),
        TaggedScope::SignIn(_) | TaggedScope::Tenant(_) | TaggedScope::Everybody => {
            return Ok(Vec::new());
        }
    };
    let found = scan(rows, &Scan::all(entry.accounts()))?;
    Ok(found.iter().filter_map(|(key, _)| row_key::indexed_account(key)).collect())
}
