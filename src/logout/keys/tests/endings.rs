//! However a fetch ends, nobody waits for it for ever, and the next one can begin.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::runtime::{Builder, Runtime};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_fetch_goes_on_though_whoever_asked_hangs_up() {
    let ours = Signer::new(1, "a");
    let server = Server::with(&[&ours]);
    server.serve(JWKS, Reply::Late(SECOND, jwks(&[&ours]).to_string().into_bytes()));
    let cache = discovered(&server);
    let gone = verifying(&cache, ours.token()).await;
    gone.abort();
    pass(SECOND).await;
    let begun = Instant::now();
    assert_eq!(verify(&cache, &ours.token()).await, Ok(()));
    assert_eq!((begun.elapsed(), server.fetches()), (Duration::ZERO, 1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_panics_wakes_those_who_wait() {
    let ours = Signer::new(1, "a");
    let server = Server::with(&[&ours]);
    server.serve(JWKS, Reply::Panic);
    let cache = discovered(&server);
    let begun = Instant::now();
    assert_eq!(verify(&cache, &ours.token()).await, Err(Rejected::KeysUnavailable));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    server.json(JWKS, &jwks(&[&ours]));
    assert_eq!(verify(&cache, &ours.token()).await, Ok(()));
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

#[test]
fn a_runtime_that_is_shut_down_takes_its_fetch_with_it() {
    let ours = Signer::new(1, "a");
    let server = Server::with(&[&ours]);
    server.serve(JWKS, Reply::Silence);
    let cache = discovered(&server);
    let first = runtime();
    let waiting = first.block_on(verifying(&cache, ours.token()));
    assert_eq!(server.asked(JWKS).len(), 1);
    drop(first);
    assert!(waiting.is_finished());

    server.json(JWKS, &jwks(&[&ours]));
    assert_eq!(runtime().block_on(verify(&cache, &ours.token())), Ok(()));
}

/// One that nobody drives any more, but that is still there: its tasks do not end.
#[test]
fn a_runtime_that_stops_holds_nobody_up_and_what_it_brings_later_replaces_nothing() {
    let (old, new) = (Signer::new(1, "old"), Signer::new(2, "new"));
    let server = Server::with(&[&old]);
    let go = Arc::new(Notify::new());
    server.serve(JWKS, Reply::Held(go.clone(), jwks(&[&old]).to_string().into_bytes()));
    let cache = discovered(&server);
    let stopped = runtime();
    let waiting = stopped.block_on(verifying(&cache, old.token()));
    assert_eq!(server.asked(JWKS).len(), 1);

    let other = runtime();
    server.json(JWKS, &jwks(&[&new]));
    assert_eq!(other.block_on(verify(&cache, &new.token())), Ok(()));
    assert_eq!(server.asked(JWKS).len(), 2);

    go.notify_one();
    let late = stopped.block_on(waiting).unwrap();
    assert_eq!(late, Err(Rejected::UnknownKey));
    assert_eq!(other.block_on(verify(&cache, &new.token())), Ok(()));
}

/// Nothing can be fetched, but nothing breaks.
#[test]
fn without_a_runtime_there_are_the_keys_that_were_there() {
    let ours = Signer::new(1, "a");
    let server = Server::with(&[&ours]);
    let cache = discovered(&server);
    let verify_here = || {
        let token = ours.token();
        match pin!(verify(&cache, &token)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => panic!("there is nothing to wait for"),
        }
    };
    assert_eq!(verify_here(), Err(Rejected::KeysUnavailable));
    cache.prepare();
    assert_eq!(server.fetches(), 0);
    assert_eq!(runtime().block_on(verify(&cache, &ours.token())), Ok(()));
    assert_eq!(verify_here(), Ok(()));
}
