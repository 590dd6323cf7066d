//! The upkeep sweeps from time to time, and is in nobody's way: not of closing, nor of dropping.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime};

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::fixture::open;

const NEVER: Duration = Duration::MAX;

/// Accounts, each with a token that has expired.
fn with_expired(machine: &Machine, accounts: u32) -> TokenStore {
    let store = open(machine);
    for number in 0..accounts {
        let live = store.sign_in(sign_in(number)).unwrap();
        let expired = AccessToken::new(client(), scopes("a"), "at", now() - Duration::from_secs(1));
        live.put([expired.into(), access("b", "at-b").into()]).unwrap();
    }
    store
}

#[test]
fn a_pass_goes_over_all_accounts_in_slices() {
    let machine = Machine::new();
    let store = with_expired(&machine, 20);
    let upkeep = store.upkeep().interval(NEVER).budget(3).pause(Duration::ZERO).start().unwrap();
    upkeep.wait_until(|state, slices| state.passes == 1 && slices > 6);
    let swept = upkeep.state().last_swept.unwrap();
    assert_eq!((swept.accounts, swept.expired_tokens, swept.finished), (20, 20, true));
    assert_eq!(upkeep.state().last_swept_at, Some(now()));
    // The same as by hand.
    assert_eq!(store.sweep(1000).unwrap().live_bytes, swept.live_bytes);
    let state = upkeep.pass_now();
    assert_eq!((state.passes, state.last_swept.unwrap().expired_tokens), (2, 0));
    let state = upkeep.stop();
    assert!(state.has_ended && state.last_error.is_none() && state.failures == 0);
    store.close().unwrap();
}

#[test]
fn passes_follow_each_other() {
    let store = with_expired(&Machine::new(), 2);
    let upkeep = store.upkeep().interval(Duration::ZERO).pause(Duration::ZERO).start().unwrap();
    upkeep.wait_until(|state, _| state.passes >= 3);
    drop(upkeep.stop());
}

#[test]
fn a_hurried_pass_makes_no_more_pauses() {
    let store = with_expired(&Machine::new(), 10);
    let upkeep = store.upkeep().interval(NEVER).budget(1).pause(NEVER).start().unwrap();
    upkeep.wait_until(|_, slices| slices == 1);
    assert_eq!(upkeep.pass_now().last_swept.unwrap().expired_tokens, 10);
    assert_eq!(upkeep.pass_now().passes, 2);
}

#[test]
fn stopping_waits_for_no_pause() {
    let store = with_expired(&Machine::new(), 10);
    let upkeep = store.upkeep().interval(NEVER).budget(1).pause(NEVER).start().unwrap();
    upkeep.wait_until(|_, slices| slices == 1);
    let state = upkeep.stop();
    assert!(state.has_ended && state.passes == 0);
    store.close().unwrap();
}

#[test]
fn closing_waits_for_no_interval_and_ends_it() {
    let machine = Machine::new();
    for budget in [1, 1000] {
        let store = with_expired(&machine, 10);
        let upkeep = store.upkeep().interval(NEVER).budget(budget).pause(NEVER).start().unwrap();
        upkeep.wait_until(|_, slices| slices == 1);
        store.close().unwrap();
        upkeep.wait_until(|state, _| state.has_ended);
        assert!(upkeep.pass_now().last_error.is_none(), "closing is no error");
        drop(machine.builder().open().unwrap());
        drop(upkeep);
    }
}

#[test]
fn it_keeps_no_store_open() {
    let machine = Machine::new();
    let store = with_expired(&machine, 1);
    let upkeep = store.upkeep().interval(NEVER).start().unwrap();
    upkeep.wait_until(|state, _| state.passes == 1);
    drop(store);
    drop(machine.builder().open().unwrap());
    assert!(upkeep.stop().has_ended);
    let store = with_expired(&machine, 1);
    let upkeep = store.upkeep();
    store.close().unwrap();
    assert!(upkeep.start().is_err_and(|error| matches!(error, Error::Closed)));
}

#[test]
fn dropping_it_is_enough_and_many_can_run() {
    let store = with_expired(&Machine::new(), 10);
    let first = store.upkeep().interval(Duration::ZERO).pause(Duration::ZERO).start().unwrap();
    let second = store.upkeep().interval(Duration::ZERO).pause(Duration::ZERO).start().unwrap();
    first.wait_until(|state, _| state.passes >= 2);
    second.wait_until(|state, _| state.passes >= 2);
    drop((first, second));
    store.close().unwrap();
}

#[test]
fn an_error_is_kept_and_does_not_end_it() {
    let machine = Machine::new();
    let store = with_expired(&machine, 3);
    machine.set_failing_engine(true);
    let upkeep = store.upkeep().interval(NEVER).start().unwrap();
    upkeep.wait_until(|state, _| state.failures == 1);
    let error = upkeep.state().last_error.unwrap();
    assert!(matches!(*error, Error::Io { .. }), "{error:?}");
    let state = upkeep.pass_now();
    assert!(
        matches!(**state.last_error.as_ref().unwrap(), Error::Poisoned(Component::Engine)),
        "{state:?}"
    );
    assert!(!state.has_ended);
    assert_eq!(upkeep.stop().failures, 2);
    assert!(store.close().is_err());
}

/// A clock that the test looks through: it can hold whoever asks, or do something in the thread
/// that does.
#[derive(Clone, Default)]
struct Watched(Arc<(Mutex<Seen>, Condvar)>);

#[derive(Default)]
struct Seen {
    is_stopped: bool,
    waiting: usize,
    once: Option<Box<dyn FnOnce() + Send>>,
}

impl Watched {
    fn stop(&self, stop: bool) {
        self.0.0.lock().unwrap().is_stopped = stop;
        self.0.1.notify_all();
    }

    fn wait_looked_at(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |seen| seen.waiting == 0).unwrap());
    }

    fn once(&self, act: impl FnOnce() + Send + 'static) {
        self.0.0.lock().unwrap().once = Some(Box::new(act));
    }
}

impl Clock for Watched {
    fn now(&self) -> SystemTime {
        let is_upkeep = std::thread::current().name() == Some("oubliette-upkeep");
        let act = if is_upkeep { self.0.0.lock().unwrap().once.take() } else { None };
        act.into_iter().for_each(|act| act());
        let mut seen = self.0.0.lock().unwrap();
        seen.waiting += 1;
        self.0.1.notify_all();
        let mut seen = self.0.1.wait_while(seen, |seen| seen.is_stopped).unwrap();
        seen.waiting -= 1;
        now()
    }
}

#[test]
fn it_can_be_dropped_and_stopped_in_its_own_thread() {
    for stops in [false, true] {
        let (machine, clock) = (Machine::new(), Watched::default());
        let store = machine.builder().clock(clock.clone()).open().unwrap();
        store.sign_in(sign_in(1)).unwrap();
        let (give, given): (Sender<Upkeep>, Receiver<Upkeep>) = channel();
        let (say, said) = channel();
        clock.once(move || {
            let upkeep = given.recv().unwrap();
            let is_mine = upkeep.thread_id() == Some(std::thread::current().id());
            if stops {
                drop(upkeep.stop())
            } else {
                drop(upkeep)
            }
            say.send(is_mine).unwrap();
        });
        give.send(store.upkeep().interval(NEVER).start().unwrap()).unwrap();
        assert!(said.recv().unwrap());
        store.close().unwrap();
    }
}

#[test]
fn the_last_handle_can_be_dropped_in_the_middle_of_a_pass() {
    let (machine, clock) = (Machine::new(), Watched::default());
    let store = machine.builder().clock(clock.clone()).open().unwrap();
    for number in 0..5 {
        store.sign_in(sign_in(number)).unwrap();
    }
    clock.stop(true);
    let upkeep = store.upkeep().interval(NEVER).start().unwrap();
    clock.wait_looked_at();
    let dropping = std::thread::spawn(move || drop(store));
    clock.stop(false);
    dropping.join().unwrap();
    // It is closed, although the pass had more to do.
    drop(machine.builder().open().unwrap());
    assert!(upkeep.stop().has_ended);
}

/// Two sweeps at once would each go over the same accounts, and take what is left for the size of
/// everything.
#[test]
fn one_sweeps_at_a_time() {
    for _ in 0..20 {
        let (machine, clock) = (Machine::new(), Watched::default());
        let store = machine.builder().clock(clock.clone()).open().unwrap();
        for number in 0..10 {
            store.sign_in(sign_in(number)).unwrap();
        }
        let whole = store.sweep(1000).unwrap();
        assert!(whole.finished);
        clock.stop(true);
        let sweep = |budget| {
            let store = store.clone();
            std::thread::spawn(move || store.sweep(budget).unwrap())
        };
        let first = sweep(5);
        clock.wait_looked_at();
        let second = sweep(1000);
        clock.stop(false);
        let (first, second) = (first.join().unwrap(), second.join().unwrap());
        assert_eq!((first.accounts, second.accounts), (5, 5));
        assert_eq!(second.live_bytes, whole.live_bytes);
    }
}
