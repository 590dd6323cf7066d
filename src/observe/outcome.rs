//! What can become of an acquisition, a refresh and a read.

/// What became of an acquisition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcquireOutcome {
    /// The cache had it.
    Hit,
    /// The cache had it, and it was due: another caller or thread refreshes it.
    Due,
    /// This caller refreshed it.
    Refreshed,
    /// Another caller refreshed it meanwhile.
    Waited,
    /// The user has to be asked.
    InteractionRequired,
    /// The sign-in has ended.
    SignedOut,
    /// The refresh, or the store, failed.
    Failed,
}

/// What became of a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refresh {
    Stored,
    SignedOut,
    InvalidGrant,
    InteractionRequired,
    Failed,
    /// It panicked or was dropped.
    Abandoned,
}

/// Which kind of token is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Access,
    Refresh,
    Id,
}

/// Whether a read found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Hit,
    Miss,
    Error,
}

impl Read {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
            Self::Id => "id",
        }
    }
}

impl Found {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Error => "error",
        }
    }
}
