//! **Demonstration.** The file of the cache: JSON, in plain text, as most samples have it.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::time::SystemTime;

use super::super::Fault;
use super::entries::Entries;

/// What was written last, and when. Without a file there is nothing.
pub(super) fn read(file: &Path) -> Result<(Entries, Option<SystemTime>), Fault> {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Entries::default(), None)),
        Err(error) => return Err(error.into()),
    };
    Ok((serde_json::from_slice(&text)?, Some(fs::metadata(file)?.modified()?)))
}

pub(super) fn text(entries: &Entries) -> Result<Vec<u8>, Fault> {
    Ok(serde_json::to_vec_pretty(entries)?)
}

/// Whole or not at all: this one is careful where many samples are not.
pub(super) fn write(file: &Path, text: &[u8]) -> Result<(), Fault> {
    let unfinished = file.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut written = options.open(&unfinished)?;
    written.write_all(text)?;
    written.sync_all()?;
    Ok(fs::rename(unfinished, file)?)
}
