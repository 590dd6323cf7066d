//! The folder of a store that processes of one machine share, for the operations on all of it.
//!
//! They are serialised among processes by the lock of those who open the store: its keyring is read
//! under that lock, so it is written under it too.

use std::path::Path;
use std::time::Duration;

use crate::model::error::{Error, Result};
use crate::platform::turn::{Late, Turn, Turnstile};
use crate::store::location::Folders;

/// A process that opens the store, or writes its keyring, has the lock of this file for a moment.
const OPENING: &str = "opening";

/// How long one waits for another that opens it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an operation works on, beside the store's core. One thread of a process has it at a time.
pub(crate) struct SharedFolder {
    pub(crate) folders: Folders,
}

impl SharedFolder {
    /// Waits until no other process opens the store; none does before the result is dropped.
    ///
    /// # Errors
    /// `Busy`, `Io`.
    pub(crate) fn take_turn(&self) -> Result<Turn> {
        take_turn(&self.folders.path, Duration::ZERO)
    }
}

/// As [`SharedFolder::take_turn`], for so long at least.
///
/// # Errors
/// `Busy`, `Io`.
pub(crate) fn take_turn(folder: &Path, wait: Duration) -> Result<Turn> {
    let opening = Turnstile::open(&folder.join(OPENING))
        .map_err(Error::io("open the lock file of those who open the store"))?;
    opening.take(wait.max(PATIENCE)).map_err(|late| match late {
        Late::Busy(pid) => Error::Busy { pid },
        Late::Io(error) => Error::io("lock the store's folder")(error),
    })
}
