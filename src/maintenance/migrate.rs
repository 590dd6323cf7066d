//! Moving the live rows of an open store to a fresh engine, account by account, while verbs go on.
//!
//! Every change of rows names its account. Accounts that change after they were carried are carried
//! again, in rounds, until few are left; these few are carried while no other thread is let in. So
//! what arrives is what the store held at one moment. Dead rows, rows that do not open and index
//! rows that lead nowhere stay behind.

mod account;
mod mover;
#[cfg(all(test, feature = "test-util"))]
mod tests;
mod tokens;

use crate::backend::Backend;
use crate::engine::{Durability, Engine};
use crate::model::error::{Error, Result};
use crate::model::position::Position;
use crate::rows::cipher::Rows;
use crate::rows::store_rows::Fresh;
use crate::store::access::Open;
use crate::store::core::Core;
use mover::{Mover, target_failed};

/// At most so many changed accounts are left to carry while all other threads wait.
const LEFT: usize = 32;
/// How many more may be left if one round, or several in turn, leave about as many as there were
/// (the number of rounds, and of accounts): then further rounds do, too.
const LEFT_IN_VAIN: [(usize, usize); 2] = [(1, 400), (3, 1024)];
/// After so many rounds all other threads wait for what is left, however much it is: changes come
/// in faster than they can be carried.
const ROUNDS: usize = 16;
/// The most changes of one batch.
const SLICE: usize = 256;

/// What was carried.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    pub(super) accounts: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Accounts, sign-ins, tokens and web sessions that do not open and were left behind.
    pub(super) tampered: u64,
    /// The size of the target with all of it.
    pub(super) engine_bytes: u64,
}

impl Moved {
    pub(super) fn fresh(&self) -> Fresh {
        Fresh { live_bytes: self.bytes, engine_bytes: self.engine_bytes }
    }
}

/// Carries the live rows of the store to `target`: as they are, or sealed anew for another keyring.
/// Then lets `finish` do what makes the target count, while no other thread is at work: all is
/// durable there, the checkpoint at this position too.
pub(super) fn move_live<T>(
    core: &Core,
    target: Box<dyn Engine>,
    resealed: Option<&Rows>,
    finish: impl FnOnce(&mut Open<'_>, Box<dyn Engine>, Position, Moved) -> Result<T>,
) -> Result<T> {
    let _watch = core.embedded()?.watch_changes()?;
    let mut mover = Mover { puts_off: true, ..Mover::new(target, resealed) };
    mover.carry_all(core)?;
    let mut before = usize::try_from(mover.moved.accounts).unwrap_or(usize::MAX);

    // Should the ledger be being compacted, this thread waits for that here, so that not all
    // threads do at the end: before the rounds, as accounts change meanwhile.
    let _tended = core.embedded()?.ledger.tend();
    let mut in_vain = 0;
    for _ in 0..ROUNDS {
        let left = core.embedded()?.count_changed();
        in_vain = if left > before - before / 8 { in_vain + 1 } else { 0 };
        if left <= LEFT
            || LEFT_IN_VAIN.iter().any(|(rounds, most)| in_vain >= *rounds && left <= *most)
        {
            break;
        }
        before = left;
        mover.commit()?;
        for account in core.embedded()?.take_changed() {
            let open = enter(core)?;
            mover.carry_again(&open, &account)?;
        }
    }

    // Most of it is on the disk before all other threads have to wait.
    mover.commit()?;
    mover.target.sync(Durability::PowerLoss).map_err(target_failed)?;
    let mut open = core.enter_alone()?;
    mover.puts_off = false;
    for account in core.embedded()?.take_changed() {
        mover.carry_again(&open, &account)?;
    }
    let position = mover.put_checkpoint(&open)?;
    finish(&mut open, mover.target, position, mover.moved)
}

/// Copies the live rows to `target`, each account as it is at one moment, and the checkpoint behind
/// them; and says its position. No other thread waits for a slow target.
pub(super) fn copy_live(core: &Core, target: Box<dyn Engine>) -> Result<(Moved, Position)> {
    // A backup holds no web session: one that is deleted later (nothing of it is in the ledger)
    // would come back with it.
    let mut mover = Mover { without_web: true, ..Mover::new(target, None) };
    if let Backend::Remote(remote) = &core.backend {
        let position = mover.carry_snapshot(core, remote)?;
        return Ok((mover.moved, position));
    }
    mover.carry_all(core)?;
    // After all accounts: no as-of that was copied lies beyond it.
    let position = mover.put_checkpoint(&enter(core)?)?;
    Ok((mover.moved, position))
}

/// Enters the store as the verbs do, unless it is being closed.
fn enter(core: &Core) -> Result<Open<'_>> {
    if core.is_closing() { Err(Error::Closed) } else { core.enter() }
}
