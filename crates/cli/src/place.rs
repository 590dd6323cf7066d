//! Finds the store and its key, opens it, and closes it again.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use oubliette::{Builder, KeySource, TokenStore};

use crate::args::{NewKeys, Shared};
use crate::failure::{Code, Failure};
use crate::report::Report;
use crate::time::days;

impl Shared {
    /// A builder that opens the store, whether there is one or not.
    pub(crate) fn builder(&self) -> Result<Builder, Failure> {
        self.builder_with(self.key())
    }

    /// As [`Shared::builder`], with this key.
    pub(crate) fn builder_with(&self, key: KeySource) -> Result<Builder, Failure> {
        let builder = TokenStore::builder(self.folder()?)
            .key(key)
            .max_sign_in_age(days(self.max_sign_in_days))
            .wait_for_lock(Duration::from_secs(self.wait.into()));
        Ok(match &self.ledger_dir {
            Some(folder) => builder.ledger_dir(folder),
            None => builder,
        })
    }

    /// As [`Shared::builder`], for a store that must exist.
    pub(crate) fn existing(&self) -> Result<Builder, Failure> {
        self.check_exists()?;
        self.builder()
    }

    /// # Errors
    /// `NotFound` if there is no store.
    pub(crate) fn check_exists(&self) -> Result<(), Failure> {
        let folder = self.folder()?;
        if has_store(folder)? {
            return Ok(());
        }
        Err(Failure::new(Code::NotFound, format!("there is no store in {}", folder.display())))
    }

    /// As [`Shared::existing`], for verbs that write.
    pub(crate) fn writable(&self) -> Result<Builder, Failure> {
        let builder = self.existing()?;
        self.check_user()?;
        Ok(builder)
    }

    /// Opens the store, which must exist, and closes it after the work.
    pub(crate) fn with_store(
        &self,
        work: impl FnOnce(&TokenStore) -> Result<Report, Failure>,
    ) -> Result<Report, Failure> {
        with_open(self.writable()?.open()?, work)
    }

    /// The store's folder.
    pub(crate) fn folder(&self) -> Result<&Path, Failure> {
        let missing = || {
            Failure::new(Code::Usage, "no store is named: give --store DIR, or set OUBLIETTE_STORE")
        };
        self.store.as_deref().ok_or_else(missing)
    }

    /// The key that opens the store, with the older keys that may open it.
    pub(crate) fn key(&self) -> KeySource {
        let key = match (&self.key_file, &self.key_credential) {
            (Some(file), _) => self.readable(KeySource::file(file)),
            (None, Some(name)) => KeySource::systemd(name),
            (None, None) => self.readable(KeySource::env("OUBLIETTE_KEY")),
        };
        self.previous_key_file
            .iter()
            .fold(key, |key, file| key.previous(self.readable(KeySource::file(file))))
    }

    /// Where the keys were looked for, by the flags that say it.
    pub(crate) fn keys(&self) -> String {
        let own = match (&self.key_file, &self.key_credential) {
            (Some(file), _) => format!("{file:?} (--key-file)"),
            (None, Some(name)) => format!("{name:?} (--key-credential)"),
            (None, None) => match std::env::var_os("OUBLIETTE_KEY_FILE") {
                Some(file) => format!("{file:?} (OUBLIETTE_KEY_FILE)"),
                None => "OUBLIETTE_KEY".into(),
            },
        };
        let older = self.previous_key_file.iter();
        older.fold(own, |all, file| format!("{all}, {file:?} (--previous-key-file)"))
    }

    /// The key, with others that open the store beside it.
    pub(crate) fn key_and(&self, also: &[std::path::PathBuf]) -> KeySource {
        also.iter().fold(self.key(), |key, file| key.also(self.readable(KeySource::file(file))))
    }

    /// The keys that will open the store from now on.
    pub(crate) fn new_keys(&self, keys: &NewKeys) -> KeySource {
        let new = self.readable(KeySource::file(&keys.new_key_file));
        keys.also_key_file
            .iter()
            .fold(new, |key, file| key.also(self.readable(KeySource::file(file))))
    }

    fn readable(&self, key: KeySource) -> KeySource {
        if self.allow_readable_key { key.allow_readable_by_others() } else { key }
    }

    /// Refuses to write files into a folder of another user, because that user could not read them.
    pub(crate) fn check_user(&self) -> Result<(), Failure> {
        #[cfg(unix)]
        if let Some(owner) = self.other_owner()? {
            let message = format!(
                "the store belongs to the user with the id {owner}, who could not open it any more: \
                 run this as that user (sudo -u '#{owner}' ...), or add --any-user"
            );
            return Err(Failure::new(Code::Usage, message));
        }
        Ok(())
    }

    /// The owner of the store's folder, if it is another user. (On Linux, the owner of this
    /// process's entry in /proc tells who the current user is.)
    #[cfg(unix)]
    fn other_owner(&self) -> Result<Option<u32>, Failure> {
        use std::os::unix::fs::MetadataExt;
        let owner = fs::metadata(self.folder()?).map(|folder| folder.uid()).ok();
        let me = fs::metadata("/proc/self").map(|process| process.uid()).ok();
        Ok(owner.filter(|owner| !self.any_user && me.is_some_and(|me| me != *owner)))
    }
}

/// Closes the store after the work. That tells whether all of the work is durable.
pub(crate) fn with_open(
    store: TokenStore,
    work: impl FnOnce(&TokenStore) -> Result<Report, Failure>,
) -> Result<Report, Failure> {
    let report = work(&store)?;
    close_behind(store, report)
}

/// Closes the store behind work that this reports.
pub(crate) fn close_behind(store: TokenStore, report: Report) -> Result<Report, Failure> {
    match store.close() {
        Ok(()) => Ok(report),
        Err(error) => Err(Failure::from(error).after(report)),
    }
}

/// Whether the folder has a store, or remains of one. What is wrong with remains, the store itself
/// reports.
pub(crate) fn has_store(folder: &Path) -> Result<bool, Failure> {
    let is_part =
        |name: &str| name == "keyring" || name.starts_with("engine-") || name.starts_with("rows-");
    match fs::read_dir(folder) {
        Ok(entries) => {
            Ok(entries.flatten().any(|entry| is_part(&entry.file_name().to_string_lossy())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::io_at("read the store's folder", folder)(error)),
    }
}
