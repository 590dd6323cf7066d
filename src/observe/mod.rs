//! What the store tells operators while it works: metrics and spans, behind the features `metrics`
//! and `tracing`. Never a token, never an identifier, clear or hashed. Without the features every
//! call here is empty.
//!
//! Each verb passes through one function here, which opens its span, counts its outcome, and warns
//! of what an operator has to look at.

#[cfg(feature = "metrics")]
mod meters;
#[cfg(not(feature = "metrics"))]
#[path = "no_meters.rs"]
mod meters;
mod spans;

#[cfg(feature = "metrics")]
pub use meters::describe_metrics;
#[cfg(feature = "tokio")]
pub(crate) use spans::Parent;

use std::time::Duration;

use crate::model::error::{Error, Part, Result};
use crate::model::report::{CompactionEstimate, Opened, Stats, Swept};
use crate::model::sign_in::Stored;
use crate::model::sign_out::{Receipt, ScopeKind};
use meters::Watch;
use spans::{Span, alert, note, span};

/// What became of an acquisition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcquireOutcome {
    /// The cache had it.
    Hit,
    /// The cache had it, and it was due: somebody refreshes it.
    Due,
    /// This caller refreshed it.
    Refreshed,
    /// Somebody else refreshed it meanwhile.
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

/// What brought a sign-out from elsewhere.
#[cfg(feature = "logout")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    Back,
    Front,
}

/// What became of a callback.
#[cfg(feature = "logout")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callback {
    /// Carried out.
    Done,
    /// It had been carried out already.
    Repeated,
    /// There was nobody to sign out any more.
    Nobody,
    /// There was nobody, and of whom it speaks nothing is known: no sign-in, and no sign-out.
    Unknown,
    /// Its token has expired, or is not valid yet. If there are many, a clock is wrong.
    Untimely,
    /// It was not what it has to be, or not from one of the issuers.
    Refused,
    /// The store or the app failed.
    Failed,
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

pub(crate) fn acquired(how: AcquireOutcome) {
    meters::acquired(how);
}

pub(crate) fn refreshed(how: Refresh, took: Duration) {
    meters::refreshed(how, took);
}

/// One more (or one less) waits for a refresh that somebody else does.
pub(crate) fn waiting(by: i8) {
    meters::waiting(by);
}

/// When something was told of last that strangers can cause: a log is not theirs to fill.
#[cfg(feature = "logout")]
#[derive(Default)]
pub(crate) struct Told(std::sync::Mutex<Option<std::time::Instant>>);

#[cfg(feature = "logout")]
impl Told {
    const fn never() -> Self {
        Self(std::sync::Mutex::new(None))
    }

    /// Whether it is a minute ago; then it is told now.
    pub(crate) fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= Duration::from_secs(60));
        *last = if is_due { Some(std::time::Instant::now()) } else { *last };
        is_due
    }
}

/// A provider's callback was answered. Only what is signed can leave a warning, and once a minute:
/// a stranger must not fill a log, nor may who has overheard a token. (For who looks closely there
/// is a note at `debug`, no more often.)
#[cfg(feature = "logout")]
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
/// that cannot be used. What is told of is the key, whoever sent the token. The caller sees to it
/// that it is not told too often.
#[cfg(feature = "logout")]
pub(crate) fn refused_for_its_key(key: &impl std::fmt::Display) {
    let key = key.to_string();
    alert!("a logout token was refused: the key that it names cannot be used", key = key);
}

/// A provider's keys were fetched, or there was a problem with it; which names nobody.
#[cfg(feature = "logout")]
pub(crate) fn fetched_keys(problem: Option<&impl std::fmt::Display>, is_told: bool) {
    if let Some(problem) = problem.filter(|_| is_told) {
        let problem = problem.to_string();
        alert!(
            "the keys of a provider could not be fetched: sign-outs that it signs with new ones are refused",
            problem = problem
        );
    }
    meters::fetched_keys(problem.is_none());
}

/// Reads a token.
pub(crate) fn read<T>(kind: Read, run: impl FnOnce() -> Result<Option<T>>) -> Result<Option<T>> {
    let span = span!("read", kind = kind.as_str());
    let result = run();
    was_read(&span, kind, &result);
    result
}

/// Reads a token if that needs no waiting; only then it counts.
#[cfg(feature = "tokio")]
pub(crate) fn try_read<T>(
    kind: Read,
    run: impl FnOnce() -> Option<Result<Option<T>>>,
) -> Option<Result<Option<T>>> {
    let span = span!("read", kind = kind.as_str());
    let result = run();
    match &result {
        Some(result) => was_read(&span, kind, result),
        None => span.outcome("put off"),
    }
    result
}

fn was_read<T>(span: &Span, kind: Read, result: &Result<Option<T>>) {
    let found = match result {
        Ok(Some(_)) => Found::Hit,
        Ok(None) => Found::Miss,
        Err(error) => {
            look_at("read", error);
            Found::Error
        }
    };
    span.outcome(found.as_str());
    meters::read(kind, found);
}

pub(crate) fn sign_in<T>(run: impl FnOnce() -> Result<(T, Stored)>) -> Result<(T, Stored)> {
    let (span, watch) = (span!("sign_in"), Watch::start());
    let result = run();
    let tokens = result.as_ref().map_or(0, |(_, stored)| stored.stored);
    meters::signed_in(outcome(&span, "sign_in", &result), tokens, watch);
    result
}

pub(crate) fn put(run: impl FnOnce() -> Result<Stored>) -> Result<Stored> {
    let (span, watch) = (span!("put"), Watch::start());
    let result = run();
    let tokens = result.as_ref().map_or(0, |stored| stored.stored);
    meters::put(outcome(&span, "put", &result), tokens, watch);
    result
}

pub(crate) fn sign_out(scope: ScopeKind, run: impl FnOnce() -> Result<Receipt>) -> Result<Receipt> {
    let (span, watch) = (span!("sign_out", scope = scope.as_str()), Watch::start());
    let result = run();
    meters::signed_out(scope, outcome(&span, "sign_out", &result), watch);
    result
}

/// Any other verb.
pub(crate) fn verb<T>(name: &'static str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let span = span!("verb", verb = name);
    let result = run();
    let outcome = outcome(&span, name, &result);
    if result.is_err() {
        meters::verb_failed(name, outcome);
    }
    result
}

/// Any other verb, if it needs no waiting; only then it counts.
#[cfg(feature = "tokio")]
pub(crate) fn try_verb<T>(
    name: &'static str,
    run: impl FnOnce() -> Option<Result<T>>,
) -> Option<Result<T>> {
    let result = run()?;
    Some(verb(name, || result))
}

/// A group of records has been synced: how many sign-outs shared it, how long it took, how large
/// the ledger is, and how many could still be recorded.
pub(crate) fn synced(sign_outs: usize, watch: Watch, bytes: u64, reserve: u64) {
    meters::synced(sign_outs, watch, bytes, reserve);
}

/// A stop watch, which runs only if somebody reads it.
pub(crate) fn watch() -> Watch {
    Watch::start()
}

/// A part of the store has failed, and refuses all further work.
pub(crate) fn poisoned(part: Part) {
    alert!("the store is poisoned: close it and open it again", part = part.as_str());
    meters::poisoned(part);
}

/// The store was opened.
pub(crate) fn opened(found: Opened) {
    if found.engine_was_missing {
        alert!(
            "the engine's folder was missing: the store began without a sign-in; every sign-out on record stands"
        );
    }
    if found.snapshot_was_damaged {
        alert!(
            "the engine's snapshot was damaged, and made anew: nothing was lost, but look at the disk"
        );
    }
    meters::opened();
}

/// The clock has jumped ahead by so much that nothing is deleted for its age, or is believed again.
pub(crate) fn clock_held(ahead_by: Option<Duration>) {
    if let Some(ahead_by) = ahead_by {
        alert!(
            "the clock is ahead of all that is known of the time: nothing is deleted for its age until that is confirmed",
            ahead_by_seconds = ahead_by.as_secs()
        );
    }
    meters::clock_held(ahead_by);
}

pub(crate) fn backlog(waiting: usize) {
    meters::backlog(waiting);
}

pub(crate) fn reclaimed(rows: u64) {
    meters::reclaimed(rows);
}

pub(crate) fn swept(swept: &Swept) {
    if swept.tampered > 0 {
        alert!("the sweep met rows that do not open", rows = swept.tampered);
    }
    meters::swept(swept);
}

/// A compaction begins.
pub(crate) fn compacting(estimate: &CompactionEstimate) {
    note!(
        "the engine is being compacted",
        engine_bytes = estimate.engine_bytes,
        peak_bytes = estimate.peak_bytes,
        memory_bytes = estimate.memory_bytes
    );
}

pub(crate) fn compacted(is_done: bool) {
    meters::compacted(is_done);
}

/// A pass of the upkeep has ended.
pub(crate) fn upkept(is_done: bool) {
    if !is_done {
        alert!("a pass of the upkeep failed", outcome = "error");
    }
    meters::upkept(is_done);
}

/// Figures that nobody counts, but that are looked at from time to time.
pub(crate) fn figures(stats: &Stats) {
    meters::figures(stats);
}

/// Records what became of a verb.
fn outcome<T>(span: &Span, verb: &'static str, result: &Result<T>) -> &'static str {
    let outcome = match result {
        Ok(_) => "ok",
        Err(error) => {
            look_at(verb, error);
            error.kind().as_str()
        }
    };
    span.outcome(outcome);
    outcome
}

/// Warns of errors that somebody other than the caller should look at. (Poison is warned of once,
/// when it comes.)
fn look_at(verb: &'static str, error: &Error) {
    match error {
        Error::Tampered(row) => {
            alert!("a row does not open", verb = verb, row = *row);
            meters::tampered(verb);
        }
        Error::Indeterminate(_) => alert!(
            "the disk failed during a sign-out: reopen the store and sign out again",
            verb = verb
        ),
        Error::OnlySessionEnded { .. } => {
            alert!("a session has ended, but not its accounts", verb = verb)
        }
        Error::Full(part) => alert!("no space is left", verb = verb, part = part.as_str()),
        _ => {}
    }
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
    fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Error => "error",
        }
    }
}
