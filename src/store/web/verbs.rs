//! Making, saving, loading and deleting web sessions. None of these returns a session that was
//! deleted, has expired, or whose sign-in has ended, nor brings one back.

use std::time::Duration;

use super::find::{Bound, Unbound, delete_bound, delete_unbound, live_header};
use super::sweep::{Kind, tidy_slice};
use super::{Binding, WebRecord, read_bound, read_unbound};
use crate::crypto::fresh;
use crate::engine::{Batch, Durability, Row};
use crate::model::error::{Error, Result};
use crate::model::random_id::SignInId;
use crate::model::report::SweepReport;
use crate::model::tag::{AccountTag, WebTag};
use crate::model::time::millis;
use crate::rows::parts::parts_of;
use crate::rows::row_key;
use crate::rule::Life;
use crate::store::access::Open;
use crate::store::core::Core;
use crate::store::web::record::life_of_nobody;

/// How often a load is tried beside writes of the same session before it takes the lock.
const TRIES: usize = 4;

/// Stores a new web session, and returns its id: `id`, or a fresh one if a row with that id is
/// there, live or not. If it is bound to a sign-in that is not live, nothing is stored, and that is
/// not an error: the session is gone, as it would be a moment later.
///
/// An unbound one is kept for `unbound_for` at most.
pub(crate) fn create(
    core: &Core,
    mut id: [u8; 16],
    binding: Option<&Binding>,
    record: WebRecord,
    unbound_for: Duration,
) -> Result<[u8; 16]> {
    let open = core.enter()?;
    let record = match binding {
        Some(_) => record,
        None => record.until(core.clock.now().saturating_add(millis(unbound_for))),
    };
    // Taken before the locks, as it may wait for the disk.
    let now = if binding.is_none() { Some(as_of_now(core)?) } else { None };
    loop {
        let session = core.tagger.web(&id);
        // Two callers that create the same id, bound or not, run one after the other.
        let me = session.as_account();
        let locks = core.lock_accounts(&[me, binding.map_or(me, |binding| binding.account)]);
        if is_taken(&open, &session)? {
            id = fresh()?;
            continue;
        }
        match (binding, &now) {
            (Some(binding), _) => {
                let Some((value, header)) = live_header(&open, binding, core.clock.now())? else {
                    return Ok(id);
                };
                let Binding { account, sign_in } = binding;
                let key = |part| row_key::web(account, sign_in, &session, part);
                let mut batch = Batch {
                    guard: Some((row_key::header(account), Some(value))),
                    changes: Vec::new(),
                };
                put_all(&mut batch, open.rows()?.seal_web(key, &header, &record)?);
                batch.put(row_key::web_index(&session, account, sign_in), Vec::new());
                open.commit(account, batch)?;
            }
            (None, Some(as_of)) => {
                let life = life_of_nobody(session, as_of.opening, as_of.as_of, as_of.time);
                let mut batch = Batch::default();
                put_all(&mut batch, open.rows()?.seal_unbound(&session, &life, &record)?);
                open.commit_with_checkpoint(&session.as_account(), batch)?;
            }
            (None, None) => return Ok(id),
        }
        drop(locks);
        open.sync(core.options.other_durability)?;
        return Ok(id);
    }
}

/// Replaces the data of a web session in its place, if it is still there and bound to the same
/// sign-in. Else nothing is stored, and that is not an error. If `binding` is `None`, the session
/// stays bound to the sign-in that it has.
pub(crate) fn save(
    core: &Core,
    id: &[u8; 16],
    binding: Option<&Binding>,
    record: WebRecord,
    unbound_for: Duration,
) -> Result<()> {
    let open = core.enter()?;
    let session = core.tagger.web(id);
    let Some(place) = place(&open, &session)? else { return Ok(()) };
    let account = place.map_or(session.as_account(), |place| place.account);
    let lock = core.lock_account(&account);
    let mut batch = Batch::default();
    match &place {
        // Also if the sign-in of its place is dead: the session belongs to another sign-in by now.
        _ if binding.is_some() && binding != place.as_ref() => return Ok(()),
        Some(place) => {
            let Binding { account, sign_in } = place;
            // Checked under the lock: a session that was deleted meanwhile is not brought back.
            if !super::is_found(&open, &session, account, sign_in)? {
                return Ok(());
            }
            let Some(Bound { value, header, .. }) =
                whole(read_bound(&open, &session, place, core.clock.now())?)?
            else {
                return Ok(());
            };
            let key = |part| row_key::web(account, sign_in, &session, part);
            batch.guard = Some((row_key::header(account), Some(value)));
            replace(&open, &mut batch, key, open.rows()?.seal_web(key, &header, &record)?)?;
        }
        None => {
            let Some(Unbound { life, .. }) =
                whole(read_unbound(&open, &session, core.clock.now())?)?
            else {
                return Ok(());
            };
            let record = record.until(core.clock.now().saturating_add(millis(unbound_for)));
            let key = |part| row_key::unbound(&session, part);
            // It keeps its life: a sign-out of everybody since it was created still ends it.
            replace(&open, &mut batch, key, open.rows()?.seal_unbound(&session, &life, &record)?)?;
        }
    }
    open.commit(&account, batch)?;
    drop(lock);
    open.sync(core.options.other_durability)
}

/// The web session as it is now, and what it is bound to.
pub(crate) fn load(core: &Core, id: &[u8; 16]) -> Result<Option<(Option<Binding>, WebRecord)>> {
    let open = core.enter()?;
    let session = core.tagger.web(id);
    for attempt in 0..=TRIES {
        let Some(place) = place(&open, &session)? else { return Ok(None) };
        let account = place.map_or(session.as_account(), |place| place.account);
        let _lock = (attempt == TRIES).then(|| core.lock_account(&account));
        let found = match &place {
            Some(binding) => read_bound(&open, &session, binding, core.clock.now())
                .map(|found| found.map(|found| found.map(|it| it.record))),
            None => read_unbound(&open, &session, core.clock.now())
                .map(|found| found.map(|found| found.map(|it| it.record))),
        };
        match found {
            Ok(Some(found)) => return Ok(found.map(|record| (place, record))),
            // Read while it was written, or between two lives of the account: read again, the last
            // time under the lock.
            Ok(None) => {}
            Err(Error::Tampered(_)) if attempt < TRIES => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Tampered("web session"))
}

/// Deletes the web session, bound or not, durably.
pub(crate) fn delete(core: &Core, id: &[u8; 16]) -> Result<()> {
    let open = core.enter()?;
    let session = core.tagger.web(id);
    loop {
        let found = open.scan(&row_key::web_indexes_of(&session), None, 64)?;
        if found.is_empty() {
            break;
        }
        for (key, _) in found {
            let mut batch = Batch::default();
            // An index row that this crate did not make leads to no session: only the row itself is
            // deleted.
            let account = match row_key::web_indexed(&key) {
                Some((_, account, sign_in)) => {
                    let _lock = core.lock_account(&account);
                    delete_bound(&open, &session, &Binding { account, sign_in }, &mut batch)?;
                    open.commit(&account, batch)?;
                    continue;
                }
                None => session.as_account(),
            };
            batch.delete(key);
            open.commit(&account, batch)?;
        }
    }
    // It may be unbound.
    let account = session.as_account();
    let lock = core.lock_account(&account);
    let mut batch = Batch::default();
    delete_unbound(&open, &session, &mut batch)?;
    if !batch.changes.is_empty() {
        open.commit(&account, batch)?;
    }
    drop(lock);
    // Even if nothing was found: another call may have deleted it, and not have synced yet.
    open.sync(Durability::PowerLoss)
}

/// Deletes every web session that has expired or ended. No token is looked at.
#[cfg_attr(not(feature = "tower-sessions"), allow(dead_code))]
pub(crate) fn delete_expired(core: &Core) -> Result<()> {
    for kind in [Kind::Bound, Kind::Unbound] {
        let mut after: Option<Vec<u8>> = None;
        loop {
            // The gate is entered anew for each slice, so that a caller that needs exclusive access
            // does not wait for long.
            let Some(last) =
                tidy_slice(&core.enter()?, kind, after.as_deref(), &mut SweepReport::default())?
            else {
                break;
            };
            after = Some(last);
        }
    }
    Ok(())
}

/// Where the web session is: bound (`Some(Some)`), unbound (`Some(None)`), or nowhere. One that two
/// sign-ins claim is nowhere: when in doubt, forget.
#[expect(clippy::option_option, reason = "nobody's and nowhere are two answers")]
fn place(open: &Open<'_>, session: &WebTag) -> Result<Option<Option<Binding>>> {
    match open.scan(&row_key::web_indexes_of(session), None, 2)?.as_slice() {
        [] => Ok(open.get(&row_key::unbound(session, 0))?.map(|_| None)),
        [(key, _)] => {
            let binding = |(_, account, sign_in): (WebTag, AccountTag, SignInId)| {
                Some(Binding { account, sign_in })
            };
            Ok(row_key::web_indexed(key).map(binding))
        }
        _ => Ok(None),
    }
}

/// Whether any row has this id. Dead and expired web sessions count.
fn is_taken(open: &Open<'_>, session: &WebTag) -> Result<bool> {
    let bound = !open.scan(&row_key::web_indexes_of(session), None, 1)?.is_empty();
    Ok(bound || !open.scan(&row_key::unbound_parts(session), None, 1)?.is_empty())
}

/// Unwraps what was read under the lock, where no other thread writes: a torn read is tampering.
fn whole<T>(read: Option<T>) -> Result<T> {
    read.ok_or(Error::Tampered("web session"))
}

/// Puts the rows, and deletes the surplus parts of a longer record that they replace.
fn replace(
    open: &Open<'_>,
    batch: &mut Batch,
    key: impl Fn(u8) -> Vec<u8>,
    rows: Vec<Row>,
) -> Result<()> {
    let before = open.get(&key(0))?.map_or(0, |old| parts_of(&old));
    let parts = u8::try_from(rows.len()).unwrap_or(u8::MAX);
    (parts..before).for_each(|part| batch.delete(key(part)));
    put_all(batch, rows);
    Ok(())
}

fn put_all(batch: &mut Batch, rows: Vec<Row>) {
    rows.into_iter().for_each(|(key, value)| batch.put(key, value));
}

/// A life that begins now, for an unbound session. Waits for a sign-out of everybody that is still
/// being synced.
fn as_of_now(core: &Core) -> Result<Life> {
    core.ledger.begin(core.clock.now())?;
    for _ in 0..64 {
        let life = life_now(core);
        let death = core.ledger.fences().death(&life);
        match death {
            None => return Ok(life),
            Some(position) => core.ledger.wait(position)?,
        }
    }
    // Such sign-outs come faster than they are synced: at worst, the session is dead from the
    // start.
    Ok(life_now(core))
}

fn life_now(core: &Core) -> Life {
    // The tag does not matter: only the opening, as-of and time are used.
    life_of_nobody(
        WebTag::from_bytes([0; 16]),
        core.ledger.opening(),
        core.ledger.synced(),
        core.clock.now(),
    )
}
