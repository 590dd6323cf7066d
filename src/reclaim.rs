//! Deleting what the rule already made unreachable: a thread right behind the sign-outs, and the sweep for what it missed and
//! for what expired. Nothing here decides anything; it only gives space back.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::clock::{Millis, millis, to_millis};
use crate::crypto::Tag;
use crate::engine::{Batch, Durability};
use crate::error::{Error, Part, Result};
use crate::gate::{Core, Open, lock};
use crate::layout::{self, AccountRow, Index, SignInId};
use crate::row::{Header, generation_of};
use crate::rule::{Life, Scope};
use crate::sign_in::index_tags;
use crate::token::Token;

/// The most rows that one batch deletes: it holds up every reader while it is applied.
const BATCH: usize = 256;
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
    /// Accounts or tokens whose rows do not open: they were left as they are.
    pub tampered: u64,
    /// Whether the sweep came to the end of all accounts; the next one begins anew.
    pub finished: bool,
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
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    AfterWork,
    AtOnce,
}

/// Where the sweep goes on.
#[derive(Clone, Default)]
enum Cursor {
    #[default]
    Start,
    Accounts(Vec<u8>),
    Indexes(usize, Option<Vec<u8>>),
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
        if result.is_err() {
            // The engine is poisoned, or the store closed. The rows stay unreachable.
            return;
        }
    }
}

/// Looks at up to `budget` accounts, from where the last sweep ended: deletes dead and expired rows, then index rows that lead
/// nowhere, then compacts the ledger.
pub(crate) fn sweep(core: &Core, budget: usize) -> Result<Swept> {
    let mut swept = Swept::default();
    let mut cursor = std::mem::take(&mut lock(&core.backlog.queue).cursor);
    for _ in 0..budget {
        let open = core.enter()?;
        cursor = match cursor {
            Cursor::Start => Cursor::Accounts(layout::all_accounts()),
            cursor => cursor,
        };
        cursor = match cursor {
            Cursor::Accounts(after) => match next_account(&open, &after)? {
                Some(account) => {
                    let tidied = tidy_account(&open, &account, Some(core.clock.now()))?;
                    swept.accounts += 1;
                    swept.dead_rows += tidied.dead_rows;
                    swept.expired_tokens += tidied.expired_tokens;
                    swept.tampered += tidied.tampered;
                    Cursor::Accounts(layout::account_end(&account))
                }
                None => Cursor::Indexes(0, None),
            },
            Cursor::Indexes(number, after) => match Index::ALL.get(number) {
                Some(index) => match sweep_index(&open, *index, after.as_deref(), &mut swept)? {
                    Some(last) => Cursor::Indexes(number, Some(last)),
                    None => Cursor::Indexes(number + 1, None),
                },
                None => {
                    core.ledger.compact(core.clock.now().saturating_sub(millis(core.options.max_sign_in_age)))?;
                    swept.finished = true;
                    return Ok(swept);
                }
            },
            Cursor::Start => Cursor::Start,
        };
    }
    lock(&core.backlog.queue).cursor = cursor;
    Ok(swept)
}

/// Writes the checkpoint if the ledger has moved on, and makes what was deleted durable.
pub(crate) fn checkpoint(open: &Open<'_>) -> Result<()> {
    open.commit_with_checkpoint(&[0; 16], Batch::default())?;
    open.sync(Durability::PowerLoss)
}

/// The next account with rows behind `after`.
pub(crate) fn next_account(open: &Open<'_>, after: &[u8]) -> Result<Option<Tag>> {
    let row = open.scan(&layout::all_accounts(), Some(after), 1)?;
    Ok(row.first().and_then(|(key, _)| layout::account_of(key)))
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
                let Some(account) = next_account(&open, &after)? else { return Ok(()) };
                if !each(&open, &account)? {
                    return Ok(());
                }
                after = layout::account_end(&account);
            }
        }
        Scope::Tenant(tag) => (Index::Tenant, tag),
        Scope::Session(tag) => (Index::Session, tag),
        Scope::Subject(tag) => (Index::Subject, tag),
    };
    let prefix = index.accounts_of(&tag);
    let mut after: Option<Vec<u8>> = None;
    loop {
        let slice = core.enter()?.scan(&prefix, after.as_deref(), BATCH)?;
        let Some((last, _)) = slice.last() else { return Ok(()) };
        after = Some(last.clone());
        for account in slice.iter().filter_map(|(key, _)| layout::indexed_account(key)) {
            if !each(&core.enter()?, &account)? {
                return Ok(());
            }
        }
    }
}

/// Deletes index rows of accounts that have gone or begun a new life. (A row too few or too many decides nothing.)
fn sweep_index(open: &Open<'_>, index: Index, after: Option<&[u8]>, swept: &mut Swept) -> Result<Option<Vec<u8>>> {
    let slice = open.scan(&index.prefix(), after, BATCH)?;
    for (key, generation) in &slice {
        let Some(account) = layout::indexed_account(key) else { continue };
        let _lock = open.core.lock_account(&account);
        let current = open.get(&layout::header(&account))?.and_then(|header| generation_of(&header));
        if current.is_none_or(|current| current != **generation) && open.get(key)?.as_ref() == Some(generation) {
            let mut batch = Batch::default();
            batch.delete(key.clone());
            open.commit(&account, batch)?;
            swept.dead_rows += 1;
        }
    }
    Ok(slice.into_iter().last().map(|(key, _)| key))
}

/// What is left of an account when its dead sign-ins are taken away.
struct Remains {
    live: Vec<(SignInId, Life)>,
    /// Index rows that find nobody any more.
    index_rows: Vec<Vec<u8>>,
    has_dead: bool,
}

/// Deletes the account's dead rows: those of sign-ins that are dead on the disk too, or too old, or not in the header; and tokens
/// of tenants that are. With `now`, expired tokens too. Rows that do not open are left for whoever looks into it.
fn tidy_account(open: &Open<'_>, account: &Tag, now: Option<Millis>) -> Result<Swept> {
    let mut tidied = Swept::default();
    let _lock = open.core.lock_account(account);
    let key = layout::header(account);
    let (value, header) = match open.header(account) {
        Ok(Some((value, header))) => (Some(value), Some(header)),
        Ok(None) => (None, None),
        Err(Error::Tampered(_)) => return Ok(Swept { tampered: 1, ..tidied }),
        Err(error) => return Err(error),
    };
    let mut remains = Remains { live: Vec::new(), index_rows: Vec::new(), has_dead: false };
    if let Some(header) = &header {
        match look(open, account, header) {
            Ok(found) => remains = found,
            Err(Error::Tampered(_)) => return Ok(Swept { tampered: 1, ..tidied }),
            Err(error) => return Err(error),
        }
    }

    // What makes the rows unreachable by any reading comes first; the first batch holds it all if it is small enough.
    let mut batch = Batch::default();
    tidied.dead_rows += remains.index_rows.len() as u64;
    remains.index_rows.into_iter().for_each(|row| batch.delete(row));
    if let (Some(value), Some(mut header), true) = (value, header, remains.has_dead) {
        if remains.live.is_empty() {
            tidied.dead_rows += 1;
            batch.delete(key.clone());
        } else {
            let id = open.core.rows.open_account(&key, &value, &header)?;
            header.sign_ins = remains.live.iter().map(|(id, _)| *id).collect();
            batch.put(key.clone(), open.core.rows.seal_header(&key, &header, &id)?);
        }
        batch.guard = Some((key.clone(), Some(value)));
    }

    let live: HashSet<SignInId> = remains.live.iter().map(|(id, _)| *id).collect();
    let lives = |id: &SignInId| remains.live.iter().find(|(live, _)| live == id).map(|(_, life)| life);
    let end = open.core.ledger.synced();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let slice = open.scan(&layout::account(account), after.as_deref(), BATCH)?;
        let is_last = slice.len() < BATCH;
        after = slice.last().map(|(key, _)| key.clone());
        for (key, value) in slice {
            let is_dead = match layout::parse(&key) {
                Some(AccountRow::Header) => continue,
                Some(AccountRow::SignIn(id)) => !live.contains(&id),
                Some(AccountRow::Token { sign_in, tenant, .. }) => {
                    lives(&sign_in).is_none_or(|life| open.core.ledger.fences().is_tenant_dead_by(life, tenant, end))
                }
                None => false,
            };
            if is_dead {
                tidied.dead_rows += 1;
                batch.delete(key);
            } else if let (Some(now), Some(AccountRow::Token { part: 0, .. })) = (now, layout::parse(&key)) {
                match expired_parts(open, account, &key, value, now) {
                    Ok(0) => {}
                    Ok(parts) => {
                        tidied.expired_tokens += 1;
                        (0..parts).for_each(|part| batch.delete([&key[..key.len() - 1], &[part]].concat()));
                    }
                    Err(Error::Tampered(_)) => tidied.tampered += 1,
                    Err(error) => return Err(error),
                }
            }
            if batch.changes.len() >= BATCH {
                open.commit(account, std::mem::take(&mut batch))?;
            }
        }
        if is_last {
            break;
        }
    }
    if !batch.changes.is_empty() {
        open.commit(account, batch)?;
    }
    Ok(tidied)
}

/// Who of the header's sign-ins lives, and which index rows only led to the others.
fn look(open: &Open<'_>, account: &Tag, header: &Header) -> Result<Remains> {
    let core = open.core;
    let (now, end) = (core.clock.now(), core.ledger.synced());
    let mut remains = Remains { live: Vec::new(), index_rows: Vec::new(), has_dead: false };
    let (mut kept, mut gone) = (HashSet::new(), Vec::new());
    for id in &header.sign_ins {
        let Some(body) = open.sign_in(account, header, id)? else {
            remains.has_dead = true;
            continue;
        };
        let life = core.life(*account, &body);
        let rows = index_tags(core, &life, &body).into_iter().map(|(index, tag)| index.row(&tag, account));
        if core.is_too_old(&life, now) || core.ledger.fences().is_dead_by(&life, end) {
            remains.has_dead = true;
            gone.extend(rows);
        } else {
            kept.extend(rows);
            remains.live.push((*id, life));
        }
    }
    remains.index_rows = gone.into_iter().filter(|row| !kept.contains(row)).collect();
    Ok(remains)
}

/// How many parts a token has, if it can never be given again: 0 if it can.
fn expired_parts(open: &Open<'_>, account: &Tag, key: &[u8], value: Vec<u8>, now: Millis) -> Result<u8> {
    let Some((_, header)) = open.header(account)? else { return Ok(0) };
    let parts = crate::row::parts_of(&value);
    let end = match open.token(&header, key.to_vec(), value)? {
        Some(Token::Access(token)) => Some(to_millis(token.expires_at).max(token.extended_expires_at.map_or(0, to_millis))),
        Some(Token::Refresh(token)) => token.expires_at.map(to_millis),
        Some(Token::Id(_)) | None => None,
    };
    Ok(if end.is_some_and(|end| end < now) { parts } else { 0 })
}
