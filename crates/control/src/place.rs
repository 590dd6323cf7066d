//! Where the socket lies: in the store's own folder. Where that cannot be, in a folder that the app
//! names, and a file in the store's folder says where.

use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The socket's name in the store's folder.
const SOCKET: &str = "control";
/// The file there that says where else it is.
const POINTER: &str = "control.at";
/// The longest path that the system's address of a socket takes, beside its NUL.
const LONGEST: usize =
    if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

/// A socket that this process listens at. Dropping it removes the file, if it still is this one.
pub(crate) struct Bound {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    identity: (u64, u64),
    pid: u32,
}

impl Bound {
    /// Binds the socket, while this process holds the lock of the store in `folder`: so what is
    /// there already is of nobody.
    ///
    /// # Errors
    /// `PermissionDenied` if others can enter the folder, as its mode says who may ask;
    /// `InvalidFilename` if its path is too long; what the system says.
    pub(crate) fn at(folder: &Path, elsewhere: Option<&Path>) -> io::Result<Self> {
        let folder = std::path::absolute(folder)?;
        let store = private(&folder)?;
        let path = match elsewhere {
            None => folder.join(SOCKET),
            Some(other) => {
                let other = std::path::absolute(other)?;
                if fs::symlink_metadata(&other).is_err() {
                    let mut builder = fs::DirBuilder::new();
                    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
                    builder.create(&other)?;
                }
                private(&other)?;
                other.join(name_of(&store))
            }
        };

        // Bound and closed to others before it can be reached by its name. The rename takes the
        // place of what an earlier process has left.
        let new = path.with_extension("new");
        remove(&new)?;
        let short = Short::of(&new)?;
        let listener = UnixListener::bind(&short.path)?;
        drop(short);
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        let identity = identity(&fs::symlink_metadata(&new)?);
        fs::rename(&new, &path)?;
        let bound = Self { listener, path, identity, pid: std::process::id() };
        match elsewhere {
            None => remove(&folder.join(POINTER))?,
            Some(_) => {
                point(&folder, &bound.path)?;
                remove(&folder.join(SOCKET))?;
            }
        }
        Ok(bound)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // Another process may have its own there, once the store was closed; and a forked child's
        // copy is its parent's.
        let is_own =
            fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity);
        if is_own && self.pid == std::process::id() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A connection to the app that has the store in `folder` open; `None` if nobody listens. Gives the
/// user, too, who has to be at the other end.
///
/// # Errors
/// `PermissionDenied` if what is there is not the store's owner's; what the system says.
pub(crate) fn connect(folder: &Path) -> io::Result<Option<(UnixStream, u32)>> {
    let folder = std::path::absolute(folder)?;
    let store = match fs::metadata(&folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let own = folder.join(SOCKET);
    let path = match fs::symlink_metadata(&own) {
        Ok(found) if found.file_type().is_socket() => own,
        _ => match pointed(&folder, &store)? {
            Some(path) => path,
            None => return Ok(None),
        },
    };
    let short = Short::of(&path)?;
    match UnixStream::connect(&short.path) {
        Ok(stream) => Ok(Some((stream, store.uid()))),
        // Of a process that has ended.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the file in the store's folder says that the socket is, if there is one.
fn pointed(folder: &Path, store: &Metadata) -> io::Result<Option<PathBuf>> {
    let at = folder.join(POINTER);
    match fs::symlink_metadata(&at) {
        Ok(found) if found.is_file() && found.uid() == store.uid() && found.len() < 4096 => {}
        Ok(_) => return Err(not_the_owners(&at)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let path = PathBuf::from(fs::read_to_string(&at)?);
    let Some(parent) = path.parent().filter(|_| path.is_absolute()) else {
        return Err(not_the_owners(&at));
    };
    match (fs::symlink_metadata(parent), fs::symlink_metadata(&path)) {
        (Ok(parent), Ok(found)) => {
            let is_private = parent.is_dir() && parent.mode() & 0o077 == 0;
            let is_owners = parent.uid() == store.uid() && found.uid() == store.uid();
            if is_private && is_owners && found.file_type().is_socket() {
                Ok(Some(path))
            } else {
                Err(not_the_owners(&path))
            }
        }
        // It is gone with the process that made it.
        _ => Ok(None),
    }
}

fn not_the_owners(path: &Path) -> io::Error {
    let message = format!("{path:?} is not what the store's owner has put there");
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

fn point(folder: &Path, path: &Path) -> io::Result<()> {
    let text = path.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
    let new = folder.join(format!("{POINTER}.new"));
    remove(&new)?;
    let mut options = File::options();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    fs::rename(new, folder.join(POINTER))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Looks at a folder that this user alone may enter.
fn private(folder: &Path) -> io::Result<Metadata> {
    let found = fs::metadata(folder)?;
    let is_own = found.uid() == nix::unistd::geteuid().as_raw();
    if found.is_dir() && is_own && found.mode() & 0o077 == 0 {
        return Ok(found);
    }
    let message = format!(
        "{folder:?} must be a folder of the app's own user with the mode 0700, because the mode says \
         who may use the socket"
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// The socket's name in another folder: of one store on this machine, at any time the same.
fn name_of(store: &Metadata) -> String {
    format!("oubliette-{:x}-{:x}", store.dev(), store.ino())
}

/// A path by which the system takes a socket's address, as long as this lives.
struct Short {
    path: PathBuf,
    _folder: Option<File>,
}

impl Short {
    fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= LONGEST {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        let too_long = || {
            io::Error::new(
                io::ErrorKind::InvalidFilename,
                format!("{path:?} is too long for a socket: name a short socket_folder"),
            )
        };
        // On Linux an open folder has a short name of this process's own.
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(too_long());
        };
        let folder = File::open(folder)?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&folder);
        let short = Path::new("/proc/self/fd").join(number.to_string());
        let leads_there = fs::metadata(&short).is_ok_and(|found| {
            folder.metadata().is_ok_and(|own| identity(&own) == identity(&found))
        });
        if !leads_there {
            return Err(too_long());
        }
        Ok(Self { path: short.join(name), _folder: Some(folder) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may")]

    use std::os::unix::fs::symlink;

    use super::*;

    fn home() -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let store = home.path().join("tokens");
        fs::create_dir(&store).unwrap();
        set_mode(&store, 0o700);
        (home, store)
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn is_reached(folder: &Path) -> bool {
        connect(folder).unwrap().is_some()
    }

    #[test]
    fn a_socket_is_reached_while_it_is_bound_and_a_stale_one_is_nobodys() {
        let (_home, store) = home();
        assert!(!is_reached(&store) && !is_reached(&store.join("none")));
        let bound = Bound::at(&store, None).unwrap();
        assert_eq!(fs::metadata(store.join("control")).unwrap().mode() & 0o777, 0o600);
        assert!(is_reached(&store));
        // As after a kill: the file stays, and nobody listens.
        let stale = bound.path.clone();
        let kept = store.join("kept");
        fs::hard_link(&stale, &kept).unwrap();
        drop(bound);
        fs::rename(&kept, &stale).unwrap();
        fs::write(store.join("control.new"), "half").unwrap();
        assert!(!is_reached(&store));
        let bound = Bound::at(&store, None).unwrap();
        assert!(is_reached(&store) && !store.join("control.new").exists());
        // The next process's socket in the same place is not removed with the one before.
        let next = Bound::at(&store, None).unwrap();
        drop(bound);
        assert!(is_reached(&store));
        drop(next);
        assert!(!store.join("control").exists());
    }

    #[test]
    fn a_path_may_be_too_long_for_the_system() {
        let (home, _) = home();
        let store = home.path().join("x".repeat(120)).join("y".repeat(120));
        fs::create_dir_all(&store).unwrap();
        set_mode(&store, 0o700);
        if cfg!(target_os = "linux") {
            let _bound = Bound::at(&store, None).unwrap();
            assert!(is_reached(&store) && store.join("control").exists());
        } else {
            assert!(Bound::at(&store, None).is_err());
        }
        // Or where the store's file system has no sockets.
        let short = home.path().join("run");
        let bound = Bound::at(&store, Some(&short)).unwrap();
        assert!(is_reached(&store) && !store.join("control").exists());
        drop(bound);
        assert!(!is_reached(&store));
        drop(Bound::at(&store, None));
        assert!(!store.join("control.at").exists() || !cfg!(target_os = "linux"));
    }

    #[test]
    fn a_folder_that_others_may_enter_has_no_socket() {
        let (home, store) = home();
        for mode in [0o755, 0o710, 0o701] {
            set_mode(&store, mode);
            let refused = Bound::at(&store, None).err().unwrap();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
            assert!(!store.join("control").exists());
        }
        set_mode(&store, 0o700);
        let other = home.path().join("other");
        fs::create_dir(&other).unwrap();
        set_mode(&other, 0o777);
        assert!(Bound::at(&store, Some(&other)).is_err());
    }

    #[test]
    fn a_pointer_that_leads_elsewhere_is_refused() {
        let (home, store) = home();
        let elsewhere = home.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        set_mode(&elsewhere, 0o755);
        let listener = UnixListener::bind(elsewhere.join("s")).unwrap();
        let point_at = |text: &str| {
            fs::write(store.join("control.at"), text).unwrap();
            connect(&store).map(|found| found.is_some())
        };
        let path = elsewhere.join("s").to_str().unwrap().to_owned();
        // Others could have put a socket of their own there.
        assert!(point_at(&path).is_err());
        set_mode(&elsewhere, 0o700);
        assert!(point_at(&path).unwrap());
        symlink(&elsewhere, home.path().join("link")).unwrap();
        assert!(point_at(home.path().join("link/s").to_str().unwrap()).is_err());
        symlink(elsewhere.join("s"), elsewhere.join("l")).unwrap();
        assert!(point_at(elsewhere.join("l").to_str().unwrap()).is_err());
        for bad in ["", "s", "/", "../elsewhere/s", &"x".repeat(5000)] {
            assert!(point_at(bad).is_err(), "{bad}");
        }
        assert!(!point_at("/no/such/place/s").unwrap());
        fs::remove_file(store.join("control.at")).unwrap();
        // A link in the socket's own place is none.
        symlink(elsewhere.join("s"), store.join("control")).unwrap();
        assert!(!is_reached(&store));
        drop(listener);
    }
}
