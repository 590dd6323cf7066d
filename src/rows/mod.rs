//! The values and the keys of rows: the format of the engine's content. Pure over bytes: it reads
//! and writes no file.

pub(crate) mod cipher;
pub(crate) mod codec;
pub(crate) mod header;
pub(crate) mod parts;
pub(crate) mod row_key;
pub(crate) mod sign_in;
pub(crate) mod slot;
pub(crate) mod store_rows;
pub(crate) mod ticket;
mod token;

/// The longest value of a row: tokens and web sessions are cut into parts of 6 KiB, and all other
/// values are short.
pub(crate) const LONGEST_VALUE: usize = 7 << 10;
