//! **Demonstration.** An ordinary token cache, beside the store: in memory, written behind to a
//! file.
//!
//! It does what public samples and libraries do, each named where it is done, so that the page can
//! show what becomes of a sign-out there. It knows nothing of the store, and nothing of signals. An
//! app can do better by hand: `copies.rs` says how.

pub(crate) mod calls;
pub(crate) mod copies;
mod entries;
mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::Fault;
use entries::Entries;

/// A user in a tenant, by the names that the page shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Who {
    pub(crate) user: String,
    pub(crate) tenant: String,
}

/// What a token response brings. These are plain strings, as in most caches.
pub(crate) struct Got {
    pub(crate) access: Option<(String, Option<SystemTime>)>,
    pub(crate) refresh: Option<String>,
}

/// How a user came to be in the cache, if not by signing in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// A refresh ended after the sign-out, and stored its tokens.
    LateRefresh,
    /// The file still had them when the process began.
    File,
}

/// A user whom the cache has.
pub(crate) struct Kept {
    pub(crate) came: Option<Came>,
    /// What the API has said to their token since.
    pub(crate) said: Option<String>,
}

/// What the page shows of the cache.
pub(crate) struct Shown {
    pub(crate) users: BTreeMap<Who, Kept>,
    /// Whom the file has.
    pub(crate) in_file: BTreeSet<Who>,
    pub(crate) written_at: Option<SystemTime>,
    /// When the file will be as the memory is, if it is not.
    pub(crate) due_in: Option<Duration>,
}

/// The cache. It is written by a task of its own until it is dropped.
pub(crate) struct Ordinary {
    file: PathBuf,
    /// The least time between two writes.
    every: Duration,
    memory: Mutex<Memory>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct Memory {
    entries: Entries,
    came: BTreeMap<Who, Came>,
    said: BTreeMap<Who, String>,
    in_file: BTreeSet<Who>,
    /// Whether there is something to write.
    is_ahead: bool,
    written: Option<(Instant, SystemTime)>,
}

impl Ordinary {
    pub(crate) fn open(folder: &Path, every: Duration) -> Result<Arc<Self>, Fault> {
        let file = folder.join("ordinary-cache.json");
        let memory = Mutex::new(Memory::read(&file)?);
        let changed = Arc::new(Notify::new());
        let cache = Arc::new(Self { file, every, memory, changed: changed.clone() });
        tokio::spawn(write_behind(Arc::downgrade(&cache), changed));
        Ok(cache)
    }

    /// The user has signed in, or their tokens were renewed while they are.
    pub(crate) fn signed_in(&self, who: &Who, got: &Got) {
        let mut memory = self.lock();
        memory.entries.put(who, got);
        memory.came.remove(who);
        memory.said.remove(who);
        self.has_changed(memory);
    }

    /// The user is signed in, so nothing is strange if they are here.
    pub(crate) fn is_expected(&self, who: &Who) {
        self.lock().came.remove(who);
    }

    /// A refresh has ended: what it got is stored, whatever happened meanwhile.
    pub(crate) fn refreshed(&self, who: &Who, got: &Got) {
        let mut memory = self.lock();
        if !memory.entries.users().contains(who) {
            memory.came.insert(who.clone(), Came::LateRefresh);
        }
        memory.entries.put(who, got);
        self.has_changed(memory);
    }

    /// Removes what is of these users, by a scan of all that there is.
    pub(crate) fn remove(&self, is_theirs: impl Fn(&Who) -> bool) {
        let mut memory = self.lock();
        memory.entries.remove(&is_theirs);
        memory.came.retain(|who, _| !is_theirs(who));
        memory.said.retain(|who, _| !is_theirs(who));
        self.has_changed(memory);
    }

    /// What it has for calling an API as this user.
    pub(crate) fn tokens(&self, who: &Who) -> Option<Got> {
        self.lock().entries.get(who)
    }

    pub(crate) fn has(&self, user: &Who) -> bool {
        self.lock().entries.users().contains(user)
    }

    pub(crate) fn said(&self, who: &Who, what: String) {
        self.lock().said.insert(who.clone(), what);
    }

    /// A process ends in order, and another begins.
    pub(crate) fn restart(&self) -> Result<(), Fault> {
        self.write()?;
        *self.lock() = Memory::read(&self.file)?;
        Ok(())
    }

    /// Writes the file, if there is something to write.
    pub(crate) fn write(&self) -> Result<(), Fault> {
        let mut memory = self.lock();
        if !memory.is_ahead {
            return Ok(());
        }
        memory.is_ahead = false;
        let (text, users) = (file::text(&memory.entries)?, memory.entries.users());
        drop(memory);
        file::write(&self.file, &text)?;
        let mut memory = self.lock();
        memory.in_file = users;
        memory.written = Some((Instant::now(), SystemTime::now()));
        Ok(())
    }

    pub(crate) fn shown(&self) -> Shown {
        let memory = self.lock();
        let kept = |who: Who| {
            let kept =
                Kept { came: memory.came.get(&who).copied(), said: memory.said.get(&who).cloned() };
            (who, kept)
        };
        Shown {
            users: memory.entries.users().into_iter().map(kept).collect(),
            in_file: memory.in_file.clone(),
            written_at: memory.written.map(|(_, at)| at),
            due_in: self.due_in(&memory),
        }
    }

    /// Nothing while there is nothing to write.
    fn due_in(&self, memory: &Memory) -> Option<Duration> {
        let since = memory.written.map(|(at, _)| at.elapsed());
        let left = since.map_or(Duration::ZERO, |since| self.every.saturating_sub(since));
        memory.is_ahead.then_some(left)
    }

    fn has_changed(&self, mut memory: MutexGuard<'_, Memory>) {
        memory.is_ahead = true;
        drop(memory);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn read(file: &Path) -> Result<Self, Fault> {
        let (entries, written_at) = file::read(file)?;
        let users = entries.users();
        let came = users.iter().map(|who| (who.clone(), Came::File)).collect();
        // As if it had just been written: so the next write is not at once.
        let written = written_at.map(|at| (Instant::now(), at));
        Ok(Self { entries, came, in_file: users, written, ..Self::default() })
    }
}

/// At a change, but not sooner than so long after the last time: as Redis writes its snapshots.
async fn write_behind(cache: Weak<Ordinary>, changed: Arc<Notify>) {
    while let Some(here) = cache.upgrade() {
        let due_in = here.due_in(&here.lock());
        match due_in {
            Some(Duration::ZERO) => {
                let written = tokio::task::spawn_blocking(move || here.write()).await;
                if let Ok(Err(error)) = written {
                    eprintln!("the ordinary cache is not written: {error}");
                    return;
                }
            }
            Some(due_in) => {
                drop(here);
                _ = tokio::time::timeout(due_in, changed.notified()).await;
            }
            None => {
                drop(here);
                changed.notified().await;
            }
        }
    }
}

impl Drop for Ordinary {
    /// Ends the task.
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}
