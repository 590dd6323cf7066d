//! The rule of life and death: which sign-outs end a sign-in. Nothing else decides that: no index,
//! no reclaim, no clock. (`store/life.rs` adds the greatest age of a sign-in.)
//!
//! > A fence covers a sign-in when it is in its scope, newer than its as-of, and, if the record has
//! > a cutoff, the sign-in's time is not after it, or after the record's own time. A sign-in is
//! > dead when a fence of itself, of its account, session, subject, tenant or of everybody covers
//! > it. A token is dead when its sign-in is, or when a fence of the token's own tenant covers that
//! > sign-in.
//!
//! An as-of counts only together with the *opening* it was taken in. Each opening of the ledger is
//! recorded in it under a random number. A sign-in whose opening the ledger does not know, or whose
//! as-of lies beyond where the next opening began, was made beside records that this ledger has
//! lost: it is dead. (Without this, a ledger rolled back to an earlier state, beside an engine that
//! has lost its checkpoint, would give new sign-outs positions below the as-ofs of sign-ins that
//! live on: they would return `Ok` and cover no sign-in.)
//!
//! A sign-in whose time is later than that of a sign-out which came after it, was made by a clock
//! that was ahead: it may be as old as anything, so no cutoff spares it.
//!
//! Everything here is a pure function of the fences, the openings and the sign-in.

mod fences;
mod frontier;
mod table;

use crate::model::position::{Opening, Position};
use crate::model::tag::{AccountTag, SessionTag, SignInTag, SubjectTag, TaggedScope, TenantTag};
use crate::model::time::Millis;
pub(crate) use fences::{Before, Fences, InOrder, Openings};
pub(crate) use table::SHARDS;

/// A record without a cutoff covers sign-ins of every time.
pub(crate) const NO_CUTOFF: Millis = Millis::MAX;

/// What a ledger record at `position` says: every sign-in in its scope with as-of below it, and
/// time up to `cutoff`, is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) position: Position,
    pub(crate) cutoff: Millis,
    /// When the sign-out was asked for.
    pub(crate) time: Millis,
}

impl Fence {
    /// Whether its cutoff leaves a sign-in of this time in its scope, which is older than itself.
    fn takes(&self, time: Millis) -> bool {
        takes(self.cutoff, self.time, time)
    }

    /// Whether it covers every sign-in that the other one covers, which is older and of the same
    /// scope.
    fn hides(&self, older: &Self) -> bool {
        // A sign-in that the older one covers for being in its future, this one has to cover: for
        // being in its own future, or by its cutoff.
        self.cutoff >= older.cutoff && (self.cutoff >= self.time || self.time <= older.time)
    }
}

/// Whether a sign-out that was asked for at `asked`, with this cutoff, takes a sign-in of this time
/// that was made before it.
pub(crate) fn takes(cutoff: Millis, asked: Millis, time: Millis) -> bool {
    time <= cutoff || time > asked
}

/// What the rule looks at of a sign-in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) opening: Opening,
    pub(crate) as_of: Position,
    pub(crate) time: Millis,
    pub(crate) sign_in: SignInTag,
    pub(crate) account: AccountTag,
    /// The account's other tag, if the sign-in is of a time when it had two: `identity.rs`.
    pub(crate) other: Option<AccountTag>,
    pub(crate) tenant: TenantTag,
    pub(crate) session: Option<SessionTag>,
    pub(crate) subject: Option<SubjectTag>,
    /// When it is too old: no fence is needed from then on.
    pub(crate) ends: Millis,
}

impl Life {
    /// Whether it has ended by its age alone.
    pub(crate) fn is_too_old(&self, now: Millis) -> bool {
        self.ends <= now
    }

    /// The scopes whose fences can cover this sign-in.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = TaggedScope> {
        [
            TaggedScope::Everybody,
            TaggedScope::SignIn(self.sign_in),
            TaggedScope::Account(self.account),
            TaggedScope::Tenant(self.tenant),
        ]
        .into_iter()
        .chain(self.other.map(TaggedScope::Account))
        .chain(self.session.map(TaggedScope::Session))
        .chain(self.subject.map(TaggedScope::Subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(as_of: u64, time: u64) -> Life {
        let (account, tenant) = (AccountTag::filled(1), TenantTag::filled(2));
        let session = Some(SessionTag::filled(3));
        Life {
            opening: Opening::filled(0),
            as_of: Position::new(as_of),
            time: Millis::new(time),
            sign_in: SignInTag::filled(4),
            account,
            other: None,
            tenant,
            session,
            subject: None,
            ends: Millis::MAX,
        }
    }

    fn fence(position: u64, cutoff: Millis) -> Fence {
        Fence { position: Position::new(position), cutoff, time: Millis::new(1000) }
    }

    fn fences() -> Fences {
        let mut fences = Fences::default();
        fences.open(Position::ZERO, Opening::filled(0), Millis::EPOCH);
        fences
    }

    #[test]
    fn a_sign_in_of_an_unknown_opening_or_beyond_its_end_is_dead() {
        let mut fences = Fences::default();
        assert!(fences.is_dead(&life(0, 0)));
        fences.open(Position::new(3), Opening::filled(0), Millis::EPOCH);
        fences.open(Position::new(6), Opening::filled(1), Millis::EPOCH);
        let of = |opening, as_of| Life { opening: Opening::filled(opening), ..life(as_of, 0) };
        let dead: Vec<bool> = (0..9).map(|as_of| fences.is_dead(&of(0, as_of))).collect();
        assert_eq!(dead, [true, true, true, false, false, false, true, true, true]);
        let dead: Vec<bool> = (4..9).map(|as_of| fences.is_dead(&of(1, as_of))).collect();
        assert_eq!(dead, [true, true, false, false, false]);
        assert!(fences.is_dead(&of(2, 7)) && fences.is_dead_by(&of(2, 7), Position::new(9)));
    }

    /// Every list of up to this many fences of these scopes, with every cutoff, by clocks that jump
    /// in between.
    fn lists(scopes: &[TaggedScope], most: u64) -> Vec<Vec<(TaggedScope, Fence)>> {
        const CUTOFFS: [Millis; 4] = [Millis::new(10), Millis::new(20), Millis::new(30), NO_CUTOFF];
        const TIMES: [Millis; 3] = [Millis::new(8), Millis::new(22), Millis::new(40)];
        let mut lists = vec![Vec::<(TaggedScope, Fence)>::new()];
        for position in (1..=most).map(Position::new) {
            let shorter: Vec<_> = lists
                .iter()
                .filter(|list| list.len() + 1 == position.get() as usize)
                .cloned()
                .collect();
            for (scope, cutoff, time) in scopes.iter().flat_map(|scope| {
                CUTOFFS.iter().flat_map(move |cutoff| TIMES.map(|time| (scope, *cutoff, time)))
            }) {
                let longer = |list: &Vec<_>| {
                    [list.as_slice(), &[(*scope, Fence { position, cutoff, time })]].concat()
                };
                lists.extend(shorter.iter().map(longer));
            }
        }
        lists
    }

    /// The rule, word by word, against the frontier.
    #[test]
    fn the_frontier_hides_nothing_that_decides() {
        let (account, tenant) = (
            TaggedScope::Account(AccountTag::filled(1)),
            TaggedScope::Tenant(TenantTag::filled(9)),
        );
        let lists = [lists(&[account, tenant], 2), lists(&[account], 3)].concat();
        let (mut dead, mut spared) = (0, 0);
        for list in &lists {
            let mut fences = fences();
            list.iter().for_each(|(scope, fence)| fences.stand(*scope, *fence));
            for (as_of, time) in (0..=3).flat_map(|a| [5, 9, 15, 21, 25, 35, 45].map(|t| (a, t))) {
                let life = life(as_of, time);
                let covers = |f: &Fence| {
                    f.position > life.as_of && (life.time <= f.cutoff || life.time > f.time)
                };
                let covered = |scope: TaggedScope, end: u64| {
                    list.iter().any(|(s, f)| *s == scope && f.position.get() <= end && covers(f))
                };
                assert_eq!(fences.is_dead(&life), covered(account, 9), "{as_of} {time}");
                assert_eq!(fences.is_tenant_dead(&life, TenantTag::filled(9)), covered(tenant, 9));
                // Reclaim may miss what a newer fence hides, but never takes what is not dead.
                assert!(!fences.is_dead_by(&life, Position::new(2)) || covered(account, 2));
                dead += usize::from(fences.is_dead(&life));
                spared += usize::from(!fences.is_dead(&life) && as_of == 0 && list.len() > 1);
            }
        }
        assert!(
            lists.len() > 2000 && dead > 20_000 && spared > 1000,
            "{} lists, {dead} dead, {spared} spared",
            lists.len()
        );
    }

    /// A clock that was ahead, and is corrected: the sign-in carries the future, and no cutoff
    /// spares it. One from between cutoff and sign-out is spared.
    #[test]
    fn a_sign_in_from_the_future_of_a_sign_out_is_older_than_its_cutoff() {
        let mut fences = fences();
        fences.stand(
            TaggedScope::Session(SessionTag::filled(3)),
            Fence { position: Position::new(5), cutoff: Millis::new(60), time: Millis::new(100) },
        );
        let is_dead = |time| fences.is_dead(&life(4, time));
        assert_eq!([60, 61, 100, 101, 86_400_000].map(is_dead), [true, false, false, true, true]);
        assert!(
            !fences.is_dead(&life(5, 101)),
            "what was signed in after it is newer, whatever its time"
        );
    }

    /// What an account of version 1 had under either tag, against fences under either, old and new.
    #[test]
    fn a_sign_in_of_two_tags_is_covered_by_both() {
        let [today, other, somebody] = [1, 7, 8].map(AccountTag::filled);
        for (of, by) in [
            (today, today),
            (today, other),
            (other, today),
            (other, other),
            (today, somebody),
            (other, somebody),
        ] {
            let mut fences = fences();
            fences.stand(TaggedScope::Account(by), fence(5, NO_CUTOFF));
            let twin = if of == today { other } else { today };
            let life = Life { account: of, other: Some(twin), ..life(4, 0) };
            assert_eq!(fences.is_dead(&life), by != somebody);
            assert!(!fences.is_dead(&Life { as_of: Position::new(5), ..life }), "it came after");
        }
    }

    #[test]
    fn every_scope_of_a_sign_in_covers_it_and_no_other_does() {
        let mine = [
            TaggedScope::Everybody,
            TaggedScope::Account(AccountTag::filled(1)),
            TaggedScope::Tenant(TenantTag::filled(2)),
            TaggedScope::Session(SessionTag::filled(3)),
            TaggedScope::SignIn(SignInTag::filled(4)),
        ];
        let others = [
            TaggedScope::Account(AccountTag::filled(2)),
            TaggedScope::Tenant(TenantTag::filled(1)),
            TaggedScope::Session(SessionTag::filled(1)),
            TaggedScope::Subject(SubjectTag::filled(3)),
            TaggedScope::SignIn(SignInTag::filled(1)),
        ];
        for (scope, expected) in
            mine.map(|s| (s, true)).into_iter().chain(others.map(|s| (s, false)))
        {
            let mut fences = fences();
            fences.stand(scope, fence(5, NO_CUTOFF));
            assert_eq!(fences.is_dead(&life(4, 0)), expected);
            assert!(!fences.is_dead(&life(5, 0)), "a sign-in as of the fence is newer than it");
        }
    }
}
