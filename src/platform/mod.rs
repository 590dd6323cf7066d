//! What the operating system gives: files, locks, threads, and memory that is wiped. Knows nothing
//! of tokens.

pub(crate) mod disk;
pub(crate) mod path;
pub(crate) mod single_flight;
#[cfg(all(unix, feature = "sqlite"))]
pub(crate) mod stat;
pub(crate) mod sync;
#[cfg(all(unix, feature = "sqlite"))]
pub(crate) mod turn;
pub(crate) mod wipe;
#[cfg(feature = "tokio")]
pub(crate) mod workers;
