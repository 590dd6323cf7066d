//! What operators ask of an open store, for async code.

use std::path::PathBuf;

use super::AsyncTokenStore;
use crate::api::history::History;
use crate::api::token_store::TokenStore;
use crate::crypto::KeySource;
use crate::maintenance::upkeep::UpkeepBuilder;
use crate::model::error::Result;
use crate::model::report::{
    BackupReport, CompactionEstimate, CompactionReport, ErasureReport, ReclaimReport, Stats,
    SweepReport, VerifyReport,
};
use crate::model::sign_out::SignOutScope;

impl AsyncTokenStore {
    /// As [`TokenStore::sweep`].
    ///
    /// # Errors
    /// As [`TokenStore::sweep`].
    pub async fn sweep(&self, budget: usize) -> Result<SweepReport> {
        self.run(move |store| store.sweep(budget)).await
    }

    /// As [`TokenStore::upkeep`], which runs on a thread of its own.
    pub fn upkeep(&self) -> UpkeepBuilder {
        self.blocking().upkeep()
    }

    /// As [`TokenStore::wait_reclaimed`].
    ///
    /// # Errors
    /// As [`TokenStore::wait_reclaimed`].
    pub async fn wait_reclaimed(&self) -> Result<ReclaimReport> {
        self.run(TokenStore::wait_reclaimed).await
    }

    /// As [`TokenStore::stats`].
    ///
    /// # Errors
    /// As [`TokenStore::stats`].
    pub async fn stats(&self) -> Result<Stats> {
        // Not a point read: it asks the file system, and waits while the ledger is compacted.
        self.run(TokenStore::stats).await
    }

    /// As [`TokenStore::history`].
    ///
    /// # Errors
    /// As [`TokenStore::history`].
    pub async fn history(&self) -> Result<History> {
        self.run(TokenStore::history).await
    }

    /// As [`TokenStore::history_of`].
    ///
    /// # Errors
    /// As [`TokenStore::history_of`].
    pub async fn history_of(&self, scopes: &[SignOutScope]) -> Result<History> {
        let scopes = scopes.to_vec();
        self.run(move |store| store.history_of(&scopes)).await
    }

    /// As [`TokenStore::rotate_key`].
    ///
    /// # Errors
    /// As [`TokenStore::rotate_key`].
    pub async fn rotate_key(&self, keys: KeySource) -> Result<()> {
        self.run(move |store| store.rotate_key(&keys)).await
    }

    /// As [`TokenStore::complete_erasure`].
    ///
    /// # Errors
    /// As [`TokenStore::complete_erasure`].
    pub async fn complete_erasure(&self, keys: KeySource) -> Result<ErasureReport> {
        self.run(move |store| store.complete_erasure(&keys)).await
    }

    /// As [`TokenStore::backup`].
    ///
    /// # Errors
    /// As [`TokenStore::backup`].
    pub async fn backup(&self, path: impl Into<PathBuf>) -> Result<BackupReport> {
        let path = path.into();
        self.run(move |store| store.backup(path)).await
    }

    /// As [`TokenStore::compaction_estimate`].
    ///
    /// # Errors
    /// As [`TokenStore::compaction_estimate`].
    pub async fn compaction_estimate(&self) -> Result<CompactionEstimate> {
        self.run(TokenStore::compaction_estimate).await
    }

    /// As [`TokenStore::compact`].
    ///
    /// # Errors
    /// As [`TokenStore::compact`].
    pub async fn compact(&self) -> Result<CompactionReport> {
        self.run(TokenStore::compact).await
    }

    /// As [`TokenStore::verify`].
    ///
    /// # Errors
    /// As [`TokenStore::verify`].
    pub async fn verify(&self) -> Result<VerifyReport> {
        self.run(TokenStore::verify).await
    }

    /// As [`TokenStore::trust_clock`].
    ///
    /// # Errors
    /// As [`TokenStore::trust_clock`].
    pub async fn trust_clock(&self) -> Result<()> {
        self.run(|store| store.trust_clock()).await
    }
}
