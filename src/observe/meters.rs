//! Counters, gauges and histograms, through the `metrics` facade. `docs/operating.md` says what to
//! do about each.

use std::time::{Duration, Instant};

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::{AcquireOutcome, Found, Read, Refresh};
#[cfg(feature = "logout")]
use super::{Callback, Channel};
use crate::model::error::Part;
use crate::model::report::{Stats, Swept};
use crate::model::sign_out::ScopeKind;

/// Gives the recorder the units and meanings of all metrics of this crate. Call it once, after the
/// app has installed its recorder.
///
/// ```
/// // after e.g. `metrics_exporter_prometheus::PrometheusBuilder::new().install()`:
/// oubliette::describe_metrics();
/// ```
pub fn describe_metrics() {
    use Unit::{Bytes, Count, Seconds};
    describe_counter!("oubliette_acquires_total", Count, "Access tokens asked for, by outcome");
    describe_counter!("oubliette_refreshes_total", Count, "Refreshes at a provider, by outcome");
    describe_histogram!(
        "oubliette_refresh_duration_seconds",
        Seconds,
        "How long a refresh took, the store's part included"
    );
    describe_gauge!(
        "oubliette_refresh_waiting",
        Count,
        "Callers that wait for a refresh which somebody else does"
    );
    describe_counter!("oubliette_sign_ins_total", Count, "Sign-ins, by outcome");
    describe_histogram!("oubliette_sign_in_duration_seconds", Seconds, "How long a sign-in took");
    describe_counter!("oubliette_puts_total", Count, "Calls that store tokens, by outcome");
    describe_histogram!("oubliette_put_duration_seconds", Seconds, "How long storing tokens took");
    describe_counter!("oubliette_tokens_stored_total", Count, "Tokens that were stored");
    describe_counter!("oubliette_reads_total", Count, "Reads of a token, by kind and outcome");
    describe_counter!("oubliette_sign_outs_total", Count, "Sign-outs, by scope and outcome");
    describe_histogram!(
        "oubliette_sign_out_duration_seconds",
        Seconds,
        "How long a sign-out took until it was durable, by scope"
    );
    #[cfg(feature = "logout")]
    {
        describe_counter!(
            "oubliette_callbacks_total",
            Count,
            "Sign-outs that providers told of, by channel and outcome"
        );
        describe_counter!(
            "oubliette_key_fetches_total",
            Count,
            "Fetches of a provider's keys, by outcome"
        );
    }
    describe_counter!(
        "oubliette_errors_total",
        Count,
        "Other verbs that failed, by verb and error"
    );
    describe_counter!("oubliette_ledger_syncs_total", Count, "Syncs of the ledger to the disk");
    describe_histogram!(
        "oubliette_ledger_sync_duration_seconds",
        Seconds,
        "How long writing and syncing a group of records took"
    );
    describe_histogram!(
        "oubliette_ledger_sync_sign_outs",
        Count,
        "How many sign-outs shared a sync"
    );
    describe_gauge!("oubliette_ledger_bytes", Bytes, "The ledger's size");
    describe_gauge!(
        "oubliette_ledger_reserve",
        Count,
        "Sign-outs that could still be recorded if the disk were full"
    );
    describe_gauge!(
        "oubliette_clock_ahead_seconds",
        Seconds,
        "How far the clock is ahead of all that is known of the time, if nothing is deleted for its age because of it; else 0"
    );
    describe_gauge!("oubliette_fences", Count, "Sign-outs that stand in memory");
    describe_gauge!("oubliette_backlog", Count, "Sign-outs whose rows wait to be deleted");
    describe_counter!(
        "oubliette_reclaimed_rows_total",
        Count,
        "Rows of ended sign-ins that were deleted behind sign-outs"
    );
    describe_counter!("oubliette_swept_accounts_total", Count, "Accounts that a sweep looked at");
    describe_counter!(
        "oubliette_swept_total",
        Count,
        "What a sweep deleted, by kind: dead rows, expired tokens"
    );
    describe_counter!("oubliette_tampered_total", Count, "Rows that did not open, by who met them");
    describe_counter!(
        "oubliette_compactions_total",
        Count,
        "Compactions of the engine's folder, by outcome"
    );
    describe_gauge!("oubliette_engine_bytes", Bytes, "The engine's size on the disk");
    describe_gauge!(
        "oubliette_poisoned",
        Count,
        "1 if this part has failed and the store must be reopened"
    );
    describe_counter!("oubliette_poisonings_total", Count, "How often a part has failed");
    describe_counter!("oubliette_upkeep_passes_total", Count, "Passes of the upkeep, by outcome");
}

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
        ($kind:literal) => {
            match found {
                Found::Hit => counter!("oubliette_reads_total", "kind" => $kind, "outcome" => "hit"),
                Found::Miss => counter!("oubliette_reads_total", "kind" => $kind, "outcome" => "miss"),
                Found::Error => counter!("oubliette_reads_total", "kind" => $kind, "outcome" => "error"),
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

pub(super) fn signed_out(scope: ScopeKind, outcome: &'static str, watch: Watch) {
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

pub(super) fn poisoned(part: Part) {
    counter!("oubliette_poisonings_total", "part" => part.as_str()).increment(1);
    gauge!("oubliette_poisoned", "part" => part.as_str()).set(1.0);
}

pub(super) fn clock_held(ahead_by: Option<Duration>) {
    gauge!("oubliette_clock_ahead_seconds").set(ahead_by.unwrap_or_default().as_secs_f64());
}

pub(super) fn opened() {
    for part in [Part::Engine, Part::Ledger] {
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

pub(super) fn swept(swept: &Swept) {
    counter!("oubliette_swept_accounts_total").increment(swept.accounts);
    counter!("oubliette_swept_total", "kind" => "dead_rows").increment(swept.dead_rows);
    counter!("oubliette_swept_total", "kind" => "expired_tokens").increment(swept.expired_tokens);
    counter!("oubliette_tampered_total", "verb" => "sweep").increment(swept.tampered);
}

pub(super) fn compacted(is_done: bool) {
    count!("oubliette_compactions_total", "outcome", is_done, { true => "ok", false => "error", });
}

pub(super) fn upkept(is_done: bool) {
    count!("oubliette_upkeep_passes_total", "outcome", is_done, { true => "ok", false => "error", });
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
