//! What somebody who wants a token does next: take the cache's, refresh, or wait for who does.

use super::{
    AcquireError, Acquirer, Acquiring, InteractionReason, Key, Landing, Lead, RefreshLeader,
    RefreshWaiter,
};
use std::hash::BuildHasher;
use std::time::Duration;

use super::chain::Chain;
use super::hold::Held;
use super::request::{AccessRequest, Flow};
use crate::model::error::{Error, Result as StoreResult};
use crate::model::query::RefreshQuery;
use crate::model::tag::Tag;
use crate::model::time::{Millis, from_millis, millis, to_millis};
use crate::model::token::AccessToken;
use crate::observe::Acquisition;
use crate::platform::single_flight::{FlightId, Role};
use crate::store::sign_in::LiveSignIn;

/// One acquisition, until it has a token.
#[derive(Clone)]
pub(super) struct Turns {
    pub(super) acquirer: Acquirer,
    pub(super) live: LiveSignIn,
    pub(super) request: AccessRequest,
    /// Of the token.
    pub(super) tenant: Tag,
    /// Flights from here on began after this acquisition.
    began: FlightId,
}

pub(super) enum Step {
    /// The cache has it.
    Give(AccessToken, Acquisition),
    /// The cache has it, and it is due. Whether the caller is to refresh it.
    Due(AccessToken, Option<Box<Lead>>),
    /// The caller refreshes.
    Lead(Box<Lead>),
    /// Somebody else is at it.
    Wait(RefreshWaiter),
}

/// What the cache has.
enum Sight {
    Fresh(AccessToken),
    Due(AccessToken),
    Missing,
}

impl Turns {
    pub(super) fn new(acquirer: &Acquirer, live: &LiveSignIn, request: AccessRequest) -> Self {
        let tenant = live.tenant_tag(request.tenant());
        Self {
            acquirer: acquirer.clone(),
            live: live.clone(),
            request,
            tenant,
            began: FlightId::next(),
        }
    }

    /// What to do now. `refreshes_due` says whether a token that is only due is to be refreshed.
    pub(super) fn next(&self, refreshes_due: bool) -> Result<Step, AcquireError> {
        match self.look()? {
            Sight::Fresh(token) => Ok(Step::Give(token, Acquisition::Hit)),
            Sight::Due(token) => {
                let lead = if refreshes_due { self.take_due(&token)? } else { None };
                Ok(Step::Due(token, lead))
            }
            Sight::Missing => self.take_required(),
        }
    }

    /// The cache's token, if it has one, nothing holds its reading up, and nobody has to refresh
    /// it.
    #[cfg(feature = "tokio")]
    pub(super) fn next_at_once(&self) -> Option<(AccessToken, Acquisition)> {
        let token = if self.request.takes_cached() {
            self.live.try_access_token(&self.request.wanted)?.ok()??
        } else {
            return None;
        };
        if !self.request.takes(&token) {
            return None;
        }
        if !self.is_due(&token) {
            return Some((token, Acquisition::Hit));
        }
        let core = self.live.core();
        Acquiring::of(core)
            .holds
            .is_held(&self.held(&token), core.clock.passed())
            .then_some((token, Acquisition::Due))
    }

    /// As [`Turns::if_open`], if nothing holds it up.
    #[cfg(feature = "tokio")]
    pub(super) fn if_open_at_once<T>(&self, value: T) -> Result<Result<T, AcquireError>, T> {
        let is_open = crate::store::gate::attempt(self.live.core(), |open| {
            self.live.is_open_to_in(open, self.tenant)
        });
        match is_open {
            None => Err(value),
            Some(Ok(true)) => Ok(Ok(value)),
            Some(Ok(false)) => Ok(Err(AcquireError::SignedOut)),
            Some(Err(error)) => Ok(Err(error.into())),
        }
    }

    /// The cache's token; `SignedOut` if there can be none.
    fn look(&self) -> Result<Sight, AcquireError> {
        if self.request.takes_cached()
            && let Some(token) = self.live.access_token(&self.request.wanted)?
            && self.request.takes(&token)
        {
            return Ok(if self.is_due(&token) { Sight::Due(token) } else { Sight::Fresh(token) });
        }
        if self.live.is_open_to(self.tenant)? {
            Ok(Sight::Missing)
        } else {
            Err(AcquireError::SignedOut)
        }
    }

    /// A token has to be refreshed before there is one.
    fn take_required(&self) -> Result<Step, AcquireError> {
        loop {
            if let Some(step) = self.try_required()? {
                return Ok(step);
            }
        }
    }

    /// `None`: the refresh token is gone that there was when the leader was chosen, and there may be
    /// another one.
    fn try_required(&self) -> Result<Option<Step>, AcquireError> {
        let (key, redeems) = self.source()?;
        let leader = match self.join(key) {
            Role::Leader(leader) => leader,
            // Waiting for oneself would be for ever.
            Role::Waiter(waiter) if Chain::has(waiter.id()) => {
                return Err(Error::invalid(
                    "refresh",
                    "it waits for a token that only itself can bring",
                )
                .into());
            }
            Role::Waiter(waiter) => return Ok(Some(Step::Wait(waiter))),
        };
        // Whoever had the leader a moment ago may have brought it.
        if let Sight::Fresh(token) | Sight::Due(token) = self.look()? {
            return Ok(Some(Step::Give(token, Acquisition::Waited)));
        }
        Ok(self.lead(leader, redeems, None)?.map(Step::Lead))
    }

    /// A token is only due: nobody waits for that, and what stands in the way leaves it as it is.
    fn take_due(&self, token: &AccessToken) -> Result<Option<Box<Lead>>, AcquireError> {
        let core = self.live.core();
        let held = self.held(token);
        if Acquiring::of(core).holds.is_held(&held, core.clock.passed()) {
            return Ok(None);
        }
        let (key, redeems) = self.source()?;
        if Acquiring::of(core).refreshes.is_under_way(&key) {
            return Ok(None);
        }
        let Role::Leader(leader) = self.join(key) else { return Ok(None) };
        match self.look()? {
            Sight::Due(_) => {}
            Sight::Fresh(_) | Sight::Missing => return Ok(None),
        }
        match self.lead(leader, redeems, Some(held)) {
            Err(AcquireError::InteractionRequired { .. }) => Ok(None),
            lead => lead,
        }
    }

    fn join(&self, key: Key) -> Role<Key, super::Errand, Landing> {
        let core = self.live.core();
        let errand = self.request.errand(&core.tagger, &self.live.life().account, self.tenant);
        Acquiring::of(core).refreshes.join(key, errand)
    }

    /// What is redeemed, and the leader for it: always that of the refresh token itself, whatever
    /// way it was come by. Who has the leader of an access token never looks for a refresh token.
    fn source(&self) -> StoreResult<(Key, Option<RefreshQuery>)> {
        let partition = &self.request.wanted.partition;
        let client =
            RefreshQuery::client(self.request.client().clone()).partition(partition.clone());
        let family = self.family().filter(|_| self.request.flow != Flow::App);
        let redeems = match (self.request.flow, family) {
            (Flow::App, _) => None,
            (_, Some(family)) if self.live.refresh_token(family.clone())?.is_some() => Some(family),
            (Flow::User, _) => Some(client),
            (Flow::OnBehalfOf, _) => self.live.refresh_token(client.clone())?.map(|_| client),
        };
        let (tagger, account) = (&self.live.core().tagger, &self.live.life().account);
        let (tenant, slot) = match &redeems {
            Some(query) => (None, query.slot(tagger, account)),
            None => (Some(self.tenant), self.request.wanted.slot(tagger, account)),
        };
        let (sign_in, generation) = (*self.live.id_bytes(), *self.live.generation());
        Ok((Key { account: *account, sign_in, generation, tenant, slot }, redeems))
    }

    fn family(&self) -> Option<RefreshQuery> {
        let family = self.request.family.as_ref().map(RefreshQuery::family);
        family.map(|query| query.partition(self.request.wanted.partition.clone()))
    }

    /// Begins a refresh. The refresh token is read only now that nobody else can redeem it. `None`:
    /// look for another one.
    fn lead(
        &self,
        leader: RefreshLeader,
        redeems: Option<RefreshQuery>,
        due: Option<Held>,
    ) -> Result<Option<Box<Lead>>, AcquireError> {
        let refresh_token = match &redeems {
            Some(query) => self.live.refresh_token(query.clone())?,
            None => None,
        };
        if redeems.is_some() && refresh_token.is_none() {
            // It may be the sign-out that took it.
            self.if_open(())?;
            if self.source()?.1 != redeems {
                return Ok(None);
            }
            let (reason, claims) = (InteractionReason::NoRefreshToken, self.request.claims.clone());
            let error = AcquireError::InteractionRequired { reason, claims, source: None };
            leader.complete(Err(error.clone()));
            return Err(error);
        }
        let began_at = from_millis(self.live.core().clock.now());
        Ok(Some(Box::new(Lead::new(leader, self, refresh_token, began_at, due))))
    }

    /// Whether what comes of that refresh is for this acquisition. What bypasses the cache wants a
    /// refresh that began after it was asked for: the role may have been granted, or taken away, in
    /// between.
    pub(super) fn joins(&self, waiter: &RefreshWaiter) -> bool {
        let errand =
            self.request.errand(&self.live.core().tagger, &self.live.life().account, self.tenant);
        *waiter.request() == errand && (self.request.takes_cached() || waiter.id() >= self.began)
    }

    /// What somebody else's refresh brought.
    pub(super) fn shared(&self, landed: Landing) -> Landing {
        match landed {
            // It was live when the leader looked. Whoever gives a token out looks again.
            Ok(token) => self.if_open(token),
            Err(error) => self.or_extended(Err(error)),
        }
    }

    /// If the refresh failed and an expired token will do, that one.
    pub(super) fn or_extended(&self, landed: Landing) -> Landing {
        let Err(error @ AcquireError::Refresh(_)) = landed else { return landed };
        if !self.request.even_if_expired || !self.request.takes_cached() {
            return Err(error);
        }
        let extended = self.live.access_token(&self.request.wanted.clone().even_if_expired())?;
        match extended.filter(|token| self.request.takes(token)) {
            Some(token) => Ok(token),
            None => self.if_open(()).and(Err(error)),
        }
    }

    /// `value`, if the sign-in lives now and the token's tenant is not signed out.
    pub(super) fn if_open<T>(&self, value: T) -> Result<T, AcquireError> {
        if self.live.is_open_to(self.tenant)? { Ok(value) } else { Err(AcquireError::SignedOut) }
    }

    fn held(&self, token: &AccessToken) -> Held {
        let account = self.live.life().account;
        (
            account,
            *self.live.id_bytes(),
            self.tenant,
            token.slot(&self.live.core().tagger, &account),
        )
    }

    pub(super) fn is_due(&self, token: &AccessToken) -> bool {
        let (core, policy) = (self.live.core(), &*self.acquirer.0);
        let (now, end) = (core.clock.now(), token.expires_at.map_or(Millis::MAX, to_millis));
        let ahead = millis(policy.refresh_ahead.saturating_add(core.options.skew.most()));
        let told = token.refresh_at.map(to_millis).filter(|at| *at < end);
        // What has no end is never due, unless the provider has said when.
        let due = told.unwrap_or(if token.expires_at.is_some() {
            end.saturating_sub(ahead)
        } else {
            end
        });
        // Of a short life the jitter is a small part too.
        let jitter = told.map_or(u64::MAX, |at| (end - at) / 4).min(millis(policy.jitter));
        if now >= due || now.saturating_add(jitter) < due {
            return now >= due;
        }
        let mine =
            Acquiring::of(core).spread.hash_one((self.live.id_bytes(), end, token.scopes.len()));
        now.saturating_add(mine % (jitter + 1)) >= due
    }

    /// When a token of that expiry is to be refreshed, if the provider does not say.
    pub(super) fn refresh_at(&self, life: Duration) -> Duration {
        let ahead =
            self.acquirer.0.refresh_ahead.saturating_add(self.live.core().options.skew.most());
        life.saturating_sub(ahead.min(life / 2))
    }
}
