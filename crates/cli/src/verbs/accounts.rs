//! Lists the accounts that are signed in. They are printed page by page, so their number does not
//! matter.

use oubliette::{Account, AccountId, Page, TenantId};
use serde_json::{Value, json};

use crate::args::{Accounts, Shared};
use crate::failure::Failure;
use crate::report::{Report, print};

/// How many accounts are read at a time.
const PAGE: usize = 256;

pub(crate) fn run(shared: &Shared, args: &Accounts) -> Result<Report, Failure> {
    let tenant = args.tenant.as_ref().map(TenantId::new).transpose()?;
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
    // An identifier never has a control character in it, so tabs can separate them.
    format!("{}\t{kind}\t{first}\t{second}", account.sign_ins.len())
}

fn as_json(account: &Account) -> Value {
    let (kind, [(first_name, first), (second_name, second)]) = parts(&account.id);
    json!({ "kind": kind, first_name: first, second_name: second, "sign_ins": account.sign_ins.len() })
}
