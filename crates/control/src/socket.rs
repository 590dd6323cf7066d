//! The app's side: set up, started, and ended when it is dropped.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oubliette::TokenStore;

use crate::backups::Backups;
#[cfg(unix)]
use crate::door::Door;
use crate::served::{Hook, Served};

/// Why the socket could not be started. The app can go on without it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There are no such sockets on this system.
    #[error("a control socket needs a Unix system")]
    Unsupported,
    /// The store is in no folder, or is closed: the socket lies in the folder that the store holds.
    #[error("a control socket is of a store that this process has open in a folder")]
    NoStore,
    /// The folder for backups cannot be used.
    #[error("the folder for backups, {folder:?}, cannot be used")]
    Backups {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The socket cannot be bound, or its thread not be started.
    #[error("the control socket in {folder:?} cannot be started")]
    Io {
        /// The store's folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What a peer is held to, and what is told of it.
#[cfg_attr(not(unix), allow(dead_code, reason = "nothing is served there"))]
pub(crate) struct Limits {
    pub(crate) backups: Option<Backups>,
    pub(crate) patience: Duration,
    pub(crate) hook: Option<Hook>,
}

/// How the socket is to be. Made by [`ControlSocket::builder`].
#[must_use]
pub struct ControlSocketBuilder {
    store: TokenStore,
    backups: Option<PathBuf>,
    folder: Option<PathBuf>,
    patience: Duration,
    hook: Option<Hook>,
}

impl ControlSocketBuilder {
    /// Allows backups below this folder, which is made if it does not exist. Only the app's user,
    /// and root, may be able to write to it. Without it the app refuses to make any.
    pub fn backups_below(mut self, folder: impl Into<PathBuf>) -> Self {
        self.backups = Some(folder.into());
        self
    }

    /// Puts the socket into this folder and not into the store's: for a file system without
    /// sockets, or a path that is too long for one (on Linux none is). The folder is made if it does
    /// not exist; it must be the app's user's own, with the mode 0700. A file in the store's folder
    /// tells the program where it is.
    pub fn socket_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// How long a request may take to arrive, and the other end to read a line of the answer.
    /// Default: 5 seconds.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.patience = timeout.max(Duration::from_millis(1));
        self
    }

    /// Called with each request that is over, on the thread that has served it.
    pub fn on_request(mut self, hook: impl Fn(&Served) + Send + Sync + 'static) -> Self {
        self.hook = Some(Box::new(hook));
        self
    }

    /// Starts to listen, on a thread of its own.
    ///
    /// # Errors
    /// [`StartError`]. Nothing listens then.
    pub fn start(self) -> Result<ControlSocket, StartError> {
        let Self { store, backups, folder, patience, hook } = self;
        // Closed, or of a process that has forked: then another may have the folder.
        use oubliette::Error;
        if matches!(store.stats(), Err(Error::Closed | Error::Forked)) {
            return Err(StartError::NoStore);
        }
        let of = store.folder().ok_or(StartError::NoStore)?.to_owned();
        let backups = backups.map(|folder| {
            Backups::below(&folder).map_err(|source| StartError::Backups { folder, source })
        });
        let backups = backups.transpose()?;
        let limits = Limits { backups, patience, hook };
        ControlSocket::open(store, of, folder.as_deref(), limits)
    }
}

impl fmt::Debug for ControlSocketBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlSocketBuilder")
            .field("backups", &self.backups)
            .finish_non_exhaustive()
    }
}

/// A socket beside the running app, at which its operator can ask for sign-outs, figures, upkeep
/// and backups, with the program `oubliette`. It is there until this is dropped.
///
/// **Who may ask**: processes of the app's own user and of root. The socket lies in the store's
/// folder, which only they can enter; on Linux and Android the system tells who is at the other end
/// too, and everybody else is refused. Whoever may ask could as well read the store's files and the
/// app's memory.
///
/// **What may be asked**: what [`Request`](crate::Request) lists. A sign-out is answered when it is
/// durable. Keys are not changed, and nothing is erased or restored, over the socket.
///
/// **What it costs**: a thread that sleeps. At most eight requests are served at a time, and one
/// that goes over the whole store. A request has 5 seconds to arrive, and 64 KiB at most.
///
/// ```no_run
/// # use oubliette::{KeySource, TokenStore};
/// use oubliette_control::ControlSocket;
///
/// let key = KeySource::env("OUBLIETTE_KEY");
/// let store = TokenStore::builder("/data/tokens").key(key).open()?;
/// let control = ControlSocket::builder(&store).backups_below("/backups/my-app").start()?;
/// // ... the app runs ...
/// control.stop(); // waits for what an operator has asked for
/// store.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the socket is closed when this is dropped"]
pub struct ControlSocket {
    #[cfg(unix)]
    door: Door,
}

impl ControlSocket {
    /// A socket of this store, which has to be open in a folder. (An `AsyncTokenStore` will do.)
    pub fn builder(store: &impl AsRef<TokenStore>) -> ControlSocketBuilder {
        let store = store.as_ref().clone();
        let patience = Duration::from_secs(5);
        ControlSocketBuilder { store, backups: None, folder: None, patience, hook: None }
    }

    /// Takes no more requests, and waits until those under way are over: a backup or a compaction
    /// takes as long as it takes. It blocks: async code calls it on a thread for blocking work.
    /// (Dropping it does not wait for them. They keep the store open,
    /// unless the app closes it; then they end with an error.)
    pub fn stop(self) {
        #[cfg(unix)]
        self.door.wait();
    }

    #[cfg(unix)]
    fn open(
        store: TokenStore,
        of: PathBuf,
        elsewhere: Option<&Path>,
        limits: Limits,
    ) -> Result<Self, StartError> {
        let door = Door::open(store, &of, elsewhere, limits);
        door.map(|door| Self { door }).map_err(|source| StartError::Io { folder: of, source })
    }

    #[cfg(not(unix))]
    fn open(_: TokenStore, _: PathBuf, _: Option<&Path>, _: Limits) -> Result<Self, StartError> {
        Err(StartError::Unsupported)
    }
}

impl fmt::Debug for ControlSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ControlSocket(..)")
    }
}
