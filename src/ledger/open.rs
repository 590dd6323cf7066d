//! Opening a ledger: its file is made, or read, and the last group of what was read is written
//! again.

use std::io;

use super::format::{Header, LedgerKey, Record, What};
use super::recover::{Recovered, recover};
use super::{Growth, Ledger, State, fresh, offset};
use crate::crypto::{LedgerRootKey, fresh as random};
use crate::model::error::{Component, Error, Result};
use crate::model::position::{Opening, Position};
use crate::model::random_id::LedgerId;
use crate::model::time::Millis;
use crate::platform::disk::{Disk, DiskFile};
use crate::platform::sync::atomic::{AtomicBool, AtomicU64};
use crate::platform::sync::{Arc, Condvar, Mutex, RwLock};
use crate::rule::{Fence, Fences, NO_CUTOFF};

/// A ledger that was read and is sound in itself.
pub(crate) struct Found {
    found: Recovered,
    fences: Fences,
    disk: Box<dyn Disk>,
    name: String,
    key: Arc<LedgerKey>,
    growth: Growth,
}

impl Ledger {
    /// The name of the file of the ledger of this id.
    pub(crate) fn file_name(ledger_id: &LedgerId) -> String {
        format!("ledger-{}", base16ct::lower::encode_string(ledger_id.as_bytes()))
    }

    /// Whether a file of this name is a ledger.
    pub(crate) fn is_file_name(name: &str) -> bool {
        let id = name.strip_prefix("ledger-").map(str::as_bytes);
        id.is_some_and(|id| id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit))
    }

    /// Writes the file of a new ledger. It counts from when a keyring names it.
    pub(crate) fn create(
        disk: &dyn Disk,
        ledger_id: LedgerId,
        key: &LedgerRootKey,
        growth: Growth,
        now: Millis,
    ) -> Result<()> {
        let name = Self::file_name(&ledger_id);
        let header = Header {
            ledger_id,
            serial: 0,
            chunk: growth.chunk,
            kept: 0,
            tail: Position::new(1),
            floor: Position::ZERO,
            known_since: now,
        };
        let bytes = fresh::empty_file(&header, &LedgerKey::new(key, &ledger_id), growth);
        disk.prepare(&name, &bytes)
            .and_then(|()| disk.switch(&name))
            .map_err(Error::io("create the ledger"))
    }

    /// Reads the ledger of this id, and changes nothing yet: see [`Found::settle`]. The folder has
    /// been synced: a compaction may have died between its rename and making it durable.
    ///
    /// # Errors
    /// `Damaged` if it is missing or not as this ledger left it.
    pub(crate) fn read(
        disk: Box<dyn Disk>,
        ledger_id: LedgerId,
        key: &LedgerRootKey,
        growth: Growth,
    ) -> Result<Found> {
        Self::read_with(disk, ledger_id, LedgerKey::new(key, &ledger_id).into(), growth)
    }

    /// As [`Ledger::read`], with what is made of the key.
    ///
    /// # Errors
    /// As [`Ledger::read`].
    pub(super) fn read_with(
        disk: Box<dyn Disk>,
        ledger_id: LedgerId,
        key: Arc<LedgerKey>,
        growth: Growth,
    ) -> Result<Found> {
        let name = Self::file_name(&ledger_id);
        let mut fences = Fences::default();
        let found = recover(stream(&*disk, &name)?, &key, ledger_id, |_, record| {
            let_stand(&mut fences, record)
        })?;
        if found.header.floor > Position::ZERO {
            fences.stand_for_dropped(floor(found.header.floor, found.header.known_since));
        }
        Ok(Found { found, fences, disk, name, key, growth })
    }
}

impl Found {
    /// Whether this ledger can have been synced up to `position`: no record up to it is missing or
    /// torn.
    pub(crate) fn reaches(&self, position: Position) -> bool {
        position <= self.found.end && self.found.voided.is_none_or(|voided| position < voided)
    }

    /// Writes the last group again, and syncs it: what was read may have been only in the page
    /// cache.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn write_again(&self) -> Result<Box<dyn DiskFile>> {
        let found = &self.found;
        let file = self.disk.open(&self.name).map_err(Error::io("open the ledger"))?;
        let (first, rewrite) = &found.rewrite;
        // A chunk that was being added when the machine died is taken off again: there may be no
        // space for the rest of it.
        let cut = if found.is_cut { file.set_len(offset(found.slots)) } else { Ok(()) };
        let rewritten =
            cut.and_then(|()| file.write_at(offset(*first), rewrite)).and_then(|()| file.sync());
        rewritten.map_err(Error::io("write the ledger's last group again"))?;
        Ok(file)
    }

    /// The highest position, and what stands.
    #[cfg(all(unix, feature = "sqlite"))]
    pub(super) fn into_known(self) -> (Position, Fences) {
        (self.found.end, self.fences)
    }

    /// Writes the last group again and lets all fences stand. With [`Ledger::read`] this is the
    /// recovery.
    ///
    /// # Errors
    /// `Io`, and `Poisoned` if the disk fails.
    pub(crate) fn settle(self) -> Result<Ledger> {
        let file = self.write_again()?;
        let (found, mut fences) = (self.found, self.fences);
        fences.end_openings(found.end.next());
        let state = State {
            file: file.into(),
            name: self.name,
            key: self.key,
            header: found.header,
            slots: found.slots,
            end: found.end,
            pending: Vec::new(),
            busy: false,
            failed: None,
            groups: 0,
            begun: None,
            copied: None,
        };
        let ledger = Ledger {
            disk: self.disk,
            growth: self.growth,
            tending: Mutex::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            synced: AtomicU64::new(found.end.get()),
            failed: AtomicBool::new(false),
            fences: RwLock::new(fences),
            opening: Opening::from_bytes(random()?),
        };
        // Best effort: without space for a full reserve the store still opens.
        drop(ledger.lead(ledger.lock(), |ledger, state| ledger.grow(state, ledger.growth.reserve)));
        if ledger.is_failed() { Err(Error::Poisoned(Component::Ledger)) } else { Ok(ledger) }
    }
}

/// The fence that stands for all that was dropped for its age.
pub(super) fn floor(position: Position, known_since: Millis) -> Fence {
    Fence { position, cutoff: NO_CUTOFF, time: known_since }
}

/// Lets stand what a record of a file says.
pub(super) fn let_stand(fences: &mut Fences, record: &Record) {
    let Record { position, time, what, .. } = *record;
    match what {
        What::SignOut(scope, cutoff) => fences.stand(scope, Fence { position, cutoff, time }),
        What::Opened(opening) => fences.open(position, opening, time),
        What::Void | What::Moved => {}
    }
}

/// The file of this name, from its beginning.
pub(super) fn stream(disk: &dyn Disk, name: &str) -> Result<Box<dyn io::Read + Send>> {
    let file = disk.stream(name).map_err(Error::io("read the ledger"))?;
    file.ok_or_else(|| Error::damaged(
            Component::Ledger,
            "its file is not in this folder (if the app sets Builder::ledger_dir, name that folder; \
             on the command line: --ledger-dir)",
        ))
}
