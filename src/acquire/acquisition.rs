//! One acquisition: whether the caller takes the cache's token, refreshes, or waits for the refresh
//! of another caller.

use super::{
    AcquireError, AcquireState, Acquirer, Flown, InteractionReason, RefreshInProgress, RefreshKey,
    RefreshLeader, RefreshOutcome, RefreshWaiter,
};
use std::hash::BuildHasher;
use std::time::Duration;

use super::backoff::BackoffKey;
use super::refresh_stack::RefreshStack;
use super::request::{AccessRequest, Flow, RefreshRequest};
use crate::backend::exchange::Lease;
use crate::model::error::{Error, Result as StoreResult};
use crate::model::query::RefreshQuery;
use crate::model::tag::TenantTag;
use crate::model::time::{Interval, Millis, from_millis, millis, to_millis};
use crate::model::token::AccessToken;
use crate::observe::AcquireOutcome;
use crate::platform::single_flight::{FlightId, Role};
use crate::store::handle::LiveSignIn;

/// One acquisition, until it has a token.
#[derive(Clone)]
pub(super) struct Acquisition {
    pub(super) acquirer: Acquirer,
    pub(super) live: LiveSignIn,
    pub(super) request: AccessRequest,
    /// The tag of the token's tenant.
    pub(super) tenant: TenantTag,
    /// Refreshes with this id or a higher one began after this acquisition.
    began: FlightId,
}

/// What the caller does next.
pub(super) enum NextStep {
    /// Return this token of the cache.
    Return(AccessToken, AcquireOutcome),
    /// Return this token of the cache, which is due; if there is a refresh, the caller runs it.
    ReturnDue(AccessToken, Option<Box<RefreshInProgress>>),
    /// Run this refresh.
    Refresh(Box<RefreshInProgress>),
    /// Wait for the refresh of another caller.
    Wait(RefreshWaiter),
    /// Another process is at it: look again in a moment.
    Elsewhere,
}

enum CacheLookup {
    Fresh(AccessToken),
    Due(AccessToken),
    Missing,
}

impl Acquisition {
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
    pub(super) fn next_step(&self, refreshes_due: bool) -> Result<NextStep, AcquireError> {
        match self.look_up()? {
            CacheLookup::Fresh(token) => Ok(NextStep::Return(token, AcquireOutcome::Hit)),
            CacheLookup::Due(token) => {
                let refresh = if refreshes_due { self.begin_due(&token)? } else { None };
                Ok(NextStep::ReturnDue(token, refresh))
            }
            CacheLookup::Missing => self.begin_required(),
        }
    }

    /// The cache's token, if there is one that no caller has to refresh, and if it can be read
    /// without waiting.
    #[cfg(feature = "tokio")]
    pub(super) fn try_cached(&self) -> Option<(AccessToken, AcquireOutcome)> {
        let token = if self.request.takes_cached() {
            self.live.try_access_token(&self.request.wanted)?.ok()??
        } else {
            return None;
        };
        if !self.request.takes(&token) {
            return None;
        }
        if !self.is_due(&token) {
            return Some((token, AcquireOutcome::Hit));
        }
        let core = self.live.core();
        AcquireState::of(core)
            .backoffs
            .is_waiting(&self.backoff_key(&token), core.clock.passed())
            .then_some((token, AcquireOutcome::Due))
    }

    /// As [`Acquisition::if_open`]; the value comes back as `Err` if that would have to wait.
    #[cfg(feature = "tokio")]
    pub(super) fn try_if_open<T>(&self, value: T) -> Result<Result<T, AcquireError>, T> {
        let is_open = crate::store::access::attempt(self.live.core(), |open| {
            self.live.is_open_to_in(open, self.tenant)
        });
        match is_open {
            None => Err(value),
            Some(Ok(true)) => Ok(Ok(value)),
            Some(Ok(false)) => Ok(Err(AcquireError::SignedOut)),
            Some(Err(error)) => Ok(Err(error.into())),
        }
    }

    /// What the cache has. `SignedOut` if there can be no token.
    fn look_up(&self) -> Result<CacheLookup, AcquireError> {
        if self.request.takes_cached()
            && let Some(token) = self.live.access_token(&self.request.wanted)?
            && self.request.takes(&token)
        {
            return Ok(if self.is_due(&token) {
                CacheLookup::Due(token)
            } else {
                CacheLookup::Fresh(token)
            });
        }
        if self.live.is_open_to(self.tenant)? {
            Ok(CacheLookup::Missing)
        } else {
            Err(AcquireError::SignedOut)
        }
    }

    /// The cache has no token that will do: the caller refreshes, or waits for a refresh.
    fn begin_required(&self) -> Result<NextStep, AcquireError> {
        loop {
            if let Some(step) = self.try_begin_required()? {
                return Ok(step);
            }
        }
    }

    /// `None`: the refresh token that the key was chosen for is gone, and there may be another one.
    fn try_begin_required(&self) -> Result<Option<NextStep>, AcquireError> {
        let (key, redeems) = self.refresh_source()?;
        let name = key.lease(&self.live.core().tagger);
        let leader = match self.join(key) {
            Role::Leader(leader) => leader,
            // That refresh waits for this code: waiting for it would never end.
            Role::Waiter(waiter) if RefreshStack::current_has(waiter.id()) => {
                return Err(Error::invalid(
                    "refresh",
                    "it waits for a token that only itself can bring",
                )
                .into());
            }
            Role::Waiter(waiter) => return Ok(Some(NextStep::Wait(waiter))),
        };
        let Some(lease) = self.live.core().lease(&name)? else {
            leader.complete(Flown::Elsewhere);
            return Ok(Some(NextStep::Elsewhere));
        };
        // A refresh that ended between the first look and the join may have brought the token.
        if let CacheLookup::Fresh(token) | CacheLookup::Due(token) = self.look_up()? {
            return Ok(Some(NextStep::Return(token, AcquireOutcome::Waited)));
        }
        Ok(self.begin((leader, lease), redeems, None)?.map(NextStep::Refresh))
    }

    /// Begins the refresh of a token that is only due. No caller waits for it, so whatever stands
    /// in the way leaves the token as it is.
    fn begin_due(
        &self,
        token: &AccessToken,
    ) -> Result<Option<Box<RefreshInProgress>>, AcquireError> {
        let core = self.live.core();
        let due = self.backoff_key(token);
        if AcquireState::of(core).backoffs.is_waiting(&due, core.clock.passed()) {
            return Ok(None);
        }
        let (key, redeems) = self.refresh_source()?;
        if AcquireState::of(core).refreshes.is_under_way(&key) {
            return Ok(None);
        }
        let name = key.lease(&core.tagger);
        let Role::Leader(leader) = self.join(key) else { return Ok(None) };
        let Some(lease) = core.lease(&name)? else {
            leader.complete(Flown::Elsewhere);
            return Ok(None);
        };
        // As above: a refresh may have ended since the first look.
        match self.look_up()? {
            CacheLookup::Due(_) => {}
            CacheLookup::Fresh(_) | CacheLookup::Missing => return Ok(None),
        }
        match self.begin((leader, lease), redeems, Some(due)) {
            Err(AcquireError::InteractionRequired { .. }) => Ok(None),
            refresh => refresh,
        }
    }

    fn join(&self, key: RefreshKey) -> Role<RefreshKey, RefreshRequest, Flown> {
        let core = self.live.core();
        let request =
            self.request.refresh_request(&core.tagger, &self.live.life().account, self.tenant);
        AcquireState::of(core).refreshes.join(key, request)
    }

    /// Which refresh token is redeemed, and the key of the refresh: always that of the refresh
    /// token itself, whichever request leads to it. A leader with the key of an access token never
    /// looks for a refresh token.
    fn refresh_source(&self) -> StoreResult<(RefreshKey, Option<RefreshQuery>)> {
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
        Ok((RefreshKey { account: *account, sign_in, generation, tenant, slot }, redeems))
    }

    fn family(&self) -> Option<RefreshQuery> {
        let family = self.request.family.as_ref().map(RefreshQuery::family);
        family.map(|query| query.partition(self.request.wanted.partition.clone()))
    }

    /// Begins a refresh. The refresh token is read only now, when no other caller can redeem it.
    /// `None`: it is gone, and the caller looks for another one.
    fn begin(
        &self,
        (leader, lease): (RefreshLeader, Lease),
        redeems: Option<RefreshQuery>,
        due: Option<BackoffKey>,
    ) -> Result<Option<Box<RefreshInProgress>>, AcquireError> {
        let refresh_token = match &redeems {
            Some(query) => self.live.refresh_token(query.clone())?,
            None => None,
        };
        if redeems.is_some() && refresh_token.is_none() {
            // A sign-out may have taken it.
            self.if_open(())?;
            if self.refresh_source()?.1 != redeems {
                return Ok(None);
            }
            let (reason, claims) = (InteractionReason::NoRefreshToken, self.request.claims.clone());
            let error = AcquireError::InteractionRequired { reason, claims, source: None };
            drop(lease);
            leader.complete(Flown::Over(Err(error.clone())));
            return Err(error);
        }
        let began_at = from_millis(self.live.core().clock.now());
        Ok(Some(Box::new(RefreshInProgress::new(
            (leader, lease),
            self,
            refresh_token,
            began_at,
            due,
        ))))
    }

    /// Whether the outcome of that refresh is for this acquisition. A request that bypasses the
    /// cache wants a refresh that began after the request: a role may have been granted, or taken
    /// away, in between.
    pub(super) fn shares(&self, waiter: &RefreshWaiter) -> bool {
        let core = self.live.core();
        let request =
            self.request.refresh_request(&core.tagger, &self.live.life().account, self.tenant);
        *waiter.request() == request && (self.request.takes_cached() || waiter.id() >= self.began)
    }

    /// What this caller gets of the outcome of another caller's refresh.
    pub(super) fn accept_shared(&self, outcome: RefreshOutcome) -> RefreshOutcome {
        match outcome {
            // The sign-in was live when the leader looked. A caller that gives a token out looks
            // again.
            Ok(token) => self.if_open(token),
            Err(error) => self.or_extended(Err(error)),
        }
    }

    /// If the refresh failed and an expired token will do, that one.
    pub(super) fn or_extended(&self, outcome: RefreshOutcome) -> RefreshOutcome {
        let Err(error @ AcquireError::Refresh(_)) = outcome else { return outcome };
        if !self.request.even_if_expired || !self.request.takes_cached() {
            return Err(error);
        }
        let extended = self.live.access_token(&self.request.wanted.clone().even_if_expired())?;
        match extended.filter(|token| self.request.takes(token)) {
            Some(token) => Ok(token),
            None => self.if_open(()).and(Err(error)),
        }
    }

    /// `value`, if the sign-in is live now and the token's tenant is not signed out.
    pub(super) fn if_open<T>(&self, value: T) -> Result<T, AcquireError> {
        if self.live.is_open_to(self.tenant)? { Ok(value) } else { Err(AcquireError::SignedOut) }
    }

    fn backoff_key(&self, token: &AccessToken) -> BackoffKey {
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
        // Not before half of a short life is over: a login has just brought it.
        let half = token.lifetime.map_or(Interval::MAX, |life| millis(life).part_of(2));
        let ahead = ahead.min(half);

        // A token without an end is never due, unless the provider has said when to refresh it.
        let said = token.refresh_at.map(to_millis).filter(|at| *at < end);
        let due = said.unwrap_or(if token.expires_at.is_some() {
            end.saturating_sub(ahead)
        } else {
            end
        });

        // The jitter is at most a quarter of the time between the refresh and the end, so that it
        // stays a small part of a short life.
        let jitter = end.since(due).part_of(4).min(millis(policy.jitter));
        if now >= due || now.saturating_add(jitter) < due {
            return now >= due;
        }
        let seed = &AcquireState::of(core).jitter_seed;
        let own = seed.hash_one((self.live.id_bytes(), end, token.scopes.len()));
        now.saturating_add(Interval::new(own % jitter.get().saturating_add(1))) >= due
    }

    /// How long after its issue a token with this lifetime is refreshed, if the provider does not
    /// say.
    pub(super) fn refresh_after(&self, life: Duration) -> Duration {
        let ahead =
            self.acquirer.0.refresh_ahead.saturating_add(self.live.core().options.skew.most());
        life.saturating_sub(ahead.min(life / 2))
    }
}
