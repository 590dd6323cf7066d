//! What the store does behind the verbs, and what an operator does to an open store.

pub(crate) mod backup;
pub(crate) mod compact;
pub(crate) mod erase;
pub(crate) mod figures;
pub(crate) mod migrate;
pub(crate) mod reclaim;
pub(crate) mod restore;
pub(crate) mod rotate;
#[cfg(all(unix, feature = "sqlite"))]
pub(crate) mod shared;
pub(crate) mod sweep;
pub(crate) mod throttle;
pub(crate) mod tidy;
pub(crate) mod upkeep;
pub(crate) mod verify;

use crate::model::error::Component;
use crate::store::core::Core;

/// Makes the store refuse all work, if it is dropped: what is on the disk is in doubt, and only
/// reopening finds out. A caller whose step succeeds forgets it.
struct Doubt<'a>(&'a Core, Component);

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        let Ok(embedded) = self.0.embedded() else { return };
        match self.1 {
            Component::Engine => embedded.fail_engine(),
            _ => embedded.ledger.give_up(),
        }
    }
}
