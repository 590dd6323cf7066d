//! What all handles of an open store share, and the gate that every verb goes through.
//!
//! Lock order: the gate, a session's stripe, accounts' stripes in rising order, the queue of
//! commits, the ledger's own locks. The tag of a web session has the stripe that an account of this
//! tag would have: who makes one holds it, and that of the account too if it is bound.

use crate::clock::StoreClock;
use crate::clock::lasting::{Skew, Stored};
use crate::crypto::Tagger;
use crate::engine::{Batch, Commit, Durability, Engine, EngineError, GivenUp, Row};
use crate::ledger::Ledger;
use crate::model::error::{Error, Part, Result};
use crate::model::id::AccountId;
use crate::model::position::Position;
use crate::model::random_id::SignInId;
use crate::model::sign_out::SessionPolicy;
use crate::model::tag::{AccountTag, SessionTag, TAG_LEN};
use crate::model::time::{Millis, millis};
use crate::model::token::Token;
use crate::observe;
use crate::platform::sync::atomic::{AtomicBool, Ordering};
use crate::platform::sync::{
    Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, lock,
};
use crate::rows::LONGEST_VALUE;
use crate::rows::cipher::{Header, Rows, SignInBody};
use crate::rows::row_key;
use crate::rule::Life;
use crate::store::commits::{Commits, Wanted, Written};
use crate::store::counting::Counting;
use crate::store::identity;
use crate::store::queue::Backlog;
use std::any::Any;
use std::cell::Cell;
use std::collections::HashSet;
use std::sync::OnceLock;
use std::time::Duration;

/// How a store behaves; set by its builder.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) skew: Skew,
    pub(crate) max_sign_in_age: Duration,
    pub(crate) max_sign_ins: u8,
    pub(crate) session_policy: SessionPolicy,
    pub(crate) refresh_durability: Durability,
    pub(crate) other_durability: Durability,
}

impl Options {
    pub(crate) fn durability_of(&self, token: &Token) -> Durability {
        if matches!(token, Token::Refresh(_)) {
            self.refresh_durability
        } else {
            self.other_durability
        }
    }
}

/// What verbs work with: an engine, and the keys of its rows. They are replaced together.
pub(crate) struct Working {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) rows: Rows,
}

pub(crate) struct Core {
    /// `None` once closed. Every verb holds it for reading while it works, so closing and replacing
    /// wait for all of them.
    working: RwLock<Option<Working>>,
    engine_failed: AtomicBool,
    pub(crate) ledger: Ledger,
    pub(crate) tagger: Tagger,
    pub(crate) clock: StoreClock,
    pub(crate) options: Options,
    pub(crate) backlog: Backlog,
    pub(crate) counting: Counting,
    /// What a room above keeps beside an open store.
    above: OnceLock<Box<dyn Any + Send + Sync>>,
    accounts: Vec<Mutex<()>>,
    sessions: Vec<Mutex<()>>,
    /// Openings that the ledger has before this position are of version 1.
    old_end: Position,
    pub(crate) commits: Commits,
    /// While live rows are being moved to another engine: the accounts whose rows have changed.
    changed: Mutex<Option<HashSet<AccountTag>>>,
    closing: AtomicBool,
    /// Who waits for something else, and is to be told when the store is going to be closed.
    on_closing: Mutex<Vec<Box<dyn OnClosing>>>,
    pid: u32,
}

impl Core {
    pub(crate) fn new(
        working: Working,
        ledger: Ledger,
        tagger: Tagger,
        clock: StoreClock,
        options: Options,
        (checkpoint, old_end): (Position, Position),
    ) -> Self {
        let stripes = |n| std::iter::repeat_with(Mutex::default).take(n).collect();
        Self {
            working: RwLock::new(Some(working)),
            engine_failed: AtomicBool::new(false),
            ledger,
            tagger,
            clock,
            options,
            backlog: Backlog::default(),
            above: OnceLock::new(),
            counting: Counting::default(),
            accounts: stripes(256),
            sessions: stripes(256),
            old_end,
            commits: Commits::new(checkpoint),
            changed: Mutex::default(),
            closing: AtomicBool::new(false),
            on_closing: Mutex::default(),
            pid: std::process::id(),
        }
    }

    /// What the room above keeps beside this store, made when it is first asked for: one room, and
    /// one kind of thing. `None` for another kind.
    pub(crate) fn above<T: Any + Send + Sync>(&self, make: fn() -> T) -> Option<&T> {
        self.above.get_or_init(|| Box::new(make())).downcast_ref()
    }

    /// Begins a verb that needs rows.
    ///
    /// # Errors
    /// `Closed`, `Forked`, `Poisoned`.
    pub(crate) fn enter(&self) -> Result<Open<'_>> {
        let open = self.enter_ledger()?;
        if self.engine_failed.load(Ordering::Acquire) {
            return Err(Error::Poisoned(Part::Engine));
        }
        Ok(open)
    }

    /// Begins a verb that needs only the ledger.
    ///
    /// # Errors
    /// `Closed`, `Forked`, `Poisoned`.
    pub(crate) fn enter_ledger(&self) -> Result<Open<'_>> {
        if self.is_forked() {
            return Err(Error::Forked);
        }
        let gate = Gate::Shared(self.working.read().unwrap_or_else(PoisonError::into_inner));
        self.checked(gate)
    }

    /// As [`Core::enter`], if that can be had without waiting, and what is read then need not wait
    /// either: for threads that may not block. Who reads asks [`Open::gave_up`] in the end.
    ///
    /// # Errors
    /// `Closed`, `Forked`, `Poisoned`.
    #[cfg(feature = "tokio")]
    pub(crate) fn try_enter(&self) -> Result<Option<Open<'_>>> {
        if self.is_forked() {
            return Err(Error::Forked);
        }
        let gate = match self.working.try_read() {
            Ok(working) => Gate::Shared(working),
            Err(TryLockError::Poisoned(working)) => Gate::Shared(working.into_inner()),
            // Somebody is alone, or waits to be.
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        let mut open = self.checked(gate)?;
        open.may_wait = false;
        if self.is_engine_failed() {
            return Err(Error::Poisoned(Part::Engine));
        }
        let is_busy = open.gate.working().is_some_and(|working| working.engine.is_busy());
        Ok((!is_busy).then_some(open))
    }

    /// Waits until no other verb is at work, and keeps them out while the result is held. Whoever
    /// holds a lock of an account or session, or has entered already, must not call this.
    ///
    /// # Errors
    /// `Closed`, `Forked`, `Poisoned`.
    pub(crate) fn enter_alone(&self) -> Result<Open<'_>> {
        if self.is_forked() {
            return Err(Error::Forked);
        }
        let gate = Gate::Alone(self.working.write().unwrap_or_else(PoisonError::into_inner));
        let open = self.checked(gate)?;
        if self.is_engine_failed() { Err(Error::Poisoned(Part::Engine)) } else { Ok(open) }
    }

    fn checked<'a>(&'a self, gate: Gate<'a>) -> Result<Open<'a>> {
        if gate.working().is_none() {
            return Err(Error::Closed);
        }
        if self.ledger.is_failed() {
            return Err(Error::Poisoned(Part::Ledger));
        }
        Ok(Open { core: self, gate, may_wait: true, gave_up: Cell::new(false) })
    }

    /// Whether the engine is given up, now or when it is dropped.
    pub(crate) fn engine_given_up(&self) -> GivenUp {
        let working = self.working.read().unwrap_or_else(PoisonError::into_inner);
        working.as_ref().map(|working| working.engine.given_up()).unwrap_or_default()
    }

    /// Waits for all verbs and drops the engine. Later verbs are refused.
    pub(crate) fn shut(&self) {
        drop(self.working.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Has what takes long come to its end: the store is going to be closed.
    pub(crate) fn hurry(&self) {
        self.closing.store(true, Ordering::Release);
        let told = std::mem::take(&mut *lock(&self.on_closing));
        told.iter().for_each(|one| one.closing());
    }

    /// Has it told when the store is going to be closed; at once, if that is so.
    pub(crate) fn tell_on_closing(&self, one: impl OnClosing + Clone + 'static) {
        let mut told = lock(&self.on_closing);
        told.retain(|one| one.is_there());
        told.push(Box::new(one.clone()));
        drop(told);
        if self.is_closing() {
            one.closing();
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// From now on [`Core::take_changed`] tells which accounts' rows were changed, until the result
    /// is dropped.
    ///
    /// # Errors
    /// As [`Core::enter_alone`].
    pub(crate) fn watch_changes(&self) -> Result<Watch<'_>> {
        // Should the ledger be being compacted, this waits for that, and not everybody.
        let _tended = self.ledger.tend();
        // While nobody is at work: a verb that has looked and seen no watch could still commit a
        // new account behind the watcher's back.
        let _alone = self.enter_alone()?;
        *lock(&self.changed) = Some(HashSet::new());
        Ok(Watch(self))
    }

    /// The accounts whose rows were changed since the last call. Whoever changes rows says so
    /// first, under the account's lock.
    pub(crate) fn take_changed(&self) -> HashSet<AccountTag> {
        lock(&self.changed).as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Says that rows of this account change, or may have, to who moves them. Before the engine has
    /// it: who takes the list meanwhile comes to the account's lock, and then sees the change.
    pub(crate) fn name_changed(&self, account: &AccountTag) {
        if let Some(changed) = lock(&self.changed).as_mut() {
            changed.insert(*account);
        }
    }

    /// How many accounts' rows were changed since the last [`Core::take_changed`].
    pub(crate) fn count_changed(&self) -> usize {
        lock(&self.changed).as_ref().map_or(0, HashSet::len)
    }

    /// After a failure that leaves open what is on the disk: nothing but reopening finds out.
    pub(crate) fn fail_engine(&self) {
        if !self.engine_failed.swap(true, Ordering::AcqRel) {
            observe::poisoned(Part::Engine);
        }
    }

    /// Whether this is a child of the process that opened the store.
    pub(crate) fn is_forked(&self) -> bool {
        self.pid != std::process::id()
    }

    pub(crate) fn is_engine_failed(&self) -> bool {
        self.engine_failed.load(Ordering::Acquire)
    }

    /// The account's lock: whoever changes its rows holds it.
    pub(crate) fn lock_account(&self, account: &AccountTag) -> MutexGuard<'_, ()> {
        lock(self.stripe(account))
    }

    /// The account's lock, if nobody has it: for who has others to do first.
    pub(crate) fn try_lock_account(&self, account: &AccountTag) -> Option<MutexGuard<'_, ()>> {
        match self.stripe(account).try_lock() {
            Ok(lock) => Some(lock),
            Err(TryLockError::Poisoned(lock)) => Some(lock.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn stripe(&self, account: &AccountTag) -> &Mutex<()> {
        stripe_of(&self.accounts, account.as_bytes())
    }

    /// The locks of several accounts, in the order that cannot dead-lock.
    pub(crate) fn lock_accounts(&self, accounts: &[AccountTag]) -> Vec<MutexGuard<'_, ()>> {
        let mut stripes: Vec<usize> =
            accounts.iter().map(|account| stripe(account.as_bytes())).collect();
        stripes.sort_unstable();
        stripes.dedup();
        stripes.into_iter().filter_map(|i| self.accounts.get(i)).map(lock).collect()
    }

    /// Keeps a sign-in of this session and a sign-out of it from passing each other between looking
    /// and writing.
    pub(crate) fn lock_session(&self, session: &SessionTag) -> MutexGuard<'_, ()> {
        lock(stripe_of(&self.sessions, session.as_bytes()))
    }

    /// As [`lock_session`](Self::lock_session), of several.
    pub(crate) fn lock_sessions<'a>(
        &self,
        sessions: impl Iterator<Item = &'a SessionTag>,
    ) -> Vec<MutexGuard<'_, ()>> {
        let mut stripes: Vec<usize> = sessions.map(|session| stripe(session.as_bytes())).collect();
        stripes.sort_unstable();
        stripes.dedup();
        stripes.into_iter().filter_map(|i| self.sessions.get(i)).map(lock).collect()
    }

    /// Whether the rule and the greatest age let the sign-in live.
    pub(crate) fn is_live(&self, life: &Life, now: Millis) -> bool {
        !self.is_too_old(life, now) && !self.ledger.fences().is_dead(life)
    }

    pub(crate) fn is_too_old(&self, life: &Life, now: Millis) -> bool {
        life.time.saturating_add(millis(self.options.max_sign_in_age)) <= now
    }

    /// What the rule looks at of a stored sign-in of an account. `other` is the account's [other
    /// tag](Self::other_tag).
    pub(crate) fn life(
        &self,
        account: AccountTag,
        other: Option<AccountTag>,
        sign_in: &SignInBody,
    ) -> Life {
        Life {
            opening: sign_in.opening,
            as_of: sign_in.as_of,
            time: sign_in.time,
            account,
            other: other.filter(|_| self.ledger.fences().is_before(&sign_in.opening, self.old_end)),
            tenant: self.tagger.tenant(&sign_in.tenant),
            session: sign_in.session.as_ref().map(|s| self.tagger.session(s)),
            subject: sign_in.subject.as_ref().map(|s| self.tagger.subject(s)),
        }
    }

    /// The other tag of the account whose rows lie under `tag`, as long as there may be sign-ins to
    /// which it matters.
    pub(crate) fn other_tag(&self, id: &AccountId, tag: &AccountTag) -> Option<AccountTag> {
        if self.knows_two_tags() { identity::other_of(&self.tagger, id, tag) } else { None }
    }

    fn knows_two_tags(&self) -> bool {
        self.old_end > Position::ZERO && self.ledger.fences().has_opening_before(self.old_end)
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.ledger)
    }
}

/// What waits for something else, and is to be told when the store is going to be closed.
pub(crate) trait OnClosing: Send + Sync {
    /// Whether it still waits.
    fn is_there(&self) -> bool;

    /// The store is going to be closed.
    fn closing(&self);
}

/// Ends a watch for changed accounts.
pub(crate) struct Watch<'a>(&'a Core);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        *lock(&self.0.changed) = None;
    }
}

enum Gate<'a> {
    Shared(RwLockReadGuard<'a, Option<Working>>),
    Alone(RwLockWriteGuard<'a, Option<Working>>),
}

impl Gate<'_> {
    fn working(&self) -> Option<&Working> {
        match self {
            Self::Shared(working) => working.as_ref(),
            Self::Alone(working) => working.as_ref(),
        }
    }
}

/// A verb's way to the engine. Any error of a write, and any error that is not a full disk, poisons
/// the engine.
pub(crate) struct Open<'a> {
    pub(crate) core: &'a Core,
    gate: Gate<'a>,
    may_wait: bool,
    gave_up: Cell<bool>,
}

impl Open<'_> {
    fn engine<T>(&self, call: impl FnOnce(&dyn Engine) -> Result<T, EngineError>) -> Result<T> {
        if self.core.is_engine_failed() {
            return Err(Error::Poisoned(Part::Engine));
        }
        let engine = &*self.gate.working().ok_or(Error::Closed)?.engine;
        call(engine).map_err(|error| {
            self.core.fail_engine();
            match error {
                EngineError::Full => Error::Full(Part::Engine),
                EngineError::Io(source) => {
                    Error::Io { action: "use the engine; the store is poisoned, reopen it", source }
                }
                EngineError::Panicked => Error::Poisoned(Part::Engine),
            }
        })
    }

    /// Seals and opens the rows of the engine.
    ///
    /// # Errors
    /// `Closed` never comes: whoever has entered keeps the store open.
    pub(crate) fn rows(&self) -> Result<&Rows> {
        self.gate.working().map(|working| &working.rows).ok_or(Error::Closed)
    }

    /// Puts another engine, and perhaps other keys, in the place of the store's, and gives back the
    /// old engine. Only for who has entered alone.
    pub(crate) fn replace(
        &mut self,
        engine: Box<dyn Engine>,
        rows: Option<Rows>,
        checkpoint: Position,
    ) -> Option<Box<dyn Engine>> {
        let Gate::Alone(place) = &mut self.gate else { return None };
        let working = place.as_mut()?;
        self.core.commits.set_checkpoint(checkpoint);
        if let Some(rows) = rows {
            working.rows = rows;
        }
        Some(std::mem::replace(&mut working.engine, engine))
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.engine(|engine| engine.get(key))
    }

    pub(crate) fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>> {
        self.engine(|engine| engine.scan(prefix, after, limit))
    }

    /// Gives every row whose key begins with `prefix` to `each`, slice by slice, until it says
    /// stop.
    pub(crate) fn for_each_row(
        &self,
        prefix: &[u8],
        mut each: impl FnMut(Row) -> Result<bool>,
    ) -> Result<()> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let slice = self.scan(prefix, after.as_deref(), 256)?;
            let Some((last, _)) = slice.last() else { return Ok(()) };
            after = Some(last.clone());
            for row in slice {
                if !each(row)? {
                    return Ok(());
                }
            }
        }
    }

    /// The account's lock; `None` if it is held and the caller may not wait: whatever is read then
    /// counts for nothing.
    pub(crate) fn lock_account(&self, account: &AccountTag) -> Option<MutexGuard<'_, ()>> {
        if self.may_wait {
            return Some(self.core.lock_account(account));
        }
        let lock = self.core.try_lock_account(account);
        if lock.is_none() {
            self.gave_up.set(true);
        }
        lock
    }

    /// Whether a read came to a lock that it may not wait for.
    #[cfg(feature = "tokio")]
    pub(crate) fn gave_up(&self) -> bool {
        self.gave_up.get()
    }

    /// Commits a batch of `account`, whose lock the caller holds.
    ///
    /// # Errors
    /// `Tampered` if the header is not the one that the caller read: nobody else may write it
    /// meanwhile.
    pub(crate) fn commit(&self, account: &AccountTag, batch: Batch) -> Result<()> {
        if batch.changes.len() > 1 {
            return self.commit_in_group(account, batch, false);
        }
        // One row is whole by itself, and holds nobody up.
        self.core.name_changed(account);
        unchallenged(self.engine(|engine| engine.commit(account, batch))?)
    }

    fn commit_in_group(&self, account: &AccountTag, batch: Batch, has_as_of: bool) -> Result<()> {
        self.core.name_changed(account);
        let wanted = Wanted { account: *account, batch, has_as_of };
        let committed = self.core.commits.commit(wanted, |group, checkpoint| {
            let unsure = Unsure(self.core);
            let written = self.write(group, checkpoint);
            std::mem::forget(unsure);
            written
        })?;
        unchallenged(committed)
    }

    /// Deletes rows of `account`, whose lock the caller holds, that nobody can read any more.
    pub(crate) fn discard(&self, account: &AccountTag, keys: Vec<Vec<u8>>) -> Result<()> {
        self.core.name_changed(account);
        self.engine(|engine| engine.discard(keys))
    }

    /// Commits a group, all of it together, with the checkpoint moved up to the ledger's synced end
    /// if there are as-ofs in it and it is behind. Every member holds its account's lock, and is
    /// one of its own: so no guard changes after it was looked at here.
    fn write(&self, group: Vec<Wanted>, checkpoint: Position) -> Result<Written> {
        debug_assert!(group.iter().flat_map(|one| &one.batch.changes).all(is_short));
        // After it is known who is in the group: their as-ofs were synced before they came.
        let synced = if group.iter().any(|one| one.has_as_of) {
            self.core.ledger.synced()
        } else {
            checkpoint
        };
        let (mut whole, mut held, is_alone) =
            (Batch::default(), Vec::with_capacity(group.len()), group.len() == 1);
        let mut account = AccountTag::NONE;
        for Wanted { account: of, batch, .. } in group {
            if is_alone {
                (account, whole) = (of, batch);
                break;
            }
            let holds = match &batch.guard {
                Some((key, expected)) if self.get(key)? != *expected => Commit::Conflict,
                _ => Commit::Done,
            };
            held.push(holds);
            if holds == Commit::Done {
                whole.changes.extend(batch.changes);
            }
        }
        if synced > checkpoint {
            whole.put(
                row_key::CHECKPOINT.to_vec(),
                self.rows()?.seal_checkpoint(row_key::CHECKPOINT, synced)?,
            );
        }
        let written = self.engine(|engine| engine.commit(&account, whole))?;
        if is_alone {
            held.push(written);
        }
        let is_done = written == Commit::Done;
        Ok(Written { held, checkpoint: if is_done { synced.max(checkpoint) } else { checkpoint } })
    }

    /// Leaves for later openings what is known of the time, now and then.
    pub(crate) fn leave_known(&self) -> Result<()> {
        let Some(known) = self.core.clock.known_anew() else { return Ok(()) };
        let mut batch = Batch::default();
        batch.put(row_key::KNOWN.to_vec(), self.rows()?.seal_known(row_key::KNOWN, &known)?);
        self.commit(&AccountTag::NONE, batch)?;
        self.core.clock.is_left(&known);
        Ok(())
    }

    /// As [`Open::commit`], with the checkpoint moved up to the ledger's synced end if it is
    /// behind. No row with an as-of may be on the disk without a checkpoint that reaches it, so all
    /// of them come this way.
    pub(crate) fn commit_with_checkpoint(&self, account: &AccountTag, batch: Batch) -> Result<()> {
        self.commit_in_group(account, batch, true)
    }

    pub(crate) fn sync(&self, durability: Durability) -> Result<()> {
        self.engine(|engine| engine.sync(durability))
    }

    pub(crate) fn size(&self) -> Result<u64> {
        self.engine(|engine| engine.size())
    }

    /// The account's header as it is stored, and opened.
    pub(crate) fn header(&self, account: &AccountTag) -> Result<Option<(Vec<u8>, Header)>> {
        let Some((value, mut header)) = self.header_alone(account)? else { return Ok(None) };
        if self.core.knows_two_tags() {
            let id = self.rows()?.open_account(&row_key::header(account), &value, &header)?;
            header.other = self.core.other_tag(&id, account);
        }
        Ok(Some((value, header)))
    }

    /// As [`Open::header`], without the account's other tag: for who knows the lives of its
    /// sign-ins.
    pub(crate) fn header_alone(&self, account: &AccountTag) -> Result<Option<(Vec<u8>, Header)>> {
        let key = row_key::header(account);
        let Some(value) = self.get(&key)? else { return Ok(None) };
        let header = self.rows()?.open_header(&key, &value)?;
        Ok(Some((value, header)))
    }

    /// A sign-in that the header lists; `None` if its row is lost.
    pub(crate) fn sign_in(
        &self,
        account: &AccountTag,
        header: &Header,
        id: &SignInId,
    ) -> Result<Option<SignInBody>> {
        let key = row_key::sign_in(account, id);
        let value = self.get(&key)?;
        let rows = self.rows()?;
        value.map(|value| rows.open_sign_in(&key, &value, header)).transpose()
    }

    /// The token whose first part is in this row; `None` if another write goes on meanwhile.
    pub(crate) fn token(
        &self,
        header: &Header,
        key: Vec<u8>,
        value: Vec<u8>,
    ) -> Result<Option<Token>> {
        Ok(self.stored(header, key, value)?.map(|stored| stored.token))
    }

    /// As [`Open::token`], with when it was stored.
    pub(crate) fn stored(
        &self,
        header: &Header,
        key: Vec<u8>,
        value: Vec<u8>,
    ) -> Result<Option<Stored>> {
        let parts = self.parts(key, value)?;
        parts.map_or(Ok(None), |parts| self.rows()?.open_token(parts, header))
    }

    /// This first part and those behind it; `None` if one is missing, as while another write goes
    /// on.
    pub(crate) fn parts(&self, key: Vec<u8>, value: Vec<u8>) -> Result<Option<Vec<Row>>> {
        let count = crate::rows::cipher::parts_of(&value);
        let mut parts = vec![(key, value)];
        for part in 1..count {
            let mut key = parts.first().map(|(key, _)| key.clone()).unwrap_or_default();
            if let Some(last) = key.last_mut() {
                *last = part;
            }
            let Some(value) = self.get(&key)? else { return Ok(None) };
            parts.push((key, value));
        }
        Ok(Some(parts))
    }
}

/// Whether an engine can hold it: [`LONGEST_VALUE`].
fn is_short((_, value): &(Vec<u8>, Option<Vec<u8>>)) -> bool {
    value.as_ref().is_none_or(|value| value.len() <= LONGEST_VALUE)
}

/// Whoever changes an account's rows holds its lock, and nobody else has the engine: a row that is
/// not what was read under the lock was changed from outside.
fn unchallenged(committed: Commit) -> Result<()> {
    match committed {
        Commit::Done => Ok(()),
        Commit::Conflict => Err(Error::Tampered("header")),
    }
}

/// Fails the engine, should who writes to it for others panic: what they have is in doubt.
struct Unsure<'a>(&'a Core);

impl Drop for Unsure<'_> {
    fn drop(&mut self) {
        self.0.fail_engine();
    }
}

fn stripe(tag: &[u8; TAG_LEN]) -> usize {
    // Tags are keyed hashes: any byte of them spreads evenly.
    usize::from(tag[0])
}

fn stripe_of<'a>(stripes: &'a [Mutex<()>], tag: &[u8; TAG_LEN]) -> &'a Mutex<()> {
    #[expect(
        clippy::indexing_slicing,
        reason = "there are 256 stripes, one for each value of a byte"
    )]
    &stripes[stripe(tag)]
}

/// Writes the checkpoint if the ledger has moved on, and makes what was deleted durable.
pub(crate) fn checkpoint(open: &Open<'_>) -> Result<()> {
    open.leave_known()?;
    open.commit_with_checkpoint(&AccountTag::NONE, Batch::default())?;
    open.sync(Durability::PowerLoss)
}

#[cfg(feature = "tokio")]
/// Does a read here and now if nothing holds it up; `None` if something does.
pub(crate) fn attempt<T>(
    core: &Core,
    read: impl FnOnce(&Open<'_>) -> Result<T>,
) -> Option<Result<T>> {
    let open = match core.try_enter() {
        Ok(open) => open?,
        Err(error) => return Some(Err(error)),
    };
    let result = read(&open);
    (!open.gave_up()).then_some(result)
}
