//! Deleting what the rule already made unreachable: a thread right behind the sign-outs, and the sweep for what it missed and
//! for what expired. Nothing here decides anything; it only gives space back.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::clock::{Millis, millis, to_millis};
use crate::crypto::Tag;
use crate::engine::{Batch, Durability};
use crate::error::{Error, Part, Result};
use crate::gate::{Core, Open, lock};
use crate::index::{self, Entry};
use crate::layout::{self, AccountRow, Index, SignInId};
use crate::row::Header;
use crate::rule::{Life, Position, Scope};
use crate::token::Token;
use crate::web;

/// The most rows that one batch deletes: it holds up every reader while it is applied.
const SLICE: usize = 256;
/// The most sign-outs that wait for their reclaim one by one. Behind that, one pass over all accounts does for all.
const BACKLOG: usize = 64 * 1024;

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

/// Sign-outs whose rows are not deleted yet.
#[derive(Default)]
pub(crate) struct Backlog {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Scope>,
    working: bool,
    closing: Option<Closing>,
    /// Why the reclaimer ended before its work was done.
    dead: Option<Part>,
    done: Reclaimed,
    cursor: Cursor,
    /// What the sweep that is under way has left so far.
    swept_bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    AfterWork,
    AtOnce,
}

/// Where the sweep goes on: behind a key of the accounts, of an index, or of web sessions.
#[derive(Clone)]
enum Cursor {
    Accounts(Vec<u8>),
    Indexes(usize, Option<Vec<u8>>),
    Web(web::Kind, Option<Vec<u8>>),
}

impl Default for Cursor {
    fn default() -> Self {
        Self::Accounts(layout::all_accounts())
    }
}

impl Backlog {
    /// Adds what a sign-out ended. Never blocks: when there is too much, everybody is looked at once instead.
    pub(crate) fn push(&self, scopes: &[Scope]) {
        let mut queue = lock(&self.queue);
        if queue.dead.is_some() || queue.closing.is_some() || queue.waiting.front() == Some(&Scope::Everybody) {
            return;
        }
        if queue.waiting.len() + scopes.len() > BACKLOG {
            queue.waiting.clear();
            queue.waiting.push_back(Scope::Everybody);
        } else {
            queue.waiting.extend(scopes);
        }
        self.changed.notify_all();
    }

    pub(crate) fn push_account(&self, account: Tag) {
        self.push(&[Scope::Account(account)]);
    }

    pub(crate) fn len(&self) -> usize {
        let queue = lock(&self.queue);
        queue.waiting.len() + usize::from(queue.working)
    }

    pub(crate) fn done(&self) -> Reclaimed {
        lock(&self.queue).done
    }

    /// Waits until nothing is waiting.
    ///
    /// # Errors
    /// `Poisoned` if the reclaimer had to give up.
    pub(crate) fn wait(&self) -> Result<Reclaimed> {
        let mut queue = lock(&self.queue);
        while queue.dead.is_none() && (queue.working || !queue.waiting.is_empty()) {
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.dead.map_or(Ok(queue.done), |part| Err(Error::Poisoned(part)))
    }

    /// Tells the reclaimer to end, after its work or at once.
    pub(crate) fn close(&self, after_work: bool) {
        let mut queue = lock(&self.queue);
        queue.closing = Some(if after_work { Closing::AfterWork } else { Closing::AtOnce });
        self.changed.notify_all();
    }

    fn next(&self) -> Option<Scope> {
        let mut queue = lock(&self.queue);
        queue.working = false;
        loop {
            self.changed.notify_all();
            match (queue.closing, queue.waiting.pop_front()) {
                (Some(Closing::AtOnce), _) | (Some(Closing::AfterWork), None) => return None,
                (_, Some(scope)) => {
                    queue.working = true;
                    return Some(scope);
                }
                (None, None) => queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// The reclaimer's thread. It ends when told to, or with the engine. Should it panic, those who wait are told.
pub(crate) fn run(core: &Arc<Core>) {
    struct Ended<'a>(&'a Backlog);
    impl Drop for Ended<'_> {
        fn drop(&mut self) {
            let mut queue = lock(&self.0.queue);
            if queue.working || !queue.waiting.is_empty() {
                queue.dead = Some(Part::Engine);
            }
            queue.working = false;
            queue.waiting.clear();
            self.0.changed.notify_all();
        }
    }
    let _ended = Ended(&core.backlog);
    while let Some(scope) = core.backlog.next() {
        let result = for_each_account(core, scope, |open, account| {
            let rows = tidy_account(open, account, None)?.dead_rows;
            let mut queue = lock(&core.backlog.queue);
            queue.done.accounts += 1;
            queue.done.rows += rows;
            Ok(queue.closing != Some(Closing::AtOnce))
        });
        let result = result.and_then(|()| {
            if scope != Scope::Everybody {
                return Ok(());
            }
            // Web sessions of nobody's have ended too.
            let ended = web::tidy_unbound(core, || lock(&core.backlog.queue).closing != Some(Closing::AtOnce))?;
            lock(&core.backlog.queue).done.rows += ended;
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
    let mut cursor = std::mem::take(&mut lock(&core.backlog.queue).cursor);
    let mut result = Ok(());
    for _ in 0..budget {
        match sweep_step(core, cursor.clone(), &mut swept) {
            Ok(Some(next)) => cursor = next,
            Ok(None) => {
                swept.finished = true;
                swept.live_bytes += std::mem::take(&mut lock(&core.backlog.queue).swept_bytes);
                return Ok(swept);
            }
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    let mut queue = lock(&core.backlog.queue);
    queue.cursor = cursor;
    queue.swept_bytes += swept.live_bytes;
    result.map(|()| swept)
}

/// One account, one slice of an index, or the ledger; and where to go on, if that was not the end.
fn sweep_step(core: &Core, cursor: Cursor, swept: &mut Swept) -> Result<Option<Cursor>> {
    let open = core.enter()?;
    match cursor {
        Cursor::Accounts(after) => {
            let Some(account) = next_account(&open, after)? else { return Ok(Some(Cursor::Indexes(0, None))) };
            let tidied = tidy_account(&open, &account, Some(core.clock.now()))?;
            swept.accounts += 1;
            swept.dead_rows += tidied.dead_rows;
            swept.expired_tokens += tidied.expired_tokens;
            swept.tampered += tidied.tampered;
            swept.live_bytes += tidied.live_bytes;
            Ok(Some(Cursor::Accounts(layout::behind_account(&account))))
        }
        Cursor::Indexes(number, after) => match Index::ALL.get(number) {
            Some(index) => Ok(Some(match sweep_index(&open, *index, after.as_deref(), swept)? {
                Some(last) => Cursor::Indexes(number, Some(last)),
                None => Cursor::Indexes(number + 1, None),
            })),
            None => Ok(Some(Cursor::Web(web::Kind::Bound, None))),
        },
        Cursor::Web(kind, after) => match (web::tidy_slice(&open, kind, after.as_deref(), swept)?, kind) {
            (Some(last), _) => Ok(Some(Cursor::Web(kind, Some(last)))),
            (None, web::Kind::Bound) => Ok(Some(Cursor::Web(web::Kind::Unbound, None))),
            (None, web::Kind::Unbound) => {
                core.ledger.compact(core.clock.now().saturating_sub(millis(core.options.max_sign_in_age)))?;
                Ok(None)
            }
        },
    }
}

/// Writes the checkpoint if the ledger has moved on, and makes what was deleted durable.
pub(crate) fn checkpoint(open: &Open<'_>) -> Result<()> {
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

/// Calls `each` for the accounts that a sign-out of `scope` may have ended, until it says stop. A gate is passed for each, so
/// that the store can close meanwhile.
fn for_each_account(core: &Core, scope: Scope, mut each: impl FnMut(&Open<'_>, &Tag) -> Result<bool>) -> Result<()> {
    let (index, tag) = match scope {
        Scope::Account(account) => return each(&core.enter()?, &account).map(|_| ()),
        Scope::Everybody => {
            let mut after = layout::all_accounts();
            loop {
                let open = core.enter()?;
                let Some(account) = next_account(&open, after)? else { return Ok(()) };
                if !each(&open, &account)? {
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
            if !each(&core.enter()?, &account)? {
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
fn tidy_account(open: &Open<'_>, account: &Tag, now: Option<Millis>) -> Result<Swept> {
    let mut tidied = Swept::default();
    let _lock = open.core.lock_account(account);
    let key = layout::header(account);
    let mut batch = Batch::default();
    let opened = open.header(account).and_then(|opened| {
        let opened = opened.map(|(value, header)| Ok((open.rows()?.open_account(&key, &value, &header)?, value, header)));
        opened.transpose()
    });
    let header = match opened {
        Ok(header) => header,
        Err(Error::Tampered(_)) => {
            (tidied.tampered, tidied.dead_rows) = (1, 1);
            batch.delete(key.clone());
            None
        }
        Err(error) => return Err(error),
    };
    let look =
        header.as_ref().map_or(Ok(Look::default()), |(_, _, header)| look(open, account, header, open.core.ledger.synced()))?;
    tidied.tampered += look.tampered;

    // What makes the rows unreachable by any reading comes first; the first batch holds it all if it is small enough.
    for (index, tag) in index::stale(open, account, look.ended, &look.live)? {
        tidied.dead_rows += 1;
        batch.delete(index.row(&tag, account));
    }
    if let (Some((id, value, header)), true) = (&header, look.has_ended) {
        if look.live.is_empty() {
            tidied.dead_rows += 1;
            batch.delete(key.clone());
        } else {
            let sign_ins = look.live.iter().map(|(id, _)| *id).collect();
            let header = Header { generation: header.generation, account_key: header.account_key.clone(), sign_ins };
            batch.put(key.clone(), open.rows()?.seal_header(&key, &header, id)?);
        }
        batch.guard = Some((key, Some(value.clone())));
    }
    if now.is_some() {
        for (index, tag) in look.live.iter().flat_map(|(_, entries)| entries) {
            let row = index.row(tag, account);
            if open.get(&row)?.is_none() {
                batch.put(row, Vec::new());
            }
        }
    }
    if let (Some((_, value, _)), false) = (&header, look.live.is_empty()) {
        tidied.live_bytes += value.len() as u64;
    }
    let opened = header.as_ref().map(|(_, _, header)| header);
    tidy_rows(open, account, opened, &look.lives, now, batch, &mut tidied)?;
    Ok(tidied)
}

/// Goes through the rows behind the header, and commits what `batch` holds already with the first of them.
fn tidy_rows(
    open: &Open<'_>,
    account: &Tag,
    header: Option<&Header>,
    lives: &HashMap<SignInId, Life>,
    now: Option<Millis>,
    mut batch: Batch,
    tidied: &mut Swept,
) -> Result<()> {
    let end = open.core.ledger.synced();
    let mut after = layout::header(account);
    loop {
        let slice = open.scan(&layout::account(account), Some(&after), SLICE)?;
        let Some((last, _)) = slice.last() else { break };
        after = last.clone();
        for (key, value) in slice {
            let is_dead = match layout::parse(&key) {
                Some(AccountRow::SignIn(id)) => !lives.contains_key(&id),
                Some(AccountRow::Token { sign_in, tenant, .. }) => {
                    let is_tenant_dead = |life| open.core.ledger.fences().is_tenant_dead_by(life, tenant, end);
                    lives.get(&sign_in).is_none_or(is_tenant_dead)
                }
                Some(AccountRow::Web { sign_in, session, .. }) => {
                    // Nobody finds one without its index row, to delete it either. Both are in every batch: so that is not put back.
                    !lives.contains_key(&sign_in) || now.is_some() && !web::is_found(open, &session, account, &sign_in)?
                }
                Some(AccountRow::Header) | None => false,
            };
            let size = (key.len() + value.len()) as u64;
            tidied.live_bytes += if is_dead { 0 } else { size };
            if is_dead {
                tidied.dead_rows += 1;
                if let Some(AccountRow::Web { sign_in, session, .. }) = layout::parse(&key) {
                    batch.delete(layout::web_index(&session, account, &sign_in));
                }
                batch.delete(key);
            } else if let (Some(now), Some(header), Some(AccountRow::Token { sign_in, tenant, slot, part: 0 })) =
                (now, header, layout::parse(&key))
            {
                let parts = crate::row::parts_of(&value);
                let end = match open.token(header, key, value) {
                    Ok(Some(token)) => end_of(&token),
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
                    (0..parts).for_each(|part| batch.delete(layout::token(account, &sign_in, &tenant, &slot, part)));
                }
            }
            if batch.changes.len() >= SLICE {
                open.commit(account, std::mem::take(&mut batch))?;
            }
        }
    }
    if batch.changes.is_empty() { Ok(()) } else { open.commit(account, batch) }
}

/// Who of the header's sign-ins lives, by the fences up to `end`.
pub(crate) fn look(open: &Open<'_>, account: &Tag, header: &Header, end: Position) -> Result<Look> {
    let core = open.core;
    let now = core.clock.now();
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
        let life = core.life(*account, &body);
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
fn end_of(token: &Token) -> Option<Millis> {
    match token {
        Token::Access(token) => Some(to_millis(token.expires_at).max(token.extended_expires_at.map_or(0, to_millis))),
        Token::Refresh(token) => token.expires_at.map(to_millis),
        Token::Id(_) => None,
    }
}
