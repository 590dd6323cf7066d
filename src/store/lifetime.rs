//! What keeps the store open, and closing it.

use std::path::Path;

use crate::backend::Embedded;
use crate::model::error::{Error, Result};
use crate::model::report::Opened;
use crate::platform::sync::atomic::AtomicBool;
#[cfg(feature = "tokio")]
use crate::platform::sync::atomic::Ordering;
use crate::platform::sync::thread::JoinHandle;
use crate::platform::sync::{Arc, Mutex, MutexGuard, lock};
use crate::store::access::{checkpoint, not_embedded};
use crate::store::core::Core;
use crate::store::files::Premises;
use crate::store::location::Held;
use crate::store::progress::Sweep;
#[cfg(all(unix, feature = "sqlite"))]
use crate::store::shared::SharedFolder;

/// What keeps the store open: dropped with the last clone and the last handle.
pub(crate) struct Owner {
    works: Arc<Works>,
    /// Whether the last handle may be dropped on a runtime's thread, which must not wait for the
    /// disk.
    #[cfg(feature = "tokio")]
    is_async: AtomicBool,
}

/// What the operations on all of a store work on.
pub(crate) enum Site {
    /// Files that this process alone has open.
    Alone(Mutex<Premises>),
    /// A folder whose store other processes have open too.
    #[cfg(all(unix, feature = "sqlite"))]
    Shared(Mutex<SharedFolder>),
}

/// The same, for the one operation that is at work.
pub(crate) enum OnSite<'a> {
    Alone(MutexGuard<'a, Premises>),
    #[cfg(all(unix, feature = "sqlite"))]
    Shared(MutexGuard<'a, SharedFolder>),
}

impl<'a> OnSite<'a> {
    /// The files that this process alone has open.
    ///
    /// # Errors
    /// `InvalidInput` for a store that other processes may have open too.
    pub(crate) fn alone(self) -> Result<MutexGuard<'a, Premises>> {
        match self {
            Self::Alone(premises) => Ok(premises),
            #[cfg(all(unix, feature = "sqlite"))]
            Self::Shared(_) => Err(Error::invalid(
                "store",
                "other processes may have it open: close it in all of them, and open it by \
                 Builder::alone for this",
            )),
        }
    }
}

/// All parts of an open store. Only its [`Owner`] keeps the store open; other references to this do
/// not.
pub(crate) struct Works {
    pub(crate) core: Arc<Core>,
    /// Where it is; `None` if that is no folder.
    pub(crate) folder: Option<Box<Path>>,
    /// The reclaimer and the locks of the folders, until closed.
    pub(crate) running: Mutex<Option<(JoinHandle<()>, Held)>>,
    /// Held by the thread that moves rows or writes the keyring: one at a time. Taken before the
    /// gate. `None` of a shared store whose place has none of these files.
    pub(crate) site: Option<Site>,
    /// Held by the thread that sweeps: two at once would go over the same accounts, and their sums
    /// of live bytes would be wrong. Taken before the premises.
    pub(crate) sweeping: Mutex<Sweep>,
    pub(crate) opened_by_previous_key: AtomicBool,
    pub(crate) opened: Opened,
}

impl Owner {
    pub(crate) fn new(works: Works) -> Self {
        Self {
            works: Arc::new(works),
            #[cfg(feature = "tokio")]
            is_async: AtomicBool::new(false),
        }
    }

    pub(crate) fn works(&self) -> &Arc<Works> {
        &self.works
    }

    /// From now on, if the last handle is dropped on a runtime's thread, the store is closed on
    /// another.
    #[cfg(feature = "tokio")]
    pub(crate) fn close_off_runtime(&self) {
        self.is_async.store(true, Ordering::Relaxed);
    }
}

impl std::ops::Deref for Owner {
    type Target = Works;

    fn deref(&self) -> &Works {
        &self.works
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let closing = Closing(self.works.clone());
        #[cfg(feature = "tokio")]
        // A forked child does not have the runtime's threads.
        if self.is_async.load(Ordering::Relaxed) && !self.works.core.is_forked() {
            drop_off_runtime(closing);
            return;
        }
        drop(closing);
    }
}

/// Closes the store when it is dropped, wherever that is.
pub(crate) struct Closing(Arc<Works>);

impl Drop for Closing {
    fn drop(&mut self) {
        let _ = self.0.close(false);
    }
}

impl Works {
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// What an operation works on. Another one waits.
    ///
    /// # Errors
    /// `InvalidInput` for a shared store that has no files on this machine.
    pub(crate) fn site(&self) -> Result<OnSite<'_>> {
        match self.site.as_ref().ok_or_else(not_embedded)? {
            Site::Alone(premises) => Ok(OnSite::Alone(lock(premises))),
            #[cfg(all(unix, feature = "sqlite"))]
            Site::Shared(folder) => Ok(OnSite::Shared(lock(folder))),
        }
    }

    pub(crate) fn close(&self, finish: bool) -> Result<()> {
        if self.core.is_forked() {
            // The thread, the locks and the files belong to the parent. A lock that another thread
            // held at the fork stays locked for ever in this process, as that thread does not exist
            // here.
            std::mem::forget(self.core.clone());
            if let Ok(mut running) = self.running.try_lock() {
                std::mem::forget(running.take());
            }
            return Err(Error::Forked);
        }
        // A move ends at the next account, and removes what it made. No other process may have the
        // folder before that.
        self.core.hurry();
        let _site = self.site().ok();
        let Some((thread, held)) = lock(&self.running).take() else { return Err(Error::Closed) };
        self.core.backlog.close(finish);
        // A panic of the reclaimer was noted by its backlog; the rows it left are unreachable.
        let _ = thread.join();
        let result =
            if finish { self.core.enter().and_then(|open| checkpoint(&open)) } else { Ok(()) };
        // If the ledger is being compacted, wait for that here, before taking exclusive access:
        // otherwise later verbs would wait for it.
        let _tended = self.core.embedded().map(|embedded| embedded.ledger.tend());
        shut(&self.core, held);
        result
    }
}

/// Drops the engine, and then the locks. If a write of the engine's hangs, it may still reach the
/// disk: the folders stay locked until the process ends, so that no other process opens them
/// meanwhile.
pub(crate) fn shut(core: &Core, held: Held) {
    let given_up = core.embedded().map(Embedded::engine_given_up);
    core.shut();
    if given_up.is_ok_and(|given_up| given_up.is_so()) {
        std::mem::forget(held);
    }
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.works.core.fmt(f)
    }
}

#[cfg(feature = "tokio")]
/// Closes a store whose last handle was dropped: on another thread if this is a runtime's, for
/// closing waits for the disk.
pub(crate) fn drop_off_runtime(closing: Closing) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        // If the runtime takes no more work, it drops the closure here or when it ends. That closes
        // the store too.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            drop(runtime.spawn_blocking(move || drop(closing)))
        }));
    }
}
