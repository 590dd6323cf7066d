//! What every place has to do that instances share: each case runs on each of them.

use super::exchange::{Ask, Change, Changed, End, Exchange, Guard, LedgerSeen, Scan};
use crate::SharedMachine;
use crate::backend::Sight;
use crate::backend::exchange::SharedPlace;
use crate::backend::remote::{Remote, error_of};
use crate::crypto::{KeySource, Keyring};
use crate::engine::Durability;
use crate::model::position::Position;
use crate::model::tag::{AccountTag, SessionTag, SignInTag, TaggedScope, TenantTag};
use crate::model::time::Millis;
use crate::rows::cipher::Rows;
use crate::rows::row_key::{self, IndexEntry};
use crate::rule::{Fence, NO_CUTOFF};

/// As many sign-outs as make it worth while to drop them.
const MANY: usize = 64;

/// A place under test.
trait Tested {
    /// Whether what was not flushed is lost when it fails over.
    const LOSES: bool = true;

    fn new() -> Self;

    /// Another instance.
    fn join(&self) -> Box<dyn Exchange>;

    /// It dies; what was not flushed is lost.
    fn fail_over(&self);
}

impl Tested for SharedMachine {
    fn new() -> Self {
        Self::new()
    }

    fn join(&self) -> Box<dyn Exchange> {
        let (_, instance) =
            SharedPlace::join(self, &KeySource::bytes([7; 32]), Millis::new(5)).unwrap();
        instance
    }

    fn fail_over(&self) {
        self.fail_over();
    }
}

/// The place of files.
#[cfg(all(unix, feature = "sqlite"))]
struct OnSqlite(SharedMachine);

#[cfg(all(unix, feature = "sqlite"))]
impl Tested for OnSqlite {
    const LOSES: bool = false;

    fn new() -> Self {
        Self(SharedMachine::on_sqlite())
    }

    fn join(&self) -> Box<dyn Exchange> {
        Tested::join(&self.0)
    }

    /// (Nothing of it is lost: `tests/disk_faults` cuts its power.)
    fn fail_over(&self) {}
}

macro_rules! on_every_place {
    ($($name:ident),+ $(,)?) => {
        mod pretended { $(#[test] fn $name() { super::$name::<super::SharedMachine>() })+ }
        #[cfg(all(unix, feature = "sqlite"))]
        mod sqlite { $(#[test] fn $name() { super::$name::<super::OnSqlite>() })+ }
    };
}

on_every_place!(
    a_look_answers_in_the_order_of_what_was_asked,
    a_change_is_seen_by_all_as_a_whole_or_not_at_all,
    a_change_is_not_made_behind_a_newer_fence,
    positions_rise_without_gaps_and_a_call_stands_at_once,
    cutoffs_do_not_hide_one_another,
    accounts_of_a_session_end_in_the_same_step,
    rows_are_taken_as_they_were,
    the_floor_stands_for_what_was_dropped,
    what_was_answered_outlives_a_crash_and_no_position_comes_again,
    a_plan_sees_one_moment_however_often_it_is_made_anew,
    an_opening_that_was_only_seen_may_not_be_there_for_good,
    a_change_in_a_turn_is_not_made_behind_a_fence_that_came_meanwhile,
);

fn put(rows: &[(&[u8], &[u8])]) -> Change {
    let rows = rows.iter().map(|(key, value)| (key.to_vec(), Some(value.to_vec())));
    let durability = Some(Durability::PowerLoss);
    Change { rows: rows.collect(), durability, ..Change::default() }
}

fn out(scopes: &[TaggedScope]) -> End {
    let (whole, most, cutoff, now) = (Vec::new(), 64, NO_CUTOFF, Millis::new(100));
    End { scopes: scopes.to_vec(), whole, holders: vec![], most, cutoff, now, take: false }
}

fn get(place: &dyn Exchange, key: &[u8]) -> Option<Vec<u8>> {
    place.look(&Ask::default().key(key.to_vec())).unwrap().rows.remove(0)
}

fn ledger(place: &dyn Exchange) -> LedgerSeen {
    place.look(&Ask::default()).unwrap().ledger
}

fn fences(place: &dyn Exchange, scope: TaggedScope) -> Vec<Fence> {
    let seen = place.look(&Ask::default().fences([scope])).unwrap();
    assert!(seen.fences.iter().all(|(one, _)| *one == scope), "a fence that nobody asked for");
    seen.fences.into_iter().map(|(_, fence)| fence).collect()
}

fn account(number: u8) -> AccountTag {
    AccountTag::filled(number)
}

fn of(number: u8) -> TaggedScope {
    TaggedScope::Account(account(number))
}

fn a_look_answers_in_the_order_of_what_was_asked<P: Tested>() {
    let place = P::new();
    let (here, there) = (place.join(), place.join());
    let all: [(&[u8], &[u8]); 5] =
        [(b"a", b"1"), (b"b1", b"2"), (b"b2", b"3"), (b"b2x", b"4"), (b"c", b"5")];
    assert_eq!(here.change(&put(&all)).unwrap(), Changed::Done);
    let scan = |after: Option<&[u8]>, limit| Scan {
        with_values: true,
        prefix: b"b".to_vec(),
        after: after.map(Into::into),
        limit,
    };
    let mut ask = Ask::default().key(b"c".to_vec()).key(b"none".to_vec()).key(b"a".to_vec());
    ask.scans = vec![scan(None, usize::MAX), scan(None, 1), scan(Some(b"b1"), 5)];
    let seen = there.look(&ask).unwrap();
    assert_eq!(seen.rows, [Some(b"5".to_vec()), None, Some(b"1".to_vec())]);
    let keys = |number: usize| -> Vec<&[u8]> {
        seen.scanned[number].iter().map(|(key, _)| key.as_slice()).collect()
    };
    assert_eq!(keys(0), [b"b1".as_slice(), b"b2", b"b2x"]);
    assert_eq!(keys(1), [b"b1".as_slice()]);
    assert_eq!(keys(2), [b"b2".as_slice(), b"b2x"]);
    assert!(seen.fences.is_empty());
}

fn a_change_is_seen_by_all_as_a_whole_or_not_at_all<P: Tested>() {
    let place = P::new();
    let (here, there) = (place.join(), place.join());
    let _ = here.change(&put(&[(b"header", b"1"), (b"row", b"1")])).unwrap();
    let new = put(&[(b"header", b"2"), (b"new", b"2")]);
    let is = |key: &[u8], value: Option<&[u8]>| Guard::Row(key.into(), value.map(Into::into));
    let refused = [
        vec![is(b"header", Some(b"0"))],
        vec![is(b"header", None)],
        vec![is(b"none", Some(b"1"))],
        vec![Guard::NoneUnder(b"ro".to_vec())],
        vec![is(b"header", Some(b"1")), is(b"row", Some(b"2"))],
    ];
    for guards in refused {
        let change = Change { guards, ..new.clone() };
        assert_eq!(there.change(&change).unwrap(), Changed::Guard, "{:?}", change.guards);
        assert_eq!(get(&*here, b"header"), Some(b"1".to_vec()));
        assert_eq!(get(&*here, b"new"), None);
    }
    let guards =
        vec![is(b"header", Some(b"1")), is(b"none", None), Guard::NoneUnder(b"x".to_vec())];
    let mut change = Change { guards, ..new };
    change.rows.push((b"row".to_vec(), None));
    // For one key the last counts.
    change.rows.push((b"new".to_vec(), Some(b"3".to_vec())));
    assert_eq!(there.change(&change).unwrap(), Changed::Done);
    let seen = [b"header".as_slice(), b"row", b"new"].map(|key| get(&*here, key));
    assert_eq!(seen, [Some(b"2".to_vec()), None, Some(b"3".to_vec())]);
}

fn a_change_is_not_made_behind_a_newer_fence<P: Tested>() {
    let place = P::new();
    let (here, there) = (place.join(), place.join());
    let tenant = TaggedScope::Tenant(TenantTag::filled(1));
    let before = ledger(&*here).end;
    there.end(&out(&[tenant])).unwrap();
    let now = ledger(&*here).end;
    let change = |scopes: &[TaggedScope], seen| {
        let unless = (scopes.to_vec(), seen);
        here.change(&Change { unless, ..put(&[(b"k", b"v")]) }).unwrap()
    };
    assert_eq!(change(&[of(1), tenant], before), Changed::Fenced);
    assert_eq!(get(&*there, b"k"), None);
    assert_eq!(change(&[of(1), tenant], now), Changed::Done);
    assert_eq!(change(&[of(1), TaggedScope::Everybody], before), Changed::Done);
    // What was dropped for its age counts for everybody.
    (0..MANY).for_each(|_| drop(there.end(&out(&[tenant])).unwrap()));
    let now = ledger(&*here).end;
    there.forget(Millis::new(101)).unwrap();
    assert_eq!(change(&[of(1), TaggedScope::Everybody], before), Changed::Fenced);
    assert_eq!(change(&[of(1), TaggedScope::Everybody], now), Changed::Done);
}

fn positions_rise_without_gaps_and_a_call_stands_at_once<P: Tested>() {
    let place = P::new();
    let (here, there) = (place.join(), place.join());
    there.begin(Millis::new(5)).unwrap();
    let first = ledger(&*here).end;
    let mut last = first;
    for (number, instance) in (0u8..6).zip([&here, &there].into_iter().cycle()) {
        let ended = instance.end(&out(&[of(number), of(99)])).unwrap();
        assert_eq!(ended.positions, (last.next(), last.next().next()));
        assert_eq!(ended.at, Millis::new(100));
        last = ended.positions.1;
        assert_eq!(ledger(&*there).end, last);
        assert_eq!(fences(&*there, of(number)).len(), 1);
        assert_eq!(fences(&*here, of(99)).last().map(|fence| fence.position), Some(last));
    }
    assert_eq!(ledger(&*here).openings.newest(), ledger(&*there).openings.newest());
}

fn cutoffs_do_not_hide_one_another<P: Tested>() {
    let place = P::new();
    let here = place.join();
    for (cutoff, now) in [(90, 100), (50, 110), (70, 120)] {
        let (cutoff, now) = (Millis::new(cutoff), Millis::new(now));
        here.end(&End { cutoff, now, ..out(&[of(1)]) }).unwrap();
    }
    let stand = fences(&*here, of(1));
    let latest = stand.iter().map(|fence| fence.cutoff).max();
    assert_eq!(latest, Some(Millis::new(90)), "the first ends more than those behind it");
    assert_eq!(stand.last().map(|fence| fence.cutoff), Some(Millis::new(70)));
    assert!(stand.is_sorted_by_key(|fence| fence.position));
}

fn accounts_of_a_session_end_in_the_same_step<P: Tested>() {
    let place = P::new();
    let here = place.join();
    let session = SessionTag::filled(1);
    let entries: Vec<_> = (1..=3)
        .map(|number| IndexEntry::Session(session).row(&account(number)))
        .map(|key| (key, Some(Vec::new())))
        .collect();
    let _ = here.change(&Change { rows: entries, ..Change::default() }).unwrap();
    let whole = vec![TaggedScope::Session(session)];
    let end = End { whole: whole.clone(), ..out(&whole) };
    let ended = here.end(&end).unwrap();
    assert_eq!(ended.accounts, Some(vec![account(1), account(2), account(3)]));
    assert_eq!(ended.positions.1.since(ended.positions.0), 3, "the session, and three accounts");
    assert!((1..=3).all(|number| fences(&*here, of(number)).len() == 1));
    assert!(ended.before.is_empty());
    // Of more than may stand at once, the session alone ends, and the caller is told.
    let ended = here.end(&End { most: 3, ..end }).unwrap();
    assert_eq!((ended.accounts, ended.positions.1.since(ended.positions.0)), (None, 0));
    assert_eq!(ended.before.len(), 1);
}

fn rows_are_taken_as_they_were<P: Tested>() {
    let place = P::new();
    let here = place.join();
    let (session, tag) = (SessionTag::filled(1), account(1));
    let (header, index) = (row_key::header(&tag), IndexEntry::Session(session).row(&tag));
    let other = row_key::header(&account(2));
    let rows: [(&[u8], &[u8]); 3] = [(&header, b"sealed"), (&index, b""), (&other, b"x")];
    let _ = here.change(&put(&rows)).unwrap();
    let scopes = vec![TaggedScope::Session(session)];
    let ended = here.end(&End { take: true, ..out(&scopes) }).unwrap();
    assert_eq!(ended.holders, [tag]);
    assert_eq!(ended.rows, [(header, b"sealed".to_vec())]);
    assert!(here.end(&out(&scopes)).unwrap().rows.is_empty(), "they were not asked for");
    // Of a sign-in, whose account no index finds.
    let scopes = vec![TaggedScope::SignIn(SignInTag::filled(1))];
    let holders = vec![account(2)];
    let ended = here.end(&End { take: true, holders: holders.clone(), ..out(&scopes) }).unwrap();
    assert_eq!((ended.holders, ended.rows), (holders, vec![(other, b"x".to_vec())]));
}

fn the_floor_stands_for_what_was_dropped<P: Tested>() {
    let place = P::new();
    let here = place.join();
    let ended = (0..MANY).map(|_| here.end(&out(&[of(1)])).unwrap()).last().unwrap();
    let newer = here.end(&End { now: Millis::new(200), ..out(&[of(2)]) }).unwrap();
    assert_eq!(ledger(&*here).known_since, Millis::new(5), "since it was made");
    here.forget(Millis::new(150)).unwrap();
    let seen = ledger(&*here);
    let floor = seen.floor.map(|floor| (floor.position, floor.cutoff));
    assert_eq!(floor, Some((ended.positions.1, NO_CUTOFF)));
    let since = seen.known_since;
    assert!((Millis::new(100)..=Millis::new(150)).contains(&since), "{since:?}");
    assert_eq!(seen.end, newer.positions.1);
    assert_eq!((fences(&*here, of(1)).len(), fences(&*here, of(2)).len()), (0, 1));
    // It never goes back.
    here.forget(Millis::new(120)).unwrap();
    assert_eq!(ledger(&*here).known_since, since);
}

fn what_was_answered_outlives_a_crash_and_no_position_comes_again<P: Tested>() {
    let place = P::new();
    let here = place.join();
    let _ = here.change(&put(&[(b"flushed", b"1")])).unwrap();
    let ended = here.end(&out(&[of(1)])).unwrap();
    let unflushed = Change { durability: None, ..put(&[(b"unflushed", b"1")]) };
    let _ = here.change(&unflushed).unwrap();
    place.fail_over();
    assert_eq!(get(&*here, b"flushed"), Some(b"1".to_vec()));
    assert_eq!(fences(&*here, of(1)).len(), 1);
    let after = here.end(&out(&[of(2)])).unwrap();
    let jump = if P::LOSES { 1 << 20 } else { 0 };
    let far = Position::new(ended.positions.1.get() + jump);
    assert!(after.positions.0 > far, "beyond all that may have been given out and lost");
    assert!(ledger(&*here).end >= after.positions.1);
}

/// What stands in a scope is the same for every question of a plan. Sign-outs come while it is made,
/// and again while it is made anew.
fn a_plan_sees_one_moment_however_often_it_is_made_anew<P: Tested>() {
    let place = P::new();
    // (None of the store's own rows is read.)
    let (keyring, _) = Keyring::create(&KeySource::bytes([7; 32])).unwrap();
    let remote = Remote::new(place.join(), Rows::new(keyring.store_id, keyring.secrets));
    let mut plans = 0;
    let newest = |sight: &Sight| {
        sight.rule([of(1)], |fences| fences.last(of(1)).map(|fence| fence.position))
    };
    let (first, second) = remote
        .read(Ask::default(), |sight| {
            plans += 1;
            // (The rows' moment begins.)
            let _ = sight.get(b"row");
            let first = newest(sight);
            if plans <= 3 {
                remote.with(|place| place.end(&out(&[of(1)]))).map_err(error_of)?;
            }
            Ok((first, newest(sight)))
        })
        .unwrap();
    assert_eq!(first, second, "in plan {plans}");
}

// Whoever has written it may still wait for the disk.
fn an_opening_that_was_only_seen_may_not_be_there_for_good<P: Tested>() {
    let place = P::new();
    let (here, there) = (place.join(), place.join());
    let _ = here.begin(Millis::new(5)).unwrap();
    let seen = ledger(&*there);
    assert!(seen.openings.has_current());
    assert_eq!(seen.has_begun, !there.is_near());
    assert_eq!(there.begin(Millis::new(5)).unwrap(), there.is_near());
    assert!(ledger(&*there).has_begun);
}

fn a_change_in_a_turn_is_not_made_behind_a_fence_that_came_meanwhile<P: Tested>() {
    let place = P::new();
    let (here, there) = (place.join(), place.join());
    let change = |end| Change { unless: (vec![of(1)], end), ..put(&[(b"k", b"v")]) };
    if !here.is_near() {
        assert_eq!(here.change_in_turn(&mut |seen| Some(change(seen.ledger.end))).unwrap(), None);
        return;
    }
    let changed = here.change_in_turn(&mut |seen| {
        let (end, more) = (seen.ledger.end, seen.more.unwrap());
        assert!(more.is_in_turn() && more.end_before() == end);
        let _ = there.end(&out(&[of(1)])).unwrap();
        // (With a look it reads on.)
        assert!(ledger(&*here).end > end && more.end() > more.end_before());
        Some(change(end))
    });
    assert_eq!(changed.unwrap(), Some(Changed::Fenced));
    assert_eq!(get(&*there, b"k"), None);
    // Nothing came meanwhile; and what is not planned is not written.
    let planned = here.change_in_turn(&mut |seen| Some(change(seen.ledger.end))).unwrap();
    assert_eq!((planned, get(&*there, b"k")), (Some(Changed::Done), Some(b"v".to_vec())));
    assert_eq!(here.change_in_turn(&mut |_| None).unwrap(), None);
}
