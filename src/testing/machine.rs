//! A pretended machine for tests: a disk and an engine in memory that outlive the store, and that
//! can crash, fill up, fail and be tampered with.

use crate::api::token_store::TokenStore;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::api::builder::Builder;
use crate::engine::{
    Batch, Commit, Durability, Engine, EngineError, Engines, Limits, MemoryEngine, MemoryRows, Row,
    SledFolder, Tuning,
};
use crate::model::error::{Error, Result};
use crate::model::tag::AccountTag;
use crate::platform::disk::{Disk, DiskFile};
use crate::platform::sync::atomic::{AtomicBool, Ordering};
use crate::platform::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use crate::store::location::{Held, Place};

const SECTOR: usize = 512;

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
#[derive(Clone, Default)]
pub struct Machine {
    state: Arc<Mutex<State>>,
    changed: Arc<Condvar>,
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

/// A file's next content.
#[derive(Default)]
struct Prepared {
    bytes: Vec<u8>,
    is_synced: bool,
}

#[derive(Clone, Default)]
struct MemoryFile {
    /// Which file it is: another one may take its name.
    id: u64,
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
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
        Builder::at_place(Box::new(self.clone()))
    }

    /// The process dies: what it gave to the system stays, as does some of the rest (by `seed`). A
    /// store that was open is cut off.
    pub fn kill_process(&self, seed: u64) {
        self.crash(false, seed);
    }

    /// The machine dies: only what was synced certainly stays, and of the rest any sectors and
    /// batches, by `seed`.
    pub fn cut_power(&self, seed: u64) {
        self.crash(true, seed);
    }

    /// The next `calls` disk calls (writes of the engine are some) work; then the disk is gone
    /// until a crash is declared.
    pub fn die_after(&self, calls: u64) {
        self.lock_state().calls_left = Some(calls);
    }

    /// How many disk calls there were.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.lock_state().calls
    }

    /// Whether the disk has no space for anything new. (Writing inside of files still works.)
    pub fn set_full(&self, is_full: bool) {
        self.lock_state().is_full = is_full;
    }

    /// Whether the disk refuses to sync.
    pub fn set_failing_syncs(&self, fails: bool) {
        self.lock_state().fails_syncs = fails;
    }

    /// Whether the engine refuses to write.
    pub fn set_failing_engine(&self, fails: bool) {
        self.lock_state().engines.values().for_each(|rows| rows.fail(fails));
    }

    /// Holds every sync of a file until told otherwise.
    pub fn set_holding_syncs(&self, holds: bool) {
        self.lock_state().holds_syncs = holds;
        self.changed.notify_all();
    }

    /// Holds every sync of the engine until told otherwise.
    pub fn set_holding_engine_syncs(&self, holds: bool) {
        self.lock_state().holds_engine_syncs = holds;
        self.changed.notify_all();
    }

    /// Holds every sync of a file that is to take another's place until told otherwise.
    pub fn set_holding_next_files(&self, holds: bool) {
        self.lock_state().holds_next_files = holds;
        self.changed.notify_all();
    }

    /// Holds every write of such a file until told otherwise.
    pub fn set_holding_next_writes(&self, holds: bool) {
        self.lock_state().holds_next_writes = holds;
        self.changed.notify_all();
    }

    /// Changes a file under whoever has it open.
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
        self.newest_engine().map(|rows| rows.all().into_iter().collect()).unwrap_or_default()
    }

    /// Puts rows in the place of all, as somebody with access to the engine's files could, or an
    /// older backup.
    pub fn set_rows(&self, rows: BTreeMap<Vec<u8>, Vec<u8>>) {
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
        let durable = |bytes: Vec<u8>| MemoryFile {
            id: 0,
            live: bytes.clone(),
            durable: bytes,
            unsynced: Vec::new(),
        };
        self.lock_state().files =
            files.into_iter().map(|(name, bytes)| (name, durable(bytes))).collect();
    }

    /// Another machine with the same files and rows.
    #[must_use]
    pub fn copy(&self) -> Self {
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

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys and prefixes that were read of the newest engine since the last call, but by the
    /// reclaimer.
    #[cfg(all(test, feature = "logout"))]
    pub(crate) fn take_reads(&self) -> Vec<Vec<u8>> {
        self.newest_engine().map(|rows| rows.take_reads()).unwrap_or_default()
    }

    fn newest_engine(&self) -> Option<MemoryRows> {
        self.lock_state().engines.values().next_back().cloned()
    }

    fn crash(&self, power: bool, seed: u64) {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random >> 11
        };
        let mut guard = self.lock_state();
        let state = &mut *guard;
        if power {
            for (name, before) in std::mem::take(&mut state.renamed) {
                match before {
                    Some(before) if next() % 2 == 0 => drop(state.files.insert(name, before)),
                    None if next() % 2 == 0 => drop(state.files.remove(&name)),
                    _ => {}
                }
            }
            for file in state.files.values_mut() {
                for (offset, bytes) in std::mem::take(&mut file.unsynced) {
                    // The machine keeps any of a write's sectors.
                    let mut at = 0;
                    while at < bytes.len() {
                        let end = (at + SECTOR - (offset + at) % SECTOR).min(bytes.len());
                        if next() % 2 == 0 {
                            overwrite(
                                &mut file.durable,
                                offset + at,
                                bytes.get(at..end).unwrap_or_default(),
                            );
                        }
                        at = end;
                    }
                }
                file.live = file.durable.clone();
            }
        }
        // (What the process gave to the system is still there when only the process dies; and still
        // not durable.)
        for rows in state.engines.values() {
            rows.crash(power, |n| usize::try_from(next()).unwrap_or(0) % (n + 1));
        }
        if power {
            state.prepared.clear();
        }
        state.epoch += 1;
        state.lock = Arc::default();
        state.calls_left = None;
        state.is_full = false;
        state.fails_syncs = false;
        state.holds_syncs = false;
        state.holds_engine_syncs = false;
        state.holds_next_files = false;
        state.holds_next_writes = false;
        state.is_engine_busy = false;
        drop(guard);
        self.changed.notify_all();
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
            return Err(Error::AlreadyOpen { pid: Some(std::process::id()) });
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

impl Engines for Machine {
    fn open(&self, name: &str) -> Result<Box<dyn Engine>> {
        let epoch = self.lock_state().epoch;
        let mut state = self.call(epoch).map_err(Error::io("open the engine"))?;
        let rows = state.engines.entry(name.into()).or_default().clone();
        drop(state);
        Ok(Box::new(CutOff { engine: MemoryEngine(rows), machine: self.clone(), epoch }))
    }

    fn remove(&self, name: &str) -> Result<()> {
        let epoch = self.lock_state().epoch;
        self.call(epoch).map_err(Error::io("remove the old engine"))?.engines.remove(name);
        Ok(())
    }

    fn import(&self, _: &Path, _: &str) -> Result<()> {
        Err(Error::invalid("restore", "a backup is restored into a folder"))
    }

    fn export(&self, folder: &Path, name: &str) -> Result<Box<dyn Engine>> {
        let tuning = Tuning { cache_bytes: 0, ..Tuning::default() };
        SledFolder { path: folder.into(), tuning }.export(folder, name)
    }

    fn memory_of_another(&self, engine_bytes: u64) -> u64 {
        engine_bytes
    }
}

/// The engine of a store that a crash cuts off.
#[derive(Debug)]
struct CutOff {
    engine: MemoryEngine,
    machine: Machine,
    epoch: u64,
}

impl CutOff {
    /// Runs a call of the engine, if the machine has not crashed since the store was opened. It
    /// cannot crash meanwhile.
    fn alive<T>(
        &self,
        call: impl FnOnce(&MemoryEngine) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let state = self.machine.lock_state();
        if state.epoch == self.epoch { call(&self.engine) } else { Err(EngineError::Io(gone())) }
    }

    /// As [`CutOff::alive`], for a call that writes: it counts as one of the disk's.
    fn write<T>(
        &self,
        call: impl FnOnce(&MemoryEngine) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let _state = self.machine.call(self.epoch).map_err(EngineError::Io)?;
        call(&self.engine)
    }
}

impl Engine for CutOff {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.alive(|engine| engine.get(key))
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, EngineError> {
        self.alive(|engine| engine.scan(prefix, after, limit))
    }

    fn commit(&self, account: &AccountTag, batch: Batch) -> Result<Commit, EngineError> {
        self.write(|engine| engine.commit(account, batch))
    }

    fn discard(&self, keys: Vec<Vec<u8>>) -> Result<(), EngineError> {
        // Each may be the last call before a crash.
        keys.into_iter().try_for_each(|key| self.write(|engine| engine.discard(vec![key])))
    }

    fn limits(&self) -> Limits {
        self.engine.limits()
    }

    fn sync(&self, durability: Durability) -> Result<(), EngineError> {
        // (Not counted as held if it is not: that would wake who waits for a file's sync.)
        if self.machine.lock_state().holds_engine_syncs {
            self.machine.hold(|state| state.holds_engine_syncs);
        }
        self.write(|engine| engine.sync(durability))
    }

    fn is_busy(&self) -> bool {
        self.machine.lock_state().is_engine_busy
    }

    fn size(&self) -> Result<u64, EngineError> {
        self.alive(|engine| engine.size())
    }
}

#[derive(Debug)]
struct MemoryDisk {
    machine: Machine,
    epoch: u64,
}

impl Disk for MemoryDisk {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.machine.call(self.epoch)?.files.get(name).map(|file| file.live.clone()))
    }

    fn stream(&self, name: &str) -> io::Result<Option<Box<dyn io::Read + Send>>> {
        Ok(self
            .read(name)?
            .map(|bytes| Box::new(io::Cursor::new(bytes)) as Box<dyn io::Read + Send>))
    }

    fn begin(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.machine.call(self.epoch)?;
        if state.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.prepared.insert(name.into(), Prepared::default());
        Ok(Box::new(NextFile {
            machine: self.machine.clone(),
            epoch: self.epoch,
            name: name.into(),
        }))
    }

    fn prepare(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.machine.call(self.epoch)?;
        if state.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.prepared.insert(name.into(), Prepared { bytes: bytes.into(), is_synced: true });
        Ok(())
    }

    fn switch(&self, name: &str) -> io::Result<()> {
        let mut state = self.machine.call(self.epoch)?;
        let Prepared { bytes, is_synced } =
            state.prepared.remove(name).ok_or(io::ErrorKind::NotFound)?;
        let (durable, unsynced) = if is_synced {
            (bytes.clone(), Vec::new())
        } else {
            (Vec::new(), vec![(0, bytes.clone())])
        };
        let file = MemoryFile { id: state.calls, live: bytes, durable, unsynced };
        let before = state.files.insert(name.into(), file);
        state.renamed.entry(name.into()).or_insert(before);
        drop(state);
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        self.machine.call(self.epoch)?.renamed.clear();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.machine.call(self.epoch)?;
        let before = state.files.remove(name);
        state.renamed.entry(name.into()).or_insert(before);
        drop(state);
        self.sync()
    }

    fn discard(&self, name: &str) -> io::Result<()> {
        self.machine.call(self.epoch)?.prepared.remove(name);
        Ok(())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let id = self.machine.call(self.epoch)?.files.get(name).ok_or(io::ErrorKind::NotFound)?.id;
        Ok(Box::new(OpenFile {
            machine: self.machine.clone(),
            epoch: self.epoch,
            name: name.into(),
            id,
        }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.machine.call(self.epoch)?;
        Ok(state.files.keys().chain(state.engines.keys()).cloned().collect())
    }
}

struct OpenFile {
    machine: Machine,
    epoch: u64,
    name: String,
    id: u64,
}

impl OpenFile {
    /// The file; `None` once another has taken its name: then what is written is seen by nobody who
    /// opens it later.
    fn file<'a>(&self, state: &'a mut State) -> Option<&'a mut MemoryFile> {
        state.files.get_mut(&self.name).filter(|file| file.id == self.id)
    }
}

impl DiskFile for OpenFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.machine.call(self.epoch)?;
        let is_full = state.is_full;
        let Some(file) = self.file(&mut state) else { return Ok(()) };
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        if is_full && offset + bytes.len() > file.live.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        overwrite(&mut file.live, offset, bytes);
        file.unsynced.push((offset, bytes.into()));
        Ok(())
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut state = self.machine.call(self.epoch)?;
        let file = self.file(&mut state).ok_or(io::ErrorKind::NotFound)?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let from =
            file.live.get(offset..offset + bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(from);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.machine.hold(|state| state.holds_syncs);
        let mut state = self.machine.call(self.epoch)?;
        if state.fails_syncs {
            return Err(io::Error::other("injected"));
        }
        let Some(file) = self.file(&mut state) else { return Ok(()) };
        file.durable = file.live.clone();
        file.unsynced.clear();
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.machine.call(self.epoch)?;
        let Some(file) = self.file(&mut state) else { return Ok(()) };
        file.live.truncate(usize::try_from(len).map_err(io::Error::other)?);
        Ok(())
    }
}

/// A file's next content, while it is being written.
struct NextFile {
    machine: Machine,
    epoch: u64,
    name: String,
}

impl DiskFile for NextFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.machine.lock_state().holds_next_writes {
            self.machine.hold(|state| state.holds_next_writes);
        }
        let mut state = self.machine.call(self.epoch)?;
        if state.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        if let Some(next) = state.prepared.get_mut(&self.name) {
            overwrite(&mut next.bytes, offset, bytes);
            next.is_synced = false;
        }
        Ok(())
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        // (Not counted as held if it is not: that would wake who waits for a file's sync.)
        if self.machine.lock_state().holds_next_files {
            self.machine.hold(|state| state.holds_next_files);
        }
        let mut state = self.machine.call(self.epoch)?;
        if state.fails_syncs {
            return Err(io::Error::other("injected"));
        }
        if let Some(next) = state.prepared.get_mut(&self.name) {
            next.is_synced = true;
        }
        Ok(())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn gone() -> io::Error {
    io::Error::other("the machine has died")
}

fn overwrite(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if file.len() < offset + bytes.len() {
        file.resize(offset + bytes.len(), 0);
    }
    if let Some(to) = file.get_mut(offset..offset + bytes.len()) {
        to.copy_from_slice(bytes);
    }
}
