//! Acquiring: a valid access token, from the cache or by a refresh that happens once however many
//! callers want it.
//!
//! What goes wrong elsewhere, and the file that prevents it here:
//! - Two refreshes redeem one rotating refresh token, and the provider revokes the family. Here a
//!   refresh is a single flight (`platform/single_flight.rs`) with one key for each refresh token
//!   (`state.rs`). Where other processes have the store open too, the leader gets a lease first,
//!   which the death of its process ends; so there is one refresh at a time anywhere. Only then is
//!   the token read, and key and lease are free only when what came is stored.
//! - A refresh in flight writes tokens back behind a sign-out. Here they go through the sign-in
//!   that the refresh token was read from ([`LiveSignIn::put`]), and every waiter learns of the
//!   sign-out (`refresh.rs`).
//! - A caller gives up, and the refresh token that its refresh has redeemed is lost. Here an async
//!   refresh is a task of its own (`background.rs`).
//!
//! No lock of the store is held while a refresh closure runs or a caller waits for it.

mod acquisition;
#[cfg(feature = "tokio")]
mod always;
mod app;
#[cfg(feature = "tokio")]
mod background;
mod backoff;
mod error;
mod grant;
mod orphans;
mod pauses;
mod refresh;
mod refresh_stack;
mod request;
mod state;
pub(crate) mod token_response;

use std::time::Duration;

use crate::model::token::{AccessToken, Tokens};
use crate::observe::{self, AcquireOutcome};
use crate::platform::single_flight::TimedOut;
use crate::platform::sync::{Arc, thread};
use crate::store::handle::LiveSignIn;

#[cfg(feature = "tokio")]
pub use always::AsyncAcquirer;
pub use error::{
    AcquireError, InteractionReason, OrphanReason, Orphaned, RefreshError, RefreshFailed,
};
pub use grant::Grant;
pub use request::AccessRequest;

use acquisition::{Acquisition, NextStep};
use pauses::Pauses;
use refresh::RefreshInProgress;
use state::{AcquireState, RefreshKey, RefreshLeader, RefreshWaiter};

/// Gets valid access tokens, and refreshes them when that is needed: once, however many callers ask
/// at a time.
///
/// It is a policy, cheap to clone. The refreshes themselves belong to the store: all acquirers of a
/// process share them, [`acquire`](Self::acquire) and `acquire_async` too.
///
/// The refresh is the caller's closure, which asks the provider with whatever client the app uses.
/// It gets a [`Grant`]. The tokens that it returns are stored all at once, through the sign-in that
/// the grant was read from, before any caller gets one. A new refresh token among them survives a
/// power loss by then (unless
/// [`Builder::refresh_token_durability`](crate::Builder::refresh_token_durability) says less).
///
/// A closure may acquire other tokens (the app's own, say), but none whose refresh waits for this
/// closure: a token of the same refresh token, or the same token by a detour. Where that can be
/// seen, it is an [`Error::InvalidInput`](crate::Error::InvalidInput). Two refreshes on two threads
/// that wait for each other go on when [`give_up_after`](Self::give_up_after) is over.
///
/// # Several processes
///
/// Of all processes that have one store open (`Builder::sqlite`), one redeems a refresh token at a
/// time. A caller in another process looks again, first after 5 ms and at last every 100 ms, until
/// the new access token is there, or until [`give_up_after`](Self::give_up_after) is over. If its
/// own is only due, it gets that at once.
///
/// - If the process that refreshes dies, another one refreshes at once. If it is only *stopped* (by
///   a debugger, or in a frozen container), it keeps its right to the refresh until it goes on or
///   is ended: nobody can tell whether it has redeemed the token.
/// - What a failed refresh returned is told to the callers of its own process. The next process
///   sends a refresh of its own, and [back-offs](Self::back_off) are each process's own.
/// - A request that bypasses the cache ([`AccessRequest::force_refresh`]) has a refresh of its own
///   in each process.
///
/// # Examples
/// ```
/// # use std::time::Duration;
/// use oubliette::*;
/// # struct Response { access_token: &'static str, refresh_token: &'static str, expires_in: u64 }
/// # struct Provider;
/// # impl Provider { fn redeem(&self, _: &str, _: &str) -> Result<Response, std::io::Error> {
/// #     Ok(Response { access_token: "at-2", refresh_token: "rt-2", expires_in: 3600 }) } }
/// # let provider = Provider;
/// # let store = TokenStore::in_memory()?;
/// # let account = AccountId::new("login.example.com", "uid")?;
/// # let live = store.sign_in(SignIn::new(account, TenantId::new("contoso")?))?;
/// # let client = ClientId::new("web")?;
/// live.put(RefreshToken::new(client.clone(), "rt-1"))?;
///
/// let acquirer = Acquirer::new().on_orphaned(|orphaned| {
///     // The user signed out while the provider was issuing these: revoke them.
///     println!("{} tokens to revoke", orphaned.tokens.len());
/// });
/// let wanted = AccessQuery::new(client).scopes(Scopes::parse("mail.read")?);
/// let token = acquirer.acquire(&live, &wanted, |grant| {
///     let refresh_token =
///         grant.refresh_token().ok_or_else(|| RefreshError::failed("no refresh token"))?;
///     let answer = provider.redeem(refresh_token.secret.expose(), &grant.scopes().joined());
///     // By what it means: a token that is refused is `invalid_grant`.
///     let response = answer.map_err(RefreshError::failed)?;
///     let expires_in = Duration::from_secs(response.expires_in);
///     Ok(Tokens::from([
///         grant.access_token(None, response.access_token, expires_in).into(),
///         grant.next_refresh_token(response.refresh_token).into(),
///     ]))
/// })?;
/// assert_eq!(token.secret.expose(), "at-2");
///
/// // From now on it is in the cache.
/// let again = acquirer.acquire(&live, &wanted, |_| unreachable!("nothing to refresh"))?;
/// assert_eq!(again.secret.expose(), "at-2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Acquirer(Arc<Policy>);

#[derive(Clone)]
struct Policy {
    refresh_ahead: Duration,
    jitter: Duration,
    back_off: (Duration, Duration),
    give_up_after: Duration,
    refresh_due_here: bool,
    on_orphaned: Option<Hook>,
}

type Hook = Arc<dyn Fn(Orphaned) + Send + Sync>;

impl Default for Acquirer {
    fn default() -> Self {
        Self(Arc::new(Policy {
            refresh_ahead: Duration::from_secs(5 * 60),
            jitter: Duration::from_secs(30),
            back_off: (Duration::from_secs(30), Duration::from_secs(10 * 60)),
            give_up_after: Duration::from_secs(60),
            refresh_due_here: false,
            on_orphaned: None,
        }))
    }
}

impl Acquirer {
    /// With the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A token is *due* this long before the store would stop returning it: the caller gets it, and
    /// it is refreshed. Default: 5 minutes.
    ///
    /// A token that says when to refresh it ([`AccessToken::refresh_at`]) is due then. Each token
    /// that an acquirer gets says so: if the provider did not, the acquirer sets it by this
    /// duration, but not before half of the token's life is over. Nor is a token of a login due
    /// before that, whose [lifetime](AccessToken::lifetime) is known.
    #[must_use]
    pub fn refresh_ahead(self, ahead: Duration) -> Self {
        self.with(|policy| policy.refresh_ahead = ahead)
    }

    /// A token is due up to this much earlier, each by an amount of its own, so that tokens that
    /// were issued together are not all refreshed together. Default: 30 seconds.
    #[must_use]
    pub fn jitter(self, jitter: Duration) -> Self {
        self.with(|policy| policy.jitter = jitter)
    }

    /// After a failed refresh of a token that was only due, the next one waits for `first`, then
    /// for twice that, and so on up to `most`. A refresh that is required never waits for this.
    /// Default: 30 seconds, 10 minutes. Each process has its own.
    #[must_use]
    pub fn back_off(self, first: Duration, most: Duration) -> Self {
        self.with(|policy| policy.back_off = (first, most))
    }

    /// How long a caller waits for another caller's refresh at most, in this process or another,
    /// and how long an async refresh may take: then it is [`AcquireError::Refresh`]. Default: a
    /// minute.
    ///
    /// A blocking refresh cannot be stopped: until it returns, no other refresh of its refresh
    /// token begins, in any process. An async one is dropped, and may have redeemed its refresh
    /// token already: the next refresh redeems it again, and the provider may revoke the whole
    /// family. So give the HTTP client a timeout, too, well below this one.
    #[must_use]
    pub fn give_up_after(self, limit: Duration) -> Self {
        self.with(|policy| policy.give_up_after = limit)
    }

    /// Makes [`acquire`](Self::acquire) refresh a token that is only due, on the caller's thread,
    /// unless another caller does; if that fails, the caller gets the old token. Without this, it
    /// returns the token as it is, and the first caller after its expiry refreshes it.
    /// (`acquire_async` always refreshes it, in the background.)
    #[must_use]
    pub fn refresh_due_here(self) -> Self {
        self.with(|policy| policy.refresh_due_here = true)
    }

    /// Called with tokens that a refresh got and that were not stored, mostly because the user
    /// signed out meanwhile: revoke them (RFC 7009).
    ///
    /// It runs when every waiter has the outcome: on the caller's thread, or for async refreshes on
    /// one of a few threads for that. A panic in it is swallowed.
    #[must_use]
    pub fn on_orphaned(self, hook: impl Fn(Orphaned) + Send + Sync + 'static) -> Self {
        self.with(|policy| policy.on_orphaned = Some(Arc::new(hook)))
    }

    /// A valid access token: the cache's, or what `refresh` gets.
    ///
    /// Of all callers of this process that want the same refresh at a time, one runs its closure,
    /// and all get the outcome. Refreshes for different scopes of one refresh token come one after
    /// the other. If the closure panics, the panic goes on in its caller, and another caller
    /// refreshes.
    ///
    /// It blocks while the closure runs, and while another caller's does: do not call it on a
    /// thread that runs async tasks.
    ///
    /// # Errors
    /// [`AcquireError::InteractionRequired`] if only the user can help; [`AcquireError::SignedOut`]
    /// if the sign-in has ended, also meanwhile; [`AcquireError::Refresh`] with the closure's own
    /// error; [`AcquireError::Store`].
    pub fn acquire<R>(
        &self,
        live: &LiveSignIn,
        request: impl Into<AccessRequest>,
        refresh: R,
    ) -> Result<AccessToken, AcquireError>
    where
        R: FnOnce(&Grant) -> Result<Tokens, RefreshError>,
    {
        observed(self.acquire_here(&Acquisition::new(self, live, request.into()), refresh))
    }

    fn acquire_here<R>(&self, acquisition: &Acquisition, refresh: R) -> Acquired
    where
        R: FnOnce(&Grant) -> Result<Tokens, RefreshError>,
    {
        let mut elsewhere = Pauses::new(self.0.give_up_after);
        loop {
            match acquisition.next_step(self.0.refresh_due_here)? {
                NextStep::Return(token, how) => return Ok((token, how)),
                NextStep::ReturnDue(token, None) => return Ok((token, AcquireOutcome::Due)),
                NextStep::ReturnDue(token, Some(due)) => {
                    return match due.run(refresh) {
                        Ok(new) => Ok((new, AcquireOutcome::Refreshed)),
                        Err(AcquireError::SignedOut) => Err(AcquireError::SignedOut),
                        Err(_) => {
                            acquisition.if_open(token).map(|token| (token, AcquireOutcome::Due))
                        }
                    };
                }
                NextStep::Refresh(required) => {
                    let token = acquisition.or_extended(required.run(refresh))?;
                    return Ok((token, AcquireOutcome::Refreshed));
                }
                NextStep::Elsewhere => match elsewhere.next() {
                    Some(pause) => thread::sleep(pause),
                    None => {
                        let token = acquisition.or_extended(Err(taken_elsewhere()))?;
                        return Ok((token, AcquireOutcome::Waited));
                    }
                },
                NextStep::Wait(waiter) => {
                    let shares = acquisition.shares(&waiter);
                    let outcome = {
                        let _waiting = Waiting::begin();
                        waiter.wait(self.0.give_up_after)
                    };
                    match outcome {
                        Err(TimedOut) => {
                            let token = acquisition.or_extended(Err(timed_out()))?;
                            return Ok((token, AcquireOutcome::Waited));
                        }
                        Ok(Some(Flown::Over(outcome))) if shares => {
                            let token = acquisition.accept_shared(outcome)?;
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

    fn with(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl std::fmt::Debug for Acquirer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let policy = &*self.0;
        f.debug_struct("Acquirer")
            .field("refresh_ahead", &policy.refresh_ahead)
            .field("jitter", &policy.jitter)
            .field("back_off", &policy.back_off)
            .field("give_up_after", &policy.give_up_after)
            .field("refresh_due_here", &policy.refresh_due_here)
            .finish_non_exhaustive()
    }
}

/// The outcome of a refresh, for all callers that wait for it.
type RefreshOutcome = Result<AccessToken, AcquireError>;

/// What those get who wait for a refresh of this process.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "most are the large one")]
enum Flown {
    Over(RefreshOutcome),
    /// Another process is at it.
    Elsewhere,
}

type Acquired = Result<(AccessToken, AcquireOutcome), AcquireError>;

/// Reports the outcome of an acquisition to the metrics.
fn observed(acquired: Acquired) -> Result<AccessToken, AcquireError> {
    observe::acquired(match &acquired {
        Ok((_, how)) => *how,
        Err(AcquireError::InteractionRequired { .. }) => AcquireOutcome::InteractionRequired,
        Err(AcquireError::SignedOut) => AcquireOutcome::SignedOut,
        Err(AcquireError::Refresh(_) | AcquireError::Store(_)) => AcquireOutcome::Failed,
    });
    acquired.map(|(token, _)| token)
}

/// Counts this caller among those that wait, in the metrics.
struct Waiting(());

impl Waiting {
    fn begin() -> Self {
        observe::waiting(1);
        Self(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        observe::waiting(-1);
    }
}

fn taken_elsewhere() -> AcquireError {
    let source = std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "another process has been refreshing it for longer than give_up_after",
    );
    AcquireError::Refresh(RefreshFailed::new(source))
}

fn timed_out() -> AcquireError {
    let source = std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "the refresh took longer than give_up_after",
    );
    AcquireError::Refresh(RefreshFailed::new(source))
}
