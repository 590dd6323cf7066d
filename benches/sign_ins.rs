//! How many sign-ins a second a store takes, each durable when it returns, by how many threads are
//! at it.
//!
//! `cargo bench --bench sign_ins`; `OUBLIETTE_BENCH=short` for a quick look. To compare two builds,
//! keep the binary of one and run them in turn: a disk drifts too much for figures of different
//! minutes to be compared.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use common::{Random, access_token, folder, is_bench, is_short, refresh_token, sign_in};
use oubliette::*;

fn main() {
    let (count, rounds) = match (is_bench(), is_short()) {
        (false, _) => (128, 1),
        (true, true) => (2_000, 1),
        (true, false) => (10_000, 3),
    };
    println!("{count} sign-ins of as many accounts, a second: each round, and the median");
    for (what, threads, tokens) in [
        ("sign_in", 1, false),
        ("sign_in", 8, false),
        ("sign_in", 64, false),
        ("sign_in_with 2 tokens of 1.6 kB", 64, true),
    ] {
        // One thread alone takes as long as the disk does, each time anew.
        let count = if threads == 1 { count / 5 } else { count };
        let mut rates: Vec<f64> = (0..rounds).map(|_| rate(count, threads, tokens)).collect();
        let each: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
        rates.sort_unstable_by(f64::total_cmp);
        println!(
            "{what:<34} {threads:>2} threads {:>24} | {:.0}/s",
            each.join(" "),
            rates[rates.len() / 2]
        );
    }
}

/// Signs so many accounts in to a new store, with a sign-out of somebody else now and then, as a
/// store at work has them.
fn rate(count: u32, threads: u32, tokens: bool) -> f64 {
    let folder = folder();
    let store = TokenStore::builder(folder.path().join("tokens"))
        .key(KeySource::bytes([7; 32]))
        .open()
        .unwrap();
    let next = AtomicU32::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (store, next) = (&store, &next);
            scope.spawn(move || {
                let mut random = Random(thread.into());
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let first: Vec<Token> = if tokens {
                        vec![access_token(0, &mut random).into(), refresh_token(&mut random).into()]
                    } else {
                        vec![]
                    };
                    drop(store.sign_in_with(sign_in(number), first).unwrap());
                }
            });
        }
    });
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    store.close().unwrap();
    rate
}
