//! Whom a sign-out would end, looked up once: for who asks first whether it is worth a record, and
//! then has it carried out.

use super::{accounts_under, cutoff_of, rule_scope, takes_whole};
use crate::model::tag::{AccountTag, TaggedScope};
use std::collections::BTreeMap;

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
    /// Whether somebody is signed in whom it would end, or may be: what does not open counts,
    /// unless just that scope was signed out already. If nobody is, every sign-out that may be the
    /// reason is durable.
    pub(crate) ends_anybody: bool,
    /// Whether one of its scopes is known: a sign-in of it is or was there whose rows are not
    /// deleted yet, or a sign-out of it is on record.
    pub(crate) is_known: bool,
    /// The accounts that it takes whole, as far as they can be read.
    pub(crate) accounts: Vec<AccountId>,
    /// For the sign-out itself: [`SignOut::with_seen`].
    pub(crate) seen: Seen,
}

/// An account's header and sign-ins. `None` stands for what does not open.
struct Looked {
    id: Option<AccountId>,
    lives: Option<Vec<Option<Life>>>,
}

/// Looks at each account once, however many of the scopes lead to it.
pub(crate) fn outlook(core: &Core, request: &SignOut) -> Result<Outlook> {
    let open = core.enter()?;
    let mut outlook = Outlook {
        ends_anybody: false,
        is_known: false,
        accounts: Vec::new(),
        seen: Seen::default(),
    };
    let mut looked: BTreeMap<AccountTag, Option<Looked>> = BTreeMap::new();
    for scope in request.scopes() {
        let scope = rule_scope(&core.tagger, scope);
        let is_recorded = core.ledger.fences().last(scope).is_some();
        outlook.is_known |= is_recorded;
        let is_whole =
            matches!(scope, TaggedScope::Account(_)) || takes_whole(core, request, &scope);
        for account in accounts_under(&open, scope)? {
            if outlook.ends_anybody && !is_whole {
                break;
            }
            let account_looked = match looked.get(&account) {
                Some(known) => known,
                None => &*looked.entry(account).or_insert(look(&open, &account)?),
            };
            if let Some(account_looked) = account_looked {
                outlook.add(core, request, (scope, account), account_looked, is_recorded);
            }
        }
    }
    if !outlook.ends_anybody {
        core.ledger.settle()?;
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
        let is_of = |life: &Life| life.scopes().any(|one| one == scope);
        let ends = |life: &Life| {
            is_of(life) && rule::takes(cutoff, now, life.time) && core.is_live(life, now)
        };
        self.ends_anybody |= any(looked, ends, !is_recorded);
        // Also one that has ended already, if it is still listed; and what does not open: when in
        // doubt, forget.
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

/// Whether one of the sign-ins is wanted. Of what does not open it cannot be told: `in_doubt`.
fn any(looked: &Looked, is_wanted: impl Fn(&Life) -> bool, in_doubt: bool) -> bool {
    let Some(lives) = &looked.lives else { return in_doubt };
    lives.iter().any(|life| life.as_ref().map_or(in_doubt, &is_wanted))
}

/// `None` if there is no such account.
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
            Ok(Some(body)) => Some(open.core.life(*account, header.other, &body)),
            Ok(None) | Err(Error::Tampered(_)) => None,
            Err(error) => return Err(error),
        });
    }
    Ok(Some(Looked { id, lives: Some(lives) }))
}
