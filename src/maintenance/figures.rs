//! Figures for operators.

use crate::model::error::Result;
use crate::model::report::Stats;
use crate::model::time::from_millis;
use crate::observe;
use crate::platform::sync::atomic::Ordering;
use crate::store::lifetime::Works;

/// Figures for operators.
pub(crate) fn stats(works: &Works) -> Result<Stats> {
    let core = &works.core;
    let open = core.enter_ledger()?;
    let ledger = core.ledger.stats();
    let stats = Stats {
        synced: ledger.synced.get(),
        fences: ledger.fences,
        ledger_syncs: ledger.groups,
        ledger_bytes: ledger.bytes,
        ledger_reserve: ledger.free_slots,
        backlog: core.backlog.len(),
        reclaimed: core.backlog.done(),
        engine_bytes: if core.is_engine_failed() { 0 } else { open.size()? },
        engine_failed: core.is_engine_failed(),
        opened_by_previous_key: works.opened_by_previous_key.load(Ordering::Relaxed),
        known_since: from_millis(core.ledger.horizon().1),
        clock_ahead_by: core.clock.held_by(),
    };
    observe::figures(&stats);
    Ok(stats)
}
