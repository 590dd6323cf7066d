//! When keys are fetched, and who waits for them.

use super::*;

#[tokio::test(start_paused = true)]
async fn given_keys_are_the_only_ones() {
    let (ours, other) = (Signer::new(1, "a"), Signer::new(2, "b"));
    let cache = Keys::fixed(jwks(&[&ours]).to_string().as_bytes()).unwrap().cache(&provider());
    assert_eq!(verify(&cache, &ours.token()).await, Ok(()));
    assert_eq!(verify(&cache, &other.token()).await, Err(Rejected::UnknownKey));
    assert_eq!(verify(&cache, &Signer::new(2, "a").token()).await, Err(Rejected::BadSignature));
    assert_eq!(cache.end_session_endpoint().await, None);
    assert!(Keys::fixed(b"{\"keys\": []}").is_err());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_before_a_token_needs_it_and_then_once() {
    let ours = Signer::new(1, "a");
    let server = Server::with(&[&ours]);
    let cache = discovered(&server);
    settle().await;
    assert_eq!(server.fetches(), 0);
    for _ in 0..20 {
        assert_eq!(verify(&cache, &ours.token()).await, Ok(()));
        pass(SECOND).await;
    }
    assert_eq!((server.fetches(), server.asked(JWKS).len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn prepared_keys_are_there_when_the_first_token_comes() {
    let ours = Signer::new(1, "a");
    let server = Server::with(&[&ours]);
    let cache = discovered(&server);
    cache.prepare();
    settle().await;
    assert_eq!(server.fetches(), 1);
    server.serve(JWKS, Reply::Silence);
    assert_eq!(verify(&cache, &ours.token()).await, Ok(()));
    // With keys there is nothing to prepare.
    pass(INTERVAL).await;
    cache.prepare();
    settle().await;
    assert_eq!(server.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn however_many_tokens_with_an_unknown_key_come_one_fetch_serves_all() {
    let (old, new, made_up) =
        (Signer::new(1, "old"), Signer::new(2, "new"), Signer::new(3, "made up"));
    let server = Server::with(&[&old]);
    let cache = discovered(&server);
    assert_eq!(verify(&cache, &old.token()).await, Ok(()));
    pass(INTERVAL).await;

    server.serve(JWKS, Reply::Late(SECOND, jwks(&[&new]).to_string().into_bytes()));
    let (mut genuine, mut others) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        genuine.push(verifying(&cache, new.token()).await);
        others.push(verifying(&cache, made_up.token()).await);
    }
    for task in genuine {
        assert_eq!(task.await.unwrap(), Ok(()));
    }
    assert_eq!(server.fetches(), 2);
    // Those that came when it had begun are worth one more, and are refused then.
    for task in others {
        assert_eq!(task.await.unwrap(), Err(Rejected::UnknownKey));
    }
    assert_eq!(server.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_changes_under_its_name_is_fetched() {
    let (old, new) = (Signer::new(1, "same"), Signer::new(2, "same"));
    let server = Server::with(&[&old]);
    let cache = discovered(&server);
    assert_eq!(verify(&cache, &old.token()).await, Ok(()));
    pass(INTERVAL).await;
    server.json(JWKS, &jwks(&[&new]));
    assert_eq!(verify(&cache, &new.token()).await, Ok(()));
    assert_eq!(server.fetches(), 2);
}

/// Whatever the reason, and whatever comes of it.
#[tokio::test(start_paused = true)]
async fn fetches_begin_no_more_often_than_said() {
    let (ours, made_up, forged) =
        (Signer::new(1, "a"), Signer::new(2, "made up"), Signer::new(3, "a"));
    for discovery in [
        Reply::Bytes(document().to_string().into_bytes()),
        Reply::Status(500),
        Reply::Silence,
        Reply::Panic,
    ] {
        for keys in [
            Reply::Bytes(jwks(&[&ours]).to_string().into_bytes()),
            Reply::Status(503),
            Reply::Bytes(b"{}".to_vec()),
        ] {
            let server = Server::default();
            server.serve(DISCOVERY, discovery.clone());
            server.serve(JWKS, keys);
            // Age is a reason at once.
            let cache =
                Keys::discovered(server.clone()).refresh_every(Duration::ZERO).cache(&provider());
            let begun = Instant::now();
            let mut tasks = Vec::new();
            while begun.elapsed() < SECOND * 60 {
                for signer in [&ours, &made_up, &forged] {
                    tasks.push(verifying(&cache, signer.token()).await);
                }
                cache.prepare();
                pass(Duration::from_millis(300)).await;
            }
            let asked = server.asked(DISCOVERY);
            assert!(asked.windows(2).all(|two| two[1] - two[0] >= INTERVAL), "{asked:?}");
            // And no less often.
            assert!((10..=13).contains(&asked.len()), "{}", asked.len());
            for task in tasks {
                task.await.unwrap().ok();
            }
        }
    }
}

/// One stray token must not cost the genuine ones of the next seconds.
#[tokio::test(start_paused = true)]
async fn a_token_waits_for_the_next_fetch_that_may_begin() {
    let (old, new, stray) = (Signer::new(1, "old"), Signer::new(2, "new"), Signer::new(3, "stray"));
    let server = Server::with(&[&old]);
    let cache = discovered(&server);
    assert_eq!(verify(&cache, &old.token()).await, Ok(()));
    pass(INTERVAL).await;
    let begun = Instant::now();
    assert_eq!(verify(&cache, &stray.token()).await, Err(Rejected::UnknownKey));
    assert_eq!(begun.elapsed(), Duration::ZERO);

    pass(SECOND).await;
    server.json(JWKS, &jwks(&[&old, &new]));
    assert_eq!(verify(&cache, &new.token()).await, Ok(()));
    assert_eq!((begun.elapsed(), server.fetches()), (INTERVAL, 3));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_comes_back_is_heard_at_once() {
    let ours = Signer::new(1, "a");
    let server = Server::default();
    let cache = discovered(&server);
    assert_eq!(verify(&cache, &ours.token()).await, Err(Rejected::KeysUnavailable));
    assert_eq!(server.fetches(), 1);
    pass(SECOND).await;
    let waiting = verifying(&cache, ours.token()).await;
    server.json(DISCOVERY, &document());
    server.json(JWKS, &jwks(&[&ours]));
    assert_eq!(waiting.await.unwrap(), Ok(()));
    assert_eq!(server.fetches(), 2);
}

/// A token that came while a fetch was going on may be signed with a key that was published after
/// that had begun.
#[tokio::test(start_paused = true)]
async fn a_token_is_refused_only_after_a_fetch_that_began_after_it_came() {
    let (old, new) = (Signer::new(1, "old"), Signer::new(2, "new"));
    let server = Server::default();
    server.json(DISCOVERY, &document());
    server.serve(JWKS, Reply::Late(SECOND * 2, jwks(&[&old]).to_string().into_bytes()));
    let cache = discovered(&server);
    let first = verifying(&cache, old.token()).await;
    pass(SECOND).await;
    server.json(JWKS, &jwks(&[&new]));
    let second = verifying(&cache, new.token()).await;
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (Ok(()), Ok(())));
    assert_eq!(server.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_fetch_that_is_far_off() {
    let ours = Signer::new(1, "a");
    for interval in [SECOND * 31, Duration::MAX] {
        let server = Server::default();
        let cache = Keys::discovered(server.clone()).ask_again_after(interval).cache(&provider());
        let begun = Instant::now();
        for _ in 0..2 {
            assert_eq!(verify(&cache, &ours.token()).await, Err(Rejected::KeysUnavailable));
        }
        assert_eq!((begun.elapsed(), server.fetches()), (Duration::ZERO, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn old_keys_serve_while_newer_ones_are_fetched_in_the_background() {
    let (old, new) = (Signer::new(1, "old"), Signer::new(2, "new"));
    let server = Server::with(&[&old]);
    let cache = discovered(&server);
    assert_eq!(verify(&cache, &old.token()).await, Ok(()));
    pass(SECOND * 3599).await;
    assert_eq!(verify(&cache, &old.token()).await, Ok(()));
    settle().await;
    assert_eq!(server.fetches(), 1);

    pass(SECOND).await;
    let begun = Instant::now();
    server.serve(JWKS, Reply::Late(SECOND, jwks(&[&new]).to_string().into_bytes()));
    for _ in 0..3 {
        assert_eq!(verify(&cache, &old.token()).await, Ok(()));
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    pass(SECOND).await;
    // The withdrawn key is one no longer.
    assert_eq!(server.fetches(), 2);
    assert_eq!(verify(&cache, &old.token()).await, Err(Rejected::UnknownKey));
    assert_eq!(verify(&cache, &new.token()).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn old_keys_serve_for_as_long_as_fetching_fails() {
    let ours = Signer::new(1, "a");
    let server = Server::with(&[&ours]);
    let cache = discovered(&server);
    assert_eq!(verify(&cache, &ours.token()).await, Ok(()));
    for failure in
        [Reply::Status(500), Reply::Silence, Reply::Panic, Reply::Bytes(b"<html>".to_vec())]
    {
        server.serve(DISCOVERY, failure.clone());
        server.serve(JWKS, failure);
        for _ in 0..10 {
            pass(SECOND * 3600 * 24).await;
            assert_eq!(verify(&cache, &ours.token()).await, Ok(()));
        }
    }
}
