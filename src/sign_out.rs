//! Signing out, in every scope: fence in memory, record on the disk, then return. Nothing is looked for, so nothing can be missed.

mod count;
mod last;
#[cfg(feature = "logout")]
mod outlook;
mod seen;

use std::time::SystemTime;

#[cfg(feature = "logout")]
pub(crate) use self::last::is_on_record;
pub(crate) use self::last::{last_sign_out, names_of};
#[cfg(feature = "logout")]
pub(crate) use self::outlook::{Outlook, outlook};
use self::seen::Seen;

use crate::clock::{Millis, from_millis, to_millis};
use crate::crypto::{Tag, Tagger};
use crate::error::{Error, Part, Result};
use crate::gate::{Core, Open};
use crate::history::ScopeKind;
use crate::id::{AccountId, Alias, SessionId, Subject, TenantId};
use crate::layout::{self, AccountRow, Index};
use crate::ledger::MAX_CALL;
use crate::row::SignInBody;
use crate::rule::{self, Before, NO_CUTOFF};
use crate::token::{RefreshToken, Token};

/// Whose sign-ins end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// Every sign-in of an account.
    Account(AccountId),
    /// The sign-ins of a session at the provider; what else ends is for the [`SessionPolicy`] to say.
    Session(SessionId),
    /// Every sign-in that was made with this subject.
    Subject(Subject),
    /// Every sign-in in a tenant, and every token of it that other sign-ins hold.
    Tenant(TenantId),
    /// Every sign-in there is.
    Everybody,
}

/// What a session's sign-out ends beside the session itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionPolicy {
    /// The whole account that the session is of, in every browser: what the providers' documents ask of an app when a user signs out.
    #[default]
    WholeAccount,
    /// Only the sign-ins of this session.
    OnlySession,
}

/// A sign-out to be done. Every sign-in in its scope that was made before ends, for ever.
///
/// ```
/// # use oubliette::*;
/// # let store = TokenStore::in_memory()?;
/// let session = SessionId::new("https://idp.example.com", "s-1")?;
/// let receipt = store.sign_out(SignOut::session(&session).taking_refresh_tokens())?;
/// assert_eq!(receipt.refresh_tokens.len(), 0); // Nobody was there: recorded all the same.
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SignOut {
    scopes: Vec<Scope>,
    /// Whose accounts are looked up.
    aliases: Vec<Alias>,
    cutoff: Option<SystemTime>,
    take: bool,
    is_counted: bool,
    policy: Option<SessionPolicy>,
    /// What was looked up for it already.
    seen: Seen,
}

impl SignOut {
    /// In any scope.
    pub fn of(scope: Scope) -> Self {
        let (scopes, aliases) = (vec![scope], Vec::new());
        Self { scopes, aliases, cutoff: None, take: false, is_counted: false, policy: None, seen: Seen::default() }
    }

    /// Of an account, wherever it is signed in.
    pub fn account(account: &AccountId) -> Self {
        Self::of(Scope::Account(account.clone()))
    }

    /// Of a session at the provider.
    pub fn session(session: &SessionId) -> Self {
        Self::of(Scope::Session(session.clone()))
    }

    /// Of a subject at the provider.
    pub fn subject(subject: &Subject) -> Self {
        Self::of(Scope::Subject(subject.clone()))
    }

    /// Of every account that has a sign-in of this alias: they are looked up, and recorded by their own names. An alias has no record itself: who
    /// is on the way in meanwhile is not covered, and if nobody is there, nothing is recorded. The engine has to be readable.
    pub fn alias(alias: &Alias) -> Self {
        Self { scopes: Vec::new(), aliases: vec![alias.clone()], ..Self::of(Scope::Everybody) }
    }

    /// Of a tenant: everybody who signed in to it, and the tokens of it that guests hold.
    pub fn tenant(tenant: &TenantId) -> Self {
        Self::of(Scope::Tenant(tenant.clone()))
    }

    /// Of everybody.
    pub fn everybody() -> Self {
        Self::of(Scope::Everybody)
    }

    /// And of this scope, in the same stroke: for signals that name a user by more than one name.
    pub fn and(mut self, scope: Scope) -> Self {
        self.scopes.push(scope);
        self
    }

    /// Only who signed in by this time, to the millisecond: for signals that say when they were made, so that a late or
    /// repeated one does not end a newer sign-in. Claims such as `iat` are in whole seconds: give the end of that second, and what
    /// the clocks may differ by.
    pub fn signed_in_before(mut self, time: SystemTime) -> Self {
        self.cutoff = Some(time);
        self
    }

    /// Gives the refresh tokens that it ends, so that they can be revoked (RFC 7009). For an account, session or subject.
    pub fn taking_refresh_tokens(mut self) -> Self {
        self.take = true;
        self
    }

    /// Counts whom it ended, in [`Receipt::counted`]. The sign-out stands, and is durable, as soon as without; but the call returns when all is
    /// counted: for a tenant, or everybody, it goes through all their accounts.
    pub fn counted(mut self) -> Self {
        self.is_counted = true;
        self
    }

    /// The kind of its scope, or of the first of several.
    pub(crate) fn kind(&self) -> ScopeKind {
        self.scopes.first().map_or(ScopeKind::Account, ScopeKind::of)
    }

    /// What is known from a look just before need not be read again.
    #[cfg(feature = "logout")]
    pub(crate) fn with_seen(self, seen: Seen) -> Self {
        Self { seen, ..self }
    }

    #[cfg(feature = "logout")]
    pub(crate) fn cutoff(&self) -> Option<SystemTime> {
        self.cutoff
    }

    pub(crate) fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.iter()
    }

    /// Whether the accounts with a sign-in of this scope end too.
    fn takes_whole(&self, core: &Core, scope: &rule::Scope) -> bool {
        match scope {
            rule::Scope::Session(_) => self.policy.unwrap_or(core.options.session_policy) == SessionPolicy::WholeAccount,
            rule::Scope::Subject(_) => self.policy == Some(SessionPolicy::WholeAccount),
            _ => false,
        }
    }

    /// What a session's sign-out ends, instead of what the store was built with. Said of a subject it is meant likewise: by
    /// [`WholeAccount`](SessionPolicy::WholeAccount) every account with a sign-in of that subject ends, which without a policy it does not.
    pub fn policy(mut self, policy: SessionPolicy) -> Self {
        self.policy = Some(policy);
        self
    }
}

/// A sign-out that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Its (last) record's place in the ledger.
    pub position: u64,
    /// When it was asked for.
    pub at: SystemTime,
    /// How many accounts a session's sign-out took (or a subject's, if it was to take them); `None` in other scopes, which look for nobody.
    pub accounts: Option<usize>,
    /// The refresh tokens that it ended, if they were asked for.
    pub refresh_tokens: Vec<RefreshToken>,
    /// Whether some refresh tokens could not be read, because the engine failed or a row does not open.
    pub refresh_tokens_missed: bool,
    /// Whom it ended, if that was [to be counted](SignOut::counted). `None` if not, or if the engine cannot be read. Whom another sign-in
    /// of the account has pushed out between the sign-out and the counting is not counted; sweeps and the reclaimer wait meanwhile.
    pub counted: Option<Counted>,
}

/// Whom a sign-out ended: those who were live until then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counted {
    /// Accounts of which at least one sign-in ended.
    pub accounts: u64,
    /// Their sign-ins that ended. (Not the tokens of a tenant that sign-ins of others hold, which end too.)
    pub sign_ins: u64,
}

/// What the store knows of the last sign-out of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastSignOut {
    /// The newest sign-out that can have ended a sign-in of them, if one is known: see
    /// [`TokenStore::last_sign_out`](crate::TokenStore::last_sign_out).
    pub record: Option<Recorded>,
    /// The newest sign-out of exactly this scope, if one is known.
    pub exact: Option<Recorded>,
    /// Sign-outs since this time are all known. Older ones may have been dropped: every sign-in from before has ended by its age.
    pub known_since: SystemTime,
    /// By which names nobody could be looked for: nothing is left of the sign-ins that had them, or it cannot be read.
    pub not_looked_at: Vec<ScopeKind>,
}

/// A sign-out, as the ledger keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recorded {
    /// Its place in the ledger.
    pub position: u64,
    /// When it was asked for.
    pub at: SystemTime,
    /// What it was the sign-out of.
    pub kind: ScopeKind,
    /// Only sign-ins made by this time ended; `None` if all did.
    pub signed_in_before: Option<SystemTime>,
}

pub(crate) fn sign_out(core: &Core, request: SignOut) -> Result<Receipt> {
    if request.take && request.scopes().any(|scope| matches!(scope, Scope::Tenant(_) | Scope::Everybody)) {
        return Err(Error::invalid("scope", "refresh tokens can be taken of an account, session or subject only"));
    }
    // Whoever deletes already, as for an earlier sign-out, would take away what is to be counted.
    let counts = request.is_counted.then(|| core.counting.begin());
    let Done { mut receipt, scopes, before, failure } = carry_out(core, &request)?;
    // Before the reclaimer hears of it: then there is nothing left to count.
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

/// A sign-out that is durable; what is behind it has still to be done.
struct Done {
    receipt: Receipt,
    scopes: Vec<rule::Scope>,
    before: Before,
    /// Why the accounts of a session could not be found.
    failure: Option<Error>,
}

fn carry_out(core: &Core, request: &SignOut) -> Result<Done> {
    let open = core.enter_ledger()?;
    let mut named: Vec<rule::Scope> = request.scopes().map(|scope| rule_scope(&core.tagger, scope)).collect();
    named.extend(accounts_of_aliases(&open, &request.aliases)?.into_iter().map(rule::Scope::Account));
    if named.is_empty() {
        return Ok(Done::of_nobody(core));
    }
    let session_locks = core.lock_sessions(named.iter().filter_map(|scope| match scope {
        rule::Scope::Session(tag) => Some(tag),
        _ => None,
    }));

    // The accounts that a session's sign-out takes, and those whose refresh tokens are wanted.
    let whole: Vec<_> = named.iter().copied().filter(|scope| request.takes_whole(core, scope)).collect();
    let is_whole = !whole.is_empty();
    let (taken, failure) = match accounts_in_any(&open, &whole, &request.seen) {
        Ok(accounts) if named.len() + accounts.len() > MAX_CALL => {
            (Vec::new(), Some(Error::invalid("session", "more accounts share it than one sign-out can hold")))
        }
        Ok(accounts) => (accounts, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let mut scopes = named.clone();
    scopes.extend(taken.iter().map(|account| rule::Scope::Account(*account)).filter(|scope| !named.contains(scope)));

    // Taking: nobody may reclaim the rows between the fence and our reading them.
    let (holders, mut is_missed) = match request.take.then(|| accounts_in_any(&open, &scopes, &request.seen)) {
        Some(Ok(holders)) => (with_other_tags(core, request, holders), failure.is_some()),
        Some(Err(_)) => (taken.clone(), true),
        None => (Vec::new(), false),
    };
    let locks = core.lock_accounts(&holders);
    let now = core.clock.now();
    let (span, before) = core.ledger.stand_watched(&scopes, cutoff_of(request), now, request.is_counted)?;
    drop(session_locks);
    core.ledger.wait(span.last)?;

    let mut refresh_tokens = Vec::new();
    if request.take {
        for account in &holders {
            is_missed |= !take(&open, account, &mut refresh_tokens);
        }
        // A sign-in of the subject that came between our looking and the fence has ended, but we do not hold its lock.
        let now = accounts_in_any(&open, &named, &request.seen);
        is_missed |= now.is_ok_and(|now| now.iter().any(|account| !holders.contains(account)));
    }
    drop(locks);
    let receipt = Receipt {
        position: span.last,
        at: from_millis(now),
        accounts: is_whole.then_some(taken.len()),
        refresh_tokens,
        refresh_tokens_missed: is_missed,
        counted: None,
    };
    // What has the account's rows under its other tag is reclaimed like the rest.
    scopes.extend(other_tags(core, request).map(rule::Scope::Account));
    Ok(Done { receipt, scopes, before, failure })
}

impl Done {
    /// An alias that nobody has.
    fn of_nobody(core: &Core) -> Self {
        let receipt = Receipt {
            position: core.ledger.synced(),
            at: from_millis(core.clock.now()),
            accounts: Some(0),
            refresh_tokens: Vec::new(),
            refresh_tokens_missed: false,
            counted: None,
        };
        Self { receipt, scopes: Vec::new(), before: Before::default(), failure: None }
    }
}

/// The other tags of the accounts that are named.
fn other_tags(core: &Core, request: &SignOut) -> impl Iterator<Item = Tag> {
    request.scopes().filter_map(|scope| match scope {
        Scope::Account(id) => core.other_tag(id, &core.tagger.account(id)),
        _ => None,
    })
}

fn with_other_tags(core: &Core, request: &SignOut, mut accounts: Vec<Tag>) -> Vec<Tag> {
    accounts.extend(other_tags(core, request));
    accounts.sort_unstable();
    accounts.dedup();
    accounts
}

/// The scope by its keyed hash.
pub(crate) fn rule_scope(tagger: &Tagger, scope: &Scope) -> rule::Scope {
    match scope {
        Scope::Account(id) => rule::Scope::Account(tagger.account(id)),
        Scope::Session(id) => rule::Scope::Session(tagger.session(id)),
        Scope::Subject(id) => rule::Scope::Subject(tagger.subject(id)),
        Scope::Tenant(id) => rule::Scope::Tenant(tagger.tenant(id)),
        Scope::Everybody => rule::Scope::Everybody,
    }
}

/// The accounts that have a sign-in of one of these aliases, each once.
fn accounts_of_aliases(open: &Open<'_>, aliases: &[Alias]) -> Result<Vec<Tag>> {
    let mut all = Vec::new();
    if !aliases.is_empty() && open.core.is_engine_failed() {
        return Err(Error::Poisoned(Part::Engine));
    }
    for alias in aliases {
        for account in accounts_by(open, Index::Alias, &open.core.tagger.alias(alias))? {
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
fn accounts_in_any(open: &Open<'_>, scopes: &[rule::Scope], seen: &Seen) -> Result<Vec<Tag>> {
    let mut all = Vec::new();
    for scope in scopes {
        all.extend(accounts_in(open, *scope, seen)?);
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// The accounts that have sign-ins of this scope. The index finds them, their own sealed rows decide; what does not open counts as found, and so does a
/// sign-in that has ended already, if it is still listed: when in doubt, forget.
fn accounts_in(open: &Open<'_>, scope: rule::Scope, seen: &Seen) -> Result<Vec<Tag>> {
    if open.core.is_engine_failed() {
        return Err(Error::Poisoned(Part::Engine));
    }
    if let rule::Scope::Account(account) = scope {
        return Ok(vec![account]);
    }
    let mut accounts = accounts_under(open, scope)?;
    let mut result = Ok(());
    accounts.retain(|account| {
        let has = || has_sign_in(open, account, |_, life| life.scopes().any(|one| one == scope), true);
        seen.has(scope, account)
            || has().unwrap_or_else(|error| {
                result = Err(error);
                false
            })
    });
    result.map(|()| accounts)
}

/// The accounts that the index has under this scope: as many as one call can record.
fn accounts_under(open: &Open<'_>, scope: rule::Scope) -> Result<Vec<Tag>> {
    let (index, tag) = match scope {
        rule::Scope::Account(account) => return Ok(vec![account]),
        rule::Scope::Session(tag) => (Index::Session, tag),
        rule::Scope::Subject(tag) => (Index::Subject, tag),
        rule::Scope::Tenant(_) | rule::Scope::Everybody => return Ok(Vec::new()),
    };
    accounts_by(open, index, &tag)
}

fn accounts_by(open: &Open<'_>, index: Index, tag: &Tag) -> Result<Vec<Tag>> {
    let mut accounts = Vec::new();
    open.for_each_row(&index.accounts_of(tag), |(key, _)| {
        accounts.extend(layout::indexed_account(&key));
        // More cannot be recorded in one call.
        Ok(accounts.len() < MAX_CALL)
    })?;
    Ok(accounts)
}

fn cutoff_of(request: &SignOut) -> Millis {
    request.cutoff.map_or(NO_CUTOFF, |time| to_millis(time).min(NO_CUTOFF - 1))
}

/// Whether the account has a sign-in that is wanted. Of what does not open it cannot be told: `in_doubt`.
fn has_sign_in(
    open: &Open<'_>,
    account: &Tag,
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
            Ok(Some(body)) => is_wanted(&body, &open.core.life(*account, header.other, &body)),
            Ok(None) | Err(Error::Tampered(_)) => in_doubt,
            Err(error) => return Err(error),
        };
        if has {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads the refresh tokens of the account's dead sign-ins; whether that were all. The caller holds the account's lock.
fn take(open: &Open<'_>, account: &Tag, taken: &mut Vec<RefreshToken>) -> bool {
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
        // First: it looks at the fences too, and whoever holds them twice waits for ever for somebody who waits in between.
        let life = open.core.life(*account, header.other, &body);
        if !open.core.ledger.fences().is_dead(&life) {
            continue;
        }
        let read = open.for_each_row(&layout::tokens(account, id), |(key, value)| {
            if let Some(AccountRow::Token { part: 0, .. }) = layout::parse(&key) {
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
