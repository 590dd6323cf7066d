//! Records which accounts' rows change while the live rows are moved to another engine.

use super::Embedded;
use crate::model::error::Result;
use crate::model::tag::AccountTag;
use crate::platform::sync::lock;
use std::collections::HashSet;

impl Embedded {
    /// From now on, [`Embedded::take_changed`] returns the accounts whose rows were changed, until the
    /// result is dropped.
    ///
    /// # Errors
    /// As [`Embedded::enter_alone`].
    pub(crate) fn watch_changes(&self) -> Result<Watch<'_>> {
        // If the ledger is being compacted, wait for that here, before taking exclusive access:
        // otherwise every verb would wait for it.
        let _tended = self.ledger.tend();
        // With exclusive access: a verb that has looked and found no watch could otherwise still
        // commit a new account that the watch does not see.
        let _alone = self.enter_alone()?;
        *lock(&self.changed) = Some(HashSet::new());
        Ok(Watch(self))
    }

    /// The accounts whose rows were changed since the last call. A verb calls
    /// [`Embedded::name_changed`] before it changes rows, under the account's lock.
    pub(crate) fn take_changed(&self) -> HashSet<AccountTag> {
        lock(&self.changed).as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Records, for the move, that rows of this account change or may have changed. Called before
    /// the change reaches the engine: a move that takes the list in between then waits for the
    /// account's lock, and so sees the change.
    pub(crate) fn name_changed(&self, account: &AccountTag) {
        if let Some(changed) = lock(&self.changed).as_mut() {
            changed.insert(*account);
        }
    }

    /// How many accounts' rows were changed since the last [`Embedded::take_changed`].
    pub(crate) fn count_changed(&self) -> usize {
        lock(&self.changed).as_ref().map_or(0, HashSet::len)
    }
}

/// Ends a watch for changed accounts.
pub(crate) struct Watch<'a>(&'a Embedded);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        *lock(&self.0.changed) = None;
    }
}
