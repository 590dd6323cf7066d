//! Index rows: they find accounts by tenant, session, subject and alias. They list and find, they
//! never decide: which of them are due follows from the sealed sign-ins and tokens alone.

use crate::model::error::{Error, Result};
use crate::model::tag::Tag;
use crate::rows::cipher::SignInBody;
use crate::rows::row_key::{self, Index, SignInId};
use crate::rule::Life;
use crate::store::gate::{Core, Open};

/// An index and the tag that an account stands under in it.
pub(crate) type Entry = (Index, Tag);

/// The entries that find a sign-in.
pub(crate) fn entries(core: &Core, life: &Life, body: &SignInBody) -> Vec<Entry> {
    let session = life.session.map(|tag| (Index::Session, tag));
    let subject = life.subject.map(|tag| (Index::Subject, tag));
    let aliases = body.aliases.iter().map(|alias| (Index::Alias, core.tagger.alias(alias)));
    [(Index::Tenant, life.tenant)]
        .into_iter()
        .chain(session)
        .chain(subject)
        .chain(aliases)
        .collect()
}

/// Those entries of ended sign-ins that no live one needs: neither as its own, nor for its tokens
/// of another tenant.
pub(crate) fn stale(
    open: &Open<'_>,
    account: &Tag,
    ended: Vec<Entry>,
    live: &[(SignInId, Vec<Entry>)],
) -> Result<Vec<Entry>> {
    let mut stale = Vec::new();
    for entry in ended {
        let is_own = live.iter().any(|(_, entries)| entries.contains(&entry));
        if !is_own && !has_tokens(open, account, entry, live.iter().map(|(id, _)| id))? {
            stale.push(entry);
        }
    }
    Ok(stale)
}

/// Whether a listed sign-in of the account is found by this entry. What does not open finds nobody.
pub(crate) fn is_due(open: &Open<'_>, account: &Tag, entry: Entry) -> Result<bool> {
    let header = match open.header(account) {
        Ok(Some((_, header))) => header,
        Ok(None) | Err(Error::Tampered(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    for id in &header.sign_ins {
        match open.sign_in(account, &header, id) {
            Ok(Some(body))
                if entries(open.core, &open.core.life(*account, None, &body), &body)
                    .contains(&entry) =>
            {
                return Ok(true);
            }
            Ok(_) | Err(Error::Tampered(_)) => {}
            Err(error) => return Err(error),
        }
    }
    has_tokens(open, account, entry, header.sign_ins.iter())
}

/// Whether one of the sign-ins has tokens of the entry's tenant, if it is a tenant's.
fn has_tokens<'a>(
    open: &Open<'_>,
    account: &Tag,
    (index, tag): Entry,
    sign_ins: impl Iterator<Item = &'a SignInId>,
) -> Result<bool> {
    if index != Index::Tenant {
        return Ok(false);
    }
    for id in sign_ins {
        if !open.scan(&row_key::tokens_in(account, id, &tag), None, 1)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
