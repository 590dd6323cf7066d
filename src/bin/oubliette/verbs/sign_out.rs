//! Signing out.

use oubliette::{Error, Receipt, Scope, ScopeKind, SessionPolicy};
use serde_json::Value;

use crate::args::{Shared, SignOut};
use crate::confirm::confirm;
use crate::failure::Failure;
use crate::place::with_open;
use crate::report::Report;
use crate::time::show;

pub(crate) fn run(shared: &Shared, args: &SignOut) -> Result<Report, Failure> {
    let scope = args.whom.scopes()?.pop().unwrap_or(Scope::Everybody);
    let kind = ScopeKind::of(&scope);
    let builder = shared.writable()?;
    if args.everybody {
        confirm(shared, args.yes, "This signs everybody out, for good.")?;
    }
    let mut sign_out = oubliette::SignOut::of(scope);
    if let Some(time) = args.before {
        sign_out = sign_out.signed_in_before(time);
    }
    if args.only_session {
        sign_out = sign_out.policy(SessionPolicy::OnlySession);
    }
    with_open(builder.open()?, |store| match store.sign_out(sign_out) {
        Ok(receipt) => Ok(report(kind, &receipt, args)),
        Err(Error::OnlySessionEnded { receipt, source }) => {
            let done = report(kind, &receipt, args);
            Err(Failure::from(Error::OnlySessionEnded { receipt, source }).after(done))
        }
        Err(error) => Err(error.into()),
    })
}

fn report(kind: ScopeKind, receipt: &Receipt, args: &SignOut) -> Report {
    let report = Report::new().line("Signed out, durably.").figure("scope", kind.as_str()).figure("position", receipt.position);
    let report = report.figure("at", show(receipt.at));
    let report = match args.before {
        Some(time) => report.figure("signed_in_before", show(time)),
        None => report.field("signed_in_before", Value::Null),
    };
    match receipt.accounts {
        Some(accounts) => report.figure("accounts", accounts),
        None => report.field("accounts", Value::Null),
    }
}
