//! The rule of life and death. Nothing else decides: no index, no reclaim, no clock.
//!
//! > A fence covers a sign-in when it is in its scope, newer than its as-of, and, if the record has a cutoff, the
//! > sign-in's time is not after it, or after the record's own time. A sign-in is dead when a fence of its account, session, subject, tenant or of
//! > everybody covers it. A token is dead when its sign-in is, or when a fence of the token's own tenant covers that
//! > sign-in.
//!
//! An as-of counts only together with the *opening* it was taken in. Each opening of the ledger is recorded in it under a
//! random number. A sign-in whose opening the ledger does not know, or whose as-of lies beyond where the next opening began,
//! was made beside records that this ledger has lost: it is dead. (Without this, a ledger rolled back to an earlier state, beside
//! an engine that has lost its checkpoint, would give new sign-outs positions below the as-ofs of sign-ins that live on: they
//! would return `Ok` and cover nobody.)
//!
//! A sign-in whose time is later than that of a sign-out which came after it, was made by a clock that was ahead: it may be as old as
//! anything, so no cutoff spares it.
//!
//! Everything here is a pure function of the fences, the openings and the sign-in.

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
    /// When it was asked for.
    pub(crate) time: Millis,
}

impl Fence {
    /// Whether its cutoff leaves a sign-in of this time in its scope, which is older than itself.
    fn takes(&self, time: Millis) -> bool {
        takes(self.cutoff, self.time, time)
    }

    /// Whether it covers whatever the other one does, which is older and of the same scope.
    fn hides(&self, older: &Self) -> bool {
        // Whom the older one takes for being in its future, this one has to take: for being in its own, or by its cutoff.
        self.cutoff >= older.cutoff && (self.cutoff >= self.time || self.time <= older.time)
    }
}

/// Whether a sign-out that was asked for at `asked`, with this cutoff, takes a sign-in of this time that was made before it.
pub(crate) fn takes(cutoff: Millis, asked: Millis, time: Millis) -> bool {
    time <= cutoff || time > asked
}

/// The random number of one opening of the ledger.
pub(crate) type Opening = [u8; 16];

/// What the rule looks at of a sign-in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) opening: Opening,
    pub(crate) as_of: Position,
    pub(crate) time: Millis,
    pub(crate) account: Tag,
    /// The account's other tag, if the sign-in is of a time when it had two: `identity.rs`.
    pub(crate) other: Option<Tag>,
    pub(crate) tenant: Tag,
    pub(crate) session: Option<Tag>,
    pub(crate) subject: Option<Tag>,
}

impl Life {
    /// The scopes whose fences can cover this sign-in.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = Scope> {
        [Scope::Everybody, Scope::Account(self.account), Scope::Tenant(self.tenant)]
            .into_iter()
            .chain(self.other.map(Scope::Account))
            .chain(self.session.map(Scope::Session))
            .chain(self.subject.map(Scope::Subject))
    }
}

/// All fences that stand, and all openings that are known.
#[derive(Default)]
pub(crate) struct Fences {
    by_scope: HashMap<Scope, Frontier>,
    openings: Vec<(Position, Opening, Millis)>,
    /// From where to before where the as-ofs of an opening lie.
    reach: HashMap<Opening, (Position, Position)>,
}

impl Fences {
    /// Makes a fence stand. Positions are given in rising order.
    pub(crate) fn stand(&mut self, scope: Scope, fence: Fence) {
        self.by_scope.entry(scope).or_default().add(fence);
    }

    /// Begins an opening, recorded at this position. Positions are given in rising order.
    pub(crate) fn open(&mut self, position: Position, opening: Opening, time: Millis) {
        self.end_openings(position);
        self.openings.push((position, opening, time));
        self.reach.insert(opening, (position, Position::MAX));
    }

    /// No as-of of an opening so far lies at or behind `end`: nothing was recorded there when they were taken.
    pub(crate) fn end_openings(&mut self, end: Position) {
        if let Some((_, last_end)) = self.openings.last().and_then(|(_, last, _)| self.reach.get_mut(last)) {
            *last_end = end;
        }
    }

    /// Every known opening, in order.
    pub(crate) fn openings(&self) -> &[(Position, Opening, Millis)] {
        &self.openings
    }

    /// Whether an opening is known that was recorded before this position.
    pub(crate) fn has_opening_before(&self, position: Position) -> bool {
        self.openings.first().is_some_and(|(first, ..)| *first < position)
    }

    /// Whether this opening was recorded before this position; what is not known counts.
    pub(crate) fn is_before(&self, opening: &Opening, position: Position) -> bool {
        self.reach.get(opening).is_none_or(|(first, _)| *first < position)
    }

    /// The latest time of a record that is not after `limit`: some process's clock has shown it.
    pub(crate) fn latest_time(&self, limit: Millis) -> Option<Millis> {
        let fences = self.by_scope.values().flat_map(Frontier::all).map(|fence| fence.time);
        let openings = self.openings.iter().map(|(_, _, time)| *time);
        fences.chain(openings).filter(|time| *time <= limit).max()
    }

    /// Whether this ledger was ever where the sign-in's as-of was taken.
    fn knows(&self, life: &Life) -> bool {
        self.reach.get(&life.opening).is_some_and(|(start, end)| (*start..*end).contains(&life.as_of))
    }

    /// Whether a sign-out that came at this time or later covers a sign-in of that time in these scopes, whatever its as-of.
    pub(crate) fn is_covered_since(&self, life: &Life, time: Millis) -> bool {
        life.scopes().any(|scope| self.is_scope_covered_since(scope, time))
    }

    /// As [`Fences::is_covered_since`], for tokens of one tenant.
    pub(crate) fn is_tenant_covered_since(&self, tenant: Tag, time: Millis) -> bool {
        self.is_scope_covered_since(Scope::Tenant(tenant), time)
    }

    fn is_scope_covered_since(&self, scope: Scope, time: Millis) -> bool {
        let covers = |fence: &Fence| time <= fence.cutoff;
        self.by_scope.get(&scope).is_some_and(|f| f.latest.is_some_and(|f| f.time >= time) && f.fences.iter().any(covers))
    }

    /// Whether the provider has told of the end of the session of a sign-in of this time, whatever its as-of: such a sign-in was on its
    /// way meanwhile. (Only what says when it was told, by a cutoff, counts: a session that was ended here alone may be signed in with anew.)
    /// If so: sign-ins of which times.
    pub(crate) fn session_ended_until(&self, life: &Life) -> Option<Millis> {
        let frontier = self.by_scope.get(&Scope::Session(life.session?))?;
        let told = frontier.fences.iter().map(|fence| fence.cutoff).filter(|cutoff| *cutoff != NO_CUTOFF);
        told.filter(|cutoff| life.time <= *cutoff).max()
    }

    /// The highest position of a fence that covers this sign-in.
    pub(crate) fn death(&self, life: &Life) -> Option<Position> {
        life.scopes().filter_map(|scope| self.covering(scope, life, Position::MAX)).max()
    }

    /// Whether the sign-in is dead.
    pub(crate) fn is_dead(&self, life: &Life) -> bool {
        !self.knows(life) || self.death(life).is_some()
    }

    /// Whether a token of this tenant, got in this sign-in, is dead although its sign-in may live.
    pub(crate) fn is_tenant_dead(&self, life: &Life, tenant: Tag) -> bool {
        tenant != life.tenant && self.covering(Scope::Tenant(tenant), life, Position::MAX).is_some()
    }

    /// As [`Fences::is_dead`], by the fences up to `end` alone: what may be reclaimed, since it is dead on the disk too.
    pub(crate) fn is_dead_by(&self, life: &Life, end: Position) -> bool {
        !self.knows(life) || life.scopes().any(|scope| self.covering(scope, life, end).is_some())
    }

    /// As [`Fences::is_tenant_dead`], by the fences up to `end` alone.
    pub(crate) fn is_tenant_dead_by(&self, life: &Life, tenant: Tag, end: Position) -> bool {
        tenant != life.tenant && self.covering(Scope::Tenant(tenant), life, end).is_some()
    }

    /// The newest fence of exactly this scope.
    pub(crate) fn last(&self, scope: Scope) -> Option<Fence> {
        self.by_scope.get(&scope).and_then(|frontier| frontier.fences.last().copied())
    }

    /// What stands in these scopes now, to be asked when more does.
    pub(crate) fn before(&self, scopes: &[Scope], first: Position) -> Before {
        let frontiers = scopes.iter().filter_map(|scope| Some((*scope, self.by_scope.get(scope)?.clone())));
        Before { frontiers: frontiers.collect(), first }
    }

    /// Whether the sign-in is dead, and by nothing else that stood before that sign-out.
    pub(crate) fn is_dead_since(&self, life: &Life, before: &Before) -> bool {
        self.death(life).is_some() && !self.is_dead_by(life, before.first.saturating_sub(1))
    }

    /// Every fence that decides something, in order of position: about sign-ins by the rule, or about those that are continued from
    /// elsewhere by its time.
    pub(crate) fn in_order(&self) -> Vec<(Scope, Fence)> {
        let mut all: Vec<_> = self.by_scope.iter().flat_map(|(s, f)| f.all().map(|fence| (*s, fence))).collect();
        all.sort_unstable_by_key(|(_, fence)| fence.position);
        all
    }

    /// How many fences decide something.
    pub(crate) fn len(&self) -> usize {
        self.by_scope.values().map(|frontier| frontier.fences.len()).sum()
    }

    fn covering(&self, scope: Scope, life: &Life, end: Position) -> Option<Position> {
        self.by_scope.get(&scope)?.covering(life, end)
    }
}

/// What stood in some scopes before a sign-out of them.
#[derive(Default)]
pub(crate) struct Before {
    frontiers: Vec<(Scope, Frontier)>,
    /// Where the sign-out begins.
    first: Position,
}

impl Before {
    /// Whether it covered this sign-in.
    pub(crate) fn covers(&self, life: &Life) -> bool {
        life.scopes().any(|scope| {
            self.frontiers.iter().any(|(one, frontier)| *one == scope && frontier.covering(life, Position::MAX).is_some())
        })
    }
}

/// The fences of one scope that are not [hidden](Fence::hides) by a newer one; positions rise.
///
/// A sign-out without a cutoff hides all before it; so does one by a signal that came in time, whose cutoff lies behind its own time for what
/// the clocks may differ by. Only behind signals that came late do older ones stay.
#[derive(Clone, Default)]
struct Frontier {
    fences: Vec<Fence>,
    /// The one of the latest time of all, hidden ones too: clocks may have gone back between two of them.
    latest: Option<Fence>,
}

impl Frontier {
    fn add(&mut self, fence: Fence) {
        self.fences.retain(|older| !fence.hides(older));
        if self.latest.is_none_or(|latest| latest.time <= fence.time) {
            self.latest = Some(fence);
        }
        self.fences.push(fence);
    }

    /// Those that must be kept.
    fn all(&self) -> impl Iterator<Item = Fence> {
        let hidden = self.latest.filter(|latest| !self.fences.contains(latest));
        hidden.into_iter().chain(self.fences.iter().copied())
    }

    fn covering(&self, life: &Life, end: Position) -> Option<Position> {
        let covers = |f: &&Fence| f.position <= end && f.position > life.as_of && f.takes(life.time);
        self.fences.iter().rev().find(covers).map(|fence| fence.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(as_of: Position, time: Millis) -> Life {
        let (account, tenant, session) = ([1; 16], [2; 16], Some([3; 16]));
        Life { opening: [0; 16], as_of, time, account, other: None, tenant, session, subject: None }
    }

    fn fence(position: Position, cutoff: Millis) -> Fence {
        Fence { position, cutoff, time: 1000 }
    }

    fn fences() -> Fences {
        let mut fences = Fences::default();
        fences.open(0, [0; 16], 0);
        fences
    }

    #[test]
    fn a_sign_in_of_an_unknown_opening_or_beyond_its_end_is_dead() {
        let mut fences = Fences::default();
        assert!(fences.is_dead(&life(0, 0)));
        fences.open(3, [0; 16], 0);
        fences.open(6, [1; 16], 0);
        let of = |opening, as_of| Life { opening: [opening; 16], ..life(as_of, 0) };
        let dead: Vec<bool> = (0..9).map(|as_of| fences.is_dead(&of(0, as_of))).collect();
        assert_eq!(dead, [true, true, true, false, false, false, true, true, true]);
        let dead: Vec<bool> = (4..9).map(|as_of| fences.is_dead(&of(1, as_of))).collect();
        assert_eq!(dead, [true, true, false, false, false]);
        assert!(fences.is_dead(&of(2, 7)) && fences.is_dead_by(&of(2, 7), 9));
    }

    /// Every list of up to so many fences of these scopes, with every cutoff, by clocks that jump in between.
    fn lists(scopes: &[Scope], most: Position) -> Vec<Vec<(Scope, Fence)>> {
        const CUTOFFS: [Millis; 4] = [10, 20, 30, NO_CUTOFF];
        const TIMES: [Millis; 3] = [8, 22, 40];
        let mut lists = vec![Vec::<(Scope, Fence)>::new()];
        for position in 1..=most {
            let shorter: Vec<_> = lists.iter().filter(|list| list.len() + 1 == position as usize).cloned().collect();
            for (scope, cutoff, time) in
                scopes.iter().flat_map(|scope| CUTOFFS.iter().flat_map(move |cutoff| TIMES.map(|time| (scope, *cutoff, time))))
            {
                let longer = |list: &Vec<_>| [list.as_slice(), &[(*scope, Fence { position, cutoff, time })]].concat();
                lists.extend(shorter.iter().map(longer));
            }
        }
        lists
    }

    /// The rule, word by word, against the frontier.
    #[test]
    fn the_frontier_hides_nothing_that_decides() {
        let (account, tenant) = (Scope::Account([1; 16]), Scope::Tenant([9; 16]));
        let lists = [lists(&[account, tenant], 2), lists(&[account], 3)].concat();
        let (mut dead, mut spared) = (0, 0);
        for list in &lists {
            let mut fences = fences();
            list.iter().for_each(|(scope, fence)| fences.stand(*scope, *fence));
            for (as_of, time) in (0..=3).flat_map(|a| [5, 9, 15, 21, 25, 35, 45].map(|t| (a, t))) {
                let life = life(as_of, time);
                let covers = |f: &Fence| f.position > as_of && (time <= f.cutoff || time > f.time);
                let covered =
                    |scope: Scope, end: Position| list.iter().any(|(s, f)| *s == scope && f.position <= end && covers(f));
                assert_eq!(fences.is_dead(&life), covered(account, 9), "{as_of} {time}");
                assert_eq!(fences.is_tenant_dead(&life, [9; 16]), covered(tenant, 9));
                // Reclaim may miss what a newer fence hides, but never takes what is not dead.
                assert!(!fences.is_dead_by(&life, 2) || covered(account, 2));
                dead += usize::from(fences.is_dead(&life));
                spared += usize::from(!fences.is_dead(&life) && as_of == 0 && list.len() > 1);
            }
        }
        assert!(lists.len() > 2000 && dead > 20_000 && spared > 1000, "{} lists, {dead} dead, {spared} spared", lists.len());
    }

    /// A clock that was ahead, and is corrected: the sign-in carries the future, and no cutoff spares it. One from between cutoff and sign-out is spared.
    #[test]
    fn a_sign_in_from_the_future_of_a_sign_out_is_older_than_its_cutoff() {
        let mut fences = fences();
        fences.stand(Scope::Session([3; 16]), Fence { position: 5, cutoff: 60, time: 100 });
        let is_dead = |time| fences.is_dead(&life(4, time));
        assert_eq!([60, 61, 100, 101, 86_400_000].map(is_dead), [true, false, false, true, true]);
        assert!(!fences.is_dead(&life(5, 101)), "what was signed in after it is newer, whatever its time");
    }

    /// What an account of version 1 had under either tag, against fences under either, old and new.
    #[test]
    fn a_sign_in_of_two_tags_is_covered_by_both() {
        let (today, other, somebody) = ([1; 16], [7; 16], [8; 16]);
        for (of, by) in [(today, today), (today, other), (other, today), (other, other), (today, somebody), (other, somebody)] {
            let mut fences = fences();
            fences.stand(Scope::Account(by), fence(5, NO_CUTOFF));
            let twin = if of == today { other } else { today };
            let life = Life { account: of, other: Some(twin), ..life(4, 0) };
            assert_eq!(fences.is_dead(&life), by != somebody);
            assert!(!fences.is_dead(&Life { as_of: 5, ..life }), "it came after");
        }
    }

    #[test]
    fn every_scope_of_a_sign_in_covers_it_and_no_other_does() {
        let mine = [Scope::Everybody, Scope::Account([1; 16]), Scope::Tenant([2; 16]), Scope::Session([3; 16])];
        let others = [Scope::Account([2; 16]), Scope::Tenant([1; 16]), Scope::Session([1; 16]), Scope::Subject([3; 16])];
        for (scope, expected) in mine.map(|s| (s, true)).into_iter().chain(others.map(|s| (s, false))) {
            let mut fences = fences();
            fences.stand(scope, fence(5, NO_CUTOFF));
            assert_eq!(fences.is_dead(&life(4, 0)), expected);
            assert!(!fences.is_dead(&life(5, 0)), "a sign-in as of the fence is newer than it");
        }
    }
}
