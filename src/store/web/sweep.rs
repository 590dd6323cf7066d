//! Deleting web sessions that have expired or ended, and index rows that find none.
//!
//! Unlike reclaim, this goes by fences that are not on the disk yet, too: should a crash lose such
//! a sign-out, which nobody was told of, the sign-in lives on without its web session. That costs
//! one login.

use super::find::{delete_bound, delete_unbound};
use super::{Binding, read_bound, read_unbound};
use crate::engine::Batch;
use crate::model::error::{Error, Result};
use crate::model::report::SweepReport;
use crate::rows::row_key;
use crate::store::access::Open;
use crate::store::core::Core;

/// How many rows are looked at under one gate.
const SLICE: usize = if cfg!(oubliette_shuttle) { 1 } else { 64 };

/// Which web sessions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Those that end with a sign-in.
    Bound,
    /// Those of nobody's.
    Unbound,
}

/// Looks at some web sessions of this kind behind the key `after`, each under its lock, and deletes
/// what nobody can load any more. Gives back where to go on, if this was not the end.
pub(crate) fn tidy_slice(
    open: &Open<'_>,
    kind: Kind,
    after: Option<&[u8]>,
    swept: &mut SweepReport,
) -> Result<Option<Vec<u8>>> {
    let prefix = if kind == Kind::Bound { row_key::web_indexes() } else { row_key::all_unbound() };
    let now = open.core.clock.for_deletion();
    let slice = open.scan(&prefix, after, SLICE)?;
    for (key, _) in &slice {
        if let Some((session, account, sign_in)) = row_key::web_indexed(key) {
            let _lock = open.core.lock_account(&account);
            let binding = Binding { account, sign_in };
            // Its rows' size is counted with the account's.
            if is_over(
                read_bound(open, &session, &binding, now)
                    .map(|found| found.map(|it| it.map(|_| 0))),
                swept,
            )? {
                let mut batch = Batch::default();
                delete_bound(open, &session, &binding, &mut batch)?;
                open.commit(&account, batch)?;
            } else {
                swept.live_bytes += key.len() as u64;
            }
        } else if let Some((session, part)) = row_key::unbound_of(key) {
            let account = session.as_account();
            let _lock = open.core.lock_account(&account);
            // The first part speaks for those behind it, unless they have lost it.
            let is_first = part == 0 || open.get(&row_key::unbound(&session, 0))?.is_none();
            if is_first
                && is_over(
                    read_unbound(open, &session, now)
                        .map(|found| found.map(|it| it.map(|it| it.size))),
                    swept,
                )?
            {
                let mut batch = Batch::default();
                delete_unbound(open, &session, &mut batch)?;
                if !batch.changes.is_empty() {
                    open.commit(&account, batch)?;
                }
            }
        }
    }
    Ok(slice.into_iter().last().map(|(key, _)| key))
}

/// Deletes what of nobody's has ended, as behind a sign-out of everybody, until told to stop:
/// `goes_on` hears how many rows were looked at, while nothing is held.
pub(crate) fn tidy_unbound(core: &Core, mut goes_on: impl FnMut(usize) -> bool) -> Result<u64> {
    let (mut swept, mut after) = (SweepReport::default(), None::<Vec<u8>>);
    while goes_on(SLICE) {
        let Some(last) = tidy_slice(&core.enter()?, Kind::Unbound, after.as_deref(), &mut swept)?
        else {
            break;
        };
        after = Some(last);
    }
    Ok(swept.web_sessions)
}

/// Whether what was found (of what size) under the lock is to be deleted. What does not open,
/// nobody can read.
fn is_over(found: Result<Option<Option<u64>>>, swept: &mut SweepReport) -> Result<bool> {
    match found {
        Ok(Some(Some(size))) => {
            swept.live_bytes += size;
            Ok(false)
        }
        Ok(Some(None)) => {
            swept.web_sessions += 1;
            Ok(true)
        }
        Ok(None) | Err(Error::Tampered(_)) => {
            swept.tampered += 1;
            Ok(true)
        }
        Err(error) => Err(error),
    }
}
