//! One stable word for each kind of error: for metrics, exit codes, and other languages.

use std::fmt;

use super::error::Error;

/// The kind of an [`Error`], without what it carries.
///
/// Its [word](Self::as_str) is stable: metrics have it as the label `outcome` or `error`, the
/// program `oubliette` in its JSON, and bindings to other languages as the name of their
/// exception. A kind that is added gets a new word; none changes.
///
/// ```
/// use oubliette::{Error, ErrorKind};
///
/// let error = Error::Closed;
/// assert_eq!(error.kind(), ErrorKind::Closed);
/// assert_eq!(error.kind().as_str(), "closed");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// [`Error::InvalidInput`]
    InvalidInput,
    /// [`Error::SignedOut`]
    SignedOut,
    /// [`Error::Overtaken`]
    Overtaken,
    /// [`Error::Indeterminate`]
    Indeterminate,
    /// [`Error::Poisoned`]
    Poisoned,
    /// [`Error::OnlySessionEnded`]
    OnlySessionEnded,
    /// [`Error::Full`]
    Full,
    /// [`Error::AlreadyOpen`]
    AlreadyOpen,
    /// [`Error::Busy`]
    Busy,
    /// [`Error::KeyRejected`]
    KeyRejected,
    /// [`Error::KeyUnavailable`]
    KeyUnavailable,
    /// [`Error::Damaged`]
    Damaged,
    /// [`Error::Tampered`]
    Tampered,
    /// [`Error::UnsupportedFormat`]
    UnsupportedFormat,
    /// [`Error::Closed`]
    Closed,
    /// [`Error::Forked`]
    Forked,
    /// [`Error::Io`]
    Io,
}

impl ErrorKind {
    /// Its word, in lower case with underscores.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::SignedOut => "signed_out",
            Self::Overtaken => "overtaken",
            Self::Indeterminate => "indeterminate",
            Self::Poisoned => "poisoned",
            Self::OnlySessionEnded => "only_session_ended",
            Self::Full => "full",
            Self::AlreadyOpen => "already_open",
            Self::Busy => "busy",
            Self::KeyRejected => "key_rejected",
            Self::KeyUnavailable => "key_unavailable",
            Self::Damaged => "damaged",
            Self::Tampered => "tampered",
            Self::UnsupportedFormat => "unsupported_format",
            Self::Closed => "closed",
            Self::Forked => "forked",
            Self::Io => "io",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Error {
    /// Its kind: for uses that do not need the details, such as a metric's label.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidInput { .. } => ErrorKind::InvalidInput,
            Self::SignedOut => ErrorKind::SignedOut,
            Self::Overtaken { .. } => ErrorKind::Overtaken,
            Self::Indeterminate(_) => ErrorKind::Indeterminate,
            Self::Poisoned(_) => ErrorKind::Poisoned,
            Self::OnlySessionEnded { .. } => ErrorKind::OnlySessionEnded,
            Self::Full(_) => ErrorKind::Full,
            Self::AlreadyOpen { .. } => ErrorKind::AlreadyOpen,
            Self::Busy { .. } => ErrorKind::Busy,
            Self::KeyRejected => ErrorKind::KeyRejected,
            Self::KeyUnavailable { .. } => ErrorKind::KeyUnavailable,
            Self::Damaged { .. } => ErrorKind::Damaged,
            Self::Tampered(_) => ErrorKind::Tampered,
            Self::UnsupportedFormat { .. } => ErrorKind::UnsupportedFormat,
            Self::Closed => ErrorKind::Closed,
            Self::Forked => ErrorKind::Forked,
            Self::Io { .. } => ErrorKind::Io,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words are an interface: of metrics, of the program's JSON, of bindings.
    #[test]
    fn the_words_stay_as_they_are() {
        let all = [
            (ErrorKind::InvalidInput, "invalid_input"),
            (ErrorKind::SignedOut, "signed_out"),
            (ErrorKind::Overtaken, "overtaken"),
            (ErrorKind::Indeterminate, "indeterminate"),
            (ErrorKind::Poisoned, "poisoned"),
            (ErrorKind::OnlySessionEnded, "only_session_ended"),
            (ErrorKind::Full, "full"),
            (ErrorKind::AlreadyOpen, "already_open"),
            (ErrorKind::Busy, "busy"),
            (ErrorKind::KeyRejected, "key_rejected"),
            (ErrorKind::KeyUnavailable, "key_unavailable"),
            (ErrorKind::Damaged, "damaged"),
            (ErrorKind::Tampered, "tampered"),
            (ErrorKind::UnsupportedFormat, "unsupported_format"),
            (ErrorKind::Closed, "closed"),
            (ErrorKind::Forked, "forked"),
            (ErrorKind::Io, "io"),
        ];
        for (kind, word) in all {
            assert_eq!(kind.as_str(), word);
            assert_eq!(format!("{kind:>20}"), format!("{word:>20}"));
        }
    }
}
