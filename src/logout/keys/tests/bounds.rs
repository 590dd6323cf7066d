//! How much others can have us do and keep.

use super::super::cache::Origin;
use super::*;

fn taken(cache: &Cache) -> usize {
    match &cache.origin {
        Origin::Fetched(shared) => shared.waiting.taken(),
        Origin::Fixed(_) => 0,
    }
}

fn version(cache: &Cache) -> u64 {
    match &cache.origin {
        Origin::Fetched(shared) => shared.version(),
        Origin::Fixed(_) => 0,
    }
}

/// Hole: a flood of forged tokens had every signature checked twice.
#[tokio::test(start_paused = true)]
async fn signatures_are_checked_again_only_with_other_keys() {
    let (ours, forged, new) = (Signer::new(1, "a"), Signer::new(2, "a"), Signer::new(3, "b"));
    let server = Server::with(&[&ours]);
    let cache = discovered(&server);
    assert_eq!(verify(&cache, &ours.token()).await, Ok(()));
    for _ in 0..3 {
        assert_eq!(verify(&cache, &forged.token()).await, Err(Rejected::BadSignature));
    }
    assert_eq!((server.fetches(), version(&cache)), (4, 1));
    // They are as fresh as if they had changed.
    pass(SECOND * 3599).await;
    assert_eq!(verify(&cache, &ours.token()).await, Ok(()));
    settle().await;
    assert_eq!(server.fetches(), 4);

    server.json(JWKS, &jwks(&[&ours, &new]));
    assert_eq!(verify(&cache, &new.token()).await, Ok(()));
    assert_eq!((server.fetches(), version(&cache)), (5, 2));
}

/// They would be as many as anybody likes, for as long as the provider takes.
#[tokio::test(start_paused = true)]
async fn tokens_that_wait_take_up_no_more_than_their_room() {
    let (ours, large) = (Signer::new(1, "a"), Signer::new(2, "large").token_of(11_000));
    let server = Server::with(&[&ours]);
    let cache = discovered(&server);
    assert_eq!(verify(&cache, &ours.token()).await, Ok(()));
    pass(INTERVAL).await;

    server.serve(DISCOVERY, Reply::Silence);
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..1000 {
        tasks.push(verifying(&cache, large.clone()).await);
    }
    let waiting = tasks.iter().filter(|task| !task.is_finished()).count();
    assert!((200..600).contains(&waiting), "{waiting}");
    assert!(taken(&cache) <= 16 * 1024 * 1024 && taken(&cache) > 15 * 1024 * 1024);
    // What needs no waiting needs no room.
    assert_eq!(verify(&cache, &ours.token()).await, Ok(()));
    assert_eq!((begun.elapsed(), server.fetches()), (Duration::ZERO, 2));
    for task in tasks {
        assert_eq!(task.await.unwrap(), Err(Rejected::UnknownKey));
    }
    assert_eq!(taken(&cache), 0);
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_usual_tokens_finds_room() {
    let (old, new) = (Signer::new(1, "old"), Signer::new(2, "new"));
    let server = Server::with(&[&old]);
    let cache = discovered(&server);
    assert_eq!(verify(&cache, &old.token()).await, Ok(()));
    pass(SECOND).await;
    let usual = new.token_of(500);
    let mut tasks = Vec::new();
    for _ in 0..2500 {
        let (cache, token) = (cache.clone(), usual.clone());
        tasks.push(tokio::spawn(async move { verify(&cache, &token).await }));
    }
    server.json(JWKS, &jwks(&[&new]));
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(()));
    }
    assert_eq!((server.fetches(), taken(&cache)), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_leaves_the_room() {
    let cache = discovered(&Server::default());
    let token = Signer::new(1, "a").token();
    assert_eq!(verify(&cache, &token).await, Err(Rejected::KeysUnavailable));
    let waiting = verifying(&cache, token).await;
    assert!(taken(&cache) > 0);
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    assert_eq!(taken(&cache), 0);
}

/// The client is another's, and need not keep to what it was told.
#[tokio::test(start_paused = true)]
async fn documents_that_are_too_long_are_not_read() {
    let ours = Signer::new(1, "a");
    for long in [DISCOVERY, JWKS] {
        let server = Server::with(&[&ours]);
        let of_length = |len: usize| {
            let mut json =
                if long == JWKS { jwks(&[&ours]) } else { document() }.to_string().into_bytes();
            json.resize(len, b' ');
            Reply::Bytes(json)
        };
        server.serve(long, of_length(256 * 1024 + 1));
        let cache = discovered(&server);
        assert_eq!(verify(&cache, &ours.token()).await, Err(Rejected::KeysUnavailable));
        server.serve(long, of_length(256 * 1024));
        assert_eq!(verify(&cache, &ours.token()).await, Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_provider_is_given_up() {
    let ours = Signer::new(1, "a");
    for silent in [DISCOVERY, JWKS] {
        let server = Server::with(&[&ours]);
        server.serve(silent, Reply::Silence);
        let cache = Keys::discovered(server.clone()).give_up_after(SECOND * 3).cache(&provider());
        let begun = Instant::now();
        assert_eq!(verify(&cache, &ours.token()).await, Err(Rejected::KeysUnavailable));
        assert_eq!(begun.elapsed(), SECOND * 3);
    }
}

/// A log line a fetch would be strangers' to write.
#[tokio::test(start_paused = true)]
async fn it_is_told_once_a_minute_that_fetching_fails_and_why() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let ours = Signer::new(1, "a");
    let server = Server::default();
    let cache = discovered(&server);
    for _ in 0..60 {
        assert_eq!(verify(&cache, &ours.token()).await, Err(Rejected::KeysUnavailable));
        pass(SECOND).await;
    }
    assert!(server.fetches() > 10);
    let told = lines.0.lock().unwrap().clone();
    assert!((5..=6).contains(&told.len()), "{told:?}");
    assert!(
        told.iter()
            .all(|line| line.contains("discovery document: the server answered with status 404")),
        "{told:?}"
    );
    assert!(told.iter().all(|line| !line.contains("example.com")), "{told:?}");
}
