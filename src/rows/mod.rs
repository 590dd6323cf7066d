//! What rows say, and under which keys they lie: the format of the engine's content. Pure: it reads
//! and writes nothing.

pub(crate) mod cipher;
pub(crate) mod codec;
pub(crate) mod row_key;
pub(crate) mod slot;

/// No value is longer: tokens and web sessions are cut into parts of 6 KiB, and the rest is short.
pub(crate) const LONGEST_VALUE: usize = 7 << 10;
