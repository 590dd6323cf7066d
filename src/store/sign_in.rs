//! Signing in.

mod earlier;

use self::earlier::{Earlier, Listed, earlier};
use crate::backend::{Ask, Tried};
use crate::crypto::fresh;
use crate::engine::{Batch, Durability, Row};
use crate::model::error::{Error, Result};
use crate::model::position::{Opening, Position};
use crate::model::random_id::{Generation, SignInId};
use crate::model::sign_in::{AsOf, MAX_ALIASES, PutOutcome, SignIn};
use crate::model::tag::{AccountTag, Slot, TenantTag};
use crate::model::time::{Millis, from_millis, millis, to_millis};
use crate::model::token::Token;
use crate::platform::sync::Arc;
use crate::rows::header::Header;
use crate::rows::row_key::{self, IndexEntry};
use crate::rows::sign_in::SignInBody;
use crate::rule::Life;
use crate::store::access::Open;
use crate::store::core::Core;
use crate::store::handle::{Inner, LiveSignIn};
use crate::store::index;
use crate::store::lifetime::Owner;
use crate::store::plan::{Guards, Held, Plan};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// Adds a sign-in to the account. On a live account it joins: same generation and key. On a dead,
/// absent or unreadable one it begins a new life.
///
/// Rows of an earlier life are not deleted here: they belong to sign-ins that no header lists any
/// more and are sealed under a key that is gone, so nothing can read them, and reclaim deletes
/// them. So a sign-in stays one small batch.
///
/// Its first tokens are stored in the same batch. A token of a signed-out tenant is left out and
/// reported.
pub(crate) fn sign_in(
    owner: &Arc<Owner>,
    request: SignIn,
    tokens: &[Token],
) -> Result<(LiveSignIn, PutOutcome)> {
    let core = owner.core();
    tokens.iter().try_for_each(Token::check)?;
    drop(core.enter()?);
    let body = body_of(core, &request)?;
    let account = core.tagger.account(&request.account);
    let other = core.other_tag(&request.account, &account);
    let session = body.session.as_ref().map(|session| core.tagger.session(session));
    let both: Vec<AccountTag> = [account].into_iter().chain(other).collect();
    // If no answer comes and the plan is made again, the id tells whether it was carried out.
    let id = SignInId::from_bytes(fresh()?);
    let new = New {
        core,
        request: &request,
        tokens,
        account,
        other,
        id,
        tried: RefCell::new(None),
        has_ended: Cell::new(false),
        has_ended_other: Cell::new(false),
    };
    // From what is seen to what is written, no sign-out of the session and no other change of the
    // account comes in between.
    let held = Held { accounts: &both, session };
    let made = core.change(held, || new.ask(&body), |open| new.plan(open, body.clone()))?;
    let Made { life, body, generation, continued_since, stored } = made;
    if new.has_ended.get() {
        core.backlog.push_account(account);
    }
    if let Some(other) = other.filter(|_| new.has_ended_other.get()) {
        core.backlog.push_account(other);
    }
    // A fence that came meanwhile has made the tokens unreadable: report that, as `put` does.
    if stored.stored > 0 && core.is_overtaken(&life) {
        return Err(overtaken(core));
    }
    let (owner, account) = (owner.clone(), request.account);
    let inner = Inner { owner, id, generation, life, account, body, continued_since };
    Ok((LiveSignIn(Arc::new(inner)), stored))
}

/// A sign-in that is being made.
struct New<'a> {
    core: &'a Core,
    request: &'a SignIn,
    tokens: &'a [Token],
    account: AccountTag,
    /// The account's other tag, if it can have had one.
    other: Option<AccountTag>,
    id: SignInId,
    /// What the last plan has made.
    tried: RefCell<Option<Life>>,
    /// Set if sign-ins of the account have ended, whose rows are left.
    has_ended: Cell<bool>,
    /// Set if there was a header under the other tag.
    has_ended_other: Cell<bool>,
}

/// A sign-in that was made.
struct Made {
    life: Life,
    body: SignInBody,
    generation: Generation,
    continued_since: Option<Millis>,
    stored: PutOutcome,
}

impl New<'_> {
    /// What it is known to look at: the account's header and sign-ins, and the fences that can
    /// cover it.
    fn ask(&self, body: &SignInBody) -> Ask {
        let life = self.core.life(self.account, None, &self.id, body);
        Ask::default()
            .key(row_key::header(&self.account))
            .all(row_key::sign_ins(&self.account))
            .fences(life.scopes())
    }

    fn plan(&self, open: &Open<'_>, mut body: SignInBody) -> Result<Plan<Made>> {
        let Self { core, request, account, other, id, .. } = self;
        let (account, other, id) = (*account, *other, *id);
        // The place's clock may be behind this process's.
        body.time = body.time.min(open.now()?);
        let life = match request.as_of {
            Some(moment) => as_of(open, (account, &id), &mut body, moment)?,
            None => as_of_now(open, (account, &id), &mut body)?,
        };
        let continued_since = not_ended(open, request, &body, (&life, other))?;
        let mut earlier = earlier(open, &account, &request.account)?;
        if open.tried() > Tried::Never
            && let Some(made) = self.made_already(open, &earlier, continued_since)?
        {
            return Ok(Plan::nothing(made));
        }
        *self.tried.borrow_mut() = Some(life.clone());
        let entries = index::entries(core, &life, &body);
        let ended = earlier.join(id, entries.clone(), core.options.max_sign_ins);
        let header = earlier.next_header(other)?;

        let key = row_key::header(&account);
        let mut batch = Batch { guard: Some((key.clone(), earlier.value)), changes: Vec::new() };
        let mut guards = Guards::on(open);
        // One batch: the ended sign-ins go and the new one comes with its tokens, or nothing
        // changes.
        self.has_ended.set(!ended.is_empty());
        delete_ended(open, &account, (ended, &earlier.live), &mut batch, &mut guards)?;
        batch.put(key.clone(), open.rows()?.seal_header(&key, &header, &request.account)?);
        let key = row_key::sign_in(&account, &id);
        batch.put(key.clone(), open.rows()?.seal_sign_in(&key, &header, &body)?);
        entries.iter().for_each(|entry| batch.put(entry.row(&account), Vec::new()));
        let stored =
            put_first(open, (&life, continued_since), &id, &header, self.tokens, &mut batch)?;
        if let Some(other) = other {
            self.has_ended_other.set(end_under(open, &other, &mut batch)?);
        }
        let generation = header.generation;
        let made = Made { life, body, generation, continued_since, stored };
        let plan = Plan::nothing(made).commit_with_as_of(batch).only_if(guards);
        Ok(plan.durable(Durability::PowerLoss))
    }

    /// This very sign-in, if an earlier try has made it.
    ///
    /// # Errors
    /// `Overtaken` if it has been signed out since; also if it was perhaps never made.
    fn made_already(
        &self,
        open: &Open<'_>,
        earlier: &Earlier,
        continued_since: Option<Millis>,
    ) -> Result<Option<Made>> {
        let has_ended = earlier.dead.iter().any(|(id, _)| *id == self.id);
        let is_covered = match &*self.tried.borrow() {
            Some(tried) if open.tried() == Tried::Lost => open.is_dead(tried)?,
            _ => false,
        };
        if has_ended || is_covered {
            return Err(overtaken(self.core));
        }
        let Some(header) = earlier.header.as_ref().filter(|one| one.sign_ins.contains(&self.id))
        else {
            return Ok(None);
        };
        let Some(body) = open.sign_in(&self.account, header, &self.id)? else { return Ok(None) };
        let life = self.core.life(self.account, None, &self.id, &body);
        let mut rows = Batch::default();
        let stored =
            put_first(open, (&life, continued_since), &self.id, header, self.tokens, &mut rows)?;
        let generation = header.generation;
        Ok(Some(Made { life, body, generation, continued_since, stored }))
    }
}

/// What is stored of the request, except for its as-of.
fn body_of(core: &Core, request: &SignIn) -> Result<SignInBody> {
    if request.aliases.len() > MAX_ALIASES {
        return Err(Error::invalid("alias", "a sign-in has at most 8"));
    }
    if let Some((app_tenant, _)) = request.account.as_app()
        && *app_tenant != request.tenant
    {
        let problem = "an app's own account signs in to its own tenant only";
        return Err(Error::invalid("tenant", problem));
    }
    if let Some(told) = request.told_at {
        core.clock.confirm(to_millis(told));
    }
    let now = core.clock.now();
    // Never later than now: an earlier time is the safe side, because then a sign-out's cutoff
    // covers it.
    let time = request.time.map_or(now, to_millis).min(now);
    let age = request.age.map(|age| core.own_age(age)).transpose()?;
    if time.saturating_add(age.unwrap_or(millis(core.options.max_sign_in_age))) <= now {
        return Err(Error::invalid("signed_in_at", "it is longer ago than the sign-in lasts"));
    }
    Ok(SignInBody {
        tenant: request.tenant.clone(),
        session: request.session.clone(),
        subject: request.subject.clone(),
        aliases: request.aliases.clone(),
        time,
        // Both are set by the plan.
        opening: Opening::from_bytes([0; 16]),
        as_of: Position::ZERO,
        label: request.label.clone(),
        age,
    })
}

/// Refuses a sign-in that a sign-out ended before it began. If it is continued from elsewhere,
/// returns since when the user has been signed in.
fn not_ended(
    open: &Open<'_>,
    request: &SignIn,
    body: &SignInBody,
    (life, other): (&Life, Option<AccountTag>),
) -> Result<Option<Millis>> {
    // A session that its provider has ended accepts no earlier sign-in: the signal overtook it.
    if let Some(until) = open.rule(life.scopes(), |fences| fences.session_ended_until(life))? {
        if request.is_continued {
            return Err(Error::SignedOut);
        }
        return Err(Error::Overtaken { again_after: from_millis(until) });
    }
    // The floor, which stands for the sign-outs that were dropped for their age, covers every
    // account here too. A sign-in without a known time counts as the oldest possible.
    let continued_since =
        request.is_continued.then(|| request.time.map_or(Millis::EPOCH, |_| body.time));
    // Under both tags that the account may have had.
    let named = Life { other, ..life.clone() };
    if let Some(since) = continued_since
        && open.rule(named.scopes(), |fences| fences.is_covered_since(&named, since))?
    {
        return Err(Error::SignedOut);
    }
    Ok(continued_since)
}

/// Deletes the rows of sign-ins that have ended, and the index rows that no live one needs.
fn delete_ended(
    open: &Open<'_>,
    account: &AccountTag,
    (ended, live): (Vec<Listed>, &[Listed]),
    batch: &mut Batch,
    guards: &mut Guards,
) -> Result<()> {
    ended.iter().for_each(|(id, _)| batch.delete(row_key::sign_in(account, id)));
    let ended = ended.into_iter().flat_map(|(_, entries)| entries).collect();
    for entry in index::stale(open, account, ended, live, guards)? {
        batch.delete(entry.row(account));
    }
    Ok(())
}

/// Adds the first tokens of a sign-in to its batch. Its places are all empty, so nothing is to be
/// replaced.
fn put_first(
    open: &Open<'_>,
    (life, continued_since): (&Life, Option<Millis>),
    id: &SignInId,
    header: &Header,
    tokens: &[Token],
    batch: &mut Batch,
) -> Result<PutOutcome> {
    let core = open.core;
    let mut stored = PutOutcome { stored: 0, refused: Vec::new() };
    // By place: of two tokens for one place, the later one is stored, without surplus parts of the
    // other.
    let mut writes: BTreeMap<(TenantTag, Slot), Vec<Row>> = BTreeMap::new();
    let put = core.clock.moment();
    for (number, token) in tokens.iter().enumerate() {
        let tenant = token.tenant().map_or(life.tenant, |tenant| core.tagger.tenant(tenant));
        if open.refuses(life, continued_since, tenant)? {
            stored.refused.push(number);
            continue;
        }
        let slot = token.slot(&core.tagger, &life.account);
        let key = |part| row_key::token(&life.account, id, &tenant, &slot, part);
        writes.insert((tenant, slot), open.rows()?.seal_token(key, header, token, Some(&put))?);
        stored.stored += 1;
    }
    for ((tenant, _), rows) in writes {
        rows.into_iter().for_each(|(key, value)| batch.put(key, value));
        if tenant != life.tenant {
            batch.put(IndexEntry::Tenant(tenant).row(&life.account), Vec::new());
        }
    }
    Ok(stored)
}

/// The current ledger position: newer than every sign-out that has been acknowledged.
pub(crate) fn moment(core: &Core) -> Result<AsOf> {
    core.read_ledger(Ask::default, |open| {
        open.begin_opening()?;
        Ok(AsOf { opening: open.opening()?, position: open.end()? })
    })
}

/// Sets the as-of to the end of what is durable. Waits for a fence that covers the sign-in and is
/// still being synced, so that the sign-in is newer than it.
fn as_of_now(
    open: &Open<'_>,
    (account, id): (AccountTag, &SignInId),
    body: &mut SignInBody,
) -> Result<Life> {
    open.begin_opening()?;
    body.opening = open.opening()?;
    for _ in 0..64 {
        body.as_of = open.end()?;
        let life = open.core.life(account, None, id, body);
        match open.death(&life)? {
            None => return Ok(life),
            Some(position) => open.wait_for_as_of(position)?,
        }
    }
    // New sign-outs that cover it come faster than they are synced: it counts as signed in, and out
    // again.
    Err(overtaken(open.core))
}

/// Sets an earlier as-of, if no fence has covered the sign-in since then.
fn as_of(
    open: &Open<'_>,
    (account, id): (AccountTag, &SignInId),
    body: &mut SignInBody,
    moment: AsOf,
) -> Result<Life> {
    open.begin_opening()?;
    (body.opening, body.as_of) = (moment.opening, moment.position);
    let life = open.core.life(account, None, id, body);
    // A moment beyond the end is of a place that has gone back since.
    if moment.position > open.end()? || open.is_dead(&life)? {
        return Err(overtaken(open.core));
    }
    Ok(life)
}

/// A user who signs in once more is newer than the sign-out that has overtaken them.
fn overtaken(core: &Core) -> Error {
    Error::Overtaken { again_after: from_millis(core.clock.now()) }
}

/// Ends the account's sign-ins under its other tag, as those that are pushed out end: the header is
/// deleted, and nothing leads to the other rows any more. Returns whether there was one. The caller
/// holds the lock.
fn end_under(open: &Open<'_>, other: &AccountTag, batch: &mut Batch) -> Result<bool> {
    let key = row_key::header(other);
    let is_there = open.get(&key)?.is_some();
    if is_there {
        batch.delete(key);
    }
    Ok(is_there)
}
