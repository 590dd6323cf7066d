//! The backlog of sign-outs whose rows are still to be reclaimed. While no caller waits for the
//! reclaimer, it pauses now and then, so that it does not slow readers down.

use crate::model::error::{Component, Error, Result};
use crate::model::report::ReclaimReport;
use crate::model::tag::{AccountTag, TaggedScope};
use crate::observe;
use crate::platform::sync::{Condvar, Mutex, MutexGuard, PoisonError, lock};
use std::collections::VecDeque;
use std::time::Duration;
#[cfg(not(oubliette_shuttle))]
use std::time::Instant;

/// The most sign-outs that are queued one by one. If there are more, one pass over all accounts
/// replaces them.
const MAX_WAITING: usize = 64 * 1024;

/// Sign-outs whose rows are not deleted yet.
#[derive(Default)]
pub(crate) struct Backlog {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<TaggedScope>,
    working: bool,
    /// How many callers wait for the work to be done. While there are any, the reclaimer does not
    /// pause.
    waiters: usize,
    closing: Option<Closing>,
    /// Why the reclaimer ended before its work was done.
    dead: Option<Component>,
    /// How often it was held up, and why it was the last time.
    holdups: u64,
    holdup: Option<Holdup>,
    done: ReclaimReport,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    AfterWork,
    AtOnce,
}

/// What is in the way of a reclaimer that will try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holdup {
    Full(Component),
    Busy(Option<u32>),
    Io(std::io::ErrorKind),
}

impl Holdup {
    fn of(error: &Error) -> Self {
        match error {
            Error::Full(part) => Self::Full(*part),
            Error::Busy { pid } => Self::Busy(*pid),
            Error::Io { source, .. } => Self::Io(source.kind()),
            _ => Self::Io(std::io::ErrorKind::Other),
        }
    }

    fn error(self) -> Error {
        let action = "delete the rows of what has ended; that is tried again";
        match self {
            Self::Full(part) => Error::Full(part),
            Self::Busy(pid) => Error::Busy { pid },
            Self::Io(kind) => Error::io(action)(kind.into()),
        }
    }
}

impl Queue {
    /// Whether the reclaimer is not to pause.
    fn is_urgent(&self) -> bool {
        self.waiters > 0 || self.closing.is_some() || self.waiting.len() > MAX_WAITING / 2
    }
}

impl Backlog {
    /// Adds the scopes that a sign-out ended. Never blocks: if there are too many, one pass over
    /// all accounts replaces them.
    pub(crate) fn push(&self, scopes: &[TaggedScope]) {
        let mut queue = lock(&self.queue);
        if queue.dead.is_some()
            || queue.closing.is_some()
            || queue.waiting.front() == Some(&TaggedScope::Everybody)
        {
            return;
        }
        if queue.waiting.len() + scopes.len() > MAX_WAITING {
            queue.waiting.clear();
            queue.waiting.push_back(TaggedScope::Everybody);
        } else {
            queue.waiting.extend(scopes);
        }
        self.changed.notify_all();
        observe::backlog(queue.waiting.len() + usize::from(queue.working));
    }

    pub(crate) fn push_account(&self, account: AccountTag) {
        self.push(&[TaggedScope::Account(account)]);
    }

    pub(crate) fn len(&self) -> usize {
        let queue = lock(&self.queue);
        queue.waiting.len() + usize::from(queue.working)
    }

    pub(crate) fn done(&self) -> ReclaimReport {
        lock(&self.queue).done
    }

    /// Waits until the backlog is empty and the reclaimer idle.
    ///
    /// # Errors
    /// `Poisoned` if the reclaimer ended before its work was done; `Full`, `Busy`, `Io` if it was held
    /// up meanwhile, and will try again.
    pub(crate) fn wait(&self) -> Result<ReclaimReport> {
        let mut queue = lock(&self.queue);
        queue.waiters += 1;
        self.changed.notify_all();
        let holdups = queue.holdups;
        while queue.dead.is_none()
            && queue.holdups == holdups
            && (queue.working || !queue.waiting.is_empty())
        {
            queue = self.wait_changed(queue);
        }
        queue.waiters -= 1;
        match (queue.holdup.filter(|_| queue.holdups != holdups), queue.dead) {
            (Some(holdup), _) => Err(holdup.error()),
            (None, Some(part)) => Err(Error::Poisoned(part)),
            (None, None) => Ok(queue.done),
        }
    }

    /// For the reclaimer: records that it was held up in what it will try again. Callers that wait
    /// are told.
    pub(crate) fn is_held_up(&self, scopes: &[TaggedScope], why: &Error) {
        self.push(scopes);
        let mut queue = lock(&self.queue);
        (queue.holdups, queue.holdup) = (queue.holdups + 1, Some(Holdup::of(why)));
        self.changed.notify_all();
    }

    /// Tells the reclaimer to end, after its work or at once.
    pub(crate) fn close(&self, after_work: bool) {
        let mut queue = lock(&self.queue);
        queue.closing = Some(if after_work { Closing::AfterWork } else { Closing::AtOnce });
        self.changed.notify_all();
    }

    /// For the reclaimer: waits for the next scope, or up to so many accounts; `None` if it is to
    /// end.
    pub(crate) fn next(&self, accounts: usize) -> Option<Vec<TaggedScope>> {
        let mut queue = lock(&self.queue);
        queue.working = false;
        observe::backlog(queue.waiting.len());
        loop {
            self.changed.notify_all();
            match (queue.closing, queue.waiting.pop_front()) {
                (Some(Closing::AtOnce), _) | (Some(Closing::AfterWork), None) => return None,
                (_, Some(scope)) => {
                    queue.working = true;
                    let mut scopes = vec![scope];
                    let is_account = |scope: &TaggedScope| matches!(scope, TaggedScope::Account(_));
                    while is_account(&scope)
                        && scopes.len() < accounts
                        && let Some(next) = queue.waiting.pop_front_if(|next| is_account(next))
                    {
                        scopes.push(next);
                    }
                    return Some(scopes);
                }
                (None, None) => queue = self.wait_changed(queue),
            }
        }
    }

    /// For the reclaimer: records that an account is done. Returns whether to go on.
    pub(crate) fn account_done(&self, rows: u64) -> bool {
        let mut queue = lock(&self.queue);
        queue.done.accounts += 1;
        queue.done.rows += rows;
        queue.closing != Some(Closing::AtOnce)
    }

    /// For the reclaimer: records that rows that belong to no account are done.
    pub(crate) fn rows_done(&self, rows: u64) {
        lock(&self.queue).done.rows += rows;
    }

    /// For the reclaimer: whether to go on.
    pub(crate) fn goes_on(&self) -> bool {
        lock(&self.queue).closing != Some(Closing::AtOnce)
    }

    /// For the reclaimer: records that it ends. If its work is not done, the callers that wait get
    /// an error.
    pub(crate) fn ended(&self) {
        let mut queue = lock(&self.queue);
        if queue.working || !queue.waiting.is_empty() {
            queue.dead = Some(Component::Engine);
        }
        queue.working = false;
        queue.waiting.clear();
        self.changed.notify_all();
    }

    /// For the reclaimer: waits for `time`, or until the work is urgent.
    #[cfg(not(oubliette_shuttle))]
    pub(crate) fn pause(&self, time: Duration) {
        self.pause_unless(time, Queue::is_urgent);
    }

    /// For the reclaimer, which is held up: waits for `time`, or until somebody waits for it. (That
    /// there is much to do does not help.)
    #[cfg(not(oubliette_shuttle))]
    pub(crate) fn pause_held_up(&self, time: Duration) {
        self.pause_unless(time, |queue| queue.waiters > 0 || queue.closing.is_some());
    }

    #[cfg(not(oubliette_shuttle))]
    fn pause_unless(&self, time: Duration, is_over: impl Fn(&Queue) -> bool) {
        let start = Instant::now();
        let mut queue = lock(&self.queue);
        while let (Some(left), false) =
            (time.checked_sub(start.elapsed()).filter(|left| !left.is_zero()), is_over(&queue))
        {
            queue =
                self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// No time passes in a model: another thread runs instead.
    #[cfg(oubliette_shuttle)]
    pub(crate) fn pause(&self, _: Duration) {
        if !lock(&self.queue).is_urgent() {
            crate::platform::sync::thread::yield_now();
        }
    }

    /// Likewise.
    #[cfg(oubliette_shuttle)]
    pub(crate) fn pause_held_up(&self, time: Duration) {
        self.pause(time);
    }

    fn wait_changed<'a>(&self, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    /// The reclaimer pauses, for an hour unless `interrupt` ends the pause.
    fn pauses_until(interrupt: impl FnOnce(&Backlog) + Send) {
        let backlog = Backlog::default();
        backlog.push(&[TaggedScope::Everybody]);
        assert_eq!(backlog.next(8), Some(vec![TaggedScope::Everybody]));
        std::thread::scope(|scope| {
            let reclaimer = scope.spawn(|| {
                backlog.pause(LONG);
                assert_eq!(backlog.next(8), None);
            });
            interrupt(&backlog);
            backlog.close(true);
            reclaimer.join().unwrap();
        });
    }

    #[test]
    fn a_caller_that_waits_ends_the_pause() {
        pauses_until(|backlog| assert_eq!(backlog.wait().unwrap(), ReclaimReport::default()));
    }

    #[test]
    fn closing_ends_the_pause() {
        pauses_until(|_| {});
    }

    #[test]
    fn beyond_its_bound_one_pass_over_all_accounts_does() {
        let backlog = Backlog::default();
        let account = TaggedScope::Account(AccountTag::filled(0));
        backlog.push(&vec![account; MAX_WAITING]);
        assert_eq!(backlog.len(), MAX_WAITING);
        backlog.push(&[account]);
        assert_eq!(backlog.len(), 1);
        // What comes before the pass has begun is in it.
        backlog.push(&[account; 2]);
        assert_eq!(backlog.len(), 1);
        assert_eq!(backlog.next(8), Some(vec![TaggedScope::Everybody]));
    }

    // Else it waits for as long as the disk is full.
    #[test]
    fn who_waits_is_told_what_holds_the_reclaimer_up() {
        let backlog = Backlog::default();
        backlog.push(&[TaggedScope::Everybody]);
        assert!(backlog.next(1).is_some());
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| backlog.wait());
            while lock(&backlog.queue).waiters == 0 {
                std::thread::yield_now();
            }
            backlog.is_held_up(&[TaggedScope::Everybody], &Error::Full(Component::Engine));
            let told = waiter.join().unwrap();
            assert!(matches!(told, Err(Error::Full(Component::Engine))), "{told:?}");
        });
        // Once: it is tried again.
        assert_eq!(backlog.next(1), Some(vec![TaggedScope::Everybody]));
        backlog.close(true);
        assert_eq!(backlog.next(1), None);
        backlog.wait().unwrap();
    }

    #[test]
    fn accounts_are_taken_together_and_nothing_else() {
        let backlog = Backlog::default();
        let account = |number| TaggedScope::Account(AccountTag::filled(number));
        let [a, b, c, d] = [1, 2, 3, 4].map(account);
        backlog.push(&[a, b, c, TaggedScope::Everybody, d]);
        assert_eq!(backlog.next(2), Some(vec![a, b]));
        assert_eq!(backlog.next(2), Some(vec![c]));
        assert_eq!(backlog.next(2), Some(vec![TaggedScope::Everybody]));
        assert_eq!(backlog.next(1), Some(vec![d]));
    }

    #[test]
    fn a_long_backlog_leaves_no_time_to_pause() {
        let backlog = Backlog::default();
        backlog.push(&[TaggedScope::Everybody; 2]);
        backlog.next(1);
        backlog.next(1);
        backlog.push(&vec![TaggedScope::Account(AccountTag::filled(0)); MAX_WAITING / 2 + 1]);
        backlog.pause(LONG);
    }
}
