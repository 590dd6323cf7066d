//! The interleavings that a shared store is known to get wrong, one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oubliette::*;
use oubliette_testkit::accounts::*;

use super::world::is_in_background;

/// Two instances, of which the first has signed account 1 in: in session 1, with tokens.
struct Two {
    machine: SharedMachine,
    clock: ManualClock,
    here: TokenStore,
    there: TokenStore,
    live: LiveSignIn,
}

impl Two {
    fn new() -> Self {
        let (machine, clock) = (SharedMachine::new(), ManualClock::new(now()));
        let open = || machine.builder().clock(clock.clone()).open().unwrap();
        let (here, there) = (open(), open());
        let live = here.sign_in(sign_in(1).session(session(1))).unwrap();
        live.put([access("a", "old").into(), refresh("old").into()]).unwrap();
        Self { machine, clock, here, there, live }
    }

    /// The next time that the first instance is about to take this step, or has taken it, something
    /// else happens first.
    fn then(&self, step: Step, is_done: bool, happens: impl Fn() + Send + Sync + 'static) {
        self.at_the(1, step, is_done, happens);
    }

    /// As `then`, the `number`th time.
    fn at_the(
        &self,
        number: usize,
        step: Step,
        is_done: bool,
        happens: impl Fn() + Send + Sync + 'static,
    ) {
        let met = AtomicUsize::new(0);
        self.machine.on_exchange(move |exchanged| {
            if exchanged.instance == 0
                && !is_in_background()
                && (exchanged.step, exchanged.is_done) == (step, is_done)
                && met.fetch_add(1, Ordering::Relaxed) + 1 == number
            {
                happens();
            }
            Fate::Answered
        });
    }

    fn is_out(&self) -> bool {
        let read = |live: &LiveSignIn| {
            live.access_token(&query("a")).unwrap().is_some()
                || live.refresh_token(&client()).unwrap().is_some()
        };
        !read(&self.live)
            && !self.there.account(&account(1)).unwrap().iter().any(read)
            && self.here.account(&account(1)).unwrap().is_empty()
    }
}

fn new() -> [Token; 2] {
    [access("a", "new").into(), refresh("new").into()]
}

// 1
#[test]
fn a_late_refresh_is_refused_after_another_instances_sign_out() {
    let two = Two::new();
    let there = two.there.clone();
    let out = move || drop(there.sign_out(SignOut::account(&account(1))).unwrap());
    two.then(Step::Change, false, out.clone());
    assert!(matches!(two.live.put(new()), Err(Error::SignedOut)));
    assert!(two.is_out());

    let two = Two::new();
    let there = two.there.clone();
    // It comes behind the put: what that stored is covered all the same.
    two.then(Step::Change, true, move || {
        there.sign_out(SignOut::account(&account(1))).unwrap();
    });
    two.live.put(new()).unwrap();
    assert!(two.is_out());
    drop(out);
}

// 2
#[test]
fn a_late_refresh_is_refused_after_its_tenants_sign_out() {
    for is_done in [false, true] {
        let two = Two::new();
        let there = two.there.clone();
        two.then(Step::Change, is_done, move || {
            there.sign_out(SignOut::tenant(&tenant(1))).unwrap();
        });
        assert_eq!(two.live.put(new()).is_ok(), is_done);
        assert!(two.is_out());
    }
    // A guest's token, whose tenant is not its sign-in's.
    let guest = AccessToken { tenant: Some(tenant(9)), ..access("a", "guest") };
    let two = Two::new();
    let there = two.there.clone();
    two.then(Step::Change, false, move || {
        there.sign_out(SignOut::tenant(&tenant(9))).unwrap();
    });
    assert_eq!(two.live.put(guest).unwrap().refused, [0]);
    assert!(two.live.access_token(&query("a").tenant(tenant(9))).unwrap().is_none());
}

// 3, 4
#[test]
fn a_refresh_token_is_taken_or_refused_and_never_left() {
    for is_done in [false, true] {
        let two = Two::new();
        let (there, taken) = (two.there.clone(), Arc::new(std::sync::Mutex::new(Vec::new())));
        let told = taken.clone();
        two.then(Step::Change, is_done, move || {
            let out = SignOut::account(&account(1)).taking_refresh_tokens();
            let receipt = there.sign_out(out).unwrap();
            assert!(!receipt.refresh_tokens_missed);
            let secrets = receipt.refresh_tokens.iter().map(|it| it.secret.expose().to_owned());
            told.lock().unwrap().extend(secrets);
        });
        let put = two.live.put(new());
        assert_eq!(put.is_ok(), is_done, "{put:?}");
        assert_eq!(*taken.lock().unwrap(), [if is_done { "new" } else { "old" }]);
        assert!(two.is_out());
    }
}

/// Account 1 signs in to session 2 too, while that session is signed out. Gives how many of the
/// account's sign-ins live.
fn sessions_sign_out_beside_a_sign_in(step: Step, is_done: bool, flaw: Option<Flaw>) -> usize {
    let two = Two::new();
    if let Some(flaw) = flaw {
        two.machine.break_promise(flaw);
    }
    let there = two.there.clone();
    two.then(step, is_done, move || {
        there.sign_out(SignOut::session(&session(2))).unwrap();
    });
    two.here.sign_in(sign_in(1).session(session(2))).unwrap();
    two.machine.run_undisturbed();
    two.there.account(&account(1)).unwrap().len()
}

// 5
#[test]
fn a_sessions_sign_out_never_ends_half_an_account() {
    for step in [Step::Look, Step::Change, Step::Flush] {
        for is_done in [false, true] {
            let left = sessions_sign_out_beside_a_sign_in(step, is_done, None);
            let was_written = step == Step::Flush || step == Step::Change && is_done;
            assert_eq!(left, if was_written { 0 } else { 2 }, "{step:?} {is_done}");
        }
    }
    let left = sessions_sign_out_beside_a_sign_in(Step::Change, false, Some(Flaw::BlindToFences));
    assert_eq!(left, 1, "half of it, if a sign-in does not look again");
}

// 6
#[test]
fn a_sessions_accounts_are_found_in_the_step_that_ends_them() {
    let halved = |flaw: Option<Flaw>| {
        let two = Two::new();
        if let Some(flaw) = flaw {
            two.machine.break_promise(flaw);
        }
        // Here is the sign-out; there is the sign-in that comes in between.
        let there = two.there.clone();
        two.then(Step::End, false, move || {
            there.sign_in(sign_in(1).session(session(2))).unwrap();
        });
        two.here.sign_out(SignOut::session(&session(2))).unwrap();
        two.machine.run_undisturbed();
        two.there.account(&account(1)).unwrap().len()
    };
    assert_eq!(halved(None), 0);
    assert_eq!(halved(Some(Flaw::IndexBefore)), 1, "the first sign-in is left over");
}

// 7
#[test]
fn positions_become_visible_in_their_order() {
    let two = Two::new();
    let (there, seen) = (two.there.clone(), Arc::new(AtomicUsize::new(0)));
    let inner = seen.clone();
    two.then(Step::End, false, move || {
        let receipt = there.sign_out(SignOut::account(&account(2))).unwrap();
        inner.store(receipt.position as usize, Ordering::Relaxed);
    });
    let receipt = two.here.sign_out(SignOut::account(&account(1))).unwrap();
    let inner = seen.load(Ordering::Relaxed) as u64;
    assert!(inner > 0 && receipt.position == inner + 1, "{} {inner}", receipt.position);
}

// 8
#[test]
fn a_sign_in_beside_its_tenants_sign_out_is_before_or_behind_it() {
    for step in [Step::Look, Step::Change, Step::Flush] {
        for is_done in [false, true] {
            let two = Two::new();
            let there = two.there.clone();
            two.then(step, is_done, move || {
                there.sign_out(SignOut::tenant(&tenant(1))).unwrap();
            });
            let live = two.here.sign_in(sign_in(1)).unwrap();
            two.machine.run_undisturbed();
            let is_behind = live.is_live().unwrap();
            let was_written = step == Step::Flush || step == Step::Change && is_done;
            assert_eq!(is_behind, !was_written, "{step:?} {is_done}");
            let listed = two.there.account(&account(1)).unwrap();
            assert_eq!(listed, if is_behind { vec![live] } else { Vec::new() });
        }
    }
}

// 9
#[test]
fn two_sign_ins_to_a_dead_account_join() {
    let two = Two::new();
    two.here.sign_out(SignOut::account(&account(1))).unwrap();
    let there = two.there.clone();
    two.then(Step::Change, false, move || {
        there.sign_in_with(sign_in(1), new()).unwrap();
    });
    let (mine, _) = two.here.sign_in_with(sign_in(1), new()).unwrap();
    two.machine.run_undisturbed();
    let both = two.there.account(&account(1)).unwrap();
    assert_eq!(both.len(), 2);
    assert!(both.contains(&mine));
    for live in both {
        assert!(live.access_token(&query("a")).unwrap().is_some());
    }
}

/// A sign-out stands and is lost with the primary. A sign-in that has seen it is written behind
/// that, and then signed out. Gives whether that sign-out has ended it.
fn signed_out_at_a_position_of_before_the_crash(flaw: Option<Flaw>) -> bool {
    let two = Two::new();
    if let Some(flaw) = flaw {
        two.machine.break_promise(flaw);
    }
    // The other instance's sign-out stands, and has not been flushed.
    let (machine, here, there) = (two.machine.clone(), two.here.clone(), two.there.clone());
    let nested = machine.clone();
    machine.on_exchange(move |exchanged| {
        if (exchanged.instance, exchanged.step, exchanged.is_done) == (1, Step::Flush, false) {
            // The sign-in begins and has looked, when the place dies.
            let dying = nested.clone();
            nested.on_exchange(move |exchanged| {
                let at = (exchanged.instance, exchanged.step, exchanged.is_done);
                if at == (0, Step::Change, false) {
                    unreachable_for(&dying, 1);
                    dying.fail_over();
                }
                Fate::Answered
            });
            here.sign_in(sign_in(1)).unwrap();
        }
        Fate::Answered
    });
    let lost = there.sign_out(SignOut::account(&account(2)));
    assert!(matches!(lost, Err(Error::Indeterminate(_))), "{lost:?}");
    two.machine.run_undisturbed();
    assert_eq!(there.account(&account(1)).unwrap().len(), 2);
    there.sign_out(SignOut::account(&account(1))).unwrap();
    here_is_out(&two)
}

/// From now on no sign-out of this instance arrives.
fn unreachable_for(machine: &SharedMachine, instance: usize) {
    machine.on_exchange(move |exchanged| {
        if exchanged.instance == instance && exchanged.step == Step::End {
            Fate::NotSent
        } else {
            Fate::Answered
        }
    });
}

fn here_is_out(two: &Two) -> bool {
    two.there.account(&account(1)).unwrap().is_empty()
}

// 10
#[test]
fn no_position_that_was_seen_is_given_out_again() {
    assert!(signed_out_at_a_position_of_before_the_crash(None));
    assert!(!signed_out_at_a_position_of_before_the_crash(Some(Flaw::PositionsAgain)));
}

/// A moment is taken of a sign-out that is lost with the primary. Gives whether a sign-in as of
/// that moment is refused, after a sign-out that was acknowledged.
fn as_of_a_lost_moment(flaw: Option<Flaw>) -> bool {
    let two = Two::new();
    if let Some(flaw) = flaw {
        two.machine.break_promise(flaw);
    }
    let (machine, there) = (two.machine.clone(), two.there.clone());
    let moment = Arc::new(std::sync::Mutex::new(None));
    let taken = moment.clone();
    two.then(Step::Flush, false, move || {
        *taken.lock().unwrap() = Some(there.as_of().unwrap());
        unreachable_for(&machine, 0);
        machine.fail_over();
    });
    let lost = two.here.sign_out(SignOut::account(&account(2)));
    assert!(matches!(lost, Err(Error::Indeterminate(_))), "{lost:?}");
    two.machine.run_undisturbed();
    two.here.sign_out(SignOut::account(&account(1))).unwrap();
    let moment = moment.lock().unwrap().take().unwrap();
    let made = two.here.sign_in(sign_in(1).as_of(moment));
    matches!(made, Err(Error::Overtaken { .. }))
}

// 11
#[test]
fn a_moment_of_before_a_crash_does_not_spare_a_sign_in() {
    assert!(as_of_a_lost_moment(None));
    assert!(!as_of_a_lost_moment(Some(Flaw::PositionsAgain)));
}

// 22
#[test]
fn a_sweep_takes_nothing_of_an_account_that_comes_back_meanwhile() {
    let mut comings = 0;
    for step in [Step::Look, Step::Change] {
        for (number, is_done) in (1..12).flat_map(|number| [(number, false), (number, true)]) {
            let two = Two::new();
            let still = two.here.sign_in(sign_in(2).session(session(1))).unwrap();
            // Dead, and its rows are there: another instance has signed it out and gone.
            let dead = two.machine.rows();
            two.there.sign_out(SignOut::account(&account(1))).unwrap();
            two.there.wait_reclaimed().unwrap();
            two.machine.set_rows(dead);
            let (there, came) = (two.there.clone(), Arc::new(AtomicUsize::new(0)));
            let count = came.clone();
            two.at_the(number, step, is_done, move || {
                count.fetch_add(1, Ordering::Relaxed);
                there.sign_in_with(sign_in(1).session(session(1)), new()).unwrap();
            });
            assert!(two.here.sweep(1000).unwrap().finished);
            two.machine.run_undisturbed();
            if came.load(Ordering::Relaxed) == 0 {
                break;
            }
            comings += 1;
            let back = two.there.account(&account(1)).unwrap();
            assert_eq!(back.len(), 1, "{step:?} {number}");
            assert!(back[0].refresh_token(&client()).unwrap().is_some(), "{step:?} {number}");
            assert!(still.is_live().unwrap());
            // It is found by its session: else a sign-out of that would not end it.
            assert!(two.there.verify().unwrap().is_sound(), "{step:?} {number}");
        }
    }
    assert!(comings > 10, "{comings}");
}

// 23
#[test]
fn an_old_sign_in_is_not_spared_by_fences_that_were_dropped() {
    let two = Two::new();
    let moment = two.here.as_of().unwrap();
    let (there, clock) = (two.there.clone(), two.clock.clone());
    two.then(Step::Change, false, move || {
        there.sign_out(SignOut::account(&account(1))).unwrap();
        clock.advance(Duration::from_secs(100 * 24 * 3600));
        assert!(there.sweep(1000).unwrap().finished);
        assert_eq!(there.stats().unwrap().fences, 0, "it was dropped for its age");
    });
    let made = two.here.sign_in(sign_in(1).as_of(moment));
    assert!(matches!(made, Err(Error::Overtaken { .. })), "{made:?}");
    two.machine.run_undisturbed();
    assert!(here_is_out(&two));
}

// 24
#[test]
fn an_instance_that_stood_still_for_an_hour_brings_nothing_back() {
    for sign_out in [SignOut::everybody(), SignOut::session(&session(1))] {
        for reclaims in [false, true] {
            let two = Two::new();
            let (there, clock, out) = (two.there.clone(), two.clock.clone(), sign_out.clone());
            let before = two.machine.rows();
            let (machine, is_refused) = (two.machine.clone(), Arc::new(AtomicUsize::new(0)));
            let count = is_refused.clone();
            two.then(Step::Change, false, move || {
                clock.advance(Duration::from_secs(3600));
                there.sign_out(out.clone()).unwrap();
                there.wait_reclaimed().unwrap();
                if !reclaims {
                    // Nothing but the fence keeps it out.
                    machine.set_rows(before.clone());
                }
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert!(matches!(two.live.put(new()), Err(Error::SignedOut)));
            assert_eq!(is_refused.load(Ordering::Relaxed), 1);
            two.machine.run_undisturbed();
            assert!(two.is_out());
        }
    }
}

/// The first flush of a sign-in fails, or the answer to it is lost, and it is tried again: when its
/// caller is told, it is durable.
#[test]
fn what_an_earlier_try_has_written_is_flushed_before_it_is_told() {
    for fate in [Fate::NotSent, Fate::Lost] {
        let two = Two::new();
        let met = AtomicUsize::new(0);
        two.machine.on_exchange(move |exchanged| {
            let is_flush = (exchanged.step, exchanged.is_done) == (Step::Flush, false);
            if is_flush && met.fetch_add(1, Ordering::Relaxed) == 0 { fate } else { Fate::Answered }
        });
        let live = two.here.sign_in(sign_in(2)).unwrap();
        two.machine.run_undisturbed();
        two.machine.fail_over();
        assert_eq!(two.there.account(&account(2)).unwrap(), [live]);
    }
}

/// A sign-out that can be seen may still be lost with the place. Who is told of it, or that there is
/// nothing left to do because of it, is told what stays.
#[test]
fn what_is_said_of_a_sign_out_outlives_the_place() {
    let two = Two::new();
    let alias = Alias::new(AliasKind::Opaque, "ada").unwrap();
    two.here.sign_in(sign_in(2).alias(alias.clone())).unwrap();
    let (here, machine) = (two.here.clone(), two.machine.clone());
    let said = Arc::new(std::sync::Mutex::new(None));
    let told = said.clone();
    machine.clone().on_exchange(move |exchanged| {
        let at = (exchanged.instance, exchanged.step, exchanged.is_done);
        if at == (1, Step::Flush, false) && !is_in_background() {
            unreachable_for(&machine, 1);
            let last = here.last_sign_out(&SignOutScope::Account(account(2))).unwrap();
            // The rows go, although the sign-out is not flushed; then nobody has that name.
            assert!(here.sweep(1000).unwrap().finished);
            let nobody = here.sign_out(SignOut::alias(&alias)).unwrap();
            *told.lock().unwrap() = Some((last, nobody.accounts));
            machine.fail_over();
        }
        Fate::Answered
    });
    let lost = two.there.sign_out(SignOut::account(&account(2)));
    assert!(matches!(lost, Err(Error::Indeterminate(_))), "{lost:?}");
    let (last, nobody) = said.lock().unwrap().take().unwrap();
    assert_eq!(nobody, Some(0));
    two.machine.run_undisturbed();
    let after = two.here.last_sign_out(&SignOutScope::Account(account(2))).unwrap();
    assert!(last.record.is_some() && last.record == after.record);
    assert!(two.here.account(&account(2)).unwrap().is_empty());
}

#[test]
fn a_place_that_has_gone_back_is_noticed_by_who_knows_better() {
    let two = Two::new();
    let earlier = two.machine.copy();
    two.here.sign_out(SignOut::account(&account(1))).unwrap();
    two.machine.go_back_to(&earlier);
    let read = two.live.access_token(&query("a"));
    assert!(matches!(read, Err(Error::Damaged { part: Component::Ledger, .. })), "{read:?}");
    let made = two.here.sign_in(sign_in(1));
    assert!(matches!(made, Err(Error::Damaged { part: Component::Ledger, .. })), "{made:?}");
}

/// What another thread signs out while an answer is under way may be missing in it.
#[test]
fn an_answer_of_before_a_sign_out_is_not_taken_for_a_place_that_has_gone_back() {
    let two = Two::new();
    let other = two.here.clone();
    two.then(Step::Look, true, move || {
        other.sign_out(SignOut::account(&account(2))).unwrap();
    });
    assert!(two.live.access_token(&query("a")).unwrap().is_some());
}

// 17
#[test]
fn an_instance_whose_clock_is_ahead_decides_for_nobody_else() {
    let two = Two::new();
    two.machine.set_clock(two.clock.clone());
    let ahead = ManualClock::new(now() + Duration::from_secs(100 * 24 * 3600));
    let skewed = two.machine.builder().clock(ahead).open().unwrap();
    two.here.sign_out(SignOut::account(&account(9))).unwrap();
    assert!(skewed.sweep(1000).unwrap().finished);
    assert!(two.live.access_token(&query("a")).unwrap().is_some());
    assert_eq!(two.here.stats().unwrap().fences, 1, "none was dropped for its age");
    // Its sign-ins are of the place's time: a cutoff ends them.
    let live = skewed.sign_in(sign_in(2)).unwrap();
    assert_eq!(live.signed_in_at(), now());
    let later = now() + Duration::from_secs(1);
    two.here.sign_out(SignOut::account(&account(2)).signed_in_before(later)).unwrap();
    assert!(!live.is_live().unwrap());
}

#[test]
fn a_newer_refresh_token_of_another_instance_stays() {
    let two = Two::new();
    let theirs = two.there.resume(&account(1), two.live.id()).unwrap().unwrap();
    two.then(Step::Change, false, move || {
        theirs.put(refresh("theirs")).unwrap();
    });
    let acquired = Acquirer::new().acquire(&two.live, query("b"), |_| {
        Ok([access("b", "got").into(), refresh("mine").into()].into())
    });
    assert_eq!(acquired.unwrap().secret.expose(), "got");
    two.machine.run_undisturbed();
    let stored = two.live.refresh_token(&client()).unwrap().unwrap();
    assert_eq!(stored.secret.expose(), "theirs");
}

#[test]
fn an_account_stays_listed_by_the_tenant_of_a_token_that_comes_meanwhile() {
    let guest = |secret: &str| AccessToken { tenant: Some(tenant(9)), ..access("a", secret) };
    let mut comings = 0;
    for number in 1..12 {
        let two = Two::new();
        // An index row that leads to nothing: its token was removed by somebody else.
        let before = two.machine.rows();
        two.live.put(guest("gone")).unwrap();
        let mut rows = two.machine.rows();
        rows.retain(|key, value| before.contains_key(key) || value.is_empty());
        assert_eq!(rows.len(), before.len() + 1);
        two.machine.set_rows(rows);
        let theirs = two.there.resume(&account(1), two.live.id()).unwrap().unwrap();
        let came = Arc::new(AtomicUsize::new(0));
        let count = came.clone();
        two.at_the(number, Step::Change, false, move || {
            count.fetch_add(1, Ordering::Relaxed);
            theirs.put(guest("new")).unwrap();
        });
        assert!(two.here.sweep(1000).unwrap().finished);
        two.machine.run_undisturbed();
        if came.load(Ordering::Relaxed) == 0 {
            break;
        }
        comings += 1;
        let listed = two.there.accounts_in(&tenant(9), Page::first(9)).unwrap();
        assert_eq!(listed.accounts.len(), 1, "{number}");
    }
    assert!(comings > 0);
}

#[test]
fn the_reclaimer_goes_on_when_the_place_is_back() {
    let two = Two::new();
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    two.machine.on_exchange(move |_| {
        if is_in_background() && count.fetch_add(1, Ordering::Relaxed) < 50 {
            Fate::NotSent
        } else {
            Fate::Answered
        }
    });
    two.here.sign_out(SignOut::account(&account(1))).unwrap();
    // Who waits meanwhile is told.
    let mut told = 0;
    let reclaimed = loop {
        match two.here.wait_reclaimed() {
            Ok(reclaimed) => break reclaimed,
            Err(Error::Io { .. }) => told += 1,
            Err(other) => panic!("{other:?}"),
        }
    };
    assert!(reclaimed.rows > 0 && told > 0, "told {told} times");
    assert!(refused.load(Ordering::Relaxed) > 50);
}

/// An error that says that nothing was done must be right.
#[test]
fn it_is_not_said_that_nothing_was_done_when_something_may_have_been() {
    let two = Two::new();
    let met = AtomicUsize::new(0);
    two.machine.on_exchange(move |exchanged| {
        // The first change takes effect without an answer, and nothing arrives any more.
        match (exchanged.step, exchanged.is_done, met.load(Ordering::Relaxed)) {
            (Step::Change, true, 0) => {
                met.store(1, Ordering::Relaxed);
                Fate::Lost
            }
            (_, _, 0) => Fate::Answered,
            _ => Fate::NotSent,
        }
    });
    let made = two.here.sign_in(sign_in(2));
    let Err(Error::Io { action, source, .. }) = made else { panic!("{made:?}") };
    assert_eq!(source.kind(), std::io::ErrorKind::TimedOut, "{action}");
    two.machine.run_undisturbed();
    assert_eq!(two.there.account(&account(2)).unwrap().len(), 1);
}

/// A login that began before the place went back, and ends behind it.
#[test]
fn a_place_that_goes_back_under_a_login_spares_nobody() {
    for is_told in [false, true] {
        let two = Two::new();
        let earlier = two.machine.copy();
        for _ in 0..3 {
            two.there.sign_out(SignOut::account(&account(9))).unwrap();
        }
        let moment = two.there.as_of().unwrap();
        let (machine, copy) = (two.machine.clone(), earlier.copy());
        // (The first instance has seen nothing of these sign-outs, unless it looks now.)
        two.then(Step::Change, false, move || machine.go_back_to(&copy));
        let request = if is_told { sign_in(2).as_of(moment) } else { sign_in(2) };
        let made = two.here.sign_in(request);
        two.machine.run_undisturbed();
        assert!(made.is_err(), "{made:?}");
        let fresh = two.machine.builder().clock(two.clock.clone()).open().unwrap();
        let late = fresh.sign_in(sign_in(2).as_of(moment));
        assert!(matches!(late, Err(Error::Overtaken { .. })), "{late:?}");
        fresh.sign_out(SignOut::account(&account(2))).unwrap();
        assert!(fresh.account(&account(2)).unwrap().is_empty());
    }
}

/// Also by whoever only signs out, and looks nothing up.
#[test]
fn a_sign_out_tells_that_the_place_went_back() {
    let two = Two::new();
    let earlier = two.machine.copy();
    for _ in 0..3 {
        two.here.sign_out(SignOut::account(&account(9))).unwrap();
    }
    two.machine.go_back_to(&earlier);
    let out = two.here.sign_out(SignOut::account(&account(2)));
    assert!(matches!(out, Err(Error::Damaged { part: Component::Ledger, .. })), "{out:?}");
}

/// A sign-out whose request is lost on its way is sent again.
#[test]
fn a_sign_out_that_got_no_answer_is_sent_again() {
    for is_done in [false, true] {
        let two = Two::new();
        let met = AtomicUsize::new(0);
        two.machine.on_exchange(move |exchanged| {
            let is_first = (exchanged.step, exchanged.is_done) == (Step::End, is_done)
                && met.fetch_add(1, Ordering::Relaxed) == 0;
            if is_first { Fate::Lost } else { Fate::Answered }
        });
        two.here.sign_out(SignOut::account(&account(1))).unwrap();
        two.machine.fail_over();
        assert!(two.is_out());
    }
}
