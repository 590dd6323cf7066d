//! Who does a piece of work that many want, and who waits for it: one at a time for a key, and a result for all.
//!
//! A *place* is taken by one leader at a time. Who comes meanwhile gets a ticket, and waits with it: blocking its thread, or as a future that
//! needs no particular runtime. The place is free before the outcome can be seen, so that nobody who looks again finds it taken by what is
//! over. A leader that goes without landing (a panic, a dropped task) frees the place too, and says so.
//!
//! Nothing here knows of tokens. No lock is held while anybody works or waits.

use std::collections::HashMap;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// All places of one store. `K` is what there is one of at a time, `E` the errand that its holder is on, `T` what comes of it.
pub(crate) struct Flights<K, E, T> {
    places: Mutex<Places<K, E, T>>,
}

struct Places<K, E, T> {
    taken: HashMap<K, Arc<Flight<E, T>>>,
}

struct Flight<E, T> {
    number: Number,
    errand: E,
    state: Mutex<State<T>>,
    landed: Condvar,
}

/// Tells flights apart, of all stores of the process and for as long as it lives. Later flights have higher numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number(u64);

// Not one of the model checker's: what is written beside it decides nothing.
static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

enum State<T> {
    /// In the air, with those who want to be woken.
    Waiting { wakers: Vec<(u64, Waker)>, next: u64 },
    /// Over. `None`: the leader went without landing.
    Over(Option<T>),
}

/// What [`Flights::board`] gives.
pub(crate) enum Turn<K: Eq + Hash, E, T> {
    /// The place is the caller's, who now does the work.
    Mine(Place<K, E, T>),
    /// Somebody else has it.
    Theirs(Ticket<E, T>),
}

impl<K: Eq + Hash + Clone, E, T> Flights<K, E, T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { places: Mutex::new(Places { taken: HashMap::new() }) })
    }

    /// Takes the place, if it is free.
    pub(crate) fn board(self: &Arc<Self>, key: K, errand: E) -> Turn<K, E, T> {
        let mut places = lock(&self.places);
        if let Some(flight) = places.taken.get(&key) {
            return Turn::Theirs(Ticket { flight: flight.clone(), waker: None });
        }
        let state = Mutex::new(State::Waiting { wakers: Vec::new(), next: 0 });
        let flight = Arc::new(Flight { number: Number::fresh(), errand, state, landed: Condvar::new() });
        places.taken.insert(key.clone(), flight.clone());
        Turn::Mine(Place { flights: self.clone(), key, flight })
    }

    /// Whether somebody has the place.
    pub(crate) fn is_taken(&self, key: &K) -> bool {
        lock(&self.places).taken.contains_key(key)
    }

    /// How many places are taken.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.places).taken.len()
    }
}

impl Number {
    /// No flight that takes off from now on has a lower one, and none that is in the air or over has this or a higher one.
    pub(crate) fn next() -> Self {
        Self(NEXT.load(std::sync::atomic::Ordering::SeqCst))
    }

    fn fresh() -> Self {
        Self(NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
    }
}

/// Nothing came in time. The flight goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimedOut;

/// A place that is taken. Dropped without [`land`](Self::land), it is free again, and those who wait learn that nothing came.
pub(crate) struct Place<K: Eq + Hash, E, T> {
    flights: Arc<Flights<K, E, T>>,
    key: K,
    flight: Arc<Flight<E, T>>,
}

impl<K: Eq + Hash, E, T> Place<K, E, T> {
    pub(crate) fn number(&self) -> Number {
        self.flight.number
    }

    /// To wait for one's own flight, when somebody else is going to lead it.
    pub(crate) fn ticket(&self) -> Ticket<E, T> {
        Ticket { flight: self.flight.clone(), waker: None }
    }

    /// Frees the place and gives the outcome to all who wait.
    pub(crate) fn land(self, outcome: T) {
        self.end(Some(outcome));
        // What is left to the drop finds the flight over.
    }

    fn end(&self, outcome: Option<T>) {
        // The order matters: who sees the outcome and looks again must find the place free.
        let freed = {
            let mut places = lock(&self.flights.places);
            let is_mine = places.taken.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight));
            if is_mine { places.taken.remove(&self.key) } else { None }
        };
        drop(freed);
        let wakers = {
            let mut state = lock(&self.flight.state);
            match &mut *state {
                State::Over(_) => return,
                State::Waiting { wakers, .. } => {
                    let wakers = std::mem::take(wakers);
                    *state = State::Over(outcome);
                    wakers
                }
            }
        };
        self.flight.landed.notify_all();
        // Not under the lock: a waker may run the task that looks.
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl<K: Eq + Hash, E, T> Drop for Place<K, E, T> {
    fn drop(&mut self) {
        self.end(None);
    }
}

/// To wait with for somebody else's outcome: `None` if that leader went without landing. Dropping it stops waiting.
pub(crate) struct Ticket<E, T> {
    flight: Arc<Flight<E, T>>,
    waker: Option<u64>,
}

impl<E, T> Ticket<E, T> {
    pub(crate) fn number(&self) -> Number {
        self.flight.number
    }

    /// What the leader is working on.
    pub(crate) fn errand(&self) -> &E {
        &self.flight.errand
    }

    /// Waits, blocking the thread.
    ///
    /// # Errors
    /// `TimedOut` if that takes longer than `at_most`.
    pub(crate) fn wait(self, at_most: Duration) -> Result<Option<T>, TimedOut>
    where
        T: Clone,
    {
        // What is too far off for the clock is never.
        let end = Instant::now().checked_add(at_most);
        let mut state = lock(&self.flight.state);
        loop {
            if let State::Over(outcome) = &*state {
                return Ok(outcome.clone());
            }
            let landed = &self.flight.landed;
            state = match end.map(|end| end.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return Err(TimedOut),
                Some(left) => landed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => landed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl<E, T: Clone> Future for Ticket<E, T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let me = self.get_mut();
        let mut state = lock(&me.flight.state);
        let (wakers, next) = match &mut *state {
            State::Over(outcome) => return Poll::Ready(outcome.clone()),
            State::Waiting { wakers, next } => (wakers, next),
        };
        let waker = context.waker();
        let replaced = match wakers.iter_mut().find(|(id, _)| Some(*id) == me.waker) {
            Some((_, mine)) if mine.will_wake(waker) => None,
            Some((_, mine)) => Some(std::mem::replace(mine, waker.clone())),
            None => {
                me.waker = Some(*next);
                wakers.push((*next, waker.clone()));
                *next += 1;
                None
            }
        };
        drop(state);
        // Not under the lock: dropping a waker may drop the task that it wakes, and with it another ticket.
        drop(replaced);
        Poll::Pending
    }
}

impl<E, T> Drop for Ticket<E, T> {
    fn drop(&mut self) {
        let Some(mine) = self.waker else { return };
        let unused = match &mut *lock(&self.flight.state) {
            State::Waiting { wakers, .. } => wakers.iter().position(|(id, _)| *id == mine).map(|at| wakers.swap_remove(at)),
            State::Over(_) => None,
        };
        // Not under the lock, as above.
        drop(unused);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
