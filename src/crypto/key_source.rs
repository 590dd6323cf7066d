//! Where the operator's key comes from.

mod provider;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use base64ct::Encoding;
use zeroize::{Zeroize, Zeroizing};

pub(super) use self::provider::MAX_BLOB_BYTES;
pub use self::provider::{KeyProvider, WrapContext, WrappedKey};
use super::keys::OperatorKey;
use crate::model::error::{Error, Result};

/// A file or variable with a key in it is never larger than this.
const MAX_SOURCE_BYTES: usize = 4096;
const NOT_A_KEY: &str = "it must be \"hex:\" and 64 hex digits, or \"base64:\" and 44 characters with padding: 32 random bytes. \
     Make one with: echo \"hex:$(openssl rand -hex 32)\"";

/// Where the operator's key comes from: 32 random bytes that wrap everything else.
///
/// Nothing is read before the store is created or opened with it, and a key that was read is wiped
/// after that. As text, in a variable or a file, a key is `hex:` and 64 hex digits, or `base64:`
/// and 44 characters (the standard alphabet, padded), and nothing else: a password is not a key.
/// All bytes equal is refused as a placeholder. Make one with `echo "hex:$(openssl rand -hex 32)"`.
///
/// ```
/// use oubliette::KeySource;
/// // The key, and the one before it, which still opens a store that has not been wrapped anew.
/// let key = KeySource::file("/run/secrets/oubliette-2")
///     .previous(KeySource::file("/run/secrets/oubliette-1"));
/// # drop(key);
/// ```
pub struct KeySource {
    from: Origin,
    /// These have no sources of their own: [`KeySource::also`] and [`KeySource::previous`] flatten.
    beside: Vec<KeySource>,
    previous: Vec<KeySource>,
    readable_by_others: bool,
}

enum Origin {
    Env(String),
    File(PathBuf),
    Systemd(String),
    Bytes(OperatorKey),
    Provider(Box<dyn KeyProvider>),
}

/// What a source gives: the key, or a provider that keeps it.
pub(super) enum Offered<'a> {
    Local(OperatorKey),
    Provider(&'a dyn KeyProvider),
}

/// How a variable of the environment is read; tests pass their own.
type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl KeySource {
    /// The key in the environment variable `name`, or in the file that the variable `name` +
    /// `_FILE` points to. Setting both is an error.
    ///
    /// Prefer a file or a systemd credential: a variable is inherited by child processes and
    /// readable in `/proc`. The file is checked as by [`KeySource::file`].
    #[must_use]
    pub fn env(name: impl Into<String>) -> Self {
        Self::new(Origin::Env(name.into()))
    }

    /// The key in a file, as text, with at most one newline after it.
    ///
    /// Links are followed, for that is how Kubernetes mounts secrets. What they lead to must be a
    /// regular file of at most 4 KiB. On Unix a file that its group or others can write to is
    /// refused, and so is one that they can read, unless [`KeySource::allow_readable_by_others`]
    /// says otherwise.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::new(Origin::File(path.into()))
    }

    /// The key in the systemd credential `name` (`LoadCredential=` or `LoadCredentialEncrypted=`),
    /// which is a file in `$CREDENTIALS_DIRECTORY`. It is refused if others can read it or write to
    /// it.
    #[must_use]
    pub fn systemd(name: impl Into<String>) -> Self {
        Self::new(Origin::Systemd(name.into()))
    }

    /// The key itself, for apps that fetch it in their own way. All zeros is refused at open.
    ///
    /// The array that was passed is wiped; copies that the caller keeps are not.
    #[must_use]
    pub fn bytes(mut key: [u8; 32]) -> Self {
        let own = OperatorKey::init(|bytes| bytes.copy_from_slice(&key));
        key.zeroize();
        Self::new(Origin::Bytes(own))
    }

    /// A key that never leaves its provider, such as a key management service.
    #[must_use]
    pub fn provider(provider: impl KeyProvider + 'static) -> Self {
        Self::new(Origin::Provider(Box::new(provider)))
    }

    /// One more key that wraps the store's keys whenever they are written, so that any of them
    /// opens it: the old one beside the new one while a change of keys is being rolled out, or one
    /// that is kept in a safe. At most eight in all.
    ///
    /// Opening an existing store does not wrap its keys anew:
    /// [`TokenStore::rotate_key`](crate::TokenStore::rotate_key) does.
    ///
    /// ```
    /// use oubliette::KeySource;
    /// let keys = KeySource::file("/run/secrets/oubliette")
    ///     .also(KeySource::file("/media/safe/oubliette"));
    /// # drop(keys);
    /// ```
    #[must_use]
    pub fn also(mut self, mut other: KeySource) -> Self {
        let (beside, previous) =
            (std::mem::take(&mut other.beside), std::mem::take(&mut other.previous));
        self.beside.push(other);
        self.beside.extend(beside);
        self.previous.extend(previous);
        self
    }

    /// One more key to accept at open, tried after the others and those added before. Nothing new
    /// is wrapped with it.
    ///
    /// It is read only if the keys before it do not fit the store.
    #[must_use]
    pub fn previous(mut self, mut older: KeySource) -> Self {
        let (beside, oldest) =
            (std::mem::take(&mut older.beside), std::mem::take(&mut older.previous));
        self.previous.push(older);
        self.previous.extend(beside);
        self.previous.extend(oldest);
        self
    }

    /// Accepts a key file that its group or others can *read*; never one that they can write to.
    ///
    /// For Kubernetes, where a secret volume is 0644 unless its `defaultMode` says 0400, and
    /// `fsGroup` adds reading by the group; and for Docker, where a secret is 0444 unless its
    /// `mode` says 0400. It applies to this source's own file, not to previous ones, and not to
    /// systemd's credentials.
    #[must_use]
    pub fn allow_readable_by_others(mut self) -> Self {
        self.readable_by_others = true;
        self
    }

    fn new(from: Origin) -> Self {
        Self { from, beside: Vec::new(), previous: Vec::new(), readable_by_others: false }
    }

    /// The sources whose keys wrap what is written.
    pub(super) fn wrapping(&self) -> impl Iterator<Item = &KeySource> {
        std::iter::once(self).chain(&self.beside)
    }

    /// The sources whose keys open the store, and which of them are previous ones.
    pub(super) fn all(&self) -> impl Iterator<Item = (bool, &KeySource)> {
        self.wrapping()
            .map(|source| (false, source))
            .chain(self.previous.iter().map(|source| (true, source)))
    }

    /// Reads this source's own key, not those of the sources beside it or before it.
    pub(super) fn load(&self) -> Result<Offered<'_>> {
        self.load_from(&|name| std::env::var_os(name))
    }

    /// An error about this source.
    pub(super) fn unavailable(&self, problem: impl Into<String>) -> Error {
        Error::KeyUnavailable { origin: self.origin(), problem: problem.into() }
    }

    fn load_from(&self, env: Env<'_>) -> Result<Offered<'_>> {
        let key = match &self.from {
            Origin::Env(name) => self.load_env(name, env)?,
            Origin::File(path) => self
                .decode(&self.read_file(path, &Refuse::key_file(self.readable_by_others))?, true)?,
            Origin::Systemd(name) => self.load_systemd(name, env)?,
            Origin::Bytes(key) if key.bytes() == &[0; 32] => {
                return Err(self.unavailable("it is all zeros, so not a key"));
            }
            Origin::Bytes(key) => key.clone(),
            Origin::Provider(provider) => return Ok(Offered::Provider(provider.as_ref())),
        };
        Ok(Offered::Local(key))
    }

    pub(crate) fn load_env(&self, name: &str, env: Env<'_>) -> Result<OperatorKey> {
        if !is_name(name) {
            return Err(self.unavailable("this is not the name of a variable"));
        }
        let value = env(name).map(|value| Zeroizing::new(value.into_encoded_bytes()));
        match (value, env(&format!("{name}_FILE"))) {
            (Some(_), Some(_)) => Err(self.unavailable("both are set; unset one")),
            (None, None) => Err(self.unavailable("neither is set")),
            (Some(value), None) => self
                .decode(&value, false)
                .map_err(|error| found_in(error, format!("the environment variable {name}"))),
            (None, Some(path)) => {
                let path = Path::new(&path);
                self.read_file(path, &Refuse::key_file(self.readable_by_others))
                    .and_then(|text| self.decode(&text, true))
                    .map_err(|error| {
                        let file = shown(path);
                        let origin = format!("{file}, which the variable {name}_FILE names");
                        found_in(error, origin)
                    })
            }
        }
    }

    pub(crate) fn load_systemd(&self, name: &str, env: Env<'_>) -> Result<OperatorKey> {
        if !is_name(name) {
            return Err(self.unavailable("this is not the name of a credential"));
        }
        let directory = env("CREDENTIALS_DIRECTORY").map(PathBuf::from).filter(|path| path.is_absolute()).ok_or_else(|| {
            self.unavailable("$CREDENTIALS_DIRECTORY is not set; give the service LoadCredential= or LoadCredentialEncrypted=")
        })?;
        let path = directory.join(name);
        self.read_file(&path, &Refuse::CREDENTIAL)
            .and_then(|text| self.decode(&text, true))
            .map_err(|error| {
                found_in(error, format!("the systemd credential {name}, {}", shown(&path)))
            })
    }

    /// The content of a file, unless `refuse` refuses its permissions.
    fn read_file(&self, path: &Path, refuse: &Refuse) -> Result<Zeroizing<Vec<u8>>> {
        // Checked by its path first, because opening a pipe would wait for its other end; and
        // checked again once it is open, as the path may lead to another file by then.
        let io = |e| self.unavailable(format!("the file cannot be read: {e}"));
        self.check(&fs::metadata(path).map_err(io)?, refuse)?;
        let mut file = File::open(path).map_err(io)?;
        self.check(&file.metadata().map_err(io)?, refuse)?;

        // Of fixed size, and read into directly: a buffer that grows leaves copies behind.
        let mut content = Zeroizing::new(vec![0; MAX_SOURCE_BYTES + 1]);
        let mut len = 0;
        while let Some(free @ [_, ..]) = content.get_mut(len..) {
            match file.read(free) {
                Ok(0) => break,
                Ok(read) => len += read,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(io(e)),
            }
        }
        if len > MAX_SOURCE_BYTES {
            return Err(self.unavailable("the file is larger than 4 KiB, so it is not a key"));
        }
        content.truncate(len);
        Ok(content)
    }

    fn check(&self, file: &fs::Metadata, refuse: &Refuse) -> Result<()> {
        if !file.is_file() {
            return Err(self.unavailable("it does not lead to a regular file"));
        }
        #[cfg(unix)]
        if let Some(problem) =
            refuse.problem(std::os::unix::fs::PermissionsExt::mode(&file.permissions()))
        {
            return Err(self.unavailable(problem));
        }
        #[cfg(not(unix))]
        let _ = refuse;
        Ok(())
    }

    /// The key that `text` stands for. No error says anything about the text.
    pub(crate) fn decode(&self, text: &[u8], newline_allowed: bool) -> Result<OperatorKey> {
        let text = match text {
            [line @ .., b'\r', b'\n'] | [line @ .., b'\n'] if newline_allowed => line,
            _ => text,
        };
        let mut decoded = false;
        let key = OperatorKey::init(|bytes| {
            decoded = match (text.strip_prefix(b"hex:"), text.strip_prefix(b"base64:")) {
                (Some(hex), _) if hex.len() == 64 => base16ct::mixed::decode(hex, bytes).is_ok(),
                // 44 characters with one `=` are 32 bytes; more padding is less.
                (_, Some(text)) if text.len() == 44 => {
                    base64ct::Base64::decode(text, bytes).is_ok_and(|key| key.len() == 32)
                }
                _ => false,
            }
        });
        if !decoded {
            return Err(self.unavailable(NOT_A_KEY));
        }
        let [first, rest @ ..] = key.bytes();
        if rest.iter().fold(0, |differ, byte| differ | (byte ^ first)) == 0 {
            return Err(
                self.unavailable("all its bytes are equal, so it is a placeholder and not a key")
            );
        }
        Ok(key)
    }

    /// The kind and name of the source, as errors and `Debug` show them. Never a text that may be a
    /// key that was given in the wrong place.
    fn origin(&self) -> String {
        match &self.from {
            Origin::Env(name) if is_name(name) => {
                format!("the environment variable {name} or {name}_FILE")
            }
            Origin::Env(_) => "an environment variable with an invalid name".into(),
            Origin::File(path) => shown(path),
            Origin::Systemd(name) if is_name(name) => format!("the systemd credential {name}"),
            Origin::Systemd(_) => "a systemd credential with an invalid name".into(),
            Origin::Bytes(_) => "the program".into(),
            Origin::Provider(_) => "the key provider".into(),
        }
    }
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("KeySource");
        shown.field("from", &format_args!("{}", self.origin()));
        if !self.beside.is_empty() {
            shown.field("also", &self.beside);
        }
        shown.field("previous", &self.previous).finish()
    }
}

/// The permissions that a key file must not give to others, and what the operator can do about
/// them.
#[cfg_attr(not(unix), allow(dead_code, reason = "there are no permission bits to look at"))]
struct Refuse {
    reading: u32,
    writing: u32,
}

impl Refuse {
    /// systemd gives a service's own user access by other means than the mode, which may show some
    /// for the group.
    const CREDENTIAL: Self = Self { reading: 0o004, writing: 0o002 };

    fn key_file(readable_by_others: bool) -> Self {
        Self { reading: if readable_by_others { 0 } else { 0o044 }, writing: 0o022 }
    }

    #[cfg(unix)]
    fn problem(&self, mode: u32) -> Option<String> {
        let why = if mode & self.writing != 0 {
            "can be written to by others than its owner; make it 0400"
        } else if mode & self.reading != 0 {
            "can be read by others than its owner; make it 0400 (Kubernetes: set defaultMode: 0400 on the secret volume; \
             Docker: mode: 0400 on the secret; where that cannot be, use allow_readable_by_others)"
        } else {
            return None;
        };
        Some(format!("the file (mode {:04o}) {why}", mode & 0o7777))
    }
}

/// The same error, from this place in particular.
fn found_in(error: Error, place: String) -> Error {
    match error {
        Error::KeyUnavailable { problem, .. } => Error::KeyUnavailable { origin: place, problem },
        other => other,
    }
}

/// A file as errors name it. Never a text that may be a key that was given in the wrong place.
fn shown(path: &Path) -> String {
    if looks_like_a_key(path) {
        return "a file whose path looks like a key".into();
    }
    format!("the file {path:?}")
}

/// Whether this can be the name of a variable or a credential. A key as text cannot: it has a `:`
/// or a `=`.
fn is_name(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'='));
    plain && (1..=255).contains(&name.len()) && name != "." && name != ".."
}

fn looks_like_a_key(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte);
    let is_bare = match text.len() {
        43 | 44 => text.iter().all(is_base64),
        64 => text.iter().all(u8::is_ascii_hexdigit),
        _ => false,
    };
    is_bare || text.starts_with(b"hex:") || text.starts_with(b"base64:")
}
