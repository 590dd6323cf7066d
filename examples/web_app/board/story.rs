//! **Demonstration.** How far somebody has come with the three steps, and which users were seen. It
//! is in a file, so that it outlives a kill.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::super::Fault;
use super::super::ordinary::Who;

/// More users than these are not remembered.
const MOST: usize = 50;

pub(super) struct Story {
    file: PathBuf,
    told: Mutex<Chapters>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Chapters {
    /// A refresh has ended after its user's sign-out.
    pub(super) refreshed_late: bool,
    /// Everybody who has signed in.
    pub(super) users: BTreeSet<Who>,
}

impl Story {
    pub(super) fn open(folder: &Path) -> Result<Self, Fault> {
        let file = folder.join("story.json");
        let told = match fs::read(&file) {
            // It is only for show: one that cannot be read is begun anew.
            Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::NotFound => Chapters::default(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { file, told: Mutex::new(told) })
    }

    pub(super) fn so_far(&self) -> Chapters {
        self.lock().clone()
    }

    pub(super) fn has_signed_in(&self, who: &Who) -> Result<(), Fault> {
        let mut told = self.lock();
        let is_new = told.users.len() < MOST && told.users.insert(who.clone());
        if is_new { self.write(&told) } else { Ok(()) }
    }

    pub(super) fn has_refreshed_late(&self) -> Result<(), Fault> {
        let mut told = self.lock();
        told.refreshed_late = true;
        self.write(&told)
    }

    fn write(&self, told: &Chapters) -> Result<(), Fault> {
        let unfinished = self.file.with_extension("new");
        fs::write(&unfinished, serde_json::to_vec(told)?)?;
        Ok(fs::rename(unfinished, &self.file)?)
    }

    fn lock(&self) -> MutexGuard<'_, Chapters> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
