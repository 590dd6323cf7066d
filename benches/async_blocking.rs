//! How long the async verbs keep the thread that polls them: each poll is timed, in quiet and
//! beside other work.
//!
//! One runtime with one thread reads; other threads put, sign out, have a tenant's rows reclaimed,
//! compact and sweep. What counts is that no poll takes as long as a sync does.
//! `cargo bench --bench async_blocking`; `OUBLIETTE_BENCH=short` for a quick look.

mod common;

use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use common::{
    Random, TOKENS, add_account, client, folder, is_bench, is_short, query, refresh_token,
};
use oubliette::*;

/// Times each poll of a future.
struct Timed<'a, F> {
    future: Pin<&'a mut F>,
    polls: &'a mut Vec<Duration>,
}

impl<F: Future> Future for Timed<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let start = Instant::now();
        let polled = self.future.as_mut().poll(context);
        self.polls.push(start.elapsed());
        polled
    }
}

async fn timed<F: Future>(polls: &mut Vec<Duration>, future: F) -> F::Output {
    Timed { future: pin!(future), polls }.await
}

fn main() {
    let accounts = if !is_bench() {
        50
    } else if is_short() {
        2_000
    } else {
        20_000
    };
    let folder = folder();
    let store = TokenStore::builder(folder.path().join("tokens"))
        .key(KeySource::bytes([7; 32]))
        .open()
        .unwrap();
    let mut random = Random(1);
    // Most of them are of 40 tenants, one of which will be signed out.
    let lives: Vec<LiveSignIn> =
        (0..accounts).map(|number| add_account(&store, number, TOKENS, &mut random)).collect();
    let readers: Vec<AsyncSignIn> = (0u32..)
        .zip(&lives)
        .filter(|(n, _)| n % 40 > 1)
        .map(|(_, live)| live.clone().into())
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();

    println!(
        "{accounts} accounts of {TOKENS} tokens of 1.6 kB; how long polls of `access_token` took"
    );
    println!(
        "{:<34} {:>9} {:>9} {:>9} {:>9} | put off",
        "beside", "median", "99 %", "99.9 %", "longest"
    );
    let quiet = Duration::from_millis(if is_bench() { 2_000 } else { 20 });
    let beside = |what: &str, work: &(dyn Fn(&AtomicBool) + Sync)| {
        reads_beside(what, &runtime, &readers, work)
    };
    let for_a_while = |done: &AtomicBool, mut work: Box<dyn FnMut() + '_>| {
        let end = Instant::now() + quiet;
        while Instant::now() < end && !done.load(Ordering::Relaxed) {
            work();
        }
    };
    beside("nothing", &|_| std::thread::sleep(quiet));
    beside("puts that survive a power loss", &|done| {
        let mut random = Random(3);
        for_a_while(
            done,
            Box::new(|| {
                drop(lives[random.below(lives.len())].put(refresh_token(&mut random)).unwrap())
            }),
        );
    });
    beside("sign-ins", &|done| {
        let mut number = accounts;
        for_a_while(
            done,
            Box::new(|| {
                number += 1;
                drop(store.sign_in(common::sign_in(number * 40)).unwrap());
            }),
        );
    });
    let nobody = AccountId::new("login.example.com", "nobody").unwrap();
    beside("sign-outs", &|done| {
        for_a_while(done, Box::new(|| drop(store.sign_out(SignOut::account(&nobody)).unwrap())))
    });
    beside("a tenant's rows being deleted", &|_| {
        store.sign_out(SignOut::tenant(&TenantId::new("tenant-1").unwrap())).unwrap();
        store.wait_reclaimed().unwrap();
    });
    beside("sweep", &|_| while !store.sweep(64).unwrap().finished {});
    beside("compact", &|_| _ = store.compact().unwrap());

    println!("\nhow long polls of other calls took, in quiet");
    let store = AsyncTokenStore::new(store);
    let rounds = if is_bench() { 500 } else { 3 };
    runtime.block_on(async {
        let mut polls = Vec::new();
        for number in 0..rounds {
            drop(timed(&mut polls, store.sign_in(common::sign_in(number * 40))).await.unwrap());
        }
        println!("{:<34} {}", "sign_in", spread(&mut polls));
        for _ in 0..rounds {
            let token = refresh_token(&mut random);
            drop(timed(&mut polls, readers[random.below(readers.len())].put(token)).await.unwrap());
        }
        println!("{:<34} {}", "put", spread(&mut polls));
        for _ in 0..rounds {
            drop(timed(&mut polls, store.sign_out(SignOut::account(&nobody))).await.unwrap());
        }
        println!("{:<34} {}", "sign_out", spread(&mut polls));
        for _ in 0..rounds {
            let live = &readers[random.below(readers.len())];
            drop(timed(&mut polls, store.resume(live.account(), live.id())).await.unwrap());
        }
        println!("{:<34} {}", "resume", spread(&mut polls));
        let start = Instant::now();
        for _ in 0..rounds {
            _ = store.stats().await.unwrap();
        }
        println!(
            "\nthere and back again on another thread (stats): {:.1} µs",
            micros(start.elapsed() / rounds)
        );
    });
    observed(&readers[0], rounds * 20);
    drop((lives, readers));
    runtime.block_on(store.close()).unwrap();
}

/// What a read spends on telling, while nobody listens.
fn observed(live: &AsyncSignIn, rounds: u32) {
    let each = |mut work: Box<dyn FnMut() + '_>| {
        let start = Instant::now();
        (0..rounds).for_each(|_| work());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(rounds)
    };
    let told = each(Box::new(|| {
        let span = tracing::debug_span!(
            "read",
            kind = black_box("access"),
            outcome = tracing::field::Empty
        )
        .entered();
        span.record("outcome", black_box("hit"));
        metrics::counter!("oubliette_reads_total", "kind" => "access", "outcome" => "hit")
            .increment(1);
    }));
    let wanted = query(0);
    let read = each(Box::new(|| drop(black_box(live.blocking().access_token(&wanted).unwrap()))));
    println!(
        "a read of a busy account {read:.0} ns, of which its span and counter without a listener {told:.1} ns ({:.2} %)",
        told / read * 100.0
    );
}

/// Reads on the runtime's thread while `work` goes on in another one.
fn reads_beside(
    what: &str,
    runtime: &tokio::runtime::Runtime,
    readers: &[AsyncSignIn],
    work: &(dyn Fn(&AtomicBool) + Sync),
) {
    let done = AtomicBool::new(false);
    let (mut polls, mut reads) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            work(&done);
            done.store(true, Ordering::Relaxed);
        });
        runtime.block_on(async {
            let mut random = Random(2);
            while !done.load(Ordering::Relaxed) {
                let live = &readers[random.below(readers.len())];
                let wanted = query(random.below(TOKENS));
                assert!(timed(&mut polls, live.access_token(&wanted)).await.unwrap().is_some());
                reads += 1;
            }
            assert!(readers[0].refresh_token(&client()).await.is_ok());
        });
    });
    let put_off = (polls.len() - reads) as f64 / reads.max(1) as f64 * 100.0;
    println!("{what:<34} {} | {put_off:.2} %", spread(&mut polls));
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The median, the 99th and the 99.9th percentile, and the longest. Empties the list.
fn spread(times: &mut Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: f64| {
        times
            .get(((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1)))
            .copied()
    };
    let shown = [0.5, 0.99, 0.999, 1.0]
        .map(|part| format!("{:>6.0} µs", micros(at(part).unwrap_or_default())));
    times.clear();
    shown.join(" ")
}
