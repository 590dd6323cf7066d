//! Plans against a place that is elsewhere: look, plan, change; and again if something came in
//! between.

use std::io;
use std::time::Duration;

use super::Sight;
use super::exchange::{Answer, Ask, Change, Changed, Exchange, ExchangeError, Guard};
use crate::engine::Durability;
use crate::model::error::{Component, Error, Result};
use crate::model::position::Position;
use crate::model::time::Millis;
use crate::platform::sync::atomic::{AtomicU64, Ordering};
use crate::platform::sync::{
    Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, TryLockError, thread,
};
use crate::rows::cipher::Rows;

/// How often a plan may ask for more than it has seen. (A sign-in asks twice: for its account, then
/// for the fences of the sign-ins that it found there.)
const MOST_LOOKS: usize = 16;

/// How often a change is tried beside others of the same account.
const MOST_TRIES: usize = 64;

/// How long, and how often, the turn of those who try again is waited for.
const WAIT: Duration = Duration::from_micros(200);
const WAITS: usize = 5000;

/// So many accounts can be tried again at a time.
const STRIPES: usize = 64;

/// How often an exchange is sent again that brought no answer.
pub(crate) const MOST_LOST: usize = 3;

/// A place that other instances share, and the keys of its rows.
pub(crate) struct Remote {
    /// `None` once closed.
    place: RwLock<Option<Box<dyn Exchange>>>,
    pub(crate) rows: Rows,
    is_near: bool,
    again: Box<[Mutex<()>]>,
    /// The highest position that was seen. The place never shows less, also after a crash.
    seen: AtomicU64,
}

/// What became of earlier tries of the same change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tried {
    /// There was none.
    Never,
    /// It was refused. (A request that was delivered twice is refused the second time, after it was
    /// carried out the first time.)
    Refused,
    /// No answer came: it was carried out or not.
    Lost,
}

impl Remote {
    #[cfg_attr(
        not(any(feature = "test-util", all(unix, feature = "sqlite"))),
        expect(dead_code, reason = "a feature brings one")
    )]
    pub(crate) fn new(place: Box<dyn Exchange>, rows: Rows) -> Self {
        let is_near = place.is_near();
        Self {
            place: RwLock::new(Some(place)),
            rows,
            is_near,
            again: (0..STRIPES).map(|_| Mutex::default()).collect(),
            seen: AtomicU64::new(0),
        }
    }

    /// Whether a plan asks as it goes.
    pub(crate) fn is_near(&self) -> bool {
        self.is_near
    }

    /// # Errors
    /// `Closed`.
    pub(crate) fn enter(&self) -> Result<()> {
        if self.place().is_some() { Ok(()) } else { Err(Error::Closed) }
    }

    /// Waits for all exchanges, and lets the place go.
    pub(crate) fn shut(&self) {
        drop(self.place.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// One exchange of the place itself.
    pub(crate) fn with<T>(&self, exchange: impl FnOnce(&dyn Exchange) -> Answer<T>) -> Answer<T> {
        match &*self.place() {
            Some(place) => exchange(&**place),
            None => Err(ExchangeError::Here(Box::new(Error::Closed))),
        }
    }

    /// An operation on all of the place.
    ///
    /// # Errors
    /// `Closed`; `InvalidInput` if it is no folder of this machine; and those of the work.
    #[cfg(all(unix, feature = "sqlite"))]
    pub(crate) fn operate<T>(
        &self,
        work: impl FnOnce(&dyn super::operate::Operate) -> Result<T>,
    ) -> Result<T> {
        match &*self.place() {
            Some(place) => work(place.operate().ok_or_else(elsewhere)?),
            None => Err(Error::Closed),
        }
    }

    fn place(&self) -> RwLockReadGuard<'_, Option<Box<dyn Exchange>>> {
        self.place.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks once.
    ///
    /// # Errors
    /// `Io` if the place cannot be reached; `Damaged` if it has gone back to an earlier state.
    pub(crate) fn look(&self, ask: Ask) -> Result<Sight<'static>> {
        // Known before it looks: what another thread ends meanwhile may be missing.
        let known = self.known();
        let seen = patiently(|| self.with(|place| place.look(&ask)))?;
        self.check_end(known, seen.ledger.end)?;
        Ok(Sight::new(ask, seen))
    }

    /// Looks once, at what of it a place that is near has at a glance: the plan asks for the rest as
    /// it goes.
    fn look_near(&self, ask: Ask) -> Result<Sight<'static>> {
        let ask = Ask { scopes: Vec::new(), ..ask };
        let known = self.known();
        match patiently(|| self.with(|place| place.glance(&ask)))? {
            Some(seen) => {
                self.check_end(known, seen.ledger.end)?;
                Ok(Sight::new(ask, seen))
            }
            None => self.look(Ask::default()),
        }
    }

    /// The highest position that was seen.
    pub(crate) fn known(&self) -> Position {
        Position::new(self.seen.load(Ordering::Acquire))
    }

    /// Notes the end that an exchange has shown, before which `known` was known.
    ///
    /// # Errors
    /// `Damaged` if the place has gone back to an earlier state.
    pub(crate) fn check_end(&self, known: Position, end: Position) -> Result<()> {
        if end < known {
            let problem = "it went back: sign-outs are missing that this process knows of";
            return Err(Error::damaged(Component::Ledger, problem));
        }
        self.has_seen(end);
        Ok(())
    }

    /// Notes a position: the place must never show less.
    fn has_seen(&self, position: Position) {
        self.seen.fetch_max(position.get(), Ordering::AcqRel);
    }

    /// Makes durable what can be seen now.
    ///
    /// # Errors
    /// As [`Remote::look`].
    pub(crate) fn flush(&self) -> Result<()> {
        self.read(Ask::default(), |sight| self.settle(sight))
    }

    /// Returns when what this sight shows is durable. If the place has crashed since, the sight
    /// counts as stale: what comes of it is thrown away.
    ///
    /// # Errors
    /// `Io` if the place cannot be reached.
    pub(crate) fn settle(&self, sight: &Sight<'_>) -> Result<()> {
        if sight.is_in_turn() {
            // Nobody waits for the disk in a turn: it is planned once more without one.
            sight.is_stale_if(true);
            return Ok(());
        }
        let is_same = patiently(|| self.with(|place| place.flush(sight.ledger.incarnation)))?;
        sight.is_stale_if(!is_same);
        Ok(())
    }

    /// Records an opening, if the place needs one now. What was seen before counts as stale then:
    /// also if another thread has recorded one since, as an as-of of now lies behind all openings
    /// that were seen.
    ///
    /// # Errors
    /// `Full`, `Io`.
    pub(crate) fn begin(&self, now: Millis, sight: Option<&Sight<'_>>) -> Result<()> {
        let is_blind = sight.is_some_and(|sight| !sight.ledger.openings.has_current());
        if let Some(sight) = sight.filter(|sight| sight.is_in_turn()) {
            // As for what is to be durable. (And nobody enters the place twice: who closes it would
            // be waited for.)
            let has_begun = sight.ledger.has_begun && !is_blind;
            sight.is_stale_if(!has_begun);
            return Ok(());
        }
        let has_begun = patiently(|| self.with(|place| place.begin(now)))?;
        if let Some(sight) = sight {
            sight.is_stale_if(has_begun || is_blind);
        }
        Ok(())
    }

    /// Gives `plan` what it asks for, all of one moment. `ask` is what it is known to ask for.
    ///
    /// # Errors
    /// As [`Remote::look`], and those of the plan.
    pub(crate) fn read<T>(&self, ask: Ask, plan: impl FnMut(&Sight<'_>) -> Result<T>) -> Result<T> {
        self.plan(ask, Tried::Never, plan)
    }

    fn plan<T>(
        &self,
        mut ask: Ask,
        tried: Tried,
        mut plan: impl FnMut(&Sight<'_>) -> Result<T>,
    ) -> Result<T> {
        for _ in 0..MOST_LOOKS {
            let sight = if self.is_near { self.look_near(ask)? } else { self.look(ask)? };
            let sight = sight.behind(tried);
            let planned = plan(&sight);
            let is_stale = sight.is_stale();
            if let Some(failure) = sight.take_failure() {
                return Err(failure);
            }
            // What came of it, error or not, came of not having seen this.
            ask = match sight.asks_for_more() {
                // It asks as it goes.
                (_, true) if self.is_near => Ask::default(),
                (more, true) => more,
                (same, false) if is_stale => same,
                _ => return planned,
            };
        }
        Err(busy())
    }

    /// The turn of those who try again, of some accounts.
    fn turn_of(&self, change: &Change) -> Option<&Mutex<()>> {
        let (Guard::Row(key, _) | Guard::NoneUnder(key)) = change.guards.first()?;
        let sum = key
            .iter()
            .fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        self.again.get(sum % self.again.len().max(1))
    }

    /// Plans a change and writes it, again and again until nothing came in between. A place that is
    /// near does both in one turn, if that is wanted.
    ///
    /// # Errors
    /// As [`Remote::read`]; `Io` if no answer came: then the change was made or not.
    pub(crate) fn change<T>(
        &self,
        ask: Ask,
        is_in_turn: bool,
        mut plan: impl FnMut(&Sight<'_>) -> Result<(T, Option<Change>)>,
    ) -> Result<T> {
        let (mut lost, mut tried, mut owed) = (0, Tried::Never, None::<Durability>);
        if is_in_turn && self.is_near {
            match self.change_in_turn(&mut plan)? {
                Ok(Some(told)) => return Ok(told),
                Ok(None) => {}
                Err(ExchangeError::NotSent) => lost = 1,
                Err(ExchangeError::Unknown) => (lost, tried) = (1, Tried::Lost),
                Err(error) => return Err(error_of(error)),
            }
        }
        // Who was refused once tries again alone among the threads of this process: where many
        // change one account, each would be refused again and again.
        let mut alone = None;
        for _ in 0..MOST_TRIES {
            let planned = self.plan(ask.clone(), tried, |sight| {
                let (told, change) = plan(sight)?;
                let change = change.filter(|change| {
                    owed = owed.max(change.durability);
                    !change.rows.is_empty()
                });
                if change.is_none() && owed.is_some() {
                    // What is there, by an earlier try or by another instance, may not be durable.
                    self.settle(sight)?;
                }
                let unless = (sight.scopes(), sight.ledger.end);
                let incarnation = sight.ledger.incarnation;
                Ok((told, change.map(|change| Change { unless, incarnation, ..change })))
            });
            let (told, change) = match planned {
                Ok((told, None)) => return Ok(told),
                Ok((told, Some(change))) => (told, Change { durability: owed, ..change }),
                // Not: nothing was done.
                Err(Error::Io { .. }) if tried > Tried::Never => {
                    return Err(error_of(ExchangeError::Unknown));
                }
                Err(error) => return Err(error),
            };
            match self.with(|place| place.change(&change)) {
                Ok(Changed::Done) => return Ok(told),
                Ok(Changed::Guard | Changed::Fenced) => {
                    tried = tried.max(Tried::Refused);
                    if alone.is_none() {
                        alone = self.turn_of(&change).and_then(wait_for);
                    }
                }
                // The next plan sees what was written: each is such that it can be made twice.
                Err(ExchangeError::NotSent) if lost < MOST_LOST => lost += 1,
                Err(ExchangeError::Unknown) if lost < MOST_LOST => {
                    (lost, tried) = (lost + 1, Tried::Lost);
                }
                Err(error @ ExchangeError::Here(_)) => return Err(error_of(error)),
                Err(_) if tried > Tried::Never => return Err(error_of(ExchangeError::Unknown)),
                Err(error) => return Err(error_of(error)),
            }
        }
        Err(busy())
    }

    /// Plans a change and writes it in one turn of the place. `None` if that takes more: then nothing
    /// was done.
    ///
    /// # Errors
    /// Those of the plan.
    fn change_in_turn<T>(
        &self,
        plan: &mut impl FnMut(&Sight<'_>) -> Result<(T, Option<Change>)>,
    ) -> Result<Answer<Option<T>>> {
        let known = self.known();
        let (mut planned, mut has_change) = (None, false);
        let changed = self.with(|place| {
            place.change_in_turn(&mut |seen| {
                (planned, has_change) = (None, false);
                if let Err(error) = self.check_end(known, seen.ledger.end) {
                    planned = Some(Err(error));
                    return None;
                }
                let sight = Sight::new(Ask::default(), seen);
                let told = plan(&sight);
                if sight.take_failure().is_some() || sight.is_stale() {
                    return None;
                }
                let (told, change) = match told {
                    Ok(told) => told,
                    Err(error) => {
                        planned = Some(Err(error));
                        return None;
                    }
                };
                let Change { rows, durability, .. } = change.unwrap_or_default();
                if rows.is_empty() {
                    // What is there already may not be durable: that is waited for without a turn.
                    planned = durability.is_none().then_some(Ok(told));
                    return None;
                }
                (planned, has_change) = (Some(Ok(told)), true);
                let unless = (sight.scopes(), sight.ledger.end);
                Some(Change { rows, durability, unless, ..Change::default() })
            })
        });
        match (changed, planned) {
            (Err(error), _) => Ok(Err(error)),
            (Ok(Some(Changed::Done)), Some(planned)) => planned.map(|told| Ok(Some(told))),
            (Ok(None), Some(planned)) if !has_change => planned.map(|told| Ok(Some(told))),
            (Ok(_), _) => Ok(Ok(None)),
        }
    }
}

/// The turn of those who try again; `None` if it does not come: it only helps.
fn wait_for(turn: &Mutex<()>) -> Option<MutexGuard<'_, ()>> {
    for _ in 0..WAITS {
        match turn.try_lock() {
            Ok(got) => return Some(got),
            Err(TryLockError::Poisoned(got)) => return Some(got.into_inner()),
            Err(TryLockError::WouldBlock) => thread::sleep(WAIT),
        }
    }
    None
}

/// Sends an exchange again that changes nothing.
pub(crate) fn patiently<T>(mut exchange: impl FnMut() -> Answer<T>) -> Result<T> {
    for _ in 0..MOST_LOST {
        match exchange() {
            Err(ExchangeError::NotSent | ExchangeError::Unknown) => {}
            answer => return answer.map_err(error_of),
        }
    }
    exchange().map_err(error_of)
}

pub(crate) fn error_of(error: ExchangeError) -> Error {
    match error {
        ExchangeError::Full => Error::Full(Component::Engine),
        ExchangeError::Here(error) => *error,
        ExchangeError::NotSent => {
            let action = "reach the shared store; nothing was done, so try again";
            Error::io(action)(io::ErrorKind::NotConnected.into())
        }
        ExchangeError::Unknown => {
            let action = "get the shared store's answer; it was done or not, so try again";
            Error::io(action)(io::ErrorKind::TimedOut.into())
        }
    }
}

/// As [`error_of`], for a sign-out.
pub(crate) fn sign_out_error(error: ExchangeError) -> Error {
    match error {
        ExchangeError::Full => Error::Full(Component::Ledger),
        ExchangeError::Unknown => Error::Indeterminate(io::ErrorKind::TimedOut.into()),
        ExchangeError::NotSent | ExchangeError::Here(_) => error_of(error),
    }
}

#[cfg(all(unix, feature = "sqlite"))]
fn elsewhere() -> Error {
    Error::invalid("store", "it is shared: its place has means of its own for this")
}

fn busy() -> Error {
    let action = "change an account that others change all the time; try again";
    Error::io(action)(io::ErrorKind::ResourceBusy.into())
}

#[cfg(all(test, unix, feature = "sqlite", feature = "test-util"))]
mod tests {
    use crate::backend::Backend;
    use crate::backend::exchange::Ask;
    use crate::model::time::Millis;
    use crate::{AccountId, Builder, KeySource, SignIn, TenantId, TokenStore};

    // Else its as-of lies behind the opening that it saw, and the sign-in is dead when it is told.
    #[test]
    fn a_sign_in_that_looked_before_another_thread_recorded_the_opening_looks_again() {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let builder = || -> Builder {
            let key = KeySource::bytes([7; 32]);
            TokenStore::builder(folder.path().join("tokens")).sqlite().key(key)
        };
        // An opening, which ends with its process.
        let store = builder().open().unwrap();
        let account = AccountId::new("login.example.com", "user").unwrap();
        store.sign_in(SignIn::new(account, TenantId::new("contoso").unwrap())).unwrap();
        store.close().unwrap();

        let store = builder().open().unwrap();
        let Backend::Remote(remote) = &store.core().backend else { unreachable!() };
        let (now, mut looks) = (Millis::new(5), 0);
        let has_current = remote.read(Ask::default(), |sight| {
            looks += 1;
            if looks == 1 {
                remote.begin(now, None)?; // the other thread
            }
            remote.begin(now, Some(sight))?;
            Ok(sight.ledger.openings.has_current())
        });
        assert_eq!((has_current.unwrap(), looks), (true, 2));
    }
}
