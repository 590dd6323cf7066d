//! The few file calls that the keyring and the ledger need, phrased so that a test can fail, hold
//! or forget them. Errors of real files carry the path: `path.rs` has how.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::path::at;

/// The largest file that is read at once.
const LARGEST: u64 = 1 << 20;

/// A folder whose files are replaced atomically and written in place.
pub(crate) trait Disk: Send + Sync + std::fmt::Debug {
    /// A small file, or `None` if no file has this name. Of a file that is larger than any of ours
    /// (1 MiB) only the beginning is returned: it is not ours, and may be larger than the memory.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// The file, to be read from its beginning, or `None` if no file has this name.
    fn stream(&self, name: &str) -> io::Result<Option<Box<dyn Read + Send>>>;

    /// Begins the file's next content beside it, empty. When all is written and synced, it can be
    /// [switched](Disk::switch) to.
    fn begin(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Writes the file's next content beside it and syncs it. The file itself is not touched;
    /// failing leaves nothing behind that matters.
    fn prepare(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Puts the prepared content in the file's place, and syncs the folder. After an error either
    /// content may be found.
    fn switch(&self, name: &str) -> io::Result<()>;

    /// Makes all renames so far durable, also those of a process that died before it could.
    fn sync(&self) -> io::Result<()>;

    /// Removes a file, if it is there, for good.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Removes a prepared content that will never be switched to, if there is one.
    fn discard(&self, name: &str) -> io::Result<()>;

    /// Opens an existing file for writing in place.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// The names of all files and folders.
    fn list(&self) -> io::Result<Vec<String>>;
}

/// A file that is written in place.
pub(crate) trait DiskFile: Send + Sync {
    /// Writes all bytes at the offset. Nothing is promised before [`DiskFile::sync`].
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Fills the buffer from the offset on.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Returns when everything written so far is on the disk.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file off at this length.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// A folder of the file system.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The folder, which is made (for its owner alone) if it does not exist.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        create_private(path)?;
        Ok(Self(path.to_owned()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Disk for Folder {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let path = self.path(name);
        let read = |file: File| {
            let mut bytes = Vec::new();
            file.take(LARGEST + 1).read_to_end(&mut bytes).map(|_| bytes)
        };
        present(File::open(&path)).and_then(|file| file.map(read).transpose()).map_err(at(&path))
    }

    fn stream(&self, name: &str) -> io::Result<Option<Box<dyn Read + Send>>> {
        let path = self.path(name);
        let file = present(File::open(&path)).map_err(at(&path))?;
        Ok(file.map(|file| Box::new(FileAt { file, path }) as Box<dyn Read + Send>))
    }

    fn begin(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let path = self.path(&next(name));
        let file = private_file().create(true).truncate(true).open(&path).map_err(at(&path))?;
        Ok(Box::new(FileAt { file, path }))
    }

    fn prepare(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(&next(name));
        let file = private_file().create(true).truncate(true).open(&path);
        let written = file.and_then(|mut file| {
            file.write_all(bytes).and_then(|()| file.sync_all()).inspect_err(|_| {
                // Best effort: a left-over is overwritten by the next attempt.
                let _ = fs::remove_file(&path);
            })
        });
        written.map_err(at(&path))
    }

    fn switch(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        fs::rename(self.path(&next(name)), &path).map_err(at(&path))?;
        sync_folder(&self.0)
    }

    fn sync(&self) -> io::Result<()> {
        sync_folder(&self.0)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        present(fs::remove_file(&path)).map_err(at(&path))?;
        sync_folder(&self.0)
    }

    fn discard(&self, name: &str) -> io::Result<()> {
        self.remove(&next(name))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let path = self.path(name);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(at(&path))?;
        Ok(Box::new(FileAt { file, path }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.0).and_then(|entries| {
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        });
        names.map_err(at(&self.0))
    }
}

/// What is there, or `None` if nothing has this name.
fn present<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// A file, and where it is, for errors.
struct FileAt {
    file: File,
    path: PathBuf,
}

impl Read for FileAt {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read(bytes).map_err(at(&self.path))
    }
}

impl DiskFile for FileAt {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // One thread at a time uses it, so the shared file position is safe, and this works on
        // every system.
        let mut file = &self.file;
        let written = file.seek(SeekFrom::Start(offset)).and_then(|_| file.write_all(bytes));
        written.map_err(at(&self.path))
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(bytes));
        read.map_err(at(&self.path))
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data().map_err(at(&self.path))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len).map_err(at(&self.path))
    }
}

/// Reads until the buffer is full, or the file is at its end, and says how much that was.
pub(crate) fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Copies a file of any size, if it exists.
pub(crate) fn copy(from: &dyn Disk, to: &dyn Disk, name: &str) -> io::Result<()> {
    let Some(mut file) = from.stream(name)? else { return Ok(()) };
    let next = to.begin(name)?;
    let (mut buffer, mut offset) = (vec![0; 1 << 20], 0);
    loop {
        let filled = fill(&mut file, &mut buffer)?;
        next.write_at(offset, buffer.get(..filled).unwrap_or_default())?;
        offset += filled as u64;
        if filled < buffer.len() {
            break;
        }
    }
    next.sync()?;
    to.switch(name)
}

/// Whether there is such a folder. If the system cannot tell, that is an error, and not `false`.
pub(crate) fn is_folder(path: &Path) -> io::Result<bool> {
    look(path).map(|found| found.is_some_and(|found| found.is_dir()))
}

/// Whether there is such a file, likewise.
pub(crate) fn is_file(path: &Path) -> io::Result<bool> {
    look(path).map(|found| found.is_some_and(|found| found.is_file()))
}

fn look(path: &Path) -> io::Result<Option<fs::Metadata>> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(error) => Err(at(path)(error)),
    }
}

/// Makes a folder and those above it. New folders are for their owner alone, and durable.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_private(parent)?;
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has modes"))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(at(path)(error)),
        _ => sync_folder(parent),
    }
}

/// Options for a file that only its owner may read.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes renames and new files in the folder durable. (Windows has no such call; NTFS journals its
/// own.)
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path).and_then(|folder| folder.sync_all()).map_err(at(path))
    } else {
        Ok(())
    }
}

/// Where a file's next content is written.
fn next(name: &str) -> String {
    format!("{name}.new")
}
