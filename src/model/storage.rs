//! What keeps a store's rows.

/// What keeps the rows of a store: said by its files, whoever opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Storage {
    /// The engine in the app's own process, sled: one process has the store open.
    Embedded,
    /// A file of SQLite's: the processes of one machine have it open.
    Sqlite,
}
