//! Carries sign-outs out: the store first, durably, then what the app has of its own, then the answer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::answer::Answer;
use super::issuer::{Issuer, Issuers};
use super::recent::Recent;
use super::rejected::Rejected;
use crate::asynchronous::AsyncTokenStore;
use crate::error::Error;
use crate::id::{AccountId, SessionId, Subject};
use crate::observe::{self, Callback, Channel};
use crate::sign_out::{Receipt, SignOut};

/// What an app's own hook failed with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Takes the sign-outs that providers tell of, checks them, and carries them out. Clones share it.
///
/// It is for any web framework: give it what came, send what it [answers](Answer). With axum,
/// [`sign_out_routes`](crate::axum::sign_out_routes) does that.
///
/// A sign-out goes on to its end though the sender hangs up (providers wait for two seconds or so): it is a task of its own.
///
/// # Panics
/// Its async methods, outside of a tokio runtime.
#[derive(Clone)]
#[must_use]
pub struct Receiver {
    pub(super) store: AsyncTokenStore,
    pub(super) issuers: Issuers,
    recent: Arc<[Recent]>,
    hook: Option<Arc<Hook>>,
    takes_refresh_tokens: bool,
}

type Hook = dyn Fn(SignedOut) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>> + Send + Sync;

/// How the app learned of a sign-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// A logout token: OpenID Connect Back-Channel Logout 1.0.
    BackChannel,
    /// A page in a frame of the user's browser: OpenID Connect Front-Channel Logout 1.0.
    FrontChannel,
    /// The user, here: OpenID Connect RP-Initiated Logout 1.0.
    RpInitiated,
}

/// A sign-out that was carried out, for the app to end what it has of its own: see [`Receiver::after_sign_out`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignedOut {
    /// How the app learned of it.
    pub signal: Signal,
    /// The session at the provider, if it was named (or, of a sign-out from here, is known).
    pub session: Option<SessionId>,
    /// The subject at the provider, if it was named (or, of a sign-out from here, is known).
    pub subject: Option<Subject>,
    /// The account, of a sign-out from here.
    pub account: Option<AccountId>,
    /// What the store recorded. `None` if it failed: whoever asked is told that the sign-out is not done, and the app's own sessions
    /// have to end all the same.
    pub receipt: Option<Receipt>,
}

/// Why a sign-out was not carried out whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignOutError {
    /// The store failed: what that means for the tokens, the error says.
    #[error(transparent)]
    Store(#[from] Error),
    /// The tokens are gone, durably, but the app's own [hook](Receiver::after_sign_out) failed.
    #[error("the app could not end what it has of its own")]
    Hook(#[source] BoxError),
    /// The runtime is being shut down, or the hook panicked: what was done is not known. Sign out again.
    #[error("the sign-out was interrupted; sign out again")]
    Interrupted,
}

impl Receiver {
    /// Signs users out of `store` when one of `issuers` says so.
    pub fn new(store: impl Into<AsyncTokenStore>, issuers: Issuers) -> Self {
        let recent = issuers.iter().map(|_| Recent::default()).collect();
        Self { store: store.into(), issuers, recent, hook: None, takes_refresh_tokens: false }
    }

    /// Runs this after each sign-out, to end what the app has of its own: web sessions that are not
    /// [bound](crate::tower_sessions) to the sign-in, caches, open connections.
    ///
    /// It must bear to be run again for the same sign-out. Only when it has come to its end is the sender told of success; if it fails, the
    /// sender is told so, and may try again.
    pub fn after_sign_out<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(SignedOut) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.hook = Some(Arc::new(move |signed_out| Box::pin(hook(signed_out))));
        self
    }

    /// Gives the [hook](Self::after_sign_out) the refresh tokens that a back-channel sign-out ended, in its receipt, so that the app can revoke
    /// them at the provider (RFC 7009). Providers revoke those of a session themselves, but not those with `offline_access`
    /// (OpenID Connect Back-Channel Logout 1.0 §2.7). A front-channel request proves nothing that would justify it.
    pub fn taking_refresh_tokens(mut self) -> Self {
        self.takes_refresh_tokens = true;
        self
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &AsyncTokenStore {
        &self.store
    }

    /// Carries a sign-out out, here and now; the caller makes it a task.
    pub(super) async fn carry_out(&self, sign_out: SignOut, signed_out: SignedOut) -> Result<Receipt, SignOutError> {
        let takes = self.takes_refresh_tokens && signed_out.signal == Signal::BackChannel;
        let sign_out = if takes { sign_out.taking_refresh_tokens() } else { sign_out };
        let result = self.store.sign_out(sign_out).await;
        // Though the store fails: whoever is signed out, or may be, is not to go on with a session of the app's.
        let receipt = match &result {
            Ok(receipt) | Err(Error::OnlySessionEnded { receipt, .. }) => Some(receipt.clone()),
            Err(_) => None,
        };
        let hooked = match &self.hook {
            Some(hook) => hook(SignedOut { receipt, ..signed_out }).await,
            None => Ok(()),
        };
        let receipt = result?;
        hooked.map_err(SignOutError::Hook)?;
        Ok(receipt)
    }

    /// What an issuer of ours has told of just now.
    pub(super) fn recent(&self, issuer: &Issuer) -> Option<&Recent> {
        let place = self.issuers.iter().position(|one| std::ptr::eq(one, issuer))?;
        self.recent.get(place)
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}

/// Runs `work` to its end, whatever becomes of who waits for it; `None` if it panicked, or the runtime was shut down.
pub(super) async fn to_the_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    tokio::spawn(work).await.ok()
}

/// What became of a callback.
pub(super) enum Outcome {
    Done,
    Repeated,
    Nobody,
    Refused(Rejected),
    Failed,
}

impl Outcome {
    /// Counts it.
    pub(super) fn observed(self, channel: Channel) -> Self {
        let what = match self {
            Self::Done => Callback::Done,
            Self::Repeated => Callback::Repeated,
            Self::Nobody => Callback::Nobody,
            Self::Refused(_) => Callback::Refused,
            Self::Failed => Callback::Failed,
        };
        observe::called_back(channel, what);
        self
    }
}

impl From<Rejected> for Outcome {
    fn from(why: Rejected) -> Self {
        Self::Refused(why)
    }
}
