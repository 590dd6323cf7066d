//! A pretended machine for tests: a disk and an engine in memory that outlive the store, and that
//! can crash, fill up, fail and be tampered with.

mod crash;
mod disk;
mod engine;

use std::collections::BTreeMap;
use std::io;

use crate::api::builder::Builder;
use crate::api::token_store::TokenStore;
use crate::engine::{Engines, MemoryRows};
use crate::model::error::{Error, Result};
use crate::platform::disk::Disk;
use crate::platform::sync::atomic::{AtomicBool, Ordering};
use crate::platform::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use crate::store::location::{Held, Place};
use crate::testing::shared::SharedMachine;
use disk::{MemoryDisk, MemoryFile, Prepared};

/// A machine in memory that a store lives on: for tests of what an app does when the machine dies.
///
/// Clones are the same machine. One store at a time can be open on it.
///
/// ```
/// use oubliette::{AccountId, Machine, SignIn, SignOut, TenantId};
/// let machine = Machine::new();
/// let store = machine.builder().open()?;
/// let account = AccountId::new("login.example.com", "uid.utid")?;
/// store.sign_in(SignIn::new(account.clone(), TenantId::new("contoso")?))?;
/// machine.cut_power(1);
/// let store = machine.builder().open()?;
/// assert_eq!(store.account(&account)?.len(), 1); // acknowledged, so still there
/// store.sign_out(SignOut::account(&account))?;
/// machine.cut_power(2);
/// assert!(machine.builder().open()?.account(&account)?.is_empty());
/// # Ok::<(), oubliette::Error>(())
/// ```
#[derive(Clone)]
pub struct Machine {
    state: Arc<Mutex<State>>,
    changed: Arc<Condvar>,
    /// If the variable `OUBLIETTE_SHARED` is set, the store lives in a place that instances could
    /// share: so the tests of verbs run on that too (`.ci/run shared`). The machine is its only
    /// instance; if its power is cut, the place fails over.
    shared: Option<SharedMachine>,
}

impl Default for Machine {
    fn default() -> Self {
        let shared = std::env::var_os("OUBLIETTE_SHARED").map(|_| SharedMachine::new());
        Self { state: Arc::default(), changed: Arc::default(), shared }
    }
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, MemoryFile>,
    prepared: BTreeMap<String, Prepared>,
    /// Files whose renames and removals are not durable yet, as they were before.
    renamed: BTreeMap<String, Option<MemoryFile>>,
    engines: BTreeMap<String, MemoryRows>,
    /// Counts crashes: a store from before one is cut off from the disk.
    epoch: u64,
    lock: Arc<AtomicBool>,
    /// Disk calls that still work before the machine dies.
    calls_left: Option<u64>,
    is_full: bool,
    fails_syncs: bool,
    holds_syncs: bool,
    holds_engine_syncs: bool,
    holds_next_files: bool,
    holds_next_writes: bool,
    is_engine_busy: bool,
    held: usize,
    calls: u64,
}

impl TokenStore {
    /// A store in memory, for tests: the same code on a pretended disk.
    ///
    /// # Errors
    /// As [`Builder::open`]; in practice never.
    pub fn in_memory() -> Result<Self> {
        Machine::new().builder().open()
    }
}

impl Machine {
    /// A new machine with an empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the store on this machine's disk, with a fixed key.
    pub fn builder(&self) -> Builder {
        if let Some(shared) = &self.shared {
            return shared.builder();
        }
        Builder::at_place(Box::new(self.clone()))
    }

    /// The process dies: what it gave to the system stays, as does some of the rest (by `seed`). A
    /// store that was open is cut off.
    pub fn kill_process(&self, seed: u64) {
        if let Some(shared) = &self.shared {
            return shared.kill_instances();
        }
        self.crash(false, seed);
    }

    /// The machine dies: only what was synced certainly stays, and of the rest any sectors and
    /// batches, by `seed`.
    pub fn cut_power(&self, seed: u64) {
        if let Some(shared) = &self.shared {
            shared.kill_instances();
            return if seed.is_multiple_of(2) { shared.fail_over() } else { shared.restart() };
        }
        self.crash(true, seed);
    }

    /// The next `calls` disk calls work (writes of the engine count as such); then the disk is gone
    /// until a crash is declared.
    pub fn die_after(&self, calls: u64) {
        if let Some(shared) = &self.shared {
            return shared.die_after(calls);
        }
        self.lock_state().calls_left = Some(calls);
    }

    /// How many disk calls there were.
    #[must_use]
    pub fn calls(&self) -> u64 {
        if let Some(shared) = &self.shared {
            return shared.calls();
        }
        self.lock_state().calls
    }

    /// Whether the disk has no space for anything new. (Writing inside of files still works.)
    pub fn set_full(&self, is_full: bool) {
        if let Some(shared) = &self.shared {
            return shared.set_full(is_full);
        }
        self.lock_state().is_full = is_full;
    }

    /// Whether the disk refuses to sync.
    pub fn set_failing_syncs(&self, fails: bool) {
        if let Some(shared) = &self.shared {
            return shared.set_failing_flushes(fails);
        }
        self.lock_state().fails_syncs = fails;
    }

    /// Whether the engine refuses to write.
    pub fn set_failing_engine(&self, fails: bool) {
        if let Some(shared) = &self.shared {
            return shared.set_failing_changes(fails);
        }
        self.lock_state().engines.values().for_each(|rows| rows.fail(fails));
    }

    /// Whether every sync of a file is held, until this is called again.
    pub fn set_holding_syncs(&self, holds: bool) {
        self.lock_state().holds_syncs = holds;
        self.changed.notify_all();
    }

    /// Whether every sync of the engine is held, until this is called again.
    pub fn set_holding_engine_syncs(&self, holds: bool) {
        self.lock_state().holds_engine_syncs = holds;
        self.changed.notify_all();
    }

    /// Whether every sync is held of a file that is to take another's place, until this is called
    /// again.
    pub fn set_holding_next_files(&self, holds: bool) {
        self.lock_state().holds_next_files = holds;
        self.changed.notify_all();
    }

    /// Whether every write of such a file is held, until this is called again.
    pub fn set_holding_next_writes(&self, holds: bool) {
        self.lock_state().holds_next_writes = holds;
        self.changed.notify_all();
    }

    /// Changes a file under the process that has it open.
    #[cfg(test)]
    pub(crate) fn put_bytes(&self, name: &str, bytes: &[u8]) {
        if let Some(file) = self.lock_state().files.get_mut(name) {
            file.live = bytes.into();
        }
    }

    /// Whether the engine says that a read could be held up.
    pub fn set_busy_engine(&self, is_busy: bool) {
        self.lock_state().is_engine_busy = is_busy;
    }

    /// Waits until a sync is being held.
    pub fn wait_held(&self) {
        let mut state = self.lock_state();
        while state.held == 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// All rows of the newest engine, by key.
    #[must_use]
    pub fn rows(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        if let Some(shared) = &self.shared {
            return shared.rows();
        }
        self.newest_engine().map(|rows| rows.all().into_iter().collect()).unwrap_or_default()
    }

    /// Puts rows in the place of all, as an attacker with access to the engine's files could, or an
    /// older backup.
    pub fn set_rows(&self, rows: BTreeMap<Vec<u8>, Vec<u8>>) {
        if let Some(shared) = &self.shared {
            return shared.set_rows(rows);
        }
        if let Some(engine) = self.newest_engine() {
            engine.replace(rows);
        }
    }

    /// The names and contents of the files.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.lock_state()
            .files
            .iter()
            .map(|(name, file)| (name.clone(), file.live.clone()))
            .collect()
    }

    /// Puts files in the place of all.
    pub fn set_files(&self, files: BTreeMap<String, Vec<u8>>) {
        self.lock_state().files =
            files.into_iter().map(|(name, bytes)| (name, MemoryFile::durable(bytes))).collect();
    }

    /// Another machine with the same files and rows.
    #[must_use]
    pub fn copy(&self) -> Self {
        if let Some(shared) = &self.shared {
            return Self { shared: Some(shared.copy()), ..Self::default() };
        }
        let copy = Self::new();
        copy.set_files(self.files());
        let mut state = copy.lock_state();
        for (name, rows) in &self.lock_state().engines {
            let engine = MemoryRows::default();
            engine.replace(rows.all());
            state.engines.insert(name.clone(), engine);
        }
        drop(state);
        copy
    }

    /// The keys and prefixes that were read of the newest engine since the last call, except by the
    /// reclaimer.
    #[cfg(all(test, feature = "logout"))]
    pub(crate) fn take_reads(&self) -> Vec<Vec<u8>> {
        self.newest_engine().map(|rows| rows.take_reads()).unwrap_or_default()
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn newest_engine(&self) -> Option<MemoryRows> {
        self.lock_state().engines.values().next_back().cloned()
    }

    /// Counts a disk call of a store that was opened in `epoch`.
    fn call(&self, epoch: u64) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock_state();
        state.calls += 1;
        match state.calls_left {
            _ if state.epoch != epoch => return Err(gone()),
            Some(0) => return Err(gone()),
            Some(left) => state.calls_left = Some(left - 1),
            None => {}
        }
        Ok(state)
    }

    /// Waits while syncs of this kind are held.
    fn hold(&self, is_held: impl Fn(&State) -> bool) {
        let mut state = self.lock_state();
        state.held += 1;
        self.changed.notify_all();
        while is_held(&state) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.held -= 1;
    }

    fn disk_now(&self) -> MemoryDisk {
        MemoryDisk { machine: self.clone(), epoch: self.lock_state().epoch }
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Machine(..)")
    }
}

impl Place for Machine {
    fn lock(&self) -> Result<Held> {
        struct Lock(Arc<AtomicBool>);
        impl Drop for Lock {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Release);
            }
        }
        let lock = self.lock_state().lock.clone();
        if lock.swap(true, Ordering::AcqRel) {
            return Err(Error::AlreadyOpen {
                lock: None,
                pid: Some(std::process::id()),
                in_this_process: true,
            });
        }
        Ok(vec![Box::new(Lock(lock))])
    }

    fn lock_ledger(&self, _: &str, _: &mut Held) -> Result<()> {
        Ok(())
    }

    fn disk(&self) -> Result<Box<dyn Disk>> {
        Ok(Box::new(self.disk_now()))
    }

    fn ledger_disk(&self) -> Result<Box<dyn Disk>> {
        Ok(Box::new(self.disk_now()))
    }

    fn sync(&self) -> Result<()> {
        self.disk_now().sync().map_err(Error::io("sync the disk"))
    }

    fn engines(&self) -> &dyn Engines {
        self
    }

    fn available(&self) -> Option<u64> {
        self.lock_state().is_full.then_some(0)
    }
}

fn gone() -> io::Error {
    io::Error::other("the machine has died")
}
