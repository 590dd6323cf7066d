//! A look at the ledger's file beside the process that has it open: no lock is taken, and nothing
//! is changed.

use std::io::Read;

use super::Ledger;
use super::check::Written;
use super::format::{LedgerKey, What};
use super::open::stream;
use super::recover::recover;
use crate::crypto::LedgerRootKey;
use crate::model::error::{Component, Error, Result};
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
        seen(file, &LedgerKey::new(key, &ledger_id), ledger_id, wanted)
    }

    /// The same for the process that has the ledger open: what is durable, while sign-outs go on.
    ///
    /// # Errors
    /// `Damaged` if the file is not as this process wrote it; `Poisoned` after an earlier failure.
    pub(crate) fn look_within(&self, wanted: impl Fn(&TaggedScope) -> bool) -> Result<Seen> {
        let _tending = self.tend();
        let Written { file, key, header, end } = self.written_now()?;
        let seen = seen(file, &key, header.ledger_id, wanted)?;
        if seen.end == end {
            return Ok(seen);
        }
        Err(Error::damaged(Component::Ledger, "its file is not as this process wrote it"))
    }
}

pub(super) fn seen(
    file: impl Read,
    key: &LedgerKey,
    ledger_id: LedgerId,
    wanted: impl Fn(&TaggedScope) -> bool,
) -> Result<Seen> {
    let mut sign_outs = Vec::new();
    let found = recover(file, key, ledger_id, |_, record| match record.what {
        What::SignOut(scope, cutoff) if wanted(&scope) => {
            let fence = Fence { position: record.position, cutoff, time: record.time };
            sign_outs.push((scope, fence));
        }
        What::SignOut(..) | What::Opened(_) | What::Void | What::Moved => {}
    })?;
    Ok(Seen { sign_outs, end: found.end, known_since: found.header.known_since })
}
