//! A new file of the ledger, while it is being written beside the one in use. It counts when it has
//! been switched to.

use super::format::{HEADER_BYTES, Header, LedgerKey, Record, SLOT_BYTES, Seal, Slot};
use super::{Growth, offset};
use crate::model::error::{Error, Result};
use crate::model::position::Position;
use crate::model::random_id::LedgerId;
use crate::platform::disk::{Disk, DiskFile};
use crate::platform::sync::Arc;

/// The most bytes of fillers that are made at a time.
const FILLERS: u64 = 16 * 1024;

/// A new file that is being written.
pub(super) struct Fresh<'a> {
    disk: &'a dyn Disk,
    name: String,
    file: Box<dyn DiskFile>,
    key: Arc<LedgerKey>,
    ledger_id: LedgerId,
    serial: u32,
    /// How many slots are written.
    slots: u64,
    /// Whether the file has taken the place of another, or may have.
    is_switched: bool,
}

/// What counts from the switch on.
pub(super) struct Switched {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) header: Header,
    pub(super) slots: u64,
}

impl<'a> Fresh<'a> {
    /// Begins a file, without its header: that is written last, when it is known what is behind it.
    pub(super) fn begin(
        disk: &'a dyn Disk,
        name: &str,
        key: Arc<LedgerKey>,
        ledger_id: LedgerId,
        serial: u32,
    ) -> Result<Self> {
        let file = disk.begin(name).map_err(failed)?;
        Ok(Self {
            disk,
            name: name.into(),
            file,
            key,
            ledger_id,
            serial,
            slots: 0,
            is_switched: false,
        })
    }

    /// How many slots are written.
    pub(super) fn slots(&self) -> u64 {
        self.slots
    }

    /// Writes records behind those that are there.
    pub(super) fn append(&mut self, records: &[Record]) -> Result<()> {
        let seal = self.seal();
        let slots = (self.slots..)
            .zip(records)
            .flat_map(|(place, record)| seal.encode(place, Slot::Record(*record)));
        let bytes: Vec<u8> = slots.collect();
        self.write(&bytes)
    }

    /// Syncs all that is written so far: what is still to come is little.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync().map_err(failed)
    }

    /// Adds fillers up to `slots`, and the header, and syncs all.
    pub(super) fn seal_up(&mut self, header: &Header, slots: u64) -> Result<()> {
        while self.slots < slots {
            let fillers = self.seal().fillers(self.slots, slots.min(self.slots + FILLERS));
            self.write(&fillers)?;
        }
        self.file.write_at(0, &header.encode(&self.key)).map_err(failed)?;
        self.sync()
    }

    /// Puts it in the place of the file of its name.
    ///
    /// # Errors
    /// What the system says: either file may be found then.
    pub(super) fn switch(mut self, header: Header) -> std::io::Result<Switched> {
        self.is_switched = true;
        self.disk.switch(&self.name)?;
        Ok(Switched { file: self.disk.open(&self.name)?.into(), header, slots: self.slots })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_at(offset(self.slots), bytes).map_err(failed)?;
        self.slots += (bytes.len() / SLOT_BYTES) as u64;
        Ok(())
    }

    fn seal(&self) -> Seal<'_> {
        Seal { key: &self.key, ledger_id: self.ledger_id, serial: self.serial }
    }
}

impl Drop for Fresh<'_> {
    fn drop(&mut self) {
        if !self.is_switched {
            // Best effort: a left-over is overwritten by the next attempt.
            let _ = self.disk.discard(&self.name);
        }
    }
}

/// How many slots a file has that is made for this many records: whole chunks, with the reserve,
/// and filler at the end.
pub(super) fn slots_for(records: u64, growth: Growth) -> u64 {
    (records + growth.reserve + 1).next_multiple_of(growth.chunk.into())
}

/// A whole file without a record.
pub(super) fn empty_file(header: &Header, key: &LedgerKey, growth: Growth) -> Vec<u8> {
    let seal = Seal { key, ledger_id: header.ledger_id, serial: header.serial };
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(&header.encode(key));
    bytes.extend_from_slice(&seal.fillers(0, slots_for(0, growth)));
    bytes
}

/// How far a position is behind the one that a file's tail begins at.
pub(super) fn behind(start: Position, position: Position) -> u64 {
    position.since(start)
}

fn failed(error: std::io::Error) -> Error {
    Error::io("write the compacted ledger")(error)
}
