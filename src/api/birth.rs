//! A store is born, or begins anew because what was there is forgotten.
//!
//! The keyring's appearance is a store's birth; replacing it is the only switch.

use crate::crypto::{KeySource, Keyring};
use crate::ledger::{Growth, Ledger};
use crate::model::error::{Component, Error, Result};
use crate::model::storage::Storage;
use crate::model::time::Millis;
use crate::platform::disk::Disk;
use crate::store::location::{BIRTH, Held, KEYRING, MOVING, Place, is_engine};

/// What opening works with.
pub(super) struct Opener<'a> {
    pub(super) place: &'a dyn Place,
    pub(super) disk: Box<dyn Disk>,
    pub(super) key: &'a KeySource,
    pub(super) growth: Growth,
    pub(super) now: Millis,
    /// Whether what is damaged is forgotten.
    pub(super) forget: bool,
    /// Whether this process is alone, so that it may open rows that others share.
    pub(super) is_alone: bool,
    /// What keeps a store that is new.
    pub(super) storage: Storage,
}

impl Opener<'_> {
    /// Opens the keyring, or makes a new store where there is nothing yet.
    pub(super) fn keyring(&self) -> Result<Keyring> {
        if let Some(bytes) = self.disk.read(KEYRING).map_err(Error::io("read the keyring"))? {
            return Keyring::open(&bytes, self.key);
        }

        // A new keyring would make an engine unreadable for ever; and beside an older ledger, a
        // backup of the older keyring that is put back later would find that ledger again, without
        // the sign-outs of the new one.
        let names = self.disk.list().map_err(Error::io("list the store's folder"))?;
        let half_born =
            self.disk.read(BIRTH).map_err(Error::io("read the birth mark"))?.unwrap_or_default();
        let ledgers = self.ledgers()?;
        if names.iter().any(|name| is_engine(name))
            || ledgers.iter().any(|name| name.as_bytes() != half_born)
        {
            return Err(Error::damaged(
                Component::Keyring,
                "it is missing beside an engine or a ledger (whose folder is for one store alone)",
            ));
        }

        let (keyring, bytes) = Keyring::create(self.key)?;
        let ledger = Ledger::file_name(&keyring.secrets.ledger_id);
        // Should the ledger of an earlier birth be there, it has never been used.
        self.remove_ledgers(&ledgers)?;
        let marked =
            self.disk.prepare(BIRTH, ledger.as_bytes()).and_then(|()| self.disk.switch(BIRTH));
        marked.map_err(Error::io("write the birth mark"))?;
        self.create_ledger(&keyring)?;
        let born = self.disk.prepare(KEYRING, &bytes).and_then(|()| self.disk.switch(KEYRING));
        born.map_err(Error::io("write the keyring"))?;
        Ok(keyring)
    }

    /// A new ledger, and an empty engine. The old ledgers are removed before the switch: a backup
    /// of an old keyring and engine that is put back later must find its ledger missing, not
    /// without the sign-outs that the new one will record.
    pub(super) fn forget_everyone(
        &self,
        keyring: Option<&Keyring>,
        held: &mut Held,
    ) -> Result<Keyring> {
        let old = self.ledgers()?;
        for ledger in &old {
            // No other process may be at work with it. (Our own lock, should we hold it, is no
            // obstacle.)
            if keyring
                .is_none_or(|keyring| *ledger != Ledger::file_name(&keyring.secrets.ledger_id))
            {
                self.place.lock_ledger(ledger, held)?;
            }
        }

        let (keyring, bytes) = match keyring {
            Some(keyring) => keyring.with_new_secrets(self.key)?,
            None => Keyring::create(self.key)?,
        };
        self.create_ledger(&keyring)?;
        self.disk.prepare(KEYRING, &bytes).map_err(Error::io("write the keyring"))?;
        self.remove_ledgers(&old)?;
        self.disk.switch(KEYRING).map_err(Error::io("write the keyring"))?;
        // What a move did not finish is forgotten with all else.
        self.disk.remove(MOVING).map_err(Error::io("remove the mark of a move"))?;
        Ok(keyring)
    }

    fn create_ledger(&self, keyring: &Keyring) -> Result<()> {
        let secrets = &keyring.secrets;
        Ledger::create(
            &*self.place.ledger_disk()?,
            secrets.ledger_id,
            &secrets.ledger_key,
            self.growth,
            self.now,
        )
    }

    /// The ledgers' files that are there.
    fn ledgers(&self) -> Result<Vec<String>> {
        let mut names =
            self.place.ledger_disk()?.list().map_err(Error::io("list the ledger's folder"))?;
        names.retain(|name| Ledger::is_file_name(name));
        Ok(names)
    }

    fn remove_ledgers(&self, names: &[String]) -> Result<()> {
        let disk = self.place.ledger_disk()?;
        names
            .iter()
            .try_for_each(|name| disk.remove(name))
            .map_err(Error::io("remove the old ledger"))
    }
}
