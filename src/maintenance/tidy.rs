//! Deleting the rows of one account that the rule already made unreachable, for the reclaimer and
//! for the sweep.

use crate::clock::lasting::Stored;
use crate::engine::Batch;
use crate::maintenance::throttle::Throttle;
use crate::model::error::{Error, Result};
use crate::model::position::Position;
use crate::model::report::Swept;
use crate::model::tag::Tag;
use crate::model::time::{Millis, millis, to_millis};
use crate::model::token::Token;
use crate::rows::cipher::Header;
use crate::rows::row_key::{self, AccountRow, SignInId};
use crate::rule::Life;
use crate::store::census::{SLICE, look};
use crate::store::gate::{Core, Open};
use crate::store::index::{self};
use crate::store::web;
use std::collections::HashMap;
use std::time::Instant;

/// Deletes the account's dead rows: those of sign-ins that are dead on the disk too, too old, or
/// not in the header; tokens of tenants that are; and what does not open, since nobody can read it.
/// In a sweep (with `now`), expired tokens too, and index rows that are missing are put back, but
/// those of web sessions.
///
/// In sections: each enters, takes the account's lock, and finds out anew who lives. Between two of
/// them the account may have got another sign-in, whose rows are not dead.
pub(crate) fn tidy_account(
    core: &Core,
    account: &Tag,
    now: Option<Millis>,
    throttle: &mut Throttle<'_>,
) -> Result<Swept> {
    let mut tidied = Swept::default();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let end = core.counting.none_before(|| core.ledger.synced());
        let start = Instant::now();
        let (rows, last) = {
            let open = core.enter()?;
            let _lock = core.lock_account(account);
            let left =
                tidy_header(&open, account, end, now.is_some() && after.is_none(), &mut tidied)?;
            if let (Some(left), None) = (&left, &after) {
                tidied.live_bytes += left.bytes;
            }
            tidy_rows(&open, account, left.as_ref(), now, after, &mut tidied)?
        };
        throttle.worked(rows, start);
        match last {
            Some(last) => after = Some(last),
            None => return Ok(tidied),
        }
    }
}

/// An account's header, and who lives of the sign-ins that it lists.
struct Left {
    header: Header,
    lives: HashMap<SignInId, Life>,
    /// The header's size, if somebody lives.
    bytes: u64,
}

/// Takes those out of the header who have ended by sign-outs up to `end`, and then their index rows
/// away. Gives who is left.
///
/// Row by row, as a batch holds up every reader of the process while it is applied, and nothing
/// here needs one: the ledger has made all of it unreachable at once. What makes it unreachable by
/// any reading comes first; index rows that a crash leaves lead nowhere, and the sweep deletes
/// them.
fn tidy_header(
    open: &Open<'_>,
    account: &Tag,
    end: Position,
    sweeping: bool,
    tidied: &mut Swept,
) -> Result<Option<Left>> {
    let key = row_key::header(account);
    let opened = open.header(account).and_then(|opened| {
        let opened = opened.map(|(value, header)| {
            Ok((open.rows()?.open_account(&key, &value, &header)?, value, header))
        });
        opened.transpose()
    });
    let (id, value, header) = match opened {
        Ok(Some(opened)) => opened,
        Ok(None) => return Ok(None),
        Err(Error::Tampered(_)) => {
            tidied.tampered += 1;
            tidied.dead_rows += 1;
            commit_one(open, account, None, (key, None))?;
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let look = look(open, account, &header, end)?;
    tidied.tampered += look.tampered;
    let bytes = if look.live.is_empty() { 0 } else { value.len() as u64 };
    if look.has_ended {
        let left = if look.live.is_empty() {
            tidied.dead_rows += 1;
            None
        } else {
            let sign_ins = look.live.iter().map(|(id, _)| *id).collect();
            let header = Header {
                generation: header.generation,
                account_key: header.account_key.clone(),
                sign_ins,
                other: header.other,
            };
            Some(open.rows()?.seal_header(&key, &header, &id)?)
        };
        commit_one(open, account, Some((key.clone(), Some(value))), (key, left))?;
    }
    for (index, tag) in index::stale(open, account, look.ended, &look.live)? {
        tidied.dead_rows += 1;
        commit_one(open, account, None, (index.row(&tag, account), None))?;
    }
    if sweeping {
        for (index, tag) in look.live.iter().flat_map(|(_, entries)| entries) {
            let row = index.row(tag, account);
            if open.get(&row)?.is_none() {
                commit_one(open, account, None, (row, Some(Vec::new())))?;
            }
        }
    }
    Ok(Some(Left { header, lives: look.lives, bytes }))
}

fn commit_one(
    open: &Open<'_>,
    account: &Tag,
    guard: Option<(Vec<u8>, Option<Vec<u8>>)>,
    change: (Vec<u8>, Option<Vec<u8>>),
) -> Result<()> {
    open.commit(account, Batch { guard, changes: vec![change] })
}

/// Goes through one slice of the rows behind the header, or behind `after`. Gives how many there
/// were, and the last one, if there may be more.
fn tidy_rows(
    open: &Open<'_>,
    account: &Tag,
    left: Option<&Left>,
    now: Option<Millis>,
    after: Option<Vec<u8>>,
    tidied: &mut Swept,
) -> Result<(usize, Option<Vec<u8>>)> {
    let end = open.core.ledger.synced();
    let life_of = |sign_in: &SignInId| left.and_then(|left| left.lives.get(sign_in));
    let after = after.unwrap_or_else(|| row_key::header(account));
    let slice = open.scan(&row_key::account(account), Some(&after), SLICE)?;
    let rows = slice.len();
    let last = slice.last().filter(|_| rows == SLICE).map(|(key, _)| key.clone());
    let mut dead = Vec::new();
    for (key, value) in slice {
        let is_dead = match row_key::parse(&key) {
            Some(AccountRow::SignIn(id)) => life_of(&id).is_none(),
            Some(AccountRow::Token { sign_in, tenant, .. }) => {
                let is_tenant_dead =
                    |life| open.core.ledger.fences().is_tenant_dead_by(life, tenant, end);
                life_of(&sign_in).is_none_or(is_tenant_dead)
            }
            Some(AccountRow::Web { sign_in, session, .. }) => {
                // Nobody finds one without its index row, to delete it either. Both are in every
                // batch: so that is not put back.
                life_of(&sign_in).is_none()
                    || now.is_some() && !web::is_found(open, &session, account, &sign_in)?
            }
            Some(AccountRow::Header) | None => false,
        };
        let size = (key.len() + value.len()) as u64;
        tidied.live_bytes += if is_dead { 0 } else { size };
        if is_dead {
            tidied.dead_rows += 1;
            // What finds it goes before it: should a crash come in between, the sweep deletes what
            // has lost it.
            if let Some(AccountRow::Web { sign_in, session, .. }) = row_key::parse(&key) {
                dead.push(row_key::web_index(&session, account, &sign_in));
            }
            dead.push(key);
        } else if let (
            Some(now),
            Some(Left { header, .. }),
            Some(AccountRow::Token { sign_in, tenant, slot, part: 0 }),
        ) = (now, left, row_key::parse(&key))
        {
            let parts = crate::rows::cipher::parts_of(&value);
            let end = match open.stored(header, key, value) {
                Ok(Some(stored)) => end_of(&stored),
                // We hold the lock: nobody is writing it.
                Ok(None) | Err(Error::Tampered(_)) => {
                    tidied.tampered += 1;
                    Some(0)
                }
                Err(error) => return Err(error),
            };
            if end.is_some_and(|end| end < now) {
                tidied.live_bytes -= size;
                tidied.expired_tokens += u64::from(end != Some(0));
                // Its parts at once: the sign-in lives, and half a token that a crash left would
                // read as tampering.
                let mut batch = Batch::default();
                (0..parts).for_each(|part| {
                    batch.delete(row_key::token(account, &sign_in, &tenant, &slot, part))
                });
                open.commit(account, batch)?;
            }
        }
    }
    if !dead.is_empty() {
        open.discard(account, dead)?;
    }
    Ok((rows, last))
}

/// When a token can never be given again, if ever.
fn end_of(Stored { token, put }: &Stored) -> Option<Millis> {
    match token {
        Token::Access(token) => {
            let lasts =
                token.lifetime.zip(*put).map(|(life, put)| put.shown.saturating_add(millis(life)));
            let end = [token.expires_at.map(to_millis), lasts].into_iter().flatten().min();
            end.map(|end| end.max(token.extended_expires_at.map_or(0, to_millis)))
        }
        Token::Refresh(token) => token.expires_at.map(to_millis),
        Token::Id(_) => None,
    }
}
