//! Where fences stand, by scope, packed: there are as many as sign-outs in the last 90 days.
//!
//! Nearly every scope has one fence, which takes 48 bytes, and five or ten more of an index. The
//! few that have several have them beside. The table is in shards: none grows, or is gone through,
//! for so long that a sign-out would notice.

use std::collections::HashMap;

use hashbrown::HashTable;

use super::Fence;
use super::frontier::{Frontier, View};
use crate::model::position::Position;
use crate::model::tag::{TAG_LEN, TaggedScope};

/// How many shards there are.
pub(crate) const SHARDS: usize = if cfg!(oubliette_shuttle) { 2 } else { 256 };

/// What stands, by scope.
pub(super) struct Table(Vec<Shard>);

#[derive(Default)]
struct Shard {
    /// Where in `entries` a scope is.
    index: HashTable<u32>,
    entries: Vec<Entry>,
    /// The fences of the scopes for which one fence does not say all.
    several: HashMap<TaggedScope, Frontier>,
}

struct Entry {
    scope: TaggedScope,
    /// The newest of its scope.
    fence: Fence,
    /// Whether there are more, beside.
    is_several: bool,
}

/// Where a fence was when it was looked for. It may have moved since, or be hidden.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) position: Position,
    shard: u32,
    entry: u32,
}

impl Default for Table {
    fn default() -> Self {
        Self(std::iter::repeat_with(Shard::default).take(SHARDS).collect())
    }
}

impl Table {
    /// For a handful of fences.
    pub(super) fn of_few() -> Self {
        Self(vec![Shard::default()])
    }

    /// Makes a fence stand. Positions are given in rising order.
    pub(super) fn stand(&mut self, scope: TaggedScope, fence: Fence) {
        let shard = shard_of(&scope, self.0.len());
        if let Some(shard) = self.0.get_mut(shard) {
            shard.stand(scope, fence);
        }
    }

    /// What stands in this scope.
    pub(super) fn view(&self, scope: &TaggedScope) -> View<'_> {
        self.0
            .get(shard_of(scope, self.0.len()))
            .and_then(|shard| shard.view(scope))
            .unwrap_or_default()
    }

    /// The scopes of a shard, and what stands in them.
    pub(super) fn of_shard(&self, shard: usize) -> impl Iterator<Item = (&TaggedScope, View<'_>)> {
        self.0.get(shard).into_iter().flat_map(|shard| {
            shard.entries.iter().map(|entry| (&entry.scope, shard.view_of(entry)))
        })
    }

    /// Where the fences of a shard are.
    pub(super) fn places(&self, shard: usize) -> impl Iterator<Item = Place> {
        let at = u32::try_from(shard).unwrap_or(u32::MAX);
        (0u32..).zip(self.of_shard(shard)).flat_map(move |(entry, (_, view))| {
            view.all().map(move |fence| Place { position: fence.position, shard: at, entry })
        })
    }

    /// The fence that is there, if it is the same one still.
    pub(super) fn at(&self, place: Place) -> Option<(TaggedScope, Fence)> {
        let shard = self.0.get(place.shard as usize)?;
        let entry = shard.entries.get(place.entry as usize)?;
        let fence = shard.view_of(entry).all().find(|fence| fence.position == place.position)?;
        Some((entry.scope, fence))
    }

    /// Forgets the fences of a shard up to this position.
    pub(super) fn forget(&mut self, shard: usize, floor: Position) {
        if let Some(shard) = self.0.get_mut(shard) {
            shard.forget(floor);
        }
    }

    /// How many fences stand.
    pub(super) fn len(&self) -> usize {
        let several = |shard: &Shard| {
            shard.several.values().map(|frontier| frontier.view().fences.len() - 1).sum::<usize>()
        };
        self.0.iter().map(|shard| shard.entries.len() + several(shard)).sum()
    }
}

impl Shard {
    fn stand(&mut self, scope: TaggedScope, fence: Fence) {
        let hash = hash_of(&scope);
        let Self { index, entries, several } = self;
        let found = index
            .find(hash, |at| entries.get(*at as usize).is_some_and(|entry| entry.scope == scope))
            .copied();
        let Some(entry) = found.and_then(|at| entries.get_mut(at as usize)) else {
            if entries.len() == entries.capacity() {
                // It grows by an eighth, not twofold: this is most of what a ledger takes in
                // memory.
                entries.reserve_exact(entries.len() / 8 + 4);
            }
            // A shard of 2^32 fences would be 200 GB; a ledger has at most 2^32 kept records.
            let at = u32::try_from(entries.len()).unwrap_or(u32::MAX);
            entries.push(Entry { scope, fence, is_several: false });
            index.insert_unique(hash, at, |at| {
                entries.get(*at as usize).map_or(0, |entry| hash_of(&entry.scope))
            });
            return;
        };
        let mut frontier = several.remove(&scope).unwrap_or_else(|| Frontier::of(entry.fence));
        frontier.add(fence);
        (entry.fence, entry.is_several) = (fence, frontier.single().is_none());
        if entry.is_several {
            several.insert(scope, frontier);
        }
    }

    fn view(&self, scope: &TaggedScope) -> Option<View<'_>> {
        let is_it =
            |at: &u32| self.entries.get(*at as usize).is_some_and(|entry| entry.scope == *scope);
        let at = self.index.find(hash_of(scope), is_it)?;
        self.entries.get(*at as usize).map(|entry| self.view_of(entry))
    }

    fn view_of<'a>(&'a self, entry: &'a Entry) -> View<'a> {
        let several = if entry.is_several { self.several.get(&entry.scope) } else { None };
        several.map_or_else(|| View::single(&entry.fence), Frontier::view)
    }

    fn forget(&mut self, floor: Position) {
        let before = self.entries.len();
        let several = std::mem::take(&mut self.several);
        self.several = several
            .into_iter()
            .filter_map(|(scope, frontier)| Some((scope, frontier.above(floor)?)))
            .collect();
        let Self { index, entries, several } = &mut *self;
        several.retain(|scope, frontier| {
            let Some(only) = frontier.single() else { return true };
            let at = index
                .find(hash_of(scope), |at| {
                    entries.get(*at as usize).is_some_and(|entry| entry.scope == *scope)
                })
                .copied();
            if let Some(entry) = at.and_then(|at| entries.get_mut(at as usize)) {
                (entry.fence, entry.is_several) = (only, false);
            }
            false
        });
        // (The newest of a scope is at or below the floor only if all are.)
        self.entries.retain(|entry| entry.fence.position > floor);
        if self.entries.len() < before {
            self.entries.shrink_to(self.entries.len() + self.entries.len() / 8);
            self.index = HashTable::with_capacity(self.entries.len());
            for (at, entry) in (0u32..).zip(&self.entries) {
                let hasher = |at: &u32| {
                    self.entries.get(*at as usize).map_or(0, |entry| hash_of(&entry.scope))
                };
                self.index.insert_unique(hash_of(&entry.scope), at, hasher);
            }
        }
    }
}

fn parts(scope: &TaggedScope) -> (u8, &[u8; TAG_LEN]) {
    match scope {
        TaggedScope::Everybody => (0, &[0; TAG_LEN]),
        TaggedScope::Tenant(tag) => (1, tag.as_bytes()),
        TaggedScope::Account(tag) => (2, tag.as_bytes()),
        TaggedScope::Session(tag) => (3, tag.as_bytes()),
        TaggedScope::Subject(tag) => (4, tag.as_bytes()),
        TaggedScope::SignIn(tag) => (5, tag.as_bytes()),
    }
}

fn shard_of(scope: &TaggedScope, shards: usize) -> usize {
    // Tags are keyed hashes: any byte of them spreads evenly.
    usize::from(parts(scope).1[0]) % shards.max(1)
}

/// Where a scope is in its shard's index. Tags are keyed hashes, so an attacker cannot choose where
/// they collide.
fn hash_of(scope: &TaggedScope) -> u64 {
    let (kind, tag) = parts(scope);
    let [_, _, _, _, _, _, _, _, rest @ ..] = *tag;
    u64::from_be_bytes(rest) ^ u64::from(kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tag::AccountTag;
    use crate::model::time::Millis;
    use crate::rule::NO_CUTOFF;

    fn scope(number: u16) -> TaggedScope {
        let mut tag = [0; 16];
        tag[0] = (number % 3) as u8;
        tag[14..].copy_from_slice(&number.to_be_bytes());
        TaggedScope::Account(AccountTag::from_bytes(tag))
    }

    /// Beside a plain map of frontiers, with cutoffs that leave several, and floors that take some
    /// or all of them.
    #[test]
    fn it_says_what_a_map_of_lists_says() {
        let mut random = 7u64;
        let mut next = move |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let (mut table, mut map) = (Table::default(), HashMap::<TaggedScope, Frontier>::new());
        let (mut most, mut fewest) = (0, usize::MAX);
        for position in 1..6000 {
            let of = scope(next(120) as u16);
            let time = Millis::new(1000 + next(50));
            let cutoff =
                if next(3) == 0 { NO_CUTOFF } else { Millis::new(time.get() - 20 + next(40)) };
            let fence = Fence { position: Position::new(position), cutoff, time };
            table.stand(of, fence);
            map.entry(of)
                .and_modify(|frontier| frontier.add(fence))
                .or_insert_with(|| Frontier::of(fence));
            if position % 500 == 0 {
                let floor =
                    position - next(if position % 1000 == 0 { 3 } else { 900 }).min(position - 1);
                let floor = Position::new(floor);
                (0..SHARDS).for_each(|shard| table.forget(shard, floor));
                map = map
                    .into_iter()
                    .filter_map(|(scope, frontier)| Some((scope, frontier.above(floor)?)))
                    .collect();
            }
            assert_eq!(
                table.len(),
                map.values().map(|frontier| frontier.view().fences.len()).sum::<usize>()
            );
            let all = |view: View<'_>| {
                view.all()
                    .map(|fence| (fence.position, fence.cutoff, fence.time))
                    .collect::<Vec<_>>()
            };
            assert_eq!(
                all(table.view(&of)),
                map.get(&of).map_or(Vec::new(), |frontier| all(frontier.view()))
            );
            if position % 100 == 0 {
                let mut found: Vec<_> =
                    (0..SHARDS).flat_map(|shard| table.places(shard).collect::<Vec<_>>()).collect();
                found.sort_unstable();
                let mut wanted: Vec<_> = map
                    .values()
                    .flat_map(|frontier| frontier.view().all().map(|fence| fence.position))
                    .collect();
                wanted.sort_unstable();
                assert_eq!(found.iter().map(|place| place.position).collect::<Vec<_>>(), wanted);
                assert!(found.iter().all(|place| {
                    table.at(*place).is_some_and(|(_, fence)| fence.position == place.position)
                }));
            }
            (most, fewest) = (most.max(table.len()), fewest.min(table.len()));
        }
        assert!(most > 150 && fewest < 5, "{most} {fewest}");
    }
}
