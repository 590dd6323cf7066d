//! What the app answers: parts on the way, and one result or one fault.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

use oubliette::{
    AccountId, BackupReport, CompactionReport, Error, ErrorKind, History, PastSignOut, Receipt,
    SignOutScope, VerifyReport,
};
use serde::{Deserialize, Serialize};

/// What is told before the answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// Some of the accounts that were asked for.
    Accounts(Vec<ListedAccount>),
    /// This many more accounts were swept.
    Swept(u64),
    /// What a compaction takes, before it begins.
    Estimate(Estimate),
}

/// An account of the list. Its `Debug` hides the names.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ListedAccount {
    /// Which of its names there are.
    pub id: ListedId,
    /// How many live sign-ins it has.
    pub sign_ins: u64,
}

/// The names of an account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
#[allow(missing_docs, reason = "the variant says what its fields are")]
pub enum ListedId {
    /// A user, as of [`AccountId::new`].
    User { authority: String, id: String },
    /// The app's own account in a tenant, as of [`AccountId::app`].
    App { tenant: String, client: String },
}

impl ListedAccount {
    pub(crate) fn new(id: &AccountId, sign_ins: usize) -> Self {
        let own = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let id = match id.as_app() {
            Some((tenant, client)) => ListedId::App {
                tenant: tenant.as_str().to_owned(),
                client: client.as_str().to_owned(),
            },
            None => {
                ListedId::User { authority: own(id.authority()), id: own(id.home_account_id()) }
            }
        };
        Self { id, sign_ins: sign_ins as u64 }
    }
}

impl fmt::Debug for ListedAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListedAccount(.., {})", self.sign_ins)
    }
}

impl fmt::Debug for ListedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ListedId(..)")
    }
}

/// As [`oubliette::CompactionEstimate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as of the store's own report")]
#[non_exhaustive]
pub struct Estimate {
    pub engine_bytes: u64,
    pub peak_bytes: u64,
    pub memory_bytes: u64,
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "of")]
#[allow(missing_docs, reason = "as of the store's own reports")]
#[non_exhaustive]
pub enum Answer {
    #[non_exhaustive]
    Accounts { listed: u64, more: bool, tampered: u64 },
    #[non_exhaustive]
    SignOut {
        position: u64,
        at: SystemTime,
        accounts: Option<u64>,
        /// How many accounts and sign-ins it ended; `None` if the engine cannot be read.
        ended: Option<(u64, u64)>,
    },
    #[non_exhaustive]
    History {
        /// The records that cover the names that were asked for, newest first.
        covering: Vec<OnRecord>,
        /// If no names were given: the sign-outs by day and scope.
        days: Vec<OfDay>,
        total: u64,
        known_since: SystemTime,
        position: u64,
    },
    #[non_exhaustive]
    Stats {
        synced: u64,
        fences: u64,
        ledger_bytes: u64,
        ledger_reserve: u64,
        backlog: u64,
        engine_bytes: u64,
        opened_by_previous_key: bool,
        engine_was_missing: bool,
        snapshot_was_damaged: bool,
        known_since: SystemTime,
        clock_ahead_by: Option<Duration>,
    },
    #[non_exhaustive]
    Sweep {
        accounts: u64,
        dead_rows: u64,
        expired_tokens: u64,
        tampered: u64,
        live_bytes: u64,
        compacted: bool,
        clock_ahead_by: Option<Duration>,
    },
    #[non_exhaustive]
    Verify {
        sound: bool,
        accounts: u64,
        sign_ins: u64,
        tokens: u64,
        dead_rows: u64,
        tampered: u64,
        missing_index_rows: u64,
        sign_outs: u64,
    },
    #[non_exhaustive]
    Backup { accounts: u64, rows: u64, live_bytes: u64, tampered: u64, position: u64 },
    #[non_exhaustive]
    Compact {
        accounts: u64,
        rows: u64,
        bytes_before: u64,
        bytes_after: u64,
        tampered: u64,
        ledger_compacted: bool,
    },
}

/// A sign-out on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as of the store's own report")]
#[non_exhaustive]
pub struct OnRecord {
    pub position: u64,
    pub at: SystemTime,
    pub scope: String,
    pub signed_in_before: Option<SystemTime>,
}

/// How many sign-outs of a scope there were on a day, which is given by its beginning in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "it has been said")]
#[non_exhaustive]
pub struct OfDay {
    pub day: SystemTime,
    pub scope: String,
    pub count: u64,
}

impl Answer {
    /// What a history says of these names; of none, how much it holds.
    #[must_use]
    pub fn of_history(history: &History, of: &[SignOutScope]) -> Self {
        let on_record = |record: &PastSignOut| OnRecord {
            position: record.position,
            at: record.at,
            scope: record.kind.as_str().to_owned(),
            signed_in_before: record.signed_in_before,
        };
        let is_count = of.is_empty();
        let days = if is_count { history.by_day() } else { BTreeMap::new() };
        Self::History {
            covering: match is_count {
                true => Vec::new(),
                false => history.covering(of).rev().map(on_record).collect(),
            },
            days: days
                .into_iter()
                .map(|((day, kind), count)| OfDay { day, scope: kind.as_str().to_owned(), count })
                .collect(),
            total: history.records.len() as u64,
            known_since: history.known_since,
            position: history.position,
        }
    }
}

impl From<VerifyReport> for Answer {
    fn from(it: VerifyReport) -> Self {
        Self::Verify {
            sound: it.is_sound(),
            accounts: it.accounts,
            sign_ins: it.sign_ins,
            tokens: it.tokens,
            dead_rows: it.dead_rows,
            tampered: it.tampered,
            missing_index_rows: it.missing_index_rows,
            sign_outs: it.sign_outs,
        }
    }
}

impl From<BackupReport> for Answer {
    fn from(it: BackupReport) -> Self {
        Self::Backup {
            accounts: it.accounts,
            rows: it.rows,
            live_bytes: it.live_bytes,
            tampered: it.tampered,
            position: it.position,
        }
    }
}

impl From<CompactionReport> for Answer {
    fn from(it: CompactionReport) -> Self {
        Self::Compact {
            accounts: it.accounts,
            rows: it.rows,
            bytes_before: it.bytes_before,
            bytes_after: it.bytes_after,
            tampered: it.tampered,
            ledger_compacted: it.ledger_compacted,
        }
    }
}

impl From<&Receipt> for Answer {
    fn from(it: &Receipt) -> Self {
        Self::SignOut {
            position: it.position,
            at: it.at,
            accounts: it.accounts.map(|accounts| accounts as u64),
            ended: it.counted.map(|counted| (counted.accounts, counted.sign_ins)),
        }
    }
}

/// Why a request was not carried out, or not whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct Fault {
    /// One word: that of the store's error ([`oubliette::ErrorKind::as_str`]), or one of [`kind`].
    pub kind: String,
    /// A sentence for the operator. It has no names.
    pub message: String,
    /// The process that has the store open, or holds it up.
    pub pid: Option<u32>,
    /// What was done before.
    pub done: Option<Box<Answer>>,
}

/// The words of faults that are no errors of the store, but for [`BUSY`](kind::BUSY).
pub mod kind {
    /// There is no store, or no backup, in the folder.
    pub const NOT_FOUND: &str = "not_found";
    /// Something is in the place of the backup already.
    pub const EXISTS: &str = "exists";
    /// The two sides speak other versions.
    pub const UNSUPPORTED_VERSION: &str = "unsupported_version";
    /// What was sent is no request.
    pub const MALFORMED: &str = "malformed";
    /// The app is busy with other requests; or a process holds up the store that it shares with the
    /// others ([`oubliette::Error::Busy`]). Nothing was done.
    pub const BUSY: &str = "busy";
    /// The app does not do this, or not for this peer, or not there. Nothing was done.
    pub const NOT_ALLOWED: &str = "not_allowed";
    /// The connection broke before the answer: it was done, or not.
    pub const INDETERMINATE: &str = "indeterminate";
}

impl Fault {
    /// A fault of this kind.
    #[must_use]
    pub fn new(kind: &str, message: impl Into<String>) -> Self {
        Self { kind: kind.into(), message: message.into(), pid: None, done: None }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::InvalidInput { field: "store" | "backup", .. } => kind::NOT_FOUND,
            error => ErrorKind::as_str(error.kind()),
        };
        let mut fault = Self::new(kind, "");
        fault.message = match error {
            Error::AlreadyOpen { pid, lock, .. } => {
                fault.pid = pid;
                let by = pid.map(|pid| format!(" by process {pid}")).unwrap_or_default();
                let lock = lock.map(|lock| format!(", which holds {lock:?}")).unwrap_or_default();
                format!("the store is in use{by}{lock}")
            }
            Error::Damaged { part, problem } => {
                format!(
                    "damaged: {part}: {problem}; if it is lost, see `oubliette restore`, or have the app forget \
                     everyone"
                )
            }
            Error::Poisoned(part) => {
                format!("the {part} has failed; mend its disk, and open the store again")
            }
            Error::UnsupportedFormat { part, found, supported } => format!(
                "the {part} has the format {found}, of a newer version, and this one knows \
                 {supported} at most; upgrade it"
            ),
            Error::Busy { pid } => {
                fault.pid = pid;
                error.to_string()
            }
            Error::OnlySessionEnded { receipt, source } => {
                fault.done = Some(Box::new(Answer::from(&receipt)));
                with_sources(&Error::OnlySessionEnded { receipt, source })
            }
            error => with_sources(&error),
        };
        fault
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(deeper) = source {
        let _ = write!(message, ": {deeper}");
        source = deeper.source();
    }
    message
}
