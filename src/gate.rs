//! What all handles of an open store share, and the gate that every verb goes through.
//!
//! Lock order: a session's stripe, accounts' stripes in rising order, the checkpoint, the ledger's own locks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use crate::clock::{Millis, Monotone, millis};
use crate::crypto::{Tag, Tagger};
use crate::engine::{Batch, Durability, Engine, EngineError, Row};
use crate::error::{Error, Part, Result};
use crate::layout::{self, SignInId};
use crate::ledger::Ledger;
use crate::reclaim::Backlog;
use crate::row::{Header, Rows, SignInBody};
use crate::rule::{Life, Position};
use crate::sign_out::SessionPolicy;
use crate::token::Token;

/// How a store behaves; set by its builder.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) skew: Duration,
    pub(crate) max_sign_in_age: Duration,
    pub(crate) max_sign_ins: u8,
    pub(crate) session_policy: SessionPolicy,
    pub(crate) refresh_durability: Durability,
    pub(crate) other_durability: Durability,
}

impl Options {
    pub(crate) fn durability_of(&self, token: &Token) -> Durability {
        if matches!(token, Token::Refresh(_)) { self.refresh_durability } else { self.other_durability }
    }
}

pub(crate) struct Core {
    /// `None` once closed. Every verb holds it for reading while it works, so closing waits for all of them.
    engine: RwLock<Option<Box<dyn Engine>>>,
    engine_failed: AtomicBool,
    pub(crate) ledger: Ledger,
    pub(crate) rows: Rows,
    pub(crate) tagger: Tagger,
    pub(crate) clock: Monotone,
    pub(crate) options: Options,
    pub(crate) backlog: Backlog,
    accounts: Vec<Mutex<()>>,
    sessions: Vec<Mutex<()>>,
    /// The position in the checkpoint row.
    checkpoint: Mutex<Position>,
    pid: u32,
}

impl Core {
    pub(crate) fn new(
        engine: Box<dyn Engine>,
        ledger: Ledger,
        rows: Rows,
        tagger: Tagger,
        clock: Monotone,
        options: Options,
        checkpoint: Position,
    ) -> Self {
        let stripes = |n| std::iter::repeat_with(Mutex::default).take(n).collect();
        Self {
            engine: RwLock::new(Some(engine)),
            engine_failed: AtomicBool::new(false),
            ledger,
            rows,
            tagger,
            clock,
            options,
            backlog: Backlog::default(),
            accounts: stripes(256),
            sessions: stripes(256),
            checkpoint: Mutex::new(checkpoint),
            pid: std::process::id(),
        }
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
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        if engine.is_none() {
            return Err(Error::Closed);
        }
        if self.ledger.is_failed() {
            return Err(Error::Poisoned(Part::Ledger));
        }
        Ok(Open { core: self, engine })
    }

    /// Waits for all verbs and drops the engine. Later verbs are refused.
    pub(crate) fn shut(&self) {
        // A forked child must not touch the parent's files: its copy is leaked.
        let engine = self.engine.write().unwrap_or_else(PoisonError::into_inner).take();
        if self.is_forked() { std::mem::forget(engine) } else { drop(engine) }
    }

    /// Whether this is a child of the process that opened the store.
    pub(crate) fn is_forked(&self) -> bool {
        self.pid != std::process::id()
    }

    pub(crate) fn is_engine_failed(&self) -> bool {
        self.engine_failed.load(Ordering::Acquire)
    }

    /// The account's lock: whoever changes its rows holds it.
    pub(crate) fn lock_account(&self, account: &Tag) -> MutexGuard<'_, ()> {
        lock_stripe(&self.accounts, account)
    }

    /// The locks of several accounts, in the order that cannot dead-lock.
    pub(crate) fn lock_accounts(&self, accounts: &[Tag]) -> Vec<MutexGuard<'_, ()>> {
        let mut stripes: Vec<usize> = accounts.iter().map(stripe).collect();
        stripes.sort_unstable();
        stripes.dedup();
        stripes.into_iter().filter_map(|i| self.accounts.get(i)).map(lock).collect()
    }

    /// Keeps a sign-in of this session and a sign-out of it from passing each other between looking and writing.
    pub(crate) fn lock_session(&self, session: &Tag) -> MutexGuard<'_, ()> {
        lock_stripe(&self.sessions, session)
    }

    /// Whether the rule and the greatest age let the sign-in live.
    pub(crate) fn is_live(&self, life: &Life, now: Millis) -> bool {
        !self.is_too_old(life, now) && !self.ledger.fences().is_dead(life)
    }

    pub(crate) fn is_too_old(&self, life: &Life, now: Millis) -> bool {
        life.time.saturating_add(millis(self.options.max_sign_in_age)) <= now
    }

    /// What the rule looks at of a stored sign-in.
    pub(crate) fn life(&self, account: Tag, sign_in: &SignInBody) -> Life {
        Life {
            opening: sign_in.opening,
            as_of: sign_in.as_of,
            time: sign_in.time,
            account,
            tenant: self.tagger.tenant(&sign_in.tenant),
            session: sign_in.session.as_ref().map(|s| self.tagger.session(s)),
            subject: sign_in.subject.as_ref().map(|s| self.tagger.subject(s)),
        }
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.ledger)
    }
}

/// A verb's way to the engine. Any error of a write, and any error that is not a full disk, poisons the engine.
pub(crate) struct Open<'a> {
    pub(crate) core: &'a Core,
    engine: RwLockReadGuard<'a, Option<Box<dyn Engine>>>,
}

impl Open<'_> {
    fn engine<T>(&self, call: impl FnOnce(&dyn Engine) -> Result<T, EngineError>) -> Result<T> {
        if self.core.is_engine_failed() {
            return Err(Error::Poisoned(Part::Engine));
        }
        let engine = self.engine.as_deref().ok_or(Error::Closed)?;
        call(engine).map_err(|error| {
            self.core.engine_failed.store(true, Ordering::Release);
            match error {
                EngineError::Full => Error::Full(Part::Engine),
                EngineError::Io(source) => Error::Io { action: "use the engine; the store is poisoned, reopen it", source },
                EngineError::Panicked => Error::Poisoned(Part::Engine),
            }
        })
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.engine(|engine| engine.get(key))
    }

    pub(crate) fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>> {
        self.engine(|engine| engine.scan(prefix, after, limit))
    }

    /// Gives every row whose key begins with `prefix` to `each`, slice by slice, until it says stop.
    pub(crate) fn for_each_row(&self, prefix: &[u8], mut each: impl FnMut(Row) -> Result<bool>) -> Result<()> {
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

    /// Commits a batch of `account`, whose lock the caller holds.
    ///
    /// # Errors
    /// `Tampered` if the header is not the one that the caller read: nobody else may write it meanwhile.
    pub(crate) fn commit(&self, account: &Tag, batch: Batch) -> Result<()> {
        if self.engine(|engine| engine.commit(account, batch))? { Ok(()) } else { Err(Error::Tampered("header")) }
    }

    /// As [`Open::commit`], with the checkpoint moved up to the ledger's synced end if it is behind.
    pub(crate) fn commit_with_checkpoint(&self, account: &Tag, mut batch: Batch) -> Result<()> {
        let mut checkpoint = lock(&self.core.checkpoint);
        let synced = self.core.ledger.synced();
        if synced > *checkpoint {
            batch.put(layout::CHECKPOINT.to_vec(), self.core.rows.seal_checkpoint(layout::CHECKPOINT, synced)?);
        }
        self.commit(account, batch)?;
        *checkpoint = synced.max(*checkpoint);
        Ok(())
    }

    pub(crate) fn sync(&self, durability: Durability) -> Result<()> {
        self.engine(|engine| engine.sync(durability))
    }

    pub(crate) fn size(&self) -> Result<u64> {
        self.engine(|engine| engine.size())
    }

    /// The account's header as it is stored, and opened.
    pub(crate) fn header(&self, account: &Tag) -> Result<Option<(Vec<u8>, Header)>> {
        let key = layout::header(account);
        let Some(value) = self.get(&key)? else { return Ok(None) };
        let header = self.core.rows.open_header(&key, &value)?;
        Ok(Some((value, header)))
    }

    /// A sign-in that the header lists; `None` if its row is lost.
    pub(crate) fn sign_in(&self, account: &Tag, header: &Header, id: &SignInId) -> Result<Option<SignInBody>> {
        let key = layout::sign_in(account, id);
        let value = self.get(&key)?;
        value.map(|value| self.core.rows.open_sign_in(&key, &value, header)).transpose()
    }

    /// The token whose first part is in this row; `None` if another write goes on meanwhile.
    pub(crate) fn token(&self, header: &Header, key: Vec<u8>, value: Vec<u8>) -> Result<Option<Token>> {
        let count = crate::row::parts_of(&value);
        let mut parts = vec![(key, value)];
        for part in 1..count {
            let mut key = parts.first().map(|(key, _)| key.clone()).unwrap_or_default();
            if let Some(last) = key.last_mut() {
                *last = part;
            }
            let Some(value) = self.get(&key)? else { return Ok(None) };
            parts.push((key, value));
        }
        self.core.rows.open_token(parts, header)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stripe(tag: &Tag) -> usize {
    // Tags are keyed hashes: any byte of them spreads evenly.
    usize::from(tag[0])
}

fn lock_stripe<'a>(stripes: &'a [Mutex<()>], tag: &Tag) -> MutexGuard<'a, ()> {
    #[expect(clippy::indexing_slicing, reason = "there are 256 stripes, one for each value of a byte")]
    lock(&stripes[stripe(tag)])
}
