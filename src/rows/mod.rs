//! What rows say, and under which keys they lie: the format of the engine's content. Pure: it reads
//! and writes nothing.

pub(crate) mod cipher;
pub(crate) mod codec;
pub(crate) mod header;
pub(crate) mod parts;
pub(crate) mod row_key;
pub(crate) mod sign_in;
pub(crate) mod slot;
pub(crate) mod store_rows;
mod token;

/// No value is longer: tokens and web sessions are cut into parts of 6 KiB, and the rest is short.
pub(crate) const LONGEST_VALUE: usize = 7 << 10;
