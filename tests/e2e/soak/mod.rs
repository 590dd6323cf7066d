//! A busy hour of the demonstration app in short: 50 clients sign in, call, refresh, and sign out through every signal, while the app is killed
//! (`kill -9`) and started again every 20 seconds. Nobody who has signed out is ever served; nobody else is ever signed out; memory and disk stay
//! as they are.
//!
//! `OUBLIETTE_SOAK_SECONDS=600 cargo test --release --all-features --test e2e soak:: -- --ignored --nocapture`; `OUBLIETTE_SOAK_SEED` for a printed seed. Linux.

mod api;
mod app;
mod browser;
mod client;
mod oracle;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use app::{App, Told, size};
use client::{Client, Soak, tenant, user};
use oracle::Oracle;
use oubliette_testkit::chance::Chance;
use oubliette_testkit::disk::say;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::examples::web_app::provider;

/// The app's id at the provider.
const CLIENT: &str = "web";
const CLIENTS: usize = 50;
/// Two clients each.
const USERS: usize = CLIENTS / 2;
const TENANTS: usize = 5;
const LIFE: Duration = Duration::from_secs(20);
/// Of access tokens: they are refreshed all the time.
const ACCESS_LIFE: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "ten minutes, by hand"]
async fn nobody_signed_out_is_served_and_nobody_else_is_signed_out() {
    let seconds = std::env::var("OUBLIETTE_SOAK_SECONDS")
        .map_or(600, |text| text.parse().expect("a number of seconds"));
    let mut chance = Chance::seeded("OUBLIETTE_SOAK_SEED", 20_261_121);
    let folder = tempfile::tempdir().unwrap();
    let (told, provider) = begin(folder.path()).await;
    let world = Arc::new(Soak {
        app: format!("http://127.0.0.1:{}", told.port),
        provider,
        oracle: Oracle::default(),
        deaths: AtomicU64::new(0),
        counts: Default::default(),
        old: Default::default(),
    });
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let user = number % USERS;
        let mut client =
            Client::new(world.clone(), number, user, user % TENANTS, Chance(chance.next()));
        let (world, mut pause) = (world.clone(), Chance(chance.next()));
        clients.spawn(async move {
            loop {
                if client.acts().await.is_err() {
                    world.count("times that the app was not there");
                }
                tokio::time::sleep(Duration::from_millis(pause.below(400))).await;
            }
        });
    }

    let begun = Instant::now();
    let mut figures = Vec::new();
    while begun.elapsed().as_secs() < seconds {
        let life = world.deaths.load(Ordering::SeqCst);
        Client::tells(&world, life);
        let mut app = App::start(&told).await;
        tokio::select! {
            () = tokio::time::sleep(LIFE) => {}
            ended = clients.join_next() => match ended.unwrap() {
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
        }
        let figure = (app.memory(), size(folder.path()));
        assert!(app.kill(), "the app has ended by itself");
        world.deaths.fetch_add(1, Ordering::SeqCst);
        world.oracle.has_died();
        say(&format!("life {life}: {} KiB of memory, {} KiB on the disk", figure.0, figure.1));
        figures.push(figure);
    }
    clients.shutdown().await;
    report(&world, &figures, begun.elapsed());
    assert_flat("memory", figures.iter().map(|figure| figure.0).collect());
    assert_flat("disk", figures.iter().map(|figure| figure.1).collect());
}

/// The provider and the API, which live as long as the test, and what the app is told of them.
async fn begin(folder: &Path) -> (Told, provider::Provider) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://localhost:{}", listener.local_addr().unwrap().port());
    // Free now; whoever takes it meanwhile makes this test fail.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let secret = "a secret of the test's".to_owned();
    let url = format!("http://127.0.0.1:{port}");
    let client = provider::Client {
        id: CLIENT.into(),
        secret: secret.clone(),
        redirect_uris: vec![format!("{url}/callback")],
        post_logout_redirect_uris: vec![format!("{url}/")],
        back_channel: Some(format!("{url}/logout/back-channel")),
        front_channel: Some(format!("{url}/logout/front-channel")),
    };
    let provider =
        provider::serve_users(listener, issuer.clone(), vec![client], users(), ACCESS_LIFE).await;
    let api = api::serve(issuer.clone(), secret.clone()).await;
    (Told { folder: folder.to_str().unwrap().into(), port, issuer, secret, api }, provider)
}

/// They live as long as the process.
fn users() -> &'static [provider::User] {
    let user = |number| {
        let (id, tenant) = (&*user(number).leak(), &*tenant(number % TENANTS).leak());
        provider::User { id, name: id, tenants: vec![tenant].leak() }
    };
    (0..USERS).map(user).collect::<Vec<_>>().leak()
}

fn report(world: &Soak, figures: &[(u64, u64)], took: Duration) {
    let counts = world.counts.lock().unwrap();
    say(&format!("{CLIENTS} clients, {} lives, {:.0} s", figures.len(), took.as_secs_f64()));
    for (what, count) in counts.iter() {
        say(&format!("{count:>8} {what}"));
    }
    let (asked, done) = world.oracle.count();
    say(&format!(
        "{asked:>8} sign-outs asked for, {done} acknowledged; {:?}",
        world.provider.counts()
    ));
    for what in [
        "called",
        "signed out here",
        "signed out by the back channel",
        "signed out everywhere",
        "old cookies refused",
    ] {
        assert!(counts.get(what).is_some_and(|count| *count > 0), "nobody was ever {what}");
    }
}

/// The last third is no more than the first, but for what comes and goes.
fn assert_flat(what: &str, figures: Vec<u64>) {
    let third = figures.len() / 3;
    if third < 2 {
        return;
    }
    let most = |part: &[u64]| part.iter().copied().max().unwrap();
    let (first, last) = (most(&figures[..third]), most(&figures[figures.len() - third..]));
    assert!(last <= first + first / 2, "{what} grows: {figures:?}");
}
