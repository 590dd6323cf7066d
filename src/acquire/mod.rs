//! Acquiring: a valid access token, from the cache or by a refresh that happens once however many
//! want it.
//!
//! What goes wrong everywhere else, and where it is kept from going wrong here:
//! - Two refreshes redeem one rotating refresh token, and the provider revokes the family. Here
//!   there is one place for each refresh token (`flight.rs`), in the store itself: it is open in
//!   one process only, so one in the process is one at all. The token is read only by who has the
//!   place, and the place is free only when what came is stored.
//! - A refresh in flight writes tokens back behind a sign-out. Here they go through the sign-in
//!   that the refresh token was read from ([`LiveSignIn::put`]), and everybody who waited is told
//!   of the sign-out (`lead.rs`).
//! - A caller gives up, and the refresh token that its refresh has redeemed is lost. Here an async
//!   refresh is a task of its own (`background.rs`).
//!
//! No lock of the store is held while a refresh closure runs or anybody waits for it.

mod app;
#[cfg(feature = "tokio")]
mod background;
mod chain;
mod error;
pub(crate) mod given;
mod grant;
mod hold;
mod lead;
mod request;
mod turn;

use crate::store::gate::Core;
use std::time::Duration;

use crate::model::tag::Tag;
use crate::model::token::{AccessToken, Tokens};
use crate::observe::{self, Acquisition};
use crate::platform::single_flight::{Leader, SingleFlight, TimedOut, Waiter};
use crate::platform::sync::Arc;
#[cfg(feature = "tokio")]
use crate::platform::workers::Workers;
use crate::rows::cipher::Generation;
use crate::rows::row_key::SignInId;
use crate::store::sign_in::LiveSignIn;

pub use error::{
    AcquireError, InteractionReason, OrphanReason, Orphaned, RefreshError, RefreshFailed,
};
pub use grant::Grant;
pub use request::AccessRequest;

use hold::Holds;
use lead::Lead;
use request::Errand;
use turn::{Step, Turns};

/// Gets valid access tokens, and refreshes them when that is needed: once, however many ask at a
/// time.
///
/// It is a policy, cheap to clone. The refreshes themselves belong to the store: all acquirers of a
/// process share them, [`acquire`](Self::acquire) and `acquire_async` too.
///
/// The refresh is the caller's closure, which asks the provider with whatever client the app uses.
/// It is handed a [`Grant`]; what it returns is stored in one stroke through the sign-in that the
/// grant was read from, before anybody is given it. If it brings a new refresh token, that survives
/// a power loss first (unless
/// [`Builder::refresh_token_durability`](crate::Builder::refresh_token_durability) says less).
///
/// A closure may acquire other tokens (the app's own, say), but none that its refresh is waited for
/// by: of the same refresh token, or the same again by a detour. Where that can be seen, it is an
/// [`Error::InvalidInput`](crate::Error::InvalidInput); two refreshes on two threads that wait for
/// each other go on when [`give_up_after`](Self::give_up_after) is over.
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
/// # let live = store.sign_in(SignIn::new(AccountId::new("login.example.com", "uid")?, TenantId::new("contoso")?))?;
/// # let client = ClientId::new("web")?;
/// live.put(RefreshToken::new(client.clone(), "rt-1"))?;
///
/// let acquirer = Acquirer::new().on_orphaned(|orphaned| {
///     // The user signed out while the provider was issuing these: revoke them.
///     println!("{} tokens to revoke", orphaned.tokens.len());
/// });
/// let wanted = AccessQuery::new(client).scopes(Scopes::parse("mail.read")?);
/// let token = acquirer.acquire(&live, &wanted, |grant| {
///     let refresh_token = grant.refresh_token().ok_or_else(|| RefreshError::failed("no refresh token"))?;
///     let response = provider.redeem(refresh_token.secret.expose(), &grant.scopes().joined())?;
///     Ok(Tokens::from([
///         grant.access_token(None, response.access_token, Duration::from_secs(response.expires_in)).into(),
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

    /// A token is *due* this long before the store would stop giving it: it is given, and
    /// refreshed. Default: 5 minutes.
    ///
    /// A token that says when to refresh it ([`AccessToken::refresh_at`]) is due then. Those that
    /// an acquirer gets all do: if the provider did not say, it is written into them by this, but
    /// not before half of their life is over.
    #[must_use]
    pub fn refresh_ahead(self, ahead: Duration) -> Self {
        self.with(|policy| policy.refresh_ahead = ahead)
    }

    /// A token is due up to this much earlier, each by an amount of its own, so that those got
    /// together are not all refreshed together. Default: 30 seconds.
    #[must_use]
    pub fn jitter(self, jitter: Duration) -> Self {
        self.with(|policy| policy.jitter = jitter)
    }

    /// After a failed refresh of a token that was only due, the next waits for `first`, then for
    /// twice that, and so on up to `most`. It never holds up a refresh that is required. Default:
    /// 30 seconds, 10 minutes.
    #[must_use]
    pub fn back_off(self, first: Duration, most: Duration) -> Self {
        self.with(|policy| policy.back_off = (first, most))
    }

    /// Nobody waits longer than this for somebody else's refresh, and an async refresh is dropped
    /// then: [`AcquireError::Refresh`]. Default: a minute.
    ///
    /// A blocking refresh cannot be stopped, and keeps its place until it returns. An async one
    /// that is cut off may have redeemed its refresh token already: the next refresh redeems it
    /// again, and the provider may revoke the whole family. So give the HTTP client a timeout, too,
    /// well below this one.
    #[must_use]
    pub fn give_up_after(self, limit: Duration) -> Self {
        self.with(|policy| policy.give_up_after = limit)
    }

    /// [`acquire`](Self::acquire) refreshes a token that is only due, on the caller's thread, if
    /// nobody else does; if that fails, the old one is given. Otherwise it just gives it, and
    /// leaves the refresh to who comes when it has expired. (`acquire_async` always refreshes it,
    /// in the background.)
    #[must_use]
    pub fn refresh_due_here(self) -> Self {
        self.with(|policy| policy.refresh_due_here = true)
    }

    /// Called with tokens that a refresh got and that were not stored, mostly because the user
    /// signed out meanwhile: revoke them (RFC 7009).
    ///
    /// It runs when everybody has been told: on the caller's thread, or of async refreshes on one
    /// of a few threads for that. A panic in it is swallowed.
    #[must_use]
    pub fn on_orphaned(self, hook: impl Fn(Orphaned) + Send + Sync + 'static) -> Self {
        self.with(|policy| policy.on_orphaned = Some(Arc::new(hook)))
    }

    /// A valid access token: the cache's, or what `refresh` gets.
    ///
    /// Of all who want a refresh of the same at a time, one runs its closure, and all get what
    /// comes of it. Refreshes for different scopes of one refresh token come one after the other.
    /// If the closure panics, the panic goes on in its caller, and one of the others does it.
    ///
    /// It blocks while the closure runs, and while somebody else's does: not for a thread that runs
    /// async tasks.
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
        observed(self.acquire_here(&Turns::new(self, live, request.into()), refresh))
    }

    fn acquire_here<R>(&self, turns: &Turns, refresh: R) -> Acquired
    where
        R: FnOnce(&Grant) -> Result<Tokens, RefreshError>,
    {
        loop {
            match turns.next(self.0.refresh_due_here)? {
                Step::Give(token, how) => return Ok((token, how)),
                Step::Due(token, None) => return Ok((token, Acquisition::Due)),
                Step::Due(token, Some(lead)) => {
                    return match lead.run(refresh) {
                        Ok(new) => Ok((new, Acquisition::Refreshed)),
                        Err(AcquireError::SignedOut) => Err(AcquireError::SignedOut),
                        Err(_) => turns.if_open(token).map(|token| (token, Acquisition::Due)),
                    };
                }
                Step::Lead(lead) => {
                    let landed = lead.run(refresh);
                    return turns.or_extended(landed).map(|token| (token, Acquisition::Refreshed));
                }
                Step::Wait(waiter) => {
                    let joins = turns.joins(&waiter);
                    let landed = {
                        let _waiting = Waiting::begin();
                        waiter.wait(self.0.give_up_after)
                    };
                    match landed {
                        Err(TimedOut) => {
                            return turns
                                .or_extended(Err(timed_out()))
                                .map(|token| (token, Acquisition::Waited));
                        }
                        Ok(Some(landed)) if joins => {
                            return turns.shared(landed).map(|token| (token, Acquisition::Waited));
                        }
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

/// What the store keeps for all acquirers.
pub(crate) struct Acquiring {
    refreshes: Arc<SingleFlight<Key, Errand, Landing>>,
    /// Apps that are being signed in.
    apps: Arc<SingleFlight<Tag, (), Result<LiveSignIn, AcquireError>>>,
    holds: Holds,
    /// For async refreshes: who stores, and who calls the hooks. Hooks may take their time.
    #[cfg(feature = "tokio")]
    storing: Arc<Workers>,
    #[cfg(feature = "tokio")]
    hooks: Arc<Workers>,
    /// For the jitter: random, but the same for all.
    spread: std::hash::RandomState,
}

impl Acquiring {
    /// What is kept with this store.
    fn of(core: &Core) -> &Self {
        #[expect(
            clippy::expect_used,
            reason = "no other kind of thing is kept there: this is the only call"
        )]
        core.above(Self::new).expect("there is nothing else")
    }

    fn new() -> Self {
        Self {
            refreshes: SingleFlight::new(),
            apps: SingleFlight::new(),
            holds: Holds::default(),
            #[cfg(feature = "tokio")]
            storing: Workers::new("oubliette-acquire", 32),
            #[cfg(feature = "tokio")]
            hooks: Workers::new("oubliette-acquire", 4),
            spread: std::hash::RandomState::new(),
        }
    }
}

/// What one refresh at a time is for: the slot of a refresh token, or where none is needed, the
/// slot of an access token in its tenant.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    account: Tag,
    sign_in: SignInId,
    generation: Generation,
    tenant: Option<Tag>,
    slot: Tag,
}

/// What comes of a refresh, for all who wait for it.
type Landing = Result<AccessToken, AcquireError>;
type RefreshLeader = Leader<Key, Errand, Landing>;
type RefreshWaiter = Waiter<Errand, Landing>;
type Acquired = Result<(AccessToken, Acquisition), AcquireError>;

/// Tells operators what became of an acquisition.
fn observed(acquired: Acquired) -> Result<AccessToken, AcquireError> {
    observe::acquired(match &acquired {
        Ok((_, how)) => *how,
        Err(AcquireError::InteractionRequired { .. }) => Acquisition::InteractionRequired,
        Err(AcquireError::SignedOut) => Acquisition::SignedOut,
        Err(AcquireError::Refresh(_) | AcquireError::Store(_)) => Acquisition::Failed,
    });
    acquired.map(|(token, _)| token)
}

/// Tells operators that somebody waits.
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

fn timed_out() -> AcquireError {
    let source = std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "the refresh took longer than give_up_after",
    );
    AcquireError::Refresh(RefreshFailed::new(source))
}
