//! Enumerates the accounts one after the other, and tells which sign-ins of one live.

use crate::model::error::{Error, Result};
use crate::model::position::Position;
use crate::model::random_id::SignInId;
use crate::model::tag::{AccountTag, TaggedScope};
use crate::rows::header::Header;
use crate::rows::row_key::{self, IndexEntry};
use crate::rule::Life;
use crate::store::access::Open;
use crate::store::core::Core;
use crate::store::index;
use std::collections::HashMap;

/// How many rows are read and processed at a time, under the gate.
pub(crate) const SLICE: usize = if cfg!(oubliette_shuttle) { 2 } else { 64 };

/// The next account with rows after the key `after`. Keys that this crate did not make are skipped.
pub(crate) fn next_account(open: &Open<'_>, mut after: Vec<u8>) -> Result<Option<AccountTag>> {
    loop {
        let row = open.scan(&row_key::all_accounts(), Some(&after), 1)?;
        let Some((key, _)) = row.into_iter().next() else { return Ok(None) };
        match row_key::account_of(&key) {
            Some(account) => return Ok(Some(account)),
            None => after = key,
        }
    }
}

/// Calls `each` for the accounts that a sign-out of `scope` may have ended, until it returns
/// `false`. The gate is released between slices, so that the store can close meanwhile.
pub(crate) fn for_each_account(
    core: &Core,
    scope: TaggedScope,
    mut each: impl FnMut(&AccountTag) -> Result<bool>,
) -> Result<()> {
    let entry = match scope {
        TaggedScope::Account(account) => return each(&account).map(|_| ()),
        // No index finds a sign-in by its tag: the sign-out has named the account instead.
        TaggedScope::SignIn(_) => return Ok(()),
        TaggedScope::Everybody => {
            let mut after = row_key::all_accounts();
            loop {
                let Some(account) = next_account(&core.enter()?, after)? else { return Ok(()) };
                if !each(&account)? {
                    return Ok(());
                }
                after = row_key::behind_account(&account);
            }
        }
        TaggedScope::Tenant(tag) => IndexEntry::Tenant(tag),
        TaggedScope::Session(tag) => IndexEntry::Session(tag),
        TaggedScope::Subject(tag) => IndexEntry::Subject(tag),
    };
    // The index may list an account without a sign-in of the scope: `each` looks at the rows.
    let prefix = entry.accounts();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let slice = core.enter()?.scan(&prefix, after.as_deref(), SLICE)?;
        let Some((last, _)) = slice.last() else { return Ok(()) };
        after = Some(last.clone());
        for account in slice.iter().filter_map(|(key, _)| row_key::indexed_account(key)) {
            if !each(&account)? {
                return Ok(());
            }
        }
    }
}

/// The sign-ins of a header.
#[derive(Default)]
pub(crate) struct Look {
    pub(crate) live: Vec<(SignInId, Vec<IndexEntry>)>,
    pub(crate) lives: HashMap<SignInId, Life>,
    /// The index entries of those that have ended.
    pub(crate) ended: Vec<IndexEntry>,
    pub(crate) has_ended: bool,
    pub(crate) tampered: u64,
}

/// Which of the header's sign-ins live, by the fences up to `end`.
pub(crate) fn look(
    open: &Open<'_>,
    account: &AccountTag,
    header: &Header,
    end: Position,
) -> Result<Look> {
    let core = open.core;
    // Rows of a sign-in that has ended are deleted, so a clock that may be wrong must not decide.
    let now = open.time_for_deletion()?;
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
        let life = core.life(*account, header.other, id, &body);
        let entries = index::entries(core, &life, &body);
        if life.is_too_old(now) || open.is_dead_by(&life, end)? {
            look.has_ended = true;
            look.ended.extend(entries);
        } else {
            look.live.push((*id, entries));
            look.lives.insert(*id, life);
        }
    }
    Ok(look)
}
