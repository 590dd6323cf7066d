//! Figures for operators.

use crate::backend::Backend;
use crate::backend::remote::patiently;
use crate::ledger::LedgerStats;
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
    let (ledger, known_since) = match &core.backend {
        Backend::Embedded(embedded) => (embedded.ledger.stats(), embedded.ledger.horizon().1),
        Backend::Remote(remote) => {
            let size = patiently(|| remote.with(|place| place.size()))?;
            let of_it = LedgerStats {
                fences: size.fences,
                synced: open.end()?,
                bytes: size.ledger_bytes,
                free_slots: size.free_slots,
                groups: size.groups,
            };
            (of_it, open.horizon()?.1)
        }
    };
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
        known_since: from_millis(known_since),
        clock_ahead_by: core.clock.held_by(),
    };
    observe::figures(&stats);
    Ok(stats)
}
