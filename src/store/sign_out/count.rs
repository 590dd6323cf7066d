//! Counts what a sign-out ended, after it: from the rows that are still there, before the reclaimer
//! is told.

use std::collections::HashSet;

use crate::backend::Ask;
use crate::model::error::{Component, Error, Result};
use crate::model::sign_out::Counted;
use crate::model::tag::{AccountTag, TaggedScope};
use crate::rows::row_key;
use crate::rule::Before;
use crate::store::census::for_each_account;
use crate::store::core::Core;

/// Counts the sign-ins in these scopes that are dead now, and were not by the fences that stood
/// `before`. The caller must hold neither a lock nor the gate.
pub(super) fn ended(core: &Core, scopes: &[TaggedScope], before: &Before) -> Result<Counted> {
    if core.is_engine_failed() {
        return Err(Error::Poisoned(Component::Engine));
    }
    let mut counted = Counted::default();
    let mut seen: HashSet<AccountTag> = HashSet::new();
    let is_everybody = scopes.contains(&TaggedScope::Everybody);
    let scopes = scopes.iter().filter(|scope| !is_everybody || **scope == TaggedScope::Everybody);
    for scope in scopes {
        for_each_account(core, *scope, |account| {
            // An account can be in several of the scopes.
            if seen.insert(*account) {
                let sign_ins = sign_ins_ended(core, account, before)?;
                counted.sign_ins += sign_ins;
                counted.accounts += u64::from(sign_ins > 0);
            }
            Ok(!core.is_closing())
        })?;
    }
    Ok(counted)
}

/// Rows that do not open are not counted.
fn sign_ins_ended(core: &Core, account: &AccountTag, before: &Before) -> Result<u64> {
    let ask = || Ask::default().key(row_key::header(account)).all(row_key::sign_ins(account));
    core.read_held(account, ask, |open| {
        let header = match open.header(account) {
            Ok(Some((_, header))) => header,
            Ok(None) | Err(Error::Tampered(_)) => return Ok(0),
            Err(error) => return Err(error),
        };
        let (now, mut ended) = (core.clock.now(), 0);
        for id in &header.sign_ins {
            match open.sign_in(account, &header, id) {
                Ok(Some(body)) => {
                    let life = core.life(*account, header.other, id, &body);
                    let was_live = !life.is_too_old(now) && !before.covers(&life);
                    let is_dead =
                        open.rule(life.scopes(), |fences| fences.is_dead_since(&life, before))?;
                    ended += u64::from(was_live && is_dead);
                }
                Ok(None) | Err(Error::Tampered(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ended)
    })
}
