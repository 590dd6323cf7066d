//! The steps of joining, under a lock of the folder that those hold one after the other who open it.

use std::path::Path;
use std::sync::{Mutex as StdMutex, PoisonError};
use std::time::Duration;

use crate::api::birth::Opener;
use crate::api::builder::{Builder, OnDamage, no_key};
use crate::api::token_store::TokenStore;
use crate::backend::exchange::Exchange;
use crate::backend::sqlite::{Joined, check_place, join};
use crate::backend::{Backend, Remote};
use crate::clock::StoreClock;
use crate::clock::trust::Known;
use crate::crypto::{KeySource, Keyring, Tagger, fresh};
#[cfg(feature = "test-util")]
use crate::engine::Tuning;
use crate::ledger::{Growth, Ledger};
use crate::model::error::{Error, Result};
use crate::model::random_id::LedgerId;
use crate::model::report::Opened;
use crate::model::storage::Storage;
use crate::model::time::Millis;
use crate::platform::disk::create_private;
use crate::platform::sync::{Arc, Mutex, thread};
use crate::platform::turn::identity;
use crate::rows::cipher::Rows;
use crate::store::access::not_embedded;
use crate::store::core::Core;
use crate::store::files::Unfinished;
use crate::store::lifetime::Site;
use crate::store::location::{
    BIRTH, Folders, Held, LOCK, MISSING, Place, engine_name, is_engine, is_rows, newest_engine,
};
use crate::store::lock_file::{Locked, Patience};
use crate::store::shared::{SharedFolder, take_turn};

/// The folders of the stores that this process has open.
static OPEN: StdMutex<Vec<(u32, (u64, u64))>> = StdMutex::new(Vec::new());

/// That this process has the store of a folder open: once, as one handle does for all threads.
struct Entry((u32, (u64, u64)));

impl Entry {
    /// # Errors
    /// `AlreadyOpen`
    fn new(folder: &Path) -> Result<Self> {
        let found = identity(folder).map_err(Error::io("look at the store's folder"))?;
        let own = (std::process::id(), found);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if open.contains(&own) {
            let (lock, pid) = (Some(folder.join(LOCK)), Some(own.0));
            return Err(Error::AlreadyOpen { lock, pid, in_this_process: true });
        }
        open.push(own);
        Ok(Self(own))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|one| *one != self.0);
    }
}

/// What joining works with.
struct Joining<'a> {
    folders: &'a Folders,
    key: &'a KeySource,
    growth: Growth,
    now: Millis,
    wait: Duration,
}

impl Builder {
    /// Joins the processes that have the store open.
    pub(in crate::api) fn join_sqlite(self) -> Result<TokenStore> {
        self.check()?;
        let folders = self.in_folders().cloned().ok_or_else(not_embedded)?;
        let key = self.key.as_ref().ok_or_else(no_key)?;
        let clock = StoreClock::new(self.clock, u64::from_be_bytes(fresh()?), self.longest_jump);
        let (growth, now, wait) = (self.growth, clock.now(), self.wait);
        let joining = Joining { folders: &folders, key, growth, now, wait };
        let mut patience = Patience::new(self.wait);
        create_private(&folders.path).map_err(Error::io("make the store's folder"))?;
        let entry = Entry::new(&folders.path)?;
        let join = || {
            let mut seen = None;
            match joining.join(&mut seen) {
                Err(Error::Damaged { .. }) if self.on_damage == OnDamage::ForgetEveryone => {
                    joining.forget_everyone(seen)?;
                    joining.join(&mut seen)
                }
                joined => joined,
            }
        };
        let (keyring, joined, mut held) = patience.retry(join, thread::sleep)?;
        held.push(Box::new(entry));
        let Joined { place, known, was_missing } = joined;
        let known = known.unwrap_or_else(|| known_of(&place, clock.now()));
        clock.remember(known);
        let tagger = Tagger::new(&keyring.secrets.index_key);
        let by_previous = keyring.opened_by_previous;
        let rows = Rows::new(keyring.store_id, keyring.secrets);
        let backend = Backend::Remote(Remote::new(Box::new(place), rows));
        let core = Core::new(backend, tagger, clock, self.options);
        core.settle_longest_age()?;
        let opened = Opened { engine_was_missing: was_missing, snapshot_was_damaged: false };
        let site = Site::Shared(Mutex::new(SharedFolder { folders }));
        TokenStore::new(Arc::new(core), Some(site), held, by_previous, opened)
    }
}

impl Joining<'_> {
    /// Tells whose ledger it has seen, whatever becomes of it.
    fn join(&self, seen: &mut Option<LedgerId>) -> Result<(Keyring, Joined, Held)> {
        let (folder, ledger_folder) = (&self.folders.path, self.folders.ledger_folder());
        create_private(folder).map_err(Error::io("make the store's folder"))?;
        create_private(ledger_folder).map_err(Error::io("make the ledger's folder"))?;
        check_place(folder, ledger_folder)?;
        let turn = take_turn(folder, self.wait)?;
        // Against a process that has it alone.
        let mut held: Held = vec![Box::new(Locked::share(folder.join(LOCK))?)];
        self.folders.sync()?;
        let opener = self.opener()?;
        let keyring = opener.keyring()?;
        let ledger_id = keyring.secrets.ledger_id;
        *seen = Some(ledger_id);
        // What a move did not finish, which had the store alone.
        let mut unfinished = Unfinished::read(&*opener.disk, &ledger_id)?;
        unfinished.remove_engines(self.folders)?;
        let names = opener.disk.list().map_err(Error::io("list the store's folder"))?;
        let newest = newest_engine(&names, &ledger_id);
        let serial = match newest {
            Some((Storage::Sqlite, serial)) => serial,
            Some(_) => return Err(Error::invalid("store", "it is kept by sled")),
            None => 0,
        };
        let ledger = Ledger::file_name(&ledger_id);
        held.push(Box::new(Locked::share(self.folders.ledger_lock(&ledger))?));
        let is_new = opener.disk.read(BIRTH).map_err(Error::io("read the birth mark"))?.is_some();
        let name = engine_name(Storage::Sqlite, &ledger_id, serial);
        let places = (folder.as_path(), &*name, ledger_folder);
        if newest.is_none() && !is_new {
            // Said also if this process dies before it is told.
            let marked =
                opener.disk.prepare(MISSING, b"").and_then(|()| opener.disk.switch(MISSING));
            marked.map_err(Error::io("mark that the rows are missing"))?;
        }
        let mut joined = join(places, serial > 0, &keyring, self.growth, is_new, self.wait)?;
        let missing = opener.disk.read(MISSING);
        joined.was_missing = missing.map_err(Error::io("read the mark of missing rows"))?.is_some();
        if joined.was_missing {
            opener.disk.remove(MISSING).map_err(Error::io("remove the mark of missing rows"))?;
        }
        unfinished.clear(self.folders, &*opener.disk, &mut held)?;
        // One that cannot be removed now does no harm but to the disk's space.
        let old = names.iter().filter(|one| is_engine(one) && **one != name);
        old.for_each(|name| drop(self.folders.engines().remove(name)));
        if is_new {
            opener.disk.remove(BIRTH).map_err(Error::io("remove the birth mark"))?;
        }
        drop(turn);
        Ok((keyring, joined, held))
    }

    /// A new ledger, and no rows: alone. Nothing, if another process has done so since.
    fn forget_everyone(&self, seen: Option<LedgerId>) -> Result<()> {
        let mut held = self.folders.lock()?;
        let opener = self.opener()?;
        let keyring = match opener.keyring() {
            Ok(keyring) => Some(keyring),
            Err(Error::Damaged { .. }) => None,
            // (A wrong key is no damage.)
            Err(error) => return Err(error),
        };
        if keyring.as_ref().map(|keyring| keyring.secrets.ledger_id) != seen {
            return Ok(());
        }
        if let Some(keyring) = &keyring {
            self.folders.lock_ledger(&Ledger::file_name(&keyring.secrets.ledger_id), &mut held)?;
        }
        opener.forget_everyone(keyring.as_ref(), &mut held)?;
        let names = opener.disk.list().map_err(Error::io("list the store's folder"))?;
        let old = names.iter().filter(|name| is_rows(name));
        old.into_iter().try_for_each(|name| self.folders.engines().remove(name))
    }

    fn opener(&self) -> Result<Opener<'_>> {
        Ok(Opener {
            place: self.folders,
            disk: self.folders.disk()?,
            key: self.key,
            growth: self.growth,
            now: self.now,
            forget: false,
            is_alone: false,
            storage: Storage::Sqlite,
        })
    }
}

/// One more instance in this process, for tests: a folder's locks tell instances apart as they do
/// processes.
#[cfg(feature = "test-util")]
pub(crate) fn join_beside(
    folder: &Path,
    key: &KeySource,
    now: Millis,
) -> Result<(Keyring, Box<dyn Exchange>)> {
    // Small, so that tests meet every border of the ledger's file.
    let growth = Growth { chunk: 16, reserve: 24 };
    let folders = &Folders::new(folder.to_owned(), None, Tuning::default());
    let joining = Joining { folders, key, growth, now, wait: Duration::ZERO };
    let (keyring, joined, held) = joining.join(&mut None)?;
    joined.place.keep(held);
    Ok((keyring, Box::new(joined.place)))
}

/// What the ledger tells of the time, where nothing else is left of it.
fn known_of(place: &impl Exchange, shown: Millis) -> Known {
    let told = place.latest_time(shown).unwrap_or(shown);
    Known { known: told, shown: told }
}
