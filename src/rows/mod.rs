//! What rows say, and under which keys they lie: the format of the engine's content. Pure: it reads
//! and writes nothing.

pub(crate) mod cipher;
pub(crate) mod codec;
pub(crate) mod row_key;
pub(crate) mod slot;
