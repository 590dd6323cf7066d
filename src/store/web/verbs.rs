//! Making, saving, loading and deleting web sessions. None of these returns a session that was
//! deleted, has expired, or whose sign-in has ended, nor brings one back.

use std::cell::RefCell;
use std::time::Duration;

use super::find::{
    Bound, Unbound, ask_bound, ask_unbound, delete_bound, delete_unbound, live_header,
};
use super::sweep::{Kind, tidy_slice};
use super::{Binding, WebRecord, read_bound, read_unbound};
use crate::backend::Ask;
use crate::crypto::fresh;
use crate::engine::{Batch, Durability, Row};
use crate::model::error::{Error, Result};
use crate::model::random_id::SignInId;
use crate::model::report::SweepReport;
use crate::model::tag::{AccountTag, TaggedScope, WebTag};
use crate::model::time::millis;
use crate::rows::parts::parts_of;
use crate::rows::row_key;
use crate::rule::Life;
use crate::store::access::Open;
use crate::store::core::Core;
use crate::store::plan::{Guards, Held, Plan};
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
    drop(core.enter()?);
    let record = match binding {
        Some(_) => record,
        None => record.until(core.clock.now().saturating_add(millis(unbound_for))),
    };
    // Taken before the locks, as it may wait for the disk.
    let now = if binding.is_none() { Some(life_now(core)?) } else { None };
    loop {
        let session = core.tagger.web(&id);
        // Two callers that create the same id, bound or not, run one after the other.
        let me = session.as_account();
        let both: Vec<_> = binding.map(|binding| binding.account).into_iter().chain([me]).collect();
        let held = Held { accounts: &both, session: None };
        let new =
            New { session, binding, now: now.as_ref(), record: &record, sent: RefCell::default() };
        if core.change(held, || ask_new(&session, binding), |open| new.plan(open))? {
            return Ok(id);
        }
        id = fresh()?;
    }
}

/// A web session that is being made.
struct New<'a> {
    session: WebTag,
    binding: Option<&'a Binding>,
    /// The life of an unbound one.
    now: Option<&'a Life>,
    record: &'a WebRecord,
    /// The first rows of what plans have made: no other write has the same.
    sent: RefCell<Vec<Row>>,
}

impl New<'_> {
    /// Tells whether it is made, or would be gone by now; if not, its id is taken.
    fn plan(&self, open: &Open<'_>) -> Result<Plan<bool>> {
        let session = &self.session;
        if is_taken(open, session)? {
            // Perhaps by an earlier try.
            for (key, value) in &*self.sent.borrow() {
                if open.get(key)?.as_ref() == Some(value) {
                    return Ok(Plan::nothing(true));
                }
            }
            return Ok(Plan::nothing(false));
        }
        let mut guards = Guards::on(open);
        guards.none_under(row_key::web_indexes_of(session));
        guards.none_under(row_key::unbound_parts(session));
        let plan = Plan::nothing(true).only_if(guards).durable(open.core.options.other_durability);
        let mut batch = Batch::default();
        match (self.binding, self.now) {
            (Some(binding), _) => {
                let Some((value, header)) = live_header(open, binding, open.core.clock.now())?
                else {
                    return Ok(Plan::nothing(true));
                };
                let Binding { account, sign_in } = binding;
                let key = |part| row_key::web(account, sign_in, session, part);
                batch.guard = Some((row_key::header(account), Some(value)));
                self.put_all(&mut batch, open, open.rows()?.seal_web(key, &header, self.record)?);
                batch.put(row_key::web_index(session, account, sign_in), Vec::new());
                Ok(plan.commit(batch))
            }
            (None, Some(as_of)) => {
                let life = life_of_nobody(*session, as_of.opening, as_of.as_of, as_of.time);
                let rows = open.rows()?.seal_unbound(session, &life, self.record)?;
                self.put_all(&mut batch, open, rows);
                Ok(plan.commit_with_as_of(batch))
            }
            (None, None) => Ok(Plan::nothing(true)),
        }
    }

    fn put_all(&self, batch: &mut Batch, open: &Open<'_>, rows: Vec<Row>) {
        if open.is_of_one_moment() {
            self.sent.borrow_mut().extend(rows.first().cloned());
        }
        put_all(batch, rows);
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
    let session = core.tagger.web(id);
    let ask = || ask_place(&session);
    let Some(place) = core.read(ask, |open| place(open, &session))? else { return Ok(()) };
    // Also if the sign-in of its place is dead: the session belongs to another sign-in by now.
    if binding.is_some() && binding != place.as_ref() {
        return Ok(());
    }
    let held = [place.map_or(session.as_account(), |place| place.account)];
    let held = Held { accounts: &held, session: None };
    match &place {
        Some(place) => core.change(
            held,
            || ask_bound(&session, place),
            |open| save_bound(open, &session, place, &record),
        ),
        None => {
            let record = record.until(core.clock.now().saturating_add(millis(unbound_for)));
            core.change(
                held,
                || ask_unbound(&session),
                |open| save_unbound(open, &session, &record),
            )
        }
    }
}

/// Replaces a bound web session. A session that was deleted meanwhile is not brought back.
fn save_bound(
    open: &Open<'_>,
    session: &WebTag,
    place: &Binding,
    record: &WebRecord,
) -> Result<Plan<()>> {
    let (core, Binding { account, sign_in }) = (open.core, place);
    if !super::is_found(open, session, account, sign_in)? {
        return Ok(Plan::nothing(()));
    }
    let Some(Bound { value, header, .. }) =
        whole(read_bound(open, session, place, core.clock.now())?)?
    else {
        return Ok(Plan::nothing(()));
    };
    let key = |part| row_key::web(account, sign_in, session, part);
    let mut guards = Guards::on(open);
    guards.row(&row_key::web_index(session, account, sign_in), Some(&[]));
    let mut batch =
        Batch { guard: Some((row_key::header(account), Some(value))), changes: Vec::new() };
    let rows = open.rows()?.seal_web(key, &header, record)?;
    replace(open, &mut batch, key, rows, &mut guards)?;
    let plan = Plan::nothing(()).commit(batch).only_if(guards);
    Ok(plan.durable(core.options.other_durability))
}

/// As [`save_bound`], for an unbound one. It keeps its life: a sign-out of everybody since it was
/// created still ends it.
fn save_unbound(open: &Open<'_>, session: &WebTag, record: &WebRecord) -> Result<Plan<()>> {
    let core = open.core;
    let Some(Unbound { life, .. }) = whole(read_unbound(open, session, core.clock.now())?)? else {
        return Ok(Plan::nothing(()));
    };
    let key = |part| row_key::unbound(session, part);
    let (mut batch, mut guards) = (Batch::default(), Guards::on(open));
    let rows = open.rows()?.seal_unbound(session, &life, record)?;
    replace(open, &mut batch, key, rows, &mut guards)?;
    let plan = Plan::nothing(()).commit(batch).only_if(guards);
    Ok(plan.durable(core.options.other_durability))
}

/// The web session as it is now, and what it is bound to.
pub(crate) fn load(core: &Core, id: &[u8; 16]) -> Result<Option<(Option<Binding>, WebRecord)>> {
    let session = core.tagger.web(id);
    core.read(|| ask_place(&session), |open| load_in(open, &session))
}

fn load_in(open: &Open<'_>, session: &WebTag) -> Result<Option<(Option<Binding>, WebRecord)>> {
    let core = open.core;
    // What is of one moment is whole at once.
    let first = if open.is_of_one_moment() { TRIES } else { 0 };
    for attempt in first..=TRIES {
        let Some(place) = place(open, session)? else { return Ok(None) };
        let account = place.map_or(session.as_account(), |place| place.account);
        let _lock = (attempt == TRIES).then(|| open.lock_account(&account));
        let found = match &place {
            Some(binding) => read_bound(open, session, binding, core.clock.now())
                .map(|found| found.map(|found| found.map(|it| it.record))),
            None => read_unbound(open, session, core.clock.now())
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
    let session = core.tagger.web(id);
    // A shared place that crashes between the steps can bring back what one of them has deleted.
    while !delete_once(core, session)? {}
    Ok(())
}

/// Tells whether none is left, at the moment at which that became durable.
fn delete_once(core: &Core, session: WebTag) -> Result<bool> {
    loop {
        let found = core.enter()?.scan(&row_key::web_indexes_of(&session), None, 64)?;
        if found.is_empty() {
            break;
        }
        for (key, _) in found {
            // An index row that this crate did not make leads to no session: only the row itself is
            // deleted.
            let Some((_, account, sign_in)) = row_key::web_indexed(&key) else {
                let held = Held { accounts: &[session.as_account()], session: None };
                core.change(held, Ask::default, |_| {
                    let mut batch = Batch::default();
                    batch.delete(key.clone());
                    Ok(Plan::nothing(()).commit(batch))
                })?;
                continue;
            };
            let binding = Binding { account, sign_in };
            let held = Held { accounts: &[account], session: None };
            let ask = || ask_bound(&session, &binding);
            core.change(held, ask, |open| {
                let plan = delete_bound(open, &session, &binding)?;
                Ok(plan.durable_if_shared(open, Durability::PowerLoss))
            })?;
        }
    }
    // It may be unbound. Durable even if nothing was found: another call may have deleted it, and
    // not have synced yet.
    let held = Held { accounts: &[session.as_account()], session: None };
    core.change(
        held,
        || ask_place(&session),
        |open| {
            let is_unbound = open.scan(&row_key::web_indexes_of(&session), None, 1)?.is_empty();
            let plan = delete_unbound(open, &session)?.durable(Durability::PowerLoss);
            Ok(Plan::nothing(is_unbound).and(plan))
        },
    )
}

/// Deletes every web session that has expired or ended. No token is looked at.
pub(crate) fn delete_expired(core: &Core) -> Result<()> {
    for kind in [Kind::Bound, Kind::Unbound] {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let Some(last) = tidy_slice(core, kind, after.as_deref(), &mut SweepReport::default())?
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

/// What shows where the web session is.
fn ask_place(session: &WebTag) -> Ask {
    ask_unbound(session).all(row_key::web_indexes_of(session))
}

/// What a new web session depends on: its sign-in, and that its id is free.
fn ask_new(session: &WebTag, binding: Option<&Binding>) -> Ask {
    let mut ask = ask_place(session);
    if let Some(binding) = binding {
        ask.add(ask_bound(session, binding));
    }
    ask
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
    guards: &mut Guards,
) -> Result<()> {
    let old = open.get(&key(0))?;
    guards.row(&key(0), old.as_deref());
    let before = old.map_or(0, |old| parts_of(&old));
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
fn life_now(core: &Core) -> Result<Life> {
    // The tag does not matter: only the opening, as-of and time are used.
    let of_nobody = |open: &Open<'_>| {
        let (opening, end) = (open.opening()?, open.end()?);
        Ok(life_of_nobody(WebTag::from_bytes([0; 16]), opening, end, open.now()?))
    };
    let ask = || Ask::default().fences([TaggedScope::Everybody]);
    core.read(ask, |open| {
        open.begin_opening()?;
        for _ in 0..64 {
            let life = of_nobody(open)?;
            match open.rule([TaggedScope::Everybody], |fences| fences.death(&life))? {
                None => return Ok(life),
                Some(position) => open.wait(position)?,
            }
        }
        // Such sign-outs come faster than they are synced: at worst, the session is dead from the
        // start.
        of_nobody(open)
    })
}
