//! The other flows: client credentials, on behalf of, families of clients, several clients, guests.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use oubliette::*;
use oubliette_testkit::accounts::*;

use crate::world::*;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn the_app_signs_itself_in_once_and_needs_no_refresh_token() {
    let store = TokenStore::in_memory().unwrap();
    let (refreshes, barrier) = (AtomicU32::new(0), Barrier::new(16));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                barrier.wait();
                let token = Acquirer::new().acquire_for_app(
                    &store,
                    &tenant(1),
                    query("api/.default"),
                    |grant| {
                        assert!(grant.refresh_token().is_none() && grant.tenant() == &tenant(1));
                        refreshes.fetch_add(1, Ordering::SeqCst);
                        Ok(grant.access_token(None, "app", HOUR).into())
                    },
                );
                assert_eq!(token.unwrap().secret.expose(), "app");
            });
        }
    });
    assert_eq!(refreshes.load(Ordering::SeqCst), 1);
    assert_eq!(store.account(&AccountId::app(tenant(1), client())).unwrap().len(), 1);
}

/// Between any two steps of the app's sign-in somebody else wants it signed in, too.
#[test]
fn the_app_has_one_sign_in_whoever_comes_in_between() {
    for count in 1.. {
        let clock = Interrupting::default();
        let store = Machine::new().builder().clock(clock.clone()).open().unwrap();
        let theirs = store.clone();
        let answer = |grant: &Grant| Ok(grant.access_token(None, "app", HOUR).into());
        clock.at(count, move || {
            let impatient = Acquirer::new().give_up_after(Duration::ZERO);
            let _ = impatient.acquire_for_app(&theirs, &tenant(1), query("api"), answer);
        });
        Acquirer::new().acquire_for_app(&store, &tenant(1), query("api"), answer).unwrap();
        assert_eq!(
            store.account(&AccountId::app(tenant(1), client())).unwrap().len(),
            1,
            "at step {count}"
        );
        if clock.take() {
            break;
        }
    }
}

#[test]
fn a_sign_out_of_the_tenant_ends_the_apps_tokens_and_the_next_call_begins_anew() {
    let world = AcquireFixture::new();
    let acquire = |sign_out: bool| {
        world.acquirer().acquire_for_app(&world.store, &tenant(1), query("api"), |grant| {
            if sign_out {
                world.store.sign_out(SignOut::tenant(&tenant(1))).unwrap();
            }
            Ok(grant.access_token(None, if sign_out { "lost" } else { "app" }, HOUR).into())
        })
    };
    assert!(matches!(acquire(true), Err(AcquireError::SignedOut)));
    assert_eq!(world.orphans.take(), [("lost".to_owned(), OrphanReason::SignedOut)]);
    assert_eq!(acquire(false).unwrap().secret.expose(), "app");
}

#[test]
fn an_apps_tokens_for_two_resources_are_got_side_by_side() {
    let store = TokenStore::in_memory().unwrap();
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        for resource in ["a", "b"] {
            let (store, barrier) = (&store, &barrier);
            scope.spawn(move || {
                let request = query("api").resource(resource);
                let token = Acquirer::new().acquire_for_app(store, &tenant(1), request, |grant| {
                    barrier.wait(); // both are in here
                    Ok(grant.access_token(None, resource, HOUR).into())
                });
                assert_eq!(token.unwrap().secret.expose(), resource);
            });
        }
    });
}

#[test]
fn on_behalf_of_somebody_needs_no_refresh_token_and_keeps_none() {
    let world = AcquireFixture::new();
    let request = |assertion: &str| AccessRequest::new(query("api")).on_behalf_of(assertion);
    let exchange = |secret: &'static str| {
        move |grant: &Grant| {
            assert!(grant.refresh_token().is_none() && !grant.partition().is_user());
            Ok([
                grant.access_token(None, secret, HOUR).into(),
                grant.next_refresh_token("obo").into(),
            ]
            .into())
        }
    };
    let acquirer = world.acquirer();
    assert_eq!(
        acquirer.acquire(&world.live, request("a"), exchange("for a")).unwrap().secret.expose(),
        "for a"
    );
    assert_eq!(
        acquirer.acquire(&world.live, request("b"), exchange("for b")).unwrap().secret.expose(),
        "for b"
    );
    assert_eq!(
        (world.cached(request("a")), world.cached(request("b"))),
        ("for a".into(), "for b".into())
    );
    let kept =
        |assertion| RefreshQuery::client(client()).partition(Partition::on_behalf_of(assertion));
    assert!(world.live.refresh_token(kept("a")).unwrap().is_none());
    // Dropped refresh tokens were not asked for: nobody is told to revoke them.
    assert!(world.orphans.take().is_empty());
    // If told to, it is kept, used, and rotated.
    let long = || request("c").keep_refresh_token();
    acquirer.acquire(&world.live, long(), exchange("for c")).unwrap();
    assert!(world.live.refresh_token(kept("c")).unwrap().is_some());
    let token = acquirer.acquire(&world.live, request("c").force_refresh(), |grant| {
        assert_eq!(grant.refresh_token().unwrap().secret.expose(), "obo");
        Ok([
            grant.access_token(None, "again", HOUR).into(),
            grant.next_refresh_token("obo-2").into(),
        ]
        .into())
    });
    assert_eq!(token.unwrap().secret.expose(), "again");
    assert_eq!(world.live.refresh_token(kept("c")).unwrap().unwrap().secret.expose(), "obo-2");
    // If it is refused, there is the assertion.
    let refused = |_: &Grant| Err(RefreshError::invalid_grant("expired"));
    let acquired = acquirer.acquire(&world.live, request("c").force_refresh(), refused);
    assert!(matches!(acquired, Err(AcquireError::Refresh(_))));
    assert_eq!(
        acquirer
            .acquire(&world.live, request("c").force_refresh(), exchange("anew"))
            .unwrap()
            .secret
            .expose(),
        "anew"
    );
}

#[test]
fn nobody_finds_what_was_got_on_behalf_of_another() {
    let world = AcquireFixture::new();
    let request = AccessRequest::new(query("mail")).on_behalf_of("a");
    // A closure that forgets the partition would store it as the user's own.
    let acquired =
        world.acquirer().acquire(&world.live, request, |_| Ok(access("mail", "for a").into()));
    assert!(
        matches!(acquired, Err(AcquireError::Store(error)) if matches!(*error, Error::InvalidInput { field: "partition", .. }))
    );
    assert!(world.live.access_token(&query("mail")).unwrap().is_none());
    assert_eq!(world.orphans.take(), [("for a".to_owned(), OrphanReason::NotStored)]);
}

#[test]
fn clients_have_refresh_tokens_of_their_own_and_refresh_side_by_side() {
    let world = AcquireFixture::new();
    let clients = ["one", "two"].map(|name| ClientId::new(name).unwrap());
    for client in &clients {
        world.live.put(RefreshToken::new(client.clone(), client.as_str())).unwrap();
    }
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        for client in &clients {
            let (world, barrier) = (&world, &barrier);
            scope.spawn(move || {
                let token = world.acquirer().acquire(
                    &world.live,
                    AccessQuery::new(client.clone()),
                    |grant| {
                        assert_eq!(grant.refresh_token().unwrap().secret.expose(), client.as_str());
                        barrier.wait();
                        Ok(grant.access_token(None, client.as_str(), HOUR).into())
                    },
                );
                assert_eq!(token.unwrap().secret.expose(), client.as_str());
            });
        }
    });
}

#[test]
fn a_familys_refresh_token_serves_its_clients_and_the_own_one_if_there_is_none() {
    let world = AcquireFixture::new();
    let request = || AccessRequest::new(query("mail")).family("1");
    let redeemed = |request: AccessRequest, error: Option<&str>| {
        let mut redeemed = String::new();
        let acquired = world.acquirer().acquire(&world.live, request.force_refresh(), |grant| {
            redeemed = grant.refresh_token().unwrap().secret.expose().to_owned();
            match error {
                Some(error) => Err(RefreshError::invalid_grant(error)),
                None => Ok(grant.access_token(None, "at", HOUR).into()),
            }
        });
        (redeemed, acquired)
    };
    assert_eq!(redeemed(request(), None).0, "rt-0");
    let mut family = refresh("family");
    family.family_id = Some("1".into());
    world.live.put(family).unwrap();
    assert_eq!(redeemed(request(), None).0, "family");
    // The family's is refused: it goes, and the next call takes the client's own.
    let (_, acquired) = redeemed(request(), Some("client mismatch"));
    assert!(matches!(acquired, Err(AcquireError::Refresh(_))));
    assert_eq!(redeemed(request(), None).0, "rt-0");
    let (_, acquired) = redeemed(request(), Some("revoked"));
    assert_eq!(reason(&acquired.unwrap_err()), InteractionReason::InvalidGrant);
}

/// Hole: one refresh token redeemed in two places, by those who ask for the family's and those who
/// ask for the client's own.
#[test]
fn one_refresh_token_has_one_place_however_it_is_come_by() {
    let world = AcquireFixture::new();
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (world, barrier) = (&world, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for round in 0..5 {
                    let request = AccessRequest::new(query(&format!("s-{number}-{round}")));
                    let request = if number % 2 == 0 { request.family("1") } else { request };
                    world.acquire(request).unwrap();
                }
            });
        }
    });
    assert_eq!(world.provider.redemptions(), 40);
    assert!(world.provider.is_content());
}

#[test]
fn a_tenant_that_was_signed_out_gets_no_tokens_and_costs_no_redemption() {
    let world = AcquireFixture::new();
    let guest = || query("mail").tenant(tenant(2));
    world.acquire(guest()).unwrap();
    world.store.sign_out(SignOut::tenant(&tenant(2))).unwrap();
    assert!(matches!(world.acquire(guest()), Err(AcquireError::SignedOut)));
    assert_eq!(world.provider.redemptions(), 1);
    assert_eq!(world.acquire(query("mail")).unwrap(), "at-2");
}

/// Hole: only what was refused is an orphan. The refresh token was stored, and is live.
#[test]
fn of_a_tenant_signed_out_meanwhile_only_its_tokens_are_lost() {
    let world = AcquireFixture::new();
    let acquired =
        world.acquirer().acquire(&world.live, query("mail").tenant(tenant(2)), |grant| {
            world.store.sign_out(SignOut::tenant(&tenant(2))).unwrap();
            world.provider.redeem(grant)
        });
    assert!(matches!(acquired, Err(AcquireError::SignedOut)));
    assert_eq!(world.orphans.take(), [("at-1".to_owned(), OrphanReason::SignedOut)]);
    assert_eq!(world.stored_refresh_token().unwrap(), "rt-1");
    assert_eq!(world.acquire(query("mail")).unwrap(), "at-2");
}

#[test]
fn resuming_reads_no_other_sign_in_of_the_account() {
    let world = AcquireFixture::new();
    let before = world.machine.rows();
    let other = world.store.sign_in(sign_in(1)).unwrap();
    let mut rows = world.machine.rows();
    // The other sign-in's own row: the one that is new and not an index or a header.
    let key = rows
        .keys()
        .find(|key| !before.contains_key(*key) && key.first() == Some(&b'A'))
        .unwrap()
        .clone();
    let value = rows.get_mut(&key).unwrap();
    *value.last_mut().unwrap() ^= 1;
    world.machine.set_rows(rows);
    assert!(matches!(world.store.account(&account(1)), Err(Error::Tampered(_))));
    assert!(matches!(world.store.resume(&account(1), other.id()), Err(Error::Tampered(_))));
    let resumed = world.store.resume(&account(1), world.live.id()).unwrap().unwrap();
    assert!(resumed == world.live && resumed.account() == &account(1));
    assert!(world.store.resume(&account(2), world.live.id()).unwrap().is_none());
    world.store.sign_out(SignOut::account(&account(1))).unwrap();
    assert!(world.store.resume(&account(1), world.live.id()).unwrap().is_none());
}
