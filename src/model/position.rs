//! Places in the ledger, and the openings that they are counted in.

/// The place of a record in the ledger: strictly rising, never reused. The first is 1.
pub(crate) type Position = u64;

/// The random number of one opening of the ledger.
pub(crate) type Opening = [u8; 16];
