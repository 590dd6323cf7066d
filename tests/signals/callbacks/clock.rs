//! Tokens that are late or early, and clocks that are not right.

use std::time::Duration;

use oubliette::logout::{Issuers, Receiver};
use oubliette::*;
use oubliette_testkit::provider::{ISSUER, NOW, at};

use super::world::{CallbackFixture, done, live};

const DAY: u64 = 24 * 3600;

/// The process ends, and another takes its place.
fn restart(mut world: CallbackFixture) -> CallbackFixture {
    let issuers = Issuers::new([world.stub.issuer()]).unwrap();
    drop(world.receiver);
    world.fixture = world.fixture.again(|machine| machine.kill_process(1));
    world.receiver = Receiver::new(world.fixture.store.clone(), issuers);
    world
}

/// The provider's clock is nine minutes ahead: who signs in by then, under whatever session, is
/// newer than its token.
#[tokio::test]
async fn a_token_from_the_future_ends_nobody_newer_than_now_and_the_skew() {
    let mut world = CallbackFixture::new();
    let before = world.sign_in("jane", Some("session-1"));
    let token =
        world.stub.token(&world.stub.claims().with("iat", NOW + 540).with("exp", NOW + 660));
    done(&world.post_token(&token).await);
    assert_eq!(live([&before]), [false]);
    assert_eq!(
        world.told().pop().unwrap().signed_in_before,
        Some(at(NOW + 60) + Duration::from_millis(999))
    );
    // The session has ended for who signed in by then, and for nobody else.
    let again = |world: &CallbackFixture, iat| {
        world.store.sign_in(world.stub.sign_in("jane", Some("session-1"), iat))
    };
    world.advance(60);
    assert!(
        matches!(again(&world, NOW + 60), Err(Error::Overtaken { again_after }) if again_after == at(NOW + 60) + Duration::from_millis(999))
    );
    world.advance(1);
    let jane = again(&world, NOW + 61).unwrap();
    // In a new process nobody knows the token any more: whoever signed in by then, and the skew, is
    // ended once more, and nobody else.
    world = restart(world);
    let jane = world.store.resume(jane.account(), jane.id()).unwrap().unwrap();
    done(&world.post_token(&token).await);
    assert_eq!(live([&jane]), [false]);
    world.advance(60);
    assert!(matches!(again(&world, NOW + 121), Err(Error::Overtaken { .. })));
    world.advance(1);
    assert!(again(&world, NOW + 122).is_ok());
}

/// A token that was long on its way is obeyed; but if it ends nobody, no sign-in can be on its way
/// any more that it is about.
#[tokio::test]
async fn a_token_of_more_than_an_hour_that_ends_nobody_is_not_recorded_and_the_hook_runs() {
    for (age, is_recorded) in [(3600, true), (3601, false)] {
        let world = CallbackFixture::new();
        let recorded = world.recorded();
        let token = world.stub.token(&world.stub.claims().with("iat", NOW - age));
        done(&world.post_token(&token).await);
        assert_eq!((world.recorded() > recorded, world.told().len()), (is_recorded, 1), "{age} s");
        // It is known now.
        done(&world.post_token(&token).await);
        assert_eq!(world.told().len(), 0);
    }
    let world = CallbackFixture::new();
    let jane = world.sign_in_at("jane", Some("session-1"), NOW - 2 * DAY);
    done(&world.post(&world.stub.claims().with("iat", NOW - DAY)).await);
    assert_eq!(live([&jane]), [false]);
}

/// Somebody is signed in under that name; but not by then. So it is one of those that a provider
/// may have only so many of.
#[tokio::test]
async fn an_old_token_beside_a_newer_sign_in_is_recorded_within_the_budget_alone() {
    let world = CallbackFixture::new();
    let users = ["jane", "joe", "jim"].map(|sub| world.sign_in(sub, Some("session-1")));
    let old = |world: &CallbackFixture, number: usize| {
        world.stub.claims().without("sub").with("iat", NOW - 600).with("jti", number)
    };
    // The session alone, and not each account that has it.
    let recorded = world.recorded();
    done(&world.post(&old(&world, 0)).await);
    assert_eq!(world.recorded(), recorded + 1);
    for number in 0..999 {
        let nobody = world.stub.claims().without("sub").with("sid", format!("nobody-{number}"));
        done(&world.post(&nobody).await);
    }
    let recorded = recorded + 1000;
    assert_eq!((world.recorded(), world.told().len()), (recorded, 1000));
    for number in 1..50 {
        done(&world.post(&old(&world, number)).await);
    }
    assert_eq!((world.recorded(), world.told().len()), (recorded, 49));
    assert_eq!(live([&users[0], &users[1], &users[2]]), [true; 3]);
    // Whom a token does end, it ends.
    done(&world.post(&world.stub.claims().without("sub")).await);
    assert_eq!(
        (live([&users[0], &users[1], &users[2]]), world.recorded() > recorded),
        ([false; 3], true)
    );
}

/// Our clock was a day ahead for a while: neither tokens nor sign-ins may go by that until the day
/// is over.
#[tokio::test]
async fn a_clock_that_was_set_back_is_believed() {
    let world = CallbackFixture::new();
    let before = world.sign_in("jane", Some("session-1"));
    world.advance(DAY);
    assert_eq!(live([&before]), [true]);
    world.sign_in_at("somebody", None, NOW + DAY);
    world.clock.set(at(NOW));
    // Without a time of its own: that of the clock.
    let subject = Subject::new(ISSUER, "joe").unwrap();
    let timeless = SignIn::new(AccountId::of_subject(subject.clone()), TenantId::new("t").unwrap())
        .subject(subject);
    let timeless = world.store.sign_in(timeless).unwrap();
    world.advance(2);
    done(&world.post(&world.stub.claims()).await);
    done(&world.post(&world.stub.claims().without("sid").with("sub", "joe")).await);
    assert_eq!(live([&before, &timeless]), [false, false]);
}

/// Ahead by more than a sign-in lasts: who signs in after it was set right is in, all the same.
#[tokio::test]
async fn a_clock_that_was_far_ahead_keeps_nobody_out() {
    let mut world = CallbackFixture::new();
    let issuers = Issuers::new([world.stub.issuer()]).unwrap();
    let builder = world
        .machine
        .copy()
        .builder()
        .clock(world.clock.clone())
        .max_sign_in_age(Duration::from_secs(8 * 3600));
    world.fixture.store = builder.open().unwrap();
    world.receiver = Receiver::new(world.store.clone(), issuers);
    world.advance(DAY);
    world.sign_in_at("somebody", None, NOW + DAY);
    world.clock.set(at(NOW));
    let sign_in = SignIn::new(
        oubliette_testkit::accounts::account(1),
        oubliette_testkit::accounts::tenant(1),
    )
    .session(SessionId::new(ISSUER, "session-1").unwrap());
    let jane = world.store.sign_in(sign_in).unwrap();
    assert_eq!(live([&jane]), [true]);
    // There is no safe side to its time: by a token of now it lives; where no time counts, it ends.
    let _ = world.get("iss=https://login.example.com&sid=session-1").await;
    assert_eq!(live([&jane]), [false]);
}

/// While a clock shows more than can be, everybody looks too old to be signed in. A sign-out that
/// comes then counts when it is right again.
#[tokio::test]
async fn a_front_channel_sign_out_beside_a_clock_that_is_ahead_is_recorded() {
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", Some("session-1"));
    let right = at(NOW);
    world.clock.set(right + Duration::from_secs(100 * DAY));
    assert_eq!(live([&jane]), [false], "too old, by this clock");
    let request = format!("sid=session-1&iss={ISSUER}");
    assert_eq!(world.get(&request).await.status(), 200);
    world.clock.set(right);
    assert_eq!(live([&jane]), [false]);
}
