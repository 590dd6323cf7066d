//! Signing in.

use crate::crypto::{AccountKey, fresh};
use crate::engine::{Batch, Durability, Row};
use crate::model::error::{Error, Result};
use crate::model::id::AccountId;
use crate::model::position::Position;
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
    let open = core.enter()?;
    let mut body = body_of(core, &request)?;
    let account = core.tagger.account(&request.account);
    let other = core.other_tag(&request.account, &account);
    let session = body.session.as_ref().map(|session| core.tagger.session(session));
    let session_lock = session.map(|session| core.lock_session(&session));
    let both: Vec<AccountTag> = [account].into_iter().chain(other).collect();
    let lock = core.lock_accounts(&both);
    // From here on, no sign-out of the session and no other change of the account can happen
    // between reading and writing.
    let life = match request.as_of {
        Some(moment) => as_of(core, account, &mut body, moment)?,
        None => as_of_now(core, account, &mut body)?,
    };
    let continued_since = not_ended(core, &request, &body, (&life, other))?;
    let mut earlier = earlier(&open, &account, &request.account)?;
    let id = SignInId::from_bytes(fresh()?);
    let ended = earlier.join(id, index::entries(core, &life, &body), core.options.max_sign_ins);
    let header = earlier.next_header(other)?;

    let mut batch =
        Batch { guard: Some((row_key::header(&account), earlier.value)), changes: Vec::new() };
    // One batch: the ended sign-ins go and the new one comes with its tokens, or nothing changes.
    let has_ended = !ended.is_empty();
    delete_ended(&open, &account, (ended, &earlier.live), &mut batch)?;
    let key = row_key::header(&account);
    batch.put(key.clone(), open.rows()?.seal_header(&key, &header, &request.account)?);
    let key = row_key::sign_in(&account, &id);
    batch.put(key.clone(), open.rows()?.seal_sign_in(&key, &header, &body)?);
    let entries = index::entries(core, &life, &body);
    entries.iter().for_each(|entry| batch.put(entry.row(&account), Vec::new()));
    let stored = put_first(&open, (&life, continued_since), &id, &header, tokens, &mut batch)?;
    if let Some(other) = other {
        end_under(&open, &other)?;
    }
    open.commit_with_checkpoint(&account, batch)?;
    drop((lock, session_lock));
    open.sync(Durability::PowerLoss)?;
    if has_ended {
        core.backlog.push_account(account);
    }
    // A fence that came meanwhile has made the tokens unreadable: report that, as `put` does.
    if stored.stored > 0 && !core.is_live(&life, core.clock.now()) {
        return Err(overtaken(core));
    }
    let (owner, generation, account) = (owner.clone(), header.generation, request.account);
    let inner = Inner { owner, id, generation, life, account, body, continued_since };
    Ok((LiveSignIn(Arc::new(inner)), stored))
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
    if time.saturating_add(millis(core.options.max_sign_in_age)) <= now {
        return Err(Error::invalid("signed_in_at", "it is longer ago than max_sign_in_age"));
    }
    Ok(SignInBody {
        tenant: request.tenant.clone(),
        session: request.session.clone(),
        subject: request.subject.clone(),
        aliases: request.aliases.clone(),
        time,
        opening: core.ledger.opening(),
        as_of: Position::ZERO,
    })
}

/// Refuses a sign-in that a sign-out ended before it began. If it is continued from elsewhere,
/// returns since when the user has been signed in.
fn not_ended(
    core: &Core,
    request: &SignIn,
    body: &SignInBody,
    (life, other): (&Life, Option<AccountTag>),
) -> Result<Option<Millis>> {
    // A session that its provider has ended accepts no earlier sign-in: the signal overtook it.
    if let Some(until) = core.ledger.fences().session_ended_until(life) {
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
    if continued_since.is_some_and(|since| core.ledger.fences().is_covered_since(&named, since)) {
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
) -> Result<()> {
    ended.iter().for_each(|(id, _)| batch.delete(row_key::sign_in(account, id)));
    let ended = ended.into_iter().flat_map(|(_, entries)| entries).collect();
    for entry in index::stale(open, account, ended, live)? {
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
        let fences = core.ledger.fences();
        let is_over = |since| fences.is_tenant_covered_since(tenant, since);
        if fences.is_tenant_dead(life, tenant) || continued_since.is_some_and(is_over) {
            stored.refused.push(number);
            continue;
        }
        drop(fences);
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
    let _open = core.enter_ledger()?;
    core.ledger.begin(core.clock.now())?;
    Ok(AsOf { opening: core.ledger.opening(), position: core.ledger.synced() })
}

/// Sets the as-of to the synced end. Waits for a fence that covers the sign-in and is still being
/// synced, so that the sign-in is newer than it.
fn as_of_now(core: &Core, account: AccountTag, body: &mut SignInBody) -> Result<Life> {
    core.ledger.begin(core.clock.now())?;
    for _ in 0..64 {
        body.as_of = core.ledger.synced();
        let life = core.life(account, None, body);
        let death = core.ledger.fences().death(&life);
        match death {
            None => return Ok(life),
            Some(position) => core.ledger.wait(position)?,
        }
    }
    // New sign-outs that cover it come faster than they are synced: it counts as signed in, and out
    // again.
    Err(overtaken(core))
}

/// Sets an earlier as-of, if no fence has covered the sign-in since then.
fn as_of(core: &Core, account: AccountTag, body: &mut SignInBody, moment: AsOf) -> Result<Life> {
    core.ledger.begin(core.clock.now())?;
    (body.opening, body.as_of) = (moment.opening, moment.position);
    let life = core.life(account, None, body);
    if core.ledger.fences().is_dead(&life) { Err(overtaken(core)) } else { Ok(life) }
}

/// A user who signs in once more is newer than the sign-out that has overtaken them.
fn overtaken(core: &Core) -> Error {
    Error::Overtaken { again_after: from_millis(core.clock.now()) }
}

#[derive(Default)]
struct Earlier {
    /// The stored header row.
    value: Option<Vec<u8>>,
    /// The header, if the account is live.
    header: Option<Header>,
    /// Its live sign-ins, oldest first, and those that have ended; with the index entries that find
    /// them.
    live: Vec<Listed>,
    dead: Vec<Listed>,
}

/// A sign-in that a header lists, and the index entries that find it.
type Listed = (SignInId, Vec<IndexEntry>);

impl Earlier {
    /// Adds a sign-in to the live ones. Returns the ended ones, and the oldest live ones beyond the
    /// limit of `most`.
    fn join(&mut self, id: SignInId, entries: Vec<IndexEntry>, most: u8) -> Vec<Listed> {
        self.live.push((id, entries));
        let surplus = self.live.len().saturating_sub(most.into());
        self.live.drain(..surplus).chain(std::mem::take(&mut self.dead)).collect()
    }

    /// The header that lists the live sign-ins: with the generation and key of the same life, or of
    /// a new one.
    fn next_header(&mut self, other: Option<AccountTag>) -> Result<Header> {
        let mut header = match self.header.take() {
            Some(header) => header,
            None => Header {
                generation: Generation::from_bytes(fresh()?),
                account_key: AccountKey::random()?,
                sign_ins: Vec::new(),
                other,
            },
        };
        header.sign_ins = self.live.iter().map(|(id, _)| *id).collect();
        Ok(header)
    }
}

/// Reads what is stored of the account. A header or sign-in that does not open counts as ended.
fn earlier(open: &Open<'_>, account: &AccountTag, id: &AccountId) -> Result<Earlier> {
    let core = open.core;
    // A sign-in that is taken out for its age is lost, so a clock that may be wrong must not
    // decide.
    let now = core.clock.for_deletion();
    let key = row_key::header(account);
    let Some(value) = open.get(&key)? else { return Ok(Earlier::default()) };
    let opened = open.rows()?.open_header(&key, &value);
    let opened =
        opened.and_then(|header| Ok((open.rows()?.open_account(&key, &value, &header)?, header)));
    let mut earlier = Earlier { value: Some(value), ..Earlier::default() };
    let (stored, mut header) = match opened {
        Ok(opened) => opened,
        Err(Error::Tampered(_)) => return Ok(earlier),
        Err(error) => return Err(error),
    };
    if stored != *id {
        return Err(Error::Tampered("header"));
    }
    header.other = core.other_tag(id, account);
    for sign_in in &header.sign_ins {
        match open.sign_in(account, &header, sign_in) {
            Ok(Some(body)) => {
                let life = core.life(*account, header.other, &body);
                // A sign-in that is taken out of the header stays out, so only durable sign-outs
                // count here. (Reads obey the others too.)
                let has_ended = core.is_too_old(&life, now)
                    || core.ledger.fences().is_dead_by(&life, core.ledger.synced());
                let list = if has_ended { &mut earlier.dead } else { &mut earlier.live };
                list.push((*sign_in, index::entries(core, &life, &body)));
            }
            Ok(None) | Err(Error::Tampered(_)) => earlier.dead.push((*sign_in, Vec::new())),
            Err(error) => return Err(error),
        }
    }
    earlier.header = (!earlier.live.is_empty()).then_some(header);
    Ok(earlier)
}

/// Ends the account's sign-ins under its other tag, as those that are pushed out end: the header is
/// deleted, and nothing leads to the other rows any more. The caller holds the lock.
fn end_under(open: &Open<'_>, other: &AccountTag) -> Result<()> {
    let key = row_key::header(other);
    let Some(value) = open.get(&key)? else { return Ok(()) };
    let mut batch = Batch { guard: Some((key.clone(), Some(value))), changes: Vec::new() };
    batch.delete(key);
    open.commit(other, batch)?;
    open.core.backlog.push_account(*other);
    Ok(())
}
