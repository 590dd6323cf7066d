//! Deleting the rows of one account that the rule already made unreachable, for the reclaimer and
//! for the sweep.

use crate::backend::Ask;
use crate::clock::lasting::Stored;
use crate::engine::{Batch, Row};
use crate::maintenance::throttle::Throttle;
use crate::model::error::{Error, Result};
use crate::model::id::AccountId;
use crate::model::position::Position;
use crate::model::random_id::SignInId;
use crate::model::report::SweepReport;
use crate::model::tag::AccountTag;
use crate::model::time::{Millis, millis, to_millis};
use crate::model::token::Token;
use crate::rows::header::Header;
use crate::rows::row_key::{self, AccountRow};
use crate::rule::Life;
use crate::store::access::Open;
use crate::store::census::{SLICE, look};
use crate::store::core::Core;
use crate::store::index;
use crate::store::plan::{Guards, Held, Plan};
use crate::store::web;
use std::collections::HashMap;
use std::time::Instant;

/// Deletes the account's dead rows: those of sign-ins that are dead on the disk too, too old, or
/// not in the header; tokens of tenants that are; and what does not open, since no caller can read
/// it. In a sweep expired tokens are deleted too, and missing index rows are put back,
/// except those of web sessions.
///
/// This goes in sections: each enters, takes the account's lock, and finds out anew which sign-ins
/// live. Between two of them the account may have got another sign-in, whose rows are not dead.
pub(crate) fn tidy_account(
    core: &Core,
    account: &AccountTag,
    is_sweep: bool,
    throttle: &mut Throttle<'_>,
) -> Result<SweepReport> {
    tidy_behind(core, account, is_sweep, None, throttle)
}

/// As [`tidy_account`] without a sweep, for a few accounts. Where one change of the rows costs more
/// than what is in it, all of them go in one. Gives how many rows of each were deleted.
pub(crate) fn tidy_accounts(
    core: &Core,
    accounts: &[AccountTag],
    throttle: &mut Throttle<'_>,
) -> Result<Vec<u64>> {
    let one_by_one = |throttle: &mut Throttle<'_>| {
        let alone = |account| Ok(tidy_account(core, account, false, throttle)?.dead_rows);
        accounts.iter().map(alone).collect()
    };
    if accounts.len() < 2 || !core.takes_turns() {
        return one_by_one(throttle);
    }
    let sections = match tidy_together(core, accounts, throttle) {
        // Trouble with one account's rows does not keep those of others.
        Err(Error::Tampered(_) | Error::InvalidInput { .. }) => return one_by_one(throttle),
        sections => sections?,
    };
    let each = accounts.iter().zip(sections).map(|(account, section)| {
        let rest = match section.last {
            None => 0,
            after => tidy_behind(core, account, false, after, throttle)?.dead_rows,
        };
        Ok(section.report.dead_rows + rest)
    });
    each.collect()
}

/// The first section of each.
fn tidy_together(
    core: &Core,
    accounts: &[AccountTag],
    throttle: &mut Throttle<'_>,
) -> Result<Vec<Section>> {
    let end = core.end()?;
    core.counting.wait_until_none();
    let start = Instant::now();
    let held = Held { accounts, session: None };
    let sections = core.change(held, Ask::default, |open| {
        let (mut sections, mut all) = (Vec::new(), Plan::nothing(()));
        for account in accounts {
            let (section, plan) = plan_section(open, account, end, false, None)?.apart();
            sections.push(section);
            all = all.and(plan);
        }
        Ok(Plan::nothing(sections).and(all))
    })?;
    throttle.worked(sections.iter().map(|section| section.rows).sum(), start);
    Ok(sections)
}

/// What a section has done.
struct Section {
    rows: usize,
    /// The last row, if there may be more.
    last: Option<Vec<u8>>,
    report: SweepReport,
}

fn tidy_behind(
    core: &Core,
    account: &AccountTag,
    is_sweep: bool,
    mut after: Option<Vec<u8>>,
    throttle: &mut Throttle<'_>,
) -> Result<SweepReport> {
    let mut tidied = SweepReport::default();
    loop {
        // A sign-out that stands by now, and is to be counted, began to be before it stood.
        let end = core.end()?;
        core.counting.wait_until_none();
        let start = Instant::now();
        let held = Held { accounts: &[*account], session: None };
        let ask = || Ask::default().all(row_key::account(account));
        let section = change(core, is_sweep, held, ask, |open| {
            plan_section(open, account, end, is_sweep, after.clone())
        })?;
        tidied.count(section.report);
        throttle.worked(section.rows, start);
        match section.last {
            Some(last) => after = Some(last),
            None => return Ok(tidied),
        }
    }
}

fn plan_section(
    open: &Open<'_>,
    account: &AccountTag,
    end: Position,
    is_sweep: bool,
    after: Option<Vec<u8>>,
) -> Result<Plan<Section>> {
    let mut tidy = Tidy::new(open);
    tidy.guards.row_as_it_is(open, &row_key::header(account))?;
    let now = if is_sweep { Some(open.time_for_deletion()?) } else { None };
    let left = tidy_header(open, account, end, is_sweep && after.is_none(), &mut tidy)?;
    if let (Some(left), None) = (&left, &after) {
        tidy.report.live_bytes += left.bytes;
    }
    let (rows, last) = tidy_rows(open, account, left.as_ref(), now, after, &mut tidy)?;
    let Tidy { report, plan, guards } = tidy;
    Ok(Plan::nothing(Section { rows, last, report }).and(plan).only_if(guards))
}

/// A sweep finds little, and reads much.
fn change<T>(
    core: &Core,
    is_sweep: bool,
    held: Held<'_>,
    ask: impl FnOnce() -> Ask,
    plan: impl FnMut(&Open<'_>) -> Result<Plan<T>>,
) -> Result<T> {
    if is_sweep { core.change_if_needed(held, ask, plan) } else { core.change(held, ask, plan) }
}

/// What was found in a section, and is to be done about it.
struct Tidy {
    report: SweepReport,
    plan: Plan<()>,
    guards: Guards,
}

impl Tidy {
    fn new(open: &Open<'_>) -> Self {
        let (report, plan) = (SweepReport::default(), Plan::nothing(()));
        Self { report, plan, guards: Guards::on(open) }
    }

    /// Changes one row.
    fn commit_one(
        &mut self,
        guard: Option<(Vec<u8>, Option<Vec<u8>>)>,
        change: (Vec<u8>, Option<Vec<u8>>),
    ) {
        self.plan.step(Batch { guard, changes: vec![change] });
    }
}

/// An account's header, and which of the sign-ins that it lists live.
struct Left {
    header: Header,
    lives: HashMap<SignInId, Life>,
    /// The header's size, if one of them lives.
    bytes: u64,
}

/// Takes the sign-ins out of the header that sign-outs up to `end` have ended, and then deletes
/// their index rows. Gives those that are left.
///
/// This goes row by row, as a batch holds up every reader of the process while it is applied, and
/// nothing here needs one: the ledger has made all of it unreachable at once. What makes it
/// unreachable by any reading comes first; index rows that a crash leaves lead nowhere, and the
/// sweep deletes them.
fn tidy_header(
    open: &Open<'_>,
    account: &AccountTag,
    end: Position,
    sweeping: bool,
    tidy: &mut Tidy,
) -> Result<Option<Left>> {
    let Some((id, value, header)) = open_header(open, account, tidy)? else { return Ok(None) };
    let look = look(open, account, &header, end)?;
    tidy.report.tampered += look.tampered;
    let bytes = if look.live.is_empty() { 0 } else { value.len() as u64 };
    if look.has_ended {
        let key = row_key::header(account);
        let left = if look.live.is_empty() {
            tidy.report.dead_rows += 1;
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
        tidy.commit_one(Some((key.clone(), Some(value))), (key, left));
    }
    // Only now the index rows of those that have ended.
    for entry in index::stale(open, account, look.ended, &look.live, &mut tidy.guards)? {
        tidy.report.dead_rows += 1;
        tidy.commit_one(None, (entry.row(account), None));
    }
    if sweeping {
        for entry in look.live.iter().flat_map(|(_, entries)| entries) {
            let row = entry.row(account);
            if open.get(&row)?.is_none() {
                tidy.commit_one(None, (row, Some(Vec::new())));
            }
        }
    }
    Ok(Some(Left { header, lives: look.lives, bytes }))
}

/// The account's id, and the header's value and content; `None` if there is none. One that does not
/// open is deleted.
fn open_header(
    open: &Open<'_>,
    account: &AccountTag,
    tidy: &mut Tidy,
) -> Result<Option<(AccountId, Vec<u8>, Header)>> {
    let key = row_key::header(account);
    let opened = open.header(account).and_then(|opened| {
        let opened = opened.map(|(value, header)| {
            Ok((open.rows()?.open_account(&key, &value, &header)?, value, header))
        });
        opened.transpose()
    });
    match opened {
        Err(Error::Tampered(_)) => {
            tidy.report.tampered += 1;
            tidy.report.dead_rows += 1;
            tidy.commit_one(None, (key, None));
            Ok(None)
        }
        opened => opened,
    }
}

/// Goes through one slice of the rows behind the header, or behind `after`. Gives how many there
/// were, and the last one, if there may be more.
fn tidy_rows(
    open: &Open<'_>,
    account: &AccountTag,
    left: Option<&Left>,
    now: Option<Millis>,
    after: Option<Vec<u8>>,
    tidy: &mut Tidy,
) -> Result<(usize, Option<Vec<u8>>)> {
    let end = open.end()?;
    let after = after.unwrap_or_else(|| row_key::header(account));
    let prefix = row_key::account(account);
    // Only a sweep looks into the rows.
    let slice = match now {
        Some(_) => open.scan(&prefix, Some(&after), SLICE)?,
        None => open.scan_keys(&prefix, Some(&after), SLICE)?,
    };
    let rows = slice.len();
    let last = slice.last().filter(|_| rows == SLICE).map(|(key, _)| key.clone());
    let mut dead = Vec::new();
    for (key, value) in slice {
        let row = row_key::parse(&key);
        let size = (key.len() + value.len()) as u64;
        if is_dead(open, account, (left, end), row.as_ref(), now.is_some())? {
            tidy.report.dead_rows += 1;
            // The index row goes before the web session that it finds: should a crash come in
            // between, the sweep deletes what has lost it.
            if let Some(AccountRow::Web { sign_in, session, .. }) = row {
                dead.push(row_key::web_index(&session, account, &sign_in));
            }
            dead.push(key);
            continue;
        }
        tidy.report.live_bytes += size;
        if let (Some(now), Some(left), Some(row @ AccountRow::Token { part: 0, .. })) =
            (now, left, row)
            && tidy_token(open, account, left, row, (key, value), now, tidy)?
        {
            tidy.report.live_bytes -= size;
        }
    }
    tidy.plan.discard(dead);
    Ok((rows, last))
}

/// Whether a row is unreachable: by the sign-ins that are left, and by the fences up to `end`.
fn is_dead(
    open: &Open<'_>,
    account: &AccountTag,
    (left, end): (Option<&Left>, Position),
    row: Option<&AccountRow>,
    sweeping: bool,
) -> Result<bool> {
    let life_of = |sign_in: &SignInId| left.and_then(|left| left.lives.get(sign_in));
    Ok(match row {
        Some(AccountRow::SignIn(id)) => life_of(id).is_none(),
        Some(AccountRow::Token { sign_in, tenant, .. }) => match life_of(sign_in) {
            Some(life) => open.is_tenant_dead_by(life, *tenant, end)?,
            None => true,
        },
        Some(AccountRow::Web { sign_in, session, .. }) => {
            // No reader finds one without its index row, and no caller can delete it. Both rows are
            // put in one batch, and the index row goes first: so a missing one is not put back.
            life_of(sign_in).is_none()
                || sweeping && !web::is_found(open, session, account, sign_in)?
        }
        Some(AccountRow::Header) | None => false,
    })
}

/// Deletes a token of a live sign-in, all its parts, if it has expired or does not open; and says
/// whether it has. The row is its first part.
fn tidy_token(
    open: &Open<'_>,
    account: &AccountTag,
    left: &Left,
    row: AccountRow,
    (key, value): Row,
    now: Millis,
    tidy: &mut Tidy,
) -> Result<bool> {
    let AccountRow::Token { sign_in, tenant, slot, .. } = row else { return Ok(false) };
    let parts = crate::rows::parts::parts_of(&value);
    tidy.guards.row(&key, Some(&value));
    let end = match open.stored(&left.header, key, value) {
        Ok(Some(stored)) => end_of(&stored),
        // The caller holds the lock: no other thread is writing it.
        Ok(None) | Err(Error::Tampered(_)) => {
            tidy.report.tampered += 1;
            Some(Millis::EPOCH)
        }
        Err(error) => return Err(error),
    };
    if end.is_none_or(|end| end >= now) {
        return Ok(false);
    }
    tidy.report.expired_tokens += u64::from(end != Some(Millis::EPOCH));
    // Its parts at once: the sign-in lives, and half a token that a crash left would read as
    // tampering.
    let mut batch = Batch::default();
    (0..parts)
        .for_each(|part| batch.delete(row_key::token(account, &sign_in, &tenant, &slot, part)));
    tidy.plan.step(batch);
    Ok(true)
}

/// When a token can never be given again, if ever.
fn end_of(Stored { token, put }: &Stored) -> Option<Millis> {
    match token {
        Token::Access(token) => {
            let lasts =
                token.lifetime.zip(*put).map(|(life, put)| put.shown.saturating_add(millis(life)));
            let end = [token.expires_at.map(to_millis), lasts].into_iter().flatten().min();
            end.map(|end| end.max(token.extended_expires_at.map_or(Millis::EPOCH, to_millis)))
        }
        Token::Refresh(token) => token.expires_at.map(to_millis),
        Token::Id(_) => None,
    }
}
