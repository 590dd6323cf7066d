//! Signing out, in every scope: fence in memory, record on the disk, then return. No row is
//! searched for, so none can be missed.

mod count;
mod last;
#[cfg(feature = "logout")]
mod outlook;
mod there;

#[cfg(feature = "logout")]
pub(crate) use self::last::is_on_record;
pub(crate) use self::last::{last_sign_out, names_of};
#[cfg(feature = "logout")]
pub(crate) use self::outlook::{Outlook, outlook};
use crate::backend::{Ask, Backend, Embedded};
use crate::crypto::Tagger;
use crate::ledger::MAX_CALL;
use crate::model::error::{Component, Error, Result};
use crate::model::id::{AccountId, Alias};
use crate::model::random_id::SignInId;
use crate::model::seen::Seen;
use crate::model::sign_out::{Receipt, SessionPolicy, SignOut, SignOutScope};
use crate::model::tag::{AccountTag, TaggedScope};
use crate::model::time::{Millis, from_millis, to_millis};
use crate::model::token::{RefreshToken, Token};
use crate::rows::row_key::{self, AccountRow, IndexEntry};
use crate::rows::sign_in::SignInBody;
use crate::rule::{self, Before, NO_CUTOFF};
use crate::store::access::Open;
use crate::store::core::Core;
use crate::store::identity;

pub(crate) fn sign_out(core: &Core, request: SignOut) -> Result<Receipt> {
    if request.take
        && request
            .scopes()
            .any(|scope| matches!(scope, SignOutScope::Tenant(_) | SignOutScope::Everybody))
    {
        return Err(Error::invalid(
            "scope",
            "refresh tokens can be taken of an account, sign-in, session or subject only",
        ));
    }
    // First: another thread that deletes rows, as for an earlier sign-out, could delete rows that
    // are still to be counted.
    let counts = request.is_counted.then(|| core.counting.begin());
    let Done { mut receipt, scopes, before, failure } = carry_out(core, &request)?;
    // Before the reclaimer is told: once it has deleted the rows, there is nothing left to count.
    if request.is_counted {
        receipt.counted = count::ended(core, &scopes, &before).ok();
    }
    drop(counts);
    core.backlog.push(&scopes);
    match failure {
        Some(source) => Err(Error::OnlySessionEnded { receipt, source: Box::new(source) }),
        None => Ok(receipt),
    }
}

/// A sign-out that is durable. Counting and reclaiming are still to be done.
struct Done {
    receipt: Receipt,
    scopes: Vec<TaggedScope>,
    before: Before,
    /// Why the accounts of a session could not be found.
    failure: Option<Error>,
}

fn carry_out(core: &Core, request: &SignOut) -> Result<Done> {
    match &core.backend {
        Backend::Embedded(embedded) => {
            let open = core.enter_ledger()?;
            let named = named(&open, request)?;
            if named.is_empty() {
                return Done::of_nobody(&open);
            }
            end_here(&open, embedded, request, named)
        }
        Backend::Remote(remote) => {
            let look = |open: &Open<'_>| {
                let named = named(open, request)?;
                let nobody = if named.is_empty() { Some(Done::of_nobody(open)?) } else { None };
                Ok((named, nobody))
            };
            // Only aliases are looked up.
            let found = match request.aliases.is_empty() {
                true => look(&core.enter()?),
                false => core.read(Ask::default, look),
            };
            match found? {
                (_, Some(nobody)) => Ok(nobody),
                (named, None) => there::end(core, remote, request, named),
            }
        }
    }
}

/// The scopes of the request, and the accounts of its aliases.
fn named(open: &Open<'_>, request: &SignOut) -> Result<Vec<TaggedScope>> {
    let tagger = &open.core.tagger;
    let mut named: Vec<TaggedScope> =
        request.scopes().map(|scope| rule_scope(tagger, scope)).collect();
    // Of an account that may have rows under two tags, either may have this sign-in.
    for scope in request.scopes().filter(|_| open.core.knows_two_tags()) {
        if let SignOutScope::SignIn(account, id) = scope {
            named.extend(sign_in_scopes(tagger, account, id).skip(1));
        }
    }
    let accounts = accounts_of_aliases(open, &request.aliases)?;
    named.extend(accounts.into_iter().map(TaggedScope::Account));
    Ok(named)
}

/// Lets the fences stand in this process's ledger, and waits until they are durable.
fn end_here(
    open: &Open<'_>,
    embedded: &Embedded,
    request: &SignOut,
    named: Vec<TaggedScope>,
) -> Result<Done> {
    let core = open.core;
    let session_locks = embedded.lock_sessions(named.iter().filter_map(|scope| match scope {
        TaggedScope::Session(tag) => Some(tag),
        _ => None,
    }));
    let Taken { accounts: taken, is_asked, failure } = accounts_taken(open, request, &named);
    let mut scopes = named.clone();
    let accounts = taken.iter().map(|account| TaggedScope::Account(*account));
    scopes.extend(accounts.filter(|scope| !named.contains(scope)));

    // If refresh tokens are to be taken: the accounts' locks keep the reclaimer from deleting the
    // rows between the fence and the reading.
    let (holders, mut is_missed) =
        match request.take.then(|| accounts_in_any(open, &scopes, &request.seen)) {
            Some(Ok(holders)) => (with_named(core, request, holders), failure.is_some()),
            Some(Err(_)) => (taken.clone(), true),
            None => (Vec::new(), false),
        };
    let locks = embedded.lock_accounts(&holders);
    let now = core.clock.now();
    // From here on, every read obeys the sign-out. It is acknowledged only after the wait below.
    let (span, before) =
        embedded.ledger.stand_watched(&scopes, cutoff_of(request), now, request.is_counted)?;
    drop(session_locks);
    embedded.ledger.wait(span.last)?;

    let mut refresh_tokens = Vec::new();
    if request.take {
        is_missed |= !take_all(open, request, (&named, &holders), &mut refresh_tokens);
    }
    drop(locks);
    let receipt = Receipt {
        position: span.last.get(),
        at: from_millis(now),
        accounts: is_asked.then_some(taken.len()),
        refresh_tokens,
        refresh_tokens_missed: is_missed,
        counted: None,
    };
    Ok(Done { receipt, scopes: with_rows(core, request, scopes), before, failure })
}

/// The scopes by which the rows of what has ended are found: a sign-in's rows by its account, and
/// an account's under its other tag too.
fn with_rows(core: &Core, request: &SignOut, mut scopes: Vec<TaggedScope>) -> Vec<TaggedScope> {
    scopes.retain(|scope| !matches!(scope, TaggedScope::SignIn(_)));
    scopes.extend(named_accounts(core, request).map(TaggedScope::Account));
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

/// Reads the refresh tokens of the accounts, whose locks the caller holds. Returns whether those
/// were all.
fn take_all(
    open: &Open<'_>,
    request: &SignOut,
    (named, holders): (&[TaggedScope], &[AccountTag]),
    taken: &mut Vec<RefreshToken>,
) -> bool {
    let mut all = true;
    for account in holders {
        all &= take(open, account, taken);
    }
    // A sign-in that came between the search for accounts and the fence has ended too, but the lock
    // of its account is not held here, so its tokens are not read.
    let now = accounts_in_any(open, named, &request.seen);
    all && !now.is_ok_and(|now| now.iter().any(|account| !holders.contains(account)))
}

/// The accounts that end as a whole, in addition to the named scopes.
struct Taken {
    accounts: Vec<AccountTag>,
    /// Whether the request asks for such accounts.
    is_asked: bool,
    /// Why they could not be found.
    failure: Option<Error>,
}

/// Looks up the accounts that a sign-out of a session (or subject) ends as a whole. If they cannot
/// be found, the named scopes end all the same.
fn accounts_taken(open: &Open<'_>, request: &SignOut, named: &[TaggedScope]) -> Taken {
    let whole: Vec<_> =
        named.iter().copied().filter(|scope| takes_whole(open.core, request, scope)).collect();
    let (accounts, failure) = match accounts_in_any(open, &whole, &request.seen) {
        Ok(accounts) if named.len() + accounts.len() > MAX_CALL => (Vec::new(), Some(too_many())),
        Ok(accounts) => (accounts, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    Taken { accounts, is_asked: !whole.is_empty(), failure }
}

fn too_many() -> Error {
    Error::invalid("session", "more accounts share it than one sign-out can hold")
}

impl Done {
    /// The result for aliases that no account has: nothing is recorded. That there is none may be a
    /// sign-out's doing, which must be durable then.
    fn of_nobody(open: &Open<'_>) -> Result<Self> {
        open.settle_elsewhere()?;
        let receipt = Receipt {
            position: open.end()?.get(),
            at: from_millis(open.core.clock.now()),
            accounts: Some(0),
            refresh_tokens: Vec::new(),
            refresh_tokens_missed: false,
            counted: None,
        };
        Ok(Self { receipt, scopes: Vec::new(), before: Before::default(), failure: None })
    }
}

/// The tags of the accounts that are named, or whose sign-ins are: also their other tags.
fn named_accounts(core: &Core, request: &SignOut) -> impl Iterator<Item = AccountTag> {
    let ids = request.scopes().filter_map(|scope| match scope {
        SignOutScope::Account(id) | SignOutScope::SignIn(id, _) => Some(id),
        _ => None,
    });
    ids.flat_map(|id| {
        let tag = core.tagger.account(id);
        [tag].into_iter().chain(core.other_tag(id, &tag))
    })
}

fn with_named(core: &Core, request: &SignOut, mut accounts: Vec<AccountTag>) -> Vec<AccountTag> {
    accounts.extend(named_accounts(core, request));
    accounts.sort_unstable();
    accounts.dedup();
    accounts
}

/// The scope with its identifier as a keyed hash.
pub(crate) fn rule_scope(tagger: &Tagger, scope: &SignOutScope) -> TaggedScope {
    match scope {
        SignOutScope::Account(id) => TaggedScope::Account(tagger.account(id)),
        SignOutScope::Session(id) => TaggedScope::Session(tagger.session(id)),
        SignOutScope::Subject(id) => TaggedScope::Subject(tagger.subject(id)),
        SignOutScope::Tenant(id) => TaggedScope::Tenant(tagger.tenant(id)),
        SignOutScope::SignIn(account, id) => {
            let id = SignInId::from_bytes(*id);
            TaggedScope::SignIn(tagger.sign_in(&tagger.account(account), &id))
        }
        SignOutScope::Everybody => TaggedScope::Everybody,
    }
}

/// The scopes of one sign-in, under the account's tag of today first.
pub(crate) fn sign_in_scopes(
    tagger: &Tagger,
    account: &AccountId,
    id: &[u8; 16],
) -> impl Iterator<Item = TaggedScope> {
    let (today, other) = identity::tags(tagger, account);
    let id = SignInId::from_bytes(*id);
    let tags = [today].into_iter().chain(other);
    tags.map(move |tag| tagger.sign_in(&tag, &id))
        .map(TaggedScope::SignIn)
        .collect::<Vec<_>>()
        .into_iter()
}

/// The accounts that have a sign-in with one of these aliases, each once.
fn accounts_of_aliases(open: &Open<'_>, aliases: &[Alias]) -> Result<Vec<AccountTag>> {
    let mut all = Vec::new();
    if !aliases.is_empty() && open.core.is_engine_failed() {
        return Err(Error::Poisoned(Component::Engine));
    }
    for alias in aliases {
        for account in accounts_by(open, IndexEntry::Alias(open.core.tagger.alias(alias)))? {
            let has = |body: &SignInBody, _: &rule::Life| body.aliases.contains(alias);
            if has_sign_in(open, &account, has, true)? {
                all.push(account);
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// The accounts that have sign-ins of any of these scopes, each once.
fn accounts_in_any(
    open: &Open<'_>,
    scopes: &[TaggedScope],
    seen: &Seen,
) -> Result<Vec<AccountTag>> {
    let mut all = Vec::new();
    for scope in scopes {
        all.extend(accounts_in(open, *scope, seen)?);
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// The accounts that have sign-ins of this scope. The index finds them, and their own sealed rows
/// decide. A row that does not open counts as a match, and so does a sign-in that has ended
/// already, if it is still listed: when in doubt, forget.
fn accounts_in(open: &Open<'_>, scope: TaggedScope, seen: &Seen) -> Result<Vec<AccountTag>> {
    if open.core.is_engine_failed() {
        return Err(Error::Poisoned(Component::Engine));
    }
    if let TaggedScope::Account(account) = scope {
        return Ok(vec![account]);
    }
    let mut accounts = accounts_under(open, scope)?;
    let mut result = Ok(());
    accounts.retain(|account| {
        let has =
            || has_sign_in(open, account, |_, life| life.scopes().any(|one| one == scope), true);
        seen.has(scope, account)
            || has().unwrap_or_else(|error| {
                result = Err(error);
                false
            })
    });
    result.map(|()| accounts)
}

/// The accounts that the index has under this scope, at most as many as one call can record.
fn accounts_under(open: &Open<'_>, scope: TaggedScope) -> Result<Vec<AccountTag>> {
    let entry = match scope {
        TaggedScope::Account(account) => return Ok(vec![account]),
        TaggedScope::Session(tag) => IndexEntry::Session(tag),
        TaggedScope::Subject(tag) => IndexEntry::Subject(tag),
        // The accounts of sign-ins are named by the request.
        TaggedScope::SignIn(_) | TaggedScope::Tenant(_) | TaggedScope::Everybody => {
            return Ok(Vec::new());
        }
    };
    accounts_by(open, entry)
}

fn accounts_by(open: &Open<'_>, entry: IndexEntry) -> Result<Vec<AccountTag>> {
    let mut accounts = Vec::new();
    open.for_each_row(&entry.accounts(), |(key, _)| {
        accounts.extend(row_key::indexed_account(&key));
        // More cannot be recorded in one call.
        Ok(accounts.len() < MAX_CALL)
    })?;
    Ok(accounts)
}

fn cutoff_of(request: &SignOut) -> Millis {
    const LATEST: Millis = Millis::new(NO_CUTOFF.get() - 1);
    request.cutoff.map_or(NO_CUTOFF, |time| to_millis(time).min(LATEST))
}

/// Whether the account has a sign-in that is wanted. `in_doubt` is the answer for a row that does
/// not open.
fn has_sign_in(
    open: &Open<'_>,
    account: &AccountTag,
    is_wanted: impl Fn(&SignInBody, &rule::Life) -> bool,
    in_doubt: bool,
) -> Result<bool> {
    let (_, header) = match open.header(account) {
        Ok(Some(header)) => header,
        Ok(None) => return Ok(false),
        Err(Error::Tampered(_)) => return Ok(in_doubt),
        Err(error) => return Err(error),
    };
    for id in &header.sign_ins {
        let has = match open.sign_in(account, &header, id) {
            Ok(Some(body)) => is_wanted(&body, &open.core.life(*account, header.other, id, &body)),
            Ok(None) | Err(Error::Tampered(_)) => in_doubt,
            Err(error) => return Err(error),
        };
        if has {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads the refresh tokens of the account's dead sign-ins. Returns whether those were all. The
/// caller holds the account's lock.
fn take(open: &Open<'_>, account: &AccountTag, taken: &mut Vec<RefreshToken>) -> bool {
    let header = match open.header(account) {
        Ok(Some((_, header))) => header,
        Ok(None) => return true,
        Err(_) => return false,
    };
    let mut all = true;
    for id in &header.sign_ins {
        let Ok(Some(body)) = open.sign_in(account, &header, id) else {
            all = false;
            continue;
        };
        let life = open.core.life(*account, header.other, id, &body);
        match open.is_dead(&life) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(_) => {
                all = false;
                continue;
            }
        }
        let read = open.for_each_row(&row_key::tokens(account, id), |(key, value)| {
            if let Some(AccountRow::Token { part: 0, .. }) = row_key::parse(&key) {
                match open.token(&header, key, value) {
                    Ok(Some(Token::Refresh(token))) => taken.push(token),
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => all = false,
                }
            }
            Ok(true)
        });
        all &= read.is_ok();
    }
    all
}

/// Whether the accounts with a sign-in of this scope end as a whole.
fn takes_whole(core: &Core, request: &SignOut, scope: &TaggedScope) -> bool {
    match scope {
        TaggedScope::Session(_) => {
            request.policy.unwrap_or(core.options.session_policy) == SessionPolicy::WholeAccount
        }
        TaggedScope::Subject(_) => request.policy == Some(SessionPolicy::WholeAccount),
        _ => false,
    }
}
