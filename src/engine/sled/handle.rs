//! A handle of sled's that lets no panic out: not in a call, and not when it is dropped.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::engine::EngineError;

/// An open database. sled's destructors unwrap the result of their last sync, so no bare one may
/// ever be dropped.
pub(super) struct Handle(Option<sled::Db>);

impl Handle {
    pub(super) fn open(config: &sled::Config) -> Result<Self, EngineError> {
        guarded(|| config.open().map(|db| Self(Some(db))))
    }

    pub(super) fn call<T>(
        &self,
        call: impl FnOnce(&sled::Db) -> sled::Result<T>,
    ) -> Result<T, EngineError> {
        let db = self.0.as_ref().ok_or(EngineError::Panicked)?;
        guarded(|| call(db))
    }

    /// Whether a write of sled's has failed: from then on it writes nothing more.
    pub(super) fn is_failed(&self) -> bool {
        self.call(|db| db.context.global_error()).is_err()
    }

    /// Wakes the threads that wait for a write that has failed: sled notes such an error, and does
    /// not always tell them. This takes none of sled's locks that one of them may hold.
    pub(super) fn nudge(&self) {
        let _ = self.call(|db| match db.context.global_error() {
            Ok(()) => Ok(0),
            // With an error on record this waits for nothing, and writes nothing.
            Err(_) => db.context.pagecache.log.make_stable(i64::MAX),
        });
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let db = self.0.take();
        let _ = catch_unwind(AssertUnwindSafe(move || drop(db)));
    }
}

fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, EngineError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| match error {
            sled::Error::Io(error) => io_error(error),
            // The texts of the other variants say nothing of rows, and nothing of use to a caller.
            _ => EngineError::Io(io::Error::from(io::ErrorKind::InvalidData)),
        }),
        Err(_) => Err(EngineError::Panicked),
    }
}

pub(super) fn io_error(error: io::Error) -> EngineError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            EngineError::Full
        }
        _ => EngineError::Io(error),
    }
}
