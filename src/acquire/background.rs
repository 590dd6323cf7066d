//! Acquiring without blocking: the refresh is a task of its own, so that nothing is lost when the
//! caller's future is dropped.

use super::{
    AccessRequest, AcquireError, AcquireState, Acquired, Acquirer, Flown, Grant, Pauses,
    RefreshError, RefreshFailed, RefreshInProgress, RefreshOutcome, RefreshWaiter, Waiting,
    observed, taken_elsewhere, timed_out,
};
use std::future::poll_fn;
use std::panic::resume_unwind;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::acquisition::{Acquisition, NextStep};
use super::app::{for_app, sign_in};
use super::refresh_stack::RefreshStack;
use crate::api::token_store::TokenStore;
use crate::model::error::Error;
use crate::model::id::{AccountId, TenantId};
use crate::model::token::{AccessToken, Tokens};
use crate::observe::AcquireOutcome;
use crate::platform::single_flight::Role;
use crate::platform::sync::Arc;
use crate::store::access::attempt;
use crate::store::handle::LiveSignIn;

#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
impl Acquirer {
    /// As [`acquire`](Self::acquire), without blocking: `refresh` gives a future, which runs in a
    /// task of its own.
    ///
    /// Dropping what this returns, at any point, cancels only the waiting. A refresh that has begun
    /// goes on and is stored, and the next one can begin only then; so no redeemed refresh token is
    /// lost when its caller goes away. A token that is due is returned at once, and refreshed in
    /// the background. The future of `refresh` is dropped when
    /// [`give_up_after`](Self::give_up_after) is over; a panic in it goes on in the caller that
    /// passed it.
    ///
    /// The cache is read on the thread that polls, in microseconds, unless that would have to wait;
    /// see [`AsyncTokenStore`](crate::AsyncTokenStore). All else, storing the new tokens above all,
    /// happens on threads of the store: not in the runtime's pool of blocking threads, which may
    /// all be waiting for it.
    ///
    /// It needs a tokio runtime with its time driver. If that shuts down in the middle, the refresh
    /// counts as dropped, and no caller hangs.
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// use oubliette::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn redeem(_: &str) -> Result<(&'static str, &'static str), std::io::Error> {
    /// #     Ok(("at-2", "rt-2"))
    /// # }
    /// # let store = TokenStore::in_memory()?;
    /// # let account = AccountId::new("login.example.com", "uid")?;
    /// # let live = store.sign_in(SignIn::new(account, TenantId::new("contoso")?))?;
    /// # let client = ClientId::new("web")?;
    /// # live.put(RefreshToken::new(client.clone(), "rt-1"))?;
    /// let wanted = AccessQuery::new(client).scopes(Scopes::parse("mail.read")?);
    /// let token = Acquirer::new().acquire_async(&live, wanted, |grant| async move {
    ///     let refresh_token =
    ///         grant.refresh_token().ok_or_else(|| RefreshError::failed("no refresh token"))?;
    ///     // By what it means: a token that is refused is `invalid_grant`.
    ///     let answer = redeem(refresh_token.secret.expose()).await;
    ///     let (access, rotated) = answer.map_err(RefreshError::failed)?;
    ///     Ok(Tokens::from([
    ///         grant.access_token(None, access, Duration::from_secs(3600)).into(),
    ///         grant.next_refresh_token(rotated).into(),
    ///     ]))
    /// }).await?;
    /// assert_eq!(token.secret.expose(), "at-2");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire). [`Error::InvalidInput`] as [`AcquireError::Store`] outside of
    /// a tokio runtime.
    pub fn acquire_async<L, Q, R, F>(
        &self,
        live: L,
        request: Q,
        refresh: R,
    ) -> impl Future<Output = Result<AccessToken, AcquireError>> + Send + 'static + use<L, Q, R, F>
    where
        L: AsRef<LiveSignIn>,
        Q: Into<AccessRequest>,
        R: FnOnce(Grant) -> F + Send + 'static,
        F: Future<Output = Result<Tokens, RefreshError>> + Send + 'static,
    {
        live.as_ref().close_off_runtime();
        let (me, live, request) = (self.clone(), live.as_ref().clone(), request.into());
        async move {
            let acquisition = Acquisition::new(&me, &live, request);
            observed(me.acquire_detached(acquisition, refresh).await)
        }
    }

    /// As [`acquire_for_app`](Self::acquire_for_app), without blocking: see
    /// [`acquire_async`](Self::acquire_async).
    ///
    /// # Errors
    /// As [`acquire_async`](Self::acquire_async).
    pub fn acquire_for_app_async<S, Q, R, F>(
        &self,
        store: S,
        tenant: &TenantId,
        request: Q,
        refresh: R,
    ) -> impl Future<Output = Result<AccessToken, AcquireError>> + Send + 'static + use<S, Q, R, F>
    where
        S: AsRef<TokenStore>,
        Q: Into<AccessRequest>,
        R: FnOnce(Grant) -> F + Send + 'static,
        F: Future<Output = Result<Tokens, RefreshError>> + Send + 'static,
    {
        store.as_ref().owner().close_off_runtime();
        let (me, store, tenant, request) =
            (self.clone(), store.as_ref().clone(), tenant.clone(), for_app(request.into()));
        async move {
            let acquired = match me.app_detached(store, tenant, &request).await {
                Ok(live) => {
                    let acquisition = Acquisition::new(&me, &live, request);
                    me.acquire_detached(acquisition, refresh).await
                }
                Err(error) => Err(error),
            };
            observed(acquired)
        }
    }

    async fn acquire_detached<R, F>(&self, acquisition: Acquisition, mut refresh: R) -> Acquired
    where
        R: FnOnce(Grant) -> F + Send + 'static,
        F: Future<Output = Result<Tokens, RefreshError>> + Send + 'static,
    {
        let acquisition = Arc::new(acquisition);
        let mut elsewhere = Pauses::new(self.0.give_up_after);
        loop {
            if let Some(cached) = acquisition.try_cached() {
                return Ok(cached);
            }
            match self.next_handoff(&acquisition, refresh).await? {
                Handoff::Return(token, how) => return Ok((*token, how)),
                Handoff::Refreshing(waiter, task) => {
                    // No timeout here: the task has one, and what it has got is stored.
                    let outcome = match waiter {
                        Some(waiter) => waiter.await,
                        None => None,
                    };
                    let outcome = match outcome {
                        Some(Flown::Over(outcome)) => outcome,
                        // (Its leader has the lease.)
                        Some(Flown::Elsewhere) | None => Err(abandoned(task).await),
                    };
                    let token = accept_shared(&acquisition, outcome).await?;
                    return Ok((token, AcquireOutcome::Refreshed));
                }
                Handoff::Elsewhere(unused) => {
                    refresh = unused;
                    match elsewhere.next() {
                        Some(pause) => sleep(pause).await,
                        None => {
                            let given_up = Err(taken_elsewhere());
                            let token = accept_shared(&acquisition, given_up).await?;
                            return Ok((token, AcquireOutcome::Waited));
                        }
                    }
                }
                Handoff::Wait(waiter, unused) => {
                    refresh = unused;
                    let shares = acquisition.shares(&waiter);
                    let outcome = {
                        let _waiting = Waiting::begin();
                        timeout(self.0.give_up_after, waiter).await
                    };
                    match outcome {
                        Err(_) => {
                            let token = accept_shared(&acquisition, Err(timed_out())).await?;
                            return Ok((token, AcquireOutcome::Waited));
                        }
                        Ok(Some(Flown::Over(outcome))) if shares => {
                            let token = accept_shared(&acquisition, outcome).await?;
                            return Ok((token, AcquireOutcome::Waited));
                        }
                        // The outcome is another request's, or that leader is gone, or has found
                        // another process at it: look again.
                        Ok(_) => {}
                    }
                }
            }
        }
    }

    /// [`Acquisition::next_step`] on a thread of the store, so that the runtime's thread does not
    /// wait. If this caller is to refresh, the refresh is a task before this returns.
    async fn next_handoff<R, F>(
        &self,
        acquisition: &Arc<Acquisition>,
        refresh: R,
    ) -> Result<Handoff<R>, AcquireError>
    where
        R: FnOnce(Grant) -> F + Send + 'static,
        F: Future<Output = Result<Tokens, RefreshError>> + Send + 'static,
    {
        let runtime = runtime()?;
        let (me, shared, stack) = (self.clone(), acquisition.clone(), RefreshStack::current());
        let begin = move || match shared.next_step(true)? {
            NextStep::Return(token, how) => Ok(Handoff::Return(Box::new(token), how)),
            NextStep::ReturnDue(token, due) => {
                if let Some(due) = due {
                    me.spawn(&runtime, due, refresh);
                }
                Ok(Handoff::Return(Box::new(token), AcquireOutcome::Due))
            }
            NextStep::Refresh(required) => {
                Ok(Handoff::Refreshing(required.waiter(), me.spawn(&runtime, required, refresh)))
            }
            NextStep::Wait(waiter) => Ok(Handoff::Wait(waiter, refresh)),
            NextStep::Elsewhere => Ok(Handoff::Elsewhere(refresh)),
        };
        AcquireState::of(acquisition.live.core())
            .store_workers
            .get(move || stack.run(begin))
            .await
            .unwrap_or_else(|| Err(dropped()))
    }

    /// Runs the refresh as a task.
    fn spawn<R, F>(
        &self,
        runtime: &Handle,
        in_progress: Box<RefreshInProgress>,
        refresh: R,
    ) -> JoinHandle<()>
    where
        R: FnOnce(Grant) -> F + Send + 'static,
        F: Future<Output = Result<Tokens, RefreshError>> + Send + 'static,
    {
        let (stack, limit) = (in_progress.detached_stack(), self.0.give_up_after);
        let grant = in_progress.grant().copy();
        let mut detached = DetachedRefresh(Some(in_progress));
        runtime.spawn(async move {
            detached.0.iter_mut().for_each(|in_progress| in_progress.begin());
            let mut refreshed = Box::pin(async move { refresh(grant).await });
            let refreshed =
                timeout(limit, poll_fn(|context| stack.run(|| refreshed.as_mut().poll(context))))
                    .await;
            let result = refreshed.unwrap_or_else(|_| Err(timed_out_refresh()));
            detached.settle(result);
        })
    }

    async fn app_detached(
        &self,
        store: TokenStore,
        tenant: TenantId,
        request: &AccessRequest,
    ) -> Result<LiveSignIn, AcquireError> {
        let account = AccountId::app(tenant.clone(), request.client().clone());
        loop {
            let found = attempt(store.core(), |open| store.account_in(open, &account));
            if let Some(live) = found.transpose()?.and_then(|all| all.into_iter().next()) {
                return Ok(live);
            }
            let waiter = match AcquireState::of(store.core())
                .apps
                .join(store.core().tagger.account(&account), ())
            {
                Role::Waiter(waiter) => waiter,
                Role::Leader(leader) => {
                    let waiter = leader.waiter();
                    let (store, account, tenant) = (store.clone(), account.clone(), tenant.clone());
                    let workers = AcquireState::of(store.core()).store_workers.clone();
                    workers.run(move || leader.complete(sign_in(&store, &account, &tenant)));
                    waiter
                }
            };
            runtime()?;
            match timeout(self.0.give_up_after, waiter).await {
                Err(_) => return Err(timed_out()),
                Ok(Some(live)) => return live,
                Ok(None) => {}
            }
        }
    }
}

/// What remains for the caller's future to do. It never holds the refresh itself: a future may not
/// be polled again for long, and no other refresh of the same could begin for as long.
enum Handoff<R> {
    Return(Box<AccessToken>, AcquireOutcome),
    /// The refresh is a task.
    Refreshing(Option<RefreshWaiter>, JoinHandle<()>),
    /// Another caller refreshes. This caller's closure comes back unused.
    Wait(RefreshWaiter, R),
    /// Another process does. The same.
    Elsewhere(R),
}

/// A refresh in a task. Settled or dropped (in a panic, or with the runtime), it ends on another
/// thread: it may hold the last handle of the store, and dropping that closes the store.
struct DetachedRefresh(Option<Box<RefreshInProgress>>);

impl DetachedRefresh {
    fn settle(mut self, result: Result<Tokens, RefreshError>) {
        let Some(mut in_progress) = self.0.take() else { return };
        in_progress.state().store_workers.clone().run(move || {
            let (_, orphans) = in_progress.settle(result);
            if let Some(orphans) = orphans {
                in_progress.state().hook_workers.run(move || orphans.hand_over());
            }
        });
    }
}

impl Drop for DetachedRefresh {
    fn drop(&mut self) {
        if let Some(in_progress) = self.0.take() {
            in_progress.state().store_workers.clone().run(move || drop(in_progress));
        }
    }
}

/// [`Acquisition::accept_shared`], without blocking the runtime's thread: on this thread if it need
/// not wait, else on one of the store's.
async fn accept_shared(acquisition: &Arc<Acquisition>, outcome: RefreshOutcome) -> RefreshOutcome {
    let outcome = match outcome {
        Ok(token) => match acquisition.try_if_open(token) {
            Ok(token) => return token,
            Err(token) => Ok(token),
        },
        Err(AcquireError::Refresh(failed)) => Err(AcquireError::Refresh(failed)),
        Err(error) => return Err(error),
    };
    let shared = acquisition.clone();
    AcquireState::of(acquisition.live.core())
        .store_workers
        .get(move || shared.accept_shared(outcome))
        .await
        .unwrap_or_else(|| Err(dropped()))
}

fn dropped() -> AcquireError {
    AcquireError::Refresh(RefreshFailed::new("the refresh was dropped"))
}

fn runtime() -> Result<Handle, AcquireError> {
    Handle::try_current()
        .map_err(|_| Error::invalid("runtime", "an async acquisition needs a tokio runtime").into())
}

/// Why the refresh was abandoned. If its closure panicked, the panic goes on here, in the caller
/// that passed the closure.
async fn abandoned(task: JoinHandle<()>) -> AcquireError {
    match task.await {
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        _ => dropped(),
    }
}

fn timed_out_refresh() -> RefreshError {
    let problem = "the refresh took longer than give_up_after";
    RefreshError::failed(std::io::Error::new(std::io::ErrorKind::TimedOut, problem))
}
