//! Opening a store: what can be set, and the order in which a store is born, recovered, or
//! forgotten.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::api::history::{self, History};
use crate::api::token_store::TokenStore;
use crate::api::verify_copy::verify_copy;
use crate::clock::lasting::Skew;
use crate::clock::trust::Known;
use crate::clock::{Clock, StoreClock, SystemClock};
use crate::crypto::{KeySource, Keyring, Tagger, fresh};
use crate::engine::{Durability, Engine, Tuning, open_error};
use crate::ledger::{Growth, Ledger};
use crate::model::error::{Error, Part, Result};
use crate::model::position::Position;
use crate::model::report::{Opened, Verified};
use crate::model::sign_out::{Scope, SessionPolicy};
use crate::model::time::Millis;
use crate::observe;
use crate::platform::disk::{self, Disk};
use crate::platform::sync::Arc;
use crate::rows::LONGEST_VALUE;
use crate::rows::cipher::Rows;
use crate::rows::row_key::{CHECKPOINT, FRESH, KNOWN};
use crate::store::core::{Core, Options, Working};
use crate::store::files::{Premises, Unfinished};
use crate::store::location::{
    BIRTH, Folders, Held, KEYRING, MISSING, MOVING, Place, engine_name, is_engine, newest_engine,
    parse_engine,
};

/// What to do when a part of the store is damaged or missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDamage {
    /// Refuse to open, with [`Error::Damaged`].
    #[default]
    Refuse,
    /// Begin anew with an empty store: everybody signs in again. Never done because of a wrong key
    /// or a newer format.
    ForgetEveryone,
}

/// How to open a [`TokenStore`].
#[must_use]
pub struct Builder {
    place: Location,
    key: Option<KeySource>,
    clock: Box<dyn Clock>,
    longest_jump: Duration,
    on_damage: OnDamage,
    options: Options,
    growth: Growth,
}

/// Folders can be set up further; any other place is as it is.
enum Location {
    Folders(Folders),
    #[cfg(feature = "test-util")]
    Other(Box<dyn Place>),
}

impl Location {
    fn place(self) -> Box<dyn Place> {
        match self {
            Self::Folders(folders) => Box::new(folders),
            #[cfg(feature = "test-util")]
            Self::Other(place) => place,
        }
    }
}

impl Builder {
    pub(crate) fn at_folder(path: PathBuf) -> Self {
        Self::new(Location::Folders(Folders::new(path, None, Tuning::default())))
    }

    #[cfg(feature = "test-util")]
    pub(crate) fn at_place(place: Box<dyn Place>) -> Self {
        // Small, so that tests meet every border of the ledger's file.
        let growth = Growth { chunk: 16, reserve: 24 };
        Self { growth, ..Self::new(Location::Other(place)).key(KeySource::bytes([7; 32])) }
    }

    fn new(place: Location) -> Self {
        let options = Options {
            skew: Skew::Default(Duration::from_secs(5 * 60)),
            max_sign_in_age: Duration::from_secs(90 * 24 * 3600),
            max_sign_ins: 16,
            session_policy: SessionPolicy::default(),
            refresh_durability: Durability::PowerLoss,
            other_durability: Durability::ProcessCrash,
        };
        let (clock, longest_jump) = (Box::new(SystemClock), Duration::from_secs(3600));
        Self {
            place,
            key: None,
            clock,
            longest_jump,
            on_damage: OnDamage::Refuse,
            options,
            growth: Growth::default(),
        }
    }

    fn folders(&mut self) -> Option<&mut Folders> {
        match &mut self.place {
            Location::Folders(folders) => Some(folders),
            #[cfg(feature = "test-util")]
            Location::Other(_) => None,
        }
    }

    fn in_folders(&self) -> Option<&Folders> {
        match &self.place {
            Location::Folders(folders) => Some(folders),
            #[cfg(feature = "test-util")]
            Location::Other(_) => None,
        }
    }

    /// Where the 256-bit key comes from. There is no store without one.
    pub fn key(mut self, key: KeySource) -> Self {
        self.key = Some(key);
        self
    }

    /// Keeps the ledger in another folder, best on another volume: then restoring an older copy of
    /// the store's own folder leaves everybody out who signed out since. The folder is for the
    /// ledger of this store alone.
    pub fn ledger_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        if let Some(folders) = self.folders() {
            folders.ledger = Some(folder.into());
        }
        self
    }

    /// How much memory the engine's cache of sealed rows may take. Default: 64 MiB.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        if let Some(folders) = self.folders() {
            folders.engines.tuning.cache_bytes = bytes;
        }
        self
    }

    /// How long a write to the engine may wait for the disk. Default: 30 seconds.
    ///
    /// A disk that hangs would hang whoever waits for it. After so long the verb fails with
    /// [`Error::Io`] (`TimedOut`), and the engine has failed: sign-outs go on, other verbs need the
    /// store reopened, by a *new process*, as nothing else ends the write that hangs. The store's
    /// folder stays locked until this one ends, also when the store is closed. (Reads from the disk
    /// are not bounded.)
    pub fn disk_timeout(mut self, timeout: Duration) -> Self {
        if let Some(folders) = self.folders() {
            folders.engines.tuning.disk_timeout = timeout;
        }
        self
    }

    /// What to do about damage. Default: [`OnDamage::Refuse`].
    pub fn on_damage(mut self, on_damage: OnDamage) -> Self {
        self.on_damage = on_damage;
        self
    }

    /// The clock. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// By how much the clock may jump ahead, beyond the time that has passed, before nothing is
    /// deleted for its age any more. Default: an hour.
    ///
    /// By a clock that is a hundred days ahead everything is too old. It cannot be read then, and
    /// can be again when the clock is corrected, unless it was deleted meanwhile. So the
    /// [sweep](TokenStore::sweep) and [compaction](TokenStore::compact) wait, until somebody else
    /// speaks for the clock: the time of an ID or logout token that was verified; the clock of a
    /// later opening, once it has shown no less than this one did for as long; or an operator
    /// ([`TokenStore::trust_clock`]). A process that was off for longer than this looks the same.
    /// [`Stats::clock_ahead_by`](crate::Stats::clock_ahead_by) tells.
    pub fn longest_clock_jump(mut self, jump: Duration) -> Self {
        self.longest_jump = jump;
        self
    }

    /// A token counts as expired this long before its expiry. Default: 5 minutes, but at most a
    /// tenth of the token's life; what is set here counts whatever the token's life. (An access
    /// token that says when to refresh it counts as expired halfway between then and its expiry, if
    /// that is later.)
    pub fn skew(mut self, skew: Duration) -> Self {
        self.options.skew = Skew::Set(skew);
        self
    }

    /// A sign-in ends by itself at this age; so long the ledger knows sign-outs. Default: 90 days.
    pub fn max_sign_in_age(mut self, age: Duration) -> Self {
        self.options.max_sign_in_age = age;
        self
    }

    /// How many sign-ins an account can have at a time; one more pushes out the oldest with its
    /// tokens. From 1 to 64. Default: 16.
    pub fn max_sign_ins(mut self, count: u8) -> Self {
        self.options.max_sign_ins = count;
        self
    }

    /// What a session's sign-out ends. Default: [`SessionPolicy::WholeAccount`].
    pub fn session_policy(mut self, policy: SessionPolicy) -> Self {
        self.options.session_policy = policy;
        self
    }

    /// What the `Ok` of a put with a refresh token survives. Default: [`Durability::PowerLoss`]: a
    /// rotated token that is lost costs the whole family at most providers.
    pub fn refresh_token_durability(mut self, durability: Durability) -> Self {
        self.options.refresh_durability = durability;
        self
    }

    /// What the `Ok` of a put without one survives. Default: [`Durability::ProcessCrash`].
    pub fn token_durability(mut self, durability: Durability) -> Self {
        self.options.other_durability = durability;
        self
    }

    /// Opens the store, or makes it if there is none. Only one process can have it open.
    ///
    /// `Ok` means that every sign-out that was ever acknowledged stands.
    ///
    /// # Errors
    /// [`Error::AlreadyOpen`]; [`Error::KeyUnavailable`] and [`Error::KeyRejected`] (nothing but
    /// the lock file was touched); [`Error::Damaged`]; [`Error::UnsupportedFormat`];
    /// [`Error::Full`] and [`Error::Io`]; [`Error::InvalidInput`] if something was set out of its
    /// range.
    pub fn open(self) -> Result<TokenStore> {
        observe::verb("open", || self.open_now())
    }

    fn open_now(self) -> Result<TokenStore> {
        let key = self.key.as_ref().ok_or_else(no_key)?;
        if !(1..=64).contains(&self.options.max_sign_ins) {
            return Err(Error::invalid("max_sign_ins", "it must be from 1 to 64"));
        }
        let place = self.place.place();
        let mut held = place.lock()?;
        place.sync()?;
        let disk = place.disk()?;
        let clock = StoreClock::new(self.clock, u64::from_be_bytes(fresh()?), self.longest_jump);
        let birth = Birth {
            place: &*place,
            disk,
            key,
            growth: self.growth,
            now: clock.now(),
            forget: self.on_damage == OnDamage::ForgetEveryone,
        };
        let mut keyring = match birth.keyring() {
            Err(Error::Damaged { .. }) if birth.forget => birth.forget_everyone(None, &mut held)?,
            keyring => keyring?,
        };
        place.lock_ledger(&Ledger::file_name(&keyring.secrets.ledger_id), &mut held)?;
        // A store that is being born has no engine yet, nor has one that is born anew.
        let mut is_new =
            birth.disk.read(BIRTH).map_err(Error::io("read the birth mark"))?.is_some();
        let recovered = match birth.recover(&keyring, is_new) {
            Err(Error::Damaged { .. }) if birth.forget => {
                is_new = true;
                keyring = birth.forget_everyone(Some(&keyring), &mut held)?;
                place.lock_ledger(&Ledger::file_name(&keyring.secrets.ledger_id), &mut held)?;
                birth.recover(&keyring, is_new)?
            }
            recovered => recovered?,
        };
        let Recovery { ledger, engine, serial, checkpoint, unfinished } = recovered;
        unfinished.clear(&*place, &*birth.disk, &mut held)?;
        let old_end = birth.settle(&mut keyring, &ledger)?;
        let disk = birth.tidy(&keyring, serial)?;

        let found = engine.found();
        let was_missing =
            disk.read(MISSING).map_err(Error::io("read the mark of a missing engine"))?.is_some();
        if was_missing {
            disk.remove(MISSING).map_err(Error::io("remove the mark of a missing engine"))?;
        }
        let engine_was_missing = was_missing && !is_new;
        let opened =
            Opened { engine_was_missing, snapshot_was_damaged: found.snapshot_was_damaged };
        let by_previous = keyring.opened_by_previous;
        let tagger = Tagger::new(&keyring.secrets.index_key);
        let rows = Rows::new(keyring.store_id, keyring.secrets);
        let known =
            engine.get(KNOWN).map_err(open_error)?.and_then(|row| rows.open_known(KNOWN, &row));
        let fresh =
            engine.get(FRESH).map_err(open_error)?.and_then(|row| rows.open_fresh(FRESH, &row));
        clock.remember(known.unwrap_or_else(|| known_of(&ledger, clock.now())));
        let working = Working { engine, rows };
        let core = Core::new(working, ledger, tagger, clock, self.options, (checkpoint, old_end));
        TokenStore::new(
            Arc::new(core),
            Premises::new(place, disk, serial, fresh),
            held,
            by_previous,
            opened,
        )
    }

    /// Restores a [backup](TokenStore::backup) into this folder, and opens the store.
    ///
    /// The ledger has to be the one that was last in use: in the folder of [`Builder::ledger_dir`],
    /// or still in the store's own. So everybody who has signed out since the backup stays out,
    /// however old it is; who has signed in since signs in again. A keyring that is in place is
    /// kept, as it may be wrapped by a newer key. If this is interrupted, call it again.
    ///
    /// # Errors
    /// As [`Builder::open`], which is the last step: the backup is in place by then.
    /// [`Error::InvalidInput`] if this is no whole backup, or the store has
    /// [erased](TokenStore::complete_erasure) or forgotten everything since; [`Error::Damaged`] of
    /// the ledger if that is missing, or older than the backup: nothing was changed then.
    pub fn restore(self, backup: impl AsRef<Path>) -> Result<TokenStore> {
        observe::verb("restore", || self.restore_now(backup.as_ref()))
    }

    fn restore_now(mut self, backup: &Path) -> Result<TokenStore> {
        let key = self.key.as_ref().ok_or_else(no_key)?;
        let folders = self
            .in_folders()
            .ok_or_else(|| Error::invalid("restore", "a backup is restored into a folder"))?;
        crate::maintenance::restore::restore(Box::new(folders.clone()), key, self.growth, backup)?;
        // A backup that does not fit is no reason to forget everyone.
        self.on_damage = OnDamage::Refuse;
        self.open_now()
    }

    /// Reads the sign-outs on record without opening the store: beside the app that has it open, on
    /// a read-only copy, or when the engine is damaged. It takes no lock and changes nothing.
    ///
    /// The newest records may not be durable yet: their callers are still waiting. And an older
    /// copy of the ledger that was put in its place cannot be told from it here, for that takes the
    /// engine's word: opening the store tells.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if there is no store here; [`Error::KeyUnavailable`],
    /// [`Error::KeyRejected`]; [`Error::Damaged`], if the ledger does not look sound however often
    /// it is looked at (a quarter of a second); [`Error::UnsupportedFormat`]; [`Error::Io`].
    pub fn history(self) -> Result<History> {
        self.read_history(None)
    }

    /// As [`history`](Self::history), with no other sign-outs than those of these scopes and of
    /// everybody: what [`History::covering`] and [`History::of`] would give of them. It takes no
    /// more memory for it, however many others there are.
    ///
    /// # Errors
    /// As [`history`](Self::history).
    pub fn history_of(self, scopes: &[Scope]) -> Result<History> {
        self.read_history(Some(scopes))
    }

    fn read_history(self, of: Option<&[Scope]>) -> Result<History> {
        observe::verb("history", || self.read_history_now(of))
    }

    fn read_history_now(self, of: Option<&[Scope]>) -> Result<History> {
        let key = self.key.as_ref().ok_or_else(no_key)?;
        if let Some(folders) = self.in_folders() {
            // A place makes the folders that it is asked for.
            if !has_keyring(folders)? {
                return Err(Error::invalid("store", "there is none in this folder"));
            }
            let has_ledgers =
                folders.ledger.as_ref().map_or(Ok(true), |folder| disk::is_folder(folder));
            if !has_ledgers.map_err(Error::io("look at the ledger's folder"))? {
                return Err(Error::damaged(Part::Ledger, "its folder is missing"));
            }
        }
        history::read(&*self.place.place(), key, of)
    }

    /// Opens every row and record of a store that nobody has open, and changes nothing but the lock
    /// file: it looks at a copy, in the system's folder for temporary files. Of an open store,
    /// [`TokenStore::verify`] does it in place.
    ///
    /// # Errors
    /// As [`Builder::open`], but never makes a store: [`Error::InvalidInput`] if there is none.
    pub fn verify(self) -> Result<Verified> {
        observe::verb("verify", || self.verify_now())
    }

    fn verify_now(mut self) -> Result<Verified> {
        let key = self.key.as_ref().ok_or_else(no_key)?;
        let folders = self
            .in_folders()
            .ok_or_else(|| Error::invalid("verify", "only a folder can be copied"))?;
        if !has_keyring(folders)? {
            return Err(Error::invalid("store", "there is none in this folder"));
        }
        let place = folders.clone();
        let mut held = place.lock()?;
        let bytes =
            place.disk()?.read(KEYRING).map_err(Error::io("read the keyring"))?.unwrap_or_default();
        let id = Keyring::open(&bytes, key)?.secrets.ledger_id;
        let ledger = Ledger::file_name(&id);
        place.lock_ledger(&ledger, &mut held)?;
        self.on_damage = OnDamage::Refuse;
        verify_copy(move |copy| {
            let to = Folders::new(copy.to_owned(), None, place.engines.tuning);
            let copied = to.disk()?;
            for (from, name) in [
                (place.ledger_disk()?, ledger.as_str()),
                (place.disk()?, MOVING),
                (place.disk()?, KEYRING),
            ] {
                disk::copy(&*from, &*copied, name).map_err(Error::io("copy the store"))?;
            }
            for name in place.disk()?.list().map_err(Error::io("list the store's folder"))? {
                if parse_engine(&name).is_some_and(|(ledger, _)| ledger == id) {
                    to.engines().import(&place.path.join(&name), &name)?;
                }
            }
            self.place = Location::Folders(to);
            Ok(self)
        })
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("key", &self.key)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Whether there is a store, or was.
fn has_keyring(folders: &Folders) -> Result<bool> {
    disk::is_file(&folders.path.join(KEYRING)).map_err(Error::io("look for the keyring"))
}

/// The steps of opening. The keyring's appearance is a store's birth; replacing it is the only
/// switch.
struct Birth<'a> {
    place: &'a dyn Place,
    disk: Box<dyn Disk>,
    key: &'a KeySource,
    growth: Growth,
    now: Millis,
    forget: bool,
}

impl Birth<'_> {
    /// Opens the keyring, or makes a new store where there is nothing yet.
    fn keyring(&self) -> Result<Keyring> {
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
                Part::Keyring,
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
    fn forget_everyone(&self, keyring: Option<&Keyring>, held: &mut Held) -> Result<Keyring> {
        let old = self.ledgers()?;
        for ledger in &old {
            // Nobody may be at work with it. (Our own lock, should we hold it, is no obstacle.)
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

    /// Reads the ledger, asks the engine how far it has seen it, and only then writes to it.
    fn recover(&self, keyring: &Keyring, is_new: bool) -> Result<Recovery> {
        let secrets = &keyring.secrets;
        let found = Ledger::read(
            self.place.ledger_disk()?,
            secrets.ledger_id,
            &secrets.ledger_key,
            self.growth,
        )?;
        let mut unfinished = Unfinished::read(&*self.disk, &secrets.ledger_id)?;
        unfinished.remove_engines(self.place)?;
        let names = self.disk.list().map_err(Error::io("list the store's folder"))?;
        let newest = newest_engine(&names, &secrets.ledger_id);
        if newest.is_none() && !is_new {
            // Before one is made: should this open not come through, the next one finds an engine,
            // and must tell.
            let marked = self.disk.prepare(MISSING, b"").and_then(|()| self.disk.switch(MISSING));
            marked.map_err(Error::io("write the mark of a missing engine"))?;
        }
        let serial = newest.unwrap_or(0);
        let engine = self.place.engines().open(&engine_name(&secrets.ledger_id, serial))?;
        if engine.limits().value_bytes < LONGEST_VALUE {
            return Err(Error::invalid("engine", "it cannot hold the longest row"));
        }
        let rows = Rows::new(keyring.store_id, secrets.clone());
        let checkpoint = engine.get(CHECKPOINT).map_err(open_error)?;
        if checkpoint.is_none() && serial > 0 {
            // It was put last when the rows were moved here.
            return Err(Error::damaged(Part::Engine, "its checkpoint is missing"));
        }
        let checkpoint =
            checkpoint.map_or(Ok(Position::ZERO), |row| rows.open_checkpoint(CHECKPOINT, &row))?;
        if found.reaches(checkpoint) {
            Ok(Recovery { ledger: found.settle()?, engine, serial, checkpoint, unfinished })
        } else {
            Err(Error::damaged(
                Part::Ledger,
                "records are missing that the engine has seen: an older copy was put back",
            ))
        }
    }

    /// Says in the keyring where the openings of version 1 end, if that is still open: before the
    /// first of today's. Gives that place.
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
    fn tidy(self, keyring: &Keyring, serial: u32) -> Result<Box<dyn Disk>> {
        let current = engine_name(&keyring.secrets.ledger_id, serial);
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

/// A store's parts, sound and of one time.
struct Recovery {
    ledger: Ledger,
    engine: Box<dyn Engine>,
    serial: u32,
    checkpoint: Position,
    unfinished: Unfinished,
}

/// What the ledger tells of the time, where nothing else is left of it: the latest that a process
/// has shown which did not show more than we do now.
fn known_of(ledger: &Ledger, shown: Millis) -> Known {
    let told = ledger.fences().latest_time(shown);
    let since = Some(ledger.horizon().1).filter(|since| *since <= shown);
    let latest = [told, since].into_iter().flatten().max().unwrap_or(shown);
    Known { known: latest, shown: latest }
}

fn no_key() -> Error {
    Error::invalid("key", "none was given; use .key(KeySource::...)")
}
