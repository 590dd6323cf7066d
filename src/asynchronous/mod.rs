//! The verbs for async apps: no thread of a runtime waits for a disk.
//!
//! Verbs that write, list or take long run on tokio's threads for blocking work. They go on when
//! their future is dropped: a future that was polled once has done all of its work or nothing, and
//! a sign-out that has begun comes to its end. A read of one token runs on the thread that polls,
//! unless it would have to wait.

mod listing;
mod maintenance;
mod opening;
mod sign_in;
mod store;
mod web_sessions;

use crate::model::error::{Error, Result};
use crate::observe::Parent;
pub use listing::{AsyncAccount, AsyncAccounts};
pub use sign_in::AsyncSignIn;
use std::io;
use std::panic::resume_unwind;
pub use store::AsyncTokenStore;
use tokio::runtime::Handle;
pub use web_sessions::AsyncWebSessions;

/// The threads that blocking work runs on.
#[derive(Clone, Debug)]
pub(crate) struct Threads(Option<Handle>);

impl Threads {
    /// The threads of the runtime that this is called in, if there is one.
    pub(crate) fn current() -> Self {
        Self(Handle::try_current().ok())
    }

    /// Runs `work` to its end on another thread, even if the future is dropped once it has been
    /// polled.
    ///
    /// # Panics
    /// If there is no runtime, neither here nor where `self` was made. A panic of the work goes on
    /// in the caller.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let parent = Parent::current();
        // The current runtime first: the other may have been shut down.
        let runtime =
            Handle::try_current().ok().or_else(|| self.0.clone()).unwrap_or_else(Handle::current);
        match runtime.spawn_blocking(move || parent.within(work)).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The work was still waiting for a thread when the runtime was shut down.
                Err(_) => {
                    let source = io::Error::other("the async runtime is being shut down");
                    Err(Error::io("begin; nothing was done")(source))
                }
            },
        }
    }
}
