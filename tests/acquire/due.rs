//! Tokens that are valid and due: given at once, refreshed on the side, and not more often than is
//! good.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use oubliette::*;
use oubliette_testkit::accounts::*;

use crate::world::*;

const MINUTE: u64 = 60;

/// With the defaults a token of an hour is due from the 50th minute on, and given until the 55th.
fn due() -> AcquireFixture {
    let world = AcquireFixture::new();
    world.acquire(query("mail")).unwrap();
    world.advance(51 * MINUTE);
    world
}

#[test]
fn a_due_token_is_given_and_refreshed_only_if_told_to() {
    let world = due();
    assert_eq!(world.acquire(query("mail")).unwrap(), "at-1");
    assert_eq!(
        world.acquire_by(&world.acquirer().refresh_due_here(), query("mail")).unwrap(),
        "at-2"
    );
    assert_eq!(world.cached(query("mail")), "at-2");
    world.advance(54 * MINUTE);
    assert_eq!(world.cached(query("mail")), "at-2");
    world.advance(2 * MINUTE);
    assert_eq!(world.acquire(query("mail")).unwrap(), "at-3");
}

#[test]
fn what_the_provider_says_about_refreshing_counts() {
    let world = AcquireFixture::new();
    let acquirer = world.acquirer().refresh_due_here().jitter(Duration::ZERO);
    let token = acquirer.acquire(&world.live, query("mail"), |grant| {
        let mut token = grant.access_token(None, "early", Duration::from_secs(3600));
        token.refresh_at = Some(now() + Duration::from_secs(600));
        Ok(token.into())
    });
    assert_eq!(token.unwrap().secret.expose(), "early");
    world.advance(599);
    assert_eq!(world.acquire_by(&acquirer, query("mail")).unwrap(), "early");
    world.advance(1);
    assert_eq!(world.acquire_by(&acquirer, query("mail")).unwrap(), "at-1");
}

/// A token of five minutes that a login brought is not refreshed at the first call.
#[test]
fn a_short_token_of_a_login_is_not_due_before_half_of_its_life() {
    let world = AcquireFixture::new();
    let acquirer = world.acquirer().refresh_due_here().jitter(Duration::ZERO);
    let life = Duration::from_secs(300);
    let login = AccessToken { lifetime: Some(life), ..access("mail", "of the login") };
    world.live.put(AccessToken { expires_at: Some(now() + life), ..login }).unwrap();
    world.advance(149);
    assert_eq!(world.acquire_by(&acquirer, query("mail")).unwrap(), "of the login");
    world.advance(1);
    assert_eq!(world.acquire_by(&acquirer, query("mail")).unwrap(), "at-1");
}

#[test]
fn refresh_ahead_can_be_set() {
    for (ahead, at_20_minutes) in [(5, "at-1"), (40, "at-2")] {
        let world = AcquireFixture::new();
        let acquirer =
            world.acquirer().refresh_due_here().refresh_ahead(Duration::from_secs(ahead * MINUTE));
        world.acquire_by(&acquirer, query("mail")).unwrap();
        world.advance(31 * MINUTE);
        assert_eq!(world.acquire_by(&acquirer, query("mail")).unwrap(), at_20_minutes);
    }
}

// Without it: an addition of one to the largest jitter there is.
#[test]
fn a_jitter_without_bounds_is_no_trouble() {
    let world = AcquireFixture::new();
    let live = world.store.sign_in(sign_in(7)).unwrap();
    // Stored by hand, so that it does not say when it is to be refreshed.
    let hour = now() + Duration::from_secs(3600);
    let scopes = Scopes::parse("mail").unwrap();
    live.put(AccessToken::new(client(), scopes, "at-by-hand", hour)).unwrap();
    let acquirer = world.acquirer().jitter(Duration::MAX);
    let wanted = AccessQuery::new(client()).scopes(Scopes::parse("mail").unwrap());
    let token = acquirer.acquire(&live, wanted, |_| Err(RefreshError::failed("not now")));
    assert_eq!(token.unwrap().secret.expose(), "at-by-hand");
}

/// Of 40 tokens got together each is due at a time of its own, at most the jitter earlier, and
/// whenever it is asked for the same.
#[test]
fn jitter_spreads_refreshes_and_never_makes_them_late() {
    let (machine, clock) = (Machine::new(), ManualClock::new(now()));
    let store = machine.builder().clock(clock.clone()).open().unwrap();
    let lives: Vec<_> = (0..40).map(|number| store.sign_in(sign_in(number)).unwrap()).collect();
    lives.iter().for_each(|live| drop(live.put(access("mail", "old")).unwrap()));
    let mut due = vec![None; lives.len()];
    clock.advance(Duration::from_secs(3600 - 10 * MINUTE - 100));
    for second in 0..=100_u64 {
        for (live, due) in lives.iter().zip(&mut due) {
            let mut asked = false;
            let acquirer = Acquirer::new()
                .jitter(Duration::from_secs(30))
                .back_off(Duration::ZERO, Duration::ZERO)
                .refresh_due_here();
            live.put(refresh("rt")).unwrap();
            let failing = |_: &Grant| {
                asked = true;
                Err(RefreshError::failed("down"))
            };
            assert_eq!(
                acquirer.acquire(live, query("mail"), failing).unwrap().secret.expose(),
                "old"
            );
            assert!(due.is_none() || asked, "it was due, and is not any more");
            if asked {
                due.get_or_insert(second);
            }
        }
        clock.advance(Duration::from_secs(1));
    }
    let due: Vec<u64> = due.into_iter().map(Option::unwrap).collect();
    assert!(due.iter().all(|at| (70..=100).contains(at)), "{due:?}");
    assert!(due.iter().collect::<BTreeSet<_>>().len() > 5, "{due:?}");
}

#[test]
fn a_failed_refresh_of_a_due_token_gives_the_old_one_and_backs_off() {
    let world = due();
    let pause = Duration::from_secs(30);
    let acquirer = world.acquirer().refresh_due_here().back_off(pause, 2 * pause);
    let mut asked = 0;
    let mut acquire = |expected: &str| {
        let before = asked;
        let token = acquirer.acquire(&world.live, query("mail"), |_| {
            asked += 1;
            Err(RefreshError::failed("down"))
        });
        assert_eq!(token.unwrap().secret.expose(), expected);
        asked > before
    };
    assert!(acquire("at-1"));
    assert!(!acquire("at-1"));
    world.advance(30);
    assert!(acquire("at-1"));
    world.advance(59);
    assert!(!acquire("at-1"));
    world.advance(1);
    assert!(acquire("at-1"));
    world.advance(59);
    // It never holds up what is required.
    assert_eq!(
        world.acquire_by(&acquirer, AccessRequest::new(query("mail")).force_refresh()).unwrap(),
        "at-2"
    );
    assert_eq!(world.cached(query("mail")), "at-2");
}

#[test]
fn a_due_token_is_given_whatever_its_refresh_says() {
    let answers: [fn() -> RefreshError; 3] = [
        || RefreshError::failed("down"),
        || RefreshError::invalid_grant("revoked"),
        || RefreshError::interaction_required(None, "mfa"),
    ];
    for answer in answers {
        let world = due();
        let acquirer = world.acquirer().refresh_due_here();
        let token = acquirer.acquire(&world.live, query("mail"), |_| Err(answer()));
        assert_eq!(token.unwrap().secret.expose(), "at-1");
        let token = acquirer.acquire(&world.live, query("mail"), |_| panic!("it backs off"));
        assert_eq!(token.unwrap().secret.expose(), "at-1");
    }
    // But not to somebody who has signed out.
    let world = due();
    let token = world.acquirer().refresh_due_here().acquire(&world.live, query("mail"), |_| {
        world.store.sign_out(SignOut::account(&account(1))).unwrap();
        Err(RefreshError::failed("down"))
    });
    assert!(matches!(token, Err(AcquireError::SignedOut)));
}

#[test]
fn a_refresh_of_a_due_token_that_panics_backs_off_too() {
    let world = due();
    let acquirer = world.acquirer().refresh_due_here();
    let panics = || {
        let acquired =
            || acquirer.acquire(&world.live, query("mail"), |_| panic!("the closure's own"));
        catch_unwind(AssertUnwindSafe(acquired))
            .map(|token| token.unwrap().secret.expose().to_owned())
            .ok()
    };
    assert_eq!(panics(), None);
    assert_eq!(panics().as_deref(), Some("at-1"));
    world.advance(30);
    assert_eq!(panics(), None);
}

/// Hole: providers that give the same token until shortly before its end.
#[test]
fn a_token_that_is_still_due_after_its_refresh_is_not_refreshed_at_each_call() {
    let world = AcquireFixture::new();
    let acquirer = world.acquirer().refresh_due_here();
    let mut asked = 0;
    for _ in 0..3000 {
        acquirer
            .acquire(&world.live, query("mail"), |grant| {
                asked += 1;
                let mut token = grant.access_token(None, "same", None);
                token.expires_at = Some(now() + Duration::from_secs(3600));
                token.refresh_at = Some(grant.began_at() + Duration::from_millis(1));
                Ok(token.into())
            })
            .unwrap();
        world.advance(1);
    }
    assert!(asked < 20, "{asked} refreshes in 3000 s");
}

#[test]
fn without_a_refresh_token_a_due_token_is_just_given() {
    let world = AcquireFixture::new();
    world.live.put(access("mail", "only")).unwrap();
    world
        .acquirer()
        .acquire(&world.live, query("x"), |_| Err(RefreshError::invalid_grant("revoked")))
        .unwrap_err();
    world.advance(51 * MINUTE);
    let token = world
        .acquirer()
        .refresh_due_here()
        .acquire(&world.live, query("mail"), |_| panic!("there is no refresh token"));
    assert_eq!(token.unwrap().secret.expose(), "only");
}
