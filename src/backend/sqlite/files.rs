//! The files: what they are called, who may read them, and whether they are still there.

use std::path::{Path, PathBuf};

use crate::model::error::{Component, Error, Result};
use crate::platform::disk::private_file;
use crate::platform::path::at;
use crate::platform::stat;

/// "oubl", in the file's header.
pub(super) const APPLICATION_ID: i32 = 0x6f75_626c;
/// The format of the tables.
pub(super) const FORMAT: i32 = 1;

/// The oldest SQLite that never loses what another process has committed: of those before, a
/// checkpoint right behind another could take frames of a log that had begun anew for written
/// (sqlite.org/wal.html, "The WAL-Reset Bug").
const OLDEST_SQLITE: i32 = 3_051_003;

/// The files of the rows, as this process has opened them.
pub(super) struct Files {
    seen: Vec<(PathBuf, (u64, u64))>,
}

/// Makes an empty file that only its owner may read: SQLite's own files beside it get its mode.
pub(super) fn make_private(path: &Path) -> Result<()> {
    private_file()
        .create_new(true)
        .open(path)
        .map(drop)
        .map_err(at(path))
        .map_err(Error::io("make the rows' file"))
}

/// Refuses a version of SQLite that can lose what was committed.
///
/// # Errors
/// `InvalidInput`.
pub(super) fn check_version() -> Result<()> {
    if !is_new_enough(rusqlite::version_number()) {
        return Err(Error::invalid("sqlite", "the linked SQLite is older than 3.51.3"));
    }
    Ok(())
}

fn is_new_enough(version: i32) -> bool {
    version >= OLDEST_SQLITE
}

/// Refuses a folder that other machines may have too: the kernels of two machines have no locks and
/// no memory in common.
///
/// # Errors
/// `InvalidInput`, `Io`.
pub(super) fn check_local(folder: &Path) -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        // From statfs(2) and linux/magic.h: file systems of one kernel alone.
        const LOCAL: [u64; 10] = [
            0xef53,      // ext2, ext3, ext4
            0x5846_5342, // xfs
            0x9123_683e, // btrfs
            0x0102_1994, // tmpfs
            0x794c_7630, // overlay
            0x2fc1_2fc1, // zfs
            0xf2f5_2010, // f2fs
            0x8584_58f6, // ramfs
            0xca45_1a4e, // bcachefs
            0x3153_464a, // jfs
        ];
        let found = rustix::fs::statfs(folder)
            .map_err(|error| Error::io("look at the file system")(at(folder)(error.into())))?;
        #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "a magic number")]
        let kind = found.f_type as u64 & 0xffff_ffff;
        if !LOCAL.contains(&kind) {
            return Err(Error::invalid(
                "store",
                "its folder is on a file system that may be another machine's too (or is not known \
                 to be this one's alone); SQLite needs a local one",
            ));
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = folder;
    Ok(())
}

impl Files {
    /// Notes which files these are: the rows' own, SQLite's log, and its index.
    pub(super) fn note(rows: &Path) -> Result<Self> {
        let seen = ["", "-wal", "-shm"].into_iter().map(|suffix| {
            let mut path = rows.as_os_str().to_owned();
            path.push(suffix);
            let path = PathBuf::from(path);
            let is = stat::of_path(&path).map_err(at(&path));
            let is = is.map_err(Error::io("look at the rows' files"))?;
            Ok((path, is.identity))
        });
        Ok(Self { seen: seen.collect::<Result<_>>()? })
    }

    /// What the rows' own file is.
    pub(super) fn rows(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        if let Some((_, (device, number))) = self.seen.first() {
            let both = device.to_be_bytes().into_iter().chain(number.to_be_bytes());
            bytes.iter_mut().zip(both).for_each(|(to, from)| *to = from);
        }
        bytes
    }

    /// Whether the names still lead to the files that are open: what is written to others, no other
    /// process sees.
    ///
    /// # Errors
    /// `Damaged`; `Io` if that cannot be told.
    pub(super) fn check(&self) -> Result<()> {
        for (path, is) in &self.seen {
            match stat::of_path(path) {
                Ok(there) if there.identity == *is => {}
                Err(error) if !is_gone(&error) => {
                    return Err(Error::io("look at the rows' files")(at(path)(error)));
                }
                _ => {
                    return Err(Error::damaged(
                        Component::Engine,
                        "its files were moved, removed or replaced while the store was open",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Whether nothing has this name.
fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_folder_that_is_not_known_to_be_this_machines_alone_is_refused() {
        // (As one of a network would be: by its kind.)
        assert!(matches!(check_local(Path::new("/proc")), Err(Error::InvalidInput { .. })));
        assert!(matches!(check_local(Path::new("/proc/is-not-there")), Err(Error::Io { .. })));
        check_local(&std::env::temp_dir()).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_looked_at_is_not_said_to_be_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        for name in ["rows", "rows-wal", "rows-shm"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let mut files = Files::note(&path).unwrap();
        files.check().unwrap();
        // (No name is so long.)
        files.seen[1].0 = folder.path().join("x".repeat(5000));
        assert!(matches!(files.check(), Err(Error::Io { .. })));
        files.seen[1].0 = folder.path().join("removed");
        assert!(matches!(files.check(), Err(Error::Damaged { part: Component::Engine, .. })));
    }

    #[test]
    fn the_linked_sqlite_is_new_enough() {
        check_version().unwrap();
        assert!(is_new_enough(OLDEST_SQLITE) && !is_new_enough(OLDEST_SQLITE - 1));
    }
}
