//! Answers tell the truth: whatever fails, success is only said of what is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oubliette::logout::{EndSession, Issuers, Receiver, SignOutError};
use oubliette::*;
use oubliette_testkit::fixture::open_at;
use oubliette_testkit::provider::NOW;

use super::world::{CallbackFixture, done, header, live, refused};

#[tokio::test]
async fn a_failing_disk_is_never_200() {
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", Some("session-1"));
    world.machine.set_failing_syncs(true);
    let token = world.stub.token(&world.stub.claims());
    refused(&world.post_token(&token).await, "server_error");
    world.machine.set_failing_syncs(false);
    // The token is not taken for done: the store is poisoned, and says so.
    refused(&world.post_token(&token).await, "server_error");
    assert_eq!(world.get("sid=session-1&iss=https://login.example.com").await.status(), 503);
    // The app's own sessions end though the store's outcome is not known.
    let told = world.told();
    assert!(!told.is_empty() && told.iter().all(|signed_out| signed_out.receipt.is_none()));
    drop(jane);
}

/// Success is said when the record is on the disk, and not before.
#[tokio::test]
async fn success_waits_for_the_disk() {
    let mut lost = 0;
    for seed in 0..24 {
        let has_power = seed < 4;
        let world = CallbackFixture::new();
        let jane = world.sign_in("jane", Some("session-1"));
        world.machine.set_holding_syncs(true);
        let (receiver, token) = (world.receiver.clone(), world.stub.token(&world.stub.claims()));
        let post = tokio::spawn(async move {
            receiver.back_channel(None, None, format!("logout_token={token}").as_bytes()).await
        });
        let machine = world.machine.clone();
        tokio::task::spawn_blocking(move || machine.wait_held()).await.unwrap();
        // The user is signed out for every reader; but a power cut would undo that. So nobody is
        // told yet: neither who sent the token, nor who asks by the front channel and finds nobody.
        assert_eq!(live([&jane]), [false]);
        let receiver = world.receiver.clone();
        let get = tokio::spawn(async move {
            receiver.front_channel(None, "sid=session-1&iss=https://login.example.com").await
        });
        // Time enough to look, and to answer if nothing else is waited for.
        let reader = AsyncSignIn::from(jane.clone());
        for _ in 0..200 {
            assert!(
                !tokio::task::spawn_blocking({
                    let reader = reader.clone();
                    move || reader.blocking().is_live().unwrap()
                })
                .await
                .unwrap()
            );
        }
        let has_said = post.is_finished() || get.is_finished();
        if has_power {
            world.machine.set_holding_syncs(false);
            done(&post.await.unwrap());
            assert_eq!(get.await.unwrap().status(), 200);
            world.machine.cut_power(seed);
        } else {
            world.machine.cut_power(seed);
            refused(&post.await.unwrap(), "server_error");
            assert_eq!(get.await.unwrap().status(), 503);
        }
        assert!(!has_said);
        let is_in =
            !open_at(&world.machine, &world.clock).account(jane.account()).unwrap().is_empty();
        assert!(!is_in || !has_power);
        lost += usize::from(is_in);
    }
    assert!(lost > 0, "the power was cut too late to lose anything");
}

#[tokio::test]
async fn a_full_disk_refuses_when_the_reserve_is_used_up() {
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", None);
    world.machine.set_full(true);
    let mut answers = Vec::new();
    for number in 0..200 {
        let claims = world.stub.claims().without("sid").with("sub", format!("user-{number}"));
        answers.push(world.post(&claims).await.status());
    }
    assert!(answers.starts_with(&[200]) && answers.ends_with(&[400]), "{answers:?}");
    let token = world.stub.token(&world.stub.claims());
    refused(&world.post_token(&token).await, "server_error");
    assert_eq!(live([&jane]), [true]);
    world.machine.set_full(false);
    done(&world.post_token(&token).await);
    assert_eq!(live([&jane]), [false]);
}

#[tokio::test]
async fn with_a_failed_engine_the_session_ends_and_the_answer_is_no_success() {
    let world = CallbackFixture::new();
    let jane = ["session-1", "session-2"].map(|sid| world.sign_in("jane", Some(sid)));
    world.machine.set_failing_engine(true);
    assert!(jane[0].put(RefreshToken::new(oubliette_testkit::accounts::client(), "x")).is_err());
    world.machine.set_failing_engine(false);
    let token = world.stub.token(&world.stub.claims());
    let recorded = world.recorded();
    refused(&world.post_token(&token).await, "server_error");
    let ended = world.recorded();
    assert!(ended > recorded);
    // What can be done is done: a token that comes again adds nothing.
    for _ in 0..20 {
        refused(&world.post_token(&token).await, "server_error");
    }
    // (The app's part is its own: it may have more luck.)
    assert_eq!((world.recorded(), world.told().len()), (ended, 21));
    // By the front channel a session is recorded once.
    for _ in 0..20 {
        let answer = world.get("sid=session-9&iss=https://login.example.com").await;
        assert_eq!((answer.status(), header(&answer, "cache-control")), (503, Some("no-store")));
    }
    assert_eq!(world.recorded(), ended + 1);
    // The subject was ended beside the session, without asking the engine; so after a reopening
    // nobody is there.
    let account = jane[0].account().clone();
    assert!(world.store.clone().close().is_err());
    assert!(open_at(&world.machine, &world.clock).account(&account).unwrap().is_empty());
}

/// Whoever asks without a proof has some records at most while the engine cannot be read.
#[tokio::test]
async fn with_a_failed_engine_the_front_channel_records_a_thousand_sessions() {
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", None);
    world.machine.set_failing_engine(true);
    assert!(jane.put(RefreshToken::new(oubliette_testkit::accounts::client(), "x")).is_err());
    let recorded = world.recorded();
    for number in 0..1100 {
        assert_eq!(
            world.get(&format!("sid=s{number}&iss=https://login.example.com")).await.status(),
            503
        );
    }
    assert_eq!(world.recorded(), recorded + 1000);
}

#[tokio::test]
async fn a_closed_store_is_never_200() {
    let world = CallbackFixture::new();
    world.sign_in("jane", Some("session-1"));
    world.store.clone().close().unwrap();
    refused(&world.post(&world.stub.claims()).await, "server_error");
    assert_eq!(world.get("sid=session-1&iss=https://login.example.com").await.status(), 503);
}

/// A receiver whose hook fails as often as is said.
fn with_hook(world: &CallbackFixture, failures: usize) -> (Receiver, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let issuers = Issuers::new([world.stub.issuer()]).unwrap();
    let receiver = Receiver::new(world.store.clone(), issuers).after_sign_out(move |_| {
        let is_failing = counted.fetch_add(1, Ordering::Relaxed) < failures;
        async move { if is_failing { Err("the app's own database is down".into()) } else { Ok(()) } }
    });
    (receiver, runs)
}

#[tokio::test]
async fn a_hook_that_fails_is_told_and_run_again_without_another_record() {
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", Some("session-1"));
    let (receiver, runs) = with_hook(&world, 2);
    let body = format!("logout_token={}", world.stub.token(&world.stub.claims()));
    let post = || receiver.back_channel(None, None, body.as_bytes());
    refused(&post().await, "server_error");
    let recorded = world.recorded();
    assert_eq!(live([&jane]), [false], "the tokens go, whatever the app does");
    refused(&post().await, "server_error");
    done(&post().await);
    done(&post().await);
    assert_eq!((runs.load(Ordering::Relaxed), world.recorded()), (3, recorded));
}

/// The session is gone at the second request; the app's part is not.
#[tokio::test]
async fn the_front_channel_runs_a_failed_hook_again() {
    let world = CallbackFixture::new();
    world.sign_in("jane", Some("session-1"));
    let (receiver, runs) = with_hook(&world, 1);
    let statuses = [(); 3].map(|()| receiver.front_channel(None, "sid=session-1"));
    let mut answers = Vec::new();
    for get in statuses {
        answers.push(get.await.status());
    }
    assert_eq!((answers, runs.load(Ordering::Relaxed)), (vec![503, 200, 200], 2));
    // The same session, signed in anew, ends anew.
    let again = world.sign_in_at("jane", Some("session-1"), NOW);
    assert_eq!(receiver.front_channel(None, "sid=session-1").await.status(), 200);
    assert_eq!((live([&again]), runs.load(Ordering::Relaxed)), ([false], 3));
}

#[tokio::test]
async fn a_hook_that_hangs_or_panics_is_no_success_and_stops_nobody() {
    for panics in [false, true] {
        let world = CallbackFixture::new();
        let jane = world.sign_in("jane", Some("session-1"));
        let issuers = Issuers::new([world.stub.issuer()]).unwrap();
        let receiver = Receiver::new(world.store.clone(), issuers)
            .hook_time(Duration::ZERO)
            .after_sign_out(move |_| async move {
                assert!(!panics, "a mistake of the app's");
                std::future::pending().await
            });
        let body = format!("logout_token={}", world.stub.token(&world.stub.claims()));
        refused(&receiver.back_channel(None, None, body.as_bytes()).await, "server_error");
        assert_eq!(live([&jane]), [false]);
        receiver.drain().await;
    }
}

#[tokio::test]
async fn a_user_who_could_not_be_signed_out_here_is_not_sent_on() {
    let world = CallbackFixture::new();
    let jane = AsyncSignIn::from(world.sign_in("jane", Some("session-1")));
    world.machine.set_failing_syncs(true);
    let result = world.receiver.sign_out(&jane, EndSession::new()).await;
    assert!(matches!(result, Err(SignOutError::Store(Error::Indeterminate(_)))), "{result:?}");
}

/// What cannot be read is no reason to stay signed in.
#[tokio::test]
async fn with_a_failed_engine_a_user_signs_out_without_a_hint() {
    let world = CallbackFixture::with(|issuer| {
        issuer.end_session_endpoint("https://login.example.com/end")
    });
    let jane = world.sign_in("jane", Some("session-1"));
    world.machine.set_failing_engine(true);
    assert!(jane.put(RefreshToken::new(oubliette_testkit::accounts::client(), "x")).is_err());
    let ended =
        world.receiver.sign_out(&AsyncSignIn::from(jane.clone()), EndSession::new()).await.unwrap();
    assert_eq!(ended.url(), Some("https://login.example.com/end?client_id=web"));
    let account = jane.account().clone();
    assert!(world.store.clone().close().is_err());
    world.machine.set_failing_engine(false);
    assert!(open_at(&world.machine, &world.clock).account(&account).unwrap().is_empty());
}

/// One call of the ledger has 16 384 records; a session that more accounts share, together with the
/// names in the token, ends all the same.
#[tokio::test]
async fn a_session_of_more_accounts_than_one_sign_out_holds_ends_without_them() {
    let world = CallbackFixture::new();
    let users: Vec<_> = (0..16_384 - 2)
        .map(|number| {
            world
                .store
                .sign_in(world.stub.sign_in(
                    &format!("user-{number}"),
                    Some("session-1"),
                    NOW - 100,
                ))
                .unwrap()
        })
        .collect();
    let elsewhere = ["jane", "user-0"].map(|sub| world.sign_in(sub, Some("session-2")));
    refused(&world.post(&world.stub.claims()).await, "server_error");
    assert!(users.iter().all(|user| !user.is_live().unwrap()));
    // Of those who share it the accounts live on elsewhere: that is why it is no success. Who is
    // named has ended whole.
    assert_eq!(live([&elsewhere[0], &elsewhere[1]]), [false, true]);
}
