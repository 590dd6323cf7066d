//! What operators ask of a place that is a folder of this machine: figures of its rows, and space
//! that is given back.

use crate::model::error::Result;

/// Figures of rows, counted without opening one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Accounts that have a header.
    pub(crate) accounts: u64,
    /// The rows of accounts, without index rows.
    pub(crate) rows: u64,
    /// The size of these, keys and values.
    pub(crate) bytes: u64,
}

/// The operations on all rows of a place.
pub(crate) trait Operate {
    /// Whether the names in the folder still lead to the files that are open.
    ///
    /// # Errors
    /// `Damaged`, `Poisoned`.
    fn check_files(&self) -> Result<()>;

    /// Counts the rows.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Poisoned`.
    fn count(&self) -> Result<Counted>;

    /// Whether so much of the rows' file is free that it is worth giving that back.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Poisoned`.
    fn is_loose(&self) -> Result<bool>;

    /// Gives the free pages back to the file system, a few at a time, until there is none or
    /// `is_over` says so. Then has the log written back, as the file gets shorter with that.
    ///
    /// # Errors
    /// `Full`, `Io`, `Busy`: what was given back until then stays so. `Damaged`, `Poisoned`.
    fn give_back(&self, is_over: &dyn Fn() -> bool) -> Result<()>;
}
