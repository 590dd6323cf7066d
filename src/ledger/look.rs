//! A look at the ledger's file beside whoever has it open: no lock is taken, and nothing is changed.

use super::Ledger;
use super::format::{LedgerKey, What};
use super::recover::recover;
use crate::clock::Millis;
use crate::crypto::Key;
use crate::disk::Disk;
use crate::error::{Error, Part, Result};
use crate::rule::{Fence, Position, Scope};

/// What the file said at that moment.
pub(crate) struct Seen {
    /// Every sign-out that is still in it, in order of position.
    pub(crate) sign_outs: Vec<(Scope, Fence)>,
    /// The highest position.
    pub(crate) end: Position,
    /// Later sign-outs are all known.
    pub(crate) known_since: Millis,
}

impl Ledger {
    /// Reads the ledger of this id as [`Ledger::read`] does, but leaves even its folder alone.
    ///
    /// # Errors
    /// `Damaged` if it is missing or not as this ledger left it; also if it was written to while it was read.
    pub(crate) fn look(disk: &dyn Disk, ledger_id: [u8; 16], key: &Key) -> Result<Seen> {
        let bytes = disk.read(&Self::file_name(&ledger_id)).map_err(Error::io("read the ledger"))?;
        let bytes = bytes.ok_or_else(|| Error::damaged(Part::Ledger, "its file is missing"))?;
        let found = recover(&bytes, &LedgerKey::new(key, &ledger_id), ledger_id)?;
        let sign_outs = found.records.iter().filter_map(|record| match record.what {
            What::SignOut(scope, cutoff) => Some((scope, Fence { position: record.position, cutoff, time: record.time })),
            What::Opened(_) | What::Void => None,
        });
        Ok(Seen { sign_outs: sign_outs.collect(), end: found.end, known_since: found.header.known_since })
    }
}
