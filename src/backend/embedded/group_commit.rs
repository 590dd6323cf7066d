//! Committing as a group: batches of several accounts go to the engine as one, as the ledger groups
//! sign-outs.
//!
//! A batch costs sled two writes of its own, whatever its size, and the batches of a process go one
//! at a time. So a caller that comes while a batch is being written joins a queue, and the first in
//! the queue then writes for those behind it too (as LevelDB's queue of writers does,
//! `DBImpl::Write`). A caller that waits here holds its account's lock: the row that guards its
//! batch stays as it was read.
//!
//! Only the thread that writes moves the checkpoint. One thread writes at a time, so the checkpoint
//! never goes back.

use std::collections::VecDeque;

use crate::engine::{Batch, Commit};
use crate::model::error::{Component, Error, Result};
use crate::model::position::Position;
use crate::model::tag::AccountTag;
use crate::platform::sync::{Arc, Condvar, Mutex, PoisonError, lock};

/// A group has no more changes than this, unless its first batch alone has more: readers wait while
/// a group is applied, some microseconds for each change. (Twice as many are hardly faster:
/// `benches/sign_ins.rs`.)
const MOST: usize = if cfg!(oubliette_shuttle) { 16 } else { 64 };

/// What one caller wants committed.
pub(crate) struct Wanted {
    pub(crate) account: AccountTag,
    pub(crate) batch: Batch,
    /// Whether rows of it have an as-of: then the checkpoint has to be there with them, or before.
    pub(crate) has_as_of: bool,
}

/// What a write of a group did.
pub(crate) struct Written {
    /// The outcome of each batch, in the order of the group.
    pub(crate) held: Vec<Commit>,
    /// Where the checkpoint is now.
    pub(crate) checkpoint: Position,
}

/// The queue of callers that commit.
pub(crate) struct Commits {
    queue: Mutex<Queue>,
}

struct Queue {
    waiting: VecDeque<Arc<Member>>,
    /// Whether a thread writes, or was told to.
    is_led: bool,
    /// The position in the checkpoint row, as of the last group that was written.
    checkpoint: Position,
}

struct Member {
    changes: usize,
    turn: Mutex<Turn>,
    changed: Condvar,
}

enum Turn {
    Waits(Wanted),
    Leads(Wanted),
    /// The writing thread has taken the batch.
    Taken,
    Done(Result<Commit>),
}

impl Commits {
    pub(crate) fn new(checkpoint: Position) -> Self {
        Self { queue: Mutex::new(Queue { waiting: VecDeque::new(), is_led: false, checkpoint }) }
    }

    /// Sets the position of the checkpoint after the engine was replaced. Requires exclusive
    /// access.
    pub(crate) fn set_checkpoint(&self, checkpoint: Position) {
        lock(&self.queue).checkpoint = checkpoint;
    }

    /// Returns when the batch is committed, or its guard did not hold. If it is this caller's turn
    /// to write, `write` commits the group, and is given the position of the checkpoint.
    ///
    /// # Errors
    /// The error of the write, for every caller in the group.
    pub(crate) fn commit(
        &self,
        wanted: Wanted,
        write: impl FnOnce(Vec<Wanted>, Position) -> Result<Written>,
    ) -> Result<Commit> {
        let mut queue = lock(&self.queue);
        let is_first = !std::mem::replace(&mut queue.is_led, true);
        let turn = if is_first { Turn::Leads(wanted) } else { Turn::Waits(wanted) };
        let me = Arc::new(Member::new(turn));
        queue.waiting.push_back(me.clone());
        drop(queue);
        if let Some(done) = me.wait() {
            return done;
        }
        // This caller is first in the queue: it takes those behind it into its group, and writes.
        let mut queue = lock(&self.queue);
        let checkpoint = queue.checkpoint;
        let (mut group, mut changes) = (Vec::new(), 0);
        while let Some(next) = queue.waiting.front()
            && (group.is_empty() || changes + next.changes <= MOST)
        {
            changes += next.changes;
            group.extend(queue.waiting.pop_front());
        }
        drop(queue);
        let leading = Leading { commits: self, group };
        let wanted = leading.group.iter().filter_map(|member| member.take()).collect();
        leading.end(write(wanted, checkpoint))?;
        me.wait().unwrap_or(Err(Error::Poisoned(Component::Engine)))
    }
}

impl Member {
    fn new(turn: Turn) -> Self {
        let changes = match &turn {
            Turn::Waits(wanted) | Turn::Leads(wanted) => wanted.batch.changes.len(),
            Turn::Taken | Turn::Done(_) => 0,
        };
        Self { changes, turn: Mutex::new(turn), changed: Condvar::new() }
    }

    /// Waits for the outcome; `None` if this member is first in the queue and has to write.
    fn wait(&self) -> Option<Result<Commit>> {
        let mut turn = lock(&self.turn);
        loop {
            match std::mem::replace(&mut *turn, Turn::Taken) {
                Turn::Done(result) => return Some(result),
                leads @ Turn::Leads(_) => {
                    *turn = leads;
                    return None;
                }
                other => *turn = other,
            }
            turn = self.changed.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn take(&self) -> Option<Wanted> {
        match std::mem::replace(&mut *lock(&self.turn), Turn::Taken) {
            Turn::Waits(wanted) | Turn::Leads(wanted) => Some(wanted),
            Turn::Taken | Turn::Done(_) => None,
        }
    }

    fn lead(&self) {
        let mut turn = lock(&self.turn);
        *turn = match std::mem::replace(&mut *turn, Turn::Taken) {
            Turn::Waits(wanted) => Turn::Leads(wanted),
            other => other,
        };
        self.changed.notify_all();
    }

    fn done(&self, result: Result<Commit>) {
        *lock(&self.turn) = Turn::Done(result);
        self.changed.notify_all();
    }
}

/// The thread that writes for a group. If the write panics, dropping this gives the members an
/// error: none waits for ever, and none gets an `Ok`.
struct Leading<'a> {
    commits: &'a Commits,
    group: Vec<Arc<Member>>,
}

impl Leading<'_> {
    /// Gives every member its outcome, and makes the next one in the queue write. The thread that
    /// writes is the first of its group, and gets the error itself.
    fn end(mut self, written: Result<Written>) -> Result<()> {
        let group = std::mem::take(&mut self.group);
        let held = match written {
            Ok(written) => {
                lock(&self.commits.queue).checkpoint = written.checkpoint;
                drop(self);
                written.held
            }
            Err(error) => {
                // Before the next one writes, which would build on a write whose outcome is
                // unknown. (It finds the engine failed.)
                group.iter().skip(1).for_each(|member| member.done(Err(again(&error))));
                drop(self);
                return Err(error);
            }
        };
        group.iter().zip(held).for_each(|(member, held)| member.done(Ok(held)));
        Ok(())
    }
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        self.group
            .drain(..)
            .for_each(|member| member.done(Err(Error::Poisoned(Component::Engine))));
        let mut queue = lock(&self.commits.queue);
        match queue.waiting.front() {
            Some(next) => next.lead(),
            None => queue.is_led = false,
        }
    }
}

/// The same error for another member.
fn again(error: &Error) -> Error {
    match error {
        Error::Full(part) => Error::Full(*part),
        Error::Io { action, path, source } => {
            Error::Io { action, path: path.clone(), source: source.kind().into() }
        }
        _ => Error::Poisoned(Component::Engine),
    }
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread::{scope, yield_now};

    use super::*;
    use crate::rows::row_key::CHECKPOINT;
    use crate::{AccountId, Machine, SignIn, SignOut, TenantId, TokenStore};

    /// Runs `other` on `others` threads while another thread writes, so that they queue up behind
    /// it; then lets that thread go on.
    fn behind_one<T: Send>(
        commits: &Commits,
        others: usize,
        other: impl Fn(usize) -> T + Sync,
    ) -> Vec<T> {
        scope(|scope| {
            let (go, wait) = channel::<()>();
            let leader = scope.spawn(move || {
                commits.commit(wanted(0, 1), |_, checkpoint| {
                    wait.recv().unwrap();
                    Ok(Written { held: vec![Commit::Done], checkpoint })
                })
            });
            wait_until(|| lock(&commits.queue).is_led && lock(&commits.queue).waiting.is_empty());
            let mut threads = Vec::new();
            for number in 0..others {
                let other = &other;
                threads.push(scope.spawn(move || other(number)));
                wait_until(|| lock(&commits.queue).waiting.len() > number);
            }
            go.send(()).unwrap();
            assert_eq!(leader.join().unwrap().unwrap(), Commit::Done);
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    fn wait_until(is_so: impl Fn() -> bool) {
        while !is_so() {
            yield_now();
        }
    }

    fn wanted(number: u8, changes: usize) -> Wanted {
        let mut batch = Batch::default();
        (0..changes).for_each(|_| batch.put(vec![number], vec![number]));
        Wanted { account: AccountTag::filled(number), batch, has_as_of: false }
    }

    fn all_held(group: &[Wanted], checkpoint: Position) -> Result<Written> {
        Ok(Written { held: vec![Commit::Done; group.len()], checkpoint })
    }

    #[test]
    fn who_is_in_front_writes_for_those_behind() {
        let (commits, groups) = (Commits::new(Position::ZERO), Mutex::new(Vec::new()));
        let done = behind_one(&commits, 5, |number| {
            commits.commit(wanted(number as u8, MOST / 2), |group, checkpoint| {
                groups
                    .lock()
                    .unwrap()
                    .push(group.iter().map(|one| one.account.as_bytes()[0]).collect::<Vec<_>>());
                all_held(&group, checkpoint.next())
            })
        });
        assert!(done.into_iter().all(|done| done.unwrap() == Commit::Done));
        // In order, and in no group more changes than `MOST`.
        assert_eq!(groups.into_inner().unwrap(), [vec![0, 1], vec![2, 3], vec![4]]);
        let queue = commits.queue.into_inner().unwrap();
        assert_eq!(
            (queue.checkpoint, queue.is_led, queue.waiting.len()),
            (Position::new(3), false, 0)
        );
    }

    // Without it: the others of a group that failed get an `Ok`, or wait for ever.
    #[test]
    fn a_group_that_fails_fails_for_everybody() {
        let commits = Commits::new(Position::new(7));
        let done = behind_one(&commits, 3, |number| {
            commits.commit(wanted(number as u8, 1), |_, _| Err(Error::Full(Component::Engine)))
        });
        assert!(done.into_iter().all(|done| matches!(done, Err(Error::Full(Component::Engine)))));
        let done = commits.commit(wanted(9, 1), |group, checkpoint| all_held(&group, checkpoint));
        assert_eq!(done.unwrap(), Commit::Done);
        assert_eq!(lock(&commits.queue).checkpoint, Position::new(7));
    }

    // Without it: a panic of the thread that writes leaves the others waiting for ever.
    #[test]
    fn nobody_waits_for_who_panicked() {
        let commits = Commits::new(Position::ZERO);
        let done = behind_one(&commits, 4, |number| {
            let write = |group: Vec<Wanted>, checkpoint| {
                if number == 0 { panic!("on purpose") } else { all_held(&group, checkpoint) }
            };
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                commits.commit(wanted(number as u8, MOST / 2), write)
            }))
        });
        let told: Vec<_> =
            done.iter().map(|done| done.as_ref().ok().map(|done| done.is_ok())).collect();
        // The first panicked; the second was in its group; the others wrote for themselves.
        assert_eq!(told, [None, Some(false), Some(true), Some(true)]);
    }

    fn sign_in(store: &TokenStore, number: usize) {
        let account = AccountId::new("login.example.com", number.to_string()).unwrap();
        store.sign_in(SignIn::new(account, TenantId::new("contoso").unwrap())).unwrap();
    }

    // Without it: the thread that writes reads the ledger's end before it knows its group, so that
    // a member has an as-of beyond the checkpoint.
    #[test]
    fn the_checkpoint_reaches_every_as_of_of_its_group() {
        let store = Machine::new().builder().open().unwrap();
        sign_in(&store, 9);
        let before = store.core().embedded().unwrap().ledger.synced();
        behind_one(&store.core().embedded().unwrap().commits, 3, |number| {
            // One of them waits in the queue while the ledger goes on; the next has a later as-of.
            if number == 1 {
                store
                    .sign_out(SignOut::account(
                        &AccountId::new("login.example.com", "nobody").unwrap(),
                    ))
                    .unwrap();
            }
            sign_in(&store, number);
        });
        let open = store.core().enter().unwrap();
        let row = open.get(CHECKPOINT).unwrap().unwrap();
        assert_eq!(
            open.rows().unwrap().open_checkpoint(CHECKPOINT, &row).unwrap(),
            store.core().embedded().unwrap().ledger.synced()
        );
        assert!(store.core().embedded().unwrap().ledger.synced() > before);
    }

    // Without it: a batch whose guard does not hold is committed all the same, or takes the others
    // of its group with it.
    #[test]
    fn a_guard_that_does_not_hold_keeps_out_its_own_batch_alone() {
        let store = Machine::new().builder().open().unwrap();
        let core = store.core();
        let done = behind_one(&core.embedded().unwrap().commits, 3, |number| {
            let tag = [number as u8; 16];
            let mut batch = Batch {
                guard: Some((tag.to_vec(), (number == 1).then(Vec::new))),
                changes: Vec::new(),
            };
            batch.put(tag.to_vec(), vec![1]);
            batch.put(tag[1..].to_vec(), vec![2]);
            core.embedded().unwrap().enter().unwrap().commit(&AccountTag::from_bytes(tag), batch)
        });
        assert!(matches!(done.as_slice(), [Ok(()), Err(Error::Tampered("header")), Ok(())]));
        let open = core.enter().unwrap();
        let there = [0, 1, 2].map(|number| {
            (open.get(&[number; 16]).unwrap().is_some(), open.get(&[number; 15]).unwrap().is_some())
        });
        assert_eq!(there, [(true, true), (false, false), (true, true)]);
    }
}
