//! Reading the tokens of a sign-in: by key first. A query for a subset of a token's scopes may
//! scan, but only inside the one sign-in.

use crate::backend::Ask;
use crate::clock::Moment;
use crate::clock::lasting::{Lasting, settle, skew_of};
use crate::model::error::{Error, Result};
use crate::model::id::{TenantId, hidden_debug};
use crate::model::query::{AccessQuery, IdQuery, RefreshQuery};
use crate::model::tag::{Slot, TaggedScope, TenantTag};
use crate::model::time::{Interval, Millis, to_millis};
use crate::model::token::{AccessToken, IdToken, RefreshToken, Token};
use crate::observe::{self, Read};
use crate::rows::header::Header;
use crate::rows::row_key::{self, AccountRow};
use crate::rows::slot::id_slot;
use crate::store::access::Open;
use crate::store::handle::LiveSignIn;

/// How many rows a scan reads at a time.
const SLICE: usize = 64;

/// How often a read is tried beside writes of the same token before it takes the account's lock.
const TRIES: usize = 4;

hidden_debug!(RefreshQuery, IdQuery);

/// Reads. They find nothing once the sign-in has ended, and never return an expired access or
/// refresh token (the clock may be off by the store's [skew](crate::Builder::skew)).
///
/// They fail with [`Error::Tampered`] if a row is not as this store wrote it, with
/// [`Error::Poisoned`] after an engine or disk error, and with [`Error::Closed`] after the store
/// was closed.
impl LiveSignIn {
    /// An unexpired access token: the one with exactly the wanted scopes, or else, of those whose
    /// scopes include them, the one with the fewest.
    ///
    /// # Errors
    /// As all reads.
    pub fn access_token(&self, wanted: &AccessQuery) -> Result<Option<AccessToken>> {
        observe::read(Read::Access, || {
            self.core().read(
                || self.ask_for(wanted.tenant.as_ref(), |me| me.slot_of(wanted)),
                |open| self.access_token_in(open, wanted),
            )
        })
    }

    /// The refresh token of a client or family.
    ///
    /// # Errors
    /// As all reads.
    pub fn refresh_token(&self, wanted: impl Into<RefreshQuery>) -> Result<Option<RefreshToken>> {
        let wanted = wanted.into();
        observe::read(Read::Refresh, || {
            let slot = |me: &Self| wanted.slot(&me.core().tagger, &me.life().account);
            self.core()
                .read(|| self.ask_for(None, slot), |open| self.refresh_token_in(open, &wanted))
        })
    }

    /// The ID token of a client. It is returned after its expiry too, to serve as `id_token_hint`.
    ///
    /// # Errors
    /// As all reads.
    pub fn id_token(&self, wanted: impl Into<IdQuery>) -> Result<Option<IdToken>> {
        let wanted = wanted.into();
        observe::read(Read::Id, || {
            self.core().read(
                || self.ask_for(wanted.tenant.as_ref(), |me| me.id_slot_of(&wanted)),
                |open| self.id_token_in(open, &wanted),
            )
        })
    }

    /// As [`LiveSignIn::access_token`], for threads that may not block: `None` if it would block.
    #[cfg(feature = "tokio")]
    pub(crate) fn try_access_token(
        &self,
        wanted: &AccessQuery,
    ) -> Option<Result<Option<AccessToken>>> {
        let read = || {
            crate::store::access::attempt(self.core(), |open| self.access_token_in(open, wanted))
        };
        observe::try_read(Read::Access, read)
    }

    pub(crate) fn access_token_in(
        &self,
        open: &Open<'_>,
        wanted: &AccessQuery,
    ) -> Result<Option<AccessToken>> {
        self.access_token_behind(open, wanted, None)
    }

    /// As [`LiveSignIn::access_token_in`], for a caller that has just read the account's header, and
    /// found this sign-in live.
    pub(crate) fn access_token_behind(
        &self,
        open: &Open<'_>,
        wanted: &AccessQuery,
        header: Option<Header>,
    ) -> Result<Option<AccessToken>> {
        let core = open.core;
        let tenant =
            wanted.tenant.as_ref().map_or(self.life().tenant, |tenant| core.tagger.tenant(tenant));
        let slot = self.slot_of(wanted);
        let at = core.clock.moment();
        let now = at.shown;
        let usable = |token: AccessToken, life| {
            let is_fresh = is_usable(&token, now, skew_of(&token, life, core.options.skew));
            let will_do = is_fresh || (wanted.even_if_expired && is_usable_extended(&token, now));
            (wanted.allows(&token) && will_do).then_some((is_fresh, token))
        };
        let of = |Lasting { token, life }| {
            if let Token::Access(token) = token { usable(token, life) } else { None }
        };
        let exact = self.read_behind(open, &at, tenant, slot, header)?.and_then(of);
        // No scan can find a better one than a fresh token with exactly the wanted scopes.
        if exact.as_ref().is_some_and(|(is_fresh, _)| *is_fresh) {
            return Ok(exact.map(|(_, token)| token));
        }
        let mut best = exact;
        self.scan(open, &at, tenant, |lasting| {
            let rank = |(is_fresh, t): &(bool, AccessToken)| {
                (!is_fresh, t.scopes.len(), std::cmp::Reverse(end_of(t)))
            };
            if let Some(found) = of(lasting)
                && best.as_ref().is_none_or(|best| rank(&found) < rank(best))
            {
                best = Some(found);
            }
        })?;
        Ok(best.map(|(_, token)| token))
    }

    /// The places of the access tokens that a read of `wanted` could return instead of `token`:
    /// those that satisfy the query too, and have no more scopes.
    pub(crate) fn found_instead_of(
        &self,
        wanted: &AccessQuery,
        token: &AccessToken,
    ) -> Result<Vec<(TenantTag, Slot)>> {
        let tenant = self.tenant_tag(wanted.tenant.as_ref());
        let all = || row_key::tokens_in(&self.life().account, self.id_bytes(), &tenant);
        let ask = || self.ask().fences([TaggedScope::Tenant(tenant)]).all(all());
        self.core().read(ask, |open| {
            let mut places = Vec::new();
            self.scan(open, &self.core().clock.moment(), tenant, |lasting| {
                if let Token::Access(other) = &lasting.token
                    && wanted.allows(other)
                    && other.scopes.len() <= token.scopes.len()
                {
                    places.push((tenant, other.slot(&self.core().tagger, &self.life().account)));
                }
            })?;
            Ok(places)
        })
    }

    fn slot_of(&self, wanted: &AccessQuery) -> Slot {
        wanted.slot(&self.core().tagger, &self.life().account)
    }

    fn id_slot_of(&self, wanted: &IdQuery) -> Slot {
        let (tagger, account) = (&self.core().tagger, &self.life().account);
        id_slot(tagger, account, wanted.client.as_str(), &wanted.partition)
    }

    /// What a read of one token looks at.
    fn ask_for(&self, tenant: Option<&TenantId>, slot: impl Fn(&Self) -> Slot) -> Ask {
        let (tenant, slot) = (self.tenant_tag(tenant), slot(self));
        let key = row_key::token(&self.life().account, self.id_bytes(), &tenant, &slot, 0);
        self.ask().key(key).fences([TaggedScope::Tenant(tenant)])
    }

    pub(crate) fn refresh_token_in(
        &self,
        open: &Open<'_>,
        wanted: &RefreshQuery,
    ) -> Result<Option<RefreshToken>> {
        let core = open.core;
        let slot = wanted.slot(&core.tagger, &self.life().account);
        let at = core.clock.moment();
        Ok(match self.read(open, &at, self.life().tenant, slot)? {
            Some(Lasting { token: Token::Refresh(token), life }) => {
                let latest = at.shown.saturating_add(core.options.skew.of(life));
                Some(token)
                    .filter(|token| token.expires_at.is_none_or(|end| to_millis(end) > latest))
            }
            _ => None,
        })
    }

    pub(crate) fn id_token_in(&self, open: &Open<'_>, wanted: &IdQuery) -> Result<Option<IdToken>> {
        let core = open.core;
        let tenant =
            wanted.tenant.as_ref().map_or(self.life().tenant, |tenant| core.tagger.tenant(tenant));
        let slot = self.id_slot_of(wanted);
        Ok(match self.read(open, &core.clock.moment(), tenant, slot)? {
            Some(Lasting { token: Token::Id(token), .. }) => Some(token),
            _ => None,
        })
    }

    /// One token by its place; `None` if it is not there, its age is not known, or the sign-in or
    /// the token's tenant is signed out.
    ///
    /// `at` is when the read began: reading the clocks is a good part of the cost of a read, so it
    /// is done once.
    pub(super) fn read(
        &self,
        open: &Open<'_>,
        at: &Moment,
        tenant: TenantTag,
        slot: Slot,
    ) -> Result<Option<Lasting>> {
        self.read_behind(open, at, tenant, slot, None)
    }

    fn read_behind(
        &self,
        open: &Open<'_>,
        at: &Moment,
        tenant: TenantTag,
        slot: Slot,
        header: Option<Header>,
    ) -> Result<Option<Lasting>> {
        let key = row_key::token(&self.life().account, self.id_bytes(), &tenant, &slot, 0);
        self.beside_writers(open, at, header, |header| {
            if open.is_tenant_dead(self.life(), tenant)? {
                return Ok(Some(None));
            }
            let Some(value) = open.get(&key)? else { return Ok(Some(None)) };
            Ok(open.stored(header, key.clone(), value)?.map(|stored| settle(stored, at)))
        })
    }

    /// Calls `each` with every token of the sign-in in one tenant.
    fn scan(
        &self,
        open: &Open<'_>,
        at: &Moment,
        tenant: TenantTag,
        mut each: impl FnMut(Lasting),
    ) -> Result<()> {
        let prefix = row_key::tokens_in(&self.life().account, self.id_bytes(), &tenant);
        let mut after: Option<Vec<u8>> = None;
        loop {
            let slice = open.scan(&prefix, after.as_deref(), SLICE)?;
            let Some((last, _)) = slice.last() else { return Ok(()) };
            after = Some(last.clone());
            for (key, _) in slice {
                if let Some(AccountRow::Token { slot, part: 0, .. }) = row_key::parse(&key) {
                    // Read it again by its place, so that all of its parts are of one write.
                    self.read(open, at, tenant, slot)?.into_iter().for_each(&mut each);
                }
            }
        }
    }

    /// Calls `read` with the header of this live sign-in, at first with the one that is known if it
    /// is, until it returns a result. A row that does
    /// not open is tampering only if the account has not begun a new life meanwhile. A token that
    /// was read while it was being written is read again, the last time under the account's lock.
    fn beside_writers<T>(
        &self,
        open: &Open<'_>,
        at: &Moment,
        mut known: Option<Header>,
        mut read: impl FnMut(&Header) -> Result<Option<Option<T>>>,
    ) -> Result<Option<T>> {
        // What is of one moment is whole at once.
        let first = if open.is_of_one_moment() { TRIES } else { 0 };
        for attempt in first..=TRIES {
            let lock =
                if attempt == TRIES { Some(open.lock_account(&self.life().account)) } else { None };
            if matches!(lock, Some(None)) {
                return Ok(None);
            }
            let header = match known.take() {
                Some(header) => header,
                None => match self.live_header_at(open, at.shown)? {
                    Some((_, header)) => header,
                    None => return Ok(None),
                },
            };
            match read(&header) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                // A sign-in under a new account key may have replaced the rows since the header was
                // read.
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

/// When the token expires; a token without an expiry comes after all others.
fn end_of(token: &AccessToken) -> Millis {
    token.expires_at.map_or(Millis::MAX, to_millis)
}

fn is_usable(token: &AccessToken, now: Millis, skew: Interval) -> bool {
    end_of(token) > now.saturating_add(skew)
}

/// Whether the token may still be used while the provider has an outage.
fn is_usable_extended(token: &AccessToken, now: Millis) -> bool {
    end_of(token).max(token.extended_expires_at.map_or(Millis::EPOCH, to_millis)) > now
}
