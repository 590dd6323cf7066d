//! Finds the handles of live sign-ins, from what is stored.

use crate::backend::Ask;
use crate::model::error::Result;
use crate::model::id::AccountId;
use crate::model::random_id::SignInId;
use crate::model::tag::AccountTag;
use crate::platform::sync::Arc;
use crate::rows::header::Header;
use crate::rows::row_key;
use crate::store::access::Open;
use crate::store::handle::{Inner, LiveSignIn};
use crate::store::lifetime::Owner;

/// What is looked at to find them.
pub(crate) fn ask(account: &AccountTag) -> Ask {
    Ask::default().key(row_key::header(account)).all(row_key::sign_ins(account))
}

/// Handles of the account's live sign-ins, newest first. The account's tag is enough: its id is
/// read from the header.
pub(crate) fn live_sign_ins(
    owner: &Arc<Owner>,
    open: &Open<'_>,
    account: &AccountTag,
) -> Result<Vec<LiveSignIn>> {
    let Some((value, header)) = open.header(account)? else { return Ok(Vec::new()) };
    let id = open.rows()?.open_account(&row_key::header(account), &value, &header)?;
    let mut live = Vec::new();
    for sign_in in header.sign_ins.iter().rev() {
        live.extend(listed(owner, open, (account, header.other), (&id, &header), *sign_in)?);
    }
    Ok(live)
}

/// The handle of one live sign-in, by the account's tag.
pub(crate) fn live_sign_in_by_tag(
    owner: &Arc<Owner>,
    open: &Open<'_>,
    account: &AccountTag,
    sign_in: SignInId,
) -> Result<Option<LiveSignIn>> {
    let Some((value, header)) = open.header(account)? else { return Ok(None) };
    if !header.sign_ins.contains(&sign_in) {
        return Ok(None);
    }
    let id = open.rows()?.open_account(&row_key::header(account), &value, &header)?;
    listed(owner, open, (account, header.other), (&id, &header), sign_in)
}

/// The handle of a sign-in that the header lists, if it is live. One whose row is lost counts as
/// ended.
fn listed(
    owner: &Arc<Owner>,
    open: &Open<'_>,
    (tag, other): (&AccountTag, Option<AccountTag>),
    (account, header): (&AccountId, &Header),
    id: SignInId,
) -> Result<Option<LiveSignIn>> {
    let core = owner.core();
    let Some(body) = open.sign_in(tag, header, &id)? else { return Ok(None) };
    let life = core.life(*tag, other, &id, &body);
    if !open.is_live(&life, core.clock.now())? {
        return Ok(None);
    }
    let (owner, account, generation) = (owner.clone(), account.clone(), header.generation);
    let inner = Inner { owner, id, generation, life, account, body, continued_since: None };
    Ok(Some(LiveSignIn(Arc::new(inner))))
}

/// The handle of one live sign-in, and the account's header that it was found in. No row of the
/// account's other sign-ins is read.
pub(crate) fn live_sign_in(
    owner: &Arc<Owner>,
    open: &Open<'_>,
    account: &AccountId,
    id: SignInId,
) -> Result<Option<(LiveSignIn, Header)>> {
    let core = owner.core();
    let tag = core.tagger.account(account);
    let other = core.other_tag(account, &tag);
    let of_today = live_sign_in_under(owner, open, account, (tag, other), id)?;
    match other {
        Some(other) if of_today.is_none() => {
            live_sign_in_under(owner, open, account, (other, Some(tag)), id)
        }
        _ => Ok(of_today),
    }
}

fn live_sign_in_under(
    owner: &Arc<Owner>,
    open: &Open<'_>,
    account: &AccountId,
    (tag, other): (AccountTag, Option<AccountTag>),
    id: SignInId,
) -> Result<Option<(LiveSignIn, Header)>> {
    let Some((_, header)) = open.header_alone(&tag)? else { return Ok(None) };
    if !header.sign_ins.contains(&id) {
        return Ok(None);
    }
    // The header is authentic for the account's tag, so the account's id in it need not be read.
    let live = listed(owner, open, (&tag, other), (account, &header), id)?;
    Ok(live.map(|live| (live, header)))
}
