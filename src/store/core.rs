//! What all handles of an open store share.

use crate::clock::StoreClock;
use crate::clock::lasting::Skew;
use crate::crypto::Tagger;
use crate::engine::{Durability, Engine, GivenUp};
use crate::ledger::Ledger;
use crate::model::error::Component;
use crate::model::position::Position;
use crate::model::sign_out::SessionPolicy;
use crate::model::tag::AccountTag;
use crate::model::token::Token;
use crate::observe;
use crate::platform::sync::atomic::{AtomicBool, Ordering};
use crate::platform::sync::{Mutex, PoisonError, RwLock, lock};
use crate::rows::cipher::Rows;
use crate::store::backlog::Backlog;
use crate::store::counting::Counting;
use crate::store::group_commit::Commits;
use std::any::Any;
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
    pub(super) working: RwLock<Option<Working>>,
    pub(super) engine_failed: AtomicBool,
    pub(crate) ledger: Ledger,
    pub(crate) tagger: Tagger,
    pub(crate) clock: StoreClock,
    pub(crate) options: Options,
    pub(crate) backlog: Backlog,
    pub(crate) counting: Counting,
    /// A value that a room above keeps beside an open store.
    pub(super) above: OnceLock<Box<dyn Any + Send + Sync>>,
    pub(super) accounts: Vec<Mutex<()>>,
    pub(super) sessions: Vec<Mutex<()>>,
    /// Openings that the ledger has before this position are of version 1.
    pub(super) old_end: Position,
    pub(crate) commits: Commits,
    /// While live rows are being moved to another engine: the accounts whose rows have changed.
    /// Else `None`.
    pub(super) changed: Mutex<Option<HashSet<AccountTag>>>,
    pub(super) closing: AtomicBool,
    /// Waiters for other things, which are notified when the store is about to be closed.
    pub(super) on_closing: Mutex<Vec<Box<dyn OnClosing>>>,
    pub(super) pid: u32,
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

    /// What a room above keeps beside this store, made at the first call. There is one such value:
    /// the result is `None` if it is of another type.
    pub(crate) fn above<T: Any + Send + Sync>(&self, make: fn() -> T) -> Option<&T> {
        self.above.get_or_init(|| Box::new(make())).downcast_ref()
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

    /// Tells long-running work to end, because the store is about to be closed.
    pub(crate) fn hurry(&self) {
        self.closing.store(true, Ordering::Release);
        let told = std::mem::take(&mut *lock(&self.on_closing));
        told.iter().for_each(|one| one.closing());
    }

    /// Registers a waiter that is notified when the store is about to be closed; at once, if it
    /// already is.
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

    /// Marks the engine as failed, after a failure that leaves unknown what is on the disk: only
    /// reopening finds out.
    pub(crate) fn fail_engine(&self) {
        if !self.engine_failed.swap(true, Ordering::AcqRel) {
            observe::poisoned(Component::Engine);
        }
    }

    /// Whether this is a child of the process that opened the store.
    pub(crate) fn is_forked(&self) -> bool {
        self.pid != std::process::id()
    }

    pub(crate) fn is_engine_failed(&self) -> bool {
        self.engine_failed.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.ledger)
    }
}

/// A waiter for something else, which is notified when the store is about to be closed.
pub(crate) trait OnClosing: Send + Sync {
    /// Whether it still waits.
    fn is_there(&self) -> bool;

    /// Called when the store is about to be closed.
    fn closing(&self);
}
