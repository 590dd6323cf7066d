//! What can go wrong, by what the caller can do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::model::sign_out::Receipt;
use crate::platform::path::apart;

/// The result of every verb of the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a verb did not do what the caller asked, and what to do about it.
///
/// No variant carries a token, a key or an identifier of a user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument cannot be stored. Nothing was changed. Correct the argument.
    #[error("invalid {field}: {problem}")]
    InvalidInput {
        /// Which argument, by name. Never its value.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },

    /// The sign-in has ended (signed out, expired, pushed out by newer ones, or lost), so nothing
    /// can be stored for it: a write came late. Of a sign-in that was to be
    /// [continued](crate::SignIn::imported_from): it has been signed out since. (A *login* that a
    /// sign-out overtakes is [`Error::Overtaken`].)
    ///
    /// Throw the tokens away, revoke them if you can, and have the user sign in again.
    #[error("signed out: this sign-in has ended and takes no tokens; have the user sign in again")]
    SignedOut,

    /// A sign-out overtook this login: it came while the login was in progress, or the provider has
    /// reported the end of a session that the login still names. The user was not signed in. Have
    /// them sign in again: a login that begins after `again_after` is newer than the sign-out.
    ///
    /// `again_after` is usually now. It lies ahead, by at most what the provider's clock and ours
    /// may differ by (a minute), where a provider goes on with a session whose end it has reported,
    /// under the same `sid`: Keycloak does so when a consent is withdrawn. Tell the user to sign in
    /// a little later, and not that the login failed.
    #[error(
        "a sign-out overtook this login, and nobody was signed in; sign in again a little later"
    )]
    Overtaken {
        /// A login from after this time counts.
        again_after: SystemTime,
    },

    /// The ledger could not say whether the sign-out or its predecessor reached the disk.
    ///
    /// In this process the accounts are signed out. Whether they still are after a restart is
    /// unknown: fix the disk, reopen the store, and sign out again. The store refuses all work
    /// until it is reopened. (A store that instances share goes on; there the sign-out stands or
    /// not, so sign out again.)
    #[error(
        "indeterminate: the disk failed while the sign-out was being written; reopen the store and \
         sign out again"
    )]
    Indeterminate(#[source] io::Error),

    /// An earlier disk or engine error made the store refuse this verb. Close it and open it again.
    ///
    /// Sign-outs still work when only the engine has failed.
    #[error(
        "poisoned: an earlier {0} error; reopen the store (sign-outs of an account, subject, \
         tenant or everybody still work when only the engine failed)"
    )]
    Poisoned(Component),

    /// The session itself has ended, durably, but not the rest of its accounts: the engine, which
    /// knows the session's accounts, cannot be read. Sign the account out by its id or subject.
    #[error(
        "only the session itself was ended: its accounts could not be looked up; sign the account \
         out by id or subject"
    )]
    OnlySessionEnded {
        /// What was ended.
        receipt: Receipt,
        /// Why the accounts could not be found.
        #[source]
        source: Box<Error>,
    },

    /// No space is left, neither on the disk nor in the ledger's reserve. Nothing was changed. Free
    /// some and call again.
    #[error("no space left for the {0}; free some and try again")]
    Full(Component),

    /// Another process has the store open, or this one has. Nothing was changed.
    ///
    /// Of this process, share the handle: [`TokenStore`](crate::TokenStore) is cheap to clone. Of
    /// another process, stop that, or have
    /// [`Builder::wait_for_lock`](crate::Builder::wait_for_lock) wait until it has ended.
    #[error("{}", already_open(lock.as_deref(), *pid, *in_this_process))]
    AlreadyOpen {
        /// The lock file that is held: the store's, or the ledger's. `None` of a place without
        /// files.
        lock: Option<PathBuf>,
        /// The process that holds it, as that process sees itself, if it could be read.
        pid: Option<u32>,
        /// Whether this process holds it itself. To wait for it would be in vain.
        in_this_process: bool,
    },

    /// Another process holds up the store that it shares with this one, for ten seconds by now: it
    /// was stopped, or its disk hangs, while it wrote, opened the store or took the lease of a
    /// refresh; or it waits itself for such a process. (A tool that has SQLite's own lock gives
    /// this after five.) Nothing was done. Call again; if that does not help, end that process: its
    /// locks go with it. Only a store that is kept by SQLite gives this (`Builder::sqlite`).
    #[error("busy: {} holds up the store; try again, or end it", process(*pid))]
    Busy {
        /// The process, as it is seen from here. `None` if it is in another container, if another
        /// thread of this process waits for the same, or if it is a tool.
        pid: Option<u32>,
    },

    /// No key that was offered opens the store. Nothing but the lock file was changed.
    #[error("key rejected: none of the offered keys opens this store")]
    KeyRejected,

    /// The store could not get a key from its source. Nothing was changed.
    #[error("key unavailable from {origin}: {problem}")]
    KeyUnavailable {
        /// Where the store looked for it (a variable's or a credential's name, or a file's path as
        /// you gave it).
        origin: String,
        /// What to do about it.
        problem: String,
    },

    /// A file of the store is damaged, missing, or not from this store.
    ///
    /// Restore it from a backup, or open with
    /// [`OnDamage::ForgetEveryone`](crate::OnDamage::ForgetEveryone): every user then signs in
    /// again.
    #[error(
        "damaged: {part}: {problem}; restore it, or open with on_damage(ForgetEveryone) so that \
         everyone signs in again"
    )]
    Damaged {
        /// Which part of the store.
        part: Component,
        /// What was found.
        problem: &'static str,
    },

    /// A row of the engine was changed by something other than this store, or put in the wrong
    /// place.
    #[error("tampered: a {0} row does not open under its own key and place")]
    Tampered(&'static str),

    /// The store was written by a newer version of this crate. Nothing was changed. Upgrade.
    #[error(
        "unsupported format {found} of the {part} (this version reads {supported}); upgrade the \
         crate"
    )]
    UnsupportedFormat {
        /// Which part of the store.
        part: Component,
        /// The version found.
        found: u8,
        /// The newest version that can be read.
        supported: u8,
    },

    /// The store has been closed, in this or another handle.
    #[error("the store is closed")]
    Closed,

    /// The process was forked after the store was opened. Open the store in the child, or only
    /// there.
    #[error(
        "the store was opened by the parent of this forked process; open it in one process only"
    )]
    Forked,

    /// The operating system refused something outside the engine and the ledger's appends. Nothing
    /// was acknowledged.
    #[error("cannot {action}{}", shown(path.as_deref()))]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder that it was tried with, if it was one.
        path: Option<PathBuf>,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn invalid(field: &'static str, problem: &'static str) -> Self {
        Self::InvalidInput { field, problem }
    }

    pub(crate) fn damaged(part: Component, problem: &'static str) -> Self {
        Self::Damaged { part, problem }
    }

    /// An [`Error::Io`] with what was being done, for `map_err`. The path comes from the error
    /// itself, if a file's error it is.
    pub(crate) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            let (path, source) = apart(source);
            Self::Io { action, path, source }
        }
    }

    /// The same error, with this path if it can have one and has none.
    pub(crate) fn at(mut self, place: &Path) -> Self {
        if let Self::Io { path: path @ None, .. } = &mut self {
            *path = Some(place.to_owned());
        }
        self
    }
}

/// A path as errors show it: with its escapes, as an error is one line of a log.
fn shown(path: Option<&Path>) -> String {
    path.map(|path| format!(": {path:?}")).unwrap_or_default()
}

fn process(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".into(), |pid| format!("process {pid}"))
}

fn already_open(lock: Option<&Path>, pid: Option<u32>, in_this_process: bool) -> String {
    if in_this_process {
        return "the store is already open in this process: share that handle, by a clone".into();
    }
    let by = pid.map(|pid| format!(" in process {pid}")).unwrap_or_default();
    let lock = lock.map(|lock| format!(" (it holds {lock:?})")).unwrap_or_default();
    format!(
        "the store is already open{by}{lock}: let that process do the work, or stop it; \
         Builder::wait_for_lock waits until it has ended"
    )
}

/// A part of the store, as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Component {
    /// The file of wrapped keys.
    Keyring,
    /// The append-only file of sign-outs.
    Ledger,
    /// The key-value store of sealed rows.
    Engine,
}

impl Component {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Keyring => "keyring",
            Self::Ledger => "ledger",
            Self::Engine => "engine",
        }
    }
}

impl std::fmt::Display for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
