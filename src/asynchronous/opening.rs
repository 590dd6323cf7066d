//! Opening a store, and reading a closed one, for async code.

use std::path::PathBuf;

use super::{AsyncTokenStore, Threads};
use crate::api::builder::Builder;
use crate::api::history::History;
use crate::model::error::Result;
use crate::model::report::VerifyReport;

impl Builder {
    /// As [`Builder::open`], without blocking a runtime's thread.
    ///
    /// # Errors
    /// As [`Builder::open`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open_async(self) -> Result<AsyncTokenStore> {
        Threads::current().run(|| self.open()).await.map(AsyncTokenStore::new)
    }

    /// As [`Builder::restore`], without blocking a runtime's thread.
    ///
    /// # Errors
    /// As [`Builder::restore`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn restore_async(self, backup: impl Into<PathBuf>) -> Result<AsyncTokenStore> {
        let backup = backup.into();
        Threads::current().run(|| self.restore(backup)).await.map(AsyncTokenStore::new)
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
        Threads::current().run(|| self.verify()).await
    }
}
