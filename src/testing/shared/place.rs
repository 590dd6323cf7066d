//! What is in the place, and what one step does to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Flaw;
use crate::backend::exchange::{
    Ask, Change, Changed, End, Ended, Guard, LedgerSeen, Scan, Seen, Size,
};
use crate::engine::Row;
use crate::model::position::{Opening, Position};
use crate::model::tag::{AccountTag, TaggedScope};
use crate::model::time::Millis;
use crate::rows::row_key::{self, IndexEntry};
use crate::rule::{Fence, NO_CUTOFF, Openings};

/// How far positions jump when the standby takes over: beyond all that were given out and lost.
const JUMP: u64 = 1 << 32;

/// Rows and fences.
#[derive(Clone)]
pub(super) struct Content {
    pub(super) rows: BTreeMap<Vec<u8>, Vec<u8>>,
    fences: BTreeMap<TaggedScope, Vec<Fence>>,
    floor: Option<Fence>,
    known_since: Millis,
    end: Position,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            fences: BTreeMap::new(),
            floor: None,
            known_since: Millis::EPOCH,
            end: Position::ZERO,
        }
    }
}

/// The primary, and what its standby has.
#[derive(Default)]
pub(super) struct Place {
    pub(super) now: Content,
    pub(super) flushed: Content,
    /// How often the standby took over.
    pub(super) incarnation: u64,
    pub(super) flaw: Option<Flaw>,
}

impl Place {
    pub(super) fn of(content: Content) -> Self {
        Self { flushed: content.clone(), now: content, ..Self::default() }
    }

    /// An empty one, of a store that is made at this time.
    pub(super) fn born(now: Millis) -> Self {
        Self::of(Content { known_since: now, ..Content::default() })
    }

    pub(super) fn fail_over(&mut self) {
        self.now = self.flushed.clone();
        self.incarnation += 1;
        if self.flaw != Some(Flaw::PositionsAgain) {
            self.now.end = Position::new(self.now.end.get() + JUMP);
        }
        self.flushed = self.now.clone();
    }

    pub(super) fn look(&self, ask: &Ask, now: Millis) -> Seen<'static> {
        let content = &self.now;
        let hides = self.flaw == Some(Flaw::HidesFences);
        let scopes = ask.scopes.iter().filter(|_| !hides);
        Seen {
            rows: ask.keys.iter().map(|key| content.rows.get(key).cloned()).collect(),
            scanned: ask.scans.iter().map(|scan| content.scan(scan)).collect(),
            fences: content.fences_in(scopes),
            more: None,
            ledger: LedgerSeen {
                has_begun: true,
                end: content.end,
                openings: Arc::new(Openings::of_one(
                    Position::ZERO,
                    Opening::from_bytes([1; 16]),
                    content.known_since,
                )),
                floor: content.floor,
                known_since: content.known_since,
                now,
                incarnation: self.incarnation,
            },
        }
    }

    pub(super) fn change(&mut self, change: &Change) -> Changed {
        let (scopes, seen) = &change.unless;
        let is_of_before = change.incarnation != self.incarnation || *seen > self.now.end;
        if is_of_before && self.flaw != Some(Flaw::PositionsAgain) {
            return Changed::Fenced;
        }
        let content = &mut self.now;
        let is_newer = |fence: &Fence| fence.position > *seen;
        let is_fenced = scopes
            .iter()
            .filter_map(|scope| content.fences.get(scope))
            .any(|fences| fences.iter().any(is_newer))
            || content.floor.is_some_and(|floor| is_newer(&floor));
        if is_fenced && self.flaw != Some(Flaw::BlindToFences) {
            return Changed::Fenced;
        }
        let holds = |guard: &Guard| match guard {
            Guard::Row(key, value) => content.rows.get(key) == value.as_ref(),
            Guard::NoneUnder(prefix) => content.under(prefix).next().is_none(),
        };
        if !change.guards.iter().all(holds) && self.flaw != Some(Flaw::BlindToGuards) {
            return Changed::Guard;
        }
        for (key, value) in change.rows.clone() {
            match value {
                Some(value) => drop(content.rows.insert(key, value)),
                None => drop(content.rows.remove(&key)),
            }
        }
        Changed::Done
    }

    /// Lets the fences stand, of the scopes and of these accounts.
    pub(super) fn end(
        &mut self,
        end: &End,
        accounts: Option<Vec<AccountTag>>,
        at: Millis,
    ) -> Ended {
        let content = &mut self.now;
        let mut scopes = end.scopes.clone();
        for account in accounts.iter().flatten().copied().map(TaggedScope::Account) {
            if !scopes.contains(&account) {
                scopes.push(account);
            }
        }
        let before = content.fences_in(&scopes);
        let first = content.end.next();
        for scope in &scopes {
            content.end = content.end.next();
            let fence = Fence { position: content.end, cutoff: end.cutoff, time: at };
            content.fences.entry(*scope).or_default().push(fence);
        }
        let mut holders: Vec<AccountTag> = Vec::new();
        if end.take {
            holders.extend(&end.holders);
            holders.extend(scopes.iter().flat_map(|scope| content.accounts_in(scope)));
            holders.sort_unstable();
            holders.dedup();
        }
        let rows = holders
            .iter()
            .flat_map(|account| content.scan(&Scan::all(row_key::account(account))))
            .collect();
        Ended {
            positions: (first, content.end),
            at,
            accounts,
            rows,
            holders,
            before,
            is_missed: false,
            failure: None,
        }
    }

    /// The accounts that end as a whole; `None` if they are too many.
    pub(super) fn whole(&self, end: &End) -> Option<Vec<AccountTag>> {
        let mut accounts: Vec<AccountTag> =
            end.whole.iter().flat_map(|scope| self.now.accounts_in(scope)).collect();
        accounts.sort_unstable();
        accounts.dedup();
        (end.scopes.len() + accounts.len() <= end.most).then_some(accounts)
    }

    pub(super) fn forget(&mut self, oldest: Millis) {
        let content = &mut self.now;
        let all = content.fences.values().flatten();
        let Some(last) = all.filter(|fence| fence.time < oldest).map(|fence| fence.position).max()
        else {
            return;
        };
        content.fences.values_mut().for_each(|fences| fences.retain(|one| one.position > last));
        content.fences.retain(|_, fences| !fences.is_empty());
        content.floor = Some(Fence { position: last, cutoff: NO_CUTOFF, time: oldest });
        content.known_since = content.known_since.max(oldest);
    }

    pub(super) fn size(&self) -> Size {
        let rows = self.now.rows.iter();
        Size {
            fences: self.now.fences.values().map(Vec::len).sum(),
            bytes: rows.map(|(key, value)| (key.len() + value.len()) as u64).sum(),
            ..Size::default()
        }
    }
}

impl Content {
    fn under<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)> {
        self.rows.range(prefix.to_vec()..).take_while(move |(key, _)| key.starts_with(prefix))
    }

    fn scan(&self, scan: &Scan) -> Vec<Row> {
        self.under(&scan.prefix)
            .filter(|(key, _)| scan.after.as_ref().is_none_or(|after| *key > after))
            .take(scan.limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// In order of position.
    fn fences_in<'a>(
        &self,
        scopes: impl IntoIterator<Item = &'a TaggedScope>,
    ) -> Vec<(TaggedScope, Fence)> {
        let mut found: Vec<(TaggedScope, Fence)> = Vec::new();
        for scope in scopes {
            if found.iter().all(|(one, _)| one != scope) {
                let fences = self.fences.get(scope).into_iter().flatten();
                found.extend(fences.map(|fence| (*scope, *fence)));
            }
        }
        found.sort_unstable_by_key(|(_, fence)| fence.position);
        found
    }

    /// The accounts of a scope, by the index.
    fn accounts_in(&self, scope: &TaggedScope) -> Vec<AccountTag> {
        let entry = match scope {
            TaggedScope::Account(account) => return vec![*account],
            TaggedScope::Session(tag) => IndexEntry::Session(*tag),
            TaggedScope::Subject(tag) => IndexEntry::Subject(*tag),
            TaggedScope::SignIn(_) | TaggedScope::Tenant(_) | TaggedScope::Everybody => {
                return Vec::new();
            }
        };
        self.scan(&Scan::all(entry.accounts()))
            .iter()
            .filter_map(|(key, _)| row_key::indexed_account(key))
            .collect()
    }
}
