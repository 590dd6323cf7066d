//! The mover: it goes through the store, and gives the target its rows in batches.

use super::{Moved, SLICE, enter};
use crate::backend::{Ask, Lock, Remote};
use crate::engine::{Batch, Durability, Engine, EngineError};
use crate::model::error::{Component, Error, Result};
use crate::model::position::Position;
use crate::model::tag::{AccountTag, WebTag};
use crate::rows::cipher::Rows;
use crate::rows::row_key;
use crate::store::access::{Open, not_embedded};
use crate::store::census::next_account;
use crate::store::core::Core;
use crate::store::web;

/// Carries rows from the store to a target.
pub(super) struct Mover<'a> {
    pub(super) target: Box<dyn Engine>,
    pub(super) resealed: Option<&'a Rows>,
    pub(super) without_web: bool,
    /// Whether what another thread has locked is left for a later round. It is about to change
    /// anyway, and where many threads write, waiting for one after the other takes longer than all
    /// else.
    pub(super) puts_off: bool,
    pub(super) moved: Moved,
    /// What goes to the target next. Many rows at a time, and flushed every other time, sled's log
    /// has the least waste.
    pub(super) batch: Batch,
    pub(super) commits: u64,
}

impl<'a> Mover<'a> {
    pub(super) fn new(target: Box<dyn Engine>, resealed: Option<&'a Rows>) -> Self {
        let (moved, batch) = (Moved::default(), Batch::default());
        Self { target, resealed, without_web: false, puts_off: false, moved, batch, commits: 0 }
    }

    /// The lock of an account, or of an unbound web session; `None` if it is to be carried later.
    fn hold<'b>(&self, core: &'b Core, tag: &AccountTag) -> Result<Option<Lock<'b>>> {
        let embedded = core.embedded()?;
        if !self.puts_off {
            return Ok(Some(embedded.lock_account(tag)));
        }
        let lock = embedded.try_lock_account(tag);
        if lock.is_none() {
            embedded.name_changed(tag);
        }
        Ok(lock)
    }

    /// Seals the rows of the target.
    pub(super) fn rows<'b>(&self, open: &'b Open<'_>) -> Result<&'b Rows>
    where
        'a: 'b,
    {
        self.resealed.map_or_else(|| open.rows(), Ok)
    }

    /// Carries all accounts, and all unbound web sessions unless they are left out.
    pub(super) fn carry_all(&mut self, core: &Core) -> Result<()> {
        let mut after = row_key::all_accounts();
        loop {
            let open = enter(core)?;
            let Some(account) = next_account(&open, after)? else { break };
            if let Some(_lock) = self.hold(core, &account)? {
                self.carry(&open, &account)?;
            }
            after = row_key::behind_account(&account);
        }
        let mut after: Option<Vec<u8>> = None;
        while !self.without_web {
            let open = enter(core)?;
            let slice = open.scan(&row_key::all_unbound(), after.as_deref(), SLICE)?;
            let Some((last, _)) = slice.last() else { break };
            after = Some(last.clone());
            let firsts = slice
                .iter()
                .filter_map(|(key, _)| row_key::unbound_of(key))
                .filter(|(_, part)| *part == 0);
            for (session, _) in firsts {
                if let Some(_lock) = self.hold(core, &session.as_account())? {
                    self.carry_unbound(&open, &session)?;
                }
            }
        }
        Ok(())
    }

    /// Carries all accounts of a place that gives all of one moment, then the checkpoint; and says
    /// its position. Web sessions are left out.
    pub(super) fn carry_snapshot(&mut self, core: &Core, remote: &Remote) -> Result<Position> {
        let sight = remote.look(Ask::default())?;
        if !sight.is_near() {
            return Err(not_embedded());
        }
        let open = core.seen(remote, &sight);
        let mut after = row_key::all_accounts();
        loop {
            if core.is_closing() {
                return Err(Error::Closed);
            }
            let account = next_account(&open, after)?;
            // What could not be read is nothing, in a sight: it tells at the end of each account.
            sight.let_go()?;
            let Some(account) = account else { break };
            self.carry(&open, &account)?;
            sight.let_go()?;
            after = row_key::behind_account(&account);
        }
        let position = self.put_checkpoint(&open)?;
        sight.let_go()?;
        Ok(position)
    }

    /// Carries what has changed since it was carried: an account, or an unbound web session. (A
    /// change of an unbound one names its own tag, which no account has.)
    pub(super) fn carry_again(&mut self, open: &Open<'_>, tag: &AccountTag) -> Result<()> {
        let Some(_lock) = self.hold(open.core, tag)? else { return Ok(()) };
        self.clear(open, tag)?;
        self.carry(open, tag)?;
        self.carry_unbound(open, &tag.as_web())
    }

    /// Carries an unbound web session, if it lives. The caller holds its lock.
    fn carry_unbound(&mut self, open: &Open<'_>, session: &WebTag) -> Result<()> {
        match web::read_unbound(open, session, open.core.clock.for_deletion()) {
            Ok(Some(Some(found))) => {
                let rows = match self.resealed {
                    Some(rows) => rows.seal_unbound(session, &found.life, &found.record)?,
                    None => open.scan(&row_key::unbound_parts(session), None, SLICE)?,
                };
                rows.into_iter().for_each(|(key, value)| self.put(key, value));
            }
            Ok(Some(None)) => {}
            // The caller holds the lock: no other thread is writing it.
            Ok(None) | Err(Error::Tampered(_)) => self.moved.tampered += 1,
            Err(error) => return Err(error),
        }
        if self.batch.changes.len() >= SLICE { self.commit() } else { Ok(()) }
    }

    /// Puts the checkpoint, which says that all is there, and what the move brought, and makes all
    /// durable.
    pub(super) fn put_checkpoint(&mut self, open: &Open<'_>) -> Result<Position> {
        self.commit()?;
        self.target.sync(Durability::ProcessCrash).map_err(target_failed)?;
        self.moved.engine_bytes = self.target.size().map_err(target_failed)?;
        let fresh = self.rows(open)?.seal_fresh(row_key::FRESH, &self.moved.fresh())?;
        self.batch.put(row_key::FRESH.to_vec(), fresh);
        let position = open.end()?;
        // Rows do not go before the sign-outs that they say are there.
        open.settle_elsewhere()?;
        let checkpoint = self.rows(open)?.seal_checkpoint(row_key::CHECKPOINT, position)?;
        self.batch.put(row_key::CHECKPOINT.to_vec(), checkpoint);
        let known = self.rows(open)?.seal_known(row_key::KNOWN, &open.core.clock.known())?;
        self.batch.put(row_key::KNOWN.to_vec(), known);
        if let Some(longest) = open.core.longest_age_set() {
            let row = self.rows(open)?.seal_longest_age(row_key::LONGEST_AGE, longest)?;
            self.batch.put(row_key::LONGEST_AGE.to_vec(), row);
        }
        self.commit()?;
        self.target.sync(Durability::PowerLoss).map_err(target_failed)?;
        Ok(position)
    }

    /// Deletes a row of the target that was carried before.
    pub(super) fn take(&mut self, key: Vec<u8>, value: &[u8]) {
        self.moved.rows -= 1;
        self.moved.bytes -= (key.len() + value.len()) as u64;
        self.batch.delete(key);
    }

    /// Puts a row into the target. (Index rows go to the batch themselves: they are not counted.)
    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.moved.rows += 1;
        self.moved.bytes += (key.len() + value.len()) as u64;
        self.batch.put(key, value);
    }

    /// Gives the target what is in the batch.
    pub(super) fn commit(&mut self) -> Result<()> {
        // No other thread has the target: no lock of an account is needed, and the rows of many
        // accounts go at once.
        let batch = std::mem::take(&mut self.batch);
        // The batch has no guard, so there is no conflict.
        let _ = self.target.commit(&AccountTag::NONE, batch).map_err(target_failed)?;
        self.commits += 1;
        if self.commits.is_multiple_of(2) {
            self.target.sync(Durability::ProcessCrash).map_err(target_failed)
        } else {
            Ok(())
        }
    }
}

const GOES_ON: &str = "write the fresh engine; the store goes on with the old one";

/// What an error of the target is to the caller. It is no error of the store, which goes on with
/// what it has.
pub(super) fn target_failed(error: EngineError) -> Error {
    match error {
        EngineError::Full => Error::Full(Component::Engine),
        EngineError::Io(source) => Error::io(GOES_ON)(source),
        EngineError::Panicked => Error::io(GOES_ON)(std::io::Error::other("its code panicked")),
    }
}
