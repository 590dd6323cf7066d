//! One provider's keys: fetched by one task at a time, not too often, and kept.
//!
//! The result of a fetch is stored before the tasks that wait for it are woken. No lock is held
//! while a task waits.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openidconnect::url::Url;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until, timeout};

use super::fetch::{Fetch, Problem};
use super::pending_fetch::{FetchGuard, PendingFetch};
use super::{Pace, Source};
use crate::logout::byte_semaphore::{BytePermit, ByteSemaphore};
use crate::logout::http::HttpClient;
use crate::logout::jose::algorithm::Algorithm;
use crate::logout::jose::jws::Jws;
use crate::logout::jose::key::SignedAs;
use crate::logout::jose::key_set::KeySet;
use crate::logout::keys::discovery::Discovery;
use crate::logout::rejected::Rejected;
use crate::observe::{self, Told};
use crate::openid::Provider;

/// A provider's keys. Clones share them.
#[derive(Clone)]
pub(crate) struct Cache {
    pub(super) origin: Origin,
    /// Limits the warnings about a key that a refused token names.
    told: Arc<Told>,
}

#[derive(Clone)]
pub(super) enum Origin {
    Fixed(KeySet),
    Fetched(Arc<Shared>),
}

pub(super) struct Shared {
    fetch: Fetch,
    pace: Pace,
    /// Of the tokens that wait.
    pub(super) waiting: ByteSemaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: Known,
    /// When the last fetch began, whatever its outcome.
    begun: Option<Instant>,
    pending: Option<PendingFetch>,
    /// When a failed fetch was last logged, if none has succeeded since.
    warned_at: Option<Instant>,
}

/// What has been fetched so far.
#[derive(Clone, Default)]
struct Known {
    keys: Option<KeySet>,
    document: Option<Arc<Discovery>>,
    /// How often the keys changed.
    version: u64,
    /// How many fetches have begun.
    fetches: u64,
    /// When the fetch of these keys began.
    keys_of: Option<Instant>,
    /// When the fetch of this document began.
    document_of: Option<Instant>,
}

/// What a task that wants newer keys, or a document, does next.
enum NextStep {
    /// Use it: it is there.
    Available,
    /// Wait for this fetch.
    WaitFor(PendingFetch),
    /// Wait until the next fetch may begin.
    WaitUntil(Instant),
    /// Give up: no further fetch can help.
    GiveUp,
}

/// How long a token waits for the beginning of a fetch, where [`Pace::ask_again_after`] is set to
/// more.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// How often a failed fetch is logged. Anybody can cause fetches, and must not be able to fill a
/// log.
const WARN_EVERY: Duration = Duration::from_secs(60);

impl Cache {
    pub(super) fn fixed(keys: KeySet) -> Self {
        Self { origin: Origin::Fixed(keys), told: Arc::default() }
    }

    pub(super) fn fetched(
        http: Arc<dyn HttpClient>,
        source: Source,
        pace: Pace,
        provider: Provider,
    ) -> Self {
        let fetch = Fetch { http, source, provider, give_up_after: pace.give_up_after };
        let shared =
            Shared { fetch, pace, waiting: ByteSemaphore::default(), state: Mutex::default() };
        Self { origin: Origin::Fetched(Arc::new(shared)), told: Arc::default() }
    }

    /// Whether a key of the provider's signed `jws`.
    ///
    /// # Errors
    /// As [`KeySet::verify`], after one more look at the provider's keys where that can help;
    /// [`Rejected::KeysUnavailable`] if there never were any.
    pub(crate) async fn verify(
        &self,
        jws: &Jws,
        algorithms: &[Algorithm],
        signed_as: &SignedAs<'_>,
    ) -> Result<(), Rejected> {
        let check = |keys: &KeySet| keys.verify(jws, algorithms, signed_as);
        let refused = |keys: Option<&KeySet>, refusal: Rejected| {
            self.warn_of_unusable_key(keys, jws, algorithms, signed_as);
            Err(refusal)
        };
        let shared = match &self.origin {
            Origin::Fixed(keys) => {
                return check(keys).or_else(|refusal| refused(Some(keys), refusal));
            }
            Origin::Fetched(shared) => shared,
        };
        let mut known = shared.state().known.clone();
        let (fetches, mut permit) = (known.fetches, None);
        loop {
            let refusal = match known.keys.as_ref().map(check) {
                Some(Err(refusal @ (Rejected::UnknownKey | Rejected::BadSignature))) => refusal,
                Some(result) => {
                    shared.refresh_if_old();
                    return result;
                }
                None => Rejected::KeysUnavailable,
            };
            if !shared
                .newer_than(known.version, fetches, jws.signing_input().len(), &mut permit)
                .await
            {
                return refused(known.keys.as_ref(), refusal);
            }
            known = shared.state().known.clone();
        }
    }

    /// Logs the key that a refused token names, if the provider has published it but it cannot be
    /// used.
    pub(crate) fn warn_of_unusable_key(
        &self,
        keys: Option<&KeySet>,
        jws: &Jws,
        algorithms: &[Algorithm],
        signed_as: &SignedAs<'_>,
    ) {
        let unusable = keys.and_then(|keys| keys.why_not(jws, algorithms, signed_as));
        if let Some(unusable) = unusable.filter(|_| self.told.is_due()) {
            observe::refused_for_its_key(&unusable);
        }
    }

    /// The `end_session_endpoint` of the provider's discovery document. `None` if it names none, if
    /// there is no such document, or if it cannot be fetched in the time of one fetch.
    pub(crate) async fn end_session_endpoint(&self) -> Option<Url> {
        match &self.origin {
            Origin::Fixed(_) => None,
            Origin::Fetched(shared) => shared.document().await?.end_session_endpoint.clone(),
        }
    }

    /// Starts a fetch if there are no keys and a runtime is at hand, and does not wait for it: then
    /// the first token need not wait. The limit of all fetches applies.
    pub(crate) fn prepare(&self) {
        if let Origin::Fetched(shared) = &self.origin {
            shared.refresh_if_old();
        }
    }
}

impl Shared {
    /// Waits for newer keys than those of `version`, for a token that came when this many `fetches`
    /// had begun: for the fetch that is going on, then for the next one that may begin. `false` if
    /// there are none: a fetch that began after the token came has brought none, or too many tokens
    /// wait.
    async fn newer_than(
        self: &Arc<Self>,
        version: u64,
        fetches: u64,
        token_bytes: usize,
        permit: &mut Option<BytePermit>,
    ) -> bool {
        loop {
            let next = self.next_step(|known| known.version != version, fetches);
            if matches!(next, NextStep::WaitFor(_) | NextStep::WaitUntil(_)) && permit.is_none() {
                *permit = self.waiting.acquire(token_bytes);
                if permit.is_none() {
                    return false;
                }
            }
            match next {
                NextStep::Available => return true,
                NextStep::GiveUp => return false,
                NextStep::WaitFor(fetch) => fetch.wait().await,
                NextStep::WaitUntil(until)
                    if until.saturating_duration_since(Instant::now()) > MAX_WAIT =>
                {
                    return false;
                }
                NextStep::WaitUntil(until) => sleep_until(until).await,
            }
        }
    }

    /// The discovery document; if there is none so far, one that arrives in the time of one fetch.
    async fn document(self: &Arc<Self>) -> Option<Arc<Discovery>> {
        let fetches = self.state().known.fetches;
        let there = async {
            loop {
                match self.next_step(|known| known.document.is_some(), fetches) {
                    NextStep::Available | NextStep::GiveUp => return,
                    NextStep::WaitFor(fetch) => fetch.wait().await,
                    NextStep::WaitUntil(until) => sleep_until(until).await,
                }
            }
        };
        if timeout(self.pace.give_up_after, there).await.is_ok() {
            self.refresh_if_old();
        }
        self.state().known.document.clone()
    }

    /// Starts a fetch if the keys are old, and does not wait for it.
    fn refresh_if_old(self: &Arc<Self>) {
        let state = self.state();
        if state.known.keys_of.is_none_or(|since| since.elapsed() >= self.pace.refresh_every) {
            drop(self.join_or_start(state));
        }
    }

    /// The next step of a task that came when this many `fetches` had begun, and wants what
    /// `is_there` looks for.
    fn next_step(self: &Arc<Self>, is_there: impl Fn(&Known) -> bool, fetches: u64) -> NextStep {
        let state = self.state();
        if is_there(&state.known) {
            return NextStep::Available;
        }
        let is_running = state.pending.as_ref().is_some_and(PendingFetch::is_running);
        if !is_running && state.known.fetches != fetches {
            NextStep::GiveUp
        } else {
            self.join_or_start(state)
        }
    }

    /// Joins the fetch that is going on, or starts one.
    fn join_or_start(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> NextStep {
        if let Some(fetch) = state.pending.as_ref().filter(|fetch| fetch.is_running()) {
            return NextStep::WaitFor(fetch.clone());
        }
        let (now, interval) = (Instant::now(), self.pace.ask_again_after);
        if let Some(begun) =
            state.begun.filter(|begun| now.saturating_duration_since(*begun) < interval)
        {
            // A time that the clock cannot express never comes.
            return begun.checked_add(interval).map_or(NextStep::GiveUp, NextStep::WaitUntil);
        }
        let Ok(runtime) = Handle::try_current() else { return NextStep::GiveUp };
        let (fetch, guard) = PendingFetch::new(now, self.fetch.give_up_after);
        (state.begun, state.pending) = (Some(now), Some(fetch.clone()));
        state.known.fetches += 1;
        drop(state);
        // A task of its own, so that the fetch goes on if the waiting task is dropped.
        runtime.spawn(self.clone().run(now, guard));
        NextStep::WaitFor(fetch)
    }

    async fn run(self: Arc<Self>, begun: Instant, guard: FetchGuard) {
        let fetched = timeout(self.fetch.give_up_after, self.fetch_all(begun))
            .await
            .unwrap_or(Err(Problem::Late));
        self.report(fetched.err());
        drop(guard);
    }

    /// Fetches the document and the keys. The document is kept even if the keys do not come. A
    /// fetch that was given up may end late, and then replaces nothing newer.
    async fn fetch_all(&self, begun: Instant) -> Result<(), Problem> {
        let before = self.state().known.document.clone();
        let found = self.fetch.discover(before.as_deref()).await?;
        if let Some(document) = found.document {
            let known = &mut self.state().known;
            if known.document_of.is_none_or(|newest| newest <= begun) {
                (known.document, known.document_of) = (Some(Arc::new(document)), Some(begun));
            }
        }
        let keys = self.fetch.keys(&found.jwks_uri).await?;
        {
            let known = &mut self.state().known;
            if known.keys_of.is_none_or(|newest| newest <= begun) {
                known.keys_of = Some(begun);
                // The same keys again are no reason to check a signature again.
                if known.keys.as_ref() != Some(&keys) {
                    known.keys = Some(keys);
                    known.version += 1;
                }
            }
        }
        found.problem.map_or(Ok(()), Err)
    }

    /// Counts the fetch, and logs a failure unless one was logged lately.
    fn report(&self, problem: Option<Problem>) {
        let is_logged = {
            let warned_at = &mut self.state().warned_at;
            let is_news = warned_at.is_none_or(|last| last.elapsed() >= WARN_EVERY);
            match &problem {
                None => *warned_at = None,
                Some(_) if is_news => *warned_at = Some(Instant::now()),
                Some(_) => {}
            }
            is_news
        };
        observe::fetched_keys(problem.as_ref(), is_logged);
    }

    #[cfg(test)]
    pub(super) fn version(&self) -> u64 {
        self.state().known.version
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Fixed(keys) => keys.fmt(f),
            Origin::Fetched(shared) => match &shared.state().known.keys {
                Some(keys) => keys.fmt(f),
                None => f.write_str("KeySet(none yet)"),
            },
        }
    }
}
