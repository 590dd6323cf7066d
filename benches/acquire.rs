//! Acquiring and signing out on a runtime of two threads, beside yardsticks that take their turns
//! with them in one run:
//!
//! - a cached `acquire_async`, by 1 to 64 tasks, beside a `moka` cache of the same tokens, plain
//!   and in memory only, and beside two bare sled gets and one AES-256-GCM open (to reach: at most
//!   2.5 times that);
//! - sign-outs by 64 tasks beside the same by 64 threads;
//! - how long each async call keeps the runtime's thread, at the most, in one of its polls, while
//!   others write.
//!
//! `cargo bench --bench acquire`; `OUBLIETTE_BENCH=short` for a quick look.

mod common;

use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use common::{
    Bare, Bench, Pair, Random, TOKENS, access_token, account, client, is_bench, is_short, query,
    refresh_token, sizes,
};
use oubliette::*;
use tokio::runtime::Runtime;

const THREADS: usize = 2;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .unwrap();
    let accounts = sizes()[0];
    let mut bench = Bench::new(accounts);
    let (lives, pairs) = bench.some(usize::MAX);
    println!("{accounts} accounts of {TOKENS} tokens of 1.6 kB, a runtime of {THREADS} threads\n");
    cached(&runtime, &bench, Arc::new(lives), Arc::new(pairs));
    sign_outs(&runtime, &bench);
    polls(&runtime, &bench);
}

fn rounds(full: usize) -> usize {
    match (is_bench(), is_short()) {
        (false, _) => 2,
        (true, true) => (full / 5).max(5),
        (true, false) => full,
    }
}

/// A token that is in the cache, in the three ways: the time of one, as all tasks together get
/// them.
fn cached(runtime: &Runtime, bench: &Bench, lives: Arc<Vec<LiveSignIn>>, pairs: Arc<Vec<Pair>>) {
    // What a round is made of, shared among the tasks.
    let reads = if is_bench() { 6_400 } else { 64 };
    let wanted: Arc<Vec<AccessQuery>> = Arc::new((0..TOKENS).map(query).collect());
    let acquirer = Acquirer::new();
    let moka = moka::sync::Cache::<(usize, usize), Arc<str>>::new((lives.len() * TOKENS) as u64);
    for (number, live) in lives.iter().enumerate() {
        for (which, wanted) in wanted.iter().enumerate() {
            let token = live.access_token(wanted).unwrap().unwrap();
            moka.insert((number, which), token.secret.expose().into());
        }
    }
    println!(
        "{:<34} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "one cached token", "acquire", "sled + open", "moka", "ratio to sled", "at most"
    );
    for tasks in [1, 4, 16, 64] {
        let each = reads / tasks;
        let ours = |seed: usize| {
            let (lives, wanted, acquirer) = (lives.clone(), wanted.clone(), acquirer.clone());
            run_tasks(runtime, tasks, move |task| {
                let (lives, wanted, acquirer) = (lives.clone(), wanted.clone(), acquirer.clone());
                let mut random = Random((seed * 1000 + task) as u64);
                async move {
                    for _ in 0..each {
                        let (live, wanted) =
                            (&lives[random.below(lives.len())], &wanted[random.below(TOKENS)]);
                        let refresh = |_| async { Err(RefreshError::failed("it is in the cache")) };
                        black_box(acquirer.acquire_async(live, wanted, refresh).await.unwrap());
                    }
                }
            })
        };
        let bare = |seed: usize| {
            let shares: Vec<Bare> = (0..tasks).map(|_| bench.bare.share()).collect();
            let shares = std::sync::Mutex::new(shares);
            let pairs = pairs.clone();
            run_tasks(runtime, tasks, move |task| {
                let (mut bare, pairs) = (shares.lock().unwrap().pop().unwrap(), pairs.clone());
                let mut random = Random((seed * 1000 + task) as u64);
                async move {
                    for _ in 0..each {
                        bare.get(&pairs[random.below(pairs.len())], random.below(TOKENS), true);
                    }
                }
            })
        };
        let in_memory = |seed: usize| {
            let (moka, accounts) = (moka.clone(), lives.len());
            run_tasks(runtime, tasks, move |task| {
                let moka = moka.clone();
                let mut random = Random((seed * 1000 + task) as u64);
                async move {
                    for _ in 0..each {
                        black_box(
                            moka.get(&(random.below(accounts), random.below(TOKENS))).unwrap(),
                        );
                    }
                }
            })
        };
        let mut times = [const { Vec::new() }; 3];
        // The first round warms all up.
        for round in 0..=rounds(60) {
            for turn in 0..3 {
                let who = (turn + round) % 3;
                let time = match who {
                    0 => ours(round),
                    1 => bare(round),
                    _ => in_memory(round),
                };
                if round > 0 {
                    times[who].push(time / (each * tasks) as u32);
                }
            }
        }
        let [ours, bare, moka] = times.map(median);
        let title = format!("by {tasks} tasks");
        println!(
            "{title:<34} {:>12} {:>12} {:>12} {:>12.2} {:>12}",
            micros(ours),
            micros(bare),
            micros(moka),
            ours / bare,
            "2.5"
        );
    }
}

/// Starts so many tasks; how long it takes until all have ended.
fn run_tasks<F: Future<Output = ()> + Send + 'static>(
    runtime: &Runtime,
    tasks: usize,
    task: impl Fn(usize) -> F,
) -> Duration {
    let work: Vec<F> = (0..tasks).map(task).collect();
    runtime.block_on(async {
        let start = Instant::now();
        let tasks: Vec<_> = work.into_iter().map(tokio::spawn).collect();
        for task in tasks {
            task.await.unwrap();
        }
        start.elapsed()
    })
}

/// Durable sign-outs, of people who are not there: recorded all the same, and nothing to be deleted
/// behind them.
fn sign_outs(runtime: &Runtime, bench: &Bench) {
    const AT_ONCE: usize = 64;
    let each = if is_bench() { 50 } else { 2 };
    let store = bench.store().clone();
    let asynchronous = AsyncTokenStore::from(store.clone());
    let nobody = move |seed: usize, n: usize| {
        SignOut::account(&account(10_000_000 + (seed * each + n) as u32))
    };
    let by_tasks = || {
        let store = asynchronous.clone();
        run_tasks(runtime, AT_ONCE, move |task| {
            let store = store.clone();
            async move {
                for n in 0..each {
                    store.sign_out(nobody(task, n)).await.unwrap();
                }
            }
        })
    };
    let by_threads = || {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..AT_ONCE {
                let store = &store;
                scope.spawn(move || {
                    (0..each).for_each(|n| drop(store.sign_out(nobody(thread, n)).unwrap()))
                });
            }
        });
        start.elapsed()
    };
    let (mut tasks, mut threads) = (Vec::new(), Vec::new());
    for round in 0..=rounds(20) {
        let times = if round % 2 == 0 {
            (by_tasks(), by_threads())
        } else {
            let b = by_threads();
            (by_tasks(), b)
        };
        if round > 0 {
            tasks.push(times.0);
            threads.push(times.1);
        }
    }
    let rate = |times| (AT_ONCE * each) as f64 / median(times);
    let (tasks, threads) = (rate(tasks), rate(threads));
    println!(
        "\nsign-outs by {AT_ONCE} tasks: {tasks:.0}/s, by {AT_ONCE} threads: {threads:.0}/s, ratio {:.2}",
        tasks / threads
    );
}

/// How long a call keeps the thread that polls it, while four threads sign in, put and sign out.
fn polls(runtime: &Runtime, bench: &Bench) {
    let store = AsyncTokenStore::from(bench.store().clone());
    let calls = if is_bench() { 50 * rounds(60) } else { 5 };
    println!(
        "\n{:<34} {:>12} {:>12} {:>12} {:>12}",
        "longest poll of a call", "p50", "p99", "p99.9", "worst"
    );
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (store, is_over) = (bench.store(), &is_over);
            scope.spawn(move || {
                let mut random = Random(writer);
                while !is_over.load(Ordering::Relaxed) {
                    let number = 20_000_000 + writer as u32 * 1000 + random.below(100) as u32;
                    let live = common::add_account(store, number, 2, &mut random);
                    let _ = live.put(refresh_token(&mut random));
                    store.sign_out(SignOut::account(live.account())).unwrap();
                }
            });
        }
        let live = runtime.block_on(store.sign_in(common::sign_in(30_000_000))).unwrap();
        let mut random = Random(1);
        runtime.block_on(live.put(access_token(0, &mut random))).unwrap();
        let (acquirer, wanted) = (Acquirer::new(), query(0));
        let refreshed = |grant: Grant| async move {
            Ok(Tokens::from(grant.access_token(None, "x".repeat(1600), Duration::from_secs(3600))))
        };
        runtime.block_on(live.put(refresh_token(&mut random))).unwrap();
        measure(runtime, "access_token", calls, || live.access_token(&wanted));
        measure(runtime, "access_token, of a subset", calls, || {
            let live = live.clone();
            async move { live.access_token(&AccessQuery::new(client())).await }
        });
        measure(runtime, "acquire_async, cached", calls, || {
            acquirer.acquire_async(&live, &wanted, refreshed)
        });
        measure(runtime, "acquire_async, refreshing", calls / 10, || {
            acquirer.acquire_async(
                &live,
                AccessRequest::new(wanted.clone()).force_refresh(),
                refreshed,
            )
        });
        measure(runtime, "put", calls / 10, || live.put(access_token(0, &mut Random(2))));
        measure(runtime, "sign_in", calls / 10, || store.sign_in(common::sign_in(30_000_001)));
        measure(runtime, "sign_out", calls / 10, || {
            store.sign_out(SignOut::account(&account(30_000_001)))
        });
        is_over.store(true, Ordering::Relaxed);
    });
}

fn measure<F: Future>(runtime: &Runtime, what: &str, calls: usize, call: impl Fn() -> F) {
    let mut longest: Vec<Duration> = (0..calls.max(2))
        .map(|_| {
            let mut polls = Polls { future: Box::pin(call()), longest: Duration::ZERO };
            runtime.block_on(&mut polls);
            polls.longest
        })
        .collect();
    longest.sort_unstable();
    let at =
        |part: f64| micros(longest[((longest.len() - 1) as f64 * part) as usize].as_secs_f64());
    println!("{what:<34} {:>12} {:>12} {:>12} {:>12}", at(0.5), at(0.99), at(0.999), at(1.0));
}

/// A future whose polls are timed.
struct Polls<F> {
    future: Pin<Box<F>>,
    longest: Duration,
}

impl<F: Future> Future for Polls<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let start = Instant::now();
        let poll = self.future.as_mut().poll(context);
        self.longest = self.longest.max(start.elapsed());
        poll.map(drop)
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

fn micros(seconds: f64) -> String {
    format!("{:.2} us", seconds * 1e6)
}
