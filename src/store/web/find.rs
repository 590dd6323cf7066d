//! Finds a web session, and tells whether it lives.

use crate::backend::Ask;
use crate::engine::Batch;
use crate::model::error::Result;
use crate::model::random_id::SignInId;
use crate::model::tag::{AccountTag, TaggedScope, WebTag};
use crate::model::time::{Millis, millis};
use crate::rows::header::Header;
use crate::rows::row_key;
use crate::rule::Life;
use crate::store::access::Open;
use crate::store::plan::{Guards, Plan};

use super::{Binding, WebRecord};

/// A bound web session as it was read.
pub(crate) struct Bound {
    /// The account's header, as it is stored and opened.
    pub(crate) value: Vec<u8>,
    pub(crate) header: Header,
    pub(crate) record: WebRecord,
}

/// An unbound web session as it was read.
pub(crate) struct Unbound {
    pub(crate) life: Life,
    pub(crate) record: WebRecord,
    /// The size of its rows, in bytes.
    pub(crate) size: u64,
}

/// Whether the index row of a bound web session is there.
pub(crate) fn is_found(
    open: &Open<'_>,
    session: &WebTag,
    account: &AccountTag,
    sign_in: &SignInId,
) -> Result<bool> {
    Ok(open.get(&row_key::web_index(session, account, sign_in))?.is_some())
}

/// The web session, if its sign-in is live and it has not expired at `now`; `Some(None)` if not.
/// `None` if it is being written at the same time.
///
/// # Errors
/// `Tampered` if a row does not open. Without the account's lock, the reason may be that the
/// account began a new life between two reads.
pub(crate) fn read_bound(
    open: &Open<'_>,
    session: &WebTag,
    binding: &Binding,
    now: Millis,
) -> Result<Option<Option<Bound>>> {
    let Binding { account, sign_in } = binding;
    let Some((value, header)) = live_header(open, binding, now)? else { return Ok(Some(None)) };
    let key = row_key::web(account, sign_in, session, 0);
    let Some(first) = open.get(&key)? else { return Ok(Some(None)) };
    let Some(parts) = open.parts(key, first)? else { return Ok(None) };
    let Some(record) = open.rows()?.open_web(parts, &header)? else { return Ok(None) };
    Ok(Some((!record.is_expired(now)).then_some(Bound { value, header, record })))
}

/// The account's header, if it lists this sign-in and the sign-in is live.
pub(crate) fn live_header(
    open: &Open<'_>,
    binding: &Binding,
    now: Millis,
) -> Result<Option<(Vec<u8>, Header)>> {
    let Binding { account, sign_in } = binding;
    let Some((value, header)) = open.header(account)? else { return Ok(None) };
    if !header.sign_ins.contains(sign_in) {
        return Ok(None);
    }
    let Some(body) = open.sign_in(account, &header, sign_in)? else { return Ok(None) };
    let life = open.core.life(*account, header.other, sign_in, &body);
    let is_live = open.is_live(&life, now)?;
    Ok(is_live.then_some((value, header)))
}

/// As [`read_bound`], for an unbound web session.
pub(crate) fn read_unbound(
    open: &Open<'_>,
    session: &WebTag,
    now: Millis,
) -> Result<Option<Option<Unbound>>> {
    let key = row_key::unbound(session, 0);
    let Some(first) = open.get(&key)? else { return Ok(Some(None)) };
    let Some(parts) = open.parts(key, first)? else { return Ok(None) };
    let size = parts.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
    let opened = open.rows()?.open_unbound(parts, *session)?;
    let Some((mut life, record)) = opened else { return Ok(None) };
    // However often it is saved, it lasts no longer than a sign-in does.
    life.ends = life.time.saturating_add(millis(open.core.options.max_sign_in_age));
    let lives = open.is_live(&life, now)? && !record.is_expired(now);
    Ok(Some(lives.then_some(Unbound { life, record, size })))
}

/// Plans the deletion of every part of a bound web session and its index row.
pub(super) fn delete_bound(
    open: &Open<'_>,
    session: &WebTag,
    binding: &Binding,
) -> Result<Plan<()>> {
    let (Binding { account, sign_in }, mut batch) = (binding, Batch::default());
    // What is saved meanwhile may have more parts.
    let mut guards = Guards::on(open);
    let index = row_key::web_index(session, account, sign_in);
    guards.row(&index, open.get(&index)?.as_deref());
    let parts = open.scan(&row_key::web_parts(account, sign_in, session), None, 256)?;
    if let Some((key, value)) = parts.first() {
        guards.row(key, Some(value));
    }
    parts.into_iter().for_each(|(key, _)| batch.delete(key));
    batch.delete(index);
    Ok(Plan::nothing(()).commit(batch).only_if(guards))
}

/// What is looked at of a web session that an index row binds.
pub(super) fn ask_bound(session: &WebTag, binding: &Binding) -> Ask {
    let Binding { account, sign_in } = binding;
    Ask::default()
        .key(row_key::header(account))
        .key(row_key::sign_in(account, sign_in))
        .key(row_key::web_index(session, account, sign_in))
        .all(row_key::web_parts(account, sign_in, session))
}

/// What is looked at of an unbound web session.
pub(super) fn ask_unbound(session: &WebTag) -> Ask {
    Ask::default().all(row_key::unbound_parts(session)).fences([TaggedScope::Everybody])
}

/// Plans the deletion of every part of an unbound web session.
pub(super) fn delete_unbound(open: &Open<'_>, session: &WebTag) -> Result<Plan<()>> {
    let (mut batch, mut guards) = (Batch::default(), Guards::on(open));
    let parts = open.scan(&row_key::unbound_parts(session), None, 256)?;
    if let Some((key, value)) = parts.first() {
        guards.row(key, Some(value));
    }
    parts.into_iter().for_each(|(key, _)| batch.delete(key));
    let plan = Plan::nothing(());
    Ok(if batch.changes.is_empty() { plan } else { plan.commit(batch).only_if(guards) })
}
