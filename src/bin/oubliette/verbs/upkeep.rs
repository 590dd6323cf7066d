//! Upkeep, and figures.

use oubliette::Verified;

use crate::args::Shared;
use crate::failure::{Code, Failure};
use crate::progress::Progress;
use crate::report::Report;
use crate::time::show;

/// Accounts that one call of the sweep looks at.
const SLICE: usize = 1000;

pub(crate) fn sweep(shared: &Shared) -> Result<Report, Failure> {
    shared.with_store(|store| {
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
        Ok(report.figure("live_bytes", last.live_bytes).figure("compacted", last.compacted))
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
        Ok(report.figure("known_since", show(stats.known_since)))
    })
}

pub(crate) fn verify(shared: &Shared) -> Result<Report, Failure> {
    let builder = shared.writable()?;
    let progress = Progress::spinner(shared, "opening every row of a copy");
    let verified: Verified = builder.verify()?;
    drop(progress);
    let mut report = Report::new()
        .line(if verified.is_sound() { "Sound." } else { "There are faults; `oubliette sweep` mends what can be mended." })
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
        let progress = Progress::spinner(shared, "moving what is live");
        let compacted = store.compact()?;
        drop(progress);
        let report = Report::new().figure("accounts", compacted.accounts).figure("rows", compacted.rows);
        let report = report.figure("bytes_before", compacted.bytes_before).figure("bytes_after", compacted.bytes_after);
        Ok(report.figure("tampered", compacted.tampered).figure("ledger_compacted", compacted.ledger_compacted))
    })
}
