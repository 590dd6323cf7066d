//! Many threads at once: one refresh, and everybody is told what came of it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread::{scope, yield_now};
use std::time::Duration;

use oubliette::*;
use oubliette_testkit::accounts::*;

use crate::provider::Provider;
use crate::world::*;

/// Waits until that many have come this far.
pub fn meet(come: &AtomicU32, count: u32) {
    while come.load(Ordering::SeqCst) < count {
        yield_now();
    }
}

#[test]
fn a_thousand_at_once_cost_one_refresh() {
    let world = AcquireFixture::new();
    let come = AtomicU32::new(0);
    scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                // Each with a handle and an acquirer of its own: the place is the store's.
                let live = world.store.resume(&account(1), world.live.id()).unwrap().unwrap();
                for round in 0..16 {
                    come.fetch_add(u32::from(round == 0), Ordering::SeqCst);
                    let token = world.acquirer().acquire(&live, query("mail"), |grant| {
                        meet(&come, 64);
                        world.provider.redeem(grant)
                    });
                    assert_eq!(token.unwrap().secret.expose(), "at-1");
                }
            });
        }
    });
    assert_eq!(world.provider.redemptions(), 1);
    assert!(world.provider.is_content());
}

/// Between any two steps of an acquisition somebody else does the same: whoever missed it in the
/// cache looks again.
#[test]
fn somebody_else_refreshes_in_between() {
    for count in 1.. {
        let (clock, provider) = (Interrupting::default(), Provider::new());
        let store = Machine::new().builder().clock(clock.clone()).open().unwrap();
        let live = store.sign_in(sign_in(1)).unwrap();
        live.put(refresh("rt-0")).unwrap();
        let (theirs, mine) = (provider.clone(), live.clone());
        let (tell, told) = mpsc::channel();
        clock.at(count, move || {
            // It does not wait: while it is refreshed here, that would be for ever.
            let impatient = Acquirer::new().give_up_after(Duration::ZERO);
            tell.send(impatient.acquire(&mine, query("mail"), |grant| theirs.redeem(grant)))
                .unwrap();
        });
        let token = Acquirer::new().acquire(&live, query("mail"), |grant| provider.redeem(grant));
        assert_eq!(token.unwrap().secret.expose(), "at-1", "at step {count}");
        let was_over = clock.take();
        match told.try_recv() {
            Ok(Ok(token)) => assert_eq!(token.secret.expose(), "at-1", "at step {count}"),
            Ok(Err(AcquireError::Refresh(_))) | Err(_) => {}
            Ok(Err(other)) => panic!("{other:?}"),
        }
        assert!(provider.redemptions() == 1 && provider.is_content(), "at step {count}");
        if was_over {
            assert!(count > 5);
            break;
        }
    }
}

#[test]
fn other_scopes_of_one_refresh_token_come_one_after_the_other() {
    let world = AcquireFixture::new();
    let barrier = Barrier::new(32);
    scope(|scope| {
        for number in 0..32 {
            let (world, barrier) = (&world, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for round in 0..8 {
                    // Pairs of threads want the same.
                    world.acquire(query(&format!("s-{}-{round}", number / 2))).unwrap();
                }
            });
        }
    });
    assert_eq!(world.provider.redemptions(), 16 * 8);
    assert!(world.provider.is_content());
    assert_eq!(world.stored_refresh_token(), Some(world.provider.valid()));
}

#[test]
fn a_failure_fails_all_who_wait_with_one_error_and_blocks_nobody() {
    let world = AcquireFixture::new();
    let (come, refreshes) = (AtomicU32::new(0), AtomicU32::new(0));
    let errors: Vec<AcquireError> = scope(|scope| {
        let threads: Vec<_> = (0..100)
            .map(|_| {
                scope.spawn(|| {
                    come.fetch_add(1, Ordering::SeqCst);
                    let acquired = world.acquirer().acquire(&world.live, query("mail"), |_| {
                        meet(&come, 100);
                        // Those who have come are let get to where they wait.
                        (0..1000).for_each(|_| yield_now());
                        let number = refreshes.fetch_add(1, Ordering::SeqCst);
                        Err(RefreshError::failed(std::io::Error::other(number.to_string())))
                    });
                    acquired.unwrap_err()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut by_refresh = std::collections::BTreeMap::<String, Vec<*const std::io::Error>>::new();
    for error in &errors {
        let AcquireError::Refresh(failed) = error else { panic!("{error:?}") };
        let error = failed.downcast_ref::<std::io::Error>().unwrap();
        by_refresh.entry(error.to_string()).or_default().push(error);
    }
    // Who comes late begins another; of each all have the very same error.
    assert!(by_refresh.values().all(|errors| errors.iter().all(|error| *error == errors[0])));
    assert!(by_refresh.values().any(|errors| errors.len() > 1), "nobody waited");
    assert_eq!(world.acquire(query("mail")).unwrap(), "at-1");
}

#[test]
fn a_panic_goes_on_in_its_caller_and_somebody_else_refreshes() {
    let world = AcquireFixture::new();
    let come = AtomicU32::new(0);
    let (mut panicked, mut given) = (0, 0);
    scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|number| {
                let (world, come) = (&world, &come);
                scope.spawn(move || {
                    come.fetch_add(1, Ordering::SeqCst);
                    world.acquirer().acquire(&world.live, query("mail"), |grant| {
                        meet(come, 16);
                        if number < 8 {
                            panic!("the closure's own")
                        } else {
                            world.provider.redeem(grant)
                        }
                    })
                })
            })
            .collect();
        for thread in threads {
            match thread.join() {
                Err(panic) => {
                    panicked +=
                        usize::from(panic.downcast_ref::<&str>() == Some(&"the closure's own"))
                }
                Ok(token) => given += usize::from(token.unwrap().secret.expose() == "at-1"),
            }
        }
    });
    assert_eq!(panicked + given, 16);
    assert!(given >= 8 && world.provider.redemptions() == 1);
}

/// Hole: a forced refresh that joins one from before would bring what was so before, such as a role
/// that was taken away.
#[test]
fn who_forces_a_refresh_gets_one_that_began_afterwards() {
    for claims in [false, true] {
        let world = AcquireFixture::new();
        let request = |forced: bool| {
            let request = AccessRequest::new(query("mail"));
            match (forced, claims) {
                (_, true) => request.claims("c"),
                (true, false) => request.force_refresh(),
                (false, false) => request,
            }
        };
        let (began, go_on) = (mpsc::channel(), mpsc::channel());
        let come = AtomicU32::new(0);
        scope(|scope| {
            let (world, come) = (&world, &come);
            scope.spawn(move || {
                let token = world.acquirer().acquire(&world.live, request(false), |grant| {
                    began.0.send(()).unwrap();
                    go_on.1.recv().unwrap();
                    world.provider.redeem(grant)
                });
                assert_eq!(token.unwrap().secret.expose(), "at-1");
            });
            began.1.recv().unwrap();
            for _ in 0..20 {
                scope.spawn(move || {
                    come.fetch_add(1, Ordering::SeqCst);
                    assert_ne!(world.acquire(request(true)).unwrap(), "at-1");
                });
            }
            meet(come, 20);
            go_on.0.send(()).unwrap();
        });
        assert!(world.provider.is_content());
    }
}

/// Of many who force at a time, those who wait for an older refresh share the next one.
#[test]
fn those_who_force_share_a_refresh() {
    let world = AcquireFixture::new();
    let come = AtomicU32::new(0);
    scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let acquirer = world.acquirer();
                let request = AccessRequest::new(query("mail")).force_refresh();
                come.fetch_add(1, Ordering::SeqCst);
                let token = acquirer.acquire(&world.live, request, |grant| {
                    meet(&come, 20);
                    (0..1000).for_each(|_| yield_now());
                    world.provider.redeem(grant)
                });
                token.unwrap();
            });
        }
    });
    // Two, but for those who were held up between coming and asking.
    assert!(world.provider.redemptions() < 10, "{}", world.provider.redemptions());
}

/// Hole: a closure that never ends.
#[test]
fn nobody_waits_longer_than_told_to_and_the_place_stays_with_its_holder() {
    let world = AcquireFixture::new();
    let (began, go_on) = (mpsc::channel(), mpsc::channel());
    scope(|scope| {
        let world = &world;
        let leader = scope.spawn(move || {
            world.acquirer().acquire(&world.live, query("mail"), |grant| {
                began.0.send(()).unwrap();
                go_on.1.recv().unwrap();
                world.provider.redeem(grant)
            })
        });
        began.1.recv().unwrap();
        for scope in ["mail", "files"] {
            let impatient = world.acquirer().give_up_after(Duration::from_millis(1));
            let acquired =
                impatient.acquire(&world.live, query(scope), |_| panic!("somebody else is at it"));
            let Err(AcquireError::Refresh(failed)) = acquired else { panic!("{acquired:?}") };
            assert_eq!(
                failed.downcast_ref::<std::io::Error>().unwrap().kind(),
                std::io::ErrorKind::TimedOut
            );
        }
        go_on.0.send(()).unwrap();
        assert_eq!(leader.join().unwrap().unwrap().secret.expose(), "at-1");
    });
    assert_eq!(world.acquire(query("files")).unwrap(), "at-2");
}
