//! Places in the ledger, and the openings that they are counted in.

use super::tag::sixteen_bytes;

/// The place of a record in the ledger: strictly rising, never reused. The first is 1.
pub(crate) type Position = u64;

sixteen_bytes! {
    /// The random number of one opening of the ledger.
    #[derive(serde::Serialize, serde::Deserialize)]
    Opening;
}
