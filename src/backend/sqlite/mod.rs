//! A place that the processes of one machine share: rows in one SQLite file, sign-outs in the
//! ledger's file. Each process has both open, and no verb commits over both.
//!
//! - Rows are written in turns (`exchange.rs`): a queue of our own before SQLite's lock, whose waiting
//!   is polling, and starves who comes seldom. A change looks at the ledger in its turn, and is
//!   planned there; then it is flushed, behind it, together with those of other threads
//!   (`flush.rs`).
//! - Reads take no turn: one snapshot of the rows, then the ledger's tail (`snapshot.rs`). In that
//!   order what is seen is of one moment: a sign-in that is read was written on sign-outs that are
//!   seen too.
//! - A sign-out takes a turn of the ledger alone. One that ends the accounts of a session, or takes
//!   tokens, finds these and stands in one turn of the rows, so that nothing comes in between; if
//!   that turn does not come soon, what was named ends without it.
//!
//! `docs/design.md` has the reasons, and the models that hold them.

pub(crate) mod alone;
mod checkpointer;
mod connection;
mod exchange;
mod files;
mod flush;
mod join;
mod leases;
mod operators;
mod snapshot;

pub(crate) use join::{Joined, check_place, join};

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::backend::exchange::ExchangeError;
use crate::ledger::many::Many;
use crate::model::error::{Error, Result};
use crate::model::position::Position;
use crate::platform::sync::Arc;
#[cfg(feature = "test-util")]
use crate::platform::sync::Mutex;
use crate::platform::sync::atomic::{AtomicU64, Ordering};
use crate::platform::turn::Turnstile;
use crate::rows::cipher::Rows;
use checkpointer::Checkpointer;
use connection::Connections;
use files::Files;
use flush::Flusher;
use leases::Leases;

/// Where in the rows' lock file it is said whether a sync has failed.
const STATE: u64 = 0;
const FAILED: u8 = 2;

/// How long a change waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// One process's way to the place. (Whoever still reads rows keeps it open.)
pub(crate) struct Sqlite(Arc<Place>);

impl std::ops::Deref for Sqlite {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.0
    }
}

pub(crate) struct Place {
    path: PathBuf,
    files: Files,
    leases: Leases,
    connections: Connections,
    /// The turn of this process among all.
    turnstile: Turnstile,
    flusher: Flusher,
    checkpointer: Checkpointer,
    pub(crate) ledger: Many,
    rows: Rows,
    /// How far the rows say that the ledger has come.
    checkpoint: AtomicU64,
    /// What goes with it.
    #[cfg(feature = "test-util")]
    held: Mutex<Vec<Box<dyn std::any::Any + Send>>>,
    /// When it was last looked whether the files are still there, in milliseconds.
    looked: AtomicU64,
}

impl Place {
    /// Keeps something for as long as it lives.
    #[cfg(feature = "test-util")]
    pub(crate) fn keep(&self, held: Vec<Box<dyn std::any::Any + Send>>) {
        crate::platform::sync::lock(&self.held).extend(held);
    }

    /// Looks each second, for readers, whether other processes have the same files.
    fn check_files_now_and_then(&self) -> Result<()> {
        static START: OnceLock<Instant> = OnceLock::new();
        let now = START.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1000;
        let last = self.looked.load(Ordering::Relaxed);
        if now.saturating_sub(last) < 1000
            || self
                .looked
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            return Ok(());
        }
        self.check_names()?;
        self.ledger.check_name()
    }

    /// Looks whether other processes have the same files; if not, all further work is refused.
    fn check_names(&self) -> Result<()> {
        self.files.check().inspect_err(|error| {
            if matches!(error, Error::Damaged { .. }) {
                self.flusher.fail();
            }
        })
    }
}

/// An error that this place can say more about than that it is out of reach.
fn here(error: Error) -> ExchangeError {
    ExchangeError::Here(Box::new(error))
}

fn position(of: &AtomicU64) -> Position {
    Position::new(of.load(Ordering::Acquire))
}
