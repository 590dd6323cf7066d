//! What was on its way when the signal came: refreshes, sign-ins, keys, senders that do not wait,
//! the end of the process.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use oubliette::logout::{HttpClient, HttpError, HttpFuture, Issuer, Issuers, Keys, Receiver};
use oubliette::*;
use oubliette_testkit::provider::{CLIENT, NOW};
use tokio::sync::Semaphore;

use super::world::{CallbackFixture, done, live, refused};

#[tokio::test]
async fn a_refresh_in_flight_brings_nothing_back() {
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", Some("session-1"));
    let client = oubliette_testkit::accounts::client();
    let query = AccessQuery::new(client.clone()).scopes(Scopes::parse("a").unwrap());
    let (asked, waits) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (ask, wait, token) = (
        asked.clone(),
        waits.clone(),
        AccessToken::new(
            client.clone(),
            Scopes::parse("a").unwrap(),
            "late",
            oubliette_testkit::accounts::now() + Duration::from_secs(3600),
        ),
    );
    let flight = {
        let jane = jane.clone();
        tokio::spawn(async move {
            Acquirer::new()
                .acquire_async(&jane, query, |_| async move {
                    ask.add_permits(1);
                    wait.acquire().await.unwrap().forget();
                    Ok(Tokens::from(token))
                })
                .await
        })
    };
    asked.acquire().await.unwrap().forget();
    done(&world.post(&world.stub.claims()).await);
    waits.add_permits(1);
    assert!(matches!(flight.await.unwrap(), Err(AcquireError::SignedOut)));
    assert_eq!(live([&jane]), [false]);
}

/// The code is redeemed, the ID token is there, and the provider ends the session before the app
/// has stored it.
#[tokio::test]
async fn a_sign_in_whose_session_ended_meanwhile_is_refused() {
    let world = CallbackFixture::new();
    let moment = world.store.as_of().unwrap();
    done(&world.post(&world.stub.claims()).await);
    let late = |sub: &str, sid, iat| world.stub.sign_in(sub, sid, iat);
    assert!(matches!(
        world.store.sign_in(late("jane", Some("session-1"), NOW)),
        Err(Error::Overtaken { .. })
    ));
    // Where only the subject is told, the moment that the app took before it redeemed the code
    // decides.
    done(&world.post(&world.stub.claims().without("sid").with("sub", "joe")).await);
    assert!(matches!(
        world.store.sign_in(late("joe", None, NOW).as_of(moment)),
        Err(Error::Overtaken { .. })
    ));
    // Whoever signs in after it, with a new session, is in.
    let moment = world.store.as_of().unwrap();
    let joe = world.store.sign_in(late("joe", Some("session-2"), NOW).as_of(moment)).unwrap();
    let jane = world.store.sign_in(late("jane", Some("session-3"), NOW)).unwrap();
    assert_eq!(live([&joe, &jane]), [true, true]);
}

/// What answers when it is let.
#[derive(Clone)]
struct Gated(Arc<Semaphore>, Vec<u8>);

impl HttpClient for Gated {
    fn get<'a>(&'a self, _: &'a str, _: usize) -> HttpFuture<'a> {
        Box::pin(async {
            self.0.acquire().await.map_err(HttpError::other)?.forget();
            Ok(self.1.clone())
        })
    }
}

fn gated(world: &CallbackFixture) -> (Receiver, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let keys =
        Keys::fetched("https://login.example.com/keys", Gated(gate.clone(), world.stub.jwks()))
            .unwrap();
    let keys = keys.give_up_after(Duration::from_secs(3600));
    let issuer = Issuer::new(world.stub.provider(), ClientId::new(CLIENT).unwrap(), keys)
        .algorithms([world.stub.algorithm]);
    (Receiver::new(world.store.clone(), Issuers::new([issuer]).unwrap()), gate)
}

/// A provider waits for two seconds; fetching its keys may take longer.
#[tokio::test]
async fn a_sender_that_hangs_up_is_obeyed_all_the_same() {
    let world = CallbackFixture::new();
    let jane = world.sign_in("jane", Some("session-1"));
    let (receiver, gate) = gated(&world);
    let body = format!("logout_token={}", world.stub.token(&world.stub.claims()));
    {
        let post = pin!(receiver.back_channel(None, None, body.as_bytes()));
        assert!(post.now_or_never().is_none(), "the keys are not there yet");
    }
    let mut drained = pin!(receiver.drain());
    assert!(drained.as_mut().now_or_never().is_none(), "a sign-out is under way");
    assert_eq!(live([&jane]), [true]);
    gate.add_permits(1);
    drained.await;
    assert_eq!(live([&jane]), [false]);
}

/// What is not signed, or not for us, has no keys fetched for it.
#[tokio::test]
async fn a_strangers_token_fetches_nothing_unless_only_its_signature_is_in_question() {
    let world = CallbackFixture::new();
    let fetches = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    struct Counted(Arc<std::sync::atomic::AtomicUsize>);
    impl HttpClient for Counted {
        fn get<'a>(&'a self, _: &'a str, _: usize) -> HttpFuture<'a> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Box::pin(async { Err(HttpError::Status(404)) })
        }
    }
    // Made outside of a runtime, it has not begun to fetch by itself.
    let (stub, store, counted) =
        (world.stub.provider(), world.store.clone(), Counted(fetches.clone()));
    let algorithm = world.stub.algorithm;
    let receiver = std::thread::spawn(move || {
        let keys = Keys::fetched("https://login.example.com/keys", counted)
            .unwrap()
            .ask_again_after(Duration::from_secs(3600));
        let issuer =
            Issuer::new(stub, ClientId::new(CLIENT).unwrap(), keys).algorithms([algorithm]);
        Receiver::new(store, Issuers::new([issuer]).unwrap())
    });
    let receiver = receiver.join().unwrap();
    let claims = world.stub.claims();
    for bad in [
        claims.clone().with("iss", "https://evil.example.com"),
        claims.clone().with("aud", "another"),
        claims.clone().with("exp", NOW - 3600),
        claims.clone().with("nonce", "x"),
        claims.clone().without("events"),
        claims.clone().without("sub").without("sid"),
    ] {
        let body = format!("logout_token={}", world.stub.token(&bad));
        refused(&receiver.back_channel(None, None, body.as_bytes()).await, "invalid_request");
    }
    assert_eq!(fetches.load(std::sync::atomic::Ordering::Relaxed), 0);
    // A flood of tokens that could be genuine: one fetch in the interval.
    for number in 0..50 {
        let body = format!(
            "logout_token={}",
            world.stub.token(&claims.clone().with("jti", number.to_string()))
        );
        refused(
            &receiver.back_channel(None, None, body.as_bytes()).await,
            "temporarily_unavailable",
        );
    }
    assert_eq!(fetches.load(std::sync::atomic::Ordering::Relaxed), 1);
}
