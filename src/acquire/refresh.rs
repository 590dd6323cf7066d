//! One refresh, from the grant to the outcome: what came is stored, the key is free again, and
//! every waiter gets the outcome, in this order.

mod response;
mod store;

use super::{
    AcquireError, AcquireState, Acquirer, Flown, Grant, InteractionReason, OrphanReason,
    RefreshError, RefreshFailed, RefreshLeader, RefreshOutcome,
};
use std::time::{Instant, SystemTime};

use super::acquisition::Acquisition;
use super::backoff::BackoffKey;
use super::orphans::Orphans;
use super::refresh_stack::RefreshStack;
use super::request::{AccessRequest, Flow};
use crate::backend::exchange::Lease;
use crate::model::error::Result as StoreResult;
use crate::model::query::RefreshQuery;
use crate::model::token::{RefreshToken, Token, Tokens};
use crate::observe::{self, Refresh};
use crate::store::handle::LiveSignIn;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A refresh, by its leader. Dropped, it frees the key, and its waiters learn that nothing came.
pub(super) struct RefreshInProgress {
    leader: Option<RefreshLeader>,
    /// That no other process refreshes the same. It ends before the leader's waiters look again.
    lease: Option<Lease>,
    acquisition: Acquisition,
    grant: Grant,
    /// The token that is refreshed, if it was only due.
    due: Option<BackoffKey>,
    began: Instant,
    /// Whether the closure has begun: the provider may have been asked.
    is_asked: bool,
}

/// The outcome, and what is left over.
struct Conclusion {
    outcome: RefreshOutcome,
    orphaned: Vec<(Token, OrphanReason)>,
    how: Refresh,
}

impl RefreshInProgress {
    pub(super) fn new(
        (leader, lease): (RefreshLeader, Lease),
        acquisition: &Acquisition,
        refresh_token: Option<RefreshToken>,
        began_at: SystemTime,
        due: Option<BackoffKey>,
    ) -> Self {
        let (live, request) = (&acquisition.live, &acquisition.request);
        let grant = Grant {
            account: live.account().clone(),
            tenant: live.tenant().clone(),
            wanted: request.wanted.clone(),
            claims: request.claims.clone(),
            refresh_token,
            began_at,
        };
        Self {
            leader: Some(leader),
            lease: Some(lease),
            acquisition: acquisition.clone(),
            grant,
            due,
            began: Instant::now(),
            is_asked: false,
        }
    }

    /// Records that the closure runs from here on.
    pub(super) fn begin(&mut self) {
        self.is_asked = true;
    }

    #[cfg(feature = "tokio")]
    pub(super) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The refreshes that wait for this one's closure, with this one.
    fn stack(&self) -> RefreshStack {
        self.leader.iter().fold(RefreshStack::current(), |stack, leader| stack.with(leader.id()))
    }

    /// As [`RefreshInProgress::stack`], if the closure runs in a task of its own. No refresh waits
    /// for the task if the token is only due.
    #[cfg(feature = "tokio")]
    pub(super) fn detached_stack(&self) -> RefreshStack {
        let outer =
            if self.due.is_some() { RefreshStack::default() } else { RefreshStack::current() };
        self.leader.iter().fold(outer, |stack, leader| stack.with(leader.id()))
    }

    #[cfg(feature = "tokio")]
    pub(super) fn state(&self) -> &AcquireState {
        AcquireState::of(self.live().core())
    }

    #[cfg(feature = "tokio")]
    pub(super) fn waiter(&self) -> Option<super::RefreshWaiter> {
        self.leader.as_ref().map(RefreshLeader::waiter)
    }

    /// Refreshes on this thread.
    pub(super) fn run(
        mut self,
        refresh: impl FnOnce(&Grant) -> Result<Tokens, RefreshError>,
    ) -> RefreshOutcome {
        self.begin();
        let result = self.stack().run(|| refresh(&self.grant));
        let (outcome, orphans) = self.settle(result);
        orphans.into_iter().for_each(Orphans::hand_over);
        outcome
    }

    /// Stores what the closure got, frees the key, and gives every waiter the outcome. The orphans
    /// are for the hook.
    pub(super) fn settle(
        &mut self,
        result: Result<Tokens, RefreshError>,
    ) -> (RefreshOutcome, Option<Orphans>) {
        let Conclusion { outcome, orphaned, how } = self.conclude(result);
        self.note_due(&outcome);
        drop(self.lease.take());
        if let Some(leader) = self.leader.take() {
            observe::refreshed(how, self.began.elapsed());
            leader.complete(Flown::Over(outcome.clone()));
        }
        let hook = self.acquirer().0.on_orphaned.clone().filter(|_| !orphaned.is_empty());
        let orphans =
            hook.map(|hook| Orphans { hook, account: self.grant.account.clone(), orphaned });
        (outcome, orphans)
    }

    fn acquirer(&self) -> &Acquirer {
        &self.acquisition.acquirer
    }

    fn live(&self) -> &LiveSignIn {
        &self.acquisition.live
    }

    fn request(&self) -> &AccessRequest {
        &self.acquisition.request
    }

    fn conclude(&self, result: Result<Tokens, RefreshError>) -> Conclusion {
        let (error, how) = match result {
            Ok(Tokens(tokens)) => return self.store(tokens, None),
            Err(RefreshError::Failed(source)) => match self.read_after_all(&*source) {
                Some(Tokens(tokens)) => return self.store(tokens, Some(source)),
                None => (AcquireError::Refresh(RefreshFailed::new(source)), Refresh::Failed),
            },
            Err(RefreshError::InteractionRequired { claims, source }) => (
                self.interaction_required(InteractionReason::Provider, claims, Some(source)),
                Refresh::InteractionRequired,
            ),
            Err(RefreshError::InvalidGrant(source)) => match self.forget_redeemed() {
                Ok(true) => {
                    (AcquireError::Refresh(RefreshFailed::new(source)), Refresh::InvalidGrant)
                }
                Ok(false) => (
                    self.interaction_required(InteractionReason::InvalidGrant, None, Some(source)),
                    Refresh::InvalidGrant,
                ),
                Err(error) => (error.into(), Refresh::InvalidGrant),
            },
        };
        // If the user signed out meanwhile, that is the outcome, whatever else went wrong.
        let (error, how) = match self.acquisition.if_open(()) {
            Err(signed_out @ AcquireError::SignedOut) => (signed_out, Refresh::SignedOut),
            _ => (error, how),
        };
        Conclusion { outcome: Err(error), orphaned: Vec::new(), how }
    }

    fn interaction_required(
        &self,
        reason: InteractionReason,
        claims: Option<String>,
        source: Option<Source>,
    ) -> AcquireError {
        let claims = claims.or_else(|| self.request().claims.clone());
        AcquireError::InteractionRequired { reason, claims, source: source.map(RefreshFailed::new) }
    }

    /// Removes the refresh token that the provider does not take. `true` if there is another one by
    /// now, or another way: then the next call can succeed.
    fn forget_redeemed(&self) -> StoreResult<bool> {
        let Some(redeemed) = &self.grant.refresh_token else { return Ok(false) };
        let live = self.live();
        if !live.remove_refresh_token(redeemed)? || self.request().flow == Flow::OnBehalfOf {
            return Ok(live.refresh_token(query_of(redeemed))?.is_some()
                || self.request().flow == Flow::OnBehalfOf);
        }
        // The family's token is gone: the client's own may do.
        let own = RefreshQuery::client(self.request().client().clone())
            .partition(redeemed.partition.clone());
        Ok(redeemed.family_id.is_some() && live.refresh_token(own)?.is_some())
    }

    /// The tokens that can be read from the response, if the closure failed because it could not
    /// read all of it: the provider has issued these, and the refresh token is spent.
    #[cfg(feature = "oauth2")]
    fn read_after_all(&self, error: &(dyn std::error::Error + 'static)) -> Option<Tokens> {
        self.grant.read_after_all(error)
    }

    #[cfg(not(feature = "oauth2"))]
    fn read_after_all(&self, _: &(dyn std::error::Error + 'static)) -> Option<Tokens> {
        None
    }

    /// Remembers the outcome for the back-off, if the token was only due.
    fn note_due(&self, outcome: &RefreshOutcome) {
        let Some(due) = self.due else { return };
        let core = self.live().core();
        match outcome {
            Ok(token) if !self.acquisition.is_due(token) => {
                AcquireState::of(core).backoffs.record_success(&due);
            }
            Err(AcquireError::SignedOut) => {}
            // A provider that gives the same token again is not asked at each call either.
            _ => self.back_off(due),
        }
    }

    fn back_off(&self, due: BackoffKey) {
        let (core, (first, most)) = (self.live().core(), self.acquirer().0.back_off);
        AcquireState::of(core).backoffs.record_failure(due, core.clock.passed(), first, most);
    }
}

impl Drop for RefreshInProgress {
    fn drop(&mut self) {
        drop(self.lease.take());
        if let Some(_leader) = self.leader.take() {
            // A closure that panics each time does not run at each call. The key is free after
            // that.
            if let Some(due) = self.due.filter(|_| self.is_asked) {
                self.back_off(due);
            }
            observe::refreshed(Refresh::Abandoned, self.began.elapsed());
        }
    }
}

/// The query that finds a refresh token like this one.
fn query_of(token: &RefreshToken) -> RefreshQuery {
    let query = match &token.family_id {
        Some(family) => RefreshQuery::family(family),
        None => RefreshQuery::client(token.client_id.clone()),
    };
    query.partition(token.partition.clone())
}
