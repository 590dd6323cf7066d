//! What the tests on the real file system share: a folder to open stores at, copies of folders, and
//! child processes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use oubliette::*;

/// Prints a line that is seen although the test passes.
pub fn say(line: &str) {
    // `eprintln!` would be captured.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "{line}").unwrap();
}

/// The key of the stores here.
pub const KEY: [u8; 32] = [7; 32];

/// A new folder, in which the store is to be made.
#[derive(Debug)]
pub struct Home(tempfile::TempDir);

impl Home {
    /// A folder that goes with this value.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The store's folder.
    pub fn path(&self) -> PathBuf {
        self.0.path().join("tokens")
    }

    /// Another name beside the store's folder.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A store there, by [`builder_at`].
    pub fn builder(&self) -> Builder {
        builder_at(&self.path())
    }

    /// Opens it.
    pub fn open(&self) -> TokenStore {
        self.builder().open().unwrap()
    }

    /// Leaves the folder on the disk and says where it is.
    pub fn keep(self) -> PathBuf {
        self.0.keep()
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

/// A store there, with the key and the time of all these tests.
pub fn builder_at(path: &Path) -> Builder {
    let clock = ManualClock::new(super::accounts::now());
    TokenStore::builder(path).key(KeySource::bytes(KEY)).clock(clock).cache_bytes(8 << 20)
}

/// The one entry of the folder whose name begins so.
pub fn entry(folder: &Path, prefix: &str) -> PathBuf {
    let mut found = entries(folder, prefix);
    assert_eq!(found.len(), 1, "{prefix}* in {folder:?}: {found:?}");
    found.remove(0)
}

/// The entries of the folder whose names begin so, but lock files.
pub fn entries(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let is_named = |name: &str| name.starts_with(prefix) && !name.ends_with(".lock");
    all.filter(|entry| is_named(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect()
}

/// Copies a folder and all below it, to where nothing is yet.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Puts a copy of `from` in the place of `to`.
pub fn replace(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    copy(from, to);
}

/// Every file below the folder by its path in it, and every folder (without content).
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_owned();
            if path.is_dir() {
                found.insert(name, None);
                folders.push(path);
            } else {
                found.insert(name, Some(fs::read(path).unwrap()));
            }
        }
    }
    found
}

/// This test binary again, to run one of its tests as a child process.
pub fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Waits for a child, but not for ever: `None` if it had to be killed.
pub fn wait(child: &mut Child, at_most: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if start.elapsed() > at_most {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What kind of error it is, for comparing. Panics on `Ok`.
pub fn kind<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(Error::Damaged { part, .. }) => format!("damaged {part}"),
        Err(Error::UnsupportedFormat { part, .. }) => format!("unsupported {part}"),
        Err(Error::KeyRejected) => "key rejected".into(),
        Err(Error::AlreadyOpen { pid, .. }) => format!("already open by {pid:?}"),
        Err(error) => format!("{error:?}"),
    }
}
