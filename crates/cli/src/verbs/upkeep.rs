//! The verbs for upkeep, and for figures.

use std::time::Duration;

use oubliette::VerifyReport;

use crate::args::{Shared, Sweep};
use crate::failure::{Code, Failure};
use crate::progress::Progress;
use crate::report::{Report, print};
use crate::time::show;

/// How many accounts one call of the sweep looks at.
const SLICE: usize = 1000;

pub(crate) fn sweep(shared: &Shared, args: &Sweep) -> Result<Report, Failure> {
    shared.with_store(|store| {
        if args.clock_is_right {
            store.trust_clock()?;
        }
        let progress = Progress::counter(shared, "accounts swept:");
        let (mut accounts, mut dead_rows, mut expired_tokens, mut tampered) = (0, 0, 0, 0);
        let last = loop {
            let swept = store.sweep(SLICE)?;
            accounts += swept.accounts;
            dead_rows += swept.dead_rows;
            expired_tokens += swept.expired_tokens;
            tampered += swept.tampered;
            progress.step(swept.accounts);
            if swept.finished {
                break swept;
            }
        };
        drop(progress);
        let report = Report::new().figure("accounts", accounts).figure("dead_rows", dead_rows);
        let report = report.figure("expired_tokens", expired_tokens).figure("tampered", tampered);
        let report =
            report.figure("live_bytes", last.live_bytes).figure("compacted", last.compacted);
        Ok(clock(report, store.stats()?.clock_ahead_by, "oubliette sweep --clock-is-right"))
    })
}

pub(crate) fn stats(shared: &Shared) -> Result<Report, Failure> {
    shared.with_store(|store| {
        let stats = store.stats()?;
        let report = Report::new()
            .figure("synced", stats.synced)
            .figure("fences", stats.fences)
            .figure("ledger_bytes", stats.ledger_bytes)
            .figure("ledger_reserve", stats.ledger_reserve)
            .figure("backlog", stats.backlog)
            .figure("engine_bytes", stats.engine_bytes)
            .figure("opened_by_previous_key", stats.opened_by_previous_key);
        let opened = store.opened();
        let report = report.figure("engine_was_missing", opened.engine_was_missing);
        let report = report.figure("snapshot_was_damaged", opened.snapshot_was_damaged);
        let report = report.figure("known_since", show(stats.known_since));
        Ok(clock(report, stats.clock_ahead_by, "oubliette sweep --clock-is-right"))
    })
}

/// Reports a clock by which nothing is deleted.
fn clock(report: Report, ahead_by: Option<Duration>, mend: &str) -> Report {
    let report =
        report.field("clock_ahead_by_seconds", ahead_by.map(|ahead_by| ahead_by.as_secs()));
    let Some(ahead_by) = ahead_by else { return report };
    let hours = ahead_by.as_secs() / 3600;
    report.line(format_args!(
        "This machine's clock is {hours} hours ahead of all that is known of the time, or the store \
         was not open for that long: nothing is deleted for its age. If the clock is right, run \
         `{mend}`. A sign-in with a verified ID token confirms the time too."
    ))
}

pub(crate) fn verify(shared: &Shared) -> Result<Report, Failure> {
    let builder = shared.existing()?;
    let progress = Progress::spinner(shared, "opening every row of a copy");
    let verified: VerifyReport = builder.verify()?;
    drop(progress);
    let mut report = Report::new()
        .line(if verified.is_sound() {
            "Sound."
        } else {
            "There are faults; `oubliette sweep` mends what can be mended."
        })
        .field("sound", verified.is_sound())
        .figure("accounts", verified.accounts)
        .figure("sign_ins", verified.sign_ins)
        .figure("tokens", verified.tokens)
        .figure("dead_rows", verified.dead_rows)
        .figure("tampered", verified.tampered)
        .figure("missing_index_rows", verified.missing_index_rows)
        .figure("sign_outs", verified.sign_outs);
    if !verified.is_sound() {
        report.code = Code::Damaged;
    }
    Ok(report)
}

pub(crate) fn compact(shared: &Shared) -> Result<Report, Failure> {
    shared.with_store(|store| {
        if !shared.json {
            let it = store.compaction_estimate()?;
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            print(|out| {
                let (now, peak, memory) =
                    (mib(it.engine_bytes), mib(it.peak_bytes), mib(it.memory_bytes));
                writeln!(
                    out,
                    "the engine takes {now} MiB; with its copy beside it, it takes {peak} MiB at \
                     most, and about {memory} MiB of memory"
                )
            })?;
        }
        let progress = Progress::spinner(shared, "moving what is live");
        let compacted = store.compact()?;
        drop(progress);
        let report =
            Report::new().figure("accounts", compacted.accounts).figure("rows", compacted.rows);
        let report = report
            .figure("bytes_before", compacted.bytes_before)
            .figure("bytes_after", compacted.bytes_after);
        Ok(report
            .figure("tampered", compacted.tampered)
            .figure("ledger_compacted", compacted.ledger_compacted))
    })
}
