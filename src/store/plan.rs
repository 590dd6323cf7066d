//! How a verb reads, and how it changes an account: it plans, and the backend sees to it that what
//! the plan saw still holds when its change is written.

use crate::backend::exchange::Change;
use crate::backend::{Ask, Backend, Embedded, Guard};
use crate::engine::{Batch, Durability};
use crate::model::error::Result;
use crate::model::tag::{AccountTag, SessionTag};
use crate::store::access::Open;
use crate::store::core::Core;

/// What is planned on an [`Open`]: what the caller is told, and what changes, which is of one
/// account. It may be made twice: if no answer came, the next plan sees what the first has changed.
pub(crate) struct Plan<T> {
    told: T,
    /// Each is atomic. (A shared place makes all of them one.)
    batches: Vec<(Batch, bool)>,
    discarded: Vec<Vec<u8>>,
    guards: Vec<Guard>,
    durability: Option<Durability>,
}

/// What a change needs to itself: nothing of these accounts changes between what the plan sees and
/// what it writes, and no sign-out of the session comes in between.
#[derive(Clone, Copy)]
pub(crate) struct Held<'a> {
    /// The first is the one that changes.
    pub(crate) accounts: &'a [AccountTag],
    pub(crate) session: Option<SessionTag>,
}

/// What must still be so when a change is written. An embedded store sees to that by its locks, and a
/// place that is near by its turns, so nothing is collected there.
pub(crate) struct Guards(Option<Vec<Guard>>);

impl Guards {
    /// None yet, of a plan on this.
    pub(crate) fn on(open: &Open<'_>) -> Self {
        Self((open.is_of_one_moment() && !open.is_in_turn()).then(Vec::new))
    }

    /// The row is as it was read.
    pub(crate) fn row(&mut self, key: &[u8], value: Option<&[u8]>) {
        if let Some(guards) = &mut self.0 {
            guards.push(Guard::Row(key.to_vec(), value.map(<[u8]>::to_vec)));
        }
    }

    /// The row is as it is now.
    pub(crate) fn row_as_it_is(&mut self, open: &Open<'_>, key: &[u8]) -> Result<()> {
        if self.0.is_some() {
            let value = open.get(key)?;
            self.row(key, value.as_deref());
        }
        Ok(())
    }

    /// No row's key begins so.
    pub(crate) fn none_under(&mut self, prefix: Vec<u8>) {
        if let Some(guards) = &mut self.0 {
            guards.push(Guard::NoneUnder(prefix));
        }
    }
}

impl<T> Plan<T> {
    /// Nothing changes.
    pub(crate) fn nothing(told: T) -> Self {
        let (batches, discarded, guards) = (Vec::new(), Vec::new(), Vec::new());
        Self { told, batches, discarded, guards, durability: None }
    }

    /// Adds changes that count together. The batch's own guard is what the verb has read under the
    /// lock of an embedded store: that it does not hold there means tampering.
    pub(crate) fn commit(mut self, batch: Batch) -> Self {
        self.step(batch);
        self
    }

    /// As [`Plan::commit`].
    pub(crate) fn step(&mut self, batch: Batch) {
        self.batches.push((batch, false));
    }

    /// As [`Plan::commit`], of rows with an as-of.
    pub(crate) fn commit_with_as_of(mut self, batch: Batch) -> Self {
        self.batches.push((batch, true));
        self
    }

    /// Adds the deletion of rows that can no longer be read.
    pub(crate) fn discard(&mut self, keys: Vec<Vec<u8>>) {
        self.discarded.extend(keys);
    }

    /// Adds what must still be so when the change is written.
    pub(crate) fn only_if(mut self, guards: Guards) -> Self {
        self.guards.extend(guards.0.into_iter().flatten());
        self
    }

    /// The caller is told only when this much is certain.
    pub(crate) fn durable(mut self, durability: Durability) -> Self {
        self.durability = self.durability.max(Some(durability));
        self
    }

    /// As [`Plan::durable`] on a shared place, where the steps of a verb are not all made durable by
    /// its last one: the place may crash in between.
    pub(crate) fn durable_if_shared(self, open: &Open<'_>, durability: Durability) -> Self {
        if open.is_of_one_moment() { self.durable(durability) } else { self }
    }

    /// Adds the steps of another plan.
    pub(crate) fn and(mut self, other: Plan<()>) -> Self {
        self.batches.extend(other.batches);
        self.discarded.extend(other.discarded);
        self.guards.extend(other.guards);
        self.durability = self.durability.max(other.durability);
        self
    }

    /// What the caller is told, and the rest.
    pub(crate) fn apart(self) -> (T, Plan<()>) {
        let Self { told, batches, discarded, guards, durability } = self;
        (told, Plan { told: (), batches, discarded, guards, durability })
    }

    /// One change, for a place that is elsewhere; `None` if nothing changes.
    fn into_change(self) -> (T, Option<Change>) {
        let Self { told, batches, discarded, mut guards, durability } = self;
        let mut rows = Vec::new();
        for (batch, _) in batches {
            guards.extend(batch.guard.map(|(key, value)| Guard::Row(key, value)));
            rows.extend(batch.changes);
        }
        rows.extend(discarded.into_iter().map(|key| (key, None)));
        let is_nothing = rows.is_empty() && durability.is_none();
        let change = Change { rows, guards, durability, ..Change::default() };
        (told, (!is_nothing).then_some(change))
    }
}

impl Core {
    /// Looks at what is of one moment, as far as the backend can give that: a reader that finds an
    /// embedded store between two writes looks again. `ask` is what `look` is known to need.
    ///
    /// # Errors
    /// `Closed`, `Forked`, `Poisoned`, `Io`, and those of `look`.
    pub(crate) fn read<T>(
        &self,
        ask: impl FnOnce() -> Ask,
        mut look: impl FnMut(&Open<'_>) -> Result<T>,
    ) -> Result<T> {
        match &self.backend {
            Backend::Embedded(_) => look(&self.enter()?),
            Backend::Remote(remote) => {
                self.enter_remote(remote)?;
                remote.read(ask(), |sight| look(&self.seen(remote, sight)))
            }
        }
    }

    /// As [`Core::read`], for a verb that needs the ledger, and does without rows if they cannot be
    /// read.
    ///
    /// # Errors
    /// As [`Core::read`].
    pub(crate) fn read_ledger<T>(
        &self,
        ask: impl FnOnce() -> Ask,
        mut look: impl FnMut(&Open<'_>) -> Result<T>,
    ) -> Result<T> {
        match &self.backend {
            Backend::Embedded(_) => look(&self.enter_ledger()?),
            Backend::Remote(_) => self.read(ask, look),
        }
    }

    /// As [`Core::read`], of an account that nobody changes meanwhile.
    ///
    /// # Errors
    /// As [`Core::read`].
    pub(crate) fn read_held<T>(
        &self,
        account: &AccountTag,
        ask: impl FnOnce() -> Ask,
        mut look: impl FnMut(&Open<'_>) -> Result<T>,
    ) -> Result<T> {
        match &self.backend {
            Backend::Embedded(embedded) => {
                let held = Held { accounts: &[*account], session: None };
                self.change_here(embedded, held, |open| Ok(Plan::nothing(look(open)?)))
            }
            Backend::Remote(_) => self.read(ask, look),
        }
    }

    /// Makes a change as it is planned, and returns what the plan tells.
    ///
    /// # Errors
    /// As [`Core::read`], and those of the plan: then nothing changes. Errors of the write.
    pub(crate) fn change<T>(
        &self,
        held: Held<'_>,
        ask: impl FnOnce() -> Ask,
        plan: impl FnMut(&Open<'_>) -> Result<Plan<T>>,
    ) -> Result<T> {
        self.change_how(held, true, ask, plan)
    }

    /// As [`Core::change`], where there is seldom anything to change, or looking takes long: nobody
    /// waits for what is only looked at.
    ///
    /// # Errors
    /// As [`Core::change`].
    pub(crate) fn change_if_needed<T>(
        &self,
        held: Held<'_>,
        ask: impl FnOnce() -> Ask,
        plan: impl FnMut(&Open<'_>) -> Result<Plan<T>>,
    ) -> Result<T> {
        self.change_how(held, false, ask, plan)
    }

    fn change_how<T>(
        &self,
        held: Held<'_>,
        is_in_turn: bool,
        ask: impl FnOnce() -> Ask,
        mut plan: impl FnMut(&Open<'_>) -> Result<Plan<T>>,
    ) -> Result<T> {
        match &self.backend {
            Backend::Embedded(embedded) => self.change_here(embedded, held, plan),
            Backend::Remote(remote) => {
                self.enter_remote(remote)?;
                remote.change(ask(), is_in_turn, |sight| {
                    Ok(plan(&self.seen(remote, sight))?.into_change())
                })
            }
        }
    }

    /// Under the locks of what is held, from what the plan sees to what it writes.
    fn change_here<T>(
        &self,
        embedded: &Embedded,
        held: Held<'_>,
        plan: impl FnOnce(&Open<'_>) -> Result<Plan<T>>,
    ) -> Result<T> {
        let open = self.enter()?;
        let session = held.session.map(|session| embedded.lock_session(&session));
        let accounts = embedded.lock_held(held.accounts);
        let Plan { told, batches, discarded, durability, .. } = plan(&open)?;
        let entered = open.entered()?;
        let account = held.accounts.first().copied().unwrap_or(AccountTag::NONE);
        if !batches.is_empty() {
            let others = held.accounts.iter().skip(1);
            others.for_each(|other| embedded.name_changed(other));
        }
        for (batch, has_as_of) in batches {
            if has_as_of {
                entered.commit_with_checkpoint(&account, batch)?;
            } else {
                entered.commit(&account, batch)?;
            }
        }
        if !discarded.is_empty() {
            entered.discard(&account, discarded)?;
        }
        // Nobody waits for the disk while holding an account.
        drop((accounts, session));
        durability.map_or(Ok(()), |durability| entered.sync(durability))?;
        Ok(told)
    }
}
