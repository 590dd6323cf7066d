//! The units and meanings of all metrics.

use metrics::Unit::{Bytes, Count, Seconds};
use metrics::{describe_counter, describe_gauge, describe_histogram};

/// Gives the recorder the units and meanings of all metrics of this crate. Call it once, after the
/// app has installed its recorder.
///
/// ```
/// // after e.g. `metrics_exporter_prometheus::PrometheusBuilder::new().install()`:
/// oubliette::describe_metrics();
/// ```
pub fn describe_metrics() {
    describe_refreshes();
    describe_sign_ins_and_tokens();
    describe_sign_outs();
    describe_ledger();
    describe_deletion();
    describe_faults();
}

/// Acquiring access tokens, and the refreshes at providers.
fn describe_refreshes() {
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
        "Callers that wait for a refresh which another caller does"
    );
}

/// Signing in, storing tokens and reading them.
fn describe_sign_ins_and_tokens() {
    describe_counter!("oubliette_sign_ins_total", Count, "Sign-ins, by outcome");
    describe_histogram!("oubliette_sign_in_duration_seconds", Seconds, "How long a sign-in took");
    describe_counter!("oubliette_puts_total", Count, "Calls that store tokens, by outcome");
    describe_histogram!("oubliette_put_duration_seconds", Seconds, "How long storing tokens took");
    describe_counter!("oubliette_tokens_stored_total", Count, "Tokens that were stored");
    describe_counter!("oubliette_reads_total", Count, "Reads of a token, by kind and outcome");
}

/// Signing out, and what providers send.
fn describe_sign_outs() {
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
}

/// The ledger, and the clock that its records are dated by.
fn describe_ledger() {
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
        "How far the clock is ahead of all that is known of the time, if nothing is deleted for \
         its age because of it; else 0"
    );
    describe_gauge!("oubliette_fences", Count, "Sign-outs that stand in memory");
}

/// Deleting what has ended or expired, and the space that it takes.
fn describe_deletion() {
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
    describe_counter!(
        "oubliette_compactions_total",
        Count,
        "Compactions of the engine's folder, by outcome"
    );
    describe_counter!("oubliette_upkeep_passes_total", Count, "Passes of the upkeep, by outcome");
    describe_gauge!("oubliette_engine_bytes", Bytes, "The engine's size on the disk");
}

/// What failed.
fn describe_faults() {
    describe_counter!(
        "oubliette_errors_total",
        Count,
        "Other verbs that failed, by verb and error"
    );
    describe_counter!(
        "oubliette_tampered_total",
        Count,
        "Rows that did not open, by the verb that met them"
    );
    describe_gauge!(
        "oubliette_poisoned",
        Count,
        "1 if this part has failed and the store must be reopened"
    );
    describe_counter!("oubliette_poisonings_total", Count, "How often a part has failed");
}
