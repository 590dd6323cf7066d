//! Carries a sign-out out: first in the store, durably, then by the app's hook. One task at a time
//! works at one sign-out.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::OwnedSemaphorePermit;

#[cfg(feature = "jwe")]
use super::decryptions::Decryptions;
use super::outcome::Outcome;
use super::replay_cache::{Digest, Progress, ReplayCache, Turn};
use super::signed_out::{BoxError, Signal, SignedOut};
use super::{MAX_UNSEEN, Receiver, Shared};
use crate::model::error::Error;
use crate::model::sign_out::SignOut;
use crate::observe::Channel;

/// An attempt at a sign-out that may have come before. As long as it is held, no other task works
/// at the same.
pub(crate) struct Attempt<'a> {
    replays: &'a ReplayCache,
    digest: Digest,
    _turn: Turn,
}

impl Attempt<'_> {
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.replays.progress(&self.digest)
    }

    /// Forgets what was done: it has to be done again.
    pub(crate) fn forget(&self) {
        self.replays.forget(&self.digest);
    }

    fn set(&self, progress: Progress) {
        self.replays.set(self.digest, progress);
    }
}

impl Receiver {
    /// Runs `work` in a task of its own, so that it goes on if the caller's future is dropped.
    /// `None` if it panicked, or the runtime was shut down.
    pub(crate) async fn detached<T: Send + 'static>(
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

    /// Carries out what of a sign-out was not done before. The caller runs this
    /// [detached](Self::detached), and gives its permit, which is returned before the hook runs.
    pub(crate) async fn execute<T>(
        &self,
        sign_out: SignOut,
        signed_out: SignedOut,
        attempt: &Attempt<'_>,
        permit: T,
    ) -> Outcome {
        let mut signed_out = SignedOut { signed_in_before: sign_out.cutoff(), ..signed_out };
        match attempt.progress() {
            Some(Progress::Complete) => return Outcome::Repeated,
            Some(Progress::Partial) => {
                drop(permit);
                let _ = self.run_hook(signed_out).await;
                return Outcome::Failed;
            }
            Some(Progress::Durable) => {}
            None => {
                let takes = self.takes_refresh_tokens && signed_out.signal == Signal::BackChannel;
                let sign_out = if takes { sign_out.taking_refresh_tokens() } else { sign_out };
                match self.store.sign_out(sign_out).await {
                    Ok(receipt) => {
                        attempt.set(Progress::Durable);
                        signed_out.receipt = Some(receipt);
                    }
                    // The hook runs although the store failed: a user who is signed out, or may be,
                    // must not go on in a session of the app's own.
                    Err(error) => {
                        if let Error::OnlySessionEnded { receipt, .. } = error {
                            attempt.set(Progress::Partial);
                            signed_out.receipt = Some(receipt);
                        }
                        drop(permit);
                        let _ = self.run_hook(signed_out).await;
                        return Outcome::Failed;
                    }
                }
            }
        }
        drop(permit);
        self.finish(signed_out, attempt, Outcome::Done).await
    }

    /// Runs the app's hook, and returns `outcome` if it succeeds.
    pub(crate) async fn finish(
        &self,
        signed_out: SignedOut,
        attempt: &Attempt<'_>,
        outcome: Outcome,
    ) -> Outcome {
        match self.run_hook(signed_out).await {
            Ok(()) => {
                attempt.set(Progress::Complete);
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

    /// Waits until this task is the only one that works at this token; `None` if too many wait
    /// already.
    pub(crate) async fn attempt_token(&self, issuer: usize, digest: Digest) -> Option<Attempt<'_>> {
        let replays = self.shared.tokens.get(issuer).map(|(replays, _)| replays)?;
        Some(Attempt { replays, digest, _turn: replays.turn(digest).await? })
    }

    /// Remembers a session that was signed out in this app, completely: its provider is about to
    /// report the same sign-out.
    pub(crate) fn remember(&self, session: Digest) {
        self.shared.sessions.set(session, Progress::Complete);
    }

    /// As [`attempt_token`](Self::attempt_token), for a session that the front channel ends.
    pub(crate) async fn attempt_session(&self, digest: Digest) -> Option<Attempt<'_>> {
        let replays = &self.shared.sessions;
        Some(Attempt { replays, digest, _turn: replays.turn(digest).await? })
    }

    /// Takes this many records from the issuer's quota for sign-outs that find nobody; `false` if
    /// none were left in this hour.
    pub(crate) fn take_records(&self, issuer: usize, records: usize) -> bool {
        self.shared.tokens.get(issuer).is_some_and(|(_, quota)| quota.take(records))
    }

    /// Waits until this channel may start another sign-out in the store.
    pub(crate) async fn permit(&self, channel: Channel) -> Option<OwnedSemaphorePermit> {
        let permits = match channel {
            Channel::Back => &self.shared.back,
            Channel::Front => &self.shared.front,
        };
        permits.clone().acquire_owned().await.ok()
    }

    /// The turns of the encrypted tokens that come.
    #[cfg(feature = "jwe")]
    pub(crate) fn decryptions(&self) -> &Decryptions {
        &self.shared.decryptions
    }

    /// Takes one of the sign-outs that may be recorded unseen while the engine cannot be read.
    pub(crate) fn take_unseen(&self) -> bool {
        self.shared.unseen.fetch_add(1, Ordering::Relaxed) < MAX_UNSEEN
    }
}

/// A sign-out under way, for as long as this is held.
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
