//! The gate that every verb goes through, and the verb's way to the engine behind it.

use super::{Embedded, Lock, Working};
use crate::engine::{Durability, Engine, EngineError, Row};
use crate::model::error::{Component, Error, Result};
use crate::model::position::Position;
use crate::model::tag::AccountTag;
#[cfg(feature = "tokio")]
use crate::platform::sync::TryLockError;
use crate::platform::sync::atomic::Ordering;
use crate::platform::sync::{PoisonError, RwLockReadGuard, RwLockWriteGuard};
use crate::rows::cipher::Rows;
use std::cell::Cell;

/// A verb's way to the engine. Any error of a write, and any error that is not a full disk, poisons
/// the engine.
pub(crate) struct Entered<'a> {
    pub(crate) embedded: &'a Embedded,
    gate: Gate<'a>,
    may_wait: bool,
    gave_up: Cell<bool>,
}

impl Embedded {
    /// Begins a verb that needs rows.
    ///
    /// # Errors
    /// `Closed`, `Forked`, `Poisoned`.
    pub(crate) fn enter(&self) -> Result<Entered<'_>> {
        let open = self.enter_ledger()?;
        if self.engine_failed.load(Ordering::Acquire) {
            return Err(Error::Poisoned(Component::Engine));
        }
        Ok(open)
    }

    /// Begins a verb that needs only the ledger.
    ///
    /// # Errors
    /// `Closed`, `Forked`, `Poisoned`.
    pub(crate) fn enter_ledger(&self) -> Result<Entered<'_>> {
        if self.is_forked() {
            return Err(Error::Forked);
        }
        let gate = Gate::Shared(self.working.read().unwrap_or_else(PoisonError::into_inner));
        self.checked(gate)
    }

    /// As [`Embedded::enter`], but neither entering nor a later read waits: for threads that may not
    /// block. `None` if entering would block. After its last read, the reader must check
    /// [`Entered::gave_up`].
    ///
    /// # Errors
    /// `Closed`, `Forked`, `Poisoned`.
    #[cfg(feature = "tokio")]
    pub(crate) fn try_enter(&self) -> Result<Option<Entered<'_>>> {
        if self.is_forked() {
            return Err(Error::Forked);
        }
        let gate = match self.working.try_read() {
            Ok(working) => Gate::Shared(working),
            Err(TryLockError::Poisoned(working)) => Gate::Shared(working.into_inner()),
            // Another thread has exclusive access, or waits for it.
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        let mut open = self.checked(gate)?;
        open.may_wait = false;
        if self.is_engine_failed() {
            return Err(Error::Poisoned(Component::Engine));
        }
        let is_busy = open.gate.working().is_some_and(|working| working.engine.is_busy());
        Ok((!is_busy).then_some(open))
    }

    /// Takes exclusive access: waits until no other verb is at work, and keeps them out while the
    /// result is held. A caller that holds a lock of an account or session, or has entered already,
    /// must not call this: it would dead-lock.
    ///
    /// # Errors
    /// `Closed`, `Forked`, `Poisoned`.
    pub(crate) fn enter_alone(&self) -> Result<Entered<'_>> {
        if self.is_forked() {
            return Err(Error::Forked);
        }
        let gate = Gate::Alone(self.working.write().unwrap_or_else(PoisonError::into_inner));
        let open = self.checked(gate)?;
        if self.is_engine_failed() { Err(Error::Poisoned(Component::Engine)) } else { Ok(open) }
    }

    fn checked<'a>(&'a self, gate: Gate<'a>) -> Result<Entered<'a>> {
        if gate.working().is_none() {
            return Err(Error::Closed);
        }
        if self.ledger.is_failed() {
            return Err(Error::Poisoned(Component::Ledger));
        }
        Ok(Entered { embedded: self, gate, may_wait: true, gave_up: Cell::new(false) })
    }
}

impl Entered<'_> {
    pub(super) fn engine<T>(
        &self,
        call: impl FnOnce(&dyn Engine) -> Result<T, EngineError>,
    ) -> Result<T> {
        if self.embedded.is_engine_failed() {
            return Err(Error::Poisoned(Component::Engine));
        }
        let engine = &*self.gate.working().ok_or(Error::Closed)?.engine;
        call(engine).map_err(|error| {
            self.embedded.fail_engine();
            match error {
                EngineError::Full => Error::Full(Component::Engine),
                EngineError::Io(source) => {
                    Error::io("use the engine; the store is poisoned, reopen it")(source)
                }
                EngineError::Panicked => Error::Poisoned(Component::Engine),
            }
        })
    }

    /// Seals and opens the rows of the engine.
    ///
    /// # Errors
    /// `Closed`, which never happens: a verb that has entered keeps the store open.
    pub(crate) fn rows(&self) -> Result<&Rows> {
        self.gate.working().map(|working| &working.rows).ok_or(Error::Closed)
    }

    /// Replaces the store's engine, and its keys if `rows` are given. Returns the old engine.
    /// Requires exclusive access ([`Embedded::enter_alone`]): without it, nothing is replaced and the
    /// result is `None`.
    pub(crate) fn replace(
        &mut self,
        engine: Box<dyn Engine>,
        rows: Option<Rows>,
        checkpoint: Position,
    ) -> Option<Box<dyn Engine>> {
        let Gate::Alone(place) = &mut self.gate else { return None };
        let working = place.as_mut()?;
        self.embedded.commits.set_checkpoint(checkpoint);
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

    /// The account's lock; `None` if it is held and the caller may not wait: then the result of the
    /// read must be thrown away.
    pub(crate) fn lock_account(&self, account: &AccountTag) -> Option<Lock<'_>> {
        if self.may_wait {
            return Some(self.embedded.lock_account(account));
        }
        let lock = self.embedded.try_lock_account(account);
        if lock.is_none() {
            self.gave_up.set(true);
        }
        lock
    }

    /// Whether a read was abandoned because it would have blocked on a lock.
    #[cfg(feature = "tokio")]
    pub(crate) fn gave_up(&self) -> bool {
        self.gave_up.get()
    }

    pub(crate) fn sync(&self, durability: Durability) -> Result<()> {
        self.engine(|engine| engine.sync(durability))
    }

    pub(crate) fn size(&self) -> Result<u64> {
        self.engine(|engine| engine.size())
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
