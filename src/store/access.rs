//! What a verb sees of the store: rows, fences, the ledger's end.

use crate::backend::embedded::gate::Entered;
use crate::backend::exchange::{LedgerSeen, Scan};
use crate::backend::remote::patiently;
use crate::backend::{Ask, Backend, Embedded, Lock, Remote, Sight, Tried};
use crate::engine::{Batch, Durability, Row};
use crate::model::error::{Component, Error, Result};
use crate::model::position::{Opening, Position};
use crate::model::tag::{AccountTag, TaggedScope};
use crate::model::time::Millis;
use crate::rows::cipher::Rows;
use crate::rule::Fences;
use crate::store::core::Core;

/// A verb's way to what is stored.
pub(crate) struct Open<'a> {
    pub(crate) core: &'a Core,
    view: View<'a>,
}

enum View<'a> {
    /// Reads the engine and the ledger of this process as it goes.
    Embedded(Entered<'a>),
    /// Has what an exchange has brought of one moment.
    Seen(&'a Remote, &'a Sight<'a>),
    /// Asks a place that is elsewhere, question by question: for what need not be of one moment.
    Asking(&'a Remote),
}

impl Core {
    /// Begins a verb whose reads need not be of one moment.
    ///
    /// # Errors
    /// `Closed`, `Forked`, `Poisoned`.
    pub(crate) fn enter(&self) -> Result<Open<'_>> {
        self.open(Embedded::enter)
    }

    /// As [`Core::enter`], for a verb that needs the ledger, and does without rows if they cannot
    /// be read.
    ///
    /// # Errors
    /// `Closed`, `Forked`, `Poisoned`.
    pub(crate) fn enter_ledger(&self) -> Result<Open<'_>> {
        self.open(Embedded::enter_ledger)
    }

    /// Takes exclusive access to an embedded store: see [`Embedded::enter_alone`].
    ///
    /// # Errors
    /// `Closed`, `Forked`, `Poisoned`; `InvalidInput` for a shared store.
    pub(crate) fn enter_alone(&self) -> Result<Open<'_>> {
        let view = View::Embedded(self.embedded()?.enter_alone()?);
        Ok(Open { core: self, view })
    }

    /// As [`Core::enter`], but neither entering nor a later read waits: for threads that may not
    /// block. `None` if it would have to. After its last read, the reader must check
    /// [`Open::gave_up`].
    ///
    /// # Errors
    /// `Closed`, `Forked`, `Poisoned`.
    #[cfg(feature = "tokio")]
    fn try_enter(&self) -> Result<Option<Open<'_>>> {
        match &self.backend {
            Backend::Embedded(embedded) => Ok(embedded
                .try_enter()?
                .map(|entered| Open { core: self, view: View::Embedded(entered) })),
            Backend::Remote(_) => Ok(None),
        }
    }

    fn open<'a>(
        &'a self,
        enter: impl FnOnce(&'a Embedded) -> Result<Entered<'a>>,
    ) -> Result<Open<'a>> {
        let view = match &self.backend {
            Backend::Embedded(embedded) => View::Embedded(enter(embedded)?),
            Backend::Remote(remote) => {
                self.enter_remote(remote)?;
                View::Asking(remote)
            }
        };
        Ok(Open { core: self, view })
    }

    pub(super) fn enter_remote(&self, remote: &Remote) -> Result<()> {
        if self.is_forked() { Err(Error::Forked) } else { remote.enter() }
    }

    pub(crate) fn seen<'a>(&'a self, remote: &'a Remote, sight: &'a Sight<'a>) -> Open<'a> {
        Open { core: self, view: View::Seen(remote, sight) }
    }

    /// Whether nobody else is at work with the account, as far as this can tell.
    pub(crate) fn is_idle(&self, account: &AccountTag) -> bool {
        match &self.backend {
            Backend::Embedded(embedded) => embedded.try_lock_account(account).is_some(),
            Backend::Remote(_) => true,
        }
    }

    /// As [`Open::end`].
    ///
    /// # Errors
    /// `Io` if a shared place is not reached.
    pub(crate) fn end(&self) -> Result<Position> {
        match &self.backend {
            Backend::Embedded(embedded) => Ok(embedded.ledger.synced()),
            Backend::Remote(remote) => Ok(remote.look(Ask::default())?.ledger.end),
        }
    }
}

impl<'a> Open<'a> {
    /// The engine and ledger of this process.
    ///
    /// # Errors
    /// `InvalidInput` for a shared store.
    pub(crate) fn entered(&self) -> Result<&Entered<'a>> {
        match &self.view {
            View::Embedded(entered) => Ok(entered),
            View::Seen(..) | View::Asking(_) => Err(not_embedded()),
        }
    }

    /// As [`Open::entered`], for a caller that is [alone](Core::enter_alone).
    ///
    /// # Errors
    /// `InvalidInput` for a shared store.
    pub(crate) fn entered_mut(&mut self) -> Result<&mut Entered<'a>> {
        match &mut self.view {
            View::Embedded(entered) => Ok(entered),
            View::Seen(..) | View::Asking(_) => Err(not_embedded()),
        }
    }

    /// Seals and opens the rows.
    ///
    /// # Errors
    /// `Closed`, which never happens: a verb that has entered keeps the store open.
    pub(crate) fn rows(&self) -> Result<&Rows> {
        match &self.view {
            View::Embedded(entered) => entered.rows(),
            View::Seen(remote, _) | View::Asking(remote) => Ok(&remote.rows),
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match &self.view {
            View::Embedded(entered) => entered.get(key),
            View::Seen(_, sight) => Ok(sight.get(key)),
            View::Asking(remote) => Ok(remote.look(Ask::default().key(key.to_vec()))?.get(key)),
        }
    }

    pub(crate) fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>> {
        self.scan_how(prefix, after, limit, true)
    }

    /// As [`Open::scan`], for keys alone: there may be no values with them.
    pub(crate) fn scan_keys(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>> {
        self.scan_how(prefix, after, limit, false)
    }

    fn scan_how(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
        with_values: bool,
    ) -> Result<Vec<Row>> {
        let wanted = || {
            let (prefix, after) = (prefix.to_vec(), after.map(<[u8]>::to_vec));
            Scan { prefix, after, limit, with_values }
        };
        match &self.view {
            View::Embedded(entered) => entered.scan(prefix, after, limit),
            View::Seen(_, sight) => Ok(sight.scan(&wanted())),
            View::Asking(remote) => {
                let wanted = wanted();
                let sight = remote.look(Ask { scans: vec![wanted.clone()], ..Ask::default() })?;
                Ok(sight.scan(&wanted))
            }
        }
    }

    /// Calls `each` with every row whose key begins with `prefix`, slice by slice, until it returns
    /// `false`.
    pub(crate) fn for_each_row(
        &self,
        prefix: &[u8],
        mut each: impl FnMut(Row) -> Result<bool>,
    ) -> Result<()> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let slice = self.scan(prefix, after.as_deref(), 256)?;
            let Some((last, _)) = slice.last() else { return Ok(()) };
            after = Some(last.clone());
            for row in slice {
                if !each(row)? {
                    return Ok(());
                }
            }
        }
    }

    /// Asks the rule a question about these scopes.
    pub(crate) fn rule<T>(
        &self,
        scopes: impl IntoIterator<Item = TaggedScope>,
        ask: impl FnOnce(&Fences) -> T,
    ) -> Result<T> {
        match &self.view {
            View::Embedded(entered) => Ok(ask(&entered.embedded.ledger.fences())),
            View::Seen(_, sight) => Ok(sight.rule(scopes, ask)),
            View::Asking(remote) => {
                let sight = remote.look(Ask::default().fences(scopes))?;
                Ok(sight.rule([], ask))
            }
        }
    }

    /// The as-of of a sign-in that begins now: the position of the newest sign-out that is durable;
    /// of a shared place, of the newest that can be seen.
    pub(crate) fn end(&self) -> Result<Position> {
        Ok(match &self.view {
            View::Embedded(entered) => entered.embedded.ledger.synced(),
            View::Seen(_, sight) => sight.end(),
            View::Asking(remote) => remote.look(Ask::default())?.ledger.end,
        })
    }

    /// The opening that as-ofs of now belong to.
    pub(crate) fn opening(&self) -> Result<Opening> {
        Ok(match &self.view {
            View::Embedded(entered) => entered.embedded.ledger.opening(),
            View::Seen(_, sight) => newest_opening(&sight.ledger)?,
            View::Asking(remote) => newest_opening(&remote.look(Ask::default())?.ledger)?,
        })
    }

    /// The time of what is stored now: never later than this process's clock.
    pub(crate) fn now(&self) -> Result<Millis> {
        let own = self.core.clock.now();
        Ok(match &self.view {
            View::Embedded(_) => own,
            View::Seen(_, sight) => own.min(sight.ledger.now),
            View::Asking(remote) => own.min(remote.look(Ask::default())?.ledger.now),
        })
    }

    /// The position up to which sign-outs were dropped for their age, and since when all are known.
    pub(crate) fn horizon(&self) -> Result<(Position, Millis)> {
        let of = |sight: &Sight<'_>| {
            let floor = sight.ledger.floor.map_or(Position::ZERO, |floor| floor.position);
            (floor, sight.ledger.known_since)
        };
        Ok(match &self.view {
            View::Embedded(entered) => entered.embedded.ledger.horizon(),
            View::Seen(_, sight) => of(sight),
            View::Asking(remote) => of(&remote.look(Ask::default())?),
        })
    }

    /// Returns when the sign-out at this position is durable.
    pub(crate) fn wait(&self, position: Position) -> Result<()> {
        match &self.view {
            View::Embedded(entered) => entered.embedded.ledger.wait(position),
            View::Seen(..) | View::Asking(_) => self.settle(),
        }
    }

    /// Returns when an as-of of now is newer than the sign-out at this position, which can be seen.
    pub(crate) fn wait_for_as_of(&self, position: Position) -> Result<()> {
        match &self.view {
            View::Embedded(entered) => entered.embedded.ledger.wait(position),
            // What is written behind it comes later in the same log.
            View::Seen(..) | View::Asking(_) => Ok(()),
        }
    }

    /// Returns when every sign-out that can be seen is durable: before a caller is told that there
    /// is nothing left to do.
    pub(crate) fn settle(&self) -> Result<()> {
        match &self.view {
            View::Embedded(entered) => entered.embedded.ledger.settle(),
            View::Seen(remote, sight) => remote.settle(sight),
            View::Asking(remote) => remote.flush(),
        }
    }

    /// As [`Open::settle`], where rows can be seen to go before that is durable. (In this process they
    /// go behind what is.)
    pub(crate) fn settle_elsewhere(&self) -> Result<()> {
        match &self.view {
            View::Embedded(_) => Ok(()),
            View::Seen(..) | View::Asking(_) => self.settle(),
        }
    }

    /// Records this opening in the ledger, before its first as-of is taken.
    pub(crate) fn begin_opening(&self) -> Result<()> {
        match &self.view {
            View::Embedded(entered) => entered.embedded.ledger.begin(self.core.clock.now()),
            View::Seen(remote, sight) => remote.begin(self.core.clock.now(), Some(sight)),
            View::Asking(remote) => remote.begin(self.core.clock.now(), None),
        }
    }

    /// Whether what is read is of one moment.
    pub(crate) fn is_of_one_moment(&self) -> bool {
        matches!(self.view, View::Seen(..))
    }

    /// Whether what is read stays as it is until what is planned on it is written.
    pub(crate) fn is_in_turn(&self) -> bool {
        matches!(self.view, View::Seen(_, sight) if sight.is_in_turn())
    }

    /// What became of earlier tries of what is planned: they may have been written.
    pub(crate) fn tried(&self) -> Tried {
        if let View::Seen(_, sight) = self.view { sight.tried } else { Tried::Never }
    }

    /// Whether the plan will be run again, as it has asked for what has not been seen yet.
    pub(crate) fn lacks_something(&self) -> bool {
        matches!(self.view, View::Seen(_, sight) if sight.lacks_something())
    }

    /// By which time a row may be deleted for its age.
    pub(crate) fn time_for_deletion(&self) -> Result<Millis> {
        let own = self.core.clock.for_deletion();
        Ok(match &self.view {
            View::Embedded(_) => own,
            // One instance's clock decides for nobody else.
            View::Seen(_, sight) => own.min(sight.ledger.now),
            View::Asking(remote) => own.min(remote.look(Ask::default())?.ledger.now),
        })
    }

    /// The account's lock, where reads are not of one moment. `None` if it is held and the caller
    /// may not wait: then the result of the read must be thrown away.
    pub(crate) fn lock_account(&self, account: &AccountTag) -> Option<Option<Lock<'_>>> {
        match &self.view {
            View::Embedded(entered) => entered.lock_account(account).map(Some),
            View::Seen(..) | View::Asking(_) => Some(None),
        }
    }

    /// Whether a read was abandoned because it would have blocked on a lock.
    #[cfg(feature = "tokio")]
    fn gave_up(&self) -> bool {
        matches!(&self.view, View::Embedded(entered) if entered.gave_up())
    }

    /// Stores what is known of the time, for later openings; only if it is due again.
    pub(crate) fn leave_known(&self) -> Result<()> {
        let Some(known) = self.core.clock.known_anew() else { return Ok(()) };
        match &self.view {
            View::Embedded(entered) => entered.put_known(&known)?,
            View::Seen(remote, _) | View::Asking(remote) => {
                patiently(|| remote.with(|place| place.leave_known(&known)))?;
            }
        }
        self.core.clock.is_left(&known);
        Ok(())
    }

    /// The bytes that the rows take.
    pub(crate) fn size(&self) -> Result<u64> {
        match &self.view {
            View::Embedded(entered) => entered.size(),
            View::Seen(remote, _) | View::Asking(remote) => {
                Ok(patiently(|| remote.with(|place| place.size()))?.bytes)
            }
        }
    }
}

fn newest_opening(ledger: &LedgerSeen) -> Result<Opening> {
    ledger
        .openings
        .newest()
        .ok_or_else(|| Error::damaged(Component::Ledger, "it does not say that it was ever opened"))
}

/// Writes the checkpoint if the ledger has moved on, and makes what was deleted durable.
pub(crate) fn checkpoint(open: &Open<'_>) -> Result<()> {
    open.leave_known()?;
    let View::Embedded(entered) = &open.view else { return open.settle() };
    entered.commit_with_checkpoint(&AccountTag::NONE, Batch::default())?;
    entered.sync(Durability::PowerLoss)
}

/// Runs a read on this thread if it need not block; `None` if it would have to.
#[cfg(feature = "tokio")]
pub(crate) fn attempt<T>(
    core: &Core,
    read: impl FnOnce(&Open<'_>) -> Result<T>,
) -> Option<Result<T>> {
    let open = match core.try_enter() {
        Ok(open) => open?,
        Err(error) => return Some(Err(error)),
    };
    let result = read(&open);
    (!open.gave_up()).then_some(result)
}

/// What only a store in one process can do.
pub(crate) fn not_embedded() -> Error {
    Error::invalid("store", "it is shared: its place has means of its own for this")
}
