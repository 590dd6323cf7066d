//! Carries sign-outs out: the store first, durably, then what the app has of its own, then the
//! answer.

pub(crate) mod answer;
mod record_quota;
pub(crate) mod replay_cache;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::asynchronous::AsyncTokenStore;
use crate::logout::issuer::issuers::Issuers;
use crate::logout::receiver::record_quota::Budget;
use crate::logout::receiver::replay_cache::{Alone, Digest, Mark, Recent};
use crate::logout::rejected::Rejected;
use crate::model::error::Error;
use crate::model::id::{AccountId, SessionId, Subject};
use crate::model::sign_out::{Receipt, SignOut};
use crate::observe::{self, Callback, Channel};

/// What an app's own hook failed with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long a hook may take, unless it is said otherwise.
const HOOK_TIME: Duration = Duration::from_secs(10);
/// How many sign-outs of each channel are at work in the store at once: a flood on the one does not
/// hold up the other, nor the store's readers.
const BACK_AT_ONCE: usize = 64;
const FRONT_AT_ONCE: usize = 16;
/// How many sign-outs that nobody signed are recorded unseen, while the engine cannot be read.
const MOST_UNSEEN: usize = 1000;

/// Takes the sign-outs that providers tell of, checks them, and carries them out. Clones share it.
///
/// It is for any web framework: give it what came, send what it [answers](crate::logout::Answer). With
/// axum, [`sign_out_routes`](crate::logout::sign_out_routes) does that.
///
/// A sign-out goes on to its end though the sender hangs up (providers wait for two seconds or so).
/// So call [`drain`](Self::drain) before the store is closed.
///
/// # Panics
/// Its async methods, outside of a tokio runtime.
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
    /// Of each issuer.
    tokens: Vec<(Recent, Budget)>,
    /// Sessions that ended by the front channel, or here.
    sessions: Recent,
    running: watch::Sender<usize>,
    back: Arc<Semaphore>,
    front: Arc<Semaphore>,
    unseen: AtomicUsize,
}

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

/// A sign-out that was carried out, for the app to end what it has of its own: see
/// [`Receiver::after_sign_out`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignedOut {
    /// How the app learned of it.
    pub signal: Signal,
    /// The session at the provider, if it was named (or, of a sign-out from here, is known).
    pub session: Option<SessionId>,
    /// The subject at the provider, if it was named (or, of a sign-out from here, is known).
    pub subject: Option<Subject>,
    /// The accounts that ended whole, as far as the store knew of them: none where only a session
    /// ends, or if the store could not be read.
    pub accounts: Vec<AccountId>,
    /// Only who signed in by this time is signed out; `None` if everybody. A signal can come late,
    /// or once more after the hook has failed: what began later than this goes on.
    pub signed_in_before: Option<SystemTime>,
    /// Whether the provider says that refresh tokens with `offline_access` are to be revoked too
    /// (Keycloak's `revoke_offline_access`). In the store they are gone in any case.
    pub revokes_offline_access: bool,
    /// What the store recorded. `None` if it failed: whoever asked is told that the sign-out is not
    /// done, and the app's own sessions have to end all the same. Also `None` if there was nothing
    /// to record: nobody was signed in, or only the hook has failed before.
    pub receipt: Option<Receipt>,
}

impl SignedOut {
    pub(crate) fn by(signal: Signal, session: Option<SessionId>, subject: Option<Subject>) -> Self {
        Self {
            signal,
            session,
            subject,
            accounts: Vec::new(),
            signed_in_before: None,
            revokes_offline_access: false,
            receipt: None,
        }
    }
}

/// Why a sign-out was not carried out whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignOutError {
    /// The store failed: what that means for the tokens, the error says.
    #[error(transparent)]
    Store(#[from] Error),
    /// The runtime is being shut down, or the hook panicked: what was done is not known. Sign out
    /// again.
    #[error("the sign-out was interrupted; sign out again")]
    Interrupted,
}

impl Receiver {
    /// Signs users out of `store` when one of `issuers` says so. Inside of a tokio runtime this
    /// begins to fetch their keys.
    pub fn new(store: impl Into<AsyncTokenStore>, issuers: Issuers) -> Self {
        let shared = Shared {
            tokens: issuers.iter().map(|_| Default::default()).collect(),
            sessions: Recent::default(),
            running: watch::Sender::new(0),
            back: Arc::new(Semaphore::new(BACK_AT_ONCE)),
            front: Arc::new(Semaphore::new(FRONT_AT_ONCE)),
            unseen: AtomicUsize::new(0),
        };
        // A sign-out should not have to wait for keys: its sender does not wait for long.
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

    /// Runs this after each sign-out, to end what the app has of its own: web sessions that are not
    /// bound to the sign-in (those that [are](../tower_sessions/index.html) end by themselves),
    /// caches, open connections.
    ///
    /// It must bear to be run again for the same sign-out. Only when it has come to its end is the
    /// sender told of success; if it fails, or takes [too long](Self::hook_time), the sender is
    /// told so, and may try again. So end by it only what began
    /// [before](SignedOut::signed_in_before) the sign-out.
    ///
    /// It is not run for a front-channel request that finds nobody signed in: whoever sends those
    /// need not be a provider.
    ///
    /// It is for this handle and the clones made of it from then on.
    pub fn after_sign_out<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(SignedOut) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.hook = Some(Arc::new(move |signed_out| Box::pin(hook(signed_out))));
        self
    }

    /// How long the [hook](Self::after_sign_out) may take before it counts as failed, and is
    /// dropped: 10 s, unless it is said otherwise.
    pub fn hook_time(mut self, time: Duration) -> Self {
        self.hook_time = time;
        self
    }

    /// Gives the [hook](Self::after_sign_out) the refresh tokens that a back-channel sign-out
    /// ended, in its receipt, so that the app can revoke them at the provider (RFC 7009). Providers
    /// revoke those of a session themselves, but not those with `offline_access` (OpenID Connect
    /// Back-Channel Logout 1.0 §2.7). They are given once: a hook that fails to revoke them has to
    /// remember them. A front-channel request proves nothing that would justify it; for sign-outs
    /// from here there is
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

    /// Waits until no sign-out is under way. To be called before the store is closed, once no
    /// requests are taken any more: a sign-out of a sender that has hung up would be lost, and
    /// providers send once.
    pub async fn drain(&self) {
        // The sender is ours, so it is there.
        let _ = self.shared.running.subscribe().wait_for(|running| *running == 0).await;
    }

    /// Runs `work` to its end, whatever becomes of who waits for it; `None` if it panicked, or the
    /// runtime was shut down.
    pub(crate) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let running = Running::begin(&self.shared);
        let task = tokio::spawn(async move {
            let _running = running;
            work.await
        });
        task.await.ok()
    }

    /// Carries a sign-out out, but what of it was done before; the caller makes it a task, and has
    /// the turn.
    pub(crate) async fn carry_out<T>(
        &self,
        sign_out: SignOut,
        signed_out: SignedOut,
        known: &Known<'_>,
        turn: T,
    ) -> Outcome {
        let mut signed_out = SignedOut { signed_in_before: sign_out.cutoff(), ..signed_out };
        match known.mark() {
            Some(Mark::Whole) => return Outcome::Repeated,
            Some(Mark::Part) => {
                drop(turn);
                let _ = self.run_hook(signed_out).await;
                return Outcome::Failed;
            }
            Some(Mark::Durable) => {}
            None => {
                let takes = self.takes_refresh_tokens && signed_out.signal == Signal::BackChannel;
                let sign_out = if takes { sign_out.taking_refresh_tokens() } else { sign_out };
                match self.store.sign_out(sign_out).await {
                    Ok(receipt) => {
                        known.set(Mark::Durable);
                        signed_out.receipt = Some(receipt);
                    }
                    // Though the store fails: whoever is signed out, or may be, is not to go on
                    // with a session of the app's.
                    Err(error) => {
                        if let Error::OnlySessionEnded { receipt, .. } = error {
                            known.set(Mark::Part);
                            signed_out.receipt = Some(receipt);
                        }
                        drop(turn);
                        let _ = self.run_hook(signed_out).await;
                        return Outcome::Failed;
                    }
                }
            }
        }
        drop(turn);
        self.finish(signed_out, known, Outcome::Done).await
    }

    /// Does the app's part.
    pub(crate) async fn finish(
        &self,
        signed_out: SignedOut,
        known: &Known<'_>,
        outcome: Outcome,
    ) -> Outcome {
        match self.run_hook(signed_out).await {
            Ok(()) => {
                known.set(Mark::Whole);
                outcome
            }
            Err(_) => Outcome::Failed,
        }
    }

    pub(crate) async fn run_hook(&self, signed_out: SignedOut) -> Result<(), BoxError> {
        let Some(hook) = &self.hook else { return Ok(()) };
        match tokio::time::timeout(self.hook_time, hook(signed_out)).await {
            Ok(result) => result,
            Err(_) => Err("the hook took too long".into()),
        }
    }

    /// A token, as far as it is known. Who has it, is the only one who works at it; `None` if too
    /// many wait for that.
    pub(crate) async fn token(&self, issuer: usize, digest: Digest) -> Option<Known<'_>> {
        let recent = self.shared.tokens.get(issuer).map(|(recent, _)| recent)?;
        Some(Known { recent, digest, _alone: recent.alone(digest).await? })
    }

    /// A session that was signed out here, and all is done: its provider is about to tell of it.
    pub(crate) fn remember(&self, session: Digest) {
        self.shared.sessions.set(session, Mark::Whole);
    }

    /// A session that the front channel has ended, likewise.
    pub(crate) async fn session(&self, digest: Digest) -> Option<Known<'_>> {
        let recent = &self.shared.sessions;
        Some(Known { recent, digest, _alone: recent.alone(digest).await? })
    }

    /// Takes so many of the records that an issuer may have for sign-outs that find nobody; `false`
    /// if there were none left in this hour.
    pub(crate) fn take(&self, issuer: usize, records: usize) -> bool {
        self.shared.tokens.get(issuer).is_some_and(|(_, budget)| budget.take(records))
    }

    /// Waits for a turn in the store.
    pub(crate) async fn turn(&self, channel: Channel) -> Option<OwnedSemaphorePermit> {
        let turns = match channel {
            Channel::Back => &self.shared.back,
            Channel::Front => &self.shared.front,
        };
        turns.clone().acquire_owned().await.ok()
    }

    /// Takes one of the sign-outs that are recorded unseen while the engine cannot be read.
    pub(crate) fn take_unseen(&self) -> bool {
        self.shared.unseen.fetch_add(1, Ordering::Relaxed) < MOST_UNSEEN
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}

/// What makes a sign-out known again, for the only one who works at it.
pub(crate) struct Known<'a> {
    recent: &'a Recent,
    digest: Digest,
    _alone: Alone,
}

impl Known<'_> {
    pub(crate) fn mark(&self) -> Option<Mark> {
        self.recent.mark(&self.digest)
    }

    /// It has to be done anew.
    pub(crate) fn forget(&self) {
        self.recent.forget(&self.digest);
    }

    fn set(&self, mark: Mark) {
        self.recent.set(self.digest, mark);
    }
}

/// A sign-out under way.
struct Running(Arc<Shared>);

impl Running {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.running.send_modify(|running| *running += 1);
        Self(shared.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.send_modify(|running| *running -= 1);
    }
}

/// What became of a callback.
pub(crate) enum Outcome {
    Done,
    Repeated,
    Nobody,
    /// There is nobody, and nobody is known to have been there.
    Unknown,
    Refused(Rejected),
    Failed,
}

impl Outcome {
    /// Counts it.
    pub(crate) fn observed(self, channel: Channel) -> Self {
        let what = match &self {
            Self::Done => Callback::Done,
            Self::Repeated => Callback::Repeated,
            Self::Nobody => Callback::Nobody,
            Self::Unknown => Callback::Unknown,
            Self::Refused(Rejected::Expired | Rejected::NotYetValid) => Callback::Untimely,
            Self::Refused(_) => Callback::Refused,
            Self::Failed => Callback::Failed,
        };
        observe::called_back(channel, what);
        self
    }
}
