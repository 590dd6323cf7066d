//! Says what went wrong: by an exit code, a word for programs, and a sentence for people.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use oubliette::Error;
use oubliette_control::{Fault, kind};
use serde_json::json;

use crate::args::{Shared, Verb};
use crate::report::Report;

/// The exit codes. `--help` and the man page show [`Code::TABLE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Code {
    #[default]
    Done = 0,
    Other = 1,
    Usage = 2,
    NotFound = 3,
    Exists = 4,
    AlreadyOpen = 5,
    KeyRejected = 6,
    KeyUnavailable = 7,
    Damaged = 8,
    NewerFormat = 9,
    Indeterminate = 10,
    Full = 11,
    Io = 12,
    OnlySession = 13,
    Nobody = 14,
    Refused = 15,
    Busy = 16,
}

impl Code {
    pub(crate) const TABLE: &'static str = "\
Exit codes:
   0  done
   1  something else went wrong
   2  the arguments are wrong, or the operator did not confirm
   3  there is no store, or no backup, in this folder
   4  a store, a key file or a backup is there already
   5  another process has the store open
   6  none of the given keys opens the store
   7  a key could not be read: it is missing, or others can read its file
   8  a part of the store is damaged or missing, or verify found a fault
   9  a newer version of oubliette wrote the store
  10  the disk, the engine or the connection to the app failed, and the outcome is
      not known: look, and call again
  11  no space is left
  12  the system refused to read or write something
  13  only the session itself was signed out, not the rest of its accounts
  14  nobody was signed in under that name, and --expect-someone was given
  15  the app does not do this at its control socket; nothing was done
  16  the app has other requests to serve, or another process holds up the store;
      nothing was done: try again";

    /// The word in JSON for a failure of the program itself. The store's errors have words of their
    /// own.
    fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Other => "other",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Exists => "exists",
            Self::AlreadyOpen => "already_open",
            Self::KeyRejected => "key_rejected",
            Self::KeyUnavailable => "key_unavailable",
            Self::Damaged => "damaged",
            Self::NewerFormat => "unsupported_format",
            Self::Indeterminate => "indeterminate",
            Self::Full => "full",
            Self::Io => "io",
            Self::OnlySession => "only_session_ended",
            Self::Nobody => "nobody",
            Self::Refused => "refused",
            Self::Busy => "busy",
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        (code as u8).into()
    }
}

/// Why a verb did not do what it was asked to do.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    /// The kind of the fault, if there is one: else the code has a word.
    kind: Option<String>,
    message: String,
    /// The process that has the store open, or holds it up.
    pid: Option<u32>,
    /// What was done before the failure.
    pub(crate) report: Option<Box<Report>>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, kind: None, message: message.into(), pid: None, report: None }
    }

    /// Adds what was done before the failure.
    pub(crate) fn after(mut self, report: Report) -> Self {
        self.report = Some(report.into());
        self
    }

    /// Makes a failure of a system call's error, for `map_err`.
    pub(crate) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::new(Code::Io, format!("cannot {action}: {error}"))
    }

    /// As [`Failure::io`], of a call about this path.
    pub(crate) fn io_at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::new(Code::Io, format!("cannot {action}: {path:?}: {error}"))
    }

    /// Whether it has this code.
    pub(crate) fn is(&self, code: Code) -> bool {
        self.code == code
    }

    /// Says which of the program's flags the failure is about.
    pub(crate) fn of_flag(mut self, flag: &str) -> Self {
        self.message = format!("{flag}: {}", self.message);
        self
    }

    /// Adds what only the arguments tell: where the store and the keys are looked for, and what can
    /// be given instead.
    pub(crate) fn explained_by(mut self, shared: &Shared, verb: &Verb) -> Self {
        match self.code {
            Code::KeyUnavailable => {
                self.message = self
                    .message
                    .replace("use allow_readable_by_others", "give --allow-readable-key");
                if shared.key_file.is_none() && shared.key_credential.is_none() {
                    self.message.push_str(
                        "; the key comes from --key-file FILE, --key-credential NAME, or else from \
                         OUBLIETTE_KEY or the file that OUBLIETTE_KEY_FILE names",
                    );
                }
            }
            Code::KeyRejected => {
                self.message = format!("none of the given keys opens the store: {}", shared.keys());
            }
            Code::AlreadyOpen => {
                self.message.push_str(". Most likely that is the app. ");
                self.message.push_str(instead(verb));
                self.message.push_str("; or stop it (--wait SECONDS waits until it has ended)");
            }
            _ => {}
        }
        self
    }

    /// Prints the failure on stderr.
    pub(crate) fn show(&self, as_json: bool) -> ExitCode {
        if as_json {
            let kind = self.kind.as_deref().unwrap_or(self.code.word());
            let mut error = json!({"code": self.code as u8, "kind": kind, "message": self.message});
            if let (Some(pid), Some(error)) = (self.pid, error.as_object_mut()) {
                error.insert("pid".into(), pid.into());
            }
            eprintln!("{}", json!({ "error": error }));
        } else {
            eprintln!("oubliette: {}", self.message);
        }
        self.code.into()
    }
}

/// What can be done while the app has the store open.
fn instead(verb: &Verb) -> &'static str {
    match verb {
        Verb::RotateKey(_) => "Have it call TokenStore::rotate_key",
        Verb::Erase(_) => "Have it call TokenStore::complete_erasure",
        Verb::ImportMsal(_) => "Have it read the caches itself (MsalCache::read)",
        #[cfg(feature = "sqlite")]
        Verb::Migrate(_) => "A migration needs the store for itself, so it cannot run meanwhile",
        Verb::Init(_) => "The store is there already",
        Verb::Restore(_) => "A restore replaces what it has open, so it cannot run meanwhile",
        _ => {
            "It has no control socket (ControlSocket of the crate oubliette-control), with which it \
             would do this beside its work; `oubliette history` needs none"
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let code = match fault.kind.as_str() {
            kind::NOT_FOUND => Code::NotFound,
            kind::EXISTS => Code::Exists,
            "invalid_input" => Code::Usage,
            "already_open" => Code::AlreadyOpen,
            "key_rejected" => Code::KeyRejected,
            "key_unavailable" => Code::KeyUnavailable,
            "damaged" | "tampered" => Code::Damaged,
            "unsupported_format" => Code::NewerFormat,
            kind::INDETERMINATE | "poisoned" => Code::Indeterminate,
            "full" => Code::Full,
            "io" => Code::Io,
            "only_session_ended" => Code::OnlySession,
            kind::BUSY => Code::Busy,
            kind::NOT_ALLOWED | kind::MALFORMED | kind::UNSUPPORTED_VERSION => Code::Refused,
            _ => Code::Other,
        };
        // An invalid input is one of the arguments, for which the code has a word.
        let kind = Some(fault.kind).filter(|kind| kind != "invalid_input");
        Self { kind, pid: fault.pid, ..Self::new(code, fault.message) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Fault::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may")]

    use oubliette::Component;

    use super::*;

    #[test]
    fn errors_have_the_codes_of_the_table() {
        let cases = [
            (Error::Closed, 1),
            (Error::SignedOut, 1),
            (Error::InvalidInput { field: "tenant", problem: "it is empty" }, 2),
            (Error::InvalidInput { field: "store", problem: "there is none in this folder" }, 3),
            (Error::InvalidInput { field: "backup", problem: "it is not whole" }, 3),
            (Error::AlreadyOpen { lock: None, pid: None, in_this_process: false }, 5),
            (Error::Busy { pid: Some(7) }, 16),
            (Error::KeyRejected, 6),
            (Error::KeyUnavailable { origin: "the program".into(), problem: "none".into() }, 7),
            (Error::Damaged { part: Component::Ledger, problem: "it is missing" }, 8),
            (Error::Tampered("header"), 8),
            (Error::UnsupportedFormat { part: Component::Keyring, found: 2, supported: 1 }, 9),
            (Error::Indeterminate(io::ErrorKind::Other.into()), 10),
            (Error::Poisoned(Component::Engine), 10),
            (Error::Full(Component::Ledger), 11),
            (
                Error::Io {
                    action: "read the keyring",
                    path: None,
                    source: io::ErrorKind::PermissionDenied.into(),
                },
                12,
            ),
        ];
        for (error, code) in cases {
            let shown = format!("{error:?}");
            let failure = Failure::from(error);
            assert_eq!(failure.code as u8, code, "{shown}");
            assert!(Code::TABLE.contains(&format!("\n  {code:2}  ")), "{code}");
        }
        let failure = Failure::from(Error::Io {
            action: "read the keyring",
            path: Some("/data/keyring".into()),
            source: io::Error::other("no such disk"),
        });
        assert_eq!(failure.message, "cannot read the keyring: \"/data/keyring\": no such disk");
    }
}
