//! All fences that stand, and all openings that are known: what the rule is asked of.

use std::collections::HashMap;
use std::sync::Arc;

use super::frontier::{Frontier, View};
use super::table::{Place, SHARDS, Table};
use super::{Fence, Life};
use crate::model::position::{Opening, Position};
use crate::model::tag::{TaggedScope, TenantTag};
use crate::model::time::Millis;

/// All fences that stand, and all openings that are known.
#[derive(Default)]
pub(crate) struct Fences {
    table: Table,
    /// The fence of everybody that stands for all that was dropped for its age.
    floor: Option<Fence>,
    openings: Arc<Openings>,
}

/// All openings that are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Openings {
    /// In order.
    all: Vec<(Position, Opening, Millis)>,
    /// From where to before where the as-ofs of an opening lie.
    reach: HashMap<Opening, (Position, Position)>,
}

/// Fences in order of their positions, at some moment.
pub(crate) struct InOrder(Vec<Place>);

impl Fences {
    /// None yet, of a handful of scopes.
    pub(crate) fn of_few() -> Self {
        Self { table: Table::of_few(), ..Self::default() }
    }

    /// Makes a fence stand. Positions are given in rising order.
    pub(crate) fn stand(&mut self, scope: TaggedScope, fence: Fence) {
        self.table.stand(scope, fence);
    }

    /// Makes the fence stand that covers everybody for all that is dropped up to it. Those that it
    /// makes superfluous are [forgotten](Self::forget_shard).
    pub(crate) fn stand_for_dropped(&mut self, floor: Fence) {
        self.floor = Some(floor);
    }

    /// Forgets, in one shard, the fences for which the floor stands.
    pub(crate) fn forget_shard(&mut self, shard: usize) {
        if let Some(floor) = self.floor {
            self.table.forget(shard, floor.position);
        }
    }

    /// Of a handful of scopes, beside all openings.
    pub(crate) fn of_few_beside(openings: Arc<Openings>) -> Self {
        Self { openings, ..Self::of_few() }
    }

    /// Begins an opening, recorded at this position. Positions are given in rising order.
    pub(crate) fn open(&mut self, position: Position, opening: Opening, time: Millis) {
        Arc::make_mut(&mut self.openings).begin(position, opening, time);
    }

    /// No as-of of an opening so far lies at or behind `end`: nothing was recorded there when they
    /// were taken.
    pub(crate) fn end_openings(&mut self, end: Position) {
        Arc::make_mut(&mut self.openings).end(end);
    }

    /// Every known opening, in order.
    pub(crate) fn openings(&self) -> &[(Position, Opening, Millis)] {
        &self.openings.all
    }

    /// All openings, as they are now.
    #[cfg(all(unix, feature = "sqlite"))]
    pub(crate) fn all_openings(&self) -> Arc<Openings> {
        self.openings.clone()
    }

    /// Forgets the openings that were recorded before this position.
    pub(crate) fn forget_openings(&mut self, first: Position) {
        let Openings { all, reach } = Arc::make_mut(&mut self.openings);
        all.retain(|(position, opening, _)| {
            let stays = *position >= first;
            if !stays {
                reach.remove(opening);
            }
            stays
        });
    }

    /// Whether an opening is known that was recorded before this position.
    pub(crate) fn has_opening_before(&self, position: Position) -> bool {
        self.openings().first().is_some_and(|(first, ..)| *first < position)
    }

    /// Whether this opening was recorded before this position; what is not known counts.
    pub(crate) fn is_before(&self, opening: &Opening, position: Position) -> bool {
        self.openings.reach.get(opening).is_none_or(|(first, _)| *first < position)
    }

    /// The latest time of a record that is not after `limit`: the clock of some process has shown
    /// it.
    pub(crate) fn latest_time(&self, limit: Millis) -> Option<Millis> {
        let fences = (0..SHARDS)
            .flat_map(|shard| self.of_shard(shard))
            .map(|(_, fence)| fence)
            .chain(self.floor);
        let openings = self.openings().iter().map(|(_, _, time)| *time);
        fences.map(|fence| fence.time).chain(openings).filter(|time| *time <= limit).max()
    }

    /// Whether this ledger was ever where the sign-in's as-of was taken.
    fn knows(&self, life: &Life) -> bool {
        self.openings
            .reach
            .get(&life.opening)
            .is_some_and(|(start, end)| (*start..*end).contains(&life.as_of))
    }

    /// Whether a sign-out that came at this time or later covers a sign-in of that time in these
    /// scopes, whatever its as-of.
    pub(crate) fn is_covered_since(&self, life: &Life, time: Millis) -> bool {
        life.scopes().any(|scope| self.view(&scope).is_covered_since(time))
    }

    /// As [`Fences::is_covered_since`], for tokens of one tenant.
    pub(crate) fn is_tenant_covered_since(&self, tenant: TenantTag, time: Millis) -> bool {
        self.view(&TaggedScope::Tenant(tenant)).is_covered_since(time)
    }

    /// Whether the provider has signalled the end of the session of a sign-in of this time, at any
    /// as-of: such a sign-in was on its way meanwhile. (Only a signal that says by a cutoff when it
    /// was sent counts: a session that was ended here alone may be signed in with anew.) If so,
    /// gives the time up to which sign-ins have ended.
    pub(crate) fn session_ended_until(&self, life: &Life) -> Option<Millis> {
        self.view(&TaggedScope::Session(life.session?)).told_until(life.time)
    }

    /// The highest position of a fence that covers this sign-in.
    pub(crate) fn death(&self, life: &Life) -> Option<Position> {
        life.scopes().filter_map(|scope| self.view(&scope).covering(life, Position::MAX)).max()
    }

    /// Whether the sign-in is dead.
    pub(crate) fn is_dead(&self, life: &Life) -> bool {
        !self.knows(life) || self.death(life).is_some()
    }

    /// Whether a token of this tenant, got in this sign-in, is dead although its sign-in may live.
    #[cfg(test)]
    pub(crate) fn is_tenant_dead(&self, life: &Life, tenant: TenantTag) -> bool {
        self.is_tenant_dead_by(life, tenant, Position::MAX)
    }

    /// As [`Fences::is_dead`], by the fences up to `end` alone: what may be reclaimed, since it is
    /// dead on the disk too.
    pub(crate) fn is_dead_by(&self, life: &Life, end: Position) -> bool {
        !self.knows(life)
            || life.scopes().any(|scope| self.view(&scope).covering(life, end).is_some())
    }

    /// As [`Fences::is_tenant_dead`], by the fences up to `end` alone.
    pub(crate) fn is_tenant_dead_by(&self, life: &Life, tenant: TenantTag, end: Position) -> bool {
        tenant != life.tenant
            && self.view(&TaggedScope::Tenant(tenant)).covering(life, end).is_some()
    }

    /// The newest fence of exactly this scope.
    pub(crate) fn last(&self, scope: TaggedScope) -> Option<Fence> {
        self.view(&scope).last()
    }

    /// The fences of exactly this scope that decide something; not the floor.
    #[cfg(all(unix, feature = "sqlite"))]
    pub(crate) fn standing(&self, scope: &TaggedScope) -> impl Iterator<Item = Fence> {
        self.table.view(scope).all()
    }

    /// The fence that stands for all that was dropped for its age.
    pub(crate) fn floor(&self) -> Option<Fence> {
        self.floor
    }

    /// Whether exactly this fence decides something in this scope.
    pub(crate) fn holds(&self, scope: &TaggedScope, fence: &Fence) -> bool {
        self.view(scope).all().any(|one| one == *fence)
    }

    /// What stands in these scopes now, to be asked once more stands.
    pub(crate) fn before(&self, scopes: &[TaggedScope], first: Position) -> Before {
        let frontiers =
            scopes.iter().filter_map(|scope| Some((*scope, self.table.view(scope).to_frontier()?)));
        let has_everybody = scopes.contains(&TaggedScope::Everybody);
        Before {
            frontiers: frontiers.collect(),
            floor: self.floor.filter(|_| has_everybody),
            first,
        }
    }

    /// Whether the sign-in is dead, and by nothing else that stood before that sign-out.
    pub(crate) fn is_dead_since(&self, life: &Life, before: &Before) -> bool {
        self.death(life).is_some() && !self.is_dead_by(life, before.first.previous())
    }

    /// The fences of one shard that decide something, in no order: about sign-ins by the rule, or
    /// about those that are continued from elsewhere by their time. Not the floor.
    pub(crate) fn of_shard(&self, shard: usize) -> impl Iterator<Item = (TaggedScope, Fence)> {
        self.table.of_shard(shard).flat_map(|(scope, view)| view.all().map(|fence| (*scope, fence)))
    }

    /// Adds to `found` where the fences of a shard are that have positions in this range.
    pub(crate) fn find_places(
        &self,
        shard: usize,
        range: std::ops::RangeInclusive<Position>,
        found: &mut InOrder,
    ) {
        found.0.extend(self.table.places(shard).filter(|place| range.contains(&place.position)));
    }

    /// The fences that were found: those of them that have not been hidden since.
    pub(crate) fn at<'a>(
        &'a self,
        found: &'a InOrder,
        range: std::ops::Range<usize>,
    ) -> impl Iterator<Item = (TaggedScope, Fence)> + 'a {
        found.0.get(range).unwrap_or_default().iter().filter_map(|place| self.table.at(*place))
    }

    /// Every fence that decides something, in order of position.
    #[cfg(all(any(test, fuzzing), feature = "test-util"))]
    pub(crate) fn in_order(&self) -> Vec<(TaggedScope, Fence)> {
        let latest = self.table.view(&TaggedScope::Everybody).latest;
        let floor = self.floor.filter(|floor| {
            !self.is_hidden(floor) || latest.is_some_and(|latest| latest.time < floor.time)
        });
        let mut all: Vec<_> = (0..SHARDS).flat_map(|shard| self.of_shard(shard)).collect();
        all.extend(floor.map(|floor| (TaggedScope::Everybody, floor)));
        all.sort_unstable_by_key(|(_, fence)| fence.position);
        all
    }

    /// How many fences decide something.
    pub(crate) fn len(&self) -> usize {
        self.table.len() + usize::from(self.floor.is_some_and(|floor| !self.is_hidden(&floor)))
    }

    fn is_hidden(&self, floor: &Fence) -> bool {
        self.table.view(&TaggedScope::Everybody).fences.iter().any(|fence| fence.hides(floor))
    }

    fn view(&self, scope: &TaggedScope) -> View<'_> {
        let floor = self.floor.filter(|_| *scope == TaggedScope::Everybody);
        View { floor, ..self.table.view(scope) }
    }
}

impl Openings {
    /// One that began at this position.
    #[cfg(feature = "test-util")]
    pub(crate) fn of_one(position: Position, opening: Opening, time: Millis) -> Self {
        let mut openings = Self::default();
        openings.begin(position, opening, time);
        openings
    }

    /// The newest.
    pub(crate) fn newest(&self) -> Option<Opening> {
        self.all.last().map(|(_, opening, _)| *opening)
    }

    /// Whether the newest has not ended: as-ofs of now are in it.
    pub(crate) fn has_current(&self) -> bool {
        let reach = self.newest().and_then(|newest| self.reach.get(&newest));
        reach.is_some_and(|(_, end)| *end == Position::MAX)
    }

    fn begin(&mut self, position: Position, opening: Opening, time: Millis) {
        self.end(position);
        self.all.push((position, opening, time));
        self.reach.insert(opening, (position, Position::MAX));
    }

    fn end(&mut self, end: Position) {
        if let Some((_, last_end)) =
            self.all.last().and_then(|(_, last, _)| self.reach.get_mut(last))
        {
            *last_end = end;
        }
    }
}

impl InOrder {
    /// Of no fence yet.
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    /// Puts them in order.
    pub(crate) fn sort(&mut self) {
        self.0.sort_unstable();
    }

    /// How many were found.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// What stood in some scopes before a sign-out of them.
#[derive(Default)]
pub(crate) struct Before {
    frontiers: Vec<(TaggedScope, Frontier)>,
    floor: Option<Fence>,
    /// Where the sign-out begins.
    first: Position,
}

impl Before {
    /// Whether it covered this sign-in.
    pub(crate) fn covers(&self, life: &Life) -> bool {
        let floor = View { floor: self.floor, ..View::default() };
        life.scopes().any(|scope| {
            let of = self
                .frontiers
                .iter()
                .filter(|(one, _)| *one == scope)
                .map(|(_, frontier)| frontier.view());
            of.chain((scope == TaggedScope::Everybody).then_some(floor))
                .any(|view| view.covering(life, Position::MAX).is_some())
        })
    }
}
