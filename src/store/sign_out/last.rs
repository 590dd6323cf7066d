//! When a user was last signed out, under any of their names.
//!
//! A sign-in has many names: its account, the subject that the account is, its tenant, its session.
//! A sign-out under any of them, or of everybody, ends it. Only the rows of the sign-ins tell which
//! of the names belong together, for as long as they are there.

use super::{accounts_under, rule_scope, sign_in_scopes};
use crate::backend::Ask;
use crate::crypto::Tagger;
use crate::model::error::{Error, Result};
use crate::model::id::{AccountId, Subject};
use crate::model::sign_out::{LastSignOut, Recorded, SignOutScope, SignOutScopeKind};
use crate::model::tag::{AccountTag, TaggedScope};
use crate::model::time::from_millis;
use crate::rule::{Fence, NO_CUTOFF};
use crate::store::access::Open;
use crate::store::core::Core;
use crate::store::identity;

/// The newest sign-out that can have ended a sign-in of this scope.
pub(crate) fn last_sign_out(core: &Core, scope: &SignOutScope) -> Result<LastSignOut> {
    core.read_ledger(Ask::default, |open| last_in(open, scope))
}

fn last_in(open: &Open<'_>, scope: &SignOutScope) -> Result<LastSignOut> {
    let core = open.core;
    let mut names = names_of(&core.tagger, scope);
    // If the rows cannot be read, the answer says which names were not looked at. That is better
    // than none.
    let has_rows =
        add_names_in_rows(open, rule_scope(&core.tagger, scope), &mut names).unwrap_or(false);
    let (floor, known_since) = open.horizon()?;
    let (last, exact) = open.rule(names.clone(), |fences| {
        // The floor stands for dropped records. It is not a sign-out that a caller asked for. (It may
        // have risen since it was read.)
        let floor = fences.floor().map_or(floor, |own| own.position.max(floor));
        let find = |name| Some((name, fences.last(name).filter(|fence| fence.position > floor)?));
        let last =
            names.iter().filter_map(|name| find(*name)).max_by_key(|(_, fence)| fence.position);
        (last, find(rule_scope(&core.tagger, scope)))
    })?;
    // Only a durable sign-out is reported: a crash must not undo the answer.
    if let Some((_, fence)) = last {
        open.wait(fence.position)?;
    }
    let not_looked_at = if has_rows { Vec::new() } else { unknown_names(scope) };
    Ok(LastSignOut {
        record: last.map(recorded),
        exact: exact.map(recorded),
        known_since: from_millis(known_since),
        not_looked_at,
    })
}

/// Whether there is a sign-out of exactly this scope.
#[cfg(feature = "logout")]
pub(crate) fn is_on_record(core: &Core, scope: &SignOutScope) -> Result<bool> {
    let scope = rule_scope(&core.tagger, scope);
    core.read_ledger(
        || Ask::default().fences([scope]),
        |open| {
            let (floor, _) = open.horizon()?;
            let last = open.last_fence(scope)?.filter(|fence| fence.position > floor);
            last.map_or(Ok(false), |fence| open.wait(fence.position).map(|()| true))
        },
    )
}

/// The scopes that have the same sign-ins as this one, and everybody, as far as they follow from
/// the name: an account that is known by issuer and subject is that subject, and the other way
/// round.
pub(crate) fn names_of(tagger: &Tagger, scope: &SignOutScope) -> Vec<TaggedScope> {
    let mut names = vec![rule_scope(tagger, scope), TaggedScope::Everybody];
    match scope {
        SignOutScope::Account(id) => add_account(tagger, id, &mut names),
        SignOutScope::Subject(subject) => {
            add_account(tagger, &AccountId::of_subject(subject.clone()), &mut names)
        }
        SignOutScope::SignIn(account, id) => {
            names.extend(sign_in_scopes(tagger, account, id));
            add_account(tagger, account, &mut names);
        }
        SignOutScope::Session(_) | SignOutScope::Tenant(_) | SignOutScope::Everybody => {}
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn add_account(tagger: &Tagger, id: &AccountId, names: &mut Vec<TaggedScope>) {
    let (tag, other) = identity::tags(tagger, id);
    names.extend([tag].into_iter().chain(other).map(TaggedScope::Account));
    let subject = id
        .authority()
        .zip(id.home_account_id())
        .and_then(|(issuer, sub)| Subject::new(issuer, sub).ok());
    names.extend(subject.map(|subject| TaggedScope::Subject(tagger.subject(&subject))));
    names.extend(id.as_app().map(|(tenant, _)| TaggedScope::Tenant(tagger.tenant(tenant))));
}

/// Adds the other names of the listed sign-ins of this scope. Returns whether there were any such
/// sign-ins.
fn add_names_in_rows(
    open: &Open<'_>,
    scope: TaggedScope,
    names: &mut Vec<TaggedScope>,
) -> Result<bool> {
    let mut accounts: Vec<AccountTag> = accounts_under(open, scope)?;
    accounts.extend(
        names.iter().filter_map(|name| {
            if let TaggedScope::Account(tag) = name { Some(*tag) } else { None }
        }),
    );
    accounts.sort_unstable();
    accounts.dedup();
    // A name that is found in the rows does not lead to further sign-ins: only these names do.
    let mut asked = names.clone();
    // The account's other sign-ins have names of their own.
    if let TaggedScope::SignIn(_) = scope {
        asked.retain(|name| matches!(name, TaggedScope::SignIn(_)));
    }
    let mut has_rows = matches!(scope, TaggedScope::Tenant(_) | TaggedScope::Everybody);
    for account in accounts {
        let header = match open.header(&account) {
            Ok(Some((_, header))) => header,
            Ok(None) | Err(Error::Tampered(_)) => continue,
            Err(error) => return Err(error),
        };
        for id in &header.sign_ins {
            let Ok(Some(body)) = open.sign_in(&account, &header, id) else { continue };
            let life = open.core.life(account, header.other, id, &body);
            if life.scopes().any(|one| asked.contains(&one) && one != TaggedScope::Everybody) {
                names.extend(life.scopes());
                has_rows = true;
            }
        }
    }
    Ok(has_rows)
}

/// The kinds of names that sign-ins of this scope may have, but that do not follow from the scope
/// itself.
fn unknown_names(scope: &SignOutScope) -> Vec<SignOutScopeKind> {
    use SignOutScopeKind::{Account, Session, SignIn, Subject, Tenant};
    match scope {
        SignOutScope::Account(id) if id.as_app().is_some() => Vec::new(),
        SignOutScope::Account(_) => vec![Tenant, Session, Subject, SignIn],
        SignOutScope::Subject(_) => vec![Tenant, Account, Session, SignIn],
        SignOutScope::Session(_) => vec![Tenant, Account, Subject, SignIn],
        SignOutScope::SignIn(..) => vec![Tenant, Session, Subject],
        SignOutScope::Tenant(_) | SignOutScope::Everybody => Vec::new(),
    }
}

fn recorded((scope, fence): (TaggedScope, Fence)) -> Recorded {
    Recorded {
        position: fence.position.get(),
        at: from_millis(fence.time),
        kind: SignOutScopeKind::of_rule(scope),
        signed_in_before: (fence.cutoff != NO_CUTOFF).then(|| from_millis(fence.cutoff)),
    }
}
