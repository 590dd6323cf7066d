//! The machine's engines, each of which a crash cuts off from the store that has it open.

use std::path::Path;

use super::{Machine, gone};
use crate::engine::{
    Batch, Commit, Durability, Engine, EngineError, Engines, Limits, MemoryEngine, Row, SledFolder,
    Tuning,
};
use crate::model::error::{Error, Result};
use crate::model::tag::AccountTag;

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
        // (A sync is counted as held only if it is: else the thread would wake that waits for a
        // file's sync.)
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
