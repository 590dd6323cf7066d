//! Sign-outs at scale: a ledger of 2 000 000 of them. How long opening takes and how much memory,
//! how long the history of one account takes, and what a sign-out notices of upkeep. To reach: open
//! in 1 s and 200 MB, history in 50 ms, no sign-out above 20 ms.
//!
//! Memory is the most that the process ever had, so opening is done in processes of their own.
//!
//! `cargo bench --bench sign_outs`; `OUBLIETTE_BENCH=short` for a quick look.

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Random, folder, is_bench, is_short};
use oubliette::*;

/// Sign-outs that one call asks for.
const CALL: u64 = 10_000;
const OPEN: &str = "OUBLIETTE_BENCH_OPEN";

fn main() {
    if let Some(folder) = std::env::var_os(OPEN) {
        return opened(Path::new(&folder));
    }
    let (count, again) = match (is_bench(), is_short()) {
        (false, _) => (20_000, 20_000),
        (true, true) => (200_000, 100_000),
        (true, false) => (2_000_000, 400_000),
    };
    let folder = folder();
    let path = folder.path().join("tokens");
    let store = open(&path);
    println!("{count} sign-outs, each of another account");
    let start = Instant::now();
    sign_out_all(&store, 0..count);
    println!("  recorded in {:.1} s", start.elapsed().as_secs_f64());
    worst(
        "while nothing else goes on",
        || std::thread::sleep(Duration::from_secs(u64::from(is_bench()))),
        &store,
    );
    worst(
        "while a sweep finds that compacting the ledger is not worth it",
        || assert!(store.sweep(usize::MAX).unwrap().finished),
        &store,
    );
    store.close().unwrap();
    for _ in 0..if is_bench() { 3 } else { 1 } {
        let status =
            Command::new(std::env::current_exe().unwrap()).env(OPEN, &path).status().unwrap();
        assert!(status.success());
    }

    let folder = common::folder();
    let store = open(&folder.path().join("tokens"));
    println!("{again} sign-outs, then the same accounts again");
    (0..2).for_each(|_| sign_out_all(&store, 0..again));
    worst(
        "while a sweep compacts the ledger",
        || assert!(store.sweep(usize::MAX).unwrap().finished),
        &store,
    );
    println!("  {} MB left", store.stats().unwrap().ledger_bytes >> 20);
}

fn builder(path: &Path) -> Builder {
    TokenStore::builder(path).key(KeySource::bytes(std::array::from_fn(|n| n as u8)))
}

fn open(path: &Path) -> TokenStore {
    builder(path).open().unwrap()
}

fn account(number: u64) -> AccountId {
    AccountId::new("login.example.com", format!("user-{number}")).unwrap()
}

fn sign_out_all(store: &TokenStore, numbers: std::ops::Range<u64>) {
    for first in numbers.clone().step_by(CALL as usize) {
        let last = (first + CALL).min(numbers.end);
        let call = (first + 1..last).fold(SignOut::account(&account(first)), |call, n| {
            call.and(SignOutScope::Account(account(n)))
        });
        store.sign_out(call).unwrap();
    }
    store.wait_reclaimed().unwrap();
}

/// One after another by one caller: the slowest of them, while `work` goes on.
fn worst(what: &str, work: impl FnOnce(), store: &TokenStore) {
    let done = AtomicBool::new(false);
    let (mut times, took) = std::thread::scope(|scope| {
        let caller = scope.spawn(|| {
            let (mut random, mut times) = (Random(7), Vec::new());
            while !done.load(Ordering::Relaxed) {
                let account = account(random.number() % 1000);
                let start = Instant::now();
                store.sign_out(SignOut::account(&account)).unwrap();
                times.push(start.elapsed());
            }
            times
        });
        let start = Instant::now();
        work();
        let took = start.elapsed();
        done.store(true, Ordering::Relaxed);
        (caller.join().unwrap(), took)
    });
    times.sort_unstable();
    let ms = |time: Option<&Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
    println!(
        "  {:<66} {:>6} sign-outs in {:>6.2} s, median {:.2} ms, slowest {:.2} ms",
        what,
        times.len(),
        took.as_secs_f64(),
        ms(times.get(times.len() / 2)),
        ms(times.last())
    );
}

/// What opening costs.
fn opened(path: &Path) {
    let start = Instant::now();
    let store = open(path);
    let time = start.elapsed();
    let memory = most_memory();
    let start = Instant::now();
    let last = store.last_sign_out(&SignOutScope::Account(account(4711))).unwrap();
    let looked = start.elapsed();
    assert!(last.exact.is_some());
    let start = Instant::now();
    let history = builder(path).history_of(&[SignOutScope::Account(account(4711))]).unwrap();
    assert!(history.of(&SignOutScope::Account(account(4711))).next().is_some());
    println!(
        "  open {:.2} s, {} MB; last sign-out of an account {:.3} ms, its history beside the app {:.0} ms, {} MB",
        time.as_secs_f64(),
        memory,
        looked.as_secs_f64() * 1e3,
        start.elapsed().as_secs_f64() * 1e3,
        most_memory()
    );
}

/// The most memory that this process had so far, in MB.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default()
        >> 10
}
