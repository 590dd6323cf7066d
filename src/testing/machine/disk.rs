//! The machine's disk: what was written and not synced can be lost.

use std::io;

use super::{Machine, State};
use crate::platform::disk::{Disk, DiskFile};

/// A file's next content.
#[derive(Default)]
pub(super) struct Prepared {
    bytes: Vec<u8>,
    is_synced: bool,
}

#[derive(Clone, Default)]
pub(super) struct MemoryFile {
    /// Which file it is: another one may take its name.
    id: u64,
    pub(super) live: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) unsynced: Vec<(usize, Vec<u8>)>,
}

impl MemoryFile {
    /// A file of this content, all of it on the disk.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { id: 0, live: bytes.clone(), durable: bytes, unsynced: Vec::new() }
    }
}

#[derive(Debug)]
pub(super) struct MemoryDisk {
    pub(super) machine: Machine,
    pub(super) epoch: u64,
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
    /// The file; `None` once another has taken its name: then no later opening finds what is
    /// written to it.
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
        // (A sync is counted as held only if it is: else the thread would wake that waits for a
        // file's sync.)
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

pub(super) fn overwrite(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if file.len() < offset + bytes.len() {
        file.resize(offset + bytes.len(), 0);
    }
    if let Some(to) = file.get_mut(offset..offset + bytes.len()) {
        to.copy_from_slice(bytes);
    }
}
