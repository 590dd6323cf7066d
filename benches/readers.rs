//! What readers notice while the rows of another tenant's sign-out are deleted behind it: the time
//! of one read, quiet and meanwhile, in one run. To reach: a 99.9th percentile at most five times
//! its quiet value.
//!
//! Readers read at a steady pace, as requests come. A read that cannot begin in time, as the one
//! before it took too long, counts from when it should have begun, so that one long wait is not
//! taken for one slow read among thousands.
//!
//! Then the price: how many rows a second go while nobody waits, and how many when somebody does.
//!
//! `cargo bench --bench readers`; `OUBLIETTE_BENCH=short` for a quick look.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Random, TOKENS, access_token, account, folder, is_bench, is_short, query};
use oubliette::*;

/// Readers: as many as there are cores where this was measured.
const READERS: usize = 2;
/// How often each of them reads.
const PACE: Duration = Duration::from_micros(500);

fn main() {
    let (others, leaving) = match (is_bench(), is_short()) {
        (false, _) => (20, 20),
        (true, true) => (1_000, 1_000),
        (true, false) => (5_000, 10_000),
    };
    let folder = folder();
    let key = std::array::from_fn(|n| n as u8);
    let store = TokenStore::builder(folder.path().join("tokens"))
        .key(KeySource::bytes(key))
        .open()
        .unwrap();
    let lives = fill(&store, "staying", 0, others);
    println!(
        "{READERS} readers of {others} accounts, while another tenant's are reclaimed: {leaving} of {TOKENS} tokens of 1.6 kB"
    );
    println!(
        "{:<40} {:>9} {:>10} {:>10} {:>10} {:>10}",
        "", "reads", "p50", "p99", "p99.9", "worst"
    );

    let rounds = if is_bench() && !is_short() { 3 } else { 1 };
    for round in 0..rounds {
        drop(fill(&store, "leaving", others * (round + 1) + leaving * round, leaving));
        store.wait_reclaimed().unwrap();
        // Each token once, so that the quiet reads are not the first ones, which find pages cold.
        for live in &lives {
            (0..TOKENS).for_each(|n| drop(live.access_token(&query(n)).unwrap()));
        }
        let quiet = while_reading(&lives, || {
            std::thread::sleep(Duration::from_secs(if is_bench() { 8 } else { 0 }))
        });
        let before = store.stats().unwrap().reclaimed.rows;
        let start = Instant::now();
        let busy = while_reading(&lives, || {
            store.sign_out(SignOut::tenant(&TenantId::new("leaving").unwrap())).unwrap();
            // Asking, not waiting: who waits is in a hurry.
            while store.stats().unwrap().backlog > 0 {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let seconds = start.elapsed().as_secs_f64();
        let rows = store.stats().unwrap().reclaimed.rows - before;
        let (quiet, busy) = (print("quiet", quiet), print("while rows are deleted", busy));
        println!(
            "ratio of p99.9: {:.2} (at most 5.0); {rows} rows in {seconds:.1} s, {:.0}/s",
            busy / quiet,
            rows as f64 / seconds
        );
    }

    drop(fill(&store, "leaving", 1_000_000, leaving));
    let before = store.wait_reclaimed().unwrap().rows;
    let start = Instant::now();
    store.sign_out(SignOut::tenant(&TenantId::new("leaving").unwrap())).unwrap();
    let rows = store.wait_reclaimed().unwrap().rows - before;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "somebody waits, nobody reads: {rows} rows in {seconds:.1} s, {:.0}/s",
        rows as f64 / seconds
    );
}

/// Signs accounts in to a tenant, with their tokens.
fn fill(store: &TokenStore, tenant: &str, first: u32, count: u32) -> Vec<LiveSignIn> {
    let numbers: Vec<u32> = (first..first + count).collect();
    let add = |number: u32| {
        let mut random = Random(number.into());
        let live =
            store.sign_in(SignIn::new(account(number), TenantId::new(tenant).unwrap())).unwrap();
        live.put((0..TOKENS).map(|n| access_token(n, &mut random).into()).collect::<Vec<Token>>())
            .unwrap();
        live
    };
    std::thread::scope(|scope| {
        let shares = numbers.chunks(numbers.len().div_ceil(8));
        let threads: Vec<_> = shares
            .map(|share| scope.spawn(move || share.iter().map(|n| add(*n)).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// The times of all reads until `work` is done, sorted.
fn while_reading(lives: &[LiveSignIn], work: impl FnOnce()) -> Vec<Duration> {
    let is_done = AtomicBool::new(false);
    let mut times = std::thread::scope(|scope| {
        let read = |seed: usize| {
            let mut random = Random(seed as u64);
            let wanted: Vec<_> = (0..TOKENS).map(query).collect();
            let mut times = Vec::with_capacity(1 << 22);
            let mut due = Instant::now();
            while !is_done.load(Ordering::Relaxed) || times.is_empty() {
                let (live, wanted) =
                    (&lives[random.below(lives.len())], &wanted[random.below(TOKENS)]);
                due += PACE;
                let now = Instant::now();
                let start = if due > now {
                    std::thread::sleep(due - now);
                    Instant::now()
                } else {
                    due
                };
                assert!(live.access_token(wanted).unwrap().is_some());
                times.push(start.elapsed());
            }
            times
        };
        let readers: Vec<_> = (0..READERS).map(|seed| scope.spawn(move || read(seed))).collect();
        work();
        is_done.store(true, Ordering::Relaxed);
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    times.sort_unstable();
    times
}

/// Prints the quantiles; gives the 99.9th percentile in seconds.
fn print(what: &str, times: Vec<Duration>) -> f64 {
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64();
    let micros = |part| format!("{:.1} us", at(part) * 1e6);
    println!(
        "{what:<40} {:>9} {:>10} {:>10} {:>10} {:>10}",
        times.len(),
        micros(0.5),
        micros(0.99),
        micros(0.999),
        micros(1.0)
    );
    at(0.999)
}
