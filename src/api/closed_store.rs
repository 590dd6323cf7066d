//! What is done with a store that this process does not have open: restoring a backup into it,
//! reading its history, verifying it.

use std::path::{Path, PathBuf};

use crate::api::builder::{Builder, Location, OnDamage, no_key};
use crate::api::history::{self, History};
use crate::api::token_store::TokenStore;
use crate::crypto::{Keyring, fresh};
use crate::ledger::Ledger;
use crate::maintenance::restore::restore;
use crate::maintenance::verify;
use crate::model::error::{Component, Error, Result};
use crate::model::random_id::LedgerId;
use crate::model::report::VerifyReport;
use crate::model::sign_out::SignOutScope;
use crate::model::storage::Storage;
use crate::observe;
use crate::platform::disk;
use crate::platform::sync::thread;
use crate::store::location::{Folders, Held, KEYRING, MOVING, Place, parse_engine};
use crate::store::lock_file::Patience;

impl Builder {
    /// Restores a [backup](TokenStore::backup) into this folder, and opens the store.
    ///
    /// The ledger has to be the one that was last in use: in the folder of [`Builder::ledger_dir`],
    /// or still in the store's own. So users who have signed out since the backup stay signed out,
    /// however old it is; users who have signed in since sign in again. A keyring that is in place
    /// is kept, as it may be wrapped by a newer key. If this is interrupted, call it again.
    ///
    /// # Errors
    /// As [`Builder::open`], which is the last step: the backup is in place by then.
    /// [`Error::InvalidInput`] if this is no whole backup, or the store has
    /// [erased](TokenStore::complete_erasure) or forgotten everything since; [`Error::Damaged`] of
    /// the ledger if that is missing, or older than the backup: nothing was changed then.
    pub fn restore(self, backup: impl AsRef<Path>) -> Result<TokenStore> {
        observe::verb("restore", || self.restore_now(backup.as_ref()))
    }

    /// Reads the sign-outs on record without opening the store: beside the app that has it open, on
    /// a read-only copy, or when the engine is damaged. It takes no lock and changes nothing.
    ///
    /// The newest records may not be durable yet: their callers are still waiting. And if an older
    /// copy of the ledger was put in its place, that does not show here, as only the engine knows
    /// how far the ledger had come: opening the store tells.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if there is no store here; [`Error::KeyUnavailable`],
    /// [`Error::KeyRejected`]; [`Error::Damaged`], if the ledger does not look sound however often
    /// it is looked at (a quarter of a second); [`Error::UnsupportedFormat`]; [`Error::Io`].
    pub fn history(self) -> Result<History> {
        self.read_history(None)
    }

    /// As [`history`](Self::history), with no other sign-outs than those of these scopes and of
    /// everybody: what [`History::covering`] and [`History::of`] would give for these scopes. It
    /// takes no more memory, however many other sign-outs there are.
    ///
    /// # Errors
    /// As [`history`](Self::history).
    pub fn history_of(self, scopes: &[SignOutScope]) -> Result<History> {
        self.read_history(Some(scopes))
    }

    /// Opens every row and record of a store that no process has open: of a copy, in the system's
    /// folder for temporary files. It changes nothing, and makes no lock file, so that it works
    /// where nothing can be written. (If a lock file is there, it is locked meanwhile, and gets the
    /// id of this process if it can be written to.) Of an open store, [`TokenStore::verify`] does
    /// it in place.
    ///
    /// # Errors
    /// As [`Builder::open`], but never makes a store: [`Error::InvalidInput`] if there is none.
    pub fn verify(self) -> Result<VerifyReport> {
        observe::verb("verify", || {
            // Beside processes that write to SQLite's files, these cannot be copied: then it is
            // joined as by any process.
            if self.is_kept_by_sqlite()? {
                return match self.lock_to_verify() {
                    Err(Error::AlreadyOpen { .. }) => {
                        let refusing = Self { on_damage: OnDamage::Refuse, ..self };
                        refusing.open_now()?.verify()
                    }
                    locked => self.verify_locked(locked?),
                };
            }
            let mut patience = Patience::new(self.wait);
            let locked = patience.retry(|| self.lock_to_verify(), thread::sleep)?;
            self.verify_locked(locked)
        })
    }

    fn restore_now(self, backup: &Path) -> Result<TokenStore> {
        let mut patience = Patience::new(self.wait);
        patience.retry(|| self.put_back(backup), thread::sleep)?;
        self.open_restored()
    }

    /// Puts the backup in place. Fails with `AlreadyOpen` before it has changed anything.
    pub(crate) fn put_back(&self, backup: &Path) -> Result<()> {
        let key = self.key.as_ref().ok_or_else(no_key)?;
        let folders = self
            .in_folders()
            .ok_or_else(|| Error::invalid("restore", "a backup is restored into a folder"))?;
        let only = self.is_sqlite.then_some(Storage::Sqlite);
        restore(Box::new(folders.clone()), key, self.growth, backup, only)
    }

    /// Opens the store behind [`Builder::put_back`].
    pub(crate) fn open_restored(mut self) -> Result<TokenStore> {
        // A backup that does not fit is no reason to forget everyone.
        self.on_damage = OnDamage::Refuse;
        self.open_now()
    }

    fn read_history(self, of: Option<&[SignOutScope]>) -> Result<History> {
        observe::verb("history", || self.read_history_now(of))
    }

    fn read_history_now(self, of: Option<&[SignOutScope]>) -> Result<History> {
        let key = self.key.as_ref().ok_or_else(no_key)?;
        if let Some(folders) = self.in_folders() {
            if !has_keyring(folders)? {
                return Err(Error::invalid("store", "there is none in this folder"));
            }
            check_ledger_folder(folders)?;
        }
        history::read(&*self.place.place()?, key, of)
    }

    /// Takes the locks that are there, and gives the id of the ledger.
    pub(crate) fn lock_to_verify(&self) -> Result<(Held, LedgerId)> {
        let key = self.key.as_ref().ok_or_else(no_key)?;
        let folders = self
            .in_folders()
            .ok_or_else(|| Error::invalid("verify", "only a folder can be copied"))?;
        if !has_keyring(folders)? {
            return Err(Error::invalid("store", "there is none in this folder"));
        }
        check_ledger_folder(folders)?;
        let mut id = None;
        let held = folders.lock_as_it_is(|| {
            let bytes = folders.disk()?.read(KEYRING).map_err(Error::io("read the keyring"))?;
            let keyring = Keyring::open(&bytes.unwrap_or_default(), key)?;
            Ok(Ledger::file_name(id.insert(keyring.secrets.ledger_id)))
        })?;
        Ok((held, id.ok_or(Error::Closed)?))
    }

    /// Verifies what is locked. The locks are held to the end: no process opens the store
    /// meanwhile.
    pub(crate) fn verify_locked(mut self, locked: (Held, LedgerId)) -> Result<VerifyReport> {
        let (_held, id) = locked;
        let place = self.in_folders().cloned().ok_or(Error::Closed)?;

        // On a copy, as opening writes.
        let copy = TemporaryFolder::new()?;
        self.place = Location::Folders(copy_store(&place, &id, &copy.0)?);
        self.on_damage = OnDamage::Refuse;
        self.is_alone = true;
        // (Neither is a verb of its own here: what fails is counted once.)
        let store = self.open_now()?;
        let verified = verify::verify(store.core());
        // The store goes before the folder of its files, and is not closed: nothing of it is kept.
        drop(store);
        verified
    }
}

/// Whether there is a store, or was.
fn has_keyring(folders: &Folders) -> Result<bool> {
    disk::is_file(&folders.path.join(KEYRING)).map_err(Error::io("look for the keyring"))
}

/// A place makes the folders that it is asked for: this is asked before.
fn check_ledger_folder(folders: &Folders) -> Result<()> {
    let there = folders.ledger.as_ref().map_or(Ok(true), |folder| disk::is_folder(folder));
    if there.map_err(Error::io("look at the ledger's folder"))? {
        return Ok(());
    }
    Err(Error::damaged(Component::Ledger, "its folder is missing"))
}

/// Copies keyring, ledger and engines into another folder.
fn copy_store(from: &Folders, id: &LedgerId, to: &Path) -> Result<Folders> {
    let to = Folders::new(to.to_owned(), None, from.engines.tuning);
    let copied = to.disk()?;
    for (disk, name) in [
        (from.ledger_disk()?, Ledger::file_name(id).as_str()),
        (from.disk()?, MOVING),
        (from.disk()?, KEYRING),
    ] {
        disk::copy(&*disk, &*copied, name).map_err(Error::io("copy the store"))?;
    }
    for name in from.disk()?.list().map_err(Error::io("list the store's folder"))? {
        if parse_engine(&name).is_some_and(|(_, ledger, _)| ledger == *id) {
            to.engines().import(&from.path.join(&name), &name)?;
        }
    }
    Ok(to)
}

/// A folder in the system's folder for temporary files, which is removed again.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn new() -> Result<Self> {
        let name = format!("oubliette-verify-{}", base16ct::lower::encode_string(&fresh::<16>()?));
        let path = std::env::temp_dir().join(name);
        disk::create_private(&path).map_err(Error::io("make a folder for temporary files"))?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // At worst, sealed rows are left in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
