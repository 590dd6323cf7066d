//! Deleting what the rule already made unreachable: a thread right behind the sign-outs, and the sweep for what it missed and
//! for what expired. Nothing here decides anything; it only gives space back.

use std::collections::HashMap;
use std::time::Instant;

use crate::backlog::{Backlog, Cursor, Pace};
use crate::clock::{Millis, millis, to_millis};
use crate::crypto::Tag;
use crate::engine::{Batch, Durability};
use crate::error::{Error, Result};
use crate::gate::{Core, Open};
use crate::index::{self, Entry};
use crate::lasting::Stored;
use crate::layout::{self, AccountRow, Index, SignInId};
use crate::observe;
use crate::row::Header;
use crate::rule::{Life, Position, Scope};
use crate::sync::Arc;
use crate::token::Token;
use crate::web;

/// How many rows are read and gone through at a time, under the gate and the account's lock.
const SLICE: usize = if cfg!(oubliette_shuttle) { 2 } else { 64 };

/// What was deleted since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reclaimed {
    /// Accounts that were looked at because of a sign-out.
    pub accounts: u64,
    /// Rows that were deleted.
    pub rows: u64,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
    /// Accounts that were looked at.
    pub accounts: u64,
    /// Rows of dead or outlived sign-ins that were deleted.
    pub dead_rows: u64,
    /// Expired tokens that were deleted.
    pub expired_tokens: u64,
    /// Web sessions that were deleted because they had expired or ended.
    pub web_sessions: u64,
    /// Accounts, sign-ins, tokens and web sessions whose rows did not open: nobody can read them, so they were deleted.
    pub tampered: u64,
    /// Whether the sweep came to the end of all accounts; the next one begins anew.
    pub finished: bool,
    /// The size of the rows that are left, keys and values: of the accounts looked at, and if it `finished`, of all since it began.
    pub live_bytes: u64,
    /// Whether the engine's folder was so much larger than they are that it was compacted. (If that could not be done, as for want of space,
    /// [`Stats::engine_bytes`](crate::Stats::engine_bytes) goes on growing.)
    pub compacted: bool,
}

/// The reclaimer's thread. It ends when told to, or with the engine. Should it panic, those who wait are told.
pub(crate) fn run(core: &Arc<Core>) {
    struct Ended<'a>(&'a Backlog);
    impl Drop for Ended<'_> {
        fn drop(&mut self) {
            self.0.ended();
        }
    }
    let _ended = Ended(&core.backlog);
    let mut pace = Pace::steady(&core.backlog);
    while let Some(scope) = core.backlog.next() {
        let result = for_each_account(core, scope, |account| {
            let rows = tidy_account(core, account, None, &mut pace)?.dead_rows;
            observe::reclaimed(rows);
            Ok(core.backlog.account_done(rows))
        });
        let result = result.and_then(|()| {
            if scope != Scope::Everybody {
                return Ok(());
            }
            // Web sessions of nobody's have ended too.
            let mut start = Instant::now();
            let ended = web::tidy_unbound(core, |looked_at| {
                pace.worked(looked_at, start);
                start = Instant::now();
                core.backlog.goes_on()
            })?;
            core.backlog.rows_done(ended);
            Ok(())
        });
        match result {
            Ok(()) => {}
            // Trouble with one account's rows is for the sweep to find again.
            Err(Error::Tampered(_) | Error::InvalidInput { .. }) => {}
            // The engine is poisoned, or the store closed. The rows stay unreachable.
            Err(_) => return,
        }
    }
}

/// Looks at up to `budget` accounts, from where the last sweep ended: deletes dead and expired rows, then index rows that lead
/// nowhere, then compacts the ledger.
pub(crate) fn sweep(core: &Core, budget: usize) -> Result<Swept> {
    let mut swept = Swept::default();
    let mut cursor = Cursor::default();
    core.backlog.sweep(|sweep| cursor = std::mem::take(&mut sweep.cursor));
    let mut put_off = Vec::new();
    let mut result = Ok(());
    for _ in 0..budget {
        match sweep_step(core, cursor.clone(), &mut swept, &mut put_off) {
            Ok(Some(next)) => cursor = next,
            Ok(None) => {
                swept.finished = true;
                break;
            }
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    // All of them, whatever has failed: the next slice begins behind them.
    for account in &put_off {
        let put_off = sweep_account(core, account, &mut swept);
        result = result.and(put_off);
    }
    if swept.finished && result.is_ok() {
        core.backlog.sweep(|sweep| swept.live_bytes += std::mem::take(&mut sweep.live_bytes));
        return Ok(swept);
    }
    core.backlog.sweep(|sweep| {
        sweep.cursor = cursor;
        sweep.live_bytes += swept.live_bytes;
    });
    result.map(|()| swept)
}

/// One account, one slice of an index, or the ledger; and where to go on, if that was not the end.
fn sweep_step(core: &Core, cursor: Cursor, swept: &mut Swept, put_off: &mut Vec<Tag>) -> Result<Option<Cursor>> {
    match cursor {
        Cursor::Accounts(after) => {
            let Some(account) = next_account(&core.enter()?, after)? else { return Ok(Some(Cursor::Indexes(0, None))) };
            // Among many who write, waiting for one after the other takes longer than all else.
            if core.try_lock_account(&account).is_some() {
                sweep_account(core, &account, swept)?;
            } else {
                put_off.push(account);
            }
            Ok(Some(Cursor::Accounts(layout::behind_account(&account))))
        }
        Cursor::Indexes(number, after) => match Index::ALL.get(number) {
            Some(index) => {
                let last = sweep_index(&core.enter()?, *index, after.as_deref(), swept)?;
                let next = if last.is_some() { number } else { number + 1 };
                Ok(Some(Cursor::Indexes(next, last)))
            }
            None => Ok(Some(Cursor::Web(web::Kind::Bound, None))),
        },
        Cursor::Web(kind, after) => {
            // By itself: a `match` on it would hold the gate to its end, and whoever waits to be alone there would wait for who enters again.
            let last = web::tidy_slice(&core.enter()?, kind, after.as_deref(), swept)?;
            match (last, kind) {
                (Some(last), _) => Ok(Some(Cursor::Web(kind, Some(last)))),
                (None, web::Kind::Bound) => Ok(Some(Cursor::Web(web::Kind::Unbound, None))),
                (None, web::Kind::Unbound) => {
                    let open = core.enter()?;
                    open.leave_known()?;
                    let oldest = core.clock.for_deletion().saturating_sub(millis(core.options.max_sign_in_age));
                    match core.ledger.compact(oldest) {
                        Err(error @ (Error::Poisoned(_) | Error::Closed | Error::Forked)) => return Err(error),
                        // As on a full disk: nothing was changed, and the rest of the upkeep may be what makes room.
                        Err(_) => observe::compacted(false),
                        Ok(_) => {}
                    }
                    Ok(None)
                }
            }
        }
    }
}

fn sweep_account(core: &Core, account: &Tag, swept: &mut Swept) -> Result<()> {
    let tidied = tidy_account(core, account, Some(core.clock.for_deletion()), &mut Pace::hurried())?;
    swept.accounts += 1;
    swept.dead_rows += tidied.dead_rows;
    swept.expired_tokens += tidied.expired_tokens;
    swept.tampered += tidied.tampered;
    swept.live_bytes += tidied.live_bytes;
    Ok(())
}

/// Writes the checkpoint if the ledger has moved on, and makes what was deleted durable.
pub(crate) fn checkpoint(open: &Open<'_>) -> Result<()> {
    open.leave_known()?;
    open.commit_with_checkpoint(&[0; 16], Batch::default())?;
    open.sync(Durability::PowerLoss)
}

/// The next account with rows behind `after`. Keys that this crate did not make are passed over.
pub(crate) fn next_account(open: &Open<'_>, mut after: Vec<u8>) -> Result<Option<Tag>> {
    loop {
        let row = open.scan(&layout::all_accounts(), Some(&after), 1)?;
        let Some((key, _)) = row.into_iter().next() else { return Ok(None) };
        match layout::account_of(&key) {
            Some(account) => return Ok(Some(account)),
            None => after = key,
        }
    }
}

/// Calls `each` for the accounts that a sign-out of `scope` may have ended, until it says stop. The gate is let go of in between, so that the
/// store can close meanwhile.
pub(crate) fn for_each_account(core: &Core, scope: Scope, mut each: impl FnMut(&Tag) -> Result<bool>) -> Result<()> {
    let (index, tag) = match scope {
        Scope::Account(account) => return each(&account).map(|_| ()),
        Scope::Everybody => {
            let mut after = layout::all_accounts();
            loop {
                let Some(account) = next_account(&core.enter()?, after)? else { return Ok(()) };
                if !each(&account)? {
                    return Ok(());
                }
                after = layout::behind_account(&account);
            }
        }
        Scope::Tenant(tag) => (Index::Tenant, tag),
        Scope::Session(tag) => (Index::Session, tag),
        Scope::Subject(tag) => (Index::Subject, tag),
    };
    let prefix = index.accounts_of(&tag);
    let mut after: Option<Vec<u8>> = None;
    loop {
        let slice = core.enter()?.scan(&prefix, after.as_deref(), SLICE)?;
        let Some((last, _)) = slice.last() else { return Ok(()) };
        after = Some(last.clone());
        for account in slice.iter().filter_map(|(key, _)| layout::indexed_account(key)) {
            if !each(&account)? {
                return Ok(());
            }
        }
    }
}

/// Deletes index rows that find nobody. (A row too few or too many decides nothing.)
fn sweep_index(open: &Open<'_>, index: Index, after: Option<&[u8]>, swept: &mut Swept) -> Result<Option<Vec<u8>>> {
    let slice = open.scan(&index.prefix(), after, SLICE)?;
    for (key, _) in &slice {
        let Some((tag, account)) = layout::indexed(key) else { continue };
        // Nearly all of them are. Only who deletes has to be sure, and waits for who is at work on the account.
        if index::is_due(open, &account, (index, tag))? {
            swept.live_bytes += key.len() as u64;
            continue;
        }
        let _lock = open.core.lock_account(&account);
        if !index::is_due(open, &account, (index, tag))? {
            let mut batch = Batch::default();
            batch.delete(key.clone());
            open.commit(&account, batch)?;
            swept.dead_rows += 1;
        } else {
            swept.live_bytes += key.len() as u64;
        }
    }
    Ok(slice.into_iter().last().map(|(key, _)| key))
}

/// The sign-ins of a header.
#[derive(Default)]
pub(crate) struct Look {
    pub(crate) live: Vec<(SignInId, Vec<Entry>)>,
    pub(crate) lives: HashMap<SignInId, Life>,
    /// What found those that have ended.
    ended: Vec<Entry>,
    has_ended: bool,
    pub(crate) tampered: u64,
}

/// Deletes the account's dead rows: those of sign-ins that are dead on the disk too, too old, or not in the header; tokens of
/// tenants that are; and what does not open, since nobody can read it. In a sweep (with `now`), expired tokens too, and
/// index rows that are missing are put back, but those of web sessions.
///
/// In sections: each enters, takes the account's lock, and finds out anew who lives. Between two of them the account may have got
/// another sign-in, whose rows are not dead.
fn tidy_account(core: &Core, account: &Tag, now: Option<Millis>, pace: &mut Pace<'_>) -> Result<Swept> {
    let mut tidied = Swept::default();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let end = core.counting.none_before(|| core.ledger.synced());
        let start = Instant::now();
        let (rows, last) = {
            let open = core.enter()?;
            let _lock = core.lock_account(account);
            let left = tidy_header(&open, account, end, now.is_some() && after.is_none(), &mut tidied)?;
            if let (Some(left), None) = (&left, &after) {
                tidied.live_bytes += left.bytes;
            }
            tidy_rows(&open, account, left.as_ref(), now, after, &mut tidied)?
        };
        pace.worked(rows, start);
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

/// Takes those out of the header who have ended by sign-outs up to `end`, and then their index rows away. Gives who is left.
///
/// Row by row, as a batch holds up every reader of the process while it is applied, and nothing here needs one: the ledger has made all of
/// it unreachable at once. What makes it unreachable by any reading comes first; index rows that a crash leaves lead nowhere, and the
/// sweep deletes them.
fn tidy_header(open: &Open<'_>, account: &Tag, end: Position, sweeping: bool, tidied: &mut Swept) -> Result<Option<Left>> {
    let key = layout::header(account);
    let opened = open.header(account).and_then(|opened| {
        let opened = opened.map(|(value, header)| Ok((open.rows()?.open_account(&key, &value, &header)?, value, header)));
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
            let header =
                Header { generation: header.generation, account_key: header.account_key.clone(), sign_ins, other: header.other };
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

/// Goes through one slice of the rows behind the header, or behind `after`. Gives how many there were, and the last one, if there may be more.
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
    let after = after.unwrap_or_else(|| layout::header(account));
    let slice = open.scan(&layout::account(account), Some(&after), SLICE)?;
    let rows = slice.len();
    let last = slice.last().filter(|_| rows == SLICE).map(|(key, _)| key.clone());
    for (key, value) in slice {
        let is_dead = match layout::parse(&key) {
            Some(AccountRow::SignIn(id)) => life_of(&id).is_none(),
            Some(AccountRow::Token { sign_in, tenant, .. }) => {
                let is_tenant_dead = |life| open.core.ledger.fences().is_tenant_dead_by(life, tenant, end);
                life_of(&sign_in).is_none_or(is_tenant_dead)
            }
            Some(AccountRow::Web { sign_in, session, .. }) => {
                // Nobody finds one without its index row, to delete it either. Both are in every batch: so that is not put back.
                life_of(&sign_in).is_none() || now.is_some() && !web::is_found(open, &session, account, &sign_in)?
            }
            Some(AccountRow::Header) | None => false,
        };
        let size = (key.len() + value.len()) as u64;
        tidied.live_bytes += if is_dead { 0 } else { size };
        if is_dead {
            tidied.dead_rows += 1;
            let mut batch = Batch::default();
            if let Some(AccountRow::Web { sign_in, session, .. }) = layout::parse(&key) {
                batch.delete(layout::web_index(&session, account, &sign_in));
            }
            batch.delete(key);
            open.commit(account, batch)?;
        } else if let (Some(now), Some(Left { header, .. }), Some(AccountRow::Token { sign_in, tenant, slot, part: 0 })) =
            (now, left, layout::parse(&key))
        {
            let parts = crate::row::parts_of(&value);
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
                // Its parts at once: the sign-in lives, and half a token that a crash left would read as tampering.
                let mut batch = Batch::default();
                (0..parts).for_each(|part| batch.delete(layout::token(account, &sign_in, &tenant, &slot, part)));
                open.commit(account, batch)?;
            }
        }
    }
    Ok((rows, last))
}

/// Who of the header's sign-ins lives, by the fences up to `end`.
pub(crate) fn look(open: &Open<'_>, account: &Tag, header: &Header, end: Position) -> Result<Look> {
    let core = open.core;
    let now = core.clock.for_deletion();
    let mut look = Look::default();
    for id in &header.sign_ins {
        let body = match open.sign_in(account, header, id) {
            Ok(Some(body)) => body,
            Ok(None) => {
                look.has_ended = true;
                continue;
            }
            Err(Error::Tampered(_)) => {
                (look.has_ended, look.tampered) = (true, look.tampered + 1);
                continue;
            }
            Err(error) => return Err(error),
        };
        let life = core.life(*account, header.other, &body);
        let entries = index::entries(core, &life, &body);
        if core.is_too_old(&life, now) || core.ledger.fences().is_dead_by(&life, end) {
            look.has_ended = true;
            look.ended.extend(entries);
        } else {
            look.live.push((*id, entries));
            look.lives.insert(*id, life);
        }
    }
    Ok(look)
}

/// When a token can never be given again, if ever.
fn end_of(Stored { token, put }: &Stored) -> Option<Millis> {
    match token {
        Token::Access(token) => {
            let lasts = token.lifetime.zip(*put).map(|(life, put)| put.shown.saturating_add(millis(life)));
            let end = [token.expires_at.map(to_millis), lasts].into_iter().flatten().min();
            end.map(|end| end.max(token.extended_expires_at.map_or(0, to_millis)))
        }
        Token::Refresh(token) => token.expires_at.map(to_millis),
        Token::Id(_) => None,
    }
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use std::thread::{scope, yield_now};

    use super::*;
    use crate::{AccountId, Machine, SignIn, TenantId};

    // Without it: the sweep waits for one account after the other among many who write, or never comes back to those that it has passed by.
    #[test]
    fn an_account_that_somebody_is_at_is_swept_last() {
        let machine = Machine::new();
        let store = machine.builder().open().unwrap();
        let core = store.core();
        let mut tags = Vec::new();
        // Two that do not share a lock.
        for number in 0.. {
            let account = AccountId::new("login.example.com", number.to_string()).unwrap();
            let tag = core.tagger.account(&account);
            if tags.first().is_none_or(|first: &Tag| first[0] != tag[0]) {
                store.sign_in(SignIn::new(account, TenantId::new("contoso").unwrap())).unwrap();
                tags.push(tag);
            }
            if tags.len() == 2 {
                break;
            }
        }
        tags.sort_unstable();
        // A dead row in each tells that the sweep was there.
        let dead = |tag: &Tag| layout::sign_in(tag, &[0xdd; 16]);
        let mut rows = machine.rows();
        rows.extend(tags.iter().map(|tag| (dead(tag), vec![1])));
        machine.set_rows(rows);
        let at_work = core.lock_account(&tags[0]);
        let swept = scope(|scope| {
            let sweeping = scope.spawn(|| sweep(core, usize::MAX));
            while machine.rows().contains_key(&dead(&tags[1])) {
                yield_now();
            }
            assert!(machine.rows().contains_key(&dead(&tags[0])));
            drop(at_work);
            sweeping.join().unwrap().unwrap()
        });
        assert_eq!((swept.accounts, swept.dead_rows, swept.finished), (2, 2, true));
        assert!(!machine.rows().contains_key(&dead(&tags[0])));
    }
}
