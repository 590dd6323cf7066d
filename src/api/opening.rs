//! Opening a store: the order in which it is born, recovered, or forgotten.
//!
//! The order is an argument about crashes: after each step the files are such that the next open
//! understands them. Keyrings and ledgers are made and replaced in `birth.rs`.

use crate::api::birth::Opener;
#[cfg(feature = "test-util")]
use crate::api::builder::Location;
use crate::api::builder::{Builder, OnDamage, no_key};
use crate::api::token_store::TokenStore;
#[cfg(feature = "test-util")]
use crate::backend::Remote;
use crate::backend::{Backend, Embedded, Working};
use crate::clock::StoreClock;
use crate::clock::trust::Known;
use crate::crypto::{KeySource, Keyring, Tagger, fresh};
#[cfg(all(unix, feature = "sqlite", feature = "test-util"))]
use crate::engine::Tuning;
use crate::engine::{Engine, open_error};
use crate::ledger::{Growth, Ledger};
use crate::model::error::{Component, Error, Result};
use crate::model::position::Position;
use crate::model::report::Opened;
use crate::model::storage::Storage;
use crate::model::time::Millis;
use crate::observe;
use crate::platform::disk::Disk;
use crate::platform::sync::{Arc, Mutex, thread};
use crate::rows::LONGEST_VALUE;
use crate::rows::cipher::Rows;
use crate::rows::row_key::{CHECKPOINT, FRESH, KNOWN};
#[cfg(feature = "test-util")]
use crate::store::access::not_embedded;
use crate::store::core::{Core, Options};
use crate::store::files::{Premises, Unfinished};
use crate::store::lifetime::Site;
#[cfg(all(unix, feature = "sqlite", feature = "test-util"))]
use crate::store::location::Folders;
use crate::store::location::{
    BIRTH, Held, KEYRING, MISSING, Place, engine_name, is_engine, newest_engine,
};
use crate::store::lock_file::Patience;
#[cfg(all(unix, feature = "sqlite", feature = "test-util"))]
use crate::store::shared::SharedFolder;

impl Builder {
    /// Opens the store, or makes it if there is none. Only one process can have it open, unless it
    /// is kept by SQLite (`Builder::sqlite`).
    ///
    /// `Ok` means that every sign-out that was ever acknowledged stands.
    ///
    /// # Errors
    /// [`Error::AlreadyOpen`], at once unless [`Builder::wait_for_lock`] was called;
    /// [`Error::Busy`] if another process stands still while it opens the store or writes to it;
    /// [`Error::KeyUnavailable`] and [`Error::KeyRejected`] (nothing but the lock file was
    /// touched); [`Error::Damaged`]; [`Error::UnsupportedFormat`]; [`Error::Full`] and
    /// [`Error::Io`]; [`Error::InvalidInput`] if something was set out of its range.
    pub fn open(self) -> Result<TokenStore> {
        observe::verb("open", || self.open_now())
    }

    pub(super) fn open_now(self) -> Result<TokenStore> {
        self.check()?;
        #[cfg(feature = "test-util")]
        if matches!(self.place, Location::Shared(_)) {
            return self.join_now();
        }
        if self.is_kept_by_sqlite()? && !self.is_alone {
            return self.join_sqlite();
        }
        let mut patience = Patience::new(self.wait);
        let mut opening = Opening::new(self)?;
        patience.retry(|| opening.try_lock(), thread::sleep)?;
        opening.finish()
    }

    pub(super) fn check(&self) -> Result<()> {
        if (1..=64).contains(&self.options.max_sign_ins) {
            return Ok(());
        }
        Err(Error::invalid("max_sign_ins", "it must be from 1 to 64"))
    }

    /// Opens another instance of a shared store.
    #[cfg(feature = "test-util")]
    fn join_now(self) -> Result<TokenStore> {
        let key = self.key.as_ref().ok_or_else(no_key)?;
        let Location::Shared(shared) = &self.place else { return Err(not_embedded()) };
        let clock = StoreClock::new(self.clock, u64::from_be_bytes(fresh()?), self.longest_jump);
        let (keyring, place) = shared.join(key, clock.now())?;
        #[cfg(not(all(unix, feature = "sqlite")))]
        let site = None;
        #[cfg(all(unix, feature = "sqlite"))]
        let site = shared.folder().map(|folder| {
            let folders = Folders::new(folder, None, Tuning::default());
            Site::Shared(Mutex::new(SharedFolder { folders }))
        });
        let tagger = Tagger::new(&keyring.secrets.index_key);
        let rows = Rows::new(keyring.store_id, keyring.secrets);
        let backend = Backend::Remote(Remote::new(place, rows));
        let core = Core::new(backend, tagger, clock, self.options);
        core.settle_longest_age()?;
        let opened = Opened { engine_was_missing: false, snapshot_was_damaged: false };
        TokenStore::new(Arc::new(core), site, Vec::new(), keyring.opened_by_previous, opened)
    }
}

/// An opening that may have to wait for the locks of another process. What it has got it keeps
/// between two tries: the folder's lock first, then the ledger's. Two openings can so never wait
/// for each other; and when one is given up, what it has is unlocked.
pub(crate) struct Opening {
    place: Box<dyn Place>,
    key: KeySource,
    clock: StoreClock,
    growth: Growth,
    forget: bool,
    is_alone: bool,
    storage: Storage,
    options: Options,
    held: Held,
    /// Under the folder's lock: it names the ledger.
    keyring: Option<Keyring>,
}

impl Opening {
    /// # Errors
    /// `InvalidInput`
    pub(crate) fn new(builder: Builder) -> Result<Self> {
        builder.check()?;
        let storage = builder.storage();
        let clock =
            StoreClock::new(builder.clock, u64::from_be_bytes(fresh()?), builder.longest_jump);
        Ok(Self {
            key: builder.key.ok_or_else(no_key)?,
            place: builder.place.place()?,
            clock,
            growth: builder.growth,
            forget: builder.on_damage == OnDamage::ForgetEveryone,
            is_alone: builder.is_alone,
            storage,
            options: builder.options,
            held: Held::new(),
            keyring: None,
        })
    }

    /// Takes what it has not got yet.
    ///
    /// # Errors
    /// `AlreadyOpen` if another has it: the next try goes on from there. All else is as of
    /// [`Builder::open`].
    pub(crate) fn try_lock(&mut self) -> Result<()> {
        if self.held.is_empty() {
            // Locked, and every rename of an earlier process durable, before anything is read.
            let held = self.place.lock()?;
            self.place.sync()?;
            self.held = held;
        }
        if self.keyring.is_none() {
            let mut held = std::mem::take(&mut self.held);
            let keyring = self.opener().and_then(|opener| opener.keyring_or_forget(&mut held));
            self.held = held;
            self.keyring = Some(keyring?);
        }
        let Self { place, held, keyring: Some(keyring), .. } = self else { return Ok(()) };
        place.lock_ledger(&Ledger::file_name(&keyring.secrets.ledger_id), held)
    }

    /// Recovers what is locked, and opens it.
    ///
    /// # Errors
    /// As of [`Builder::open`].
    pub(crate) fn finish(mut self) -> Result<TokenStore> {
        // (Called only when all is locked.)
        let keyring = self.keyring.take().ok_or(Error::Closed)?;
        let mut held = std::mem::take(&mut self.held);
        let opener = self.opener()?;
        let (mut keyring, is_new, recovered) = opener.recover_or_forget(keyring, &mut held)?;
        let Recovery { ledger, engine, name, checkpoint, unfinished } = recovered;
        unfinished.clear(&*self.place, &*opener.disk, &mut held)?;
        let old_end = opener.settle(&mut keyring, &ledger)?;
        let disk = opener.tidy(&keyring, name)?;

        // From here on the parts are sound and of one time: what they say is read.
        let opened = report(&*engine, &*disk, is_new)?;
        let by_previous = keyring.opened_by_previous;
        let tagger = Tagger::new(&keyring.secrets.index_key);
        let rows = Rows::new(keyring.store_id, keyring.secrets);
        let known =
            engine.get(KNOWN).map_err(open_error)?.and_then(|row| rows.open_known(KNOWN, &row));
        let fresh =
            engine.get(FRESH).map_err(open_error)?.and_then(|row| rows.open_fresh(FRESH, &row));
        let Self { place, clock, options, .. } = self;
        clock.remember(known.unwrap_or_else(|| known_of(&ledger, clock.now())));
        let working = Working { engine, rows };
        let embedded = Embedded::new(working, ledger, (checkpoint, old_end));
        let backend = Backend::Embedded(Box::new(embedded));
        let core = Core::new(backend, tagger, clock, options);
        core.settle_longest_age()?;
        let premises = Premises::new(place, disk, name, fresh);
        let site = Site::Alone(Mutex::new(premises));
        TokenStore::new(Arc::new(core), Some(site), held, by_previous, opened)
    }

    fn opener(&self) -> Result<Opener<'_>> {
        Ok(Opener {
            place: &*self.place,
            disk: self.place.disk()?,
            key: &self.key,
            growth: self.growth,
            now: self.clock.now(),
            forget: self.forget,
            is_alone: self.is_alone,
            storage: self.storage,
        })
    }
}

/// A store's parts, sound and of one time.
struct Recovery {
    ledger: Ledger,
    engine: Box<dyn Engine>,
    /// What it is, and the serial in its name.
    name: (Storage, u32),
    checkpoint: Position,
    unfinished: Unfinished,
}

impl Opener<'_> {
    /// Opens the keyring. If it is damaged, and that was asked for, everyone is forgotten.
    fn keyring_or_forget(&self, held: &mut Held) -> Result<Keyring> {
        match self.keyring() {
            Err(Error::Damaged { .. }) if self.forget => self.forget_everyone(None, held),
            keyring => keyring,
        }
    }

    /// Recovers the parts that the keyring leads to; its ledger is locked. What is damaged is
    /// forgotten, if that was asked for. Also says whether the store is new: born here, or by an
    /// earlier open that did not come through, or begun anew.
    fn recover_or_forget(
        &self,
        keyring: Keyring,
        held: &mut Held,
    ) -> Result<(Keyring, bool, Recovery)> {
        // A store that is being born has no engine yet, nor has one that is born anew.
        let is_new = self.disk.read(BIRTH).map_err(Error::io("read the birth mark"))?.is_some();
        match self.recover(&keyring, is_new) {
            Err(Error::Damaged { .. }) if self.forget => {
                let keyring = self.forget_everyone(Some(&keyring), held)?;
                let ledger = Ledger::file_name(&keyring.secrets.ledger_id);
                self.place.lock_ledger(&ledger, held)?;
                let recovered = self.recover(&keyring, true)?;
                Ok((keyring, true, recovered))
            }
            recovered => Ok((keyring, is_new, recovered?)),
        }
    }

    /// Reads the ledger, asks the engine how far it has seen it, and only then writes to it.
    fn recover(&self, keyring: &Keyring, is_new: bool) -> Result<Recovery> {
        let secrets = &keyring.secrets;
        let found = Ledger::read(
            self.place.ledger_disk()?,
            secrets.ledger_id,
            &secrets.ledger_key,
            self.growth,
        )?;

        // The newest engine that is left without those of an unfinished move.
        let mut unfinished = Unfinished::read(&*self.disk, &secrets.ledger_id)?;
        unfinished.remove_engines(self.place)?;
        let names = self.disk.list().map_err(Error::io("list the store's folder"))?;
        let newest = newest_engine(&names, &secrets.ledger_id);
        if matches!(newest, Some((Storage::Sqlite, _))) && !self.is_alone {
            return Err(Error::invalid("store", "it is kept by SQLite"));
        }
        if newest.is_none() && !is_new {
            // Before one is made: should this open not come through, the next one finds an engine,
            // and must tell.
            let marked = self.disk.prepare(MISSING, b"").and_then(|()| self.disk.switch(MISSING));
            marked.map_err(Error::io("write the mark of a missing engine"))?;
        }

        let (storage, serial) = newest.unwrap_or((self.storage, 0));
        let name = engine_name(storage, &secrets.ledger_id, serial);
        let engine = self.place.engines().open(&name)?;
        if engine.limits().value_bytes < LONGEST_VALUE {
            return Err(Error::invalid("engine", "it cannot hold the longest row"));
        }

        // How far the engine has seen the ledger.
        let rows = Rows::new(keyring.store_id, secrets.clone());
        let checkpoint = engine.get(CHECKPOINT).map_err(open_error)?;
        if checkpoint.is_none() && serial > 0 {
            // It was put last when the rows were moved here.
            return Err(Error::damaged(Component::Engine, "its checkpoint is missing"));
        }
        let checkpoint =
            checkpoint.map_or(Ok(Position::ZERO), |row| rows.open_checkpoint(CHECKPOINT, &row))?;

        if found.reaches(checkpoint) {
            let (ledger, name) = (found.settle()?, (storage, serial));
            Ok(Recovery { ledger, engine, name, checkpoint, unfinished })
        } else {
            Err(Error::damaged(
                Component::Ledger,
                "records are missing that the engine has seen: an older copy was put back",
            ))
        }
    }

    /// Says in the keyring where the openings of version 1 end, if it does not say so yet: before
    /// the first opening of today's version. Gives that place.
    fn settle(&self, keyring: &mut Keyring, ledger: &Ledger) -> Result<Position> {
        if let Some(end) = keyring.secrets.old_end {
            return Ok(end);
        }
        let end = ledger.synced().next();
        let bytes = self.disk.read(KEYRING).map_err(Error::io("read the keyring"))?;
        let bytes = Keyring::settled(&bytes.unwrap_or_default(), self.key, end)?;
        let written = self.disk.prepare(KEYRING, &bytes).and_then(|()| self.disk.switch(KEYRING));
        written.map_err(Error::io("write the keyring of this version"))?;
        keyring.secrets.old_end = Some(end);
        Ok(end)
    }

    /// Removes what earlier lives of the store left: engines that were given up, and the mark of a
    /// birth that is over.
    fn tidy(self, keyring: &Keyring, (storage, serial): (Storage, u32)) -> Result<Box<dyn Disk>> {
        let current = engine_name(storage, &keyring.secrets.ledger_id, serial);
        let names = self.disk.list().map_err(Error::io("list the store's folder"))?;
        let old = names.iter().filter(|name| is_engine(name) && **name != current);
        // One that cannot be removed now does no harm but to the disk's space.
        old.into_iter().for_each(|name| drop(self.place.engines().remove(name)));
        if names.iter().any(|name| name == BIRTH) {
            self.disk.remove(BIRTH).map_err(Error::io("remove the birth mark"))?;
        }
        Ok(self.disk)
    }
}

/// What the operator should know of the files. The mark of a missing engine is removed, as this
/// open reports it.
fn report(engine: &dyn Engine, disk: &dyn Disk, is_new: bool) -> Result<Opened> {
    let found = engine.found();
    let was_missing =
        disk.read(MISSING).map_err(Error::io("read the mark of a missing engine"))?.is_some();
    if was_missing {
        disk.remove(MISSING).map_err(Error::io("remove the mark of a missing engine"))?;
    }
    Ok(Opened {
        engine_was_missing: was_missing && !is_new,
        snapshot_was_damaged: found.snapshot_was_damaged,
    })
}

/// What the ledger tells of the time, where nothing else is left of it: the latest that a process
/// has shown which did not show more than we do now.
fn known_of(ledger: &Ledger, shown: Millis) -> Known {
    let told = ledger.fences().latest_time(shown);
    let since = Some(ledger.horizon().1).filter(|since| *since <= shown);
    let latest = [told, since].into_iter().flatten().max().unwrap_or(shown);
    Known { known: latest, shown: latest }
}
