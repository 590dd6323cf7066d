//! Lists the accounts that are signed in. They are printed page by page, so their number does not
//! matter.

use std::borrow::Cow;

use oubliette::{Account, AccountId, Page};
use serde_json::{Value, json};

use crate::args::{Accounts, Shared};
use crate::failure::Failure;
use crate::report::{Report, print};
use crate::whom::tenant_of;

/// How many accounts are read at a time.
const PAGE: usize = 256;

pub(crate) fn run(shared: &Shared, args: &Accounts) -> Result<Report, Failure> {
    let tenant = args.tenant.as_ref().map(|name| tenant_of("--tenant", name)).transpose()?;
    shared.with_store(|store| {
        let mut left = args.limit.unwrap_or(u64::MAX);
        let (mut page, mut separator, mut tampered, mut more) =
            (Some(Page::first(PAGE)), "", 0, false);
        if shared.json {
            print(|out| write!(out, "{{\"accounts\":["))?;
        }
        while let Some(next) = page.take_if(|_| left > 0) {
            let found = match &tenant {
                None => store.accounts(next)?,
                Some(tenant) => store.accounts_in(tenant, next)?,
            };
            let is_cut = found.accounts.len() as u64 > left;
            for account in found.accounts.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
                left -= 1;
                let is_read = if shared.json {
                    print(|out| {
                        write!(
                            out,
                            "{}{}",
                            std::mem::replace(&mut separator, ","),
                            as_json(account)
                        )
                    })?
                } else {
                    print(|out| writeln!(out, "{}", as_line(account)))?
                };
                if !is_read {
                    return Ok(Report::printed());
                }
            }
            tampered += found.tampered;
            page = found.next;
            more = is_cut || page.is_some();
        }
        if !shared.json && left == args.limit.unwrap_or(u64::MAX) && tampered == 0 {
            eprintln!(
                "oubliette: nobody is signed in{}",
                match &tenant {
                    Some(_) => " in this tenant",
                    None => "",
                }
            );
        }
        if shared.json {
            print(|out| writeln!(out, "],\"more\":{more},\"tampered\":{tampered}}}"))?;
        } else if tampered > 0 {
            eprintln!("oubliette: {tampered} accounts do not open; `oubliette sweep` removes them");
        }
        Ok(Report::printed())
    })
}

/// The kind of an account, and its two names.
fn parts(id: &AccountId) -> (&'static str, [(&'static str, &str); 2]) {
    if let Some((tenant, client)) = id.as_app() {
        return ("app", [("tenant", tenant.as_str()), ("client", client.as_str())]);
    }
    let (authority, id) =
        (id.authority().unwrap_or_default(), id.home_account_id().unwrap_or_default());
    ("user", [("authority", authority), ("id", id)])
}

fn as_line(account: &Account) -> String {
    let (kind, [(_, first), (_, second)]) = parts(&account.id);
    format!("{}\t{} {} {}", account.sign_ins.len(), flag(kind), quoted(first), quoted(second))
}

/// The flag of `sign-out` and `history` that names such an account.
fn flag(kind: &str) -> &'static str {
    if kind == "app" { "--app-account" } else { "--account" }
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

fn as_json(account: &Account) -> Value {
    let (kind, [(first_name, first), (second_name, second)]) = parts(&account.id);
    json!({
        "kind": kind,
        first_name: first,
        second_name: second,
        "words": [flag(kind), first, second],
        "sign_ins": account.sign_ins.len(),
    })
}
