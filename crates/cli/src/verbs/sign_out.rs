//! Signs out accounts, sessions, subjects, tenants, or everybody.

use oubliette::{
    AccountId, Alias, AliasKind, Counted, Error, Receipt, SessionPolicy, SignOutScope,
};
use serde_json::Value;

use crate::args::{Shared, SignOut};
use crate::confirm::confirm;
use crate::failure::{Code, Failure};
use crate::place::with_open;
use crate::report::Report;
use crate::time::show;

pub(crate) fn run(shared: &Shared, args: &SignOut) -> Result<Report, Failure> {
    let whom = whom(args)?;
    let builder = shared.writable()?;
    if args.everybody {
        confirm(shared, args.yes, "This signs everybody out, for good.")?;
    }
    let mut sign_out = match &whom {
        Named::Scope(scope) => oubliette::SignOut::of(scope.clone()),
        Named::Alias(alias) => oubliette::SignOut::alias(alias),
    };
    if let Some(time) = args.before {
        sign_out = sign_out.signed_in_before(time);
    }
    if args.only_session {
        sign_out = sign_out.policy(SessionPolicy::OnlySession);
    }
    with_open(builder.open()?, |store| match store.sign_out(sign_out.counted()) {
        Ok(receipt) => Ok(report(&whom, &receipt, args)),
        Err(Error::OnlySessionEnded { receipt, source }) => {
            let done = report(&whom, &receipt, args);
            Err(Failure::from(Error::OnlySessionEnded { receipt, source }).after(done))
        }
        Err(error) => Err(error.into()),
    })
}

enum Named {
    Scope(SignOutScope),
    /// An alias, whose accounts are looked up.
    Alias(Alias),
}

fn whom(args: &SignOut) -> Result<Named, Failure> {
    let Some(name) = &args.alias else {
        return Ok(Named::Scope(args.whom.scopes()?.pop().unwrap_or(SignOutScope::Everybody)));
    };
    let kind = if name.contains('@') { AliasKind::Email } else { AliasKind::Opaque };
    let alias = Alias::new(kind, name);
    Ok(Named::Alias(alias.map_err(|error| Failure::from(error).of_flag("--alias"))?))
}

fn report(whom: &Named, receipt: &Receipt, args: &SignOut) -> Report {
    let kind = match whom {
        Named::Scope(scope) => oubliette::SignOutScopeKind::of(scope).as_str(),
        Named::Alias(_) => "alias",
    };
    let is_nobody = receipt.counted.is_some_and(|counted| counted.sign_ins == 0);
    let mut report = Report::new();
    for line in said(whom, receipt.counted) {
        report = report.line(line);
    }
    let report = report.figure("scope", kind).figure("position", receipt.position);
    let report = report.figure("at", show(receipt.at));
    let report = match args.before {
        Some(time) => report.figure("signed_in_before", show(time)),
        None => report.field("signed_in_before", Value::Null),
    };
    let report = match receipt.accounts {
        Some(accounts) => report.figure("accounts", accounts),
        None => report.field("accounts", Value::Null),
    };
    let mut report = match receipt.counted {
        Some(counted) => report
            .figure("accounts_ended", counted.accounts)
            .figure("sign_ins_ended", counted.sign_ins),
        None => report.field("accounts_ended", Value::Null).field("sign_ins_ended", Value::Null),
    };
    report = report.field("nobody", receipt.counted.map(|_| is_nobody));
    if is_nobody && args.expect_someone {
        report.code = Code::Nobody;
    }
    report
}

/// Says in sentences what was done.
fn said(whom: &Named, counted: Option<Counted>) -> Vec<&'static str> {
    match (whom, counted) {
        (Named::Alias(_), Some(Counted { sign_ins: 0, .. })) => {
            vec![
                "Nobody is signed in under this other name. Nothing is recorded: an alias has no record of its own.",
            ]
        }
        (Named::Scope(SignOutScope::Everybody), Some(Counted { sign_ins: 0, .. })) => {
            vec!["Nobody was signed in; the sign-out is recorded all the same."]
        }
        (Named::Scope(scope), Some(Counted { sign_ins: 0, .. })) => {
            let mut said = vec![
                "Nobody was signed in under this name; the sign-out is recorded all the same.",
            ];
            if matches!(scope, SignOutScope::Account(id) if may_have_another_id(id)) {
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

/// Whether the store may know the user under another id. That is so for all accounts except the
/// app's own.
fn may_have_another_id(id: &AccountId) -> bool {
    id.as_app().is_none()
}
