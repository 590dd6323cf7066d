//! Worker threads for work that waits for the disk, so that no thread of an async runtime does. It
//! does not run in the runtime's own pool of blocking threads: all of those may be waiting for it,
//! and a runtime that shuts down would take it along.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::single_flight::{Role, SingleFlight};
use super::sync::{Arc, Mutex, lock, thread};

type Job = Box<dyn FnOnce() + Send>;

/// At most `max_threads` threads, which end when there is nothing to do.
pub(crate) struct Workers {
    name: &'static str,
    max_threads: usize,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    waiting: VecDeque<Job>,
    threads: usize,
}

impl Workers {
    pub(crate) fn new(name: &'static str, max_threads: usize) -> Arc<Self> {
        Arc::new(Self { name, max_threads, work: Mutex::default() })
    }

    /// Queues the job. Runs it on this thread if no thread at all can be started: a task that waits
    /// is better than a refresh token lost.
    pub(crate) fn run(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        {
            let mut work = lock(&self.work);
            work.waiting.push_back(Box::new(job));
            if work.threads >= self.max_threads {
                return;
            }
            work.threads += 1;
        }
        let workers = self.clone();
        if thread::Builder::new().name(self.name.into()).spawn(move || workers.run_jobs()).is_err()
        {
            self.run_jobs();
        }
    }

    /// Queues the job and waits for its result; `None` if the job panics. The job runs even if this
    /// future is dropped.
    pub(crate) async fn get<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let flights = SingleFlight::<(), (), ()>::new();
        let Role::Leader(leader) = flights.join((), ()) else { return None };
        let (waiter, result) = (leader.waiter(), Arc::new(Mutex::new(None)));
        let slot = result.clone();
        self.run(move || {
            let done = job();
            *lock(&slot) = Some(done);
            // If the future is gone, the result is dropped here, and not where another caller
            // waits.
            drop(slot);
            leader.complete(());
        });
        waiter.await;
        lock(&result).take()
    }

    fn run_jobs(&self) {
        while let Some(job) = self.next_job() {
            // What a panicking job drops tells its caller.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    /// The next job. If there is none, this thread no longer counts.
    fn next_job(&self) -> Option<Job> {
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
        let workers = Workers::new("oubliette-test", 3);
        let (done, all) = mpsc::channel();
        for number in 0..100 {
            let (done, inner) = (done.clone(), workers.clone());
            workers.run(move || {
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
        while lock(&workers.work).threads > 0 {
            std::thread::yield_now();
        }
    }
}
