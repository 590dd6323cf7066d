//! Verifying a store that is not open: on a copy, since opening writes.

use crate::api::builder::Builder;
use crate::crypto::fresh;
use crate::model::error::{Error, Result};
use crate::model::report::Verified;
use std::path::{Path, PathBuf};

/// Verifies a store that is not open, on a copy in the system's folder for temporary files: opening
/// writes.
pub(crate) fn verify_copy(copied: impl FnOnce(&Path) -> Result<Builder>) -> Result<Verified> {
    let copy = Copy::new()?;
    let store = copied(&copy.0)?.open()?;
    let verified = store.verify();
    // Nothing is to be saved of it.
    drop(store);
    verified
}

/// A folder that is removed again.
struct Copy(PathBuf);

impl Copy {
    fn new() -> Result<Self> {
        let name = format!("oubliette-verify-{}", base16ct::lower::encode_string(&fresh::<16>()?));
        let path = std::env::temp_dir().join(name);
        crate::platform::disk::create_private(&path)
            .map_err(Error::io("make a folder for temporary files"))?;
        Ok(Self(path))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Sealed rows in the folder for temporary files are what is left at worst.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
