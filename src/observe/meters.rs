//! Counters, gauges and histograms, through the `metrics` facade. `docs/operating.md` says what to
//! do about each.

use std::time::{Duration, Instant};

use metrics::{counter, gauge, histogram};

use super::{AcquireOutcome, Found, Read, Refresh};
#[cfg(feature = "logout")]
use super::{Callback, Channel};
use crate::model::error::Component;
use crate::model::report::{Stats, SweepReport};
use crate::model::sign_out::SignOutScopeKind;

/// A stop watch.
pub(crate) struct Watch(Instant);

impl Watch {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A counter with one label whose values are known here, so that counting allocates nothing.
macro_rules! count {
    ($name:literal, $label:literal, $value:expr, { $($pattern:pat => $text:literal,)* }) => {
        match $value {
            $($pattern => counter!($name, $label => $text),)*
        }
        .increment(1)
    };
}

pub(super) fn acquired(how: AcquireOutcome) {
    count!("oubliette_acquires_total", "outcome", how, {
        AcquireOutcome::Hit => "hit",
        AcquireOutcome::Due => "due",
        AcquireOutcome::Refreshed => "refreshed",
        AcquireOutcome::Waited => "waited",
        AcquireOutcome::InteractionRequired => "interaction_required",
        AcquireOutcome::SignedOut => "signed_out",
        AcquireOutcome::Failed => "failed",
    });
}

pub(super) fn refreshed(how: Refresh, took: Duration) {
    count!("oubliette_refreshes_total", "outcome", how, {
        Refresh::Stored => "stored",
        Refresh::SignedOut => "signed_out",
        Refresh::InvalidGrant => "invalid_grant",
        Refresh::InteractionRequired => "interaction_required",
        Refresh::Failed => "failed",
        Refresh::Abandoned => "abandoned",
    });
    histogram!("oubliette_refresh_duration_seconds").record(took);
}

pub(super) fn waiting(by: i8) {
    gauge!("oubliette_refresh_waiting").increment(f64::from(by));
}

#[cfg(feature = "logout")]
pub(super) fn called_back(channel: Channel, what: Callback) {
    let channel = match channel {
        Channel::Back => "back",
        Channel::Front => "front",
    };
    let outcome = match what {
        Callback::Done => "done",
        Callback::Repeated => "repeated",
        Callback::Nobody => "nobody",
        Callback::Unknown => "unknown",
        Callback::Untimely => "untimely",
        Callback::Refused => "refused",
        Callback::Failed => "failed",
    };
    counter!("oubliette_callbacks_total", "channel" => channel, "outcome" => outcome).increment(1);
}

#[cfg(feature = "logout")]
pub(super) fn fetched_keys(is_done: bool) {
    count!("oubliette_key_fetches_total", "outcome", is_done, {
        true => "ok",
        false => "error",
    });
}

pub(super) fn read(kind: Read, found: Found) {
    macro_rules! reads {
        ($kind:literal, $outcome:literal) => {
            counter!("oubliette_reads_total", "kind" => $kind, "outcome" => $outcome)
        };
        ($kind:literal) => {
            match found {
                Found::Hit => reads!($kind, "hit"),
                Found::Miss => reads!($kind, "miss"),
                Found::Error => reads!($kind, "error"),
            }
        };
    }
    match kind {
        Read::Access => reads!("access"),
        Read::Refresh => reads!("refresh"),
        Read::Id => reads!("id"),
    }
    .increment(1);
}

pub(super) fn signed_in(outcome: &'static str, tokens: usize, watch: Watch) {
    counter!("oubliette_sign_ins_total", "outcome" => outcome).increment(1);
    counter!("oubliette_tokens_stored_total").increment(tokens as u64);
    histogram!("oubliette_sign_in_duration_seconds").record(watch.elapsed());
}

pub(super) fn put(outcome: &'static str, tokens: usize, watch: Watch) {
    counter!("oubliette_puts_total", "outcome" => outcome).increment(1);
    counter!("oubliette_tokens_stored_total").increment(tokens as u64);
    histogram!("oubliette_put_duration_seconds").record(watch.elapsed());
}

pub(super) fn signed_out(scope: SignOutScopeKind, outcome: &'static str, watch: Watch) {
    counter!("oubliette_sign_outs_total", "scope" => scope.as_str(), "outcome" => outcome)
        .increment(1);
    histogram!("oubliette_sign_out_duration_seconds", "scope" => scope.as_str())
        .record(watch.elapsed());
}

pub(super) fn verb_failed(verb: &'static str, error: &'static str) {
    counter!("oubliette_errors_total", "verb" => verb, "error" => error).increment(1);
}

pub(super) fn tampered(verb: &'static str) {
    counter!("oubliette_tampered_total", "verb" => verb).increment(1);
}

pub(super) fn synced(sign_outs: usize, watch: Watch, bytes: u64, reserve: u64) {
    counter!("oubliette_ledger_syncs_total").increment(1);
    histogram!("oubliette_ledger_sync_duration_seconds").record(watch.elapsed());
    // (A group is of 65 535 records at most.)
    histogram!("oubliette_ledger_sync_sign_outs")
        .record(u32::try_from(sign_outs).unwrap_or(u32::MAX));
    gauge!("oubliette_ledger_bytes").set(gauge_of(bytes));
    gauge!("oubliette_ledger_reserve").set(gauge_of(reserve));
}

pub(super) fn poisoned(part: Component) {
    counter!("oubliette_poisonings_total", "part" => part.as_str()).increment(1);
    gauge!("oubliette_poisoned", "part" => part.as_str()).set(1.0);
}

pub(super) fn clock_held(ahead_by: Option<Duration>) {
    gauge!("oubliette_clock_ahead_seconds").set(ahead_by.unwrap_or_default().as_secs_f64());
}

pub(super) fn opened() {
    for part in [Component::Engine, Component::Ledger] {
        gauge!("oubliette_poisoned", "part" => part.as_str()).set(0.0);
    }
    gauge!("oubliette_backlog").set(0.0);
}

pub(super) fn backlog(waiting: usize) {
    gauge!("oubliette_backlog").set(gauge_of(waiting as u64));
}

pub(super) fn reclaimed(rows: u64) {
    counter!("oubliette_reclaimed_rows_total").increment(rows);
}

pub(super) fn swept(swept: &SweepReport) {
    counter!("oubliette_swept_accounts_total").increment(swept.accounts);
    counter!("oubliette_swept_total", "kind" => "dead_rows").increment(swept.dead_rows);
    counter!("oubliette_swept_total", "kind" => "expired_tokens").increment(swept.expired_tokens);
    counter!("oubliette_tampered_total", "verb" => "sweep").increment(swept.tampered);
}

pub(super) fn compacted(is_done: bool) {
    count!("oubliette_compactions_total", "outcome", is_done, {
        true => "ok",
        false => "error",
    });
}

pub(super) fn upkept(is_done: bool) {
    count!("oubliette_upkeep_passes_total", "outcome", is_done, {
        true => "ok",
        false => "error",
    });
}

pub(super) fn figures(stats: &Stats) {
    gauge!("oubliette_engine_bytes").set(gauge_of(stats.engine_bytes));
    gauge!("oubliette_ledger_bytes").set(gauge_of(stats.ledger_bytes));
    gauge!("oubliette_ledger_reserve").set(gauge_of(stats.ledger_reserve));
    gauge!("oubliette_fences").set(gauge_of(stats.fences as u64));
    gauge!("oubliette_backlog").set(gauge_of(stats.backlog as u64));
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floating point; what is lost beyond 2^53 does not matter"
)]
fn gauge_of(figure: u64) -> f64 {
    figure as f64
}
