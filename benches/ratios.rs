//! The store beside its yardsticks: each pair is run in turn, many times in one loop, so that both
//! see the same disk. What counts is the ratio of the medians; a disk drifts too much for times of
//! different minutes to be compared.
//!
//! `cargo bench --bench ratios`; `OUBLIETTE_BENCH=short` for a quick look.

mod common;

use std::time::{Duration, Instant};

use common::{
    Bench, TOKENS, access_token, compare, is_bench, is_short, query, refresh_token, sizes,
};
use oubliette::{LiveSignIn, SignOut};

fn main() {
    let title = "medians of ours and of the yardstick, and their ratio";
    println!(
        "{title:<62} {:>12} {:>12} {:>7} {:>7} {:>9}",
        "ours", "yardstick", "ratio", "at most", "quartiles"
    );
    let rounds = |full: usize| {
        if !is_bench() {
            2
        } else if is_short() {
            (full / 10).max(10)
        } else {
            full
        }
    };
    for accounts in sizes() {
        let start = Instant::now();
        let mut bench = Bench::new(*accounts);
        println!(
            "\n{accounts} accounts of {TOKENS} tokens of 1.6 kB (made in {:.1} s)",
            start.elapsed().as_secs_f64()
        );

        open(&mut bench, rounds(30));
        get(&mut bench, rounds(3000));
        get_by_id(&mut bench, rounds(3000));
        put(&mut bench, rounds(1000));
        control(&mut bench, rounds(1000));
        sign_out(&mut bench, TOKENS, rounds(1000));
        sign_out_in_a_row(&mut bench, rounds(1000));
        reclaim(&mut bench, TOKENS, rounds(300));
        if accounts == sizes().first().unwrap() {
            println!("\nThe same by the size of the account");
            for (tokens, full) in [(1, 1000), (TOKENS, 1000), (1_000, 200), (10_000, 40)] {
                sign_out(&mut bench, tokens, rounds(full));
            }
            for (tokens, full) in [(1, 300), (1_000, 100), (10_000, 20)] {
                reclaim(&mut bench, tokens, rounds(full));
            }
        }
    }
}

/// Opening a store that was closed.
fn open(bench: &mut Bench, rounds: usize) {
    compare("open | bare sled with the same rows", rounds, None, bench, Bench::reopen, |b| {
        b.bare.reopen()
    });
}

/// Reading an access token by its exact scopes.
fn get(bench: &mut Bench, rounds: usize) {
    // A time of one read alone is too short to be told exactly.
    const IN_A_ROW: usize = 10;
    for (what, count) in [("of 200 busy accounts", 200), ("of any account", usize::MAX)] {
        for (cipher, is_ready) in [("cipher ready", true), ("cipher from key", false)] {
            let (lives, pairs) = bench.some(count);
            let wanted: Vec<_> = (0..TOKENS).map(query).collect();
            let pick = |b: &mut Bench| {
                [(); IN_A_ROW].map(|()| (b.random.below(lives.len()), b.random.below(TOKENS)))
            };
            let ours = |b: &mut Bench| {
                let picked = pick(b);
                let start = Instant::now();
                for (account, token) in picked {
                    assert!(lives[account].access_token(&wanted[token]).unwrap().is_some());
                }
                start.elapsed() / IN_A_ROW as u32
            };
            let yardstick = |b: &mut Bench| {
                let picked = pick(b);
                let start = Instant::now();
                for (account, token) in picked {
                    b.bare.get(&pairs[account], token, is_ready);
                }
                start.elapsed() / IN_A_ROW as u32
            };
            let figure = format!("get, {what} | 2 sled gets + open, {cipher}");
            compare(&figure, rounds, is_ready.then_some(2.0), bench, ours, yardstick);
        }
    }
}

/// The same from what an app keeps in its own session: the account's and the sign-in's ids.
fn get_by_id(bench: &mut Bench, rounds: usize) {
    const IN_A_ROW: usize = 10;
    let (lives, _) = bench.some(200);
    let wanted: Vec<_> = (0..TOKENS).map(query).collect();
    let reads = |b: &mut Bench, by_id: bool| {
        let picked = [(); IN_A_ROW].map(|()| (b.random.below(lives.len()), b.random.below(TOKENS)));
        let start = Instant::now();
        for (account, token) in picked {
            let (live, wanted) = (&lives[account], &wanted[token]);
            let found = if by_id {
                b.store().access_token(live.account(), live.id(), wanted)
            } else {
                live.access_token(wanted)
            };
            assert!(found.unwrap().is_some());
        }
        start.elapsed() / IN_A_ROW as u32
    };
    let figure = "get, from the account's id | get with the handle";
    compare(figure, rounds, Some(2.0), bench, |b| reads(b, true), |b| reads(b, false));
}

/// Putting tokens in the place of older ones.
fn put(bench: &mut Bench, rounds: usize) {
    let (lives, pairs) = bench.some(200);
    let ours = |b: &mut Bench, with_refresh: bool| {
        let mut tokens = vec![access_token(0, &mut b.random).into()];
        if with_refresh {
            tokens.push(refresh_token(&mut b.random).into());
        }
        let live: &LiveSignIn = &lives[b.random.below(lives.len())];
        let start = Instant::now();
        live.put(tokens).unwrap();
        start.elapsed()
    };
    let yardstick = |b: &mut Bench, numbers: &[usize], survives_power_loss: bool| {
        let pair = &pairs[b.random.below(pairs.len())];
        b.bare.put(pair, numbers, survives_power_loss)
    };
    let figure = "put 1 access token (ProcessCrash) | sled insert + flush";
    compare(figure, rounds, None, bench, |b| ours(b, false), |b| yardstick(b, &[0], false));
    let figure = "put access + refresh (PowerLoss) | sled batch + flush + fsync";
    compare(figure, rounds, None, bench, |b| ours(b, true), |b| yardstick(b, &[0, 1], true));
}

/// The yardstick beside its like: how far from 1 a ratio may be for no reason.
fn control(bench: &mut Bench, rounds: usize) {
    let prepared = |b: &mut Bench, append: fn(&mut Bench) -> Duration| {
        let account = b.new_account(TOKENS);
        b.store().wait_reclaimed().unwrap();
        let time = append(b);
        b.store().sign_out(SignOut::account(&account)).unwrap();
        time
    };
    let (one, other) = (|b: &mut Bench| b.control.append(), |b: &mut Bench| b.limit.append());
    let figure = "the append beside its like | 64-byte append + sync";
    compare(figure, rounds, None, bench, |b| prepared(b, one), |b| prepared(b, other));
}

/// The durable sign-out of an account, acknowledged. Before either is timed the same was written,
/// and the disk is quiet again.
fn sign_out(bench: &mut Bench, tokens: usize, rounds: usize) {
    let prepare = |b: &mut Bench| {
        let account = b.new_account(tokens);
        b.store().wait_reclaimed().unwrap();
        account
    };
    let ours = |b: &mut Bench| {
        let account = prepare(b);
        let start = Instant::now();
        b.store().sign_out(SignOut::account(&account)).unwrap();
        start.elapsed()
    };
    let yardstick = |b: &mut Bench| {
        let account = prepare(b);
        let time = b.limit.append();
        b.store().sign_out(SignOut::account(&account)).unwrap();
        time
    };
    let figure = format!("sign-out of {tokens} tokens, acknowledged | 64-byte append + sync");
    compare(&figure, rounds, Some(1.5), bench, ours, yardstick);
}

/// One sign-out right behind the other, with reclaim running beside sign-outs and yardstick alike.
fn sign_out_in_a_row(bench: &mut Bench, rounds: usize) {
    let mut accounts: Vec<_> = (0..=rounds).map(|_| bench.new_account(TOKENS)).collect();
    bench.store().wait_reclaimed().unwrap();
    let ours = |b: &mut Bench| {
        let account = accounts.pop().unwrap();
        let start = Instant::now();
        b.store().sign_out(SignOut::account(&account)).unwrap();
        start.elapsed()
    };
    let figure = "sign-outs of 10 tokens in a row, acknowledged | the append";
    compare(figure, rounds, Some(1.5), bench, ours, |b| b.limit.append());
    bench.store().wait_reclaimed().unwrap();
}

/// A sign-out until its rows are deleted too, and that is durable.
fn reclaim(bench: &mut Bench, tokens: usize, rounds: usize) {
    let ours = |b: &mut Bench| {
        let account = b.new_account(tokens);
        b.store().wait_reclaimed().unwrap();
        let start = Instant::now();
        b.store().sign_out(SignOut::account(&account)).unwrap();
        b.store().wait_reclaimed().unwrap();
        start.elapsed()
    };
    let figure = format!("sign-out of {tokens} tokens, reclaimed | 64-byte append + sync");
    compare(&figure, rounds, None, bench, ours, |b| b.limit.append());
}
