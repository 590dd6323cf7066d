//! Shows what is on record about sign-outs.

use std::ops::ControlFlow;

use oubliette::{SignOutScope, SignOutScopeKind};
use oubliette_control::{Answer, OfDay, OnRecord, Request, Whom};
use serde_json::{Value, json};

use crate::args::{self, Shared};
use crate::failure::{Code, Failure};
use crate::report::Report;
use crate::time::{show, show_day};

pub(crate) fn run(shared: &Shared, args: &args::History) -> Result<Report, Failure> {
    let names = if args.everybody { vec![Whom::Everybody {}] } else { args.whom.names()? };
    let scopes: Vec<_> = names.iter().filter_map(|name| name.scope().ok().flatten()).collect();
    let own = || {
        let builder = shared.existing()?;
        let history =
            if scopes.is_empty() { builder.history()? } else { builder.history_of(&scopes)? };
        Ok(report(&scopes, &Answer::of_history(&history, &scopes)))
    };
    let mut told = |_| ControlFlow::Continue(());
    let report = |answer: &Answer| report(&scopes, answer);
    match shared.request_or(&Request::history(names), &mut told, &report, |_| own()) {
        // The ledger can be read beside any app, if there is a key.
        Err(refused) if refused.is(Code::Refused) => own().map_err(|_: Failure| refused),
        done => done,
    }
}

fn report(scopes: &[SignOutScope], told: &Answer) -> Report {
    let Answer::History { covering, days, total, known_since, position, .. } = told else {
        return Report::unexpected();
    };
    let report = match scopes.is_empty() {
        true => counts(days, *total),
        false => not_looked_at(answer(covering), scopes),
    };
    let known = show(*known_since);
    let note = "for each scope, the newest sign-out since then is known";
    report
        .line(format_args!("{:<24}{known} ({note})", "known since"))
        .field("known_since", known)
        .figure("position", *position)
}

/// Says by which kinds of names the history was not searched. Only the open store knows which names
/// belong to one sign-in.
fn not_looked_at(report: Report, scopes: &[SignOutScope]) -> Report {
    let is_given = |kind| scopes.iter().any(|scope| SignOutScopeKind::of(scope) == kind);
    let has_subject = scopes
        .iter()
        .any(|scope| matches!(scope, SignOutScope::Account(id) if id.subject().is_some()));
    let mut kinds = Vec::new();
    if scopes.iter().any(|scope| {
        matches!(
            SignOutScopeKind::of(scope),
            SignOutScopeKind::Account | SignOutScopeKind::Subject | SignOutScopeKind::Session
        )
    }) {
        kinds = vec![
            SignOutScopeKind::Tenant,
            SignOutScopeKind::Account,
            SignOutScopeKind::Session,
            SignOutScopeKind::Subject,
        ];
        kinds.retain(|kind| !is_given(*kind));
        kinds.retain(|kind| !(*kind == SignOutScopeKind::Subject && has_subject));
        // A subject is an account too. The app's own account names its tenant, and has no session
        // or subject.
        kinds.retain(|kind| {
            !(*kind == SignOutScopeKind::Account && is_given(SignOutScopeKind::Subject))
        });
        if scopes
            .iter()
            .any(|scope| matches!(scope, SignOutScope::Account(id) if id.as_app().is_some()))
        {
            kinds.clear();
        }
    }
    let words: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let report = report.field("not_looked_at", words.clone());
    if words.is_empty() {
        return report;
    }
    report.line(format_args!(
        "Not looked at: sign-outs by {} alone, because no such name was given. The app can look for \
         them as long as the rows of the sign-in are there.",
        words.join(", ")
    ))
}

/// Says whether there is a sign-out, and lists all of them, newest first.
fn answer(covering: &[OnRecord]) -> Report {
    let report = Report::new().field("signed_out", !covering.is_empty());
    let report = report.field("records", covering.iter().map(as_json).collect::<Vec<Value>>());
    let Some(newest) = covering.first() else {
        return report.line("There is no sign-out on record.");
    };
    // A cutoff is often later than the record, as it adds what the clocks may differ by. Sign-ins that
    // were made behind the record live on all the same.
    let spared = match newest.signed_in_before {
        Some(time) if time < newest.at => format!(", but for those made after {}", show(time)),
        _ => String::new(),
    };
    let report = report.line(format_args!(
        "Signed out at {}. Every sign-in from before that has ended{spared}; later ones are not \
         covered.",
        show(newest.at)
    ));
    covering.iter().fold(report, |report, record| {
        let limit = record
            .signed_in_before
            .map(|time| format!("  spares what was signed in after {}", show(time)))
            .unwrap_or_default();
        report.line(format_args!(
            "  {}  {:<10} record {}{limit}",
            show(record.at),
            record.scope,
            record.position
        ))
    })
}

fn as_json(record: &OnRecord) -> Value {
    json!({
        "position": record.position,
        "at": show(record.at),
        "scope": record.scope,
        "signed_in_before": record.signed_in_before.map(show),
    })
}

/// Counts the sign-outs by scope and day.
fn counts(all: &[OfDay], total: u64) -> Report {
    let (mut report, mut days) = (Report::new(), Vec::new());
    for OfDay { day, scope, count, .. } in all {
        let day = show_day(*day);
        report = report.line(format_args!("{day}  {scope:<10} {count}"));
        days.push(json!({ "day": day, "scope": scope, "count": count }));
    }
    report.field("days", days).figure("total", total)
}
