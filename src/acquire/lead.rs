//! One refresh under way, from the grant to the outcome: what came is stored, the place is free,
//! and all who wait are told.

use super::{
    AcquireError, Acquirer, Acquiring, Grant, Hook, InteractionReason, Landing, OrphanReason,
    Orphaned, RefreshError, RefreshFailed, RefreshLeader,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime};

use super::chain::Chain;
use super::given::{by_commas, is_none, is_stand_in};
use super::hold::Held;
use super::request::{AccessRequest, Flow};
use super::turn::Turns;
use crate::model::error::{Error, Result as StoreResult};
use crate::model::id::AccountId;
use crate::model::query::RefreshQuery;
use crate::model::scopes::Scopes;
use crate::model::time::from_millis;
use crate::model::token::{AccessToken, RefreshToken, Token, Tokens};
use crate::observe::{self, Refresh};
use crate::store::sign_in::LiveSignIn;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A refresh, and its place. Dropped, it frees the place for who waits.
pub(super) struct Lead {
    leader: Option<RefreshLeader>,
    turns: Turns,
    grant: Grant,
    /// If the token was only due: which.
    due: Option<Held>,
    began: Instant,
    /// Whether the closure has begun: the provider may have been asked.
    is_asked: bool,
}

/// What came of it, and what is left over.
struct End {
    landing: Landing,
    orphaned: Vec<(Token, OrphanReason)>,
    how: Refresh,
}

/// What the hook is to be given, when everybody has been told and nothing waits for it.
pub(super) struct Orphans {
    hook: Hook,
    account: AccountId,
    orphaned: Vec<(Token, OrphanReason)>,
}

impl Orphans {
    pub(super) fn hand_over(self) {
        for reason in [OrphanReason::SignedOut, OrphanReason::NotStored] {
            let of_this = self.orphaned.iter().filter(|(_, why)| *why == reason);
            let tokens: Vec<Token> = of_this.map(|(token, _)| token.clone()).collect();
            if !tokens.is_empty() {
                let orphaned = Orphaned { account: self.account.clone(), tokens, reason };
                // What becomes of the hook is nobody's trouble.
                let _ = catch_unwind(AssertUnwindSafe(|| (self.hook)(orphaned)));
            }
        }
    }
}

impl Lead {
    pub(super) fn new(
        leader: RefreshLeader,
        turns: &Turns,
        refresh_token: Option<RefreshToken>,
        began_at: SystemTime,
        due: Option<Held>,
    ) -> Self {
        let (live, request) = (&turns.live, &turns.request);
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
            turns: turns.clone(),
            grant,
            due,
            began: Instant::now(),
            is_asked: false,
        }
    }

    /// From here on the closure runs.
    pub(super) fn begin(&mut self) {
        self.is_asked = true;
    }

    #[cfg(feature = "tokio")]
    pub(super) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The refreshes that wait for this one's closure, with itself.
    fn chain(&self) -> Chain {
        self.leader.iter().fold(Chain::current(), |chain, leader| chain.and(leader.id()))
    }

    /// As [`Lead::chain`], when the closure runs elsewhere. Nobody waits there for what is only
    /// due.
    #[cfg(feature = "tokio")]
    pub(super) fn chain_apart(&self) -> Chain {
        let outer = if self.due.is_some() { Chain::default() } else { Chain::current() };
        self.leader.iter().fold(outer, |chain, leader| chain.and(leader.id()))
    }

    #[cfg(feature = "tokio")]
    pub(super) fn acquiring(&self) -> &super::Acquiring {
        Acquiring::of(self.live().core())
    }

    #[cfg(feature = "tokio")]
    pub(super) fn waiter(&self) -> Option<super::RefreshWaiter> {
        self.leader.as_ref().map(RefreshLeader::waiter)
    }

    /// Refreshes on this thread.
    pub(super) fn run(
        mut self,
        refresh: impl FnOnce(&Grant) -> Result<Tokens, RefreshError>,
    ) -> Landing {
        self.begin();
        let result = self.chain().run(|| refresh(&self.grant));
        let (landing, orphans) = self.settle(result);
        orphans.into_iter().for_each(Orphans::hand_over);
        landing
    }

    /// Stores what the closure got, frees the place, tells all. What is left over is for the hook.
    pub(super) fn settle(
        &mut self,
        result: Result<Tokens, RefreshError>,
    ) -> (Landing, Option<Orphans>) {
        let End { landing, orphaned, how } = self.conclude(result);
        self.note_due(&landing);
        if let Some(leader) = self.leader.take() {
            observe::refreshed(how, self.began.elapsed());
            leader.complete(landing.clone());
        }
        let hook = self.acquirer().0.on_orphaned.clone().filter(|_| !orphaned.is_empty());
        let orphans =
            hook.map(|hook| Orphans { hook, account: self.grant.account.clone(), orphaned });
        (landing, orphans)
    }

    fn acquirer(&self) -> &Acquirer {
        &self.turns.acquirer
    }

    fn live(&self) -> &LiveSignIn {
        &self.turns.live
    }

    fn request(&self) -> &AccessRequest {
        &self.turns.request
    }

    fn conclude(&self, result: Result<Tokens, RefreshError>) -> End {
        let (error, how) = match result {
            Ok(Tokens(tokens)) => return self.store(tokens, None),
            Err(RefreshError::Failed(source)) => match self.read_after_all(&*source) {
                Some(Tokens(tokens)) => return self.store(tokens, Some(source)),
                None => (AcquireError::Refresh(RefreshFailed::new(source)), Refresh::Failed),
            },
            Err(RefreshError::InteractionRequired { claims, source }) => (
                self.ask(InteractionReason::Provider, claims, Some(source)),
                Refresh::InteractionRequired,
            ),
            Err(RefreshError::InvalidGrant(source)) => match self.forget_redeemed() {
                Ok(true) => {
                    (AcquireError::Refresh(RefreshFailed::new(source)), Refresh::InvalidGrant)
                }
                Ok(false) => (
                    self.ask(InteractionReason::InvalidGrant, None, Some(source)),
                    Refresh::InvalidGrant,
                ),
                Err(error) => (error.into(), Refresh::InvalidGrant),
            },
        };
        // Of a sign-out meanwhile everybody is told, whatever else went wrong.
        let (error, how) = match self.turns.if_open(()) {
            Err(signed_out @ AcquireError::SignedOut) => (signed_out, Refresh::SignedOut),
            _ => (error, how),
        };
        End { landing: Err(error), orphaned: Vec::new(), how }
    }

    fn ask(
        &self,
        reason: InteractionReason,
        claims: Option<String>,
        source: Option<Source>,
    ) -> AcquireError {
        let claims = claims.or_else(|| self.request().claims.clone());
        AcquireError::InteractionRequired { reason, claims, source: source.map(RefreshFailed::new) }
    }

    /// Removes the refresh token that the provider does not take. `true` if there is another way by
    /// now: trying again will do.
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

    /// What could be read of the answer, if that is what the closure failed for: the provider has
    /// given these tokens, and spent the refresh token.
    #[cfg(feature = "oauth2")]
    fn read_after_all(&self, error: &(dyn std::error::Error + 'static)) -> Option<Tokens> {
        self.grant.read_after_all(error)
    }

    #[cfg(not(feature = "oauth2"))]
    fn read_after_all(&self, _: &(dyn std::error::Error + 'static)) -> Option<Tokens> {
        None
    }

    /// `failed` is what the closure said if it failed, and these could be read all the same.
    fn store(&self, mut tokens: Vec<Token>, failed: Option<Source>) -> End {
        let not_stored = |error: AcquireError, tokens: Vec<Token>, why, how| End {
            landing: Err(error),
            orphaned: tokens.into_iter().map(|token| (token, why)).collect(),
            how,
        };
        // First of all: what is no token must not cost those beside it, nor take the place of one.
        tokens.retain(|token| !is_none(token));
        if tokens.iter().any(|token| !self.is_of_partition(token)) {
            let error = Error::invalid(
                "partition",
                "a refresh brings tokens of its grant's partition only",
            );
            return self.salvage(tokens, error);
        }
        if !self.keeps_refresh_tokens() {
            tokens.retain(|token| !matches!(token, Token::Refresh(_)));
        }
        tokens.iter_mut().for_each(|token| self.amend(token));
        let serving = self.serving(&tokens);
        let token = serving.and_then(|at| {
            if let Some(Token::Access(token)) = tokens.get(at) { Some(token.clone()) } else { None }
        });
        // If they cannot be read, at worst an older token is found for as long as it lasts; the new
        // ones are stored in any case.
        let older = token
            .as_ref()
            .and_then(|token| self.live().found_instead_of(&self.grant.wanted, token).ok())
            .unwrap_or_default();

        let (stored, left_out) =
            match self.live().put_refreshed(&tokens, self.grant.refresh_token.as_ref(), &older) {
                Ok(done) => done,
                Err(Error::SignedOut) => {
                    return not_stored(
                        AcquireError::SignedOut,
                        tokens,
                        OrphanReason::SignedOut,
                        Refresh::SignedOut,
                    );
                }
                Err(error @ Error::InvalidInput { .. }) => return self.salvage(tokens, error),
                Err(error) => {
                    return not_stored(
                        error.into(),
                        tokens,
                        OrphanReason::NotStored,
                        Refresh::Failed,
                    );
                }
            };
        let (landing, how) = self.landing(token, &tokens, failed);
        let why = |at: usize| match at {
            at if stored.refused.contains(&at) => Some(OrphanReason::SignedOut),
            at if left_out.contains(&at) => Some(OrphanReason::NotStored),
            _ => None,
        };
        let orphaned = tokens
            .into_iter()
            .enumerate()
            .filter_map(|(at, token)| why(at).map(|why| (token, why)))
            .collect();
        End { landing, orphaned, how }
    }

    /// What everybody is told when these tokens are stored: the one that serves, or why there is
    /// none.
    fn landing(
        &self,
        serving: Option<AccessToken>,
        stored: &[Token],
        failed: Option<Source>,
    ) -> (Landing, Refresh) {
        let now = from_millis(self.live().core().clock.now());
        let (landing, how) = match serving {
            Some(token) if token.expires_at.is_some_and(|end| end <= now) => {
                let error = RefreshFailed::new("the provider's access token has expired already");
                (Err(AcquireError::Refresh(error)), Refresh::Stored)
            }
            // (Not so if it was refused for its tenant.)
            Some(token) => (self.turns.if_open(token), Refresh::Stored),
            None if stored.iter().any(|token| matches!(token, Token::Access(_))) => {
                let asked = self.ask(InteractionReason::ConsentRequired, None, None);
                (self.turns.if_open(()).and(Err(asked)), Refresh::InteractionRequired)
            }
            // No word of the provider's that the user could mend: what came in the place of an
            // access token says nothing.
            None => {
                let source = failed.unwrap_or_else(|| {
                    "the provider's answer has no access token that can be read".into()
                });
                let failed = AcquireError::Refresh(RefreshFailed::new(source));
                (self.turns.if_open(()).and(Err(failed)), Refresh::Failed)
            }
        };
        let how =
            if matches!(landing, Err(AcquireError::SignedOut)) { Refresh::SignedOut } else { how };
        (landing, how)
    }

    /// Of a response that cannot be stored, what must not be lost: the new refresh token. The one
    /// that was redeemed is spent; redeemed once more, it would have the provider revoke the whole
    /// family. So it goes, even if the new one cannot be stored either. A response without a new
    /// one leaves it as it is (RFC 6749 §6).
    fn salvage(&self, tokens: Vec<Token>, error: Error) -> End {
        let is_kept = |token: &Token| {
            matches!(token, Token::Refresh(_))
                && self.is_of_partition(token)
                && token.check().is_ok()
        };
        let is_rotated = tokens.iter().any(|token| matches!(token, Token::Refresh(_)));
        let (mut kept, mut orphaned) = (Vec::new(), Vec::new());
        let mut is_open = Ok(());
        if let Some(redeemed) = self.grant.refresh_token.as_ref().filter(|_| is_rotated) {
            kept = tokens.iter().filter(|token| is_kept(token)).cloned().collect();
            let stored = match kept.is_empty() {
                true => None,
                false => Some(self.live().put_refreshed(&kept, Some(redeemed), &[])),
            };
            match stored {
                Some(Ok((stored, left_out))) => {
                    let why = |at: usize| match at {
                        at if stored.refused.contains(&at) => Some(OrphanReason::SignedOut),
                        at if left_out.contains(&at) => Some(OrphanReason::NotStored),
                        _ => None,
                    };
                    let left = kept
                        .iter()
                        .enumerate()
                        .filter_map(|(at, token)| why(at).map(|why| (token.clone(), why)));
                    orphaned.extend(left);
                }
                Some(Err(Error::SignedOut)) => is_open = Err(()),
                // (It may be too long with its ids only.)
                None | Some(Err(Error::InvalidInput { .. })) => {
                    kept.clear();
                    if let Err(Error::SignedOut) = self.live().remove_refresh_token(redeemed) {
                        is_open = Err(());
                    }
                }
                Some(Err(_)) => kept.clear(),
            }
        }
        if is_open.is_err() {
            let orphaned =
                tokens.into_iter().map(|token| (token, OrphanReason::SignedOut)).collect();
            return End {
                landing: Err(AcquireError::SignedOut),
                orphaned,
                how: Refresh::SignedOut,
            };
        }
        let is_lost = |token: &Token| kept.is_empty() || !is_kept(token);
        orphaned.extend(
            tokens.into_iter().filter(is_lost).map(|token| (token, OrphanReason::NotStored)),
        );
        End { landing: Err(error.into()), orphaned, how: Refresh::Failed }
    }

    /// On behalf of somebody there is a partition for each assertion: with a refresh token in each,
    /// a sign-in would grow for as long as it lives.
    fn keeps_refresh_tokens(&self) -> bool {
        self.grant.wanted.partition.is_user()
            || self.request().keeps_refresh_token
            || self.grant.refresh_token.is_some()
    }

    /// What was got on behalf of somebody must not be found by anybody else. (ID tokens say
    /// themselves whose they are.)
    fn is_of_partition(&self, token: &Token) -> bool {
        match token {
            Token::Access(token) => token.partition == self.grant.wanted.partition,
            Token::Refresh(token) => token.partition == self.grant.wanted.partition,
            Token::Id(_) => true,
        }
    }

    /// Fills in what the provider left out of the token that was asked for, so that the next
    /// request finds it, and in time.
    fn amend(&self, token: &mut Token) {
        let Token::Access(token) = token else { return };
        if !self.is_target(token) {
            return;
        }
        // Providers answer in other words than they are asked in: another case, commas, and nothing
        // of the scopes that stand for something else.
        let wanted = &self.grant.wanted.scopes;
        let all = |given: &Scopes| {
            let has = |asked: &str| {
                is_stand_in(asked) || given.iter().any(|given| given.eq_ignore_ascii_case(asked))
            };
            let is_given = wanted.iter().all(has);
            is_given.then(|| Scopes::new(given.iter().chain(wanted.iter())).ok()).flatten()
        };
        let apart =
            || Scopes::new(by_commas(&token.scopes.iter().collect::<Vec<_>>(), wanted)?).ok();
        if let Some(all) = all(&token.scopes).or_else(|| all(&apart()?)) {
            token.scopes = all;
        }
        // A token without an end need not be refreshed, unless the provider says so.
        let Some(end) = token.expires_at else { return };
        let life = end.duration_since(self.grant.began_at).unwrap_or(Duration::ZERO);
        if token.refresh_at.is_none_or(|at| at <= self.grant.began_at) {
            token.refresh_at = self.grant.began_at.checked_add(self.turns.refresh_at(life));
        }
    }

    /// The token that serves the request, by its place: of several the one that allows least.
    fn serving(&self, tokens: &[Token]) -> Option<usize> {
        let serves = |token: &AccessToken| self.is_target(token) && self.grant.wanted.allows(token);
        tokens
            .iter()
            .enumerate()
            .filter_map(
                |(at, token)| {
                    if let Token::Access(token) = token { Some((at, token)) } else { None }
                },
            )
            .filter(|(_, token)| serves(token))
            .min_by_key(|(_, token)| {
                (
                    token.scopes.len(),
                    std::cmp::Reverse((token.expires_at.is_none(), token.expires_at)),
                )
            })
            .map(|(at, _)| at)
    }

    /// Whether it is what was asked for, scopes apart.
    fn is_target(&self, token: &AccessToken) -> bool {
        let wanted = crate::model::query::AccessQuery {
            scopes: Scopes::default(),
            ..self.grant.wanted.clone()
        };
        self.live().tenant_tag(token.tenant.as_ref()) == self.turns.tenant && wanted.allows(token)
    }

    /// Remembers how the refresh of a token went that was only due.
    fn note_due(&self, landing: &Landing) {
        let Some(due) = self.due else { return };
        let core = self.live().core();
        match landing {
            Ok(token) if !self.turns.is_due(token) => Acquiring::of(core).holds.done(&due),
            Err(AcquireError::SignedOut) => {}
            // A provider that goes on giving the same token is not to be asked at each call either.
            _ => self.back_off(due),
        }
    }

    fn back_off(&self, due: Held) {
        let (core, (first, most)) = (self.live().core(), self.acquirer().0.back_off);
        Acquiring::of(core).holds.failed(due, core.clock.passed(), first, most);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if let Some(_leader) = self.leader.take() {
            // A closure that panics each time is not to be run at each call. The place is free
            // behind that.
            if let Some(due) = self.due.filter(|_| self.is_asked) {
                self.back_off(due);
            }
            observe::refreshed(Refresh::Abandoned, self.began.elapsed());
        }
    }
}

/// Where a refresh token like this one is found.
fn query_of(token: &RefreshToken) -> RefreshQuery {
    let query = match &token.family_id {
        Some(family) => RefreshQuery::family(family),
        None => RefreshQuery::client(token.client_id.clone()),
    };
    query.partition(token.partition.clone())
}
