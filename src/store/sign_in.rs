//! Signing in, and the live handle through which a sign-in's tokens are stored and read.

use crate::crypto::{AccountKey, fresh};
use crate::engine::{Batch, Durability, Row};
use crate::model::error::{Error, Result};
use crate::model::id::{AccountId, Alias, SessionId, Subject, TenantId};
use crate::model::position::Position;
use crate::model::random_id::{Generation, SignInId};
use crate::model::sign_in::{AsOf, MAX_ALIASES, SignIn, Stored};
use crate::model::tag::{AccountTag, Slot, TenantTag};
use crate::model::time::{Millis, from_millis, millis, to_millis};
use crate::model::token::{RefreshToken, Token, Tokens};
use crate::observe;
use crate::platform::sync::Arc;
use crate::rows::cipher::{Header, SignInBody};
use crate::rows::row_key::{self, IndexEntry};
use crate::rule::Life;
use crate::store::access::Open;
use crate::store::core::Core;
use crate::store::index;
use crate::store::lifetime::Owner;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// A handle of one sign-in: the only way to store its tokens. Clones are the same sign-in.
///
/// When the sign-in ends, reads find nothing and [`put`](Self::put) fails with
/// [`Error::SignedOut`], whoever holds the handle and whatever was in flight.
#[derive(Clone)]
pub struct LiveSignIn(Arc<Inner>);

struct Inner {
    owner: Arc<Owner>,
    id: SignInId,
    generation: Generation,
    life: Life,
    account: AccountId,
    body: SignInBody,
    /// If it is continued from elsewhere: from when. Its tokens of other tenants are looked at like
    /// itself.
    continued_since: Option<Millis>,
}

impl LiveSignIn {
    /// Stores tokens, all of them or none, in the place of those that are the same by client,
    /// scopes and so on.
    ///
    /// `Ok` means that they are readable, and survive what the store's durability says: by default
    /// a power loss if there is a refresh token among them, else the death of the process. A token
    /// whose own tenant was signed out is left out and [reported](Stored::refused).
    ///
    /// # Errors
    /// [`Error::SignedOut`] if the sign-in has ended: nothing can be read of what was to be stored.
    /// (If the sign-out itself was not acknowledged, and a crash loses it, both are undone alike:
    /// the sign-in lives on, perhaps with these tokens.) [`Error::InvalidInput`] for a token that
    /// cannot be stored. [`Error::Full`], [`Error::Io`] and [`Error::Poisoned`] if the engine
    /// failed: the outcome is unknown, and the store must be reopened.
    ///
    /// # Examples
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # use oubliette::*;
    /// # let store = TokenStore::in_memory()?;
    /// # let account = AccountId::new("login.example.com", "uid.utid")?;
    /// let live = store.sign_in(SignIn::new(account.clone(), TenantId::new("contoso")?))?;
    /// let (client, hour) = (ClientId::new("web")?, SystemTime::now() + Duration::from_secs(3600));
    /// let access = AccessToken::new(client.clone(), Scopes::parse("mail.read")?, "at-1", hour);
    /// live.put([access.into(), RefreshToken::new(client.clone(), "rt-1").into()])?;
    /// store.sign_out(SignOut::account(&account))?;
    /// assert!(matches!(live.put(RefreshToken::new(client, "rt-2")), Err(Error::SignedOut)));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn put(&self, tokens: impl Into<Tokens>) -> Result<Stored> {
        let tokens = tokens.into();
        observe::put(|| Ok(self.store(&tokens.0, None, &[])?.0))
    }

    /// As [`put`](Self::put), of what came for a refresh token. That one is removed in the same
    /// stroke, if another came for it. Should the store have another one in its place by now, that
    /// is kept: second are the numbers of those that were left out for it. The tokens in the places
    /// `forget` (tenant and slot) are removed too, unless one of the new comes there.
    pub(crate) fn put_refreshed(
        &self,
        tokens: &[Token],
        redeemed: Option<&RefreshToken>,
        forget: &[(TenantTag, Slot)],
    ) -> Result<(Stored, Vec<usize>)> {
        let mut left_out = Vec::new();
        let stored = observe::put(|| {
            let (stored, left) = self.store(tokens, redeemed, forget)?;
            left_out = left;
            Ok(stored)
        })?;
        Ok((stored, left_out))
    }

    fn store(
        &self,
        tokens: &[Token],
        redeemed: Option<&RefreshToken>,
        forget: &[(TenantTag, Slot)],
    ) -> Result<(Stored, Vec<usize>)> {
        tokens.iter().try_for_each(Token::check)?;
        let (core, me) = (self.core(), &*self.0);
        let open = core.enter()?;
        let lock = core.lock_account(&me.life.account);
        let (value, header) = self.live_header(&open)?.ok_or(Error::SignedOut)?;

        let mut result = Stored { stored: 0, refused: Vec::new() };
        let mut durability = Durability::ProcessCrash;
        let redeemed =
            redeemed.filter(|_| tokens.iter().any(|token| matches!(token, Token::Refresh(_))));
        let (mut spent, mut newer) = (None, None);
        if let Some(redeemed) = redeemed {
            let place = (me.life.tenant, redeemed.slot(&core.tagger, &me.life.account));
            match self.refresh_token_at(&open, &header, place.1)? {
                Some((stored, _)) if stored.secret != redeemed.secret => newer = Some(place),
                _ => spent = Some(place),
            }
        }
        let mut left_out = Vec::new();
        // By place: of two tokens for one place the later counts.
        let mut writes: BTreeMap<(TenantTag, Slot), Vec<Row>> = BTreeMap::new();
        let put = core.clock.moment();
        for (number, token) in tokens.iter().enumerate() {
            let tenant = token.tenant().map_or(me.life.tenant, |tenant| core.tagger.tenant(tenant));
            if self.refuses(tenant) {
                result.refused.push(number);
                continue;
            }
            let slot = token.slot(&core.tagger, &me.life.account);
            if newer == Some((tenant, slot)) {
                left_out.push(number);
                continue;
            }
            let key = |part| row_key::token(&me.life.account, &me.id, &tenant, &slot, part);
            writes
                .insert((tenant, slot), open.rows()?.seal_token(key, &header, token, Some(&put))?);
            durability = durability.max(core.options.durability_of(token));
            result.stored += 1;
        }
        let mut batch = Batch {
            guard: Some((row_key::header(&me.life.account), Some(value))),
            changes: Vec::new(),
        };
        for (tenant, slot) in
            forget.iter().chain(&spent).filter(|place| !writes.contains_key(*place))
        {
            let key = |part| row_key::token(&me.life.account, &me.id, tenant, slot, part);
            let parts = open.get(&key(0))?.map_or(0, |old| crate::rows::cipher::parts_of(&old));
            (0..parts).for_each(|part| batch.delete(key(part)));
        }
        for ((tenant, slot), rows) in writes {
            let key = |part| row_key::token(&me.life.account, &me.id, &tenant, &slot, part);
            // The longer token in whose place this one comes leaves no parts behind.
            let before = open.get(&key(0))?.map_or(0, |old| crate::rows::cipher::parts_of(&old));
            let parts = u8::try_from(rows.len()).unwrap_or(u8::MAX);
            (parts..before).for_each(|part| batch.delete(key(part)));
            rows.into_iter().for_each(|(key, value)| batch.put(key, value));
            if tenant != me.life.tenant {
                batch.put(IndexEntry::Tenant(tenant).row(&me.life.account), Vec::new());
            }
        }
        if result.stored > 0 {
            open.commit(&me.life.account, batch)?;
            drop(lock);
            open.sync(durability)?;
            // A fence that came meanwhile made the tokens unreadable: say so.
            if !core.is_live(&me.life, core.clock.now()) {
                return Err(Error::SignedOut);
            }
        }
        Ok((result, left_out))
    }

    /// Removes this refresh token, if it is still the one that is stored. `Ok(false)` if another
    /// one is, or none.
    pub(crate) fn remove_refresh_token(&self, token: &RefreshToken) -> Result<bool> {
        let (core, me) = (self.core(), &*self.0);
        let open = core.enter()?;
        let lock = core.lock_account(&me.life.account);
        let (value, header) = self.live_header(&open)?.ok_or(Error::SignedOut)?;
        let slot = token.slot(&core.tagger, &me.life.account);
        let Some((stored, parts)) = self.refresh_token_at(&open, &header, slot)? else {
            return Ok(false);
        };
        // In constant time, as all secrets are compared.
        if stored.secret != token.secret {
            return Ok(false);
        }
        let mut batch = Batch {
            guard: Some((row_key::header(&me.life.account), Some(value))),
            changes: Vec::new(),
        };
        let key = |part| row_key::token(&me.life.account, &me.id, &me.life.tenant, &slot, part);
        (0..parts).for_each(|part| batch.delete(key(part)));
        open.commit(&me.life.account, batch)?;
        drop(lock);
        // Should a power cut bring it back, the provider refuses it once more.
        open.sync(Durability::ProcessCrash)?;
        Ok(true)
    }

    /// The refresh token that is stored in a slot, and in how many parts, for who holds the
    /// account's lock.
    fn refresh_token_at(
        &self,
        open: &Open<'_>,
        header: &Header,
        slot: Slot,
    ) -> Result<Option<(RefreshToken, u8)>> {
        let key = row_key::token(&self.0.life.account, &self.0.id, &self.0.life.tenant, &slot, 0);
        let Some(value) = open.get(&key)? else { return Ok(None) };
        let parts = crate::rows::cipher::parts_of(&value);
        match open.token(header, key, value)? {
            Some(Token::Refresh(token)) => Ok(Some((token, parts))),
            _ => Ok(None),
        }
    }

    /// Whether tokens of this tenant are not taken, though the sign-in may live.
    fn refuses(&self, tenant: TenantTag) -> bool {
        let fences = self.core().ledger.fences();
        let is_over = |since| fences.is_tenant_covered_since(tenant, since);
        fences.is_tenant_dead(&self.0.life, tenant) || self.0.continued_since.is_some_and(is_over)
    }

    /// Whether the sign-in is live now, and takes tokens of this tenant.
    pub(crate) fn is_open_to(&self, tenant: TenantTag) -> Result<bool> {
        self.is_open_to_in(&self.core().enter()?, tenant)
    }

    pub(crate) fn is_open_to_in(&self, open: &Open<'_>, tenant: TenantTag) -> Result<bool> {
        Ok(self.live_header(open)?.is_some() && !self.refuses(tenant))
    }

    /// The tag of a tenant; without one, of the sign-in's own.
    pub(crate) fn tenant_tag(&self, tenant: Option<&TenantId>) -> TenantTag {
        tenant.map_or(self.0.life.tenant, |tenant| self.core().tagger.tenant(tenant))
    }

    /// Whether the sign-in is live now.
    ///
    /// # Errors
    /// As every read: [`Error::Closed`], [`Error::Poisoned`], [`Error::Tampered`].
    pub fn is_live(&self) -> Result<bool> {
        observe::verb("is_live", || Ok(self.live_header(&self.core().enter()?)?.is_some()))
    }

    /// The random id of this sign-in: for the app's own session record, so that
    /// [`TokenStore::resume`](crate::TokenStore::resume) finds this sign-in again and no other of
    /// the account. It is no secret, but tells who it is to nobody.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        *self.0.id.as_bytes()
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.0.account
    }

    /// The tenant that the user signed in to.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.0.body.tenant
    }

    /// The provider's session, if it was given.
    #[must_use]
    pub fn session(&self) -> Option<&SessionId> {
        self.0.body.session.as_ref()
    }

    /// The provider's name of the user, if it was given.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        self.0.body.subject.as_ref()
    }

    /// The other names that were given.
    #[must_use]
    pub fn aliases(&self) -> &[Alias] {
        &self.0.body.aliases
    }

    /// When the user signed in, to the millisecond.
    #[must_use]
    pub fn signed_in_at(&self) -> SystemTime {
        from_millis(self.0.body.time)
    }

    pub(crate) fn core(&self) -> &Core {
        self.0.owner.core()
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn close_off_runtime(&self) {
        self.0.owner.close_off_runtime();
    }

    pub(crate) fn id_bytes(&self) -> &SignInId {
        &self.0.id
    }

    pub(crate) fn generation(&self) -> &Generation {
        &self.0.generation
    }

    pub(crate) fn life(&self) -> &Life {
        &self.0.life
    }

    /// The account's header, if this sign-in is in it and live.
    pub(crate) fn live_header(&self, open: &Open<'_>) -> Result<Option<(Vec<u8>, Header)>> {
        self.live_header_at(open, open.core.clock.now())
    }

    /// The same for who has just looked at the clock.
    pub(crate) fn live_header_at(
        &self,
        open: &Open<'_>,
        now: Millis,
    ) -> Result<Option<(Vec<u8>, Header)>> {
        let me = &*self.0;
        let Some((value, header)) = open.header_alone(&me.life.account)? else { return Ok(None) };
        let is_mine = header.generation == me.generation && header.sign_ins.contains(&me.id);
        Ok((is_mine && open.core.is_live(&me.life, now)).then_some((value, header)))
    }
}

impl AsRef<Self> for LiveSignIn {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl PartialEq for LiveSignIn {
    /// Whether both are the same sign-in.
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id && self.0.generation == other.0.generation
    }
}

impl Eq for LiveSignIn {}

impl std::fmt::Debug for LiveSignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LiveSignIn(..)")
    }
}

/// Gives the account one more sign-in. On a live account it joins: same generation and key. On a
/// dead, absent or unreadable one it begins anew.
///
/// Rows of an earlier life are not emptied here: they belong to sign-ins that no header lists any
/// more and are sealed under a key that is gone, so nothing can read them, and reclaim deletes
/// them. A sign-in stays one small batch.
///
/// Its first tokens come in the same batch, or one of a signed-out tenant is left out and reported.
pub(crate) fn sign_in(
    owner: &Arc<Owner>,
    request: SignIn,
    tokens: &[Token],
) -> Result<(LiveSignIn, Stored)> {
    let core = owner.core();
    tokens.iter().try_for_each(Token::check)?;
    if request.aliases.len() > MAX_ALIASES {
        return Err(Error::invalid("alias", "a sign-in has at most 8"));
    }
    let open = core.enter()?;
    if let Some(told) = request.told_at {
        core.clock.confirm(to_millis(told));
    }
    let (now, max_age) = (core.clock.now(), millis(core.options.max_sign_in_age));
    let mut body = SignInBody {
        tenant: request.tenant,
        session: request.session,
        subject: request.subject,
        aliases: request.aliases,
        // Never later than now: an earlier time is the safe side, for a sign-out's cutoff covers
        // it.
        time: request.time.map_or(now, to_millis).min(now),
        opening: core.ledger.opening(),
        as_of: Position::ZERO,
    };
    if let Some((app_tenant, _)) = request.account.as_app()
        && *app_tenant != body.tenant
    {
        return Err(Error::invalid(
            "tenant",
            "an app's own account signs in to its own tenant only",
        ));
    }
    if body.time.saturating_add(max_age) <= now {
        return Err(Error::invalid("signed_in_at", "it is longer ago than max_sign_in_age"));
    }
    let account = core.tagger.account(&request.account);
    let other = core.other_tag(&request.account, &account);
    let session = body.session.as_ref().map(|session| core.tagger.session(session));
    let session_lock = session.map(|session| core.lock_session(&session));
    let both: Vec<AccountTag> = [account].into_iter().chain(other).collect();
    let lock = core.lock_accounts(&both);

    let life = match request.as_of {
        Some(moment) => as_of(core, account, &mut body, moment)?,
        None => as_of_now(core, account, &mut body)?,
    };
    // A session that its provider has ended takes no sign-in from before: the signal overtook it.
    if let Some(until) = core.ledger.fences().session_ended_until(&life) {
        if request.is_continued {
            return Err(Error::SignedOut);
        }
        return Err(Error::Overtaken { again_after: from_millis(until) });
    }
    // (The floor, which stands for what was dropped for its age, covers everybody here too.)
    // What nobody knows the time of may be as old as anything.
    let continued_since =
        request.is_continued.then(|| request.time.map_or(Millis::EPOCH, |_| body.time));
    // By either name that the account had.
    let named = Life { other, ..life.clone() };
    if continued_since.is_some_and(|since| core.ledger.fences().is_covered_since(&named, since)) {
        return Err(Error::SignedOut);
    }
    let mut earlier = earlier(&open, &account, &request.account)?;
    let id = SignInId::from_bytes(fresh()?);
    earlier.live.push((id, index::entries(core, &life, &body)));
    let surplus = earlier.live.len().saturating_sub(core.options.max_sign_ins.into());
    let ended: Vec<_> = earlier.live.drain(..surplus).chain(earlier.dead).collect();

    let mut header = match earlier.header {
        Some(header) => header,
        None => Header {
            generation: Generation::from_bytes(fresh()?),
            account_key: AccountKey::random()?,
            sign_ins: Vec::new(),
            other,
        },
    };
    header.sign_ins = earlier.live.iter().map(|(id, _)| *id).collect();
    let mut batch =
        Batch { guard: Some((row_key::header(&account), earlier.value)), changes: Vec::new() };
    ended.iter().for_each(|(id, _)| batch.delete(row_key::sign_in(&account, id)));
    let has_ended = !ended.is_empty();
    let ended = ended.into_iter().flat_map(|(_, entries)| entries).collect();
    for entry in index::stale(&open, &account, ended, &earlier.live)? {
        batch.delete(entry.row(&account));
    }
    let key = row_key::header(&account);
    batch.put(key.clone(), open.rows()?.seal_header(&key, &header, &request.account)?);
    let key = row_key::sign_in(&account, &id);
    batch.put(key.clone(), open.rows()?.seal_sign_in(&key, &header, &body)?);
    for entry in index::entries(core, &life, &body) {
        batch.put(entry.row(&account), Vec::new());
    }
    let stored = put_first(&open, (&life, continued_since), &id, &header, tokens, &mut batch)?;
    if let Some(other) = other {
        end_under(&open, &other)?;
    }
    open.commit_with_checkpoint(&account, batch)?;
    drop((lock, session_lock));
    open.sync(Durability::PowerLoss)?;
    if has_ended {
        core.backlog.push_account(account);
    }
    // A fence that came meanwhile made the tokens unreadable: say so, as `put` does.
    if stored.stored > 0 && !core.is_live(&life, core.clock.now()) {
        return Err(overtaken(core));
    }
    let inner = Inner {
        owner: owner.clone(),
        id,
        generation: header.generation,
        life,
        account: request.account,
        body,
        continued_since,
    };
    Ok((LiveSignIn(Arc::new(inner)), stored))
}

/// Puts the first tokens of a sign-in into its batch. None of its places has anything in it yet.
fn put_first(
    open: &Open<'_>,
    (life, continued_since): (&Life, Option<Millis>),
    id: &SignInId,
    header: &Header,
    tokens: &[Token],
    batch: &mut Batch,
) -> Result<Stored> {
    let core = open.core;
    let mut stored = Stored { stored: 0, refused: Vec::new() };
    // By place: of two tokens for one place the later counts, and leaves no parts of the other
    // behind.
    let mut writes: BTreeMap<(TenantTag, Slot), Vec<Row>> = BTreeMap::new();
    let put = core.clock.moment();
    for (number, token) in tokens.iter().enumerate() {
        let tenant = token.tenant().map_or(life.tenant, |tenant| core.tagger.tenant(tenant));
        let fences = core.ledger.fences();
        let is_over = |since| fences.is_tenant_covered_since(tenant, since);
        if fences.is_tenant_dead(life, tenant) || continued_since.is_some_and(is_over) {
            stored.refused.push(number);
            continue;
        }
        drop(fences);
        let slot = token.slot(&core.tagger, &life.account);
        let key = |part| row_key::token(&life.account, id, &tenant, &slot, part);
        writes.insert((tenant, slot), open.rows()?.seal_token(key, header, token, Some(&put))?);
        stored.stored += 1;
    }
    for ((tenant, _), rows) in writes {
        rows.into_iter().for_each(|(key, value)| batch.put(key, value));
        if tenant != life.tenant {
            batch.put(IndexEntry::Tenant(tenant).row(&life.account), Vec::new());
        }
    }
    Ok(stored)
}

/// Handles of the account's live sign-ins, newest first. Of an account that is known by its tag
/// alone, too.
pub(crate) fn live_sign_ins(
    owner: &Arc<Owner>,
    open: &Open<'_>,
    account: &AccountTag,
) -> Result<Vec<LiveSignIn>> {
    let core = owner.core();
    let Some((value, header)) = open.header(account)? else { return Ok(Vec::new()) };
    let id = open.rows()?.open_account(&row_key::header(account), &value, &header)?;
    let now = core.clock.now();
    let mut live = Vec::new();
    for sign_in in header.sign_ins.iter().rev() {
        let Some(body) = open.sign_in(account, &header, sign_in)? else { continue };
        let life = core.life(*account, header.other, &body);
        if core.is_live(&life, now) {
            let (account, generation) = (id.clone(), header.generation);
            let owner = owner.clone();
            let inner = Inner {
                owner,
                id: *sign_in,
                generation,
                life,
                account,
                body,
                continued_since: None,
            };
            live.push(LiveSignIn(Arc::new(inner)));
        }
    }
    Ok(live)
}

/// The handle of one live sign-in. Of the account's others nothing is read.
pub(crate) fn live_sign_in(
    owner: &Arc<Owner>,
    open: &Open<'_>,
    account: &AccountId,
    id: SignInId,
) -> Result<Option<LiveSignIn>> {
    let core = owner.core();
    let tag = core.tagger.account(account);
    let other = core.other_tag(account, &tag);
    let of_today = live_sign_in_under(owner, open, account, (tag, other), id)?;
    match other {
        Some(other) if of_today.is_none() => {
            live_sign_in_under(owner, open, account, (other, Some(tag)), id)
        }
        _ => Ok(of_today),
    }
}

fn live_sign_in_under(
    owner: &Arc<Owner>,
    open: &Open<'_>,
    account: &AccountId,
    (tag, other): (AccountTag, Option<AccountTag>),
    id: SignInId,
) -> Result<Option<LiveSignIn>> {
    let core = owner.core();
    let Some((_, header)) = open.header_alone(&tag)? else { return Ok(None) };
    if !header.sign_ins.contains(&id) {
        return Ok(None);
    }
    let Some(body) = open.sign_in(&tag, &header, &id)? else { return Ok(None) };
    let life = core.life(tag, other, &body);
    if !core.is_live(&life, core.clock.now()) {
        return Ok(None);
    }
    // The header is authentic for the account's tag: whose it is need not be read.
    let (owner, account, generation) = (owner.clone(), account.clone(), header.generation);
    Ok(Some(LiveSignIn(Arc::new(Inner {
        owner,
        id,
        generation,
        life,
        account,
        body,
        continued_since: None,
    }))))
}

/// Takes the as-of. A fence that covers the sign-in and is still being synced is waited for, so
/// that the sign-in is newer than it.
fn as_of_now(core: &Core, account: AccountTag, body: &mut SignInBody) -> Result<Life> {
    core.ledger.begin(core.clock.now())?;
    for _ in 0..64 {
        body.as_of = core.ledger.synced();
        let life = core.life(account, None, body);
        let death = core.ledger.fences().death(&life);
        match death {
            None => return Ok(life),
            Some(position) => core.ledger.wait(position)?,
        }
    }
    // Sign-outs of it come faster than they can be synced: it was signed in, and out again.
    Err(overtaken(core))
}

/// Takes an earlier as-of, if no fence has covered the sign-in since.
fn as_of(core: &Core, account: AccountTag, body: &mut SignInBody, moment: AsOf) -> Result<Life> {
    core.ledger.begin(core.clock.now())?;
    (body.opening, body.as_of) = (moment.opening, moment.position);
    let life = core.life(account, None, body);
    if core.ledger.fences().is_dead(&life) { Err(overtaken(core)) } else { Ok(life) }
}

/// Who signs in once more is newer than what has overtaken them.
fn overtaken(core: &Core) -> Error {
    Error::Overtaken { again_after: from_millis(core.clock.now()) }
}

/// This moment: newer than every sign-out that has been acknowledged.
pub(crate) fn moment(core: &Core) -> Result<AsOf> {
    let _open = core.enter_ledger()?;
    core.ledger.begin(core.clock.now())?;
    Ok(AsOf { opening: core.ledger.opening(), position: core.ledger.synced() })
}

#[derive(Default)]
struct Earlier {
    /// The header row as it is.
    value: Option<Vec<u8>>,
    /// The header, if the account is live.
    header: Option<Header>,
    /// Its live sign-ins, oldest first, and those that have ended; with the index entries that find
    /// them.
    live: Vec<(SignInId, Vec<IndexEntry>)>,
    dead: Vec<(SignInId, Vec<IndexEntry>)>,
}

/// Ends what lives of an account under its other tag, as of what is pushed out: the header goes,
/// the rest leads nowhere. The caller holds the lock.
fn end_under(open: &Open<'_>, other: &AccountTag) -> Result<()> {
    let key = row_key::header(other);
    let Some(value) = open.get(&key)? else { return Ok(()) };
    let mut batch = Batch { guard: Some((key.clone(), Some(value))), changes: Vec::new() };
    batch.delete(key);
    open.commit(other, batch)?;
    open.core.backlog.push_account(*other);
    Ok(())
}

/// What is there of the account. A header or sign-in that does not open counts as ended.
fn earlier(open: &Open<'_>, account: &AccountTag, id: &AccountId) -> Result<Earlier> {
    let core = open.core;
    // What is taken out for its age is gone, so not by a clock that may be wrong.
    let now = core.clock.for_deletion();
    let key = row_key::header(account);
    let Some(value) = open.get(&key)? else { return Ok(Earlier::default()) };
    let opened = open.rows()?.open_header(&key, &value);
    let opened =
        opened.and_then(|header| Ok((open.rows()?.open_account(&key, &value, &header)?, header)));
    let mut earlier = Earlier { value: Some(value), ..Earlier::default() };
    let (stored, mut header) = match opened {
        Ok(opened) => opened,
        Err(Error::Tampered(_)) => return Ok(earlier),
        Err(error) => return Err(error),
    };
    if stored != *id {
        return Err(Error::Tampered("header"));
    }
    header.other = core.other_tag(id, account);
    for sign_in in &header.sign_ins {
        match open.sign_in(account, &header, sign_in) {
            Ok(Some(body)) => {
                let life = core.life(*account, header.other, &body);
                // What is taken out of the header stays out: only by sign-outs that are durable.
                // (Others are no less obeyed.)
                let has_ended = core.is_too_old(&life, now)
                    || core.ledger.fences().is_dead_by(&life, core.ledger.synced());
                let list = if has_ended { &mut earlier.dead } else { &mut earlier.live };
                list.push((*sign_in, index::entries(core, &life, &body)));
            }
            Ok(None) | Err(Error::Tampered(_)) => earlier.dead.push((*sign_in, Vec::new())),
            Err(error) => return Err(error),
        }
    }
    earlier.header = (!earlier.live.is_empty()).then_some(header);
    Ok(earlier)
}
