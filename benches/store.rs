//! Sign-out, get, put and open by themselves, each beside its yardstick on the same disk. For their
//! ratios see `ratios.rs`.
//!
//! `cargo bench --bench store`; `OUBLIETTE_BENCH=short` for a quick look.

mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use common::{Bench, TOKENS, access_token, is_bench, is_short, query, refresh_token, sizes};
use criterion::{BenchmarkId, Criterion};
use oubliette::{SignOut, Token};

fn main() {
    let (warm_up, measure) = if is_short() { (100, 400) } else { (1000, 3000) };
    let mut criterion = Criterion::default()
        .sample_size(if is_short() { 10 } else { 50 })
        .warm_up_time(Duration::from_millis(warm_up))
        .measurement_time(Duration::from_millis(measure))
        .configure_from_args();
    for accounts in sizes() {
        let mut bench = Bench::new(*accounts);
        open(&mut criterion, &mut bench, *accounts);
        get(&mut criterion, &mut bench, *accounts);
        put(&mut criterion, &mut bench, *accounts);
        sign_out(&mut criterion, &mut bench, &format!("10 tokens, {accounts} accounts"), TOKENS);
        limit(&mut criterion, &mut bench, &format!("{accounts} accounts"));
        if accounts == sizes().first().unwrap() {
            for tokens in [1, 1_000, 10_000] {
                // Ten times ten thousand tokens are too many for a quick look, or for a test.
                if tokens < 10_000 || (is_bench() && !is_short()) {
                    sign_out(&mut criterion, &mut bench, &format!("{tokens} tokens"), tokens);
                }
            }
        }
    }
    criterion.final_summary();
}

/// Opening a store that was closed.
fn open(criterion: &mut Criterion, bench: &mut Bench, accounts: u32) {
    let mut group = criterion.benchmark_group("open");
    group.sample_size(10);
    group.bench_function(BenchmarkId::new("store", accounts), |b| {
        b.iter_custom(|times| (0..times).map(|_| bench.reopen()).sum());
    });
    group.bench_function(BenchmarkId::new("bare sled", accounts), |b| {
        b.iter_custom(|times| (0..times).map(|_| bench.bare.reopen()).sum());
    });
    group.finish();
}

/// Reading an access token of 200 busy accounts by its exact scopes.
fn get(criterion: &mut Criterion, bench: &mut Bench, accounts: u32) {
    let mut group = criterion.benchmark_group("get");
    let (lives, pairs) = bench.some(200);
    let wanted: Vec<_> = (0..TOKENS).map(query).collect();
    group.bench_function(BenchmarkId::new("store", accounts), |b| {
        b.iter(|| {
            let (live, wanted) =
                (&lives[bench.random.below(lives.len())], &wanted[bench.random.below(TOKENS)]);
            black_box(live.access_token(wanted).unwrap().unwrap())
        });
    });
    group.bench_function(BenchmarkId::new("two bare sled gets and one open", accounts), |b| {
        b.iter(|| {
            let (pair, token) =
                (&pairs[bench.random.below(pairs.len())], bench.random.below(TOKENS));
            bench.bare.get(pair, token, true);
        });
    });
    group.finish();
}

/// Putting tokens in the place of older ones of 200 busy accounts: one that must survive the death
/// of the process, or two that must survive a power loss.
fn put(criterion: &mut Criterion, bench: &mut Bench, accounts: u32) {
    let mut group = criterion.benchmark_group("put");
    let (lives, pairs) = bench.some(200);
    for (what, with_refresh) in [("access", false), ("access and refresh", true)] {
        group.bench_function(BenchmarkId::new(format!("{what}, store"), accounts), |b| {
            b.iter_custom(|times| {
                let put = |_| {
                    let mut tokens: Vec<Token> = vec![access_token(0, &mut bench.random).into()];
                    if with_refresh {
                        tokens.push(refresh_token(&mut bench.random).into());
                    }
                    let live = &lives[bench.random.below(lives.len())];
                    let start = Instant::now();
                    live.put(tokens).unwrap();
                    start.elapsed()
                };
                (0..times).map(put).sum()
            });
        });
        let numbers: &[usize] = if with_refresh { &[0, 1] } else { &[0] };
        let yardstick =
            if with_refresh { "sled batch, flush and fsync" } else { "sled insert and flush" };
        group.bench_function(BenchmarkId::new(format!("{what}, {yardstick}"), accounts), |b| {
            b.iter_custom(|times| {
                let put = |_| {
                    bench.bare.put(&pairs[bench.random.below(pairs.len())], numbers, with_refresh)
                };
                (0..times).map(put).sum()
            });
        });
    }
    group.finish();
}

/// The durable sign-out of a live account, when nothing else is being reclaimed: until it is
/// acknowledged, and apart from that until its rows are deleted too. Signing in and putting are not
/// measured.
fn sign_out(criterion: &mut Criterion, bench: &mut Bench, what: &str, tokens: usize) {
    let mut group = criterion.benchmark_group("sign-out");
    // Most of the time goes into filling accounts.
    group.sample_size(10);
    for (end, until_reclaimed) in [("acknowledged", false), ("reclaimed", true)] {
        group.bench_function(BenchmarkId::new(end, what), |b| {
            b.iter_custom(|times| {
                let sign_out = |_| {
                    let account = bench.new_account(tokens);
                    bench.store().wait_reclaimed().unwrap();
                    let start = Instant::now();
                    bench.store().sign_out(SignOut::account(&account)).unwrap();
                    if until_reclaimed {
                        bench.store().wait_reclaimed().unwrap();
                    }
                    start.elapsed()
                };
                (0..times).map(sign_out).sum()
            });
        });
    }
    group.finish();
}

/// The least that a durable sign-out can cost, after the same preparation.
fn limit(criterion: &mut Criterion, bench: &mut Bench, what: &str) {
    let mut group = criterion.benchmark_group("sign-out");
    group.sample_size(10);
    group.bench_function(BenchmarkId::new("limit: 64-byte append and sync", what), |b| {
        b.iter_custom(|times| {
            let append = |_| {
                let account = bench.new_account(TOKENS);
                bench.store().wait_reclaimed().unwrap();
                let time = bench.limit.append();
                bench.store().sign_out(SignOut::account(&account)).unwrap();
                time
            };
            (0..times).map(append).sum()
        });
    });
    group.finish();
}
