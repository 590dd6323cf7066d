//! Receives sign-outs, whichever way they come, and carries them out: the store first, durably,
//! then the app's hook, then the answer.

pub(crate) mod answer;
#[cfg(feature = "jwe")]
pub(crate) mod decryptions;
mod execute;
pub(crate) mod outcome;
mod record_quota;
pub(crate) mod replay_cache;
pub(crate) mod signed_out;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use record_quota::RecordQuota;
use replay_cache::ReplayCache;
use signed_out::{BoxError, SignedOut};

use super::issuer::issuers::Issuers;
use crate::asynchronous::AsyncTokenStore;

/// How long a hook may take by default.
const HOOK_TIME: Duration = Duration::from_secs(10);
/// How many sign-outs of each channel work in the store at the same time: a flood on one channel
/// does not hold up the other, nor the store's readers.
const BACK_AT_ONCE: usize = 64;
const FRONT_AT_ONCE: usize = 16;
/// How many unsigned sign-outs are recorded without a look at the rows, while the engine cannot be
/// read.
const MAX_UNSEEN: usize = 1000;

/// Receives the sign-outs that providers send, checks them, and carries them out. Clones share it.
///
/// It works with any web framework: the app gives it the request, and sends the
/// [answer](crate::logout::Answer). With axum,
/// [`sign_out_routes`](crate::logout::sign_out_routes) does that.
///
/// A sign-out goes on to its end even if the sender hangs up (providers wait for about two
/// seconds). So call [`drain`](Self::drain) before the store is closed.
///
/// # Panics
/// Its async methods panic outside of a tokio runtime.
#[derive(Clone)]
#[must_use]
pub struct Receiver {
    pub(in crate::logout) store: AsyncTokenStore,
    pub(in crate::logout) issuers: Issuers,
    shared: Arc<Shared>,
    hook: Option<Arc<Hook>>,
    hook_time: Duration,
    takes_refresh_tokens: bool,
}

type Hook =
    dyn Fn(SignedOut) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>> + Send + Sync;

/// What the clones share.
struct Shared {
    /// One pair for each issuer.
    tokens: Vec<(ReplayCache, RecordQuota)>,
    /// Sessions that ended by the front channel, or in this app.
    sessions: ReplayCache,
    running: watch::Sender<usize>,
    back: Arc<Semaphore>,
    front: Arc<Semaphore>,
    unseen: AtomicUsize,
    #[cfg(feature = "jwe")]
    decryptions: decryptions::Decryptions,
}

impl Receiver {
    /// A receiver that signs users out of `store` when one of `issuers` says so. Inside of a tokio
    /// runtime this begins to fetch their keys.
    pub fn new(store: impl Into<AsyncTokenStore>, issuers: Issuers) -> Self {
        let shared = Shared {
            tokens: issuers.iter().map(|_| Default::default()).collect(),
            sessions: ReplayCache::default(),
            running: watch::Sender::new(0),
            back: Arc::new(Semaphore::new(BACK_AT_ONCE)),
            front: Arc::new(Semaphore::new(FRONT_AT_ONCE)),
            unseen: AtomicUsize::new(0),
            #[cfg(feature = "jwe")]
            decryptions: decryptions::Decryptions::default(),
        };
        // Fetched now, so that the first sign-out need not wait: its sender does not wait for long.
        issuers.iter().for_each(|issuer| issuer.cache().prepare());
        let (store, shared) = (store.into(), Arc::new(shared));
        Self {
            store,
            issuers,
            shared,
            hook: None,
            hook_time: HOOK_TIME,
            takes_refresh_tokens: false,
        }
    }

    /// Runs this hook after each sign-out, to end what the app holds itself: web sessions that are
    /// not bound to the sign-in ([bound](crate::WebSessions) ones end by themselves),
    /// caches, open connections.
    ///
    /// The hook must tolerate a second run for the same sign-out. The sender is told of success
    /// only after the hook has finished; if the hook fails, or takes [too long](Self::hook_time),
    /// the sender is told so, and may try again. So the hook should end only what began
    /// [before](SignedOut::signed_in_before) the sign-out.
    ///
    /// It does not run for a front-channel request that finds nobody signed in: the sender of such
    /// a request need not be a provider.
    ///
    /// It applies to this handle and to clones that are made of it afterwards.
    pub fn after_sign_out<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(SignedOut) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.hook = Some(Arc::new(move |signed_out| Box::pin(hook(signed_out))));
        self
    }

    /// How long the [hook](Self::after_sign_out) may take before it counts as failed, and is
    /// dropped: 10 s by default.
    pub fn hook_time(mut self, time: Duration) -> Self {
        self.hook_time = time;
        self
    }

    /// Gives the [hook](Self::after_sign_out) the refresh tokens that a back-channel sign-out
    /// ended, in its receipt, so that the app can revoke them at the provider (RFC 7009). Providers
    /// revoke the tokens of a session themselves, but not those with `offline_access` (OpenID
    /// Connect Back-Channel Logout 1.0 §2.7). They are given once: a hook that fails to revoke them
    /// has to remember them. A front-channel request proves too little to justify it; for sign-outs
    /// in this app there is
    /// [`EndSession::taking_refresh_tokens`](crate::logout::EndSession::taking_refresh_tokens).
    pub fn taking_refresh_tokens(mut self) -> Self {
        self.takes_refresh_tokens = true;
        self
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &AsyncTokenStore {
        &self.store
    }

    /// Waits until no sign-out is under way. Call it before the store is closed, once the app
    /// accepts no more requests: otherwise a sign-out whose sender has hung up would be lost, and
    /// providers send once.
    pub async fn drain(&self) {
        // This cannot fail: we hold the sender.
        let _ = self.shared.running.subscribe().wait_for(|running| *running == 0).await;
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}
