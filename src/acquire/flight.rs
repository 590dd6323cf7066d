//! Who does a piece of work that many want, and who waits for it: one at a time for a key, and a
//! result for all.
//!
//! A *place* is taken by one leader at a time. Who comes meanwhile gets a ticket, and waits with
//! it: blocking its thread, or as a future that needs no particular runtime. The place is free
//! before the outcome can be seen, so that nobody who looks again finds it taken by what is over. A
//! leader that goes without landing (a panic, a dropped task) frees the place too, and says so.
//!
//! Nothing here knows of tokens. No lock is held while anybody works or waits.

use std::collections::HashMap;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::platform::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// All places of one store. `K` is what there is one of at a time, `E` the errand that its holder
/// is on, `T` what comes of it.
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

/// Tells flights apart, of all stores of the process and for as long as it lives. Later flights
/// have higher numbers.
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
        let flight =
            Arc::new(Flight { number: Number::fresh(), errand, state, landed: Condvar::new() });
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
    /// No flight that takes off from now on has a lower one, and none that is in the air or over
    /// has this or a higher one.
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

/// A place that is taken. Dropped without [`land`](Self::land), it is free again, and those who
/// wait learn that nothing came.
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
    #[cfg(feature = "tokio")]
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
            let is_mine =
                places.taken.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight));
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

/// To wait with for somebody else's outcome: `None` if that leader went without landing. Dropping
/// it stops waiting.
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
                Some(left) => {
                    landed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
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
        // Not under the lock: dropping a waker may drop the task that it wakes, and with it another
        // ticket.
        drop(replaced);
        Poll::Pending
    }
}

impl<E, T> Drop for Ticket<E, T> {
    fn drop(&mut self) {
        let Some(mine) = self.waker else { return };
        let unused = match &mut *lock(&self.flight.state) {
            State::Waiting { wakers, .. } => {
                wakers.iter().position(|(id, _)| *id == mine).map(|at| wakers.swap_remove(at))
            }
            State::Over(_) => None,
        };
        // Not under the lock, as above.
        drop(unused);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    type F = Flights<u8, &'static str, u32>;
    const LONG: Duration = Duration::from_secs(60);

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn mine(flights: &Arc<F>, key: u8) -> Place<u8, &'static str, u32> {
        match flights.board(key, "errand") {
            Turn::Mine(place) => place,
            Turn::Theirs(_) => panic!("the place is taken"),
        }
    }

    fn theirs(flights: &Arc<F>, key: u8) -> Ticket<&'static str, u32> {
        match flights.board(key, "other") {
            Turn::Theirs(ticket) => ticket,
            Turn::Mine(_) => panic!("the place is free"),
        }
    }

    #[test]
    fn one_leads_the_others_get_what_comes_and_the_place_is_free_before() {
        let flights = F::new();
        let place = mine(&flights, 1);
        assert!(flights.is_taken(&1) && !flights.is_taken(&2));
        let other = mine(&flights, 2);
        assert!(place.number() < other.number() && other.number() < Number::next());
        let tickets: Vec<_> = (0..8).map(|_| theirs(&flights, 1)).collect();
        assert!(
            tickets
                .iter()
                .all(|ticket| ticket.number() == place.number() && *ticket.errand() == "errand")
        );
        std::thread::scope(|scope| {
            for ticket in tickets {
                let flights = &flights;
                scope.spawn(move || {
                    assert_eq!(ticket.wait(LONG), Ok(Some(7)));
                    assert!(!flights.is_taken(&1));
                });
            }
            place.land(7);
        });
        drop(other);
        assert_eq!(flights.len(), 0);
    }

    #[test]
    fn a_leader_that_panics_frees_the_place_and_says_so() {
        let flights = F::new();
        let place = mine(&flights, 1);
        let ticket = theirs(&flights, 1);
        let panicked = std::thread::spawn(move || {
            let _place = place;
            panic!("its own");
        });
        assert_eq!(ticket.wait(LONG), Ok(None));
        assert!(panicked.join().is_err() && flights.len() == 0);
        mine(&flights, 1).land(1);
    }

    #[test]
    fn who_waits_too_long_goes_and_the_flight_goes_on() {
        let flights = F::new();
        let place = mine(&flights, 1);
        assert_eq!(theirs(&flights, 1).wait(Duration::ZERO), Err(TimedOut));
        assert_eq!(theirs(&flights, 1).wait(Duration::from_nanos(1)), Err(TimedOut));
        let patient = theirs(&flights, 1);
        place.land(3);
        // What is over is over, also for who has no time; and for ever is no overflow.
        assert_eq!(patient.wait(Duration::MAX), Ok(Some(3)));
    }

    #[test]
    fn futures_are_woken_once_by_their_newest_waker_and_dropped_ones_not_at_all() {
        let flights = F::new();
        let place = mine(&flights, 1);
        let wakers: [Arc<Count>; 3] = Default::default();
        let [old, new, dropped] = wakers.clone().map(Waker::from);
        let mut waiting = pin!(theirs(&flights, 1));
        for waker in [&old, &old, &new] {
            assert!(waiting.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        }
        {
            let mut gone = pin!(theirs(&flights, 1));
            assert!(gone.as_mut().poll(&mut Context::from_waker(&dropped)).is_pending());
        }
        place.land(9);
        assert_eq!(wakers.each_ref().map(|count| count.0.load(Ordering::SeqCst)), [0, 1, 0]);
        assert_eq!(waiting.as_mut().poll(&mut Context::from_waker(&new)), Poll::Ready(Some(9)));
    }

    /// Hole: dropping a waker can drop the task it wakes, and with it another ticket of the same
    /// flight.
    #[test]
    fn a_waker_that_holds_another_ticket_may_be_dropped_anywhere() {
        struct Task {
            _ticket: Mutex<Option<Ticket<&'static str, u32>>>,
        }
        impl Wake for Task {
            fn wake(self: Arc<Self>) {}
        }
        let flights = F::new();
        let place = mine(&flights, 1);
        let task = |polled: bool| {
            let mut ticket = theirs(&flights, 1);
            if polled {
                let poll = Pin::new(&mut ticket).poll(&mut Context::from_waker(Waker::noop()));
                assert!(poll.is_pending());
            }
            Waker::from(Arc::new(Task { _ticket: Mutex::new(Some(ticket)) }))
        };
        // Replaced by a newer one, dropped with its ticket, and woken.
        let mut waiting = theirs(&flights, 1);
        assert!(Pin::new(&mut waiting).poll(&mut Context::from_waker(&task(true))).is_pending());
        assert!(Pin::new(&mut waiting).poll(&mut Context::from_waker(&task(true))).is_pending());
        drop(waiting);
        let mut waiting = theirs(&flights, 1);
        assert!(Pin::new(&mut waiting).poll(&mut Context::from_waker(&task(true))).is_pending());
        place.land(1);
    }
}
