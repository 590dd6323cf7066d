//! Flushes that do not return, and batches behind them.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::engine::sled::exclusion::Exclusion;
use crate::engine::sled::flusher::{Flush, Flusher};
use crate::engine::{Durability, EngineError};

/// So short that a test need not wait, and so long that nothing is late.
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(600);

/// A flush that hangs until it is let go.
#[derive(Default)]
struct Hanging {
    may_go: Mutex<bool>,
    changed: Condvar,
    /// Whether a nudge lets it go too.
    heeds_nudges: bool,
    /// Whether a nudge does so once no thread waits any more.
    heeds_late_nudges: bool,
    given_up: AtomicU32,
    returned: AtomicU32,
    dropped: Dropped,
}

#[derive(Default)]
struct Dropped(Arc<AtomicBool>);

impl Hanging {
    fn let_go(&self) {
        *self.may_go.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

impl Flush for Hanging {
    fn flush(&self, _: Durability) -> Result<(), EngineError> {
        drop(self.changed.wait_while(self.may_go.lock().unwrap(), |may_go| !*may_go).unwrap());
        Err(EngineError::Io(std::io::Error::from_raw_os_error(5)))
    }

    fn nudge(&self) {
        if self.heeds_nudges || self.heeds_late_nudges && self.given_up.load(Ordering::SeqCst) > 0 {
            self.let_go();
        }
    }

    fn given_up(&self) {
        self.given_up.fetch_add(1, Ordering::SeqCst);
    }

    fn returned(&self) {
        self.returned.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn kind(result: Result<(), EngineError>) -> std::io::ErrorKind {
    match result {
        Err(EngineError::Io(error)) => error.kind(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_flush_that_never_returns_is_given_up_and_left_behind() {
    let work = Arc::new(Hanging::default());
    let given_up = Arc::new(AtomicBool::default());
    let mut flusher = Flusher::start(work.clone(), SHORT, given_up.clone()).unwrap();
    assert_eq!(kind(flusher.flush(&*work, Durability::PowerLoss)), std::io::ErrorKind::TimedOut);
    assert!(given_up.load(Ordering::SeqCst));
    assert_eq!(work.given_up.load(Ordering::SeqCst), 1);
    // No thread waits again.
    assert_eq!(kind(flusher.flush(&*work, Durability::PowerLoss)), std::io::ErrorKind::TimedOut);
    let thread = flusher.thread.take().unwrap();
    drop(flusher);
    // It returns after all, and what it was in is never dropped.
    let dropped = work.dropped.0.clone();
    assert_eq!(work.returned.load(Ordering::SeqCst), 0);
    work.let_go();
    thread.join().unwrap();
    assert_eq!(work.returned.load(Ordering::SeqCst), 1);
    drop(work);
    assert!(!dropped.load(Ordering::SeqCst));
}

#[test]
fn who_waits_in_vain_is_woken() {
    let work = Arc::new(Hanging { heeds_nudges: true, ..Hanging::default() });
    let flusher = Flusher::start(work.clone(), LONG, Arc::default()).unwrap();
    assert!(
        matches!(flusher.flush(&*work, Durability::ProcessCrash), Err(EngineError::Io(error)) if error.raw_os_error() == Some(5))
    );
    let dropped = work.dropped.0.clone();
    drop(work);
    // The thread has the last share, and lets go of it.
    assert!(!dropped.load(Ordering::SeqCst));
    drop(flusher);
    assert!(dropped.load(Ordering::SeqCst));
}

/// The disk answers late, and with an error, of which sled does not tell the threads that wait.
#[test]
fn what_was_given_up_is_woken_when_it_has_failed() {
    let work = Arc::new(Hanging { heeds_late_nudges: true, ..Hanging::default() });
    let mut flusher = Flusher::start(work.clone(), SHORT, Arc::default()).unwrap();
    assert_eq!(kind(flusher.flush(&*work, Durability::PowerLoss)), std::io::ErrorKind::TimedOut);
    flusher.thread.take().unwrap().join().unwrap();
    assert_eq!(work.returned.load(Ordering::SeqCst), 1);
}

#[test]
fn batches_that_come_one_after_the_other_do_not_starve_a_flush() {
    let (exclusion, is_over) = (Exclusion::new(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    let _alone = exclusion.alone(LONG).unwrap();
                    (0..50).for_each(|_| std::thread::yield_now());
                }
            });
        }
        (0..100).for_each(|_| drop(exclusion.share()));
        is_over.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_batch_waits_for_a_flush_but_not_for_one_that_was_given_up() {
    let exclusion = Exclusion::new();
    let flush = exclusion.share();
    assert!(exclusion.alone(Duration::ZERO).is_none());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| exclusion.alone(LONG).is_some());
        exclusion.give_up();
        assert!(!waiting.join().unwrap());
    });
    // Other stores' flushes go on, and once it has returned batches do.
    drop(exclusion.share());
    drop(flush);
    assert!(exclusion.alone(LONG).is_none());
    exclusion.returned();
    assert!(exclusion.alone(LONG).is_some());
}
