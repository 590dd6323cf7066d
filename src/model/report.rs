//! What verbs of maintenance report.

use std::time::{Duration, SystemTime};

/// What was deleted since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReclaimReport {
    /// Accounts that were looked at because of a sign-out.
    pub accounts: u64,
    /// Rows that were deleted.
    pub rows: u64,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepReport {
    /// Accounts that were looked at.
    pub accounts: u64,
    /// Rows of dead or outlived sign-ins that were deleted.
    pub dead_rows: u64,
    /// Expired tokens that were deleted.
    pub expired_tokens: u64,
    /// Web sessions that were deleted because they had expired or ended.
    pub web_sessions: u64,
    /// Accounts, sign-ins, tokens and web sessions whose rows did not open: they cannot be read, so
    /// they were deleted.
    pub tampered: u64,
    /// Whether the sweep came to the end of all accounts; the next one begins anew.
    pub finished: bool,
    /// The size of the rows that are left, keys and values: of the accounts looked at, and if the
    /// sweep `finished`, of all since it began.
    pub live_bytes: u64,
    /// Whether the engine's folder was so much larger than they are that it was compacted. (If that
    /// could not be done, for example for lack of space,
    /// [`Stats::engine_bytes`](crate::Stats::engine_bytes) goes on growing.)
    pub compacted: bool,
}

impl SweepReport {
    /// Adds a later slice of the same pass.
    pub(crate) fn add(&mut self, slice: Self) {
        let Self {
            accounts,
            dead_rows,
            expired_tokens,
            web_sessions,
            tampered,
            finished,
            live_bytes,
            compacted,
        } = slice;
        self.accounts += accounts;
        self.dead_rows += dead_rows;
        self.expired_tokens += expired_tokens;
        self.web_sessions += web_sessions;
        self.tampered += tampered;
        self.compacted |= compacted;
        // The last slice has the sum.
        (self.finished, self.live_bytes) = (finished, live_bytes);
    }

    /// Adds what was found of one account, or of one web session.
    pub(crate) fn count(&mut self, part: Self) {
        let (live_bytes, finished) = (self.live_bytes + part.live_bytes, self.finished);
        self.add(part);
        (self.finished, self.live_bytes) = (finished, live_bytes);
    }
}

/// Figures for operators. None is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The place of the newest durable sign-out in the ledger.
    pub synced: u64,
    /// How many fences stand in memory.
    pub fences: usize,
    /// How many syncs made sign-outs durable since open: fewer than sign-outs, when calls shared
    /// one.
    pub ledger_syncs: u64,
    /// The ledger's size in bytes.
    pub ledger_bytes: u64,
    /// Sign-outs that could still be recorded if the disk were full now.
    pub ledger_reserve: u64,
    /// Sign-outs whose rows wait to be deleted.
    pub backlog: usize,
    /// What was deleted since open.
    pub reclaimed: ReclaimReport,
    /// The engine's size in bytes on the disk; 0 if it failed.
    pub engine_bytes: u64,
    /// Whether the engine has failed, so that the store must be reopened.
    pub engine_failed: bool,
    /// Whether a previous key opened the store: its keyring is not yet wrapped by the current one.
    pub opened_by_previous_key: bool,
    /// Sign-outs since this time are all known to
    /// [`TokenStore::last_sign_out`](crate::TokenStore::last_sign_out).
    pub known_since: SystemTime,
    /// By how much the clock is ahead of all that is known of the time, if nothing is deleted for
    /// its age because of that: see
    /// [`Builder::longest_clock_jump`](crate::Builder::longest_clock_jump).
    pub clock_ahead_by: Option<Duration>,
}

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// The accounts that are live.
    pub accounts: u64,
    /// Their rows, without index rows.
    pub rows: u64,
    /// The size of these rows.
    pub live_bytes: u64,
    /// Accounts and sign-ins that do not open, and were left out. (Tokens are copied as they are.)
    pub tampered: u64,
    /// The place in the ledger up to which sign-outs are accounted for. A ledger that does not
    /// reach it is an older copy, and refused.
    pub position: u64,
}

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactionReport {
    /// The accounts that are live.
    pub accounts: u64,
    /// Their rows, without index rows.
    pub rows: u64,
    /// The size of these rows.
    pub live_bytes: u64,
    /// The engine's size on the disk before.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
    /// Accounts and sign-ins that did not open, and are gone now. (Tokens are copied as they are.)
    pub tampered: u64,
    /// Whether the ledger was worth compacting too.
    pub ledger_compacted: bool,
    /// Whether the old folder could not be removed from the disk. The next open removes it.
    pub leftovers: bool,
}

/// What a compaction will take:
/// [`TokenStore::compaction_estimate`](crate::TokenStore::compaction_estimate).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactionEstimate {
    /// The engine's size on the disk now.
    pub engine_bytes: u64,
    /// What the copy of what is live takes beside it, at most.
    pub copy_bytes: u64,
    /// Both together, until the old engine is removed.
    pub peak_bytes: u64,
    /// How much space is free beside the engine, if the system says. With less than the copy takes
    /// the compaction may fail with [`Error::Full`](crate::Error::Full), and the store goes on as
    /// it was.
    pub free_bytes: Option<u64>,
    /// About how much memory it takes meanwhile: the cache of the second engine, and what sled
    /// keeps beside it.
    pub memory_bytes: u64,
}

/// What a migration did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MigrationReport {
    /// The accounts that are live, and were moved.
    pub accounts: u64,
    /// Their rows, without index rows.
    pub rows: u64,
    /// The size of these rows.
    pub live_bytes: u64,
    /// Accounts and sign-ins that did not open, and are gone now. (Tokens are copied as they are.)
    pub tampered: u64,
    /// Whether the old rows could not be removed from the disk. The next open removes them.
    pub leftovers: bool,
}

/// What a complete erasure did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErasureReport {
    /// The accounts that are live, and sealed anew.
    pub accounts: u64,
    /// Their rows, without index rows.
    pub rows: u64,
    /// Accounts, sign-ins and tokens that did not open, and are gone now.
    pub tampered: u64,
    /// Whether old files could not be removed from the disk: sealed under keys that are gone. The
    /// next open removes them.
    pub leftovers: bool,
}

/// What a store holds, and whether all of it opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Accounts with a live sign-in.
    pub accounts: u64,
    /// Their live sign-ins.
    pub sign_ins: u64,
    /// The tokens of these, expired ones too.
    pub tokens: u64,
    /// The web sessions that have not expired, of these sign-ins and unbound ones.
    pub web_sessions: u64,
    /// Rows of sign-ins and web sessions that have ended, and index rows that lead to no account:
    /// reclaim and the sweep delete them.
    pub dead_rows: u64,
    /// Accounts, sign-ins, tokens and web sessions whose rows do not open. They cannot be read; the
    /// sweep deletes them.
    pub tampered: u64,
    /// Index rows that are missing. The sweep puts them back.
    pub missing_index_rows: u64,
    /// Sign-outs in the ledger that decide something. (A ledger that is not as it was left does not
    /// open at all.)
    pub sign_outs: u64,
}

impl VerifyReport {
    /// Whether every row opens and none is missing.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.tampered == 0 && self.missing_index_rows == 0
    }

    /// Adds what was found of one account.
    pub(crate) fn add(&mut self, part: Self) {
        let Self {
            accounts,
            sign_ins,
            tokens,
            web_sessions,
            dead_rows,
            tampered,
            missing_index_rows,
            sign_outs,
        } = part;
        self.accounts += accounts;
        self.sign_ins += sign_ins;
        self.tokens += tokens;
        self.web_sessions += web_sessions;
        self.dead_rows += dead_rows;
        self.tampered += tampered;
        self.missing_index_rows += missing_index_rows;
        self.sign_outs += sign_outs;
    }
}

/// What an operator should know of the files that a store was opened from. All is well if no field
/// is set.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// use oubliette::{KeySource, TokenStore};
///
/// # let folder = folder.path().join("tokens");
/// let store = TokenStore::builder(folder).key(KeySource::bytes([7; 32])).open()?;
/// if store.opened().engine_was_missing {
///     eprintln!("the folder of the sign-ins was gone: all users sign in again");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// The engine's folder was gone, beside the keyring and the ledger of a store that is not new.
    /// The store began without a sign-in; every sign-out on record stands. If it was removed by
    /// mistake, close the store and [restore](crate::Builder::restore) a backup.
    pub engine_was_missing: bool,
    /// The engine's snapshot was damaged. Nothing was lost, as its log says the same, and there is
    /// a new one. The disk may be failing.
    pub snapshot_was_damaged: bool,
}
