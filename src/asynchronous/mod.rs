//! The verbs for async apps: no thread of a runtime waits for a disk.
//!
//! What writes, lists or works for long runs on tokio's threads for blocking work. It goes on when its future is dropped, so a future that
//! was polled once has done all of it or nothing, and a sign-out that has begun comes to its end. A read of one token is done where it is
//! polled, unless something holds it up.

mod sign_in;
mod store;

pub use sign_in::AsyncSignIn;
pub use store::AsyncTokenStore;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tokio::runtime::Handle;

use crate::error::{Error, Result};
use crate::gate::{Core, Open};
use crate::observe::Parent;
use crate::owner::Closing;

/// Where blocking work goes.
#[derive(Clone, Debug)]
pub(crate) struct Threads(Option<Handle>);

impl Threads {
    /// The threads of the runtime that this is called in, if it is.
    pub(crate) fn current() -> Self {
        Self(Handle::try_current().ok())
    }

    /// Runs `work` to its end on another thread, whatever becomes of the future once it has been polled.
    ///
    /// # Panics
    /// If there is no runtime, neither here nor where `self` was made. A panic of the work goes on in the caller.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let parent = Parent::current();
        // The one at hand first: the other may have been shut down.
        let runtime = Handle::try_current().ok().or_else(|| self.0.clone()).unwrap_or_else(Handle::current);
        match runtime.spawn_blocking(move || parent.within(work)).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // It was still waiting for a thread when the runtime was shut down.
                Err(_) => {
                    let source = io::Error::other("the async runtime is being shut down");
                    Err(Error::Io { action: "begin; nothing was done", source })
                }
            },
        }
    }
}

/// Does a read here and now if nothing holds it up; `None` if something does.
pub(crate) fn attempt<T>(core: &Core, read: impl FnOnce(&Open<'_>) -> Result<T>) -> Option<Result<T>> {
    let open = match core.try_enter() {
        Ok(open) => open?,
        Err(error) => return Some(Err(error)),
    };
    let result = read(&open);
    (!open.gave_up()).then_some(result)
}

/// Closes a store whose last handle was dropped: on another thread if this is a runtime's, for closing waits for the disk.
pub(crate) fn drop_off_runtime(closing: Closing) {
    if let Ok(runtime) = Handle::try_current() {
        // If the runtime takes no more work, it drops the closure here, or when it ends; and that closes the store.
        let _ = catch_unwind(AssertUnwindSafe(move || drop(runtime.spawn_blocking(move || drop(closing)))));
    }
}
