//! Acquiring without blocking: the refresh is a task of its own, so that a caller who goes away
//! loses nothing.

use super::{
    AccessRequest, AcquireError, Acquired, Acquirer, Acquiring, Grant, Landing, Lead, RefreshError,
    RefreshFailed, RefreshWaiter, Waiting, observed, timed_out,
};
use std::future::poll_fn;
use std::panic::resume_unwind;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::app::{for_app, sign_in};
use super::chain::Chain;
use super::turn::{Step, Turns};
use crate::api::token_store::TokenStore;
use crate::model::error::Error;
use crate::model::id::{AccountId, TenantId};
use crate::model::token::{AccessToken, Tokens};
use crate::observe::Acquisition;
use crate::platform::single_flight::Role;
use crate::platform::sync::Arc;
use crate::store::gate::attempt;
use crate::store::sign_in::LiveSignIn;

#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
impl Acquirer {
    /// As [`acquire`](Self::acquire), without blocking: `refresh` gives a future, which runs in a
    /// task of its own.
    ///
    /// Dropping what this returns, at whatever point, cancels only the waiting. A refresh that has
    /// begun goes on, is stored, and its place is free then; so no refresh token that was redeemed
    /// is lost with a caller who went away. A token that is due is given at once, and refreshed in
    /// the background. The future is dropped when [`give_up_after`](Self::give_up_after) is over; a
    /// panic in it goes on in the caller who brought it.
    ///
    /// The cache is read on the thread that polls, in microseconds, unless something holds that up;
    /// see [`AsyncTokenStore`](crate::AsyncTokenStore). All else, storing what came above all,
    /// happens on threads of the store's: not in the runtime's pool of blocking threads, which may
    /// all be waiting for it.
    ///
    /// It needs a tokio runtime with its time driver. If that shuts down in the middle, the place
    /// is free, and nobody hangs.
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// use oubliette::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn redeem(_: &str) -> Result<(&'static str, &'static str), std::io::Error> { Ok(("at-2", "rt-2")) }
    /// # let store = TokenStore::in_memory()?;
    /// # let live = store.sign_in(SignIn::new(AccountId::new("login.example.com", "uid")?, TenantId::new("contoso")?))?;
    /// # let client = ClientId::new("web")?;
    /// # live.put(RefreshToken::new(client.clone(), "rt-1"))?;
    /// let wanted = AccessQuery::new(client).scopes(Scopes::parse("mail.read")?);
    /// let token = Acquirer::new().acquire_async(&live, wanted, |grant| async move {
    ///     let refresh_token = grant.refresh_token().ok_or_else(|| RefreshError::failed("no refresh token"))?;
    ///     let (access, rotated) = redeem(refresh_token.secret.expose()).await?;
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
        async move { observed(me.acquire_there(Turns::new(&me, &live, request), refresh).await) }
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
            let acquired = match me.app_there(store, tenant, &request).await {
                Ok(live) => me.acquire_there(Turns::new(&me, &live, request), refresh).await,
                Err(error) => Err(error),
            };
            observed(acquired)
        }
    }

    async fn acquire_there<R, F>(&self, turns: Turns, mut refresh: R) -> Acquired
    where
        R: FnOnce(Grant) -> F + Send + 'static,
        F: Future<Output = Result<Tokens, RefreshError>> + Send + 'static,
    {
        let turns = Arc::new(turns);
        loop {
            if let Some(given) = turns.next_at_once() {
                return Ok(given);
            }
            match self.next_there(&turns, refresh).await? {
                Left::Give(token, how) => return Ok((*token, how)),
                Left::Led(waiter, task) => {
                    // Not given up here: the task does, and what it has got is stored.
                    let landed = match waiter {
                        Some(waiter) => waiter.await,
                        None => None,
                    };
                    let landed = match landed {
                        Some(landed) => landed,
                        None => Err(abandoned(task).await),
                    };
                    return shared(&turns, landed)
                        .await
                        .map(|token| (token, Acquisition::Refreshed));
                }
                Left::Wait(waiter, unused) => {
                    refresh = unused;
                    let joins = turns.joins(&waiter);
                    let landed = {
                        let _waiting = Waiting::begin();
                        timeout(self.0.give_up_after, waiter).await
                    };
                    match landed {
                        Err(_) => {
                            return shared(&turns, Err(timed_out()))
                                .await
                                .map(|token| (token, Acquisition::Waited));
                        }
                        Ok(Some(landed)) if joins => {
                            return shared(&turns, landed)
                                .await
                                .map(|token| (token, Acquisition::Waited));
                        }
                        Ok(_) => {}
                    }
                }
            }
        }
    }

    /// [`Turns::next`], on a thread of ours: the runtime's is not kept from its work. If it is to
    /// refresh, the refresh is a task before anybody is told.
    async fn next_there<R, F>(
        &self,
        turns: &Arc<Turns>,
        refresh: R,
    ) -> Result<Left<R>, AcquireError>
    where
        R: FnOnce(Grant) -> F + Send + 'static,
        F: Future<Output = Result<Tokens, RefreshError>> + Send + 'static,
    {
        let runtime = runtime()?;
        let (me, theirs, chain) = (self.clone(), turns.clone(), Chain::current());
        let begin = move || match theirs.next(true)? {
            Step::Give(token, how) => Ok(Left::Give(Box::new(token), how)),
            Step::Due(token, lead) => {
                if let Some(lead) = lead {
                    me.spawn(&runtime, lead, refresh);
                }
                Ok(Left::Give(Box::new(token), Acquisition::Due))
            }
            Step::Lead(lead) => Ok(Left::Led(lead.waiter(), me.spawn(&runtime, lead, refresh))),
            Step::Wait(waiter) => Ok(Left::Wait(waiter, refresh)),
        };
        Acquiring::of(turns.live.core())
            .storing
            .get(move || chain.run(begin))
            .await
            .unwrap_or_else(|| Err(dropped()))
    }

    /// Has the refresh go on by itself.
    fn spawn<R, F>(&self, runtime: &Handle, lead: Box<Lead>, refresh: R) -> JoinHandle<()>
    where
        R: FnOnce(Grant) -> F + Send + 'static,
        F: Future<Output = Result<Tokens, RefreshError>> + Send + 'static,
    {
        let (chain, limit) = (lead.chain_apart(), self.0.give_up_after);
        let grant = lead.grant().copy();
        let mut aside = Aside(Some(lead));
        runtime.spawn(async move {
            aside.0.iter_mut().for_each(|lead| lead.begin());
            let mut refreshed = Box::pin(async move { refresh(grant).await });
            let refreshed =
                timeout(limit, poll_fn(|context| chain.run(|| refreshed.as_mut().poll(context))))
                    .await;
            let result = refreshed.unwrap_or_else(|_| Err(timed_out_refresh()));
            aside.settle(result);
        })
    }

    async fn app_there(
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
            let waiter = match Acquiring::of(store.core())
                .apps
                .join(store.core().tagger.account(&account), ())
            {
                Role::Waiter(waiter) => waiter,
                Role::Leader(leader) => {
                    let waiter = leader.waiter();
                    let (store, account, tenant) = (store.clone(), account.clone(), tenant.clone());
                    let storing = Acquiring::of(store.core()).storing.clone();
                    storing.run(move || leader.complete(sign_in(&store, &account, &tenant)));
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

/// What is left for the caller's future to do. It never has the refresh itself: whoever holds a
/// future may not poll it again for long, and the place would be taken for as long.
enum Left<R> {
    Give(Box<AccessToken>, Acquisition),
    /// The refresh is a task.
    Led(Option<RefreshWaiter>, JoinHandle<()>),
    /// Somebody else is at it. The closure is unused.
    Wait(RefreshWaiter, R),
}

/// A refresh in a task. Settled or dropped (in a panic, or with the runtime), it ends on another
/// thread: with it may go the last handle of the store, which closes it.
struct Aside(Option<Box<Lead>>);

impl Aside {
    fn settle(mut self, result: Result<Tokens, RefreshError>) {
        let Some(mut lead) = self.0.take() else { return };
        lead.acquiring().storing.clone().run(move || {
            let (_, orphans) = lead.settle(result);
            if let Some(orphans) = orphans {
                lead.acquiring().hooks.run(move || orphans.hand_over());
            }
        });
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(lead) = self.0.take() {
            lead.acquiring().storing.clone().run(move || drop(lead));
        }
    }
}

/// [`Turns::shared`], without keeping the runtime's thread from its work: there if nothing holds it
/// up, else on one of ours.
async fn shared(turns: &Arc<Turns>, landed: Landing) -> Landing {
    let landed = match landed {
        Ok(token) => match turns.if_open_at_once(token) {
            Ok(token) => return token,
            Err(token) => Ok(token),
        },
        Err(AcquireError::Refresh(failed)) => Err(AcquireError::Refresh(failed)),
        Err(error) => return Err(error),
    };
    let theirs = turns.clone();
    Acquiring::of(turns.live.core())
        .storing
        .get(move || theirs.shared(landed))
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

/// Why the refresh came to nothing. Its panic is the caller's own, whose closure it was.
async fn abandoned(task: JoinHandle<()>) -> AcquireError {
    match task.await {
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        _ => dropped(),
    }
}

fn timed_out_refresh() -> RefreshError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "the refresh took longer than give_up_after")
        .into()
}
