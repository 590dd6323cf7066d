//! Opening a store, and reading a closed one, for async code.

use std::path::PathBuf;

use super::{AsyncTokenStore, Threads};
use crate::api::builder::Builder;
use crate::api::history::History;
use crate::api::opening::Opening;
use crate::model::error::Result;
use crate::model::report::VerifyReport;
use crate::observe;
use crate::store::lock_file::Patience;

impl Builder {
    /// As [`Builder::open`], without blocking a runtime's thread: neither while it opens, nor while
    /// it [waits](Builder::wait_for_lock) for another process. If the future is dropped while it
    /// waits, nothing was done.
    ///
    /// # Errors
    /// As [`Builder::open`].
    ///
    /// # Panics
    /// Outside of a tokio runtime, and if that has no timer where it has to wait.
    pub async fn open_async(self) -> Result<AsyncTokenStore> {
        let threads = Threads::current();
        // (Beside others nothing is waited for but turns.)
        if !self.waits() || self.is_kept_by_sqlite()? {
            return threads.run(|| self.open()).await.map(AsyncTokenStore::new);
        }
        let mut patience = Patience::new(self.wait);
        let opening = threads.run(|| observe::verb("open", || Opening::new(self))).await?;
        let (opening, ()) =
            retry(&threads, &mut patience, "open", opening, |opening| opening.try_lock()).await?;
        let open = || observe::verb("open", || opening.finish());
        threads.run(open).await.map(AsyncTokenStore::new)
    }

    /// As [`Builder::restore`], without blocking a runtime's thread.
    ///
    /// # Errors
    /// As [`Builder::restore`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn restore_async(self, backup: impl Into<PathBuf>) -> Result<AsyncTokenStore> {
        let (threads, backup) = (Threads::current(), backup.into());
        if !self.waits() {
            return threads.run(|| self.restore(backup)).await.map(AsyncTokenStore::new);
        }
        let mut patience = Patience::new(self.wait);
        let put_back = move |builder: &mut Self| builder.put_back(&backup);
        let (builder, ()) = retry(&threads, &mut patience, "restore", self, put_back).await?;
        let open = || observe::verb("restore", || builder.open_restored());
        threads.run(open).await.map(AsyncTokenStore::new)
    }

    /// As [`Builder::history`], without blocking a runtime's thread.
    ///
    /// # Errors
    /// As [`Builder::history`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn history_async(self) -> Result<History> {
        Threads::current().run(|| self.history()).await
    }

    /// As [`Builder::verify`], without blocking a runtime's thread.
    ///
    /// # Errors
    /// As [`Builder::verify`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn verify_async(self) -> Result<VerifyReport> {
        let threads = Threads::current();
        if !self.waits() {
            return threads.run(|| self.verify()).await;
        }
        let mut patience = Patience::new(self.wait);
        let lock = |builder: &mut Self| builder.lock_to_verify();
        let (builder, locked) = retry(&threads, &mut patience, "verify", self, lock).await?;
        threads.run(|| observe::verb("verify", || builder.verify_locked(locked))).await
    }

    fn waits(&self) -> bool {
        !self.wait.is_zero() && self.in_folders().is_some()
    }
}

/// Tries on a thread for blocking work, and waits between two tries on none.
async fn retry<S: Send + 'static, T: Send + 'static>(
    threads: &Threads,
    patience: &mut Patience,
    verb: &'static str,
    mut state: S,
    attempt: impl Fn(&mut S) -> Result<T> + Clone + Send + 'static,
) -> Result<(S, T)> {
    loop {
        let attempt = attempt.clone();
        let run = move || {
            let done = attempt(&mut state);
            Ok((state, done))
        };
        let done;
        (state, done) = threads.run(run).await?;
        match done {
            Ok(done) => return Ok((state, done)),
            Err(error) => match patience.pause(&error) {
                Some(pause) => tokio::time::sleep(pause).await,
                // A try is no verb; that this was the last one is counted, and no other.
                None => return observe::verb(verb, || Err(error)),
            },
        }
    }
}
