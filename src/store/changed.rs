//! Which accounts' rows change while the live rows are moved to another engine.

use crate::model::error::Result;
use crate::model::tag::AccountTag;
use crate::platform::sync::lock;
use crate::store::core::Core;
use std::collections::HashSet;

impl Core {
    /// From now on [`Core::take_changed`] tells which accounts' rows were changed, until the result
    /// is dropped.
    ///
    /// # Errors
    /// As [`Core::enter_alone`].
    pub(crate) fn watch_changes(&self) -> Result<Watch<'_>> {
        // Should the ledger be being compacted, this waits for that, and not everybody.
        let _tended = self.ledger.tend();
        // While nobody is at work: a verb that has looked and seen no watch could still commit a
        // new account behind the watcher's back.
        let _alone = self.enter_alone()?;
        *lock(&self.changed) = Some(HashSet::new());
        Ok(Watch(self))
    }

    /// The accounts whose rows were changed since the last call. Whoever changes rows says so
    /// first, under the account's lock.
    pub(crate) fn take_changed(&self) -> HashSet<AccountTag> {
        lock(&self.changed).as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Says that rows of this account change, or may have, to who moves them. Before the engine has
    /// it: who takes the list meanwhile comes to the account's lock, and then sees the change.
    pub(crate) fn name_changed(&self, account: &AccountTag) {
        if let Some(changed) = lock(&self.changed).as_mut() {
            changed.insert(*account);
        }
    }

    /// How many accounts' rows were changed since the last [`Core::take_changed`].
    pub(crate) fn count_changed(&self) -> usize {
        lock(&self.changed).as_ref().map_or(0, HashSet::len)
    }
}

/// Ends a watch for changed accounts.
pub(crate) struct Watch<'a>(&'a Core);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        *lock(&self.0.changed) = None;
    }
}
