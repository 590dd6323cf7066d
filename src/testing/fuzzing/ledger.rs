//! The ledger on a pretended machine.

use crate::ledger::fuzzing::{ID, LedgerOn, key};
use crate::ledger::{Found, Growth, Ledger};
use crate::model::error::Result;
use crate::model::position::Position;
use crate::model::time::Millis;
use crate::store::location::Place;
use crate::testing::machine::Machine;

impl LedgerOn {
    /// Makes the ledger's file.
    ///
    /// # Errors
    /// As making a store.
    pub fn create(machine: &Machine, chunk: u32, reserve: u64, now: u64) -> Result<()> {
        Ledger::create(
            &*machine.ledger_disk()?,
            ID,
            &key(),
            Growth { chunk, reserve },
            Millis::new(now),
        )
    }

    /// Opens it, and says whether it reaches the position that the engine has seen. If it does not,
    /// nothing is written.
    ///
    /// # Errors
    /// As opening a store.
    pub fn open(
        machine: &Machine,
        chunk: u32,
        reserve: u64,
        checkpoint: u64,
    ) -> Result<Option<Self>> {
        machine.sync()?;
        let found: Found =
            Ledger::read(machine.ledger_disk()?, ID, &key(), Growth { chunk, reserve })?;
        if found.reaches(Position::new(checkpoint)) {
            found.settle().map(Self).map(Some)
        } else {
            Ok(None)
        }
    }
}
