//! The rule of life and death. Nothing else decides: no index, no reclaim, no clock.
//!
//! > A fence covers a sign-in when it is in its scope, newer than its as-of, and, if the record has a cutoff, the
//! > sign-in's time is not after it. A sign-in is dead when a fence of its account, session, subject, tenant or of
//! > everybody covers it. A token is dead when its sign-in is, or when a fence of the token's own tenant covers that
//! > sign-in.
//!
//! Everything here is a pure function of the fences and the sign-in.

use std::collections::HashMap;

use crate::clock::Millis;
use crate::crypto::Tag;

/// The place of a record in the ledger: strictly rising, never reused. The first is 1.
pub(crate) type Position = u64;

/// A record without a cutoff covers sign-ins of every time.
pub(crate) const NO_CUTOFF: Millis = Millis::MAX;

/// Whose sign-ins a fence can cover.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Scope {
    Everybody,
    Tenant(Tag),
    Account(Tag),
    Session(Tag),
    Subject(Tag),
}

/// What a ledger record at `position` says: every sign-in in its scope with as-of below it, and time up to `cutoff`, is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) position: Position,
    pub(crate) cutoff: Millis,
    /// When it was asked for. The rule does not look at it.
    pub(crate) time: Millis,
}

/// What the rule looks at of a sign-in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) as_of: Position,
    pub(crate) time: Millis,
    pub(crate) account: Tag,
    pub(crate) tenant: Tag,
    pub(crate) session: Option<Tag>,
    pub(crate) subject: Option<Tag>,
}

impl Life {
    /// The scopes whose fences can cover this sign-in.
    fn scopes(&self) -> impl Iterator<Item = Scope> {
        [Scope::Everybody, Scope::Account(self.account), Scope::Tenant(self.tenant)]
            .into_iter()
            .chain(self.session.map(Scope::Session))
            .chain(self.subject.map(Scope::Subject))
    }
}

/// All fences that stand.
#[derive(Default)]
pub(crate) struct Fences {
    by_scope: HashMap<Scope, Frontier>,
}

impl Fences {
    /// Makes a fence stand. Positions are given in rising order.
    pub(crate) fn stand(&mut self, scope: Scope, fence: Fence) {
        self.by_scope.entry(scope).or_default().add(fence);
    }

    /// The highest position of a fence that covers this sign-in, if it is dead.
    pub(crate) fn death(&self, life: &Life) -> Option<Position> {
        life.scopes().filter_map(|scope| self.covering(scope, life, Position::MAX)).max()
    }

    /// Whether the sign-in is dead.
    pub(crate) fn is_dead(&self, life: &Life) -> bool {
        self.death(life).is_some()
    }

    /// Whether a token of this tenant, got in this sign-in, is dead although its sign-in may live.
    pub(crate) fn is_tenant_dead(&self, life: &Life, tenant: Tag) -> bool {
        tenant != life.tenant && self.covering(Scope::Tenant(tenant), life, Position::MAX).is_some()
    }

    /// As [`Fences::is_dead`], by the fences up to `end` alone: what may be reclaimed, since it is dead on the disk too.
    pub(crate) fn is_dead_by(&self, life: &Life, end: Position) -> bool {
        life.scopes().any(|scope| self.covering(scope, life, end).is_some())
    }

    /// As [`Fences::is_tenant_dead`], by the fences up to `end` alone.
    pub(crate) fn is_tenant_dead_by(&self, life: &Life, tenant: Tag, end: Position) -> bool {
        tenant != life.tenant && self.covering(Scope::Tenant(tenant), life, end).is_some()
    }

    /// The newest fence of exactly this scope.
    pub(crate) fn last(&self, scope: Scope) -> Option<Fence> {
        self.by_scope.get(&scope).and_then(|frontier| frontier.0.last().copied())
    }

    /// Every fence that decides something, in order of position.
    pub(crate) fn in_order(&self) -> Vec<(Scope, Fence)> {
        let mut all: Vec<_> = self.by_scope.iter().flat_map(|(s, f)| f.0.iter().map(|fence| (*s, *fence))).collect();
        all.sort_unstable_by_key(|(_, fence)| fence.position);
        all
    }

    /// How many fences decide something.
    pub(crate) fn len(&self) -> usize {
        self.by_scope.values().map(|frontier| frontier.0.len()).sum()
    }

    fn covering(&self, scope: Scope, life: &Life, end: Position) -> Option<Position> {
        self.by_scope.get(&scope)?.covering(life, end)
    }
}

/// The fences of one scope that are not hidden by a newer one with a cutoff at least as late:
/// positions rise, cutoffs fall.
#[derive(Default)]
struct Frontier(Vec<Fence>);

impl Frontier {
    fn add(&mut self, fence: Fence) {
        while self.0.last().is_some_and(|older| older.cutoff <= fence.cutoff) {
            self.0.pop();
        }
        self.0.push(fence);
    }

    fn covering(&self, life: &Life, end: Position) -> Option<Position> {
        let covers = |f: &&Fence| f.position <= end && f.position > life.as_of && life.time <= f.cutoff;
        self.0.iter().rev().find(covers).map(|fence| fence.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(as_of: Position, time: Millis) -> Life {
        Life { as_of, time, account: [1; 16], tenant: [2; 16], session: Some([3; 16]), subject: None }
    }

    fn fence(position: Position, cutoff: Millis) -> Fence {
        Fence { position, cutoff, time: 0 }
    }

    /// The rule, word by word, over every list of up to four fences of two scopes, against the frontier.
    #[test]
    fn the_frontier_hides_nothing_that_decides() {
        const CUTOFFS: [Millis; 4] = [10, 20, 30, NO_CUTOFF];
        let mut lists = vec![Vec::<(Scope, Fence)>::new()];
        for position in 1..=4 {
            let longer: Vec<_> = lists
                .iter()
                .filter(|list| list.len() + 1 == position as usize)
                .flat_map(|list| {
                    [Scope::Account([1; 16]), Scope::Tenant([9; 16])].into_iter().flat_map(move |scope| {
                        CUTOFFS.map(|cutoff| [list.as_slice(), &[(scope, fence(position, cutoff))]].concat())
                    })
                })
                .collect();
            lists.extend(longer);
        }
        let mut dead = 0;
        for list in &lists {
            let mut fences = Fences::default();
            list.iter().for_each(|(scope, fence)| fences.stand(*scope, *fence));
            for (as_of, time) in (0..=4).flat_map(|a| [5, 10, 15, 20, 25, 30, 35].map(|t| (a, t))) {
                let life = life(as_of, time);
                let covered = |scope: Scope, end: Position| {
                    list.iter().any(|(s, f)| *s == scope && f.position <= end && f.position > as_of && time <= f.cutoff)
                };
                assert_eq!(fences.is_dead(&life), covered(Scope::Account([1; 16]), 9), "{as_of} {time}");
                assert_eq!(fences.is_tenant_dead(&life, [9; 16]), covered(Scope::Tenant([9; 16]), 9));
                // Reclaim may miss what a newer fence hides, but never takes what is not dead.
                assert!(!fences.is_dead_by(&life, 2) || covered(Scope::Account([1; 16]), 2));
                dead += usize::from(fences.is_dead(&life));
            }
        }
        assert!(lists.len() == 1 + 8 + 64 + 512 + 4096 && dead > 10_000, "{} lists, {dead} dead", lists.len());
    }

    #[test]
    fn every_scope_of_a_sign_in_covers_it_and_no_other_does() {
        let mine = [Scope::Everybody, Scope::Account([1; 16]), Scope::Tenant([2; 16]), Scope::Session([3; 16])];
        let others = [Scope::Account([2; 16]), Scope::Tenant([1; 16]), Scope::Session([1; 16]), Scope::Subject([3; 16])];
        for (scope, expected) in mine.map(|s| (s, true)).into_iter().chain(others.map(|s| (s, false))) {
            let mut fences = Fences::default();
            fences.stand(scope, fence(5, NO_CUTOFF));
            assert_eq!(fences.is_dead(&life(4, 0)), expected);
            assert!(!fences.is_dead(&life(5, 0)), "a sign-in as of the fence is newer than it");
        }
    }
}
