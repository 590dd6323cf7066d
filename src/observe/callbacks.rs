//! What became of providers' callbacks, and of the fetches of their keys.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::meters;
use super::spans::{alert, note};

/// How a sign-out came from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    Back,
    Front,
}

/// What became of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callback {
    /// Carried out.
    Done,
    /// It had been carried out already.
    Repeated,
    /// No user was signed in any more.
    Nobody,
    /// No user was signed in, and the store knows neither a sign-in nor a sign-out of the user or
    /// session that it names.
    Unknown,
    /// Its token has expired, or is not valid yet. If there are many, a clock is wrong.
    Untimely,
    /// It was not what it has to be, or not from one of the issuers.
    Refused,
    /// The store or the app failed.
    Failed,
}

/// When the last line about something was logged that strangers can cause. At most one a minute is:
/// strangers must not be able to fill a log.
#[derive(Default)]
pub(crate) struct Told(Mutex<Option<Instant>>);

impl Told {
    const fn never() -> Self {
        Self(Mutex::new(None))
    }

    /// Whether the last line is a minute ago. If so, the caller logs one now.
    pub(crate) fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= Duration::from_secs(60));
        *last = if is_due { Some(Instant::now()) } else { *last };
        is_due
    }
}

/// A provider's callback was answered. Only what is signed can leave a warning, and once a minute:
/// neither a stranger nor an attacker with an overheard token may fill a log. (At level `debug`
/// there is a note about the rest, no more often.)
pub(crate) fn called_back(channel: Channel, what: Callback) {
    static FAILED: Told = Told::never();
    if channel == Channel::Back && what == Callback::Failed && FAILED.is_due() {
        alert!("a sign-out from a provider was not carried out whole");
    }
    static UNKNOWN: Told = Told::never();
    if channel == Channel::Front && what == Callback::Unknown && UNKNOWN.is_due() {
        note!("no sign-in has the session that a front-channel sign-out names");
    }
    meters::called_back(channel, what);
}

/// A logout token was refused, and the key that it names is one that its provider has published and
/// that cannot be used. The warning is about the key, whatever the origin of the token. The caller
/// sees to it that the warning does not come too often.
pub(crate) fn refused_for_its_key(key: &impl std::fmt::Display) {
    let key = key.to_string();
    alert!("a logout token was refused: the key that it names cannot be used", key = key);
}

/// A provider's keys were fetched, or there was a problem with it. The problem names no user.
pub(crate) fn fetched_keys(problem: Option<&impl std::fmt::Display>, is_told: bool) {
    if let Some(problem) = problem.filter(|_| is_told) {
        let problem = problem.to_string();
        alert!(
            "the keys of a provider could not be fetched: sign-outs that it signs with new ones \
             are refused",
            problem = problem
        );
    }
    meters::fetched_keys(problem.is_none());
}
