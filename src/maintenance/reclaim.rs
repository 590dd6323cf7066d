//! Deleting what the rule already made unreachable, on a thread right behind the sign-outs. The
//! sweep deletes what this thread misses, and what expires. Nothing here decides anything; it only
//! gives space back.

use crate::maintenance::throttle::Throttle;
use crate::maintenance::tidy::tidy_accounts;
use crate::model::error::{Component, Error, Result};
use crate::model::tag::{AccountTag, TaggedScope};
use crate::observe;
use crate::platform::sync::Arc;
use crate::store::backlog::Backlog;
use crate::store::census::for_each_account;
use crate::store::core::Core;
use crate::store::web;
use std::time::{Duration, Instant};

/// So many accounts are taken together.
const TOGETHER: usize = 8;

/// How long the reclaimer waits for a place that is not reached.
const AGAIN: Duration = Duration::from_secs(1);

/// What the reclaimer's thread runs. It ends when it is told to, or with the engine. Should it
/// panic, the threads that wait for it are told.
pub(crate) fn run(core: &Arc<Core>) {
    struct Ended<'a>(&'a Backlog);
    impl Drop for Ended<'_> {
        fn drop(&mut self) {
            self.0.ended();
        }
    }
    let _ended = Ended(&core.backlog);
    let mut throttle = Throttle::new(&core.backlog);
    // Elsewhere the accounts of one change would wait for each other.
    let together = if core.takes_turns() { TOGETHER } else { 1 };
    while let Some(scopes) = core.backlog.next(together) {
        let result = reclaim(core, &scopes, together, &mut throttle);
        match result {
            Ok(()) => {}
            // The sweep finds trouble with one account's rows again.
            Err(Error::Tampered(_) | Error::InvalidInput { .. }) => {}
            // A shared place that is not reached now, or is busy, will be.
            // (SQLite calls a read that failed damage, too.)
            Err(
                error @ (Error::Io { .. }
                | Error::Full(_)
                | Error::Busy { .. }
                | Error::Damaged { part: Component::Engine, .. }),
            ) if core.embedded().is_err() => {
                core.backlog.is_held_up(&scopes, &error);
                if core.is_closing() {
                    return;
                }
                core.backlog.pause_held_up(AGAIN);
            }
            // The engine is poisoned, or the store closed. The rows stay unreachable.
            Err(_) => return,
        }
    }
}

/// Deletes the rows that sign-outs of these scopes have ended.
fn reclaim(
    core: &Core,
    scopes: &[TaggedScope],
    together: usize,
    throttle: &mut Throttle<'_>,
) -> Result<()> {
    let mut some = Vec::new();
    let tidy = |some: &mut Vec<AccountTag>, throttle: &mut Throttle<'_>| {
        let mut goes_on = core.backlog.goes_on();
        for rows in tidy_accounts(core, &std::mem::take(some), throttle)? {
            observe::reclaimed(rows);
            goes_on = core.backlog.account_done(rows);
        }
        Ok(goes_on)
    };
    for scope in scopes {
        for_each_account(core, *scope, |account| {
            if !some.contains(account) {
                some.push(*account);
            }
            if some.len() < together { Ok(true) } else { tidy(&mut some, throttle) }
        })?;
    }
    tidy(&mut some, throttle)?;
    if scopes.contains(&TaggedScope::Everybody) {
        // The unbound web sessions have ended too.
        let mut start = Instant::now();
        let ended = web::tidy_unbound(core, |looked_at| {
            throttle.worked(looked_at, start);
            start = Instant::now();
            core.backlog.goes_on()
        })?;
        core.backlog.rows_done(ended);
    }
    Ok(())
}
