//! What a sign-out would end, looked up once: for a caller that first asks whether a sign-out is
//! worth a record, and then carries it out.

use super::{accounts_under, cutoff_of, rule_scope, takes_whole};
use crate::model::tag::{AccountTag, TaggedScope};
use std::collections::BTreeMap;

use crate::backend::Ask;
use crate::model::error::{Error, Result};
use crate::model::id::AccountId;
use crate::model::seen::Seen;
use crate::model::sign_out::SignOut;
use crate::rows::row_key;
use crate::rule::{self, Life};
use crate::store::access::Open;
use crate::store::core::Core;

/// What a look before a sign-out has shown.
pub(crate) struct Outlook {
    /// Whether the sign-out would end a live sign-in, or may: a row that does not open counts as
    /// one, unless exactly that scope was signed out already. If this is `false`, every sign-out
    /// that may be the reason is durable.
    pub(crate) ends_anybody: bool,
    /// Whether one of its scopes is known: the rows of a sign-in of it are still there, live or
    /// ended, or a sign-out of it is on record.
    pub(crate) is_known: bool,
    /// The accounts that it ends as a whole, as far as they can be read.
    pub(crate) accounts: Vec<AccountId>,
    /// What [`SignOut::with_seen`] takes, for the sign-out itself.
    pub(crate) seen: Seen,
}

/// An account's id and sign-ins. `None` stands for a part that does not open.
struct Looked {
    id: Option<AccountId>,
    /// With whether each is live.
    lives: Option<Vec<Option<(Life, bool)>>>,
}

/// Reads each account once, even if several of the scopes lead to it.
pub(crate) fn outlook(core: &Core, request: &SignOut) -> Result<Outlook> {
    core.read(Ask::default, |open| outlook_in(open, request))
}

fn outlook_in(open: &Open<'_>, request: &SignOut) -> Result<Outlook> {
    let core = open.core;
    let mut outlook = Outlook {
        ends_anybody: false,
        is_known: false,
        accounts: Vec::new(),
        seen: Seen::default(),
    };
    let mut looked: BTreeMap<AccountTag, Option<Looked>> = BTreeMap::new();
    for scope in request.scopes() {
        let scope = rule_scope(&core.tagger, scope);
        let is_recorded = open.last_fence(scope)?.is_some();
        outlook.is_known |= is_recorded;
        let is_whole =
            matches!(scope, TaggedScope::Account(_)) || takes_whole(core, request, &scope);
        for account in accounts_under(open, scope)? {
            // One account answers the question. Only a scope that ends accounts as a whole needs
            // all of them.
            if outlook.ends_anybody && !is_whole && !open.lacks_something() {
                break;
            }
            let account_looked = match looked.get(&account) {
                Some(known) => known,
                None => &*looked.entry(account).or_insert(look(open, &account)?),
            };
            if let Some(account_looked) = account_looked {
                outlook.add(core, request, (scope, account), account_looked, is_recorded);
            }
        }
    }
    if !outlook.ends_anybody {
        // The fence that ended them may still be being synced: the caller may record nothing, so it
        // must be durable first.
        open.settle()?;
    }
    Ok(outlook)
}

impl Outlook {
    fn add(
        &mut self,
        core: &Core,
        request: &SignOut,
        (scope, account): (TaggedScope, AccountTag),
        looked: &Looked,
        is_recorded: bool,
    ) {
        let (now, cutoff) = (core.clock.now(), cutoff_of(request));
        let is_of = |life: &Life, _| life.scopes().any(|one| one == scope);
        let ends = |life: &Life, is_live| {
            is_of(life, is_live) && rule::takes(cutoff, now, life.time) && is_live
        };
        self.ends_anybody |= any(looked, ends, !is_recorded);
        // A sign-in that has ended already counts too, if it is still listed, and so does a row
        // that does not open: when in doubt, forget.
        if !any(looked, is_of, true) {
            return;
        }
        self.is_known = true;
        self.seen.add(scope, account);
        if matches!(scope, TaggedScope::Account(_)) || takes_whole(core, request, &scope) {
            let new = looked.id.iter().filter(|id| !self.accounts.contains(id)).cloned();
            self.accounts.extend(new.collect::<Vec<_>>());
        }
    }
}

/// Whether one of the sign-ins is wanted. `in_doubt` is the answer for a row that does not open.
fn any(looked: &Looked, is_wanted: impl Fn(&Life, bool) -> bool, in_doubt: bool) -> bool {
    let Some(lives) = &looked.lives else { return in_doubt };
    lives
        .iter()
        .any(|life| life.as_ref().map_or(in_doubt, |(life, is_live)| is_wanted(life, *is_live)))
}

/// Reads an account's header and sign-ins; `None` if there is no such account.
fn look(open: &Open<'_>, account: &AccountTag) -> Result<Option<Looked>> {
    let (value, header) = match open.header(account) {
        Ok(Some(header)) => header,
        Ok(None) => return Ok(None),
        Err(Error::Tampered(_)) => return Ok(Some(Looked { id: None, lives: None })),
        Err(error) => return Err(error),
    };
    let id = open.rows()?.open_account(&row_key::header(account), &value, &header).ok();
    let mut lives = Vec::with_capacity(header.sign_ins.len());
    for id in &header.sign_ins {
        lives.push(match open.sign_in(account, &header, id) {
            Ok(Some(body)) => {
                let life = open.core.life(*account, header.other, id, &body);
                // In doubt about the time, it lives: then the sign-out is recorded.
                let is_live = open.is_live(&life, open.time_for_deletion()?)?;
                Some((life, is_live))
            }
            Ok(None) | Err(Error::Tampered(_)) => None,
            Err(error) => return Err(error),
        });
    }
    Ok(Some(Looked { id, lives: Some(lives) }))
}
