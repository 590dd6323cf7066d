//! Signs out accounts, sessions, subjects, tenants, or everybody.

use std::ops::ControlFlow;

use oubliette::{SignOutScope, SignOutScopeKind};
use oubliette_control::{Answer, Request, Whom};
use serde_json::Value;

use crate::args::{Shared, SignOut};
use crate::confirm::confirm;
use crate::failure::{Code, Failure};
use crate::report::Report;
use crate::time::show;
use crate::whom::checked;

pub(crate) fn run(shared: &Shared, args: &SignOut) -> Result<Report, Failure> {
    let whom = match &args.alias {
        Some(name) => checked("--alias", Whom::Alias { name: name.clone() })?,
        None => args.whom.names()?.pop().unwrap_or(Whom::Everybody {}),
    };
    shared.check_exists()?;
    if args.everybody {
        confirm(shared, args.yes, "This signs everybody out, for good.")?;
    }
    let scope = whom.scope()?;
    let request = Request::sign_out_with(whom, args.before, args.only_session);
    let report = |answer: &Answer| report(scope.as_ref(), answer, args);
    shared.request(&request, &mut |_| ControlFlow::Continue(()), &report)
}

/// (`None` is an alias, whose accounts are looked up.)
fn report(scope: Option<&SignOutScope>, answer: &Answer, args: &SignOut) -> Report {
    let Answer::SignOut { position, at, accounts, ended, .. } = answer else {
        return Report::unexpected();
    };
    let kind = scope.map_or("alias", |scope| SignOutScopeKind::of(scope).as_str());
    let is_nobody = ended.is_some_and(|(_, sign_ins)| sign_ins == 0);
    let mut report = Report::new();
    for line in said(scope, *ended) {
        report = report.line(line);
    }
    let report = report.figure("scope", kind).figure("position", *position);
    let report = report.figure("at", show(*at));
    let report = match args.before {
        Some(time) => report.figure("signed_in_before", show(time)),
        None => report.field("signed_in_before", Value::Null),
    };
    let report = match accounts {
        Some(accounts) => report.figure("accounts", *accounts),
        None => report.field("accounts", Value::Null),
    };
    let mut report = match *ended {
        Some((accounts, sign_ins)) => {
            report.figure("accounts_ended", accounts).figure("sign_ins_ended", sign_ins)
        }
        None => report.field("accounts_ended", Value::Null).field("sign_ins_ended", Value::Null),
    };
    report = report.field("nobody", ended.map(|_| is_nobody));
    if is_nobody && args.expect_someone {
        report.code = Code::Nobody;
    }
    report
}

/// Says in sentences what was done.
fn said(scope: Option<&SignOutScope>, ended: Option<(u64, u64)>) -> Vec<&'static str> {
    match (scope, ended) {
        (None, Some((_, 0))) => {
            vec![
                "Nobody is signed in under this other name. Nothing is recorded: an alias has no record of its own.",
            ]
        }
        (Some(SignOutScope::Everybody), Some((_, 0))) => {
            vec!["Nobody was signed in; the sign-out is recorded all the same."]
        }
        (Some(scope), Some((_, 0))) => {
            let mut said = vec![
                "Nobody was signed in under this name; the sign-out is recorded all the same.",
            ];
            // The store may know the user under another id. That is so for all accounts except the
            // app's own.
            if matches!(scope, SignOutScope::Account(id) if id.as_app().is_none()) {
                said.push(
                    "Is the name right? Entra ID, Okta and MSAL's caches have ids of their own: `oubliette accounts` lists those who are signed \
                     in, and --subject ISSUER SUB finds them by what their provider calls them.",
                );
            }
            said
        }
        (_, None) => vec![
            "Signed out, durably.",
            "The number of ended sign-ins is unknown: the engine cannot be read.",
        ],
        _ => vec!["Signed out, durably."],
    }
}
