//! Deleting web sessions that have expired or ended, and index rows that lead to none.
//!
//! Unlike reclaim, this obeys fences that are not on the disk yet, too: if a crash loses such a
//! sign-out, which was not acknowledged to any caller, the sign-in lives on without its web
//! session. That costs one login.

use super::find::{ask_bound, ask_unbound, delete_bound, delete_unbound};
use super::{Binding, read_bound, read_unbound};
use crate::model::error::{Error, Result};
use crate::model::report::SweepReport;
use crate::model::tag::WebTag;
use crate::rows::row_key;
use crate::store::core::Core;
use crate::store::plan::{Held, Plan};

/// How many rows are looked at each time the gate is entered.
const SLICE: usize = if cfg!(oubliette_shuttle) { 1 } else { 64 };

/// Which web sessions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Those that end with a sign-in.
    Bound,
    /// Those that are not bound to a sign-in.
    Unbound,
}

/// Looks at some web sessions of this kind after the key `after`, each under its lock, and deletes
/// those that cannot be loaded any more. Returns the key to go on after; `None` at the end.
pub(crate) fn tidy_slice(
    core: &Core,
    kind: Kind,
    after: Option<&[u8]>,
    swept: &mut SweepReport,
) -> Result<Option<Vec<u8>>> {
    let prefix = if kind == Kind::Bound { row_key::web_indexes() } else { row_key::all_unbound() };
    let slice = core.enter()?.scan(&prefix, after, SLICE)?;
    for (key, _) in &slice {
        if let Some((session, account, sign_in)) = row_key::web_indexed(key) {
            let binding = Binding { account, sign_in };
            tidy_bound(core, key, &session, &binding, swept)?;
        } else if let Some((session, part)) = row_key::unbound_of(key) {
            tidy_unbound_one(core, &session, part, swept)?;
        }
    }
    Ok(slice.into_iter().last().map(|(key, _)| key))
}

fn tidy_bound(
    core: &Core,
    key: &[u8],
    session: &WebTag,
    binding: &Binding,
    swept: &mut SweepReport,
) -> Result<()> {
    let held = Held { accounts: &[binding.account], session: None };
    let found = core.change_if_needed(
        held,
        || ask_bound(session, binding),
        |open| {
            let (mut found, now) = (SweepReport::default(), open.time_for_deletion()?);
            // The size of its rows is counted with the account's rows.
            let read =
                read_bound(open, session, binding, now).map(|found| found.map(|it| it.map(|_| 0)));
            if is_over(read, &mut found)? {
                return Ok(Plan::nothing(found).and(delete_bound(open, session, binding)?));
            }
            found.live_bytes += key.len() as u64;
            Ok(Plan::nothing(found))
        },
    )?;
    swept.count(found);
    Ok(())
}

fn tidy_unbound_one(
    core: &Core,
    session: &WebTag,
    part: u8,
    swept: &mut SweepReport,
) -> Result<()> {
    let held = Held { accounts: &[session.as_account()], session: None };
    let found = core.change_if_needed(
        held,
        || ask_unbound(session),
        |open| {
            let (mut found, now) = (SweepReport::default(), open.time_for_deletion()?);
            // The first part is checked for all parts; other parts are checked only if it is missing.
            let is_first = part == 0 || open.get(&row_key::unbound(session, 0))?.is_none();
            let read = || {
                read_unbound(open, session, now).map(|found| found.map(|it| it.map(|it| it.size)))
            };
            let plan = if is_first && is_over(read(), &mut found)? {
                delete_unbound(open, session)?
            } else {
                Plan::nothing(())
            };
            Ok(Plan::nothing(found).and(plan))
        },
    )?;
    swept.count(found);
    Ok(())
}

/// Deletes the unbound web sessions that have ended, as after a sign-out of everybody, until
/// `goes_on` returns `false`. It is called before each slice with the number of rows of a slice,
/// while no lock and no gate is held.
pub(crate) fn tidy_unbound(core: &Core, mut goes_on: impl FnMut(usize) -> bool) -> Result<u64> {
    let (mut swept, mut after) = (SweepReport::default(), None::<Vec<u8>>);
    while goes_on(SLICE) {
        let Some(last) = tidy_slice(core, Kind::Unbound, after.as_deref(), &mut swept)? else {
            break;
        };
        after = Some(last);
    }
    Ok(swept.web_sessions)
}

/// Whether a web session is to be deleted, from what was read of it under the lock (its size). One
/// that does not open cannot be read by anyone.
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
