//! Looks at files that leave their times alone.
//!
//! Since 6.13 Linux gives a file whose times were asked for a finer time at its next write, which
//! makes that write change the file's inode, and the sync behind it wait for the file system's
//! journal: on ext4 such a sync takes half as long again. So a file that is written and synced all
//! the time is never asked for its times. (Linux, Documentation/filesystems/multigrain-ts.rst.)

use std::fs::File;
use std::io;
use std::path::Path;

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    /// Its device and its number there: what it is, under whichever name.
    pub(crate) identity: (u64, u64),
    /// In bytes.
    pub(crate) len: u64,
    /// How many names it has.
    pub(crate) names: u64,
}

/// What has this name. (By a look at the name: to open and close it would drop the record locks that
/// this process has on it.)
pub(crate) fn of_path(path: &Path) -> io::Result<Stat> {
    #[cfg(target_os = "linux")]
    if let Some(found) = linux::look(rustix::fs::CWD, path, rustix::fs::AtFlags::empty()) {
        return found;
    }
    std::fs::metadata(path).map(|found| of_metadata(&found))
}

/// The open file.
pub(crate) fn of_file(file: &File) -> io::Result<Stat> {
    #[cfg(target_os = "linux")]
    if let Some(found) = linux::look(file, "", rustix::fs::AtFlags::EMPTY_PATH) {
        return found;
    }
    file.metadata().map(|found| of_metadata(&found))
}

fn of_metadata(found: &std::fs::Metadata) -> Stat {
    use std::os::unix::fs::MetadataExt;
    Stat { identity: (found.dev(), found.ino()), len: found.len(), names: found.nlink() }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::AsFd;

    use rustix::fs::{AtFlags, StatxFlags, makedev, statx};
    use rustix::io::Errno;

    use super::Stat;

    /// `None` if the system has no such call, or forbids it.
    pub(super) fn look(
        at: impl AsFd,
        path: impl rustix::path::Arg,
        flags: AtFlags,
    ) -> Option<io::Result<Stat>> {
        let wanted = StatxFlags::INO | StatxFlags::SIZE | StatxFlags::NLINK;
        match statx(at, path, flags, wanted) {
            Ok(found) => Some(Ok(Stat {
                identity: (makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino),
                len: found.stx_size,
                names: u64::from(found.stx_nlink),
            })),
            Err(Errno::NOSYS | Errno::PERM) => None,
            Err(error) => Some(Err(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_the_system_says_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&path, "four").unwrap();
        std::fs::hard_link(&path, other).unwrap();
        let file = File::open(&path).unwrap();
        let expected = of_metadata(&file.metadata().unwrap());
        for found in [of_path(&path).unwrap(), of_file(&file).unwrap()] {
            assert_eq!(found.identity, expected.identity);
            assert_eq!((found.len, found.names), (4, 2));
        }
        let missing = of_path(&folder.path().join("c")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
