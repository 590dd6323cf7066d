//! The locks of a store's folders: files that the system locks for this process.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::error::{Error, Result};
use crate::platform::disk::private_file;
use crate::platform::path::at;

/// The pause before the second try. Each is twice the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The lock files that this process holds, and its id: a forked child has a copy of this list, and
/// none of the locks. It tells whether waiting for a lock is in vain.
static OWN: Mutex<Vec<(u32, Identity)>> = Mutex::new(Vec::new());

/// What a file is, under whichever name: its device and number there, or its one path.
#[derive(Clone, PartialEq, Eq)]
struct Identity(#[cfg(unix)] (u64, u64), #[cfg(not(unix))] PathBuf);

/// A locked file. Dropping it unlocks the file explicitly, as closing it may not be enough: a child
/// of this process that has not called `exec` yet holds a copy of the file, and with it the lock.
pub(crate) struct Locked {
    file: File,
    path: PathBuf,
    identity: Identity,
}

impl Locked {
    /// Takes the lock, and writes the id of this process into the file, which is made if it is not
    /// there.
    ///
    /// # Errors
    /// `AlreadyOpen`, `Io`.
    pub(crate) fn take(path: PathBuf) -> Result<Self> {
        let file = private_file().create(true).truncate(false).open(&path);
        let file = file.map_err(at(&path)).map_err(Error::io("open the lock file"))?;
        Self::lock(file, path, false)
    }

    /// Takes the lock together with other processes that do so: against those that
    /// [take](Locked::take) it alone.
    ///
    /// # Errors
    /// `AlreadyOpen`, `Io`.
    #[cfg(all(unix, feature = "sqlite"))]
    pub(crate) fn share(path: PathBuf) -> Result<Self> {
        let file = private_file().create(true).truncate(false).open(&path);
        let file = file.map_err(at(&path)).map_err(Error::io("open the lock file"))?;
        Self::lock(file, path, true)
    }

    /// As [`Locked::take`], without making the file; `None` if it is not there. A file that cannot
    /// be written to is locked as it is.
    ///
    /// # Errors
    /// As [`Locked::take`].
    pub(crate) fn take_if_there(path: PathBuf) -> Result<Option<Self>> {
        let opened = private_file().open(&path).or_else(|error| match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                File::open(&path)
            }
            _ => Err(error),
        });
        match opened {
            Ok(file) => Self::lock(file, path, false).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open the lock file")(at(&path)(error))),
        }
    }

    /// Whether this is the lock of that file.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        self.path == path
    }

    fn lock(mut file: File, path: PathBuf, is_shared: bool) -> Result<Self> {
        let refused = |error| Error::io("lock the store's folder")(at(&path)(error));
        let identity = identity(&file, &path).map_err(refused)?;
        let own = (std::process::id(), identity.clone());
        // Held across both, so that the list always says who has a lock that another thread finds
        // taken. (Trying takes no time.)
        let mut all = OWN.lock().unwrap_or_else(PoisonError::into_inner);
        match if is_shared { file.try_lock_shared() } else { file.try_lock() } {
            Ok(()) => all.push(own),
            Err(fs::TryLockError::WouldBlock) => {
                let in_this_process = all.contains(&own);
                drop(all);
                let mut pid = String::new();
                // The id is only a hint for the operator.
                let _ = file.take(32).read_to_string(&mut pid);
                let pid = pid.trim().parse().ok();
                return Err(Error::AlreadyOpen { lock: Some(path), pid, in_this_process });
            }
            Err(fs::TryLockError::Error(error)) => return Err(refused(error)),
        }
        drop(all);

        let pid = format!("{}\n", std::process::id());
        // If this fails, only the hint is missing: a full disk must not keep the store from
        // opening.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(pid.as_bytes()));
        Ok(Self { file, path, identity })
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let own = (std::process::id(), self.identity.clone());
        let mut all = OWN.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.file.unlock();
        if let Some(place) = all.iter().position(|other| *other == own) {
            all.swap_remove(place);
        }
    }
}

#[cfg(unix)]
fn identity(file: &File, _: &Path) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;
    file.metadata().map(|file| Identity((file.dev(), file.ino())))
}

#[cfg(not(unix))]
fn identity(_: &File, path: &Path) -> io::Result<Identity> {
    fs::canonicalize(path).map(Identity)
}

/// How long an opening still waits for the locks of another process.
#[derive(Debug)]
pub(crate) struct Patience {
    /// No end if the clock cannot hold it.
    end: Option<Instant>,
    next: Duration,
}

impl Patience {
    pub(crate) fn new(at_most: Duration) -> Self {
        Self { end: Instant::now().checked_add(at_most), next: FIRST_PAUSE }
    }

    /// The pause before the next try; `None` if none is to come: the time is over, or the error is
    /// none that ends by waiting.
    pub(crate) fn pause(&mut self, error: &Error) -> Option<Duration> {
        if !matches!(error, Error::AlreadyOpen { in_this_process: false, .. }) {
            return None;
        }
        let left =
            self.end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
        let pause = self.next.min(left);
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        (!pause.is_zero()).then_some(pause)
    }

    /// Tries until that succeeds, or no try is to come.
    pub(crate) fn retry<T>(
        &mut self,
        mut attempt: impl FnMut() -> Result<T>,
        mut sleep: impl FnMut(Duration),
    ) -> Result<T> {
        loop {
            match attempt() {
                Err(error) => sleep(self.pause(&error).ok_or(error)?),
                done => return done,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(in_this_process: bool) -> Error {
        Error::AlreadyOpen { lock: None, pid: None, in_this_process }
    }

    #[test]
    fn the_other_process_is_waited_for_and_nothing_else() {
        let minute = || Patience::new(Duration::from_secs(60));
        let mut pauses = Vec::new();
        let mut tries = 0;
        let done = minute().retry(
            || {
                tries += 1;
                if tries < 8 { Err(taken(false)) } else { Ok(tries) }
            },
            |pause| pauses.push(pause.as_millis()),
        );
        assert_eq!((done.unwrap(), pauses), (8, vec![10, 20, 40, 80, 160, 200, 200]));

        // This process does not give its own lock away while it waits for it; and an error is no
        // lock.
        for error in [|| taken(true), || Error::KeyRejected] {
            assert!(minute().pause(&error()).is_none());
        }
        // Without a time to wait there is one try; the longest one does not overflow.
        assert!(Patience::new(Duration::ZERO).pause(&taken(false)).is_none());
        assert_eq!(Patience::new(Duration::MAX).pause(&taken(false)), Some(FIRST_PAUSE));
        let short = Duration::from_millis(3);
        assert!(Patience::new(short).pause(&taken(false)).is_none_or(|pause| pause <= short));
    }

    #[test]
    fn a_lock_of_this_process_is_known_under_every_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = Locked::take(path.clone()).unwrap();
        let is_own = |path: PathBuf| match Locked::take(path.clone()) {
            Err(Error::AlreadyOpen { lock, pid, in_this_process }) => {
                assert_eq!((lock, pid), (Some(path), Some(std::process::id())));
                in_this_process
            }
            other => panic!("{:?}", other.err()),
        };
        assert!(is_own(path.clone()));
        assert!(is_own(folder.path().join("./lock")));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
            assert!(is_own(folder.path().join("link/lock")));
        }
        drop(first);
        // (Asked by another file of this process, as another process would: it is not on the list.)
        let stranger = File::open(&path).unwrap();
        stranger.lock().unwrap();
        assert!(!is_own(path.clone()));
        stranger.unlock().unwrap();
        drop(Locked::take(path).unwrap());
    }

    #[test]
    fn a_lock_file_that_is_not_there_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(Locked::take_if_there(path.clone()).unwrap().is_none() && !path.exists());
        drop(Locked::take(path.clone()).unwrap());
        let held = Locked::take_if_there(path.clone()).unwrap();
        assert!(held.is_some() && Locked::take(path).is_err());
    }
}
