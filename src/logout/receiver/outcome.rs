//! How a callback ended.

use crate::logout::rejected::Rejected;
use crate::observe::{self, Callback, Channel};

/// How a callback ended.
pub(crate) enum Outcome {
    Done,
    /// It was done before.
    Repeated,
    /// Nobody is signed in.
    Nobody,
    /// Nobody is signed in, and no ended sign-in is known either.
    Unknown,
    Refused(Rejected),
    Failed,
}

impl Outcome {
    /// Counts the callback in the metrics.
    pub(crate) fn observed(self, channel: Channel) -> Self {
        let what = match &self {
            Self::Done => Callback::Done,
            Self::Repeated => Callback::Repeated,
            Self::Nobody => Callback::Nobody,
            Self::Unknown => Callback::Unknown,
            Self::Refused(Rejected::Expired | Rejected::NotYetValid) => Callback::Untimely,
            Self::Refused(_) => Callback::Refused,
            Self::Failed => Callback::Failed,
        };
        observe::called_back(channel, what);
        self
    }
}
