//! Where an operator may have the app write backups: below one folder, and nowhere that a name on
//! the way leads elsewhere.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::answer::{Fault, kind};

/// The folder that the app allows.
#[derive(Debug)]
pub(crate) struct Backups {
    /// As the app named it, made absolute; and without links.
    named: PathBuf,
    real: PathBuf,
}

impl Backups {
    /// # Errors
    /// If the folder cannot be made (for its owner alone) or looked at, or if others than this
    /// process's user, and root, can write to it: they could lead a backup elsewhere.
    pub(crate) fn below(folder: &Path) -> io::Result<Self> {
        let named = std::path::absolute(folder)?;
        if !named.exists() {
            let mut builder = fs::DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.recursive(true).create(&named)?;
        }
        let real = fs::canonicalize(&named)?;
        let others = "others than the app's user can write to it, so they could lead a backup \
                      elsewhere";
        match own_folder(&fs::metadata(&real)?) {
            true => Ok(Self { named, real }),
            false => Err(io::Error::new(io::ErrorKind::PermissionDenied, others)),
        }
    }

    /// The place of a backup that is asked for.
    ///
    /// # Errors
    /// `NOT_ALLOWED`, which says where it may be.
    pub(crate) fn place(&self, asked: &str) -> Result<PathBuf, Fault> {
        let refuse = |why: &str| {
            let message = format!(
                "the app writes backups only below {:?}, {why}. Nothing was done",
                self.named
            );
            Err(Fault::new(kind::NOT_ALLOWED, message))
        };
        let path = Path::new(asked);
        if asked.contains('\0') || !path.is_absolute() {
            return refuse("by absolute paths");
        }
        let below = path.strip_prefix(&self.named).or_else(|_| path.strip_prefix(&self.real));
        let Ok(below) = below else { return refuse("and this is not") };
        // `components` passes over `.` in the middle, which leads nowhere.
        if !below.components().all(|part| matches!(part, Component::Normal(_))) {
            return refuse("and `..` leads elsewhere");
        }
        if below.as_os_str().is_empty() {
            return refuse("in folders of their own");
        }

        let mut place = self.real.clone();
        for part in below.components() {
            match fs::symlink_metadata(&place) {
                Ok(found) if own_folder(&found) => {}
                Ok(_) => {
                    return refuse("and a part of this is a link, or not the app's own folder");
                }
                // From here on it is made.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => return refuse("and a part of this cannot be looked at"),
            }
            place.push(part);
        }
        match fs::symlink_metadata(&place) {
            Ok(found) if !own_folder(&found) => {
                refuse("and this is a link, or not the app's own folder")
            }
            _ => Ok(place),
        }
    }
}

/// Whether it is a folder, and nobody but this user and root can change what is in it.
#[cfg(unix)]
fn own_folder(found: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let is_owned = found.uid() == 0 || found.uid() == nix::unistd::geteuid().as_raw();
    found.is_dir() && is_owned && found.mode() & 0o022 == 0
}

#[cfg(not(unix))]
fn own_folder(found: &Metadata) -> bool {
    found.is_dir()
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may")]

    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn no_path_leads_elsewhere() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let allowed = home.join("link/backups");
        fs::create_dir_all(home.join("real")).unwrap();
        symlink(home.join("real"), home.join("link")).unwrap();
        let backups = Backups::below(&allowed).unwrap();
        let real = home.join("real/backups");
        let place = |path: &Path| backups.place(path.to_str().unwrap());

        // Below it, by either of its names, however deep.
        for good in [allowed.join("a"), real.join("a"), allowed.join("./a/")] {
            assert_eq!(place(&good).unwrap(), real.join("a"), "{good:?}");
        }
        assert_eq!(place(&allowed.join("a/b/c")).unwrap(), real.join("a/b/c"));

        fs::create_dir(home.join("elsewhere")).unwrap();
        symlink(home.join("elsewhere"), real.join("out")).unwrap();
        symlink(home.join("not-there"), real.join("dangling")).unwrap();
        symlink(&real, real.join("circle")).unwrap();
        fs::write(real.join("file"), "").unwrap();
        fs::create_dir(real.join("open")).unwrap();
        fs::set_permissions(real.join("open"), fs::Permissions::from_mode(0o777)).unwrap();
        for bad in [
            home.join("elsewhere"),
            home.join("link/backups2/a"),
            home.clone(),
            allowed.clone(),
            allowed.join(".."),
            allowed.join("../a"),
            allowed.join("a/../../a"),
            allowed.join("out"),
            allowed.join("out/a"),
            allowed.join("dangling"),
            allowed.join("dangling/a"),
            allowed.join("circle/a"),
            allowed.join("file"),
            allowed.join("file/a"),
            allowed.join("open/a"),
            PathBuf::from("a"),
            PathBuf::from("backups/a"),
            PathBuf::from(""),
            PathBuf::from("/"),
        ] {
            let fault = place(&bad).unwrap_err();
            assert!(fault.kind == kind::NOT_ALLOWED && fault.message.contains("below"), "{bad:?}");
        }
        assert!(backups.place(&format!("{}/a\0b", allowed.display())).is_err());
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_not_allowed_at_all() {
        let home = tempfile::tempdir().unwrap();
        let shared = home.path().join("shared");
        fs::create_dir(&shared).unwrap();
        for mode in [0o777, 0o770, 0o1777] {
            fs::set_permissions(&shared, fs::Permissions::from_mode(mode)).unwrap();
            assert!(Backups::below(&shared).is_err(), "{mode:o}");
        }
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Backups::below(&shared).is_ok());
        let made = home.path().join("a/b");
        Backups::below(&made).unwrap();
        assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
