//! A folder for temporary files, which goes when it is dropped.

use std::path::PathBuf;

/// The folder.
pub(crate) struct TemporaryFolder(pub(crate) PathBuf);

impl TemporaryFolder {
    pub(crate) fn new() -> Self {
        let name = crate::crypto::fresh::<16>().unwrap_or_default();
        let name = format!("oubliette-test-{}", base16ct::lower::encode_string(&name));
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
