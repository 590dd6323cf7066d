//! Lists the accounts that are signed in. They are printed page by page, so their number does not
//! matter.

use std::borrow::Cow;
use std::ops::ControlFlow;

use oubliette_control::{Answer, ListedAccount, ListedId, Part, Request, Whom};
use serde_json::{Value, json};

use crate::args::{Accounts, Shared};
use crate::failure::Failure;
use crate::report::{Report, print};
use crate::whom::checked;

pub(crate) fn run(shared: &Shared, args: &Accounts) -> Result<Report, Failure> {
    if let Some(tenant) = &args.tenant {
        checked("--tenant", Whom::Tenant { tenant: tenant.clone() })?;
    }
    let request = Request::accounts(args.tenant.clone(), args.limit);
    let mut list = List { as_json: shared.json, has_begun: false, has_ended: Ok(false) };
    let done = shared.request(&request, &mut |part| list.show(&part), &report);
    // A reader that has had enough is no failure, whatever became of the request then.
    if list.has_ended? {
        return Ok(Report::printed());
    }
    let report = done?;
    if shared.json && !list.has_begun {
        print(|out| write!(out, "{{\"accounts\":["))?;
    }
    if shared.json {
        let (more, tampered) = (report.value("more"), report.value("tampered"));
        print(|out| writeln!(out, "],\"more\":{more},\"tampered\":{tampered}}}"))?;
    } else if report.value("tampered") != 0 {
        let tampered = report.value("tampered");
        eprintln!("oubliette: {tampered} accounts do not open; `oubliette sweep` removes them");
    } else if report.value("listed") == 0 {
        let of = if args.tenant.is_some() { " with this tenant" } else { "" };
        eprintln!("oubliette: nobody is signed in{of}");
    }
    Ok(Report::printed())
}

/// The list as it is printed.
struct List {
    as_json: bool,
    has_begun: bool,
    /// Whether its reader has closed it.
    has_ended: Result<bool, Failure>,
}

impl List {
    fn show(&mut self, part: &Part) -> ControlFlow<()> {
        let Part::Accounts(accounts) = part else { return ControlFlow::Continue(()) };
        let printed = print(|out| {
            for account in accounts {
                if self.as_json {
                    let before = if self.has_begun { "," } else { "{\"accounts\":[" };
                    write!(out, "{before}{}", as_json(account))?;
                } else {
                    writeln!(out, "{}", as_line(account))?;
                }
                self.has_begun = true;
            }
            Ok(())
        });
        self.has_ended = printed.map(|is_read| !is_read);
        match self.has_ended {
            Ok(false) => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }
}

fn report(answer: &Answer) -> Report {
    let Answer::Accounts { listed, more, tampered, .. } = answer else {
        return Report::unexpected();
    };
    Report::new().field("listed", *listed).field("more", *more).field("tampered", *tampered)
}

/// The flag of `sign-out` and `history` that names an account, and its two values.
fn words(account: &ListedAccount) -> [&str; 3] {
    match &account.id {
        ListedId::User { authority, id } => ["--account", authority, id],
        ListedId::App { tenant, client } => ["--app-account", tenant, client],
        _ => ["--unknown", "", ""],
    }
}

fn as_line(account: &ListedAccount) -> String {
    let [flag, first, second] = words(account);
    format!("{}\t{flag} {} {}", account.sign_ins, quoted(first), quoted(second))
}

/// A word as a POSIX shell reads it back.
fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "@%+=:,./-_".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''")).into()
}

fn as_json(account: &ListedAccount) -> Value {
    let words = words(account);
    let [_, first, second] = words;
    let (kind, names) = match &account.id {
        ListedId::App { .. } => ("app", ["tenant", "client"]),
        _ => ("user", ["authority", "id"]),
    };
    let [first_name, second_name] = names;
    json!({
        "kind": kind,
        first_name: first,
        second_name: second,
        "words": words,
        "sign_ins": account.sign_ins,
    })
}
