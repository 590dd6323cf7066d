//! Finds a web session, and tells whether it lives.

use crate::engine::Batch;
use crate::model::error::Result;
use crate::model::random_id::SignInId;
use crate::model::tag::{AccountTag, WebTag};
use crate::model::time::Millis;
use crate::rows::header::Header;
use crate::rows::row_key;
use crate::rule::Life;
use crate::store::access::Open;

use super::{Binding, WebRecord};

/// A bound web session as it was read.
#[cfg_attr(not(feature = "tower-sessions"), allow(dead_code, reason = "the verbs read it"))]
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
    let is_live = open.core.is_live(&open.core.life(*account, header.other, &body), now);
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
    let Some((life, record)) = open.rows()?.open_unbound(parts, *session)? else { return Ok(None) };
    let lives = open.core.is_live(&life, now) && !record.is_expired(now);
    Ok(Some(lives.then_some(Unbound { life, record, size })))
}

/// Deletes every part of a bound web session and its index row.
pub(super) fn delete_bound(
    open: &Open<'_>,
    session: &WebTag,
    binding: &Binding,
    batch: &mut Batch,
) -> Result<()> {
    let Binding { account, sign_in } = binding;
    for (key, _) in open.scan(&row_key::web_parts(account, sign_in, session), None, 256)? {
        batch.delete(key);
    }
    batch.delete(row_key::web_index(session, account, sign_in));
    Ok(())
}

/// Deletes every part of an unbound web session.
pub(super) fn delete_unbound(open: &Open<'_>, session: &WebTag, batch: &mut Batch) -> Result<()> {
    open.scan(&row_key::unbound_parts(session), None, 256)?
        .into_iter()
        .for_each(|(key, _)| batch.delete(key));
    Ok(())
}
