//! The sweep: deletes what expired, and what reclaim missed, a few accounts at a time. Nothing here
//! decides anything; it only gives space back.

use crate::backend::Backend;
use crate::backend::remote::patiently;
use crate::engine::Batch;
use crate::maintenance::compact::compact;
#[cfg(all(unix, feature = "sqlite"))]
use crate::maintenance::shared;
use crate::maintenance::throttle::Throttle;
use crate::maintenance::tidy::tidy_account;
use crate::model::error::{Error, Result};
use crate::model::report::SweepReport;
use crate::model::tag::AccountTag;
use crate::observe;
use crate::platform::sync::lock;
use crate::rows::row_key::{self, Index};
use crate::store::access::Open;
use crate::store::census::{SLICE, next_account};
use crate::store::core::Core;
use crate::store::index;
use crate::store::lifetime::{OnSite, Works};
use crate::store::plan::{Guards, Held, Plan};
use crate::store::progress::{Cursor, Sweep};
use crate::store::web;

/// Sweeps, and compacts the engine after the last slice if that is worth it.
pub(crate) fn sweep(works: &Works, budget: usize) -> Result<SweepReport> {
    let mut progress = lock(&works.sweeping);
    let result = sweep_slice(&works.core, &mut progress, budget);
    if let Ok(swept) = &result {
        observe::swept(swept);
    }
    let mut swept = result?;
    if swept.finished && works.site.is_some() {
        swept.compacted = compact_if_loose(works, swept.live_bytes)?;
    }
    Ok(swept)
}

/// Compacts the engine, or gives the free pages of a rows' file back, if that is worth it; and says
/// whether it was done.
fn compact_if_loose(works: &Works, live_bytes: u64) -> Result<bool> {
    let compacted = match works.site()? {
        OnSite::Alone(mut premises) => {
            let size = works.core.enter()?.size()?;
            if !premises.is_bloated(size, live_bytes) {
                return Ok(false);
            }
            compact(&works.core, &mut premises).map(|_| true)
        }
        #[cfg(all(unix, feature = "sqlite"))]
        OnSite::Shared(_folder) => match shared::give_back_if_loose(&works.core) {
            Ok(false) => return Ok(false),
            given => given,
        },
    };
    if !matches!(compacted, Err(Error::Closed)) {
        observe::compacted(compacted.is_ok());
    }
    match compacted {
        Err(error @ (Error::Poisoned(_) | Error::Closed | Error::Forked)) => Err(error),
        // The sweep itself is done, and the store goes on as it was.
        compacted => Ok(compacted.unwrap_or(false)),
    }
}

/// Looks at up to `budget` accounts, from where the last sweep ended: deletes dead and expired
/// rows, then index rows that lead nowhere, then compacts the ledger.
pub(crate) fn sweep_slice(core: &Core, progress: &mut Sweep, budget: usize) -> Result<SweepReport> {
    let mut swept = SweepReport::default();
    let mut cursor = std::mem::take(&mut progress.cursor);
    core.renew_longest_age()?;
    let mut put_off = Vec::new();
    let mut result = Ok(());
    for _ in 0..budget {
        match sweep_step(core, cursor.clone(), &mut swept, &mut put_off) {
            Ok(Some(next)) => cursor = next,
            Ok(None) => {
                swept.finished = true;
                break;
            }
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    // All of them are swept, even if something has failed: the next slice begins behind them.
    for account in &put_off {
        let put_off = sweep_account(core, account, &mut swept);
        result = result.and(put_off);
    }
    if swept.finished && result.is_ok() {
        swept.live_bytes += std::mem::take(&mut progress.live_bytes);
        return Ok(swept);
    }
    progress.cursor = cursor;
    progress.live_bytes += swept.live_bytes;
    result.map(|()| swept)
}

/// Sweeps one account, one slice of an index, or the ledger; and says where to go on, if that was
/// not the end.
fn sweep_step(
    core: &Core,
    cursor: Cursor,
    swept: &mut SweepReport,
    put_off: &mut Vec<AccountTag>,
) -> Result<Option<Cursor>> {
    match cursor {
        Cursor::Accounts(after) => {
            let Some(account) = next_account(&core.enter()?, after)? else {
                return Ok(Some(Cursor::Indexes(0, None)));
            };
            // Where many threads write, waiting for one after the other takes longer than all else.
            if core.is_idle(&account) {
                sweep_account(core, &account, swept)?;
            } else {
                put_off.push(account);
            }
            Ok(Some(Cursor::Accounts(row_key::behind_account(&account))))
        }
        Cursor::Indexes(number, after) => match Index::ALL.get(number) {
            Some(index) => {
                let last = sweep_index(core, *index, after.as_deref(), swept)?;
                let next = if last.is_some() { number } else { number + 1 };
                Ok(Some(Cursor::Indexes(next, last)))
            }
            None => Ok(Some(Cursor::Web(web::Kind::Bound, None))),
        },
        Cursor::Web(kind, after) => {
            let last = web::tidy_slice(core, kind, after.as_deref(), swept)?;
            match (last, kind) {
                (Some(last), _) => Ok(Some(Cursor::Web(kind, Some(last)))),
                (None, web::Kind::Bound) => Ok(Some(Cursor::Web(web::Kind::Unbound, None))),
                (None, web::Kind::Unbound) => {
                    compact_ledger(core)?;
                    Ok(None)
                }
            }
        }
    }
}

/// The end of a pass: the known time is written down, and the ledger compacted if that is worth it.
fn compact_ledger(core: &Core) -> Result<()> {
    let open = core.enter()?;
    open.leave_known()?;
    let oldest = open.time_for_deletion()?.saturating_sub(core.longest_age());
    drop(open);
    let compacted = match &core.backend {
        Backend::Embedded(embedded) => {
            let _entered = embedded.enter()?;
            embedded.ledger.compact(oldest).map(drop)
        }
        Backend::Remote(remote) => {
            patiently(|| remote.with(|place| place.forget(oldest))).map(drop)
        }
    };
    match compacted {
        Err(error @ (Error::Poisoned(_) | Error::Closed | Error::Forked)) => return Err(error),
        // As on a full disk: nothing was changed, and the rest of the upkeep may be what makes
        // room.
        Err(_) => observe::compacted(false),
        Ok(_) => {}
    }
    Ok(())
}

fn sweep_account(core: &Core, account: &AccountTag, swept: &mut SweepReport) -> Result<()> {
    let tidied = tidy_account(core, account, true, &mut Throttle::off())?;
    swept.accounts += 1;
    swept.dead_rows += tidied.dead_rows;
    swept.expired_tokens += tidied.expired_tokens;
    swept.tampered += tidied.tampered;
    swept.live_bytes += tidied.live_bytes;
    Ok(())
}

/// Deletes index rows that find no live sign-in. (A row too few or too many decides nothing.)
fn sweep_index(
    core: &Core,
    index: Index,
    after: Option<&[u8]>,
    swept: &mut SweepReport,
) -> Result<Option<Vec<u8>>> {
    let slice = core.enter()?.scan(&index.prefix(), after, SLICE)?;
    for (key, _) in &slice {
        let Some((entry, account)) = row_key::indexed(key) else { continue };
        let ask = || index::ask_due(&account, entry);
        let is_due = |open: &Open<'_>| index::is_due(open, &account, entry, &mut Guards::on(open));
        if core.read(ask, is_due)? {
            swept.live_bytes += key.len() as u64;
            continue;
        }
        // Looked at again, while nobody changes the account.
        let held = Held { accounts: &[account], session: None };
        let is_due = core.change_if_needed(held, ask, |open| {
            let mut guards = Guards::on(open);
            if index::is_due(open, &account, entry, &mut guards)? {
                return Ok(Plan::nothing(true));
            }
            let mut batch = Batch::default();
            batch.delete(key.clone());
            Ok(Plan::nothing(false).commit(batch).only_if(guards))
        })?;
        if is_due {
            swept.live_bytes += key.len() as u64;
        } else {
            swept.dead_rows += 1;
        }
    }
    Ok(slice.into_iter().last().map(|(key, _)| key))
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use std::thread::{scope, yield_now};

    use super::*;
    use crate::model::random_id::SignInId;
    use crate::{AccountId, Machine, SignIn, TenantId};

    // Without it: the sweep waits for one account after the other while many threads write, or
    // never comes back to those that it has passed by.
    #[test]
    fn an_account_that_somebody_is_at_is_swept_last() {
        let machine = Machine::new();
        let store = machine.builder().open().unwrap();
        let core = store.core();
        let mut tags = Vec::new();
        // Two that do not share a lock.
        for number in 0.. {
            let account = AccountId::new("login.example.com", number.to_string()).unwrap();
            let tag = core.tagger.account(&account);
            if tags
                .first()
                .is_none_or(|first: &AccountTag| first.as_bytes()[0] != tag.as_bytes()[0])
            {
                store.sign_in(SignIn::new(account, TenantId::new("contoso").unwrap())).unwrap();
                tags.push(tag);
            }
            if tags.len() == 2 {
                break;
            }
        }
        tags.sort_unstable();
        // A dead row in each tells that the sweep was there.
        let dead = |tag: &AccountTag| row_key::sign_in(tag, &SignInId::filled(0xdd));
        let mut rows = machine.rows();
        rows.extend(tags.iter().map(|tag| (dead(tag), vec![1])));
        machine.set_rows(rows);
        let at_work = core.embedded().unwrap().lock_account(&tags[0]);
        let swept = scope(|scope| {
            let sweeping =
                scope.spawn(|| super::sweep_slice(core, &mut Sweep::default(), usize::MAX));
            while machine.rows().contains_key(&dead(&tags[1])) {
                yield_now();
            }
            assert!(machine.rows().contains_key(&dead(&tags[0])));
            drop(at_work);
            sweeping.join().unwrap().unwrap()
        });
        assert_eq!((swept.accounts, swept.dead_rows, swept.finished), (2, 2, true));
        assert!(!machine.rows().contains_key(&dead(&tags[0])));
    }
}
