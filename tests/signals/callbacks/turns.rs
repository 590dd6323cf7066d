//! Many at once, senders that hang up, and what waits for what.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use oubliette::logout::{
    EndSession, HttpClient, HttpFuture, Issuer, Issuers, Keys, Receiver, SignedOut,
};
use oubliette::*;
use oubliette_testkit::provider::CLIENT;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::world::{CallbackFixture, done, live, refused};

/// A receiver whose hook waits to be let, and the count of its runs.
fn with_slow_hook(world: &CallbackFixture) -> (Receiver, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (gate, runs) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (wait, count) = (gate.clone(), runs.clone());
    let issuers = Issuers::new([world.stub.issuer()]).unwrap();
    let receiver = Receiver::new(world.store.clone(), issuers).after_sign_out(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        let wait = wait.clone();
        async move {
            wait.acquire().await?.forget();
            Ok(())
        }
    });
    (receiver, gate, runs)
}

/// A provider's retries, or somebody who overheard it: one at a time works at a token, and what
/// that one did is done.
#[tokio::test]
async fn one_token_from_fifty_tasks_is_one_record_and_one_run_of_the_hook() {
    let alone = CallbackFixture::new();
    alone.sign_in("jane", Some("session-1"));
    let before = alone.recorded();
    done(&alone.post(&alone.stub.claims()).await);
    let records = alone.recorded() - before;

    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", Some("session-1"));
    let before = world.recorded();
    let (receiver, gate, runs) = with_slow_hook(&world);
    let body = format!("logout_token={}", world.stub.token(&world.stub.claims()));
    let mut posts: FuturesUnordered<_> =
        (0..50).map(|_| receiver.back_channel(None, None, body.as_bytes())).collect();
    // One is at work and 32 wait; the others are told to send it again, though nobody is done.
    for _ in 0..17 {
        refused(&posts.next().await.unwrap(), "server_error");
    }
    assert!(posts.next().now_or_never().is_none());
    gate.add_permits(50);
    let answers: Vec<_> = posts.collect().await;
    assert_eq!(answers.len(), 33);
    answers.iter().for_each(done);
    assert_eq!(
        (live([&jane]), world.recorded() - before, runs.load(Ordering::Relaxed)),
        ([false], records, 1)
    );
    // And nobody waits any more.
    done(&receiver.back_channel(None, None, body.as_bytes()).await);
}

/// Those that wait do what the first failed at, but not what it did.
#[tokio::test]
async fn who_waits_for_a_token_goes_on_where_the_first_failed() {
    let world = CallbackFixture::new();
    world.sign_in("jane", Some("session-1"));
    let (receiver, runs) = (world.receiver.clone(), Arc::new(AtomicUsize::new(0)));
    let count = runs.clone();
    let receiver = receiver.after_sign_out(move |signed_out: SignedOut| {
        let run = count.fetch_add(1, Ordering::Relaxed);
        assert_eq!(signed_out.receipt.is_some(), run == 0);
        async move { if run == 0 { Err("down".into()) } else { Ok(()) } }
    });
    let body = format!("logout_token={}", world.stub.token(&world.stub.claims()));
    let posts: FuturesUnordered<_> =
        (0..10).map(|_| receiver.back_channel(None, None, body.as_bytes())).collect();
    let mut statuses: Vec<_> = posts.map(|answer| answer.status()).collect().await;
    statuses.sort_unstable();
    assert_eq!((statuses, runs.load(Ordering::Relaxed)), ([vec![200; 9], vec![400]].concat(), 2));
}

/// Frames come from anybody: beyond sixteen at work none leaves anything behind that goes on
/// without its sender.
#[tokio::test]
async fn a_frame_that_is_closed_before_its_turn_leaves_nothing_behind() {
    let world = CallbackFixture::new();
    let users: Vec<_> = (0..17)
        .map(|number| world.sign_in(&format!("user-{number}"), Some(&format!("s-{number}"))))
        .collect();
    world.machine.set_holding_syncs(true);
    {
        let queries: Vec<_> =
            (0..17).map(|number| format!("iss=https://login.example.com&sid=s-{number}")).collect();
        // Each goes as far as it can at once, and is dropped.
        for query in &queries {
            assert!(pin!(world.receiver.front_channel(None, query)).now_or_never().is_none());
        }
    }
    let is_idle = world.receiver.drain().now_or_never().is_some();
    world.machine.set_holding_syncs(false);
    assert!(!is_idle);
    world.receiver.drain().await;
    // The sixteen went to their ends, the hook too.
    let ended = users.iter().filter(|user| !user.is_live().unwrap()).count();
    assert_eq!((ended, world.told().len(), live([&users[16]])), (16, 16, [true]));
}

/// A turn is for the store's work: the app's may take its time.
#[tokio::test]
async fn a_slow_hook_keeps_no_turn() {
    let world = CallbackFixture::new();
    let (receiver, gate, runs) = with_slow_hook(&world);
    let mut gets = FuturesUnordered::new();
    for number in 0..40 {
        world.sign_in(&format!("user-{number}"), Some(&format!("s-{number}")));
        let (receiver, query) =
            (receiver.clone(), format!("iss=https://login.example.com&sid=s-{number}"));
        gets.push(tokio::spawn(async move { receiver.front_channel(None, &query).await.status() }));
    }
    // All forty are in their hooks at once.
    while runs.load(Ordering::Relaxed) < 40 {
        assert!(gets.next().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    gate.add_permits(40);
    assert!(gets.all(|status| async move { status.unwrap() == 200 }).await);
}

/// Whoever signs out and closes the page is signed out, and the app's part is done too.
#[tokio::test]
async fn a_sign_out_from_here_goes_on_though_the_page_is_closed() {
    let world = CallbackFixture::new();
    let jane = AsyncSignIn::from(world.sign_in("jane", Some("session-1")));
    world.machine.set_holding_syncs(true);
    assert!(pin!(world.receiver.sign_out(&jane, EndSession::new())).now_or_never().is_none());
    let mut drained = pin!(world.receiver.drain());
    let is_idle = drained.as_mut().now_or_never().is_some();
    world.machine.set_holding_syncs(false);
    assert!(!is_idle);
    drained.await;
    assert_eq!((live([jane.blocking()]), world.told().len()), ([false], 1));
}

/// Answers nothing, for ever.
struct Silent(Arc<AtomicUsize>);

impl HttpClient for Silent {
    fn get<'a>(&'a self, _: &'a str, _: usize) -> HttpFuture<'a> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::pending())
    }
}

fn silent(world: &CallbackFixture) -> (Receiver, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let keys = Keys::discovered(Silent(asked.clone()));
    let issuer = Issuer::new(world.stub.provider(), ClientId::new(CLIENT).unwrap(), keys)
        .algorithms([world.stub.algorithm]);
    (Receiver::new(world.store.clone(), Issuers::new([issuer]).unwrap()), asked)
}

/// Where to send the user is asked only when they are signed out here: the provider may be down.
#[tokio::test(start_paused = true)]
async fn she_is_signed_out_here_before_the_provider_is_asked_anything() {
    let world = CallbackFixture::new();
    let (receiver, _) = silent(&world);
    let jane = world.sign_in("jane", Some("session-1"));
    let (begun, at) = (Instant::now(), Arc::new(std::sync::Mutex::new(None)));
    let (tell, hers) = (at.clone(), jane.clone());
    let receiver = receiver.after_sign_out(move |_| {
        *tell.lock().unwrap() = Some((begun.elapsed(), hers.is_live().unwrap()));
        async { Ok(()) }
    });
    let ended = receiver.sign_out(&AsyncSignIn::from(jane), EndSession::new()).await.unwrap();
    assert_eq!((ended.url(), begun.elapsed()), (None, std::time::Duration::from_secs(5)));
    assert_eq!(*at.lock().unwrap(), Some((std::time::Duration::ZERO, false)));
}

/// The sender of the first token after a start does not wait for long.
#[tokio::test]
async fn keys_are_fetched_before_a_token_comes() {
    let world = CallbackFixture::new();
    let (_receiver, asked) = silent(&world);
    tokio::task::yield_now().await;
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

/// What cannot be genuine is no task, and nobody waits for it.
#[tokio::test]
async fn what_is_refused_for_its_claims_is_answered_at_once() {
    let world = CallbackFixture::new();
    let body =
        format!("logout_token={}", world.stub.token(&world.stub.claims().with("aud", "another")));
    let answer = world.receiver.back_channel(None, None, body.as_bytes()).now_or_never();
    refused(&answer.unwrap(), "invalid_request");
}
