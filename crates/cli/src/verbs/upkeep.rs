//! The verbs for upkeep, and for figures.

use std::ops::ControlFlow;
use std::time::Duration;

use oubliette_control::{Answer, Part, Request};

use crate::args::{Shared, Sweep};
use crate::failure::{Code, Failure};
use crate::progress::Progress;
use crate::report::{Report, print};
use crate::time::show;

pub(crate) fn sweep(shared: &Shared, args: &Sweep) -> Result<Report, Failure> {
    let progress = Progress::counter(shared, "accounts swept:");
    let mut told = |part| {
        if let Part::Swept(accounts) = part {
            progress.step(accounts);
        }
        ControlFlow::Continue(())
    };
    shared.request(&Request::sweep(args.clock_is_right), &mut told, &|answer| {
        let Answer::Sweep {
            accounts,
            dead_rows,
            expired_tokens,
            tampered,
            live_bytes,
            compacted,
            clock_ahead_by,
            ..
        } = answer
        else {
            return Report::unexpected();
        };
        let report = Report::new().figure("accounts", *accounts).figure("dead_rows", *dead_rows);
        let report = report.figure("expired_tokens", *expired_tokens).figure("tampered", *tampered);
        let report = report.figure("live_bytes", *live_bytes).figure("compacted", *compacted);
        clock(report, *clock_ahead_by)
    })
}

pub(crate) fn stats(shared: &Shared) -> Result<Report, Failure> {
    shared.request(&Request::stats(), &mut |_| ControlFlow::Continue(()), &|answer| {
        let Answer::Stats {
            synced,
            fences,
            ledger_bytes,
            ledger_reserve,
            backlog,
            engine_bytes,
            opened_by_previous_key,
            engine_was_missing,
            snapshot_was_damaged,
            known_since,
            clock_ahead_by,
            ..
        } = answer
        else {
            return Report::unexpected();
        };
        let report = Report::new()
            .figure("synced", *synced)
            .figure("fences", *fences)
            .figure("ledger_bytes", *ledger_bytes)
            .figure("ledger_reserve", *ledger_reserve)
            .figure("backlog", *backlog)
            .figure("engine_bytes", *engine_bytes)
            .figure("opened_by_previous_key", *opened_by_previous_key)
            .figure("engine_was_missing", *engine_was_missing)
            .figure("snapshot_was_damaged", *snapshot_was_damaged)
            .figure("known_since", show(*known_since));
        clock(report, *clock_ahead_by)
    })
}

/// Reports a clock by which nothing is deleted.
fn clock(report: Report, ahead_by: Option<Duration>) -> Report {
    let report =
        report.field("clock_ahead_by_seconds", ahead_by.map(|ahead_by| ahead_by.as_secs()));
    let Some(ahead_by) = ahead_by else { return report };
    let hours = ahead_by.as_secs() / 3600;
    report.line(format_args!(
        "This machine's clock is {hours} hours ahead of all that is known of the time, or the store \
         was not open for that long: nothing is deleted for its age. If the clock is right, run \
         `oubliette sweep --clock-is-right`. A sign-in with a verified ID token confirms the time \
         too."
    ))
}

pub(crate) fn verify(shared: &Shared) -> Result<Report, Failure> {
    let _progress = Progress::spinner(shared, "opening every row");
    let mut told = |_| ControlFlow::Continue(());
    shared.request_or(&Request::verify(), &mut told, &verified, |_| {
        Ok(verified(&Answer::from(shared.existing()?.verify()?)))
    })
}

fn verified(answer: &Answer) -> Report {
    let Answer::Verify {
        sound,
        accounts,
        sign_ins,
        tokens,
        dead_rows,
        tampered,
        missing_index_rows,
        sign_outs,
        ..
    } = answer
    else {
        return Report::unexpected();
    };
    let mut report = Report::new()
        .line(if *sound {
            "Sound."
        } else {
            "There are faults; `oubliette sweep` mends what can be mended."
        })
        .field("sound", *sound)
        .figure("accounts", *accounts)
        .figure("sign_ins", *sign_ins)
        .figure("tokens", *tokens)
        .figure("dead_rows", *dead_rows)
        .figure("tampered", *tampered)
        .figure("missing_index_rows", *missing_index_rows)
        .figure("sign_outs", *sign_outs);
    if !sound {
        report.code = Code::Damaged;
    }
    report
}

pub(crate) fn compact(shared: &Shared) -> Result<Report, Failure> {
    let _progress = Progress::spinner(shared, "moving what is live");
    let mut printed = Ok(true);
    let mut told = |part| {
        if let Part::Estimate(it) = part
            && !shared.json
        {
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            printed = print(|out| {
                let (now, peak, memory) =
                    (mib(it.engine_bytes), mib(it.peak_bytes), mib(it.memory_bytes));
                writeln!(
                    out,
                    "the engine takes {now} MiB; with its copy beside it, it takes {peak} MiB at \
                     most, and about {memory} MiB of memory"
                )
            });
        }
        ControlFlow::Continue(())
    };
    let done = shared.request(&Request::compact(), &mut told, &|answer| {
        let Answer::Compact {
            accounts,
            rows,
            bytes_before,
            bytes_after,
            tampered,
            ledger_compacted,
            ..
        } = answer
        else {
            return Report::unexpected();
        };
        let report = Report::new().figure("accounts", *accounts).figure("rows", *rows);
        let report =
            report.figure("bytes_before", *bytes_before).figure("bytes_after", *bytes_after);
        report.figure("tampered", *tampered).figure("ledger_compacted", *ledger_compacted)
    });
    let report = done?;
    printed.map(|_| report)
}
