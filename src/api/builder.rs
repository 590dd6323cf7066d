//! What can be set before a store is opened.

use std::path::PathBuf;
use std::time::Duration;

#[cfg(doc)]
use crate::api::token_store::TokenStore;
#[cfg(feature = "test-util")]
use crate::backend::exchange::SharedPlace;
use crate::clock::lasting::Skew;
use crate::clock::{Clock, SystemClock};
use crate::crypto::KeySource;
use crate::engine::{Durability, Tuning};
use crate::ledger::Growth;
use crate::model::error::{Error, Result};
use crate::model::sign_out::SessionPolicy;
use crate::model::storage::Storage;
#[cfg(feature = "test-util")]
use crate::store::access::not_embedded;
use crate::store::core::Options;
use crate::store::location::{Folders, Place};

/// What to do when a part of the store is damaged or missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDamage {
    /// Refuse to open, with [`Error::Damaged`].
    #[default]
    Refuse,
    /// Begin anew with an empty store: all users sign in again. Never done because of a wrong key
    /// or a newer format.
    ForgetEveryone,
}

/// How to open a [`TokenStore`].
#[must_use]
pub struct Builder {
    pub(super) place: Location,
    pub(super) key: Option<KeySource>,
    pub(super) clock: Box<dyn Clock>,
    pub(super) longest_jump: Duration,
    pub(super) on_damage: OnDamage,
    pub(super) options: Options,
    pub(super) growth: Growth,
    pub(crate) wait: Duration,
    /// What a new store's rows are kept by.
    pub(super) is_sqlite: bool,
    pub(super) is_alone: bool,
}

impl Builder {
    /// Where the 256-bit key comes from. There is no store without one.
    pub fn key(mut self, key: KeySource) -> Self {
        self.key = Some(key);
        self
    }

    /// Keeps the ledger in another folder, best on another volume: then users who have signed out
    /// stay signed out even if an older copy of the store's own folder is restored. The folder is
    /// for the ledger of this store alone.
    pub fn ledger_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        if let Some(folders) = self.folders() {
            folders.ledger = Some(folder.into());
        }
        self
    }

    /// Keeps the rows in one SQLite file, so that **any number of processes of this machine** have
    /// the store open at once: the workers of a web server, a rolling restart, the program
    /// `oubliette` beside the app.
    ///
    /// A sign-out in one of them is seen by all when it returns, and one of them redeems a refresh
    /// token at a time ([`Acquirer`](crate::Acquirer)). A process has it open once: a second `open`
    /// there is [`Error::AlreadyOpen`]. Open it behind a fork, in each child: one that inherits an
    /// open store gets [`Error::Forked`]. If another process stands still while it writes, a verb
    /// that has to wait for it fails with [`Error::Busy`] after ten seconds.
    ///
    /// The folder, and the [ledger's](Self::ledger_dir), have to be on file systems of this machine
    /// alone: processes of two machines have no locks in common. On Linux that is looked at, and
    /// [`open`](Self::open) refuses others with [`Error::InvalidInput`]. Give all processes the
    /// same folders, key and settings: settings are not compared.
    /// [`cache_bytes`](Self::cache_bytes) and [`disk_timeout`](Self::disk_timeout) do nothing here.
    /// `docs/guide/10-choosing.md` says when to take which.
    ///
    /// This is for a new store. One that is there stays what it is, also where this is not called;
    /// a store that is kept by sled is moved by `oubliette migrate`.
    ///
    /// ```
    /// # use oubliette::*;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let folder = folder.path().join("tokens");
    /// let store = TokenStore::builder(folder).sqlite().key(KeySource::bytes([7; 32])).open()?;
    /// # store.close()?;
    /// # Ok::<(), Error>(())
    /// ```
    #[cfg(all(unix, feature = "sqlite"))]
    #[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
    pub fn sqlite(mut self) -> Self {
        self.is_sqlite = true;
        self
    }

    /// Opens the store in this process alone, whatever keeps it: others get
    /// [`Error::AlreadyOpen`](crate::Error::AlreadyOpen), and this one gets it while any other has
    /// the store open. It is for what cannot be done beside other processes, to a store that is kept
    /// by SQLite: [`TokenStore::complete_erasure`](crate::TokenStore::complete_erasure) and
    /// [`TokenStore::migrate`](crate::TokenStore::migrate).
    pub fn alone(mut self) -> Self {
        self.is_alone = true;
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
    /// A disk that hangs would hang every caller that waits for it. After this time the verb fails
    /// with [`Error::Io`] (`TimedOut`), and the engine has failed: sign-outs go on, other verbs
    /// need the store reopened, by a *new process*, as nothing else ends the write that hangs. The
    /// store's folder stays locked until this process ends, also when the store is closed. (Reads
    /// from the disk are not bounded.)
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

    /// How long opening, [restoring](Self::restore) and [verifying](Self::verify) wait while
    /// *another* process has the store open. Default: not at all.
    ///
    /// For a hand-over: the new process is started first, and has the store as soon as the old one
    /// has closed it. What waits takes the lock of the store's folder and then that of its ledger,
    /// and looks at least every 200 ms. If the time is over, it gets [`Error::AlreadyOpen`], and
    /// gives back what it had. [`open_async`](Self::open_async) waits without blocking a thread.
    ///
    /// It never waits for this process itself, which would be in vain: then the error comes at
    /// once. And a roll-out that stops the old process only when the new one is ready waits in
    /// vain too: `docs/deployment.md`, "Rolling restarts".
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use oubliette::*;
    /// let store = TokenStore::builder("/data/tokens")
    ///     .key(KeySource::env("OUBLIETTE_KEY"))
    ///     .wait_for_lock(Duration::from_secs(60))
    ///     .open()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn wait_for_lock(mut self, at_most: Duration) -> Self {
        self.wait = at_most;
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
    /// [sweep](TokenStore::sweep) and [compaction](TokenStore::compact) wait until another source
    /// confirms the clock: the time of an ID or logout token that was verified; the clock of a
    /// later opening, once it has shown no less than this one did for as long; or an operator
    /// ([`TokenStore::trust_clock`]). A process that was off for longer than this looks the same.
    /// [`Stats::clock_ahead_by`](crate::Stats::clock_ahead_by) tells.
    pub fn longest_clock_jump(mut self, jump: Duration) -> Self {
        self.longest_jump = jump;
        self
    }

    /// A token counts as expired this long before its expiry. Default: 5 minutes, but at most a
    /// tenth of the token's life; what is set here counts for every token, however short its life.
    /// (An access token that says when to refresh it counts as expired halfway between then and its
    /// expiry, if that is later.)
    pub fn skew(mut self, skew: Duration) -> Self {
        self.options.skew = Skew::Set(skew);
        self
    }

    /// A sign-in ends by itself at this age, unless it has [one of its own](crate::SignIn::lasts_for).
    /// The ledger keeps sign-outs for as long. Default: 90 days.
    pub fn max_sign_in_age(mut self, age: Duration) -> Self {
        self.options.max_sign_in_age = age;
        self
    }

    /// The longest that a sign-in of [its own age](crate::SignIn::lasts_for) can last, if that is longer
    /// than [`max_sign_in_age`](Self::max_sign_in_age): for integrations that go on for years.
    ///
    /// It is stored in the store, and counts until another one is set, also for processes that do
    /// not set it. **The price**: the ledger, and the memory of its fences, keep the sign-outs of
    /// this time, of every user: 64 bytes of disk and some 90 of memory for each name that was
    /// signed out in it. If it is made shorter, sign-ins that are older end;
    /// leave the shorter one set then, as a backup from before brings the longer one back.
    pub fn longest_sign_in_age(mut self, age: Duration) -> Self {
        self.options.longest_sign_in_age = Some(age);
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
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("key", &self.key)
            .field("options", &self.options)
            .finish_non_exhaustive()
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

    #[cfg(feature = "test-util")]
    pub(crate) fn at_shared(place: Box<dyn SharedPlace>) -> Self {
        Self::new(Location::Shared(place)).key(KeySource::bytes([7; 32]))
    }

    fn new(place: Location) -> Self {
        let options = Options {
            skew: Skew::Default(Duration::from_secs(5 * 60)),
            max_sign_in_age: Duration::from_secs(90 * 24 * 3600),
            longest_sign_in_age: None,
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
            wait: Duration::ZERO,
            is_sqlite: false,
            is_alone: false,
        }
    }

    /// What keeps a store that is new.
    pub(super) fn storage(&self) -> Storage {
        if self.is_sqlite { Storage::Sqlite } else { Storage::Embedded }
    }

    fn folders(&mut self) -> Option<&mut Folders> {
        match &mut self.place {
            Location::Folders(folders) => Some(folders),
            #[cfg(feature = "test-util")]
            Location::Other(_) | Location::Shared(_) => None,
        }
    }

    pub(crate) fn in_folders(&self) -> Option<&Folders> {
        match &self.place {
            Location::Folders(folders) => Some(folders),
            #[cfg(feature = "test-util")]
            Location::Other(_) | Location::Shared(_) => None,
        }
    }
}

/// Where the store is. Folders can be set up further; any other place is as it is.
pub(super) enum Location {
    Folders(Folders),
    #[cfg(feature = "test-util")]
    Other(Box<dyn Place>),
    #[cfg(feature = "test-util")]
    Shared(Box<dyn SharedPlace>),
}

impl Location {
    /// # Errors
    /// `InvalidInput` for a shared store, which has no files.
    pub(super) fn place(self) -> Result<Box<dyn Place>> {
        match self {
            Self::Folders(folders) => Ok(Box::new(folders)),
            #[cfg(feature = "test-util")]
            Self::Other(place) => Ok(place),
            #[cfg(feature = "test-util")]
            Self::Shared(_) => Err(not_embedded()),
        }
    }
}

pub(super) fn no_key() -> Error {
    Error::invalid("key", "none was given; use .key(KeySource::...)")
}
