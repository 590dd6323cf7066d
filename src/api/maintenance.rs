//! What operators ask of an open store: figures, deleting what is old, keys, copies, verification.

use std::path::Path;

#[cfg(doc)]
use crate::api::builder::Builder;
use crate::api::token_store::TokenStore;
use crate::crypto::KeySource;
#[cfg(all(unix, feature = "sqlite"))]
use crate::maintenance::shared;
use crate::maintenance::upkeep::UpkeepBuilder;
use crate::maintenance::{backup, compact, erase, figures, rotate, sweep, verify};
#[cfg(doc)]
use crate::model::error::Error;
use crate::model::error::Result;
use crate::model::report::{
    BackupReport, CompactionEstimate, CompactionReport, ErasureReport, MigrationReport,
    ReclaimReport, Stats, SweepReport, VerifyReport,
};
use crate::model::storage::Storage;
use crate::observe;
use crate::platform::sync::atomic::Ordering;
use crate::platform::sync::lock;
use crate::store::access::checkpoint;
use crate::store::lifetime::OnSite;

impl TokenStore {
    /// Figures for operators. Cheap: nothing is scanned.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Poisoned`] if the ledger failed.
    pub fn stats(&self) -> Result<Stats> {
        observe::verb("stats", || figures::stats(self.owner.works()))
    }

    /// A thread that [sweeps](TokenStore::sweep) from time to time, to be set up and
    /// [started](UpkeepBuilder::start).
    pub fn upkeep(&self) -> UpkeepBuilder {
        UpkeepBuilder::of(self.owner.works())
    }

    /// Looks at up to `budget` accounts (or slices of an index), from where the last sweep ended:
    /// deletes expired tokens, sign-ins that are too old, and dead rows that reclaim missed; at the
    /// end compacts the ledger, and the engine's folder if that is worth it. Call it from time to
    /// time, or let the [upkeep](TokenStore::upkeep) do it. One sweep runs at a time: another
    /// waits.
    ///
    /// # Errors
    /// [`Error::Poisoned`], [`Error::Closed`]; [`Error::Io`] if the ledger could not be compacted
    /// (nothing is lost).
    pub fn sweep(&self, budget: usize) -> Result<SweepReport> {
        observe::verb("sweep", || sweep::sweep(self.owner.works(), budget))
    }

    /// Waits until the rows of all sign-outs so far are deleted and that is durable. They are
    /// unreachable in any case.
    ///
    /// # Errors
    /// [`Error::Poisoned`] if the engine failed; [`Error::Closed`]. Of a store on SQLite,
    /// [`Error::Full`], [`Error::Busy`] and [`Error::Io`] while the rows cannot be written: that is
    /// tried again by itself.
    pub fn wait_reclaimed(&self) -> Result<ReclaimReport> {
        observe::verb("wait_reclaimed", || {
            // Not under the gate: closing must be able to go on meanwhile.
            drop(self.core().enter()?);
            // A shared place that is not reached is an error; the reclaimer would wait for it.
            self.core().end()?;
            let done = self.core().backlog.wait()?;
            checkpoint(&self.core().enter()?)?;
            Ok(done)
        })
    }

    /// Re-wraps the store's keys under exactly these key sources: the source's own, and those it
    /// names with [`KeySource::also`]. No other key opens the store from then on. Other keys still
    /// open older copies of its keyring: only [`TokenStore::complete_erasure`] makes those
    /// worthless.
    ///
    /// It writes one small file, however much the store holds. To change keys while several
    /// releases of an app are running, wrap by `new.also(old)` first, and by `new` alone when no
    /// release offers the old one any more.
    ///
    /// ```
    /// # use oubliette::*;
    /// # let machine = Machine::new();
    /// let (old, new) = (|| KeySource::bytes([1; 32]), || KeySource::bytes([2; 32]));
    /// # let store = machine.builder().key(old()).open()?;
    /// store.rotate_key(&new().also(old()))?; // both open it
    /// store.rotate_key(&new())?; // only the new one does
    /// store.close()?;
    /// assert!(matches!(machine.builder().key(old()).open(), Err(Error::KeyRejected)));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::KeyUnavailable`] if the store cannot get one of the keys, [`Error::InvalidInput`]
    /// for more than eight or one twice: nothing was changed. [`Error::Io`] if the file could not
    /// be written; if it could not be put in place, either the old or the new keys open the store.
    pub fn rotate_key(&self, keys: &KeySource) -> Result<()> {
        observe::verb("rotate_key", || {
            match self.owner.site()? {
                OnSite::Alone(premises) => rotate::rotate_key(self.core(), &premises, keys)?,
                #[cfg(all(unix, feature = "sqlite"))]
                OnSite::Shared(folder) => shared::rotate_key(self.core(), &folder, keys)?,
            }
            self.owner.opened_by_previous_key.store(false, Ordering::Relaxed);
            Ok(())
        })
    }

    /// Makes everything that was ever signed out unreadable for good: what is live is sealed anew
    /// under fresh keys, wrapped by `keys`, in a fresh folder, and the old files are removed. No
    /// byte that was on the disk before, and no backup, opens with a key that is held afterwards,
    /// provided that the keys which wrapped the store before are destroyed.
    ///
    /// Sign-ins, their handles, and all sign-outs stay as they are. Verbs go on meanwhile, as in
    /// [`TokenStore::compact`]. **Backups from before cannot be restored any more**: make a new
    /// one. It takes space for a second copy of what is live.
    ///
    /// A store that is kept by SQLite has to be open [alone](Builder::alone): other processes would
    /// go on with the old keys, in the old file.
    ///
    /// # Errors
    /// As [`TokenStore::rotate_key`]; [`Error::Full`] and [`Error::Io`]: nothing was changed,
    /// unless the error says that the store is poisoned, when the next open finds out.
    pub fn complete_erasure(&self, keys: &KeySource) -> Result<ErasureReport> {
        observe::verb("complete_erasure", || {
            let mut premises = self.owner.site()?.alone()?;
            let mut held = Vec::new();
            let erased = erase::complete_erasure(self.core(), &mut premises, keys, &mut held);
            if let Some((_, all)) = lock(&self.owner.running).as_mut() {
                all.append(&mut held);
            }
            let erased = erased?;
            self.owner.opened_by_previous_key.store(false, Ordering::Relaxed);
            Ok(erased)
        })
    }

    /// Moves everything that is live to the other kind of [`Storage`], or to a fresh one of the same;
    /// the store goes on there, open in this process alone. Close it, and open it as you will from
    /// then on. If this is interrupted, the store is kept by one of the two, and the next open
    /// removes what does not count.
    ///
    /// Sign-ins, their handles, all sign-outs and the keyring stay as they are. It takes space for a
    /// second copy of what is live. A store that is kept by SQLite has to be open
    /// [alone](Builder::alone).
    ///
    /// # Errors
    /// As [`TokenStore::compact`]; [`Error::InvalidInput`] if other processes may have the store
    /// open, or it has sign-ins of version 1 of the format, which SQLite cannot have: those end by
    /// their age.
    pub fn migrate(&self, to: Storage) -> Result<MigrationReport> {
        observe::verb("migrate", || {
            let mut premises = self.owner.site()?.alone()?;
            let migrated = compact::migrate(self.core(), &mut premises, to);
            observe::compacted(migrated.is_ok());
            migrated
        })
    }

    /// Copies everything that is live, each account as it is at one moment of the call, into a
    /// folder that is made or is empty: sealed rows, and the keyring. The ledger is never copied:
    /// [`Builder::restore`] needs the one in use, so that users who sign out after the backup stay
    /// signed out.
    ///
    /// Verbs go on meanwhile. A backup opens with the keys that wrap the store now.
    ///
    /// # SQLite
    /// Other processes go on too, and all accounts are as they are at one moment. SQLite's log does
    /// not begin anew while the copy is made, so for so long it grows with what is written.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the folder is not empty; [`Error::Full`], [`Error::Io`]: the
    /// backup is not whole, remove it; [`Error::Poisoned`], [`Error::Closed`].
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<BackupReport> {
        observe::verb("backup", || match self.owner.site()? {
            OnSite::Alone(premises) => {
                backup::backup(self.core(), (&*premises).into(), path.as_ref())
            }
            #[cfg(all(unix, feature = "sqlite"))]
            OnSite::Shared(folder) => shared::backup(self.core(), &folder, path.as_ref()),
        })
    }

    /// Moves what is live to a fresh folder of the engine, without what sled keeps of deleted rows,
    /// and compacts the ledger. The [sweep](TokenStore::sweep) does it when it is worth it.
    ///
    /// Verbs go on meanwhile. Accounts that change are copied again, until at most 32 are left; for
    /// these, and for the disk to sync a few times, all verbs wait: some milliseconds, however much
    /// the store holds. (Should accounts change faster than they can be copied, all verbs wait for
    /// those that are left when a round has brought nothing, if these are at most 1024, or after 16
    /// rounds.) [`compaction_estimate`](TokenStore::compaction_estimate) says what it takes
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::Io`]: the store goes on with the old folder, unless the error
    /// says that it is poisoned; [`Error::Poisoned`], [`Error::Closed`].
    ///
    /// # SQLite
    /// The rows stay in their file, as other processes have it open. What is dead or expired is
    /// deleted, and free pages are given back to the file system, a few at a time: no other process
    /// waits for longer than for a commit, and no space is taken.
    pub fn compact(&self) -> Result<CompactionReport> {
        observe::verb("compact", || {
            let compacted = match self.owner.site()? {
                OnSite::Alone(mut premises) => compact::compact(self.core(), &mut premises),
                #[cfg(all(unix, feature = "sqlite"))]
                OnSite::Shared(_folder) => shared::compact(self.core()),
            };
            observe::compacted(compacted.is_ok());
            compacted
        })
    }

    /// What a [compaction](TokenStore::compact) would take, on the disk and in memory, before it
    /// begins. (A compaction that begins says it too, as an event at level `debug`.)
    ///
    /// ```
    /// # use oubliette::*;
    /// # let store = TokenStore::in_memory()?;
    /// let estimate = store.compaction_estimate()?;
    /// if estimate.free_bytes.is_none_or(|free| free > estimate.copy_bytes) {
    ///     store.compact()?;
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Poisoned`], [`Error::Closed`].
    pub fn compaction_estimate(&self) -> Result<CompactionEstimate> {
        observe::verb("compaction_estimate", || match self.owner.site()? {
            OnSite::Alone(premises) => compact::estimate(self.core(), &premises),
            #[cfg(all(unix, feature = "sqlite"))]
            OnSite::Shared(folder) => shared::estimate(self.core(), &folder),
        })
    }

    /// Opens every row, and reads the ledger's file again. Nothing is changed. [`Builder::verify`]
    /// does it for a store that is not open.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the ledger's file is not as it was written; [`Error::Poisoned`],
    /// [`Error::Closed`].
    pub fn verify(&self) -> Result<VerifyReport> {
        observe::verb("verify", || verify::verify(self.core()))
    }

    /// Confirms, on an operator's word, that the clock is right: the store goes on deleting what is
    /// too old by it. It is needed only if the clock has jumped ahead, or the process was off for
    /// long, and no user has signed in since by a verified ID token: [`Stats::clock_ahead_by`]
    /// tells, and [`Builder::longest_clock_jump`] says why.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Poisoned`].
    pub fn trust_clock(&self) -> Result<()> {
        observe::verb("trust_clock", || {
            let open = self.core().enter()?;
            self.core().clock.confirm_shown();
            open.leave_known()
        })
    }
}
