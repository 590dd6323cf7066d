//! How long sign-ins last: as the store's setting says, or each as it says itself, up to the longest
//! age that the store allows.
//!
//! The ledger keeps sign-outs for the longest age. It is stored beside the rows, so that a process
//! that does not know of the setting, such as the command line, keeps them for as long. If the row
//! is lost, sign-outs are dropped sooner, and sign-ins that are as old end with them.
//!
//! Of a shared store another instance may set it at any time: each sweep looks again.

use std::time::Duration;

use crate::backend::{Ask, Backend};
use crate::engine::{Batch, Durability};
use crate::model::error::{Error, Result};
use crate::model::time::{Interval, millis};
use crate::platform::sync::atomic::Ordering;
use crate::rows::row_key::LONGEST_AGE;
use crate::store::access::Open;
use crate::store::core::Core;
use crate::store::plan::{Guards, Held, Plan};

impl Core {
    /// The longest that a sign-in can last.
    pub(crate) fn longest_age(&self) -> Interval {
        let usual = millis(self.options.max_sign_in_age);
        self.longest_age_set().map_or(usual, |longest| usual.max(longest))
    }

    /// As [`Core::longest_age`], if it was ever set.
    pub(crate) fn longest_age_set(&self) -> Option<Interval> {
        let set = self.longest_age.load(Ordering::Relaxed);
        (set > 0).then_some(Interval::new(set))
    }

    /// Stores the longest age that was set, or else takes over the stored one: while the store is
    /// opened.
    ///
    /// # Errors
    /// `InvalidInput` if it is shorter than the usual age; those of reading and writing.
    pub(crate) fn settle_longest_age(&self) -> Result<()> {
        let ask = || Ask::default().key(LONGEST_AGE.to_vec());
        let longest = match self.options.longest_sign_in_age {
            None => self.read(ask, stored)?,
            Some(set) if set < self.options.max_sign_in_age => {
                let problem = "it is shorter than max_sign_in_age";
                return Err(Error::invalid("longest_sign_in_age", problem));
            }
            Some(set) => {
                let nobody = Held { accounts: &[], session: None };
                self.change(nobody, ask, |open| plan(open, millis(set)))?;
                Some(millis(set))
            }
        };
        let longest = longest.map_or(0, Interval::get);
        self.longest_age.store(longest, Ordering::Relaxed);
        Ok(())
    }

    /// Takes over what another instance of a shared store has set since.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn renew_longest_age(&self) -> Result<()> {
        match (&self.backend, self.options.longest_sign_in_age) {
            (Backend::Remote(_), None) => self.settle_longest_age(),
            _ => Ok(()),
        }
    }

    /// A sign-in's own age, as it is stored.
    ///
    /// # Errors
    /// `InvalidInput` if it is longer than the longest, or none.
    pub(crate) fn own_age(&self, age: Duration) -> Result<Interval> {
        let age = millis(age);
        if age > self.longest_age() {
            let problem = "it is longer than the store's: see Builder::longest_sign_in_age";
            return Err(Error::invalid("lasts_for", problem));
        }
        if age == Interval::ZERO { Err(Error::invalid("lasts_for", "it is zero")) } else { Ok(age) }
    }
}

/// What an earlier opening has left. A row that does not open counts as none.
fn stored(open: &Open<'_>) -> Result<Option<Interval>> {
    let row = open.get(LONGEST_AGE)?;
    let rows = open.rows()?;
    Ok(row.and_then(|row| rows.open_longest_age(LONGEST_AGE, &row)))
}

fn plan(open: &Open<'_>, longest: Interval) -> Result<Plan<()>> {
    if stored(open)? == Some(longest) {
        return Ok(Plan::nothing(()));
    }
    let mut guards = Guards::on(open);
    guards.row_as_it_is(open, LONGEST_AGE)?;
    let mut batch = Batch::default();
    batch.put(LONGEST_AGE.to_vec(), open.rows()?.seal_longest_age(LONGEST_AGE, longest)?);
    Ok(Plan::nothing(()).commit(batch).only_if(guards).durable(Durability::PowerLoss))
}
