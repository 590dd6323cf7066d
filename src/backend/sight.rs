//! What one exchange has brought, and what a plan asks of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::Tried;
use super::exchange::{Answer, Ask, LedgerSeen, More, Scan, Seen};
use super::remote::error_of;
use crate::engine::Row;
use crate::model::error::{Error, Result};
use crate::model::position::Position;
use crate::model::tag::TaggedScope;
use crate::rule::Fences;

/// What one exchange has brought. A plan that asks for more gets nothing, and is run again with it.
pub(crate) struct Sight<'p> {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    asked: Ask,
    fences: Fences,
    pub(crate) ledger: LedgerSeen,
    pub(crate) tried: Tried,
    missing: RefCell<Ask>,
    is_stale: Cell<bool>,
    more: Option<Box<dyn More + 'p>>,
    /// What it has brought, or why it has not.
    brought: RefCell<Brought>,
    failure: RefCell<Option<Error>>,
}

/// The rows that were asked for.
type Brought = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

impl<'p> Sight<'p> {
    pub(super) fn new(asked: Ask, seen: Seen<'p>) -> Self {
        let Seen { rows, scanned, fences: stand, ledger, more } = seen;
        let mut all = BTreeMap::new();
        all.extend(scanned.into_iter().flatten());
        all.extend(asked.keys.iter().cloned().zip(rows).filter_map(|(key, row)| Some((key, row?))));
        let mut fences = Fences::of_few_beside(ledger.openings.clone());
        stand.into_iter().for_each(|(scope, fence)| fences.stand(scope, fence));
        if let Some(floor) = ledger.floor {
            fences.stand_for_dropped(floor);
        }
        Self {
            rows: all,
            asked,
            fences,
            ledger,
            tried: Tried::Never,
            missing: RefCell::default(),
            is_stale: Cell::new(false),
            more,
            brought: RefCell::default(),
            failure: RefCell::default(),
        }
    }

    /// The scopes that were asked about.
    pub(super) fn scopes(&self) -> Vec<TaggedScope> {
        let mut scopes = self.asked.scopes.clone();
        if self.more.is_some() {
            scopes.extend(&self.missing.borrow().scopes);
        }
        scopes
    }

    /// What the place answers, which has more of this moment.
    fn ask<T: Default>(&self, more: &dyn More, ask: impl FnOnce(&dyn More) -> Answer<T>) -> T {
        ask(more).unwrap_or_else(|error| {
            self.failure.borrow_mut().get_or_insert(error_of(error));
            T::default()
        })
    }

    /// The same, with rows of an earlier moment.
    pub(crate) fn with_rows(mut self, prefixes: Vec<Vec<u8>>, rows: &[Row]) -> Self {
        self.rows.extend(rows.iter().cloned());
        self.asked.scans.extend(prefixes.into_iter().map(Scan::all));
        self
    }

    /// The same, behind earlier tries.
    pub(super) fn behind(self, tried: Tried) -> Self {
        Self { tried, ..self }
    }

    /// Has what comes of it thrown away, and planned once more.
    pub(super) fn is_stale_if(&self, is_so: bool) {
        self.is_stale.set(self.is_stale.get() || is_so);
    }

    pub(super) fn is_stale(&self) -> bool {
        self.is_stale.get()
    }

    /// Why something could not be read, once.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.failure.borrow_mut().take()
    }

    /// Whether nothing changes until what is planned on it is written.
    pub(crate) fn is_in_turn(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.is_in_turn())
    }

    /// Whether it gives more of its moment.
    pub(crate) fn is_near(&self) -> bool {
        self.more.is_some()
    }

    /// Forgets what it has brought so far: of a read of the whole place that would be all of it.
    ///
    /// # Errors
    /// Why something could not be read.
    pub(crate) fn let_go(&self) -> Result<()> {
        self.brought.borrow_mut().clear();
        *self.missing.borrow_mut() = Ask::default();
        self.take_failure().map_or(Ok(()), Err)
    }

    /// What was asked for, and whether the plan has asked for more, which is added to it.
    pub(crate) fn asks_for_more(self) -> (Ask, bool) {
        let is_more = self.lacks_something();
        let (mut ask, missing) = (self.asked, self.missing.into_inner());
        ask.add(missing);
        (ask, is_more)
    }

    /// Whether the plan has asked for what is not here: what comes of it will be thrown away.
    pub(crate) fn lacks_something(&self) -> bool {
        let missing = self.missing.borrow();
        match &self.more {
            None => !missing.is_empty(),
            Some(more) => !(more.has_rows() || missing.keys.is_empty() && missing.scans.is_empty()),
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let is_here = self.asked.keys.iter().any(|one| one == key) || self.has_all_under(key);
        match &self.more {
            Some(more) if !is_here && more.has_rows() => {
                let mut brought = self.brought.borrow_mut();
                if let Some(value) = brought.get(key) {
                    return value.clone();
                }
                let value = self.ask(&**more, |more| more.get(key));
                brought.insert(key.to_vec(), value.clone());
                value
            }
            _ => {
                if !is_here {
                    self.missing.borrow_mut().keys.push(key.to_vec());
                }
                self.rows.get(key).cloned()
            }
        }
    }

    pub(crate) fn scan(&self, wanted: &Scan) -> Vec<Row> {
        let Scan { prefix, after, limit, .. } = wanted;
        let is_here = self.has_all_under(prefix);
        match &self.more {
            Some(more) if !is_here && more.has_rows() && !self.asked.scans.contains(wanted) => {
                return self.ask(&**more, |more| more.scan(wanted));
            }
            _ if !is_here && !self.asked.scans.contains(wanted) => {
                let mut missing = self.missing.borrow_mut();
                missing.scans.push(Scan::all(prefix.clone()));
            }
            _ => {}
        }
        let from = after.as_ref().unwrap_or(prefix).clone();
        self.rows
            .range(from..)
            .filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(*limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Asks the rule a question about these scopes.
    pub(crate) fn rule<T>(
        &self,
        scopes: impl IntoIterator<Item = TaggedScope>,
        ask: impl FnOnce(&Fences) -> T,
    ) -> T {
        let scopes: Vec<_> = scopes.into_iter().collect();
        let unseen = scopes.iter().filter(|scope| !self.asked.scopes.contains(scope));
        let mut missing = self.missing.borrow_mut();
        let Some(more) = &self.more else {
            missing.scopes.extend(unseen);
            drop(missing);
            return ask(&self.fences);
        };
        // All answers are as of the moment of the rows: else a sign-out that comes between two of
        // them would be seen to end a part of what it ends, or one that came behind a sign-in
        // without that sign-in.
        let fences = more.fences();
        missing.scopes.extend(unseen);
        // (An earlier look may have asked for these scopes. Its answer is not of this moment.)
        let end = more.end_before();
        let is_newer = |scope| fences.last(scope).is_some_and(|fence| fence.position > end);
        let is_late = more.end() > end && scopes.iter().copied().any(is_newer);
        self.is_stale_if(is_late);
        drop(missing);
        ask(&fences)
    }

    /// The position of the newest sign-out.
    pub(crate) fn end(&self) -> Position {
        self.more.as_ref().map_or(self.ledger.end, |more| more.end())
    }

    /// Whether every row is there whose key begins so.
    fn has_all_under(&self, prefix: &[u8]) -> bool {
        let is_whole = |scan: &Scan| scan.after.is_none() && scan.limit == usize::MAX;
        self.asked.scans.iter().any(|scan| is_whole(scan) && prefix.starts_with(&scan.prefix))
    }
}
