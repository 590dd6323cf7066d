//! Single flight: one caller does a piece of work, and the callers that want the same meanwhile
//! wait for its result. There is one flight at a time for a key.
//!
//! The first caller for a key is the *leader* and does the work. A caller that joins meanwhile is a
//! *waiter*: it blocks its thread, or it is a future that needs no particular runtime. A flight
//! leaves the table before its outcome can be seen, so that a caller that looks again never finds
//! the key taken by a flight that is over. A leader that is dropped without completing (a panic, a
//! dropped task) frees the key too, and its waiters learn that nothing came.
//!
//! Nothing here knows of tokens. No lock is held while a caller works or waits.

use std::collections::HashMap;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::platform::sync::{Arc, Condvar, Mutex, PoisonError, lock};

/// All flights of one store that are not over. There is one at a time for each `K`; `R` is the
/// leader's request, and `T` the outcome.
pub(crate) struct SingleFlight<K, R, T> {
    flights: Mutex<HashMap<K, Arc<Flight<R, T>>>>,
}

struct Flight<R, T> {
    id: FlightId,
    request: R,
    state: Mutex<State<T>>,
    completed: Condvar,
}

/// Identifies a flight among those of all stores of the process. Later flights have higher ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FlightId(u64);

// An atomic of the standard library, not of the model checker: no decision depends on when it is
// written beside other writes.
static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

enum State<T> {
    /// The leader is at work. The wakers are those of the futures that wait.
    Running { wakers: Vec<(u64, Waker)>, next: u64 },
    /// The flight is over. `None`: the leader was dropped without completing it.
    Over(Option<T>),
}

/// What [`SingleFlight::join`] makes of the caller.
pub(crate) enum Role<K: Eq + Hash, R, T> {
    /// The key was free: the caller does the work.
    Leader(Leader<K, R, T>),
    /// Another caller does the work.
    Waiter(Waiter<R, T>),
}

impl<K: Eq + Hash + Clone, R, T> SingleFlight<K, R, T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { flights: Mutex::new(HashMap::new()) })
    }

    /// Begins a flight for this key, or joins the one that is under way.
    pub(crate) fn join(self: &Arc<Self>, key: K, request: R) -> Role<K, R, T> {
        let mut flights = lock(&self.flights);
        if let Some(flight) = flights.get(&key) {
            return Role::Waiter(Waiter { flight: flight.clone(), waker: None });
        }
        let state = Mutex::new(State::Running { wakers: Vec::new(), next: 0 });
        let flight =
            Arc::new(Flight { id: FlightId::fresh(), request, state, completed: Condvar::new() });
        flights.insert(key.clone(), flight.clone());
        Role::Leader(Leader { flights: self.clone(), key, flight })
    }

    /// Whether a flight for this key is under way.
    pub(crate) fn is_under_way(&self, key: &K) -> bool {
        lock(&self.flights).contains_key(key)
    }

    /// How many flights are under way.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.flights).len()
    }
}

impl FlightId {
    /// The lower bound of all flights that begin from now on: each has this id or a higher one, and
    /// each that has begun has a lower one.
    pub(crate) fn next() -> Self {
        Self(NEXT.load(std::sync::atomic::Ordering::SeqCst))
    }

    fn fresh() -> Self {
        Self(NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
    }
}

/// No outcome came in time. The flight goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimedOut;

/// The caller that does the work. Dropped without [`complete`](Self::complete), it frees the key,
/// and its waiters learn that nothing came.
pub(crate) struct Leader<K: Eq + Hash, R, T> {
    flights: Arc<SingleFlight<K, R, T>>,
    key: K,
    flight: Arc<Flight<R, T>>,
}

impl<K: Eq + Hash, R, T> Leader<K, R, T> {
    pub(crate) fn id(&self) -> FlightId {
        self.flight.id
    }

    /// A waiter for this flight, when the leader is going to be moved to another thread or task.
    #[cfg(feature = "tokio")]
    pub(crate) fn waiter(&self) -> Waiter<R, T> {
        Waiter { flight: self.flight.clone(), waker: None }
    }

    /// Frees the key and gives the outcome to all waiters.
    pub(crate) fn complete(self, outcome: T) {
        self.end(Some(outcome));
        // The drop that follows finds the flight over.
    }

    fn end(&self, outcome: Option<T>) {
        // The order matters: a caller that sees the outcome and looks again must find the key free.
        let removed = {
            let mut flights = lock(&self.flights.flights);
            let is_own =
                flights.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight));
            if is_own { flights.remove(&self.key) } else { None }
        };
        drop(removed);
        let wakers = {
            let mut state = lock(&self.flight.state);
            match &mut *state {
                State::Over(_) => return,
                State::Running { wakers, .. } => {
                    let wakers = std::mem::take(wakers);
                    *state = State::Over(outcome);
                    wakers
                }
            }
        };
        self.flight.completed.notify_all();
        // Not under the lock: a waker may run the task that looks.
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl<K: Eq + Hash, R, T> Drop for Leader<K, R, T> {
    fn drop(&mut self) {
        self.end(None);
    }
}

/// A caller that waits for another caller's outcome: `None` if that leader was dropped without
/// completing. Dropping the waiter ends the waiting only.
pub(crate) struct Waiter<R, T> {
    flight: Arc<Flight<R, T>>,
    waker: Option<u64>,
}

impl<R, T> Waiter<R, T> {
    pub(crate) fn id(&self) -> FlightId {
        self.flight.id
    }

    /// The leader's request.
    pub(crate) fn request(&self) -> &R {
        &self.flight.request
    }

    /// Waits, blocking the thread. An outcome that is there is returned even if `at_most` is zero.
    ///
    /// # Errors
    /// `TimedOut` if that takes longer than `at_most`.
    pub(crate) fn wait(self, at_most: Duration) -> Result<Option<T>, TimedOut>
    where
        T: Clone,
    {
        // No end if the clock cannot hold it.
        let end = Instant::now().checked_add(at_most);
        let mut state = lock(&self.flight.state);
        loop {
            if let State::Over(outcome) = &*state {
                return Ok(outcome.clone());
            }
            let completed = &self.flight.completed;
            state = match end.map(|end| end.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return Err(TimedOut),
                Some(left) => {
                    completed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => completed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl<R, T: Clone> Future for Waiter<R, T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let me = self.get_mut();
        let mut state = lock(&me.flight.state);
        let (wakers, next) = match &mut *state {
            State::Over(outcome) => return Poll::Ready(outcome.clone()),
            State::Running { wakers, next } => (wakers, next),
        };
        let waker = context.waker();
        let replaced = match wakers.iter_mut().find(|(id, _)| Some(*id) == me.waker) {
            Some((_, own)) if own.will_wake(waker) => None,
            Some((_, own)) => Some(std::mem::replace(own, waker.clone())),
            None => {
                me.waker = Some(*next);
                wakers.push((*next, waker.clone()));
                *next += 1;
                None
            }
        };
        drop(state);
        // Not under the lock: dropping a waker may drop the task that it wakes, and with it another
        // waiter.
        drop(replaced);
        Poll::Pending
    }
}

impl<R, T> Drop for Waiter<R, T> {
    fn drop(&mut self) {
        let Some(own) = self.waker else { return };
        let unused = match &mut *lock(&self.flight.state) {
            State::Running { wakers, .. } => {
                wakers.iter().position(|(id, _)| *id == own).map(|at| wakers.swap_remove(at))
            }
            State::Over(_) => None,
        };
        // Not under the lock, as above.
        drop(unused);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    type F = SingleFlight<u8, &'static str, u32>;
    const LONG: Duration = Duration::from_secs(60);

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn lead(flights: &Arc<F>, key: u8) -> Leader<u8, &'static str, u32> {
        match flights.join(key, "request") {
            Role::Leader(leader) => leader,
            Role::Waiter(_) => panic!("the key is taken"),
        }
    }

    fn follow(flights: &Arc<F>, key: u8) -> Waiter<&'static str, u32> {
        match flights.join(key, "other") {
            Role::Waiter(waiter) => waiter,
            Role::Leader(_) => panic!("the key is free"),
        }
    }

    #[test]
    fn one_leads_the_others_get_the_outcome_and_the_key_is_free_before() {
        let flights = F::new();
        let leader = lead(&flights, 1);
        assert!(flights.is_under_way(&1) && !flights.is_under_way(&2));
        let other = lead(&flights, 2);
        assert!(leader.id() < other.id() && other.id() < FlightId::next());
        let waiters: Vec<_> = (0..8).map(|_| follow(&flights, 1)).collect();
        assert!(
            waiters
                .iter()
                .all(|waiter| waiter.id() == leader.id() && *waiter.request() == "request")
        );
        std::thread::scope(|scope| {
            for waiter in waiters {
                let flights = &flights;
                scope.spawn(move || {
                    assert_eq!(waiter.wait(LONG), Ok(Some(7)));
                    assert!(!flights.is_under_way(&1));
                });
            }
            leader.complete(7);
        });
        drop(other);
        assert_eq!(flights.len(), 0);
    }

    #[test]
    fn a_leader_that_panics_frees_the_key_and_its_waiters_learn_of_it() {
        let flights = F::new();
        let leader = lead(&flights, 1);
        let waiter = follow(&flights, 1);
        let panicked = std::thread::spawn(move || {
            let _leader = leader;
            panic!("its own");
        });
        assert_eq!(waiter.wait(LONG), Ok(None));
        assert!(panicked.join().is_err() && flights.len() == 0);
        lead(&flights, 1).complete(1);
    }

    #[test]
    fn a_waiter_that_times_out_leaves_and_the_flight_goes_on() {
        let flights = F::new();
        let leader = lead(&flights, 1);
        assert_eq!(follow(&flights, 1).wait(Duration::ZERO), Err(TimedOut));
        assert_eq!(follow(&flights, 1).wait(Duration::from_nanos(1)), Err(TimedOut));
        let patient = follow(&flights, 1);
        leader.complete(3);
        // An outcome that is there is returned, and the longest timeout does not overflow.
        assert_eq!(patient.wait(Duration::MAX), Ok(Some(3)));
    }

    #[test]
    fn futures_are_woken_once_by_their_newest_waker_and_dropped_ones_not_at_all() {
        let flights = F::new();
        let leader = lead(&flights, 1);
        let wakers: [Arc<Count>; 3] = Default::default();
        let [old, new, dropped] = wakers.clone().map(Waker::from);
        let mut waiting = pin!(follow(&flights, 1));
        for waker in [&old, &old, &new] {
            assert!(waiting.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        }
        {
            let mut gone = pin!(follow(&flights, 1));
            assert!(gone.as_mut().poll(&mut Context::from_waker(&dropped)).is_pending());
        }
        leader.complete(9);
        assert_eq!(wakers.each_ref().map(|count| count.0.load(Ordering::SeqCst)), [0, 1, 0]);
        assert_eq!(waiting.as_mut().poll(&mut Context::from_waker(&new)), Poll::Ready(Some(9)));
    }

    /// Hole: dropping a waker can drop the task it wakes, and with it another waiter of the same
    /// flight.
    #[test]
    fn a_waker_that_holds_another_waiter_may_be_dropped_anywhere() {
        struct Task {
            _waiter: Mutex<Option<Waiter<&'static str, u32>>>,
        }
        impl Wake for Task {
            fn wake(self: Arc<Self>) {}
        }
        let flights = F::new();
        let leader = lead(&flights, 1);
        let task = |polled: bool| {
            let mut waiter = follow(&flights, 1);
            if polled {
                let poll = Pin::new(&mut waiter).poll(&mut Context::from_waker(Waker::noop()));
                assert!(poll.is_pending());
            }
            Waker::from(Arc::new(Task { _waiter: Mutex::new(Some(waiter)) }))
        };
        // Replaced by a newer one, dropped with its waiter, and woken.
        let mut waiting = follow(&flights, 1);
        assert!(Pin::new(&mut waiting).poll(&mut Context::from_waker(&task(true))).is_pending());
        assert!(Pin::new(&mut waiting).poll(&mut Context::from_waker(&task(true))).is_pending());
        drop(waiting);
        let mut waiting = follow(&flights, 1);
        assert!(Pin::new(&mut waiting).poll(&mut Context::from_waker(&task(true))).is_pending());
        leader.complete(1);
    }
}
