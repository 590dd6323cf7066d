//! Storing the tokens of a sign-in, and removing them.

use crate::backend::{Ask, Tried};
use crate::engine::{Batch, Durability, Row};
use crate::model::error::{Error, Result};
use crate::model::sign_in::PutOutcome;
use crate::model::tag::{Slot, TaggedScope, TenantTag};
use crate::model::token::{RefreshToken, Token, Tokens};
use crate::observe;
use crate::rows::header::Header;
use crate::rows::parts::parts_of;
use crate::rows::row_key::{self, IndexEntry};
use crate::store::access::Open;
use crate::store::handle::LiveSignIn;
use crate::store::plan::{Guards, Held, Plan};
use std::collections::BTreeMap;

impl LiveSignIn {
    /// Stores tokens, all of them or none. Each replaces a stored token of the same kind, tenant,
    /// client, scopes and so on.
    ///
    /// `Ok` means that they are readable, and survive what the store's durability says: by default
    /// a power loss if there is a refresh token among them, else the death of the process. A token
    /// whose own tenant was signed out is left out and [reported](PutOutcome::refused).
    ///
    /// # Errors
    /// [`Error::SignedOut`] if the sign-in has ended: none of these tokens can be read. (If the
    /// sign-out itself was not acknowledged, and a crash loses it, the sign-in lives on, perhaps
    /// with these tokens.) [`Error::InvalidInput`] for a token that cannot be stored.
    /// [`Error::Full`], [`Error::Io`] and [`Error::Poisoned`] if the engine failed: the outcome is
    /// unknown, and the store must be reopened.
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
    pub fn put(&self, tokens: impl Into<Tokens>) -> Result<PutOutcome> {
        let tokens = tokens.into();
        observe::put(|| Ok(self.store(&tokens.0, None, &[])?.0))
    }

    /// As [`put`](Self::put), for the tokens that were got for a refresh token. If there is a new
    /// refresh token among them, the redeemed one is removed in the same batch. If the store has
    /// another refresh token in that place by now, it is kept: the second result lists the numbers
    /// of the tokens that were left out for it. The tokens in the places `forget` (tenant and slot)
    /// are removed too, unless a new one is put there.
    pub(crate) fn put_refreshed(
        &self,
        tokens: &[Token],
        redeemed: Option<&RefreshToken>,
        forget: &[Place],
    ) -> Result<(PutOutcome, Vec<usize>)> {
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
        forget: &[Place],
    ) -> Result<(PutOutcome, Vec<usize>)> {
        tokens.iter().try_for_each(Token::check)?;
        let (core, me) = (self.core(), &*self.0);
        let held = Held { accounts: &[me.life.account], session: None };
        let ask = || self.ask_to_put(tokens, redeemed, forget);
        let told = core.change(held, ask, |open| self.plan_put(open, tokens, redeemed, forget))?;
        // A fence that came meanwhile has made the tokens unreadable: report that.
        if told.0.stored > 0 && core.is_overtaken(&me.life) {
            return Err(Error::SignedOut);
        }
        Ok(told)
    }

    fn plan_put(
        &self,
        open: &Open<'_>,
        tokens: &[Token],
        redeemed: Option<&RefreshToken>,
        forget: &[Place],
    ) -> Result<Plan<(PutOutcome, Vec<usize>)>> {
        let me = &*self.0;
        let (value, header) = self.live_header(open)?.ok_or(Error::SignedOut)?;
        let mut guards = Guards::on(open);
        self.check_redeemed(open, &header, redeemed, tokens, &mut guards)?;
        // A redeemed token is replaced only if the provider sent another: else it may be used
        // again.
        let redeemed =
            redeemed.filter(|_| tokens.iter().any(|token| matches!(token, Token::Refresh(_))));
        let (spent, newer) = self.rotation(open, &header, redeemed, tokens)?;
        let Sealed { writes, stored, left_out, durability } =
            self.seal(open, &header, tokens, newer)?;
        if stored.stored == 0 {
            return Ok(Plan::nothing((stored, left_out)));
        }

        let mut batch = Batch {
            guard: Some((row_key::header(&me.life.account), Some(value))),
            changes: Vec::new(),
        };
        // One batch from here: the old tokens are removed and the new ones stored, or nothing
        // changes.
        for place in forget.iter().chain(&spent).filter(|place| !writes.contains_key(*place)) {
            self.remove(open, place, 0, &mut batch, &mut guards)?;
        }
        for (place, rows) in writes {
            // If the token that is replaced was longer, its surplus parts are deleted.
            let parts = u8::try_from(rows.len()).unwrap_or(u8::MAX);
            self.remove(open, &place, parts, &mut batch, &mut guards)?;
            rows.into_iter().for_each(|(key, value)| batch.put(key, value));
            let (tenant, _) = place;
            if tenant != me.life.tenant {
                batch.put(IndexEntry::Tenant(tenant).row(&me.life.account), Vec::new());
            }
        }
        Ok(Plan::nothing((stored, left_out)).commit(batch).only_if(guards).durable(durability))
    }

    /// What a put looks at: the header, and the first parts of the tokens in its places.
    fn ask_to_put(
        &self,
        tokens: &[Token],
        redeemed: Option<&RefreshToken>,
        forget: &[Place],
    ) -> Ask {
        let (core, me) = (self.core(), &*self.0);
        let place = |token: &Token| {
            (self.tenant_tag(token.tenant()), token.slot(&core.tagger, &me.life.account))
        };
        let redeemed =
            redeemed.map(|token| (me.life.tenant, token.slot(&core.tagger, &me.life.account)));
        let places = tokens.iter().map(place).chain(redeemed).chain(forget.iter().copied());
        places.fold(self.ask(), |ask, (tenant, slot)| {
            let key = row_key::token(&me.life.account, &me.id, &tenant, &slot, 0);
            ask.key(key).fences([TaggedScope::Tenant(tenant)])
        })
    }

    /// Refuses what a refresh got whose refresh token has been removed since it was redeemed: the
    /// app has ended it. It is guarded, so that this is so when the tokens are stored.
    fn check_redeemed(
        &self,
        open: &Open<'_>,
        header: &Header,
        redeemed: Option<&RefreshToken>,
        tokens: &[Token],
        guards: &mut Guards,
    ) -> Result<()> {
        let Some(redeemed) = redeemed else { return Ok(()) };
        let me = &*self.0;
        let slot = redeemed.slot(&open.core.tagger, &me.life.account);
        let key = row_key::token(&me.life.account, &me.id, &me.life.tenant, &slot, 0);
        let found = open.get(&key)?;
        guards.row(&key, found.as_deref());
        if found.is_some() || open.lacks_something() {
            return Ok(());
        }
        // If no answer came to an earlier try, that one may have removed it: then what it has
        // stored is there.
        match open.tried() {
            Tried::Lost if self.has_stored(open, header, tokens)? => Ok(()),
            _ => Err(Error::SignedOut),
        }
    }

    /// Whether one of these refresh tokens is in its place.
    fn has_stored(&self, open: &Open<'_>, header: &Header, tokens: &[Token]) -> Result<bool> {
        for token in tokens {
            let Token::Refresh(token) = token else { continue };
            let slot = token.slot(&open.core.tagger, &self.0.life.account);
            let found = self.refresh_token_at(open, header, slot)?;
            if found.is_some_and(|(stored, _)| stored.secret == token.secret) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What happens to the refresh token that was redeemed. First: its place, if it is to be
    /// removed from there. Second: its place, if another token is stored there by now, which stays.
    fn rotation(
        &self,
        open: &Open<'_>,
        header: &Header,
        redeemed: Option<&RefreshToken>,
        tokens: &[Token],
    ) -> Result<(Option<Place>, Option<Place>)> {
        let Some(redeemed) = redeemed else { return Ok((None, None)) };
        let life = &self.0.life;
        let place = (life.tenant, redeemed.slot(&open.core.tagger, &life.account));
        // If this put was made already and no answer came, its own token is there.
        let is_own = |stored: &RefreshToken| {
            tokens.iter().any(
                |token| matches!(token, Token::Refresh(token) if token.secret == stored.secret),
            )
        };
        Ok(match self.refresh_token_at(open, header, place.1)? {
            Some((stored, _)) if stored.secret != redeemed.secret && !is_own(&stored) => {
                (None, Some(place))
            }
            _ => (Some(place), None),
        })
    }

    /// Seals the tokens, except for those that are refused or have a `newer` one in their place.
    fn seal(
        &self,
        open: &Open<'_>,
        header: &Header,
        tokens: &[Token],
        newer: Option<Place>,
    ) -> Result<Sealed> {
        let (core, me) = (open.core, &*self.0);
        let mut sealed = Sealed {
            writes: BTreeMap::new(),
            stored: PutOutcome { stored: 0, refused: Vec::new() },
            left_out: Vec::new(),
            durability: Durability::ProcessCrash,
        };
        let put = core.clock.moment();
        for (number, token) in tokens.iter().enumerate() {
            let tenant = token.tenant().map_or(me.life.tenant, |tenant| core.tagger.tenant(tenant));
            if self.refuses(open, tenant)? {
                sealed.stored.refused.push(number);
                continue;
            }
            let slot = token.slot(&core.tagger, &me.life.account);
            // Another refresh has stored a token there since this one was redeemed.
            if newer == Some((tenant, slot)) {
                sealed.left_out.push(number);
                continue;
            }
            let key = |part| row_key::token(&me.life.account, &me.id, &tenant, &slot, part);
            let rows = open.rows()?.seal_token(key, header, token, Some(&put))?;
            sealed.writes.insert((tenant, slot), rows);
            sealed.durability = sealed.durability.max(core.options.durability_of(token));
            sealed.stored.stored += 1;
        }
        Ok(sealed)
    }

    /// Deletes the parts of the token in this place from part `from` on.
    fn remove(
        &self,
        open: &Open<'_>,
        place: &Place,
        from: u8,
        batch: &mut Batch,
        guards: &mut Guards,
    ) -> Result<()> {
        let (me, (tenant, slot)) = (&*self.0, place);
        let key = |part| row_key::token(&me.life.account, &me.id, tenant, slot, part);
        let old = open.get(&key(0))?;
        guards.row(&key(0), old.as_deref());
        let parts = old.map_or(0, |old| parts_of(&old));
        (from..parts).for_each(|part| batch.delete(key(part)));
        Ok(())
    }

    /// Removes this refresh token, if it is still stored. `Ok(false)` if another one is stored in
    /// its place, or none.
    pub(crate) fn remove_refresh_token(&self, token: &RefreshToken) -> Result<bool> {
        let (core, me) = (self.core(), &*self.0);
        let held = Held { accounts: &[me.life.account], session: None };
        let slot = token.slot(&core.tagger, &me.life.account);
        let key = |part| row_key::token(&me.life.account, &me.id, &me.life.tenant, &slot, part);
        core.change(
            held,
            || self.ask().key(key(0)),
            |open| {
                let (value, header) = self.live_header(open)?.ok_or(Error::SignedOut)?;
                let first = open.get(&key(0))?;
                let mut guards = Guards::on(open);
                guards.row(&key(0), first.as_deref());
                let parts = match self.refresh_token_at(open, &header, slot)? {
                    // An earlier try has removed it.
                    None if open.tried() > Tried::Never => return Ok(Plan::nothing(true)),
                    // In constant time, as all secrets are compared.
                    Some((stored, parts)) if stored.secret == token.secret => parts,
                    _ => return Ok(Plan::nothing(false)),
                };
                let mut batch = Batch {
                    guard: Some((row_key::header(&me.life.account), Some(value))),
                    changes: Vec::new(),
                };
                (0..parts).for_each(|part| batch.delete(key(part)));
                // If a power cut brings it back, the provider refuses it once more.
                let plan = Plan::nothing(true).commit(batch).only_if(guards);
                Ok(plan.durable(Durability::ProcessCrash))
            },
        )
    }

    /// The refresh token that is stored in a slot, and its number of parts. The caller holds the
    /// account's lock.
    fn refresh_token_at(
        &self,
        open: &Open<'_>,
        header: &Header,
        slot: Slot,
    ) -> Result<Option<(RefreshToken, u8)>> {
        let key = row_key::token(&self.0.life.account, &self.0.id, &self.0.life.tenant, &slot, 0);
        let Some(value) = open.get(&key)? else { return Ok(None) };
        let parts = parts_of(&value);
        match open.token(header, key, value)? {
            Some(Token::Refresh(token)) => Ok(Some((token, parts))),
            _ => Ok(None),
        }
    }
}

/// Where a token lies within its sign-in.
type Place = (TenantTag, Slot);

/// Tokens that are sealed and not yet stored.
struct Sealed {
    /// By place: of two tokens for one place, the later one is stored.
    writes: BTreeMap<Place, Vec<Row>>,
    stored: PutOutcome,
    /// The numbers of those that were left out for a newer one.
    left_out: Vec<usize>,
    /// What the commit has to survive.
    durability: Durability,
}
