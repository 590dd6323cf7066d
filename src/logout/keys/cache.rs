//! One provider's keys: fetched by one task at a time, not too often, and kept.
//!
//! What a fetch brings is there before those who wait for it are woken. No lock is held while
//! anybody waits.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openidconnect::url::Url;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until, timeout};

use super::fetch::{Fetch, Problem};
use super::flight::{Flight, Landing, Room, Seat};
use super::{Pace, Source};
use crate::logout::http::HttpClient;
use crate::logout::jose::jws::{Algorithm, Jws};
use crate::logout::jose::key_set::{KeySet, SignedAs};
use crate::logout::keys::discovery::Discovery;
use crate::logout::rejected::Rejected;
use crate::observe::{self, Told};
use crate::openid::Provider;

/// A provider's keys. Clones share them.
#[derive(Clone)]
pub(crate) struct Cache {
    pub(super) origin: Origin,
    /// Of a key that a refused token names.
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
    pub(super) room: Room,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: Known,
    /// When the last fetch began, whatever became of it.
    begun: Option<Instant>,
    flight: Option<Flight>,
    /// When it was last told that a fetch had failed, if none has succeeded since.
    complained: Option<Instant>,
}

/// What was fetched so far.
#[derive(Clone, Default)]
struct Known {
    keys: Option<KeySet>,
    document: Option<Arc<Discovery>>,
    /// How often the keys changed.
    version: u64,
    /// How many fetches have begun.
    fetches: u64,
    /// When the fetches began that brought them.
    keys_of: Option<Instant>,
    document_of: Option<Instant>,
}

enum Turn {
    /// What is wanted is there.
    There,
    /// A fetch is going on.
    Flight(Flight),
    /// The next one may begin then.
    Early(Instant),
    /// There is nothing to wait for.
    Over,
}

/// How long a token waits for the beginning of a fetch, where [`Pace::ask_again_after`] is set to
/// more.
const EARLY_BY_AT_MOST: Duration = Duration::from_secs(30);
/// How often it is told that fetches fail. They are strangers' to cause, a log is not theirs to
/// fill.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

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
        let shared = Shared { fetch, pace, room: Room::default(), state: Mutex::default() };
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
        let told = |keys: Option<&KeySet>, refusal: Rejected| {
            self.tell_why_not(keys, jws, algorithms, signed_as);
            Err(refusal)
        };
        let shared = match &self.origin {
            Origin::Fixed(keys) => return check(keys).or_else(|refusal| told(Some(keys), refusal)),
            Origin::Fetched(shared) => shared,
        };
        let mut known = shared.state().known.clone();
        let (fetches, mut seat) = (known.fetches, None);
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
                .newer_than(known.version, fetches, jws.signing_input().len(), &mut seat)
                .await
            {
                return told(known.keys.as_ref(), refusal);
            }
            known = shared.state().known.clone();
        }
    }

    /// Tells of the key that a refused token names, if the provider has published it but it cannot
    /// be used.
    pub(crate) fn tell_why_not(
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

    /// Where the provider's discovery document has users sign out. `None` if it does not say so, if
    /// there is no such document, or if it cannot be had in the time of one fetch.
    pub(crate) async fn end_session_endpoint(&self) -> Option<Url> {
        match &self.origin {
            Origin::Fixed(_) => None,
            Origin::Fetched(shared) => shared.document().await?.end_session_endpoint.clone(),
        }
    }

    /// Has the keys fetched, if there are none and this is a runtime, and waits for nothing: the
    /// first token then need not wait. At most as often as all fetches.
    pub(crate) fn prepare(&self) {
        if let Origin::Fetched(shared) = &self.origin {
            shared.refresh_if_old();
        }
    }
}

impl Shared {
    /// Waits for newer keys than those of `version`, for a token that came when so many `fetches`
    /// had begun: for the fetch that is going on, then for the next one that may begin. False if
    /// there are none: a fetch that began after the token came has brought none, or the room is
    /// full.
    async fn newer_than(
        self: &Arc<Self>,
        version: u64,
        fetches: u64,
        token_bytes: usize,
        seat: &mut Option<Seat>,
    ) -> bool {
        loop {
            let turn = self.turn(|known| known.version != version, fetches);
            if matches!(turn, Turn::Flight(_) | Turn::Early(_)) && seat.is_none() {
                *seat = self.room.enter(token_bytes);
                if seat.is_none() {
                    return false;
                }
            }
            match turn {
                Turn::There => return true,
                Turn::Over => return false,
                Turn::Flight(flight) => flight.wait().await,
                Turn::Early(until)
                    if until.saturating_duration_since(Instant::now()) > EARLY_BY_AT_MOST =>
                {
                    return false;
                }
                Turn::Early(until) => sleep_until(until).await,
            }
        }
    }

    /// The discovery document; if there is none so far, what can be had in the time of one fetch.
    async fn document(self: &Arc<Self>) -> Option<Arc<Discovery>> {
        let fetches = self.state().known.fetches;
        let there = async {
            loop {
                match self.turn(|known| known.document.is_some(), fetches) {
                    Turn::There | Turn::Over => return,
                    Turn::Flight(flight) => flight.wait().await,
                    Turn::Early(until) => sleep_until(until).await,
                }
            }
        };
        if timeout(self.pace.give_up_after, there).await.is_ok() {
            self.refresh_if_old();
        }
        self.state().known.document.clone()
    }

    /// Has keys of some age fetched again, and waits for nothing.
    fn refresh_if_old(self: &Arc<Self>) {
        let state = self.state();
        if state.known.keys_of.is_none_or(|since| since.elapsed() >= self.pace.refresh_every) {
            drop(self.take_off(state));
        }
    }

    /// What to wait for, for whoever came when so many `fetches` had begun and wants what
    /// `is_there` looks for.
    fn turn(self: &Arc<Self>, is_there: impl Fn(&Known) -> bool, fetches: u64) -> Turn {
        let state = self.state();
        if is_there(&state.known) {
            return Turn::There;
        }
        let is_flying = state.flight.as_ref().is_some_and(Flight::is_in_the_air);
        if !is_flying && state.known.fetches != fetches { Turn::Over } else { self.take_off(state) }
    }

    /// The fetch that is going on, or one that begins now.
    fn take_off(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> Turn {
        if let Some(flight) = state.flight.as_ref().filter(|flight| flight.is_in_the_air()) {
            return Turn::Flight(flight.clone());
        }
        let (now, interval) = (Instant::now(), self.pace.ask_again_after);
        if let Some(begun) =
            state.begun.filter(|begun| now.saturating_duration_since(*begun) < interval)
        {
            // What is too far off for the clock is never.
            return begun.checked_add(interval).map_or(Turn::Over, Turn::Early);
        }
        let Ok(runtime) = Handle::try_current() else { return Turn::Over };
        let (flight, landing) = Flight::new(now, self.fetch.give_up_after);
        (state.begun, state.flight) = (Some(now), Some(flight.clone()));
        state.known.fetches += 1;
        drop(state);
        // A task of its own: whoever asked may hang up.
        runtime.spawn(self.clone().fly(now, landing));
        Turn::Flight(flight)
    }

    async fn fly(self: Arc<Self>, begun: Instant, landing: Landing) {
        let fetched = timeout(self.fetch.give_up_after, self.bring(begun))
            .await
            .unwrap_or(Err(Problem::Late));
        self.tell(fetched.err());
        drop(landing);
    }

    /// Fetches what there is to know. What came stays, also if what should follow does not come. A
    /// flight that was given up may land late, and then replaces nothing that is newer.
    async fn bring(&self, begun: Instant) -> Result<(), Problem> {
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
                // The same again are no reason to check a signature again.
                if known.keys.as_ref() != Some(&keys) {
                    known.keys = Some(keys);
                    known.version += 1;
                }
            }
        }
        found.problem.map_or(Ok(()), Err)
    }

    fn tell(&self, problem: Option<Problem>) {
        let is_told = {
            let complained = &mut self.state().complained;
            let is_news = complained.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY);
            match &problem {
                None => *complained = None,
                Some(_) if is_news => *complained = Some(Instant::now()),
                Some(_) => {}
            }
            is_news
        };
        observe::fetched_keys(problem.as_ref(), is_told);
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
