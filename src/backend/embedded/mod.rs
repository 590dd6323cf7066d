//! The backend in one process: sealed rows in an engine, sign-outs in the ledger's file, and locks
//! that keep two verbs of one account apart.
//!
//! A plan runs once, under the locks that the verb names, and reads the engine as it goes: so what
//! it saw is still there when its change is written.

mod changed;
pub(crate) mod commit;
pub(crate) mod gate;
mod group_commit;
mod locks;

use crate::engine::{Engine, GivenUp};
use crate::ledger::Ledger;
use crate::model::error::Component;
use crate::model::position::Position;
use crate::model::tag::AccountTag;
use crate::observe;
use crate::platform::sync::atomic::{AtomicBool, Ordering};
use crate::platform::sync::{Mutex, PoisonError, RwLock};
use crate::rows::cipher::Rows;
use group_commit::Commits;
use std::collections::HashSet;

pub(crate) use locks::Lock;

/// What verbs work with: an engine, and the keys of its rows. They are replaced together.
pub(crate) struct Working {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) rows: Rows,
}

pub(crate) struct Embedded {
    /// `None` once closed. Every verb holds it for reading while it works, so closing and replacing
    /// wait for all of them.
    working: RwLock<Option<Working>>,
    engine_failed: AtomicBool,
    pub(crate) ledger: Ledger,
    accounts: Vec<Mutex<()>>,
    sessions: Vec<Mutex<()>>,
    /// Openings that the ledger has before this position are of version 1.
    pub(crate) old_end: Position,
    commits: Commits,
    /// While live rows are being moved to another engine: the accounts whose rows have changed.
    /// Else `None`.
    changed: Mutex<Option<HashSet<AccountTag>>>,
    pid: u32,
}

impl Embedded {
    /// `checkpoint` is how far the engine has seen the ledger.
    pub(crate) fn new(
        working: Working,
        ledger: Ledger,
        (checkpoint, old_end): (Position, Position),
    ) -> Self {
        let stripes = |n| std::iter::repeat_with(Mutex::default).take(n).collect();
        Self {
            working: RwLock::new(Some(working)),
            engine_failed: AtomicBool::new(false),
            ledger,
            accounts: stripes(256),
            sessions: stripes(256),
            old_end,
            commits: Commits::new(checkpoint),
            changed: Mutex::default(),
            pid: std::process::id(),
        }
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

    /// Marks the engine as failed, after a failure that leaves unknown what is on the disk: only
    /// reopening finds out.
    pub(crate) fn fail_engine(&self) {
        if !self.engine_failed.swap(true, Ordering::AcqRel) {
            observe::poisoned(Component::Engine);
        }
    }

    pub(crate) fn is_engine_failed(&self) -> bool {
        self.engine_failed.load(Ordering::Acquire)
    }

    /// Whether this is a child of the process that opened the store.
    fn is_forked(&self) -> bool {
        self.pid != std::process::id()
    }
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.ledger)
    }
}
