//! What the store tells operators while it works: metrics and spans, behind the features `metrics`
//! and `tracing`. Never a token, never an identifier, clear or hashed. Without the features every
//! call here is empty.
//!
//! Each verb passes through one function here, which opens its span, counts its outcome, and warns
//! of what an operator has to look at.

#[cfg(feature = "logout")]
mod callbacks;
#[cfg(feature = "metrics")]
mod describe;
#[cfg(feature = "metrics")]
mod meters;
#[cfg(not(feature = "metrics"))]
#[path = "no_meters.rs"]
mod meters;
mod outcome;
mod spans;

#[cfg(feature = "logout")]
pub(crate) use callbacks::{
    Callback, Channel, Told, called_back, fetched_keys, refused_for_its_key,
};
#[cfg(feature = "metrics")]
pub use describe::describe_metrics;
pub(crate) use outcome::{AcquireOutcome, Found, Read, Refresh};
#[cfg(feature = "tokio")]
pub(crate) use spans::Parent;

use std::time::Duration;

use crate::model::error::{Component, Error, Result};
use crate::model::report::{CompactionEstimate, Opened, Stats, SweepReport};
use crate::model::sign_in::PutOutcome;
use crate::model::sign_out::{Receipt, SignOutScopeKind};
use meters::Watch;
use spans::{Span, alert, note, span};

pub(crate) fn acquired(how: AcquireOutcome) {
    meters::acquired(how);
}

pub(crate) fn refreshed(how: Refresh, took: Duration) {
    meters::refreshed(how, took);
}

/// One caller more (or one less) waits for a refresh that another caller does.
pub(crate) fn waiting(by: i8) {
    meters::waiting(by);
}

/// Reads a token.
pub(crate) fn read<T>(kind: Read, run: impl FnOnce() -> Result<Option<T>>) -> Result<Option<T>> {
    let span = span!("read", kind = kind.as_str());
    let result = run();
    was_read(&span, kind, &result);
    result
}

/// Reads a token if that needs no waiting; only then the read is counted.
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

pub(crate) fn sign_in<T>(run: impl FnOnce() -> Result<(T, PutOutcome)>) -> Result<(T, PutOutcome)> {
    let (span, watch) = (span!("sign_in"), Watch::start());
    let result = run();
    let tokens = result.as_ref().map_or(0, |(_, stored)| stored.stored);
    meters::signed_in(outcome(&span, "sign_in", &result), tokens, watch);
    result
}

pub(crate) fn put(run: impl FnOnce() -> Result<PutOutcome>) -> Result<PutOutcome> {
    let (span, watch) = (span!("put"), Watch::start());
    let result = run();
    let tokens = result.as_ref().map_or(0, |stored| stored.stored);
    meters::put(outcome(&span, "put", &result), tokens, watch);
    result
}

pub(crate) fn sign_out(
    scope: SignOutScopeKind,
    run: impl FnOnce() -> Result<Receipt>,
) -> Result<Receipt> {
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

/// Any other verb, if it needs no waiting; only then the verb is counted.
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

/// A stop watch, which runs only if metrics read it.
pub(crate) fn watch() -> Watch {
    Watch::start()
}

/// A part of the store has failed, and refuses all further work.
pub(crate) fn poisoned(part: Component) {
    alert!("the store is poisoned: close it and open it again", part = part.as_str());
    meters::poisoned(part);
}

/// The store was opened.
pub(crate) fn opened(found: Opened) {
    if found.engine_was_missing {
        alert!(
            "the engine's folder was missing: the store began without a sign-in; every sign-out on \
             record stands"
        );
    }
    if found.snapshot_was_damaged {
        alert!(
            "the engine's snapshot was damaged, and made anew: nothing was lost, but look at the \
             disk"
        );
    }
    meters::opened();
}

/// The clock has jumped ahead by so much that nothing is deleted for its age, or is believed again.
pub(crate) fn clock_held(ahead_by: Option<Duration>) {
    if let Some(ahead_by) = ahead_by {
        alert!(
            "the clock is ahead of all that is known of the time: nothing is deleted for its age \
             until that is confirmed",
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

pub(crate) fn swept(swept: &SweepReport) {
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

/// Figures that are not counted as they change, but looked at from time to time.
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

/// Warns of errors that an operator should look at, beside the caller. (Poison is warned of once,
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
