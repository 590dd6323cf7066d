//! Reading the tokens of a sign-in: point reads first; a wanted subset of scopes may scan inside the one sign-in.

use std::fmt;

use crate::clock::{Millis, Moment, to_millis};
use crate::crypto::{Tag, Tagger};
use crate::error::{Error, Result};
use crate::gate::Open;
use crate::id::{ClientId, TenantId, hidden_debug};
use crate::lasting::{Lasting, settle, skew_of};
use crate::layout::{self, AccountRow};
use crate::observe::{self, Read};
use crate::row::Header;
use crate::sign_in::LiveSignIn;
use crate::token::{AccessQuery, AccessToken, IdToken, Partition, RefreshToken, Token};

/// How many rows a scan reads at a time.
const SLICE: usize = 64;
/// How often a read is tried beside writes of the same token before it takes the account's lock.
const TRIES: usize = 4;

/// Which refresh token is wanted: a client's own, or one of a family.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct RefreshQuery {
    client: Option<ClientId>,
    family: Option<String>,
    partition: Partition,
}

impl RefreshQuery {
    /// The client's own refresh token (one without a family id).
    pub fn client(client: ClientId) -> Self {
        Self { client: Some(client), family: None, partition: Partition::user() }
    }

    /// The refresh token of a family of clients (MSAL's `family_id`).
    pub fn family(family: impl Into<String>) -> Self {
        Self { client: None, family: Some(family.into()), partition: Partition::user() }
    }

    /// In this partition.
    pub fn partition(mut self, partition: Partition) -> Self {
        self.partition = partition;
        self
    }
}

impl From<&ClientId> for RefreshQuery {
    fn from(client: &ClientId) -> Self {
        Self::client(client.clone())
    }
}

/// Which ID token is wanted.
#[derive(Clone)]
#[must_use]
pub struct IdQuery {
    client: ClientId,
    tenant: Option<TenantId>,
    partition: Partition,
}

impl IdQuery {
    /// The client's ID token in the sign-in's own tenant.
    pub fn client(client: ClientId) -> Self {
        Self { client, tenant: None, partition: Partition::user() }
    }

    /// Issued in this tenant.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// In this partition.
    pub fn partition(mut self, partition: Partition) -> Self {
        self.partition = partition;
        self
    }
}

impl From<&ClientId> for IdQuery {
    fn from(client: &ClientId) -> Self {
        Self::client(client.clone())
    }
}

hidden_debug!(RefreshQuery, IdQuery);

/// Reads. All find nothing once the sign-in has ended, and never give an expired access or refresh token (the clock may be off by
/// the store's [skew](crate::Builder::skew)).
///
/// All fail with [`Error::Tampered`] if a row is not as this store wrote it, with [`Error::Poisoned`] after an engine or disk
/// error, and with [`Error::Closed`] after the store was closed.
impl LiveSignIn {
    /// An unexpired access token: the one of exactly the wanted scopes, or else, of those that allow them, the one that allows least.
    ///
    /// # Errors
    /// As all reads.
    pub fn access_token(&self, wanted: &AccessQuery) -> Result<Option<AccessToken>> {
        observe::read(Read::Access, || self.access_token_in(&self.core().enter()?, wanted))
    }

    /// The refresh token of a client or family.
    ///
    /// # Errors
    /// As all reads.
    pub fn refresh_token(&self, wanted: impl Into<RefreshQuery>) -> Result<Option<RefreshToken>> {
        observe::read(Read::Refresh, || self.refresh_token_in(&self.core().enter()?, &wanted.into()))
    }

    /// The ID token of a client. It is given past its expiry too, to serve as `id_token_hint`.
    ///
    /// # Errors
    /// As all reads.
    pub fn id_token(&self, wanted: impl Into<IdQuery>) -> Result<Option<IdToken>> {
        observe::read(Read::Id, || self.id_token_in(&self.core().enter()?, &wanted.into()))
    }

    /// As [`LiveSignIn::access_token`], if nothing holds it up: for threads that may not block.
    #[cfg(feature = "tokio")]
    pub(crate) fn try_access_token(&self, wanted: &AccessQuery) -> Option<Result<Option<AccessToken>>> {
        let read = || crate::asynchronous::attempt(self.core(), |open| self.access_token_in(open, wanted));
        observe::try_read(Read::Access, read)
    }

    pub(crate) fn access_token_in(&self, open: &Open<'_>, wanted: &AccessQuery) -> Result<Option<AccessToken>> {
        let core = open.core;
        let tenant = wanted.tenant.as_ref().map_or(self.life().tenant, |tenant| core.tagger.tenant(tenant));
        let slot = wanted.slot(&core.tagger, &self.life().account);
        let at = core.clock.moment();
        let now = at.shown;
        let usable = |token: AccessToken, life| {
            let is_fresh = is_usable(&token, now, skew_of(&token, life, core.options.skew));
            let will_do = is_fresh || (wanted.even_if_expired && is_usable_extended(&token, now));
            (wanted.allows(&token) && will_do).then_some((is_fresh, token))
        };
        let of = |Lasting { token, life }| if let Token::Access(token) = token { usable(token, life) } else { None };
        let exact = self.read(open, &at, tenant, slot)?.and_then(of);
        if exact.as_ref().is_some_and(|(is_fresh, _)| *is_fresh) {
            return Ok(exact.map(|(_, token)| token));
        }
        let mut best = exact;
        self.scan(open, &at, tenant, |lasting| {
            let rank = |(is_fresh, t): &(bool, AccessToken)| (!is_fresh, t.scopes.len(), std::cmp::Reverse(end_of(t)));
            if let Some(found) = of(lasting)
                && best.as_ref().is_none_or(|best| rank(&found) < rank(best))
            {
                best = Some(found);
            }
        })?;
        Ok(best.map(|(_, token)| token))
    }

    /// The places of the access tokens that would be found instead of this one, which serves who wants this: those that serve it too, and
    /// allow no more.
    pub(crate) fn found_instead_of(&self, wanted: &AccessQuery, token: &AccessToken) -> Result<Vec<(Tag, Tag)>> {
        let open = self.core().enter()?;
        let tenant = self.tenant_tag(wanted.tenant.as_ref());
        let mut places = Vec::new();
        self.scan(&open, &self.core().clock.moment(), tenant, |lasting| {
            if let Token::Access(other) = &lasting.token
                && wanted.allows(other)
                && other.scopes.len() <= token.scopes.len()
            {
                places.push((tenant, other.slot(&self.core().tagger, &self.life().account)));
            }
        })?;
        Ok(places)
    }

    pub(crate) fn refresh_token_in(&self, open: &Open<'_>, wanted: &RefreshQuery) -> Result<Option<RefreshToken>> {
        let core = open.core;
        let slot = wanted.slot(&core.tagger, &self.life().account);
        let at = core.clock.moment();
        Ok(match self.read(open, &at, self.life().tenant, slot)? {
            Some(Lasting { token: Token::Refresh(token), life }) => {
                let latest = at.shown.saturating_add(core.options.skew.of(life));
                Some(token).filter(|token| token.expires_at.is_none_or(|end| to_millis(end) > latest))
            }
            _ => None,
        })
    }

    pub(crate) fn id_token_in(&self, open: &Open<'_>, wanted: &IdQuery) -> Result<Option<IdToken>> {
        let core = open.core;
        let tenant = wanted.tenant.as_ref().map_or(self.life().tenant, |tenant| core.tagger.tenant(tenant));
        let slot = id_slot(&core.tagger, &self.life().account, wanted.client.as_str(), &wanted.partition);
        Ok(match self.read(open, &core.clock.moment(), tenant, slot)? {
            Some(Lasting { token: Token::Id(token), .. }) => Some(token),
            _ => None,
        })
    }

    /// One token by its place; `None` if it is not there, its age cannot be told, or the sign-in or the token's tenant is signed out.
    ///
    /// `at` is when the reading began: looking at the clocks costs a fair part of a read, so that is done once.
    fn read(&self, open: &Open<'_>, at: &Moment, tenant: Tag, slot: Tag) -> Result<Option<Lasting>> {
        let key = layout::token(&self.life().account, self.id_bytes(), &tenant, &slot, 0);
        self.beside_writers(open, at, |header| {
            if open.core.ledger.fences().is_tenant_dead(self.life(), tenant) {
                return Ok(Some(None));
            }
            let Some(value) = open.get(&key)? else { return Ok(Some(None)) };
            Ok(open.stored(header, key.clone(), value)?.map(|stored| settle(stored, at)))
        })
    }

    /// Gives every token of the sign-in in one tenant to `each`.
    fn scan(&self, open: &Open<'_>, at: &Moment, tenant: Tag, mut each: impl FnMut(Lasting)) -> Result<()> {
        let prefix = layout::tokens_in(&self.life().account, self.id_bytes(), &tenant);
        let mut after: Option<Vec<u8>> = None;
        loop {
            let slice = open.scan(&prefix, after.as_deref(), SLICE)?;
            let Some((last, _)) = slice.last() else { return Ok(()) };
            after = Some(last.clone());
            for (key, _) in slice {
                if let Some(AccountRow::Token { slot, part: 0, .. }) = layout::parse(&key) {
                    // Read anew, so that its parts are of one write.
                    self.read(open, at, tenant, slot)?.into_iter().for_each(&mut each);
                }
            }
        }
    }

    /// Runs `read` with the header of this live sign-in until it says something. What does not open is tampering only if the
    /// account has not begun a new life meanwhile; what is torn is read again, in the end under the account's lock.
    fn beside_writers<T>(
        &self,
        open: &Open<'_>,
        at: &Moment,
        mut read: impl FnMut(&Header) -> Result<Option<Option<T>>>,
    ) -> Result<Option<T>> {
        for attempt in 0..=TRIES {
            let lock = if attempt == TRIES { Some(open.lock_account(&self.life().account)) } else { None };
            if matches!(lock, Some(None)) {
                return Ok(None);
            }
            let Some((_, header)) = self.live_header_at(open, at.shown)? else { return Ok(None) };
            match read(&header) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(Error::Tampered(row)) => match self.live_header_at(open, at.shown)? {
                    Some(_) => return Err(Error::Tampered(row)),
                    None => return Ok(None),
                },
                Err(error) => return Err(error),
            }
        }
        Err(Error::Tampered("token"))
    }
}

impl RefreshQuery {
    pub(crate) fn slot(&self, tagger: &Tagger, account: &Tag) -> Tag {
        let client = self.client.as_ref().map_or("", ClientId::as_str);
        refresh_slot(tagger, account, client, self.family.as_deref(), &self.partition)
    }
}

impl AccessQuery {
    /// The slot of a token of exactly this.
    pub(crate) fn slot(&self, tagger: &Tagger, account: &Tag) -> Tag {
        access_slot(tagger, account, &Target::of_query(self))
    }

    /// Whether the token serves who wants this; tenant and expiry apart.
    pub(crate) fn allows(&self, token: &AccessToken) -> bool {
        Target::of_query(self).allows(&Target::of_token(token))
    }
}

impl RefreshToken {
    pub(crate) fn slot(&self, tagger: &Tagger, account: &Tag) -> Tag {
        refresh_slot(tagger, account, self.client_id.as_str(), self.family_id.as_deref(), &self.partition)
    }
}

impl AccessToken {
    pub(crate) fn slot(&self, tagger: &Tagger, account: &Tag) -> Tag {
        access_slot(tagger, account, &Target::of_token(self))
    }
}

/// When the token ends by itself; one without an end comes after all others.
fn end_of(token: &AccessToken) -> Millis {
    token.expires_at.map_or(Millis::MAX, to_millis)
}

fn is_usable(token: &AccessToken, now: Millis, skew: Millis) -> bool {
    end_of(token) > now.saturating_add(skew)
}

/// Whether it will do while the provider is out of order.
fn is_usable_extended(token: &AccessToken, now: Millis) -> bool {
    end_of(token).max(token.extended_expires_at.map_or(0, to_millis)) > now
}

/// What tells access tokens apart, beside the tenant.
struct Target<'a> {
    client: &'a ClientId,
    resource: Option<&'a str>,
    scopes: &'a crate::token::Scopes,
    token_type: &'a str,
    partition: &'a Partition,
}

impl<'a> Target<'a> {
    fn of_token(t: &'a AccessToken) -> Self {
        let (client, resource, token_type) = (&t.client_id, t.resource.as_deref(), t.token_type.as_str());
        Self { client, resource, scopes: &t.scopes, token_type, partition: &t.partition }
    }

    fn of_query(q: &'a AccessQuery) -> Self {
        let (client, resource, token_type) = (&q.client_id, q.resource.as_deref(), q.token_type.as_str());
        Self { client, resource, scopes: &q.scopes, token_type, partition: &q.partition }
    }

    /// Whether a token of `other` serves who wants this.
    fn allows(&self, other: &Self) -> bool {
        self.client == other.client
            && self.resource == other.resource
            && self.token_type.eq_ignore_ascii_case(other.token_type)
            && self.partition == other.partition
            && other.scopes.is_superset(self.scopes)
    }
}

impl Token {
    /// The keyed hash of what tells this token apart within its sign-in and tenant.
    pub(crate) fn slot(&self, tagger: &Tagger, account: &Tag) -> Tag {
        match self {
            Self::Access(t) => t.slot(tagger, account),
            Self::Refresh(t) => t.slot(tagger, account),
            Self::Id(t) => id_slot(tagger, account, t.client_id.as_str(), &t.partition),
        }
    }
}

fn access_slot(tagger: &Tagger, account: &Tag, target: &Target<'_>) -> Tag {
    let fields = [
        b"access".as_slice(),
        target.client.as_str().as_bytes(),
        &target.token_type.to_ascii_lowercase().into_bytes(),
        &[u8::from(target.resource.is_some())],
        target.resource.unwrap_or_default().as_bytes(),
        &target.scopes.joined().into_bytes(),
        target.partition.bytes(),
    ];
    tagger.slot(account, &fields)
}

fn refresh_slot(tagger: &Tagger, account: &Tag, client: &str, family: Option<&str>, partition: &Partition) -> Tag {
    let (kind, who) = family.map_or(("refresh", client), |family| ("family", family));
    tagger.slot(account, &[kind.as_bytes(), who.as_bytes(), partition.bytes()])
}

fn id_slot(tagger: &Tagger, account: &Tag, client: &str, partition: &Partition) -> Tag {
    tagger.slot(account, &[b"id", client.as_bytes(), partition.bytes()])
}
