//! Leases: what one process does at a time, and its death ends.
//!
//! Each is a lock file of its own, which is there while somebody has the lease. (With a few files
//! for all of them, chosen by a hash, a refresh could wait for one that it has nothing to do with,
//! and that for it.) A file is looked for, locked, removed and closed in a turn of the folder: so
//! the name that was looked for is that of the file that is locked.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::PATIENCE;
use crate::model::error::{Error, Result};
use crate::model::tag::LeaseTag;
use crate::platform::disk::create_private;
use crate::platform::path::at;
use crate::platform::turn::{Late, Turn, Turnstile};

/// The name of the folder's own lock, which is no lease's.
const TURN: &str = "turn";

/// The folder of a store's leases.
#[derive(Clone)]
pub(super) struct Leases {
    folder: PathBuf,
    turnstile: Turnstile,
}

/// A lease that this process has.
struct Held {
    leases: Leases,
    path: PathBuf,
    turn: Option<Turn>,
    /// A forked child has a copy of this, and no lease.
    pid: u32,
}

impl Leases {
    /// Of the store in this folder. What died with its lease has left the file, which goes.
    pub(super) fn open(store: &Path) -> Result<Self> {
        let folder = store.join("leases");
        create_private(&folder).map_err(Error::io("make the folder of the leases"))?;
        let turnstile = Turnstile::open(&folder.join(TURN)).map_err(failed)?;
        let leases = Self { folder, turnstile };
        let turn = leases.turn()?;
        for entry in fs::read_dir(&leases.folder).map_err(at(&leases.folder)).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.file_name().is_some_and(|name| name == TURN) {
                continue;
            }
            if let Some(_turn) =
                Turnstile::open(&path).and_then(|file| file.try_take()).map_err(failed)?
            {
                fs::remove_file(&path).map_err(at(&path)).map_err(failed)?;
            }
        }
        drop(turn);
        Ok(leases)
    }

    /// The lease of this name, if nobody has it.
    pub(super) fn take(&self, name: &LeaseTag) -> Result<Option<impl Send + Sync + use<>>> {
        let path = self.folder.join(file_name(name));
        let _turn = self.turn()?;
        let turn = Turnstile::open(&path).and_then(|file| file.try_take()).map_err(failed)?;
        let held =
            |turn| Held { leases: self.clone(), path, turn: Some(turn), pid: std::process::id() };
        Ok(turn.map(held))
    }

    fn turn(&self) -> Result<Turn> {
        self.turnstile.take(PATIENCE).map_err(|late| match late {
            Late::Busy(pid) => Error::Busy { pid },
            Late::Io(error) => failed(error),
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.pid != std::process::id() {
            return;
        }
        // (Without the turn, or if it cannot be removed, the file stays, for the next holder.)
        let _turn = self.leases.turn().inspect(|_| {
            let _ = fs::remove_file(&self.path);
        });
        drop(self.turn.take());
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::io("take a lease of the store")(error)
}

fn file_name(name: &LeaseTag) -> String {
    name.as_bytes().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
