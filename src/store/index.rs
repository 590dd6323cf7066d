//! Index rows: they find accounts by tenant, session, subject and alias. They list and find, and
//! never decide: which index rows are needed follows from the sealed sign-ins and tokens alone.

use crate::backend::Ask;
use crate::model::error::{Error, Result};
use crate::model::random_id::SignInId;
use crate::model::tag::AccountTag;
use crate::rows::row_key::{self, IndexEntry};
use crate::rows::sign_in::SignInBody;
use crate::rule::Life;
use crate::store::access::Open;
use crate::store::core::Core;
use crate::store::plan::Guards;

/// The entries that find a sign-in.
pub(crate) fn entries(core: &Core, life: &Life, body: &SignInBody) -> Vec<IndexEntry> {
    let session = life.session.map(IndexEntry::Session);
    let subject = life.subject.map(IndexEntry::Subject);
    let aliases = body.aliases.iter().map(|alias| IndexEntry::Alias(core.tagger.alias(alias)));
    [IndexEntry::Tenant(life.tenant)]
        .into_iter()
        .chain(session)
        .chain(subject)
        .chain(aliases)
        .collect()
}

/// Those entries of ended sign-ins that no live one needs: neither as its own, nor for its tokens
/// of another tenant. `guards` says what that depends on, beside the header.
pub(crate) fn stale(
    open: &Open<'_>,
    account: &AccountTag,
    ended: Vec<IndexEntry>,
    live: &[(SignInId, Vec<IndexEntry>)],
    guards: &mut Guards,
) -> Result<Vec<IndexEntry>> {
    let mut stale = Vec::new();
    for entry in ended {
        let is_own = live.iter().any(|(_, entries)| entries.contains(&entry));
        if !is_own && !has_tokens(open, account, entry, live.iter().map(|(id, _)| id))? {
            // A token that is put meanwhile does not change the header, and needs its index row.
            if let IndexEntry::Tenant(tenant) = entry {
                for (id, _) in live {
                    guards.none_under(row_key::tokens_in(account, id, &tenant));
                }
            }
            stale.push(entry);
        }
    }
    Ok(stale)
}

/// Whether a listed sign-in of the account is found by this entry. Rows that do not open need no
/// index row.
///
/// `guards` says what the answer depends on.
pub(crate) fn is_due(
    open: &Open<'_>,
    account: &AccountTag,
    entry: IndexEntry,
    guards: &mut Guards,
) -> Result<bool> {
    guards.row_as_it_is(open, &row_key::header(account))?;
    let header = match open.header(account) {
        Ok(Some((_, header))) => header,
        Ok(None) | Err(Error::Tampered(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    for id in &header.sign_ins {
        match open.sign_in(account, &header, id) {
            Ok(Some(body))
                if entries(open.core, &open.core.life(*account, None, id, &body), &body)
                    .contains(&entry) =>
            {
                return Ok(true);
            }
            Ok(_) | Err(Error::Tampered(_)) => {}
            Err(error) => return Err(error),
        }
    }
    if let IndexEntry::Tenant(tenant) = entry {
        for id in &header.sign_ins {
            guards.none_under(row_key::tokens_in(account, id, &tenant));
        }
    }
    has_tokens(open, account, entry, header.sign_ins.iter())
}

/// What [`is_due`] looks at.
pub(crate) fn ask_due(account: &AccountTag, entry: IndexEntry) -> Ask {
    let ask = Ask::default().key(row_key::header(account));
    match entry {
        IndexEntry::Tenant(_) => ask.all(row_key::account(account)),
        _ => ask.all(row_key::sign_ins(account)),
    }
}

/// Whether one of the sign-ins has tokens of the entry's tenant, if it is a tenant's.
fn has_tokens<'a>(
    open: &Open<'_>,
    account: &AccountTag,
    entry: IndexEntry,
    sign_ins: impl Iterator<Item = &'a SignInId>,
) -> Result<bool> {
    let IndexEntry::Tenant(tenant) = entry else { return Ok(false) };
    for id in sign_ins {
        if !open.scan(&row_key::tokens_in(account, id, &tenant), None, 1)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
