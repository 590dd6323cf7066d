//! A look at the ledger's file beside the process that has it open: no lock is taken, and nothing
//! is changed.

use super::Ledger;
use super::format::{LedgerKey, What};
use super::open::stream;
use super::recover::recover;
use crate::crypto::LedgerRootKey;
use crate::model::error::Result;
use crate::model::position::Position;
use crate::model::random_id::LedgerId;
use crate::model::tag::TaggedScope;
use crate::model::time::Millis;
use crate::platform::disk::Disk;
use crate::rule::Fence;

/// What the file said at that moment.
pub(crate) struct Seen {
    /// The sign-outs of the wanted scopes that are still in it, in order of position.
    pub(crate) sign_outs: Vec<(TaggedScope, Fence)>,
    /// The highest position.
    pub(crate) end: Position,
    /// All later sign-outs are known.
    pub(crate) known_since: Millis,
}

impl Ledger {
    /// Reads the ledger of this id as [`Ledger::read`] does, but leaves even its folder alone.
    /// Gives the sign-outs of the scopes that are wanted.
    ///
    /// # Errors
    /// `Damaged` if it is missing or not as this ledger left it; also if it was written to while it
    /// was read.
    pub(crate) fn look(
        disk: &dyn Disk,
        ledger_id: LedgerId,
        key: &LedgerRootKey,
        wanted: impl Fn(&TaggedScope) -> bool,
    ) -> Result<Seen> {
        let file = stream(disk, &Self::file_name(&ledger_id))?;
        let mut sign_outs = Vec::new();
        let found = recover(file, &LedgerKey::new(key, &ledger_id), ledger_id, |_, record| {
            match record.what {
                What::SignOut(scope, cutoff) if wanted(&scope) => {
                    sign_outs.push((
                        scope,
                        Fence { position: record.position, cutoff, time: record.time },
                    ));
                }
                What::SignOut(..) | What::Opened(_) | What::Void => {}
            }
        })?;
        Ok(Seen { sign_outs, end: found.end, known_since: found.header.known_since })
    }
}
