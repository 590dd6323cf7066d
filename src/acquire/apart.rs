//! Threads for what waits for the disk, so that no runtime's thread does: not the runtime's own
//! pool of blocking threads either, which may all be waiting for it; and a runtime that shuts down
//! does not take it along.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::flight::{Flights, Turn};
use crate::platform::sync::{Arc, Mutex, lock, thread};

type Job = Box<dyn FnOnce() + Send>;

/// Up to so many threads, which end when there is nothing to do.
pub(super) struct Apart {
    most: usize,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    waiting: VecDeque<Job>,
    threads: usize,
}

impl Apart {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, work: Mutex::default() })
    }

    /// Has it done, soon. If there is no thread to be had at all, it is done here: better a task
    /// that waits than a refresh token lost.
    pub(super) fn run(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        {
            let mut work = lock(&self.work);
            work.waiting.push_back(Box::new(job));
            if work.threads >= self.most {
                return;
            }
            work.threads += 1;
        }
        let theirs = self.clone();
        if thread::Builder::new()
            .name("oubliette-acquire".into())
            .spawn(move || theirs.work_off())
            .is_err()
        {
            self.work_off();
        }
    }

    /// Has it done, and waits for what comes of it: nothing, if it panics. Whatever becomes of who
    /// waits, it is done.
    pub(super) async fn get<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let flights = Flights::<(), (), ()>::new();
        let Turn::Mine(place) = flights.board((), ()) else { return None };
        let (ticket, result) = (place.ticket(), Arc::new(Mutex::new(None)));
        let theirs = result.clone();
        self.run(move || {
            let done = job();
            *lock(&theirs) = Some(done);
            // What nobody waits for any more is dropped here, not where somebody else waits.
            drop(theirs);
            place.land(());
        });
        ticket.await;
        lock(&result).take()
    }

    fn work_off(&self) {
        while let Some(job) = self.next() {
            // A job's panic is told by what it drops.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    /// The next job; without one, a thread less.
    fn next(&self) -> Option<Job> {
        let mut work = lock(&self.work);
        let job = work.waiting.pop_front();
        if job.is_none() {
            work.threads -= 1;
        }
        job
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn all_jobs_are_done_by_no_more_threads_than_allowed_and_a_panic_ends_none() {
        let apart = Apart::new(3);
        let (done, all) = mpsc::channel();
        for number in 0..100 {
            let (done, inner) = (done.clone(), apart.clone());
            apart.run(move || {
                assert!(lock(&inner.work).threads <= 3);
                drop(inner);
                done.send(number).unwrap();
                assert!(number % 10 != 0, "the job's own");
            });
        }
        drop(done);
        let mut numbers: Vec<u32> = all.iter().collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
        while lock(&apart.work).threads > 0 {
            std::thread::yield_now();
        }
    }
}
