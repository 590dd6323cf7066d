//! A sign-out of a store whose place is elsewhere: one exchange. What it ends is found and fenced
//! there, in one step.

use super::{Done, cutoff_of, named_accounts, take, takes_whole, too_many, with_rows};
use crate::backend::exchange::{End, Ended, ExchangeError};
use crate::backend::remote::{MOST_LOST, sign_out_error};
use crate::backend::{Ask, Remote};
use crate::ledger::MAX_CALL;
use crate::model::error::Result;
use crate::model::sign_out::{Receipt, SignOut};
use crate::model::tag::TaggedScope;
use crate::model::time::from_millis;
use crate::model::token::RefreshToken;
use crate::rows::row_key;
use crate::rule::Fences;
use crate::store::core::Core;

/// Lets the fences stand, durably.
///
/// The place's index says which accounts are in a session: their sealed rows are not asked, which
/// at worst ends an account too many.
pub(super) fn end(
    core: &Core,
    remote: &Remote,
    request: &SignOut,
    mut named: Vec<TaggedScope>,
) -> Result<Done> {
    named.sort_unstable();
    named.dedup();
    let whole: Vec<TaggedScope> =
        named.iter().copied().filter(|scope| takes_whole(core, request, scope)).collect();
    let is_asked = !whole.is_empty();
    let (cutoff, take) = (cutoff_of(request), request.take);
    let now = core.clock.now();
    let holders = named_accounts(core, request).collect();
    let end = End { scopes: named, whole, holders, most: MAX_CALL, cutoff, now, take };
    let known = remote.known();
    let (ended, is_resent) = send(remote, &end)?;
    remote.check_end(known, ended.positions.1)?;

    let (refresh_tokens, is_whole) =
        if take { taken(core, remote, &ended) } else { (Vec::new(), true) };
    let mut scopes = end.scopes;
    let accounts = ended.accounts.as_deref().unwrap_or_default();
    let named = scopes.clone();
    scopes.extend(
        accounts
            .iter()
            .map(|account| TaggedScope::Account(*account))
            .filter(|scope| !named.contains(scope)),
    );
    let receipt = Receipt {
        position: ended.positions.1.get(),
        at: from_millis(ended.at),
        accounts: is_asked.then_some(accounts.len()),
        refresh_tokens,
        // Those that an earlier try has ended may not be among the account's any more.
        refresh_tokens_missed: !is_whole
            || (take && (ended.accounts.is_none() || ended.is_missed || is_resent)),
        counted: None,
    };
    let mut stood = Fences::of_few();
    ended.before.iter().for_each(|(scope, fence)| stood.stand(*scope, *fence));
    let before = stood.before(&scopes, ended.positions.0);
    let failure = ended.accounts.is_none().then(|| ended.failure.unwrap_or_else(too_many));
    Ok(Done { receipt, scopes: with_rows(core, request, scopes), before, failure })
}

/// Sends it again if no answer comes. If it had arrived, it ends those too who have signed in since:
/// when in doubt, forget. Tells whether it may have arrived twice.
fn send(remote: &Remote, end: &End) -> Result<(Ended, bool)> {
    let mut is_unknown = false;
    for _ in 0..=MOST_LOST {
        match remote.with(|place| place.end(end)) {
            Ok(ended) => return Ok((ended, is_unknown)),
            Err(ExchangeError::Full) if !is_unknown => {
                return Err(sign_out_error(ExchangeError::Full));
            }
            Err(error @ ExchangeError::Here(_)) => return Err(sign_out_error(error)),
            Err(error) => is_unknown |= !matches!(error, ExchangeError::NotSent),
        }
    }
    let error = if is_unknown { ExchangeError::Unknown } else { ExchangeError::NotSent };
    Err(sign_out_error(error))
}

/// The refresh tokens in the rows that the sign-out has brought; and whether those are all.
fn taken(core: &Core, remote: &Remote, ended: &Ended) -> (Vec<RefreshToken>, bool) {
    let mut ask = Ask::default();
    loop {
        let Ok(sight) = remote.look(ask) else { return (Vec::new(), false) };
        let all_of = ended.holders.iter().map(row_key::account).collect();
        let sight = sight.with_rows(all_of, &ended.rows);
        let (mut found, mut is_whole) = (Vec::new(), true);
        for account in &ended.holders {
            is_whole &= take(&core.seen(remote, &sight), account, &mut found);
        }
        // All rows are here: fences alone are missing, of the scopes that the rows name.
        match sight.asks_for_more() {
            (more, true) => ask = Ask::default().fences(more.scopes),
            (_, false) => return (found, is_whole),
        }
    }
}
