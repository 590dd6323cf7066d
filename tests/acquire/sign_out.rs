//! A sign-out at every point of a refresh: everybody who waits is told, nothing can be read, and
//! the tokens go to the hook.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{scope, yield_now};

use oubliette::*;
use oubliette_testkit::accounts::*;

use crate::provider::Provider;
use crate::together::meet;
use crate::world::*;

fn scopes_of_a_sign_out() -> [SignOut; 5] {
    [
        SignOut::account(&account(1)),
        SignOut::tenant(&tenant(1)),
        SignOut::everybody(),
        SignOut::session(&session(1)),
        SignOut::subject(&subject(1)),
    ]
}

fn world() -> AcquireFixture {
    let mut world = AcquireFixture::new();
    world.store.sign_out(SignOut::account(&account(1))).unwrap();
    world.live = world.store.sign_in(sign_in(1).session(session(1)).subject(subject(1))).unwrap();
    world.live.put(refresh("rt-0")).unwrap();
    world
}

#[test]
fn before_the_refresh() {
    for sign_out in scopes_of_a_sign_out() {
        let world = world();
        world.live.put(access("mail", "at")).unwrap();
        world.store.sign_out(sign_out).unwrap();
        for request in
            [AccessRequest::new(query("mail")), AccessRequest::new(query("mail")).force_refresh()]
        {
            let acquired = world
                .acquirer()
                .acquire(&world.live, request, |_| panic!("there is nothing to refresh"));
            assert!(matches!(acquired, Err(AcquireError::SignedOut)), "{acquired:?}");
        }
        world.assert_gone();
    }
}

#[test]
fn in_the_closure_before_the_provider_is_asked_and_behind_it() {
    for sign_out in scopes_of_a_sign_out() {
        for before in [true, false] {
            let world = world();
            let acquired = world.acquirer().acquire(&world.live, query("mail"), |grant| {
                let asked = (!before).then(|| world.provider.redeem(grant));
                world.store.sign_out(sign_out.clone()).unwrap();
                asked.unwrap_or_else(|| world.provider.redeem(grant))
            });
            assert!(matches!(acquired, Err(AcquireError::SignedOut)), "{acquired:?}");
            let orphans = ["at-1", "rt-1"].map(|text| (text.to_owned(), OrphanReason::SignedOut));
            assert_eq!(world.orphans.take(), orphans);
            world.assert_gone();
        }
    }
}

#[test]
fn in_the_closure_whatever_it_says_then() {
    let answers: [fn() -> RefreshError; 3] = [
        || RefreshError::failed("down"),
        || RefreshError::invalid_grant("revoked"),
        || RefreshError::interaction_required(None, "mfa"),
    ];
    for answer in answers {
        let world = world();
        let acquired = world.acquirer().acquire(&world.live, query("mail"), |_| {
            world.store.sign_out(SignOut::account(&account(1))).unwrap();
            Err(answer())
        });
        assert!(matches!(acquired, Err(AcquireError::SignedOut)), "{acquired:?}");
    }
}

/// And a new sign-in of the same account in between makes no difference: it is another life.
#[test]
fn with_a_new_sign_in_behind_it() {
    let world = world();
    let acquired = world.acquirer().acquire(&world.live, query("mail"), |grant| {
        world.store.sign_out(SignOut::account(&account(1))).unwrap();
        world.store.sign_in(sign_in(1)).unwrap();
        world.provider.redeem(grant)
    });
    assert!(matches!(acquired, Err(AcquireError::SignedOut)));
    let new = world.store.account(&account(1)).unwrap().pop().unwrap();
    assert!(
        new.refresh_token(&client()).unwrap().is_none()
            && new.access_token(&query("")).unwrap().is_none()
    );
}

#[test]
fn everybody_who_waits_is_told() {
    let world = world();
    let come = AtomicU32::new(0);
    scope(|scope| {
        for number in 0..64 {
            let (world, come) = (&world, &come);
            scope.spawn(move || {
                come.fetch_add(1, Ordering::SeqCst);
                // Half of them want something else.
                let wanted = query(if number % 2 == 0 { "mail" } else { "files" });
                let acquired = world.acquirer().acquire(&world.live, wanted, |grant| {
                    meet(come, 64);
                    (0..100).for_each(|_| yield_now());
                    let tokens = world.provider.redeem(grant);
                    world.store.sign_out(SignOut::account(&account(1))).unwrap();
                    tokens
                });
                assert!(matches!(acquired, Err(AcquireError::SignedOut)), "{acquired:?}");
            });
        }
    });
    assert_eq!((world.provider.redemptions(), world.orphans.take().len()), (1, 2));
    world.assert_gone();
}

/// Behind the put: sign-outs at any moment, among many who acquire. Nobody who begins after it
/// returned is given a token.
#[test]
fn at_any_moment() {
    for round in 0..40_u32 {
        let world = world();
        let (come, is_over) = (AtomicU32::new(0), std::sync::atomic::AtomicBool::new(false));
        scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    come.fetch_add(1, Ordering::SeqCst);
                    for number in 0..20 {
                        let was_over = is_over.load(Ordering::SeqCst);
                        match world.acquire(query(&format!("s-{number}"))) {
                            Ok(_) => assert!(
                                !was_over,
                                "a token was given after the sign-out had returned"
                            ),
                            Err(AcquireError::SignedOut) => {}
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                });
            }
            meet(&come, 4);
            (0..round * 10).for_each(|_| yield_now());
            world.store.sign_out(SignOut::account(&account(1))).unwrap();
            is_over.store(true, Ordering::SeqCst);
        });
        assert!(world.provider.is_content());
        world.assert_gone();
    }
}

/// Between any two steps of a refresh, up to the last look before the token is given.
#[test]
fn at_every_step() {
    for count in 1.. {
        let (machine, clock, provider) = (Machine::new(), Interrupting::default(), Provider::new());
        let store = machine.builder().clock(clock.clone()).open().unwrap();
        let live = store.sign_in(sign_in(1)).unwrap();
        live.put(refresh("rt-0")).unwrap();
        let theirs = store.clone();
        clock.at(count, move || drop(theirs.sign_out(SignOut::account(&account(1))).unwrap()));
        let acquired =
            Acquirer::new().acquire(&live, query("mail"), |grant| provider.redeem(grant));
        if clock.take() {
            assert!(acquired.is_ok() && count > 5);
            break;
        }
        assert!(matches!(acquired, Err(AcquireError::SignedOut)), "at step {count}");
        assert!(live.access_token(&query("")).unwrap().is_none());
    }
}

/// What was given to the caller is on the disk: both tokens, or the next start redeems a spent one.
#[test]
fn a_power_cut_behind_a_refresh_loses_neither_token() {
    for seed in 0..32 {
        let world = AcquireFixture::new();
        assert_eq!(world.acquire(query("mail")).unwrap(), "at-1");
        world.machine.cut_power(seed);
        let store = world.machine.builder().clock(world.clock.clone()).open().unwrap();
        let live = store.resume(&account(1), world.live.id()).unwrap().unwrap();
        assert_eq!(live.access_token(&query("mail")).unwrap().unwrap().secret.expose(), "at-1");
        assert_eq!(live.refresh_token(&client()).unwrap().unwrap().secret.expose(), "rt-1");
    }
}

/// A power cut in the middle leaves both tokens or neither.
#[test]
fn a_power_cut_in_a_refresh_leaves_both_tokens_or_neither() {
    let mut seen = [0; 2];
    for calls in 0..6 {
        for seed in 0..8 {
            let world = AcquireFixture::new();
            let acquired = world.acquirer().acquire(&world.live, query("mail"), |grant| {
                world.machine.die_after(calls);
                world.provider.redeem(grant)
            });
            world.machine.cut_power(seed);
            let store = world.machine.builder().clock(world.clock.clone()).open().unwrap();
            let live = store.resume(&account(1), world.live.id()).unwrap().unwrap();
            let access = live.access_token(&query("mail")).unwrap().is_some();
            let rotated = live.refresh_token(&client()).unwrap().unwrap().secret.expose() == "rt-1";
            assert!(access == rotated && (rotated || acquired.is_err()), "{calls} {seed}");
            seen[usize::from(rotated)] += 1;
        }
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

/// An integration that the user disconnects, while its token is refreshed.
#[test]
fn a_client_that_is_removed_meanwhile_stays_removed() {
    let world = AcquireFixture::new();
    let other = ClientId::new("calendar").unwrap();
    world.live.put(RefreshToken::new(other.clone(), "calendar's")).unwrap();
    let acquired = world.acquirer().acquire(&world.live, query("mail"), |grant| {
        let answer = world.provider.redeem(grant);
        assert_eq!(world.live.remove_client(&client()).unwrap(), 1);
        answer
    });
    assert!(matches!(acquired, Err(AcquireError::SignedOut)), "{acquired:?}");
    let orphans = ["at-1", "rt-1"].map(|text| (text.to_owned(), OrphanReason::SignedOut));
    assert_eq!(world.orphans.take(), orphans);
    assert!(world.live.is_live().unwrap() && world.stored_refresh_token().is_none());
    assert!(world.live.refresh_token(&other).unwrap().is_some());
    // Connected anew, it goes on.
    world.live.put(refresh("rt-1")).unwrap();
    assert_eq!(world.acquire(query("mail")).unwrap(), "at-2");
}
