//! A pretended place that several instances share: for tests of what an app does when another
//! instance comes in between, an answer is lost, or the place fails over.
//!
//! It shares nothing with the store in one process: no engine, no ledger, no lock of theirs. An
//! exchange takes effect in one step and is seen by all instances; what was not flushed is lost when
//! the standby takes over.

mod instance;
mod place;
#[cfg(all(unix, feature = "sqlite"))]
mod sqlite;

use crate::model::tag::LeaseTag;
use std::collections::BTreeMap;

use crate::api::builder::Builder;
use crate::backend::exchange::{Exchange, SharedPlace};
use crate::clock::Clock;
use crate::crypto::{KeySource, Keyring};
use crate::model::error::Result;
use crate::model::time::Millis;
use crate::platform::sync::{Arc, Mutex, MutexGuard, PoisonError};
use instance::Instance;
use place::Place;

/// A place that instances share. Clones are the same place.
///
/// ```
/// use oubliette::{AccountId, SharedMachine, SignIn, SignOut, TenantId};
/// let machine = SharedMachine::new();
/// let (here, there) = (machine.builder().open()?, machine.builder().open()?);
/// let account = AccountId::new("login.example.com", "uid.utid")?;
/// let live = here.sign_in(SignIn::new(account.clone(), TenantId::new("contoso")?))?;
/// there.sign_out(SignOut::account(&account))?;
/// assert!(!live.is_live()?);
/// machine.fail_over();
/// assert!(here.account(&account)?.is_empty()); // acknowledged, so still out
/// # Ok::<(), oubliette::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct SharedMachine(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    place: Place,
    keyring: Option<Vec<u8>>,
    clock: Option<Box<dyn Clock>>,
    hook: Option<Hook>,
    /// How many instances were opened.
    instances: usize,
    /// Instances before this number are cut off.
    first_alive: usize,
    is_full: bool,
    fails_changes: bool,
    fails_flushes: bool,
    /// Exchanges that change something, and still work before the place is out of reach for them.
    calls_left: Option<u64>,
    calls: u64,
    /// Which instance has which lease.
    leases: BTreeMap<LeaseTag, usize>,
    /// The files of a place that is real.
    #[cfg(all(unix, feature = "sqlite"))]
    folder: Option<sqlite::Folder>,
}

type Hook = Arc<dyn Fn(Exchanged) -> Fate + Send + Sync>;

/// An exchange of an instance, as the hook sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exchanged {
    /// The instance's number: the first that was opened is 0.
    pub instance: usize,
    /// What it is.
    pub step: Step,
    /// Whether it is over, and its answer is under way.
    pub is_done: bool,
}

/// What an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Rows and fences are read.
    Look,
    /// Rows of an account change.
    Change,
    /// The fences of a sign-out stand.
    End,
    /// What has changed becomes durable.
    Flush,
    /// Fences are dropped for their age.
    Forget,
}

/// What becomes of an exchange. Of one that is done, only `Lost` means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It arrives, and so does its answer.
    Answered,
    /// It never arrives, and the instance knows.
    NotSent,
    /// It takes effect, and no answer comes.
    Lost,
    /// It arrives twice; the second answer counts.
    Repeated,
}

/// A promise of the place that it breaks on purpose, to show that tests notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
#[non_exhaustive]
pub enum Flaw {
    /// After a crash, positions that were lost are given out again, and nobody is told of the crash.
    PositionsAgain,
    /// A change does not look at fences.
    BlindToFences,
    /// A change does not look at its guards.
    BlindToGuards,
    /// A sign-out finds the accounts of a session first, and fences them in a step of its own.
    IndexBefore,
    /// A sign-out answers before it is flushed.
    AnswersEarly,
    /// A look answers without the fences.
    HidesFences,
}

impl SharedMachine {
    /// A new place, empty. If the variable `OUBLIETTE_SHARED` is `sqlite`, it is [one of
    /// files](Self::on_sqlite).
    #[must_use]
    pub fn new() -> Self {
        #[cfg(all(unix, feature = "sqlite"))]
        if std::env::var_os("OUBLIETTE_SHARED").is_some_and(|place| place == "sqlite") {
            return Self::on_sqlite();
        }
        Self::default()
    }

    /// A new place of files, which SQLite and the ledger keep in a folder for temporary ones: as
    /// [`Builder::sqlite`] has it, with instances in one process. (Nothing of it is lost when it
    /// fails over.)
    #[cfg(all(unix, feature = "sqlite"))]
    #[must_use]
    pub fn on_sqlite() -> Self {
        let machine = Self::default();
        machine.state().folder = Some(sqlite::Folder::new());
        machine
    }

    /// Opens another instance of the store, with a fixed key.
    pub fn builder(&self) -> Builder {
        Builder::at_shared(Box::new(self.clone()))
    }

    /// By which clock the place says when sign-outs were asked for. Without one it believes the
    /// instances.
    pub fn set_clock(&self, clock: impl Clock) {
        self.state().clock = Some(Box::new(clock));
    }

    /// From now on, `hook` is called when an exchange is about to take effect, and when it is done;
    /// it says what becomes of it. It may use other instances: what they do comes in between.
    pub fn on_exchange(&self, hook: impl Fn(Exchanged) -> Fate + Send + Sync + 'static) {
        self.state().hook = Some(Arc::new(hook));
    }

    /// No hook is called any more.
    pub fn run_undisturbed(&self) {
        self.state().hook = None;
    }

    /// The place dies, and its standby takes over: what was not flushed is lost.
    pub fn fail_over(&self) {
        self.state().place.fail_over();
    }

    /// The place dies, and comes back: what was not flushed had been written all the same.
    pub fn restart(&self) {
        let mut state = self.state();
        state.place.flushed = state.place.now.clone();
        state.place.fail_over();
    }

    /// All instances so far are cut off, as if their processes had died.
    pub fn kill_instances(&self) {
        let mut state = self.state();
        state.first_alive = state.instances;
        state.calls_left = None;
    }

    /// What the place has now, elsewhere.
    #[must_use]
    pub fn copy(&self) -> Self {
        let (copy, state) = (Self::new(), self.state());
        {
            let mut other = copy.state();
            #[cfg(all(unix, feature = "sqlite"))]
            if let Some(folder) = &state.folder {
                other.folder = Some(folder.copy());
            }
            other.keyring = state.keyring.clone();
            other.place = Place::of(state.place.now.clone());
        }
        copy
    }

    /// Puts an earlier copy in the place of all, as an operator could who restores a dump under
    /// running instances.
    pub fn go_back_to(&self, earlier: &Self) {
        let content = earlier.state().place.now.clone();
        let mut state = self.state();
        let incarnation = state.place.incarnation + 1;
        state.place = Place { incarnation, ..Place::of(content) };
    }

    /// Breaks a promise of the place.
    #[doc(hidden)]
    pub fn break_promise(&self, flaw: Flaw) {
        self.state().place.flaw = Some(flaw);
    }

    /// All rows, by key.
    #[must_use]
    pub fn rows(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        #[cfg(all(unix, feature = "sqlite"))]
        if let Some(folder) = &self.state().folder {
            return folder.rows();
        }
        self.state().place.now.rows.clone()
    }

    /// Puts rows in the place of all, as an attacker with access to the place could.
    pub fn set_rows(&self, rows: BTreeMap<Vec<u8>, Vec<u8>>) {
        let mut state = self.state();
        #[cfg(all(unix, feature = "sqlite"))]
        if let Some(folder) = &state.folder {
            return folder.set_rows(&rows);
        }
        state.place.flushed.rows = rows.clone();
        state.place.now.rows = rows;
    }

    /// As [`set_rows`](Self::set_rows), until the place fails over: another instance has changed
    /// them, and has not flushed.
    pub fn set_unflushed_rows(&self, rows: BTreeMap<Vec<u8>, Vec<u8>>) {
        self.state().place.now.rows = rows;
    }

    pub(crate) fn set_full(&self, is_full: bool) {
        self.state().is_full = is_full;
    }

    pub(crate) fn set_failing_flushes(&self, fails: bool) {
        self.state().fails_flushes = fails;
    }

    pub(crate) fn set_failing_changes(&self, fails: bool) {
        self.state().fails_changes = fails;
    }

    pub(crate) fn die_after(&self, calls: u64) {
        self.state().calls_left = Some(calls);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.state().calls
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedPlace for SharedMachine {
    #[cfg(all(unix, feature = "sqlite"))]
    fn folder(&self) -> Option<std::path::PathBuf> {
        self.state().folder.as_ref().map(sqlite::Folder::path)
    }

    fn join(&self, key: &KeySource, now: Millis) -> Result<(Keyring, Box<dyn Exchange>)> {
        #[cfg(all(unix, feature = "sqlite"))]
        if let Some((keyring, real)) = sqlite::join(self, key, now)? {
            let mut state = self.state();
            let number = state.instances;
            state.instances += 1;
            drop(state);
            return Ok((
                keyring,
                Box::new(Instance { machine: self.clone(), number, real: Some(real) }),
            ));
        }
        let mut state = self.state();
        let keyring = match &state.keyring {
            Some(bytes) => Keyring::open(bytes, key)?,
            None => {
                let (keyring, bytes) = Keyring::create(key)?;
                state.keyring = Some(bytes);
                let flaw = state.place.flaw;
                state.place = Place { flaw, ..Place::born(now) };
                keyring
            }
        };
        let number = state.instances;
        state.instances += 1;
        drop(state);
        Ok((keyring, Box::new(Instance { machine: self.clone(), number, real: None })))
    }
}

impl std::fmt::Debug for SharedMachine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedMachine(..)")
    }
}
