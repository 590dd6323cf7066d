//! Making, saving, loading and deleting web sessions. None of these gives a session that was
//! deleted, has expired, or whose sign-in has ended, nor lets one of them come back.

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

/// Stores a new web session, and says under which id: this one, or a fresh one if it is taken, by
/// whatever. Bound to a sign-in that is not live, nothing is stored, and that is no error: the
/// session is gone, as it would be a moment later.
///
/// One that is not bound is kept for `unbound_for` at most.
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
    // Before the locks: it may wait for the disk.
    let now = if binding.is_none() { Some(as_of_now(core)?) } else { None };
    loop {
        let session = core.tagger.web(&id);
        // Two who make the same id, in whatever places, come one after the other.
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

/// Stores what a web session says now, if it is still there, and bound to the same sign-in: where
/// it is. Else nothing is stored, and that is no error. Data that says nothing of a sign-in stays
/// bound to the one it has.
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
        // Also when it is bound to one that is dead: the session is another one's by now.
        _ if binding.is_some() && binding != place.as_ref() => return Ok(()),
        Some(place) => {
            let Binding { account, sign_in } = place;
            // Under the lock: what is deleted meanwhile is not brought back.
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
            // The life it has: a sign-out of everybody since it was made ends it still.
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
            // Torn, or between two lives of the account: looked at again, in the end while nobody
            // writes.
            Ok(None) => {}
            Err(Error::Tampered(_)) if attempt < TRIES => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Tampered("web session"))
}

/// Deletes the web session wherever it is, durably.
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
            // A row that this crate did not make leads nowhere.
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
    let account = session.as_account();
    let lock = core.lock_account(&account);
    let mut batch = Batch::default();
    delete_unbound(&open, &session, &mut batch)?;
    if !batch.changes.is_empty() {
        open.commit(&account, batch)?;
    }
    drop(lock);
    // Even if nothing was found: perhaps another call has deleted it, and has not synced yet.
    open.sync(Durability::PowerLoss)
}

/// Deletes every web session that has expired or ended. No token is looked at.
#[cfg_attr(not(feature = "tower-sessions"), allow(dead_code))]
pub(crate) fn delete_expired(core: &Core) -> Result<()> {
    for kind in [Kind::Bound, Kind::Unbound] {
        let mut after: Option<Vec<u8>> = None;
        loop {
            // Anew for each slice: nobody who has to wait for all verbs waits for long.
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

/// Where the web session is: bound (`Some(Some)`), nobody's (`Some(None)`), or nowhere. One that
/// two sign-ins claim is in none of them: when in doubt, forget.
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

/// Whether any row has this id: dead and expired ones count.
fn is_taken(open: &Open<'_>, session: &WebTag) -> Result<bool> {
    let bound = !open.scan(&row_key::web_indexes_of(session), None, 1)?.is_empty();
    Ok(bound || !open.scan(&row_key::unbound_parts(session), None, 1)?.is_empty())
}

/// What was read under the lock: nobody writes it meanwhile.
fn whole<T>(read: Option<T>) -> Result<T> {
    read.ok_or(Error::Tampered("web session"))
}

/// Puts the rows, and leaves no part behind of a longer record that they come in the place of.
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

/// A life that begins now, for a session that is nobody's. A sign-out of everybody that is still
/// being synced is waited for.
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
    // They come faster than they can be synced: dead from the start, at worst.
    Ok(life_now(core))
}

fn life_now(core: &Core) -> Life {
    // Whose it is does not matter: only its opening, as-of and time are used.
    life_of_nobody(
        WebTag::from_bytes([0; 16]),
        core.ledger.opening(),
        core.ledger.synced(),
        core.clock.now(),
    )
}
