//! What goes to and fro between an instance and a place that several share.
#![cfg_attr(
    not(all(feature = "test-util", unix, feature = "sqlite")),
    allow(dead_code, reason = "some is for places that are far, or near, alone")
)]

use crate::clock::trust::Known;
#[cfg(feature = "test-util")]
use crate::crypto::{KeySource, Keyring};
use crate::engine::{Durability, Row};
use crate::ledger::Seen as History;
use crate::model::error::Error;
#[cfg(feature = "test-util")]
use crate::model::error::Result;
use crate::model::position::Position;
use crate::model::tag::{AccountTag, LeaseTag, TaggedScope};
use crate::model::time::Millis;
use crate::platform::sync::RwLockReadGuard;
use crate::rule::{Fence, Fences, Openings};
use std::any::Any;
use std::sync::Arc;

/// Rows in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) prefix: Vec<u8>,
    /// Only those behind this key.
    pub(crate) after: Option<Vec<u8>>,
    pub(crate) limit: usize,
    /// Whether their values are wanted: else a place may leave them out.
    pub(crate) with_values: bool,
}

/// What is wanted of one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    pub(crate) keys: Vec<Vec<u8>>,
    pub(crate) scans: Vec<Scan>,
    /// The fences of these scopes.
    pub(crate) scopes: Vec<TaggedScope>,
}

/// What there was at that moment, in the order of the [`Ask`].
pub(crate) struct Seen<'p> {
    pub(crate) rows: Vec<Option<Vec<u8>>>,
    pub(crate) scanned: Vec<Vec<Row>>,
    /// All that stand in the scopes, and decide something; positions rise.
    pub(crate) fences: Vec<(TaggedScope, Fence)>,
    pub(crate) ledger: LedgerSeen,
    /// Of a place that is [near](Exchange::is_near): more of the same moment.
    pub(crate) more: Option<Box<dyn More + 'p>>,
}

/// More of one moment, question by question: of a place so near that a question costs no more than
/// it would with others. Rows are all of one moment. Fences may be of a later one: who asks finds
/// that out by [`More::end_before`].
pub(crate) trait More {
    fn get(&self, key: &[u8]) -> Answer<Option<Vec<u8>>>;

    fn scan(&self, scan: &Scan) -> Answer<Vec<Row>>;

    /// The fences, as far as the place knows them by now.
    fn fences(&self) -> RwLockReadGuard<'_, Fences>;

    /// The position of the newest sign-out.
    fn end(&self) -> Position;

    /// The same, before the moment of the rows: of what stands behind it, nobody knows whether it
    /// stood at that moment.
    fn end_before(&self) -> Position;

    /// Whether nobody changes the rows until what is planned on them is written.
    fn is_in_turn(&self) -> bool {
        false
    }

    /// Whether there are more rows of this moment than were asked for.
    fn has_rows(&self) -> bool {
        true
    }
}

/// The ledger at that moment.
#[derive(Clone, Debug)]
pub(crate) struct LedgerSeen {
    /// The position of the newest sign-out: the as-of of a sign-in that looks now.
    pub(crate) end: Position,
    /// Whether this instance knows that the newest opening is recorded for good.
    pub(crate) has_begun: bool,
    /// All openings. As-ofs of now belong to the newest.
    pub(crate) openings: Arc<Openings>,
    /// The fence of everybody that stands for those that were dropped for their age.
    pub(crate) floor: Option<Fence>,
    /// All later sign-outs are known.
    pub(crate) known_since: Millis,
    /// The place's clock, which never goes back.
    pub(crate) now: Millis,
    /// Another one after each crash of the place: what was seen and not flushed may be lost then.
    pub(crate) incarnation: u64,
}

/// What must still be so when a change is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// This row has this value; `None`: there is no such row.
    Row(Vec<u8>, Option<Vec<u8>>),
    /// No row's key begins so.
    NoneUnder(Vec<u8>),
}

/// A change of one account's rows: all of it or nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    /// The rows to put (`Some`) or delete (`None`); for one key the last counts.
    pub(crate) rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub(crate) guards: Vec<Guard>,
    /// Only if no fence newer than the position stands in these scopes, and the position is not
    /// beyond the place's end: else the place has gone back.
    pub(crate) unless: (Vec<TaggedScope>, Position),
    /// Only in this incarnation of the place: else what it was planned on may be lost.
    pub(crate) incarnation: u64,
    /// What an answer of `Done` survives; `None`: nothing need be waited for.
    pub(crate) durability: Option<Durability>,
}

/// What became of a [`Change`]. Only with `Done` was anything written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Done,
    /// A guard does not hold.
    Guard,
    /// A newer fence stands, or what it was planned on may be lost.
    Fenced,
}

/// A sign-out.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) scopes: Vec<TaggedScope>,
    /// Those of them whose accounts end as a whole. The place finds the accounts in its index, in
    /// the same step as the fences stand: no sign-in comes in between.
    pub(crate) whole: Vec<TaggedScope>,
    /// Accounts whose rows are wanted too, if any are: those of the sign-ins that end. No index
    /// finds these.
    pub(crate) holders: Vec<AccountTag>,
    /// The most scopes that may stand at once; if there are more accounts, the named scopes end.
    pub(crate) most: usize,
    pub(crate) cutoff: Millis,
    /// When it was asked for, by the instance's clock. A place with a clock takes its own.
    pub(crate) now: Millis,
    /// Whether the rows of all these accounts are wanted, as they were when the fences stood.
    pub(crate) take: bool,
}

/// What a sign-out has done. It is durable.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The positions of its first and its last record.
    pub(crate) positions: (Position, Position),
    pub(crate) at: Millis,
    /// The accounts that ended as a whole; `None` if they were too many.
    pub(crate) accounts: Option<Vec<AccountTag>>,
    /// If they are wanted: the rows of the accounts that have sign-ins in the scopes.
    pub(crate) rows: Vec<Row>,
    pub(crate) holders: Vec<AccountTag>,
    /// The rows could not be read: they are missing here.
    pub(crate) is_missed: bool,
    /// Why the accounts could not be looked up, if they were not too many.
    pub(crate) failure: Option<Error>,
    /// What stood in the scopes before.
    pub(crate) before: Vec<(TaggedScope, Fence)>,
}

/// Figures of the place.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    pub(crate) fences: usize,
    pub(crate) bytes: u64,
    /// Of the ledger, if that is a file of this machine.
    pub(crate) ledger_bytes: u64,
    pub(crate) free_slots: u64,
    pub(crate) groups: u64,
}

/// Why an exchange brought no answer. None of these says anything about the next one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// There is no space: nothing was done.
    #[error("no space left")]
    Full,
    /// The place was not reached: nothing was done.
    #[error("it was not reached")]
    NotSent,
    /// It was sent, and no answer came: it was done, or will be, or not.
    #[error("no answer came")]
    Unknown,
    /// The place is on this machine, and can say what is wrong.
    #[error(transparent)]
    Here(Box<Error>),
}

/// What an exchange brought.
pub(crate) type Answer<T> = std::result::Result<T, ExchangeError>;

/// A place that several instances share: it holds sealed rows and fences, and decides nothing.
///
/// Each call is one exchange. Its answer is of one moment; a `change` or an `end` is seen by all
/// instances at once, as a whole or not at all. Positions have no gaps within an incarnation of the
/// place and become visible in their order; a position that was ever seen is below every later
/// one, also after a crash of the place.
///
/// Calls block. The verbs of async apps run them off the runtime.
pub(crate) trait Exchange: Send + Sync {
    /// Reads.
    fn look(&self, ask: &Ask) -> Answer<Seen<'static>>;

    /// As a look without fences, where that takes no more than a few rows; `None` if it may take
    /// more.
    fn glance(&self, _: &Ask) -> Answer<Option<Seen<'static>>> {
        Ok(None)
    }

    /// Changes one account's rows, if the guards hold.
    fn change(&self, change: &Change) -> Answer<Changed>;

    /// As a look and the change that is planned on it, with nobody else's change in between: so its
    /// guards are not asked. `None` if there is none to make; or if the place is not
    /// [near](Exchange::is_near), where nobody waits for another's plan.
    ///
    /// A plan does not wait for the place.
    fn change_in_turn(
        &self,
        _: &mut dyn FnMut(Seen<'_>) -> Option<Change>,
    ) -> Answer<Option<Changed>> {
        Ok(None)
    }

    /// Lets the fences of a sign-out stand, and returns when they are durable.
    fn end(&self, end: &End) -> Answer<Ended>;

    /// Makes all durable that was seen in this incarnation; `false` if the place has crashed since.
    fn flush(&self, incarnation: u64) -> Answer<bool>;

    /// Drops the fences of before this time; the floor stands for them. Says whether it was worth it.
    fn forget(&self, oldest: Millis) -> Answer<bool>;

    /// Figures.
    fn size(&self) -> Answer<Size>;

    /// Whether rows cannot be read or written until the store is opened anew.
    fn is_failed(&self) -> bool {
        false
    }

    /// Whether a look gives [more](Seen::more): then a plan asks as it goes.
    fn is_near(&self) -> bool {
        false
    }

    /// Records an opening before the first as-of is taken, where positions that were seen can be
    /// given out again behind a crash. Says whether it has.
    fn begin(&self, _: Millis) -> Answer<bool> {
        Ok(false)
    }

    /// Keeps what is known of the time, for later instances; where the place has no clock.
    fn leave_known(&self, _: &Known) -> Answer<()> {
        Ok(())
    }

    /// The latest time up to this one that its sign-outs tell of; where the place has no clock.
    fn latest_time(&self, _: Millis) -> Option<Millis> {
        None
    }

    /// The sign-outs of the scopes that are wanted.
    fn history(&self, _: &dyn Fn(&TaggedScope) -> bool) -> Answer<History> {
        Err(ExchangeError::Here(Box::new(Error::invalid(
            "store",
            "its place has means of its own for this",
        ))))
    }

    /// What operators ask for; `None` where the place is no folder of this machine.
    #[cfg(all(unix, feature = "sqlite"))]
    fn operate(&self) -> Option<&dyn super::operate::Operate> {
        None
    }

    /// The lease of this name, if no other instance has it. An instance asks for one that it has not
    /// got itself.
    fn lease(&self, name: &LeaseTag) -> Answer<Option<Lease>>;

    /// Reads the ledger again, and compares. Gives how many sign-outs decide something.
    fn check_ledger(&self) -> Answer<Option<u64>> {
        Ok(None)
    }
}

/// What one instance has at a time, until this is dropped or its process ends, however it ends.
pub(crate) struct Lease {
    _held: Option<Box<dyn Any + Send + Sync>>,
}

impl Lease {
    /// One that ends with what it holds.
    pub(crate) fn new(held: impl Any + Send + Sync) -> Self {
        Self { _held: Some(Box::new(held)) }
    }

    /// Where there is but one instance.
    pub(crate) fn of_the_only_one() -> Self {
        Self { _held: None }
    }
}

/// Where a place that instances share is found.
#[cfg(feature = "test-util")]
pub(crate) trait SharedPlace: Send + Sync {
    /// Joins the store there, or makes it at this time: the first instance makes its keys.
    ///
    /// # Errors
    /// As opening a store.
    fn join(&self, key: &KeySource, now: Millis) -> Result<(Keyring, Box<dyn Exchange>)>;

    /// The folder of a place that is real.
    #[cfg(all(unix, feature = "sqlite"))]
    fn folder(&self) -> Option<std::path::PathBuf> {
        None
    }
}

impl Scan {
    /// All rows whose keys begin so.
    pub(crate) fn all(prefix: Vec<u8>) -> Self {
        Self { prefix, after: None, limit: usize::MAX, with_values: true }
    }
}

impl Ask {
    pub(crate) fn key(mut self, key: Vec<u8>) -> Self {
        self.keys.push(key);
        self
    }

    /// All rows whose keys begin so.
    pub(crate) fn all(mut self, prefix: Vec<u8>) -> Self {
        self.scans.push(Scan::all(prefix));
        self
    }

    pub(crate) fn fences(mut self, scopes: impl IntoIterator<Item = TaggedScope>) -> Self {
        self.scopes.extend(scopes);
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.scans.is_empty() && self.scopes.is_empty()
    }

    /// This, and what else `more` asks.
    pub(crate) fn add(&mut self, more: Self) {
        self.keys.extend(more.keys);
        self.scans.extend(more.scans);
        self.scopes.extend(more.scopes);
    }
}
