//! Moving the live rows of an open store to a fresh engine, account by account, while verbs go on.
//!
//! Every change of rows names its account. Accounts that change after they were carried are carried
//! again, in rounds, until few are left; these few are carried while nobody else is let in. So what
//! arrives is what the store held at one moment. Dead rows, rows that do not open and index rows
//! that lead nowhere stay behind.

use crate::clock::lasting::Stored;
use crate::crypto::AccountKey;
use crate::engine::{Batch, Durability, Engine, EngineError};
use crate::model::error::{Error, Part, Result};
use crate::model::position::Position;
use crate::model::random_id::SignInId;
use crate::model::tag::{AccountTag, Slot, TenantTag, WebTag};
use crate::platform::sync::MutexGuard;
use crate::rows::cipher::{Fresh, Header, Rows};
use crate::rows::row_key::{self, AccountRow, IndexEntry};
use crate::store::access::Open;
use crate::store::census::{Look, look, next_account};
use crate::store::core::Core;
use crate::store::{index, web};

/// So many changed accounts may be left to carry while everybody waits.
const LEFT: usize = 32;
/// And so many, if a round, or so many in turn, leave about as many as they had: then further ones
/// do, too.
const LEFT_IN_VAIN: [(usize, usize); 2] = [(1, 400), (3, 1024)];
/// After so many rounds everybody waits for what is left, however much it is: changes come in
/// faster than they can be carried.
const ROUNDS: usize = 16;
/// The most changes of one batch.
const SLICE: usize = 256;

/// What was carried.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    pub(super) accounts: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Accounts, sign-ins, tokens and web sessions that do not open and were left behind.
    pub(super) tampered: u64,
    /// The size of the target with all of it.
    pub(super) engine_bytes: u64,
}

impl Moved {
    pub(super) fn fresh(&self) -> Fresh {
        Fresh { live_bytes: self.bytes, engine_bytes: self.engine_bytes }
    }
}

/// Carries the live rows of the store to `target`: as they are, or sealed anew for another keyring.
/// Then lets `finish` do what makes the target count, while nobody else is at work: all is durable
/// there, the checkpoint at this position too.
pub(super) fn move_live<T>(
    core: &Core,
    target: Box<dyn Engine>,
    resealed: Option<&Rows>,
    finish: impl FnOnce(&mut Open<'_>, Box<dyn Engine>, Position, Moved) -> Result<T>,
) -> Result<T> {
    let _watch = core.watch_changes()?;
    let mut mover = Mover { puts_off: true, ..Mover::new(target, resealed) };
    mover.carry_all(core)?;
    let mut before = usize::try_from(mover.moved.accounts).unwrap_or(usize::MAX);
    // Should the ledger be being compacted, this waits for that, and not everybody at the end:
    // before the rounds, as accounts change meanwhile.
    let _tended = core.ledger.tend();
    let mut in_vain = 0;
    for _ in 0..ROUNDS {
        let left = core.count_changed();
        in_vain = if left > before - before / 8 { in_vain + 1 } else { 0 };
        if left <= LEFT
            || LEFT_IN_VAIN.iter().any(|(rounds, most)| in_vain >= *rounds && left <= *most)
        {
            break;
        }
        before = left;
        mover.commit()?;
        for account in core.take_changed() {
            let open = enter(core)?;
            mover.carry_again(&open, &account)?;
        }
    }
    // Most of it is on the disk before everybody has to wait.
    mover.commit()?;
    mover.target.sync(Durability::PowerLoss).map_err(target_failed)?;
    let mut open = core.enter_alone()?;
    mover.puts_off = false;
    for account in core.take_changed() {
        mover.carry_again(&open, &account)?;
    }
    let position = mover.put_checkpoint(&open)?;
    finish(&mut open, mover.target, position, mover.moved)
}

/// Copies the live rows to `target`, each account as it is at one moment, and the checkpoint behind
/// them; and says its position. Nobody waits for a target that is slow.
pub(super) fn copy_live(core: &Core, target: Box<dyn Engine>) -> Result<(Moved, Position)> {
    // A backup holds no web session: one that is deleted later (nothing of it is in the ledger)
    // would come back with it.
    let mut mover = Mover { without_web: true, ..Mover::new(target, None) };
    mover.carry_all(core)?;
    // After all accounts: no as-of that was copied lies beyond it.
    let position = mover.put_checkpoint(&enter(core)?)?;
    Ok((mover.moved, position))
}

/// As the verbs do, unless the store is being closed.
fn enter(core: &Core) -> Result<Open<'_>> {
    if core.is_closing() { Err(Error::Closed) } else { core.enter() }
}

struct Mover<'a> {
    target: Box<dyn Engine>,
    resealed: Option<&'a Rows>,
    without_web: bool,
    /// Whether what somebody has locked is left for a later round. It is about to change anyway,
    /// and waiting for one after the other, among many who write, takes longer than all else.
    puts_off: bool,
    moved: Moved,
    /// What goes to the target next. Many rows at a time, and flushed every other time, sled's log
    /// has the least waste.
    batch: Batch,
    commits: u64,
}

impl<'a> Mover<'a> {
    fn new(target: Box<dyn Engine>, resealed: Option<&'a Rows>) -> Self {
        let (moved, batch) = (Moved::default(), Batch::default());
        Self { target, resealed, without_web: false, puts_off: false, moved, batch, commits: 0 }
    }

    /// The lock of an account (or web session of nobody's), or `None` if it is to be carried later.
    fn hold<'b>(&self, core: &'b Core, tag: &AccountTag) -> Option<MutexGuard<'b, ()>> {
        if !self.puts_off {
            return Some(core.lock_account(tag));
        }
        let lock = core.try_lock_account(tag);
        if lock.is_none() {
            core.name_changed(tag);
        }
        lock
    }

    /// What seals the rows of the target.
    fn rows<'b>(&self, open: &'b Open<'_>) -> Result<&'b Rows>
    where
        'a: 'b,
    {
        self.resealed.map_or_else(|| open.rows(), Ok)
    }

    fn carry_all(&mut self, core: &Core) -> Result<()> {
        let mut after = row_key::all_accounts();
        loop {
            let open = enter(core)?;
            let Some(account) = next_account(&open, after)? else { break };
            if let Some(_lock) = self.hold(core, &account) {
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
                if let Some(_lock) = self.hold(core, &session.as_account()) {
                    self.carry_unbound(&open, &session)?;
                }
            }
        }
        Ok(())
    }

    /// Carries what has changed since it was carried: an account, or a web session of nobody's.
    /// (Nobody's name their tag, which no account has.)
    fn carry_again(&mut self, open: &Open<'_>, tag: &AccountTag) -> Result<()> {
        let Some(_lock) = self.hold(open.core, tag) else { return Ok(()) };
        self.clear(open, tag)?;
        self.carry(open, tag)?;
        self.carry_unbound(open, &tag.as_web())
    }

    /// Carries a web session of nobody's, if it lives. Its lock is held.
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
            // We hold the lock: nobody is writing it.
            Ok(None) | Err(Error::Tampered(_)) => self.moved.tampered += 1,
            Err(error) => return Err(error),
        }
        if self.batch.changes.len() >= SLICE { self.commit() } else { Ok(()) }
    }

    /// Puts the checkpoint, which says that all is there, and what the move brought, and makes all
    /// durable.
    fn put_checkpoint(&mut self, open: &Open<'_>) -> Result<Position> {
        self.commit()?;
        self.target.sync(Durability::ProcessCrash).map_err(target_failed)?;
        self.moved.engine_bytes = self.target.size().map_err(target_failed)?;
        let fresh = self.rows(open)?.seal_fresh(row_key::FRESH, &self.moved.fresh())?;
        self.batch.put(row_key::FRESH.to_vec(), fresh);
        let position = open.core.ledger.synced();
        let checkpoint = self.rows(open)?.seal_checkpoint(row_key::CHECKPOINT, position)?;
        self.batch.put(row_key::CHECKPOINT.to_vec(), checkpoint);
        let known = self.rows(open)?.seal_known(row_key::KNOWN, &open.core.clock.known())?;
        self.batch.put(row_key::KNOWN.to_vec(), known);
        self.commit()?;
        self.target.sync(Durability::PowerLoss).map_err(target_failed)?;
        Ok(position)
    }

    /// Gives the target what the store holds of this account that is live. What the target had of
    /// it is [cleared](Mover::clear). Its lock is held.
    fn carry(&mut self, open: &Open<'_>, account: &AccountTag) -> Result<()> {
        let key = row_key::header(account);
        let opened = open.header(account).and_then(|opened| {
            let opened = opened.map(|(value, header)| {
                Ok((open.rows()?.open_account(&key, &value, &header)?, header))
            });
            opened.transpose()
        });
        let (id, header) = match opened {
            Ok(Some(opened)) => opened,
            Ok(None) => return Ok(()),
            Err(Error::Tampered(_)) => {
                self.moved.tampered += 1;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        // Also what a fence ends that is not synced yet: should it never be, the ledger fails, and
        // nothing comes of this move.
        let look = look(open, account, &header, Position::MAX)?;
        self.moved.tampered += look.tampered;
        if look.live.is_empty() {
            return Ok(());
        }
        let carried = Header {
            generation: header.generation,
            account_key: if self.resealed.is_some() {
                AccountKey::random()?
            } else {
                header.account_key.clone()
            },
            sign_ins: look.live.iter().map(|(id, _)| *id).collect(),
            other: header.other,
        };
        let value = self.rows(open)?.seal_header(&key, &carried, &id)?;
        self.put(key, value);
        for (id, entries) in &look.live {
            let key = row_key::sign_in(account, id);
            let Some(value) = open.get(&key)? else { continue };
            let value = match self.resealed {
                Some(rows) => rows.seal_sign_in(
                    &key,
                    &carried,
                    &open.rows()?.open_sign_in(&key, &value, &header)?,
                )?,
                None => value,
            };
            self.put(key, value);
            entries.iter().for_each(|entry| self.batch.put(entry.row(account), Vec::new()));
        }
        self.moved.accounts += 1;
        self.carry_tokens(open, account, (&header, &carried), &look)?;
        // Also where nobody has tokens.
        if self.batch.changes.len() >= SLICE { self.commit() } else { Ok(()) }
    }

    /// Carries the tokens and web sessions of live sign-ins.
    fn carry_tokens(
        &mut self,
        open: &Open<'_>,
        account: &AccountTag,
        (header, carried): (&Header, &Header),
        look: &Look,
    ) -> Result<()> {
        let mut after = row_key::header(account);
        loop {
            let slice = open.scan(&row_key::account(account), Some(&after), SLICE)?;
            let Some((last, _)) = slice.last() else { break };
            after = last.clone();
            for (key, value) in slice {
                match row_key::parse(&key) {
                    Some(AccountRow::Token { sign_in, tenant, slot, part }) => {
                        let Some(life) = look.lives.get(&sign_in) else { continue };
                        if open.core.ledger.fences().is_tenant_dead(life, tenant) {
                            continue;
                        }
                        if tenant != life.tenant {
                            self.batch.put(IndexEntry::Tenant(tenant).row(account), Vec::new());
                        }
                        match self.resealed {
                            None => self.put(key, value),
                            Some(rows) if part == 0 => {
                                let place = (account, &sign_in, &tenant, &slot);
                                self.reseal(open, rows, (header, carried), place, (key, value))?;
                            }
                            // With its first part.
                            Some(_) => {}
                        }
                    }
                    Some(AccountRow::Web { sign_in, session, part }) if !self.without_web => {
                        // One that has lost its index row is never found again: the sweep deletes
                        // it.
                        if !look.lives.contains_key(&sign_in)
                            || !web::is_found(open, &session, account, &sign_in)?
                        {
                            continue;
                        }
                        match self.resealed {
                            None => self.put(key, value),
                            Some(rows) if part == 0 => {
                                let place = (account, &sign_in, &session);
                                self.reseal_web(
                                    open,
                                    rows,
                                    (header, carried),
                                    place,
                                    (key, value),
                                )?;
                            }
                            // With its first part.
                            Some(_) => {}
                        }
                        self.batch.put(row_key::web_index(&session, account, &sign_in), Vec::new());
                    }
                    // Carried with the header, left out of a backup, or not of this crate's making.
                    Some(AccountRow::Header | AccountRow::SignIn(_) | AccountRow::Web { .. })
                    | None => continue,
                }
                if self.batch.changes.len() >= SLICE {
                    self.commit()?;
                }
            }
        }
        Ok(())
    }

    fn reseal(
        &mut self,
        open: &Open<'_>,
        rows: &Rows,
        (header, carried): (&Header, &Header),
        (account, sign_in, tenant, slot): (&AccountTag, &SignInId, &TenantTag, &Slot),
        (key, value): (Vec<u8>, Vec<u8>),
    ) -> Result<()> {
        match open.stored(header, key, value) {
            Ok(Some(Stored { token, put })) => {
                let key = |part| row_key::token(account, sign_in, tenant, slot, part);
                rows.seal_token(key, carried, &token, put.as_ref())?
                    .into_iter()
                    .for_each(|(key, value)| self.put(key, value));
            }
            // We hold the lock: nobody is writing it.
            Ok(None) | Err(Error::Tampered(_)) => self.moved.tampered += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn reseal_web(
        &mut self,
        open: &Open<'_>,
        rows: &Rows,
        (header, carried): (&Header, &Header),
        (account, sign_in, session): (&AccountTag, &SignInId, &WebTag),
        (key, value): (Vec<u8>, Vec<u8>),
    ) -> Result<()> {
        let opened = open.parts(key, value).and_then(|parts| match parts {
            Some(parts) => open.rows()?.open_web(parts, header),
            None => Ok(None),
        });
        match opened {
            Ok(Some(record)) => {
                let key = |part| row_key::web(account, sign_in, session, part);
                rows.seal_web(key, carried, &record)?
                    .into_iter()
                    .for_each(|(key, value)| self.put(key, value));
            }
            // We hold the lock: nobody is writing it.
            Ok(None) | Err(Error::Tampered(_)) => self.moved.tampered += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes out of the target what was carried of the account (or web session of nobody's) before,
    /// index rows too. (An account comes once in a round, and each round begins with everything
    /// committed, so nothing of this account is in the batch.)
    fn clear(&mut self, open: &Open<'_>, account: &AccountTag) -> Result<()> {
        let key = row_key::header(account);
        let header = self.target.get(&key).map_err(target_failed)?;
        let header = header.map(|value| self.rows(open)?.open_header(&key, &value)).transpose()?;
        let mut after: Option<Vec<u8>> = None;
        loop {
            let old = self
                .target
                .scan(&row_key::account(account), after.as_deref(), SLICE)
                .map_err(target_failed)?;
            let Some((last, _)) = old.last() else { break };
            after = Some(last.clone());
            for (key, value) in old {
                match row_key::parse(&key) {
                    Some(AccountRow::SignIn(_)) => {
                        if let Some(header) = &header {
                            let body = self.rows(open)?.open_sign_in(&key, &value, header)?;
                            let entries = index::entries(
                                open.core,
                                &open.core.life(*account, None, &body),
                                &body,
                            );
                            entries.iter().for_each(|entry| self.batch.delete(entry.row(account)));
                        }
                    }
                    Some(AccountRow::Token { tenant, .. }) => {
                        self.batch.delete(IndexEntry::Tenant(tenant).row(account))
                    }
                    Some(AccountRow::Web { sign_in, session, .. }) => {
                        self.batch.delete(row_key::web_index(&session, account, &sign_in));
                    }
                    Some(AccountRow::Header) => self.moved.accounts -= 1,
                    None => {}
                }
                self.take(key, &value);
            }
        }
        let unbound = self
            .target
            .scan(&row_key::unbound_parts(&account.as_web()), None, SLICE)
            .map_err(target_failed)?;
        unbound.into_iter().for_each(|(key, value)| self.take(key, &value));
        Ok(())
    }

    fn take(&mut self, key: Vec<u8>, value: &[u8]) {
        self.moved.rows -= 1;
        self.moved.bytes -= (key.len() + value.len()) as u64;
        self.batch.delete(key);
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.moved.rows += 1;
        self.moved.bytes += (key.len() + value.len()) as u64;
        self.batch.put(key, value);
    }

    fn commit(&mut self) -> Result<()> {
        // Nobody else has the target: no lock of an account is needed, and the rows of many go at
        // once.
        let batch = std::mem::take(&mut self.batch);
        // It has no guard: nothing to conflict with.
        let _ = self.target.commit(&AccountTag::NONE, batch).map_err(target_failed)?;
        self.commits += 1;
        if self.commits.is_multiple_of(2) {
            self.target.sync(Durability::ProcessCrash).map_err(target_failed)
        } else {
            Ok(())
        }
    }
}

/// An error of the target is none of the store: it goes on with what it has.
fn target_failed(error: EngineError) -> Error {
    match error {
        EngineError::Full => Error::Full(Part::Engine),
        EngineError::Io(source) => Error::Io {
            action: "write the fresh engine; the store goes on with the old one",
            source,
        },
        EngineError::Panicked => {
            let source = std::io::Error::other("its code panicked");
            Error::Io {
                action: "write the fresh engine; the store goes on with the old one",
                source,
            }
        }
    }
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::engine::{Commit, Limits, MemoryEngine, MemoryRows, Row};
    use crate::{AccountId, Machine, SignIn, TenantId};

    /// Keeps count of the largest batch.
    #[derive(Debug)]
    struct Measured(MemoryEngine, Arc<AtomicUsize>);

    impl Engine for Measured {
        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
            self.0.get(key)
        }

        fn scan(
            &self,
            prefix: &[u8],
            after: Option<&[u8]>,
            limit: usize,
        ) -> Result<Vec<Row>, EngineError> {
            self.0.scan(prefix, after, limit)
        }

        fn commit(&self, account: &AccountTag, batch: Batch) -> Result<Commit, EngineError> {
            self.1.fetch_max(batch.changes.len(), Ordering::Relaxed);
            self.0.commit(account, batch)
        }

        fn discard(&self, keys: Vec<Vec<u8>>) -> Result<(), EngineError> {
            self.0.discard(keys)
        }

        fn limits(&self) -> Limits {
            self.0.limits()
        }

        fn sync(&self, durability: Durability) -> Result<(), EngineError> {
            self.0.sync(durability)
        }

        fn size(&self) -> Result<u64, EngineError> {
            self.0.size()
        }
    }

    // Without it: accounts without tokens all go in one batch, which takes memory for everybody's,
    // and holds up all readers of the process.
    #[test]
    fn no_batch_is_much_longer_than_a_slice() {
        let store = Machine::new().builder().open().unwrap();
        for number in 0..200 {
            let account = AccountId::new("login.example.com", number.to_string()).unwrap();
            store.sign_in(SignIn::new(account, TenantId::new("contoso").unwrap())).unwrap();
        }
        let longest = Arc::new(AtomicUsize::new(0));
        let target = Measured(MemoryEngine(MemoryRows::default()), longest.clone());
        copy_live(store.core(), Box::new(target)).unwrap();
        assert!((SLICE..SLICE + 8).contains(&longest.load(Ordering::Relaxed)));
    }

    // Without it: what somebody had locked when the mover came by is not carried, and is lost with
    // the old engine.
    #[test]
    fn what_is_put_off_is_carried_later() {
        let store = Machine::new().builder().open().unwrap();
        let account = AccountId::new("login.example.com", "uid.utid").unwrap();
        store.sign_in(SignIn::new(account.clone(), TenantId::new("contoso").unwrap())).unwrap();
        let core = store.core();
        let tag = core.tagger.account(&account);
        let rows = MemoryRows::default();
        let _watch = core.watch_changes().unwrap();
        let mut mover =
            Mover { puts_off: true, ..Mover::new(Box::new(MemoryEngine(rows.clone())), None) };
        let at_work = core.lock_account(&tag);
        mover.carry_all(core).unwrap();
        mover.commit().unwrap();
        assert!(rows.all().is_empty());
        assert!(core.take_changed().contains(&tag));
        mover.carry_again(&core.enter().unwrap(), &tag).unwrap();
        assert!(core.take_changed().contains(&tag), "put off once more");
        drop(at_work);
        mover.carry_again(&core.enter().unwrap(), &tag).unwrap();
        mover.commit().unwrap();
        assert_eq!((mover.moved.accounts, core.count_changed()), (1, 0));
        assert!(rows.all().iter().any(|(key, _)| *key == row_key::header(&tag)));
    }
}
