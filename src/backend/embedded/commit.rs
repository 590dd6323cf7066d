//! Writing rows: every change of them goes through here, under its account's lock.

use super::Embedded;
use super::gate::Entered;
use super::group_commit::{Wanted, Written};
use crate::clock::trust::Known;
use crate::engine::{Batch, Commit};
use crate::model::error::{Error, Result};
use crate::model::position::Position;
use crate::model::tag::AccountTag;
use crate::rows::{LONGEST_VALUE, row_key};

impl Entered<'_> {
    /// Commits a batch of `account`, whose lock the caller holds.
    ///
    /// # Errors
    /// `Tampered` if the header is not the one that the caller read: under the lock, no other
    /// thread writes it.
    pub(crate) fn commit(&self, account: &AccountTag, batch: Batch) -> Result<()> {
        if batch.changes.len() > 1 {
            return self.commit_in_group(account, batch, false);
        }
        // A single row is atomic by itself and quick to write, so it need not join a group.
        self.embedded.name_changed(account);
        unchallenged(self.engine(|engine| engine.commit(account, batch))?)
    }

    /// As [`Entered::commit`], with the checkpoint moved up to the ledger's synced end if it is
    /// behind. No row with an as-of may be on the disk without a checkpoint that reaches it, so all
    /// of them come this way.
    pub(crate) fn commit_with_checkpoint(&self, account: &AccountTag, batch: Batch) -> Result<()> {
        self.commit_in_group(account, batch, true)
    }

    /// Deletes rows of `account` that can no longer be read. The caller holds the account's lock.
    pub(crate) fn discard(&self, account: &AccountTag, keys: Vec<Vec<u8>>) -> Result<()> {
        self.embedded.name_changed(account);
        self.engine(|engine| engine.discard(keys))
    }

    /// Stores what is known of the time.
    pub(crate) fn put_known(&self, known: &Known) -> Result<()> {
        let mut batch = Batch::default();
        batch.put(row_key::KNOWN.to_vec(), self.rows()?.seal_known(row_key::KNOWN, known)?);
        self.commit(&AccountTag::NONE, batch)
    }

    fn commit_in_group(&self, account: &AccountTag, batch: Batch, has_as_of: bool) -> Result<()> {
        self.embedded.name_changed(account);
        let wanted = Wanted { account: *account, batch, has_as_of };
        let committed = self.embedded.commits.commit(wanted, |group, checkpoint| {
            let unsure = Unsure(self.embedded);
            let written = self.write(group, checkpoint);
            std::mem::forget(unsure);
            written
        })?;
        unchallenged(committed)
    }

    /// Commits a group as one batch. If there are as-ofs in it and the checkpoint is behind, the
    /// batch also moves the checkpoint up to the ledger's synced end. Every member with a guard
    /// holds the lock of its account, and no two of them have the same account: so no guard changes
    /// after it was checked here.
    fn write(&self, group: Vec<Wanted>, checkpoint: Position) -> Result<Written> {
        debug_assert!(group.iter().flat_map(|one| &one.batch.changes).all(is_short));
        // Read only now that the group is fixed: the as-ofs of its members were synced before they
        // joined.
        let synced = if group.iter().any(|one| one.has_as_of) {
            self.embedded.ledger.synced()
        } else {
            checkpoint
        };
        // The engine checks the guard of a batch that is alone. The guards of a group are checked
        // here, and a batch whose guard does not hold is left out.
        let (mut whole, mut held, is_alone) =
            (Batch::default(), Vec::with_capacity(group.len()), group.len() == 1);
        let mut account = AccountTag::NONE;
        for Wanted { account: of, batch, .. } in group {
            if is_alone {
                (account, whole) = (of, batch);
                break;
            }
            let holds = match &batch.guard {
                Some((key, expected)) if self.get(key)? != *expected => Commit::Conflict,
                _ => Commit::Done,
            };
            held.push(holds);
            if holds == Commit::Done {
                whole.changes.extend(batch.changes);
            }
        }
        if synced > checkpoint {
            whole.put(
                row_key::CHECKPOINT.to_vec(),
                self.rows()?.seal_checkpoint(row_key::CHECKPOINT, synced)?,
            );
        }
        let written = self.engine(|engine| engine.commit(&account, whole))?;
        if is_alone {
            held.push(written);
        }
        let is_done = written == Commit::Done;
        Ok(Written { held, checkpoint: if is_done { synced.max(checkpoint) } else { checkpoint } })
    }
}

/// Whether an engine can hold the value: see [`LONGEST_VALUE`].
fn is_short((_, value): &(Vec<u8>, Option<Vec<u8>>)) -> bool {
    value.as_ref().is_none_or(|value| value.len() <= LONGEST_VALUE)
}

/// Turns a conflict into `Tampered`. Every verb that changes an account's rows holds the account's
/// lock, and no other process has the engine: a row that is not what was read under the lock was
/// changed from outside.
fn unchallenged(committed: Commit) -> Result<()> {
    match committed {
        Commit::Done => Ok(()),
        Commit::Conflict => Err(Error::Tampered("header")),
    }
}

/// Fails the engine if the thread that writes for a group panics: whether the group's rows were
/// written is unknown then.
struct Unsure<'a>(&'a Embedded);

impl Drop for Unsure<'_> {
    fn drop(&mut self) {
        self.0.fail_engine();
    }
}
