//! What all handles of an open store share.

use crate::backend::exchange::Lease;
use crate::backend::remote::patiently;
use crate::backend::{Backend, Embedded};
use crate::clock::StoreClock;
use crate::clock::lasting::Skew;
use crate::crypto::Tagger;
use crate::engine::Durability;
use crate::model::error::Result;
use crate::model::sign_out::SessionPolicy;
use crate::model::tag::LeaseTag;
use crate::model::token::Token;
use crate::platform::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::platform::sync::{Mutex, lock};
use crate::store::access::not_embedded;
use crate::store::backlog::Backlog;
use crate::store::counting::Counting;
use std::any::Any;
use std::sync::OnceLock;
use std::time::Duration;

/// How a store behaves; set by its builder.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) skew: Skew,
    pub(crate) max_sign_in_age: Duration,
    pub(crate) longest_sign_in_age: Option<Duration>,
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

pub(crate) struct Core {
    pub(crate) backend: Backend,
    pub(crate) tagger: Tagger,
    pub(crate) clock: StoreClock,
    pub(crate) options: Options,
    /// In milliseconds; 0 if it was never set.
    pub(super) longest_age: AtomicU64,
    pub(crate) backlog: Backlog,
    pub(crate) counting: Counting,
    /// A value that a room above keeps beside an open store.
    pub(super) above: OnceLock<Box<dyn Any + Send + Sync>>,
    pub(super) closing: AtomicBool,
    /// Waiters for other things, which are notified when the store is about to be closed.
    pub(super) on_closing: Mutex<Vec<Box<dyn OnClosing>>>,
    pub(super) pid: u32,
}

impl Core {
    pub(crate) fn new(
        backend: Backend,
        tagger: Tagger,
        clock: StoreClock,
        options: Options,
    ) -> Self {
        Self {
            backend,
            tagger,
            clock,
            options,
            longest_age: AtomicU64::new(0),
            backlog: Backlog::default(),
            above: OnceLock::new(),
            counting: Counting::default(),
            closing: AtomicBool::new(false),
            on_closing: Mutex::default(),
            pid: std::process::id(),
        }
    }

    /// The backend, if it is in this process.
    ///
    /// # Errors
    /// `InvalidInput` for a shared store.
    pub(crate) fn embedded(&self) -> Result<&Embedded> {
        match &self.backend {
            Backend::Embedded(embedded) => Ok(embedded),
            Backend::Remote(_) => Err(not_embedded()),
        }
    }

    /// What a room above keeps beside this store, made at the first call. There is one such value:
    /// the result is `None` if it is of another type.
    pub(crate) fn above<T: Any + Send + Sync>(&self, make: fn() -> T) -> Option<&T> {
        self.above.get_or_init(|| Box::new(make())).downcast_ref()
    }

    /// Whether the rows are so near that a plan asks as it goes, and others wait for its turn.
    pub(crate) fn takes_turns(&self) -> bool {
        matches!(&self.backend, Backend::Remote(remote) if remote.is_near())
    }

    /// The lease of this name, if no other instance has it.
    ///
    /// # Errors
    /// `Closed`, `Io`, `Busy`.
    pub(crate) fn lease(&self, name: &LeaseTag) -> Result<Option<Lease>> {
        match &self.backend {
            Backend::Embedded(_) => Ok(Some(Lease::of_the_only_one())),
            Backend::Remote(remote) => patiently(|| remote.with(|place| place.lease(name))),
        }
    }

    /// Waits for all verbs and lets the backend go. Later verbs are refused.
    pub(crate) fn shut(&self) {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.shut(),
            Backend::Remote(remote) => remote.shut(),
        }
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

    /// Whether this is a child of the process that opened the store.
    pub(crate) fn is_forked(&self) -> bool {
        self.pid != std::process::id()
    }

    /// Whether rows cannot be read until the store is opened anew.
    pub(crate) fn is_engine_failed(&self) -> bool {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.is_engine_failed(),
            Backend::Remote(remote) => remote.with(|place| Ok(place.is_failed())).unwrap_or(false),
        }
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.fmt(f),
            Backend::Remote(_) => f.write_str("Store(..)"),
        }
    }
}

/// A waiter for something else, which is notified when the store is about to be closed.
pub(crate) trait OnClosing: Send + Sync {
    /// Whether it still waits.
    fn is_there(&self) -> bool;

    /// Called when the store is about to be closed.
    fn closing(&self);
}
