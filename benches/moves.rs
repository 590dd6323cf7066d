//! How long verbs wait while an operator's work goes on: compaction, complete erasure, backup,
//! verification.
//!
//! One thread reads tokens, one puts and signs out, first in quiet and then beside each operation:
//! the median, the 99.9th percentile and the longest. Then the other way round: how long a sweep
//! and a compaction take beside 64 threads that sign in, put and sign out, by how long they take in
//! quiet. (To reach: at most three times.) `cargo bench --bench moves`; `OUBLIETTE_BENCH=short` for
//! a quick look.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{
    Random, TOKENS, account, add_account, client, folder, is_bench, is_short, query, refresh_token,
    sign_in,
};
use oubliette::*;

fn main() {
    if std::env::var("OUBLIETTE_BENCH").is_ok_and(|value| value == "writers") {
        return among_writers();
    }
    verbs_beside_moves();
    among_writers();
}

fn verbs_beside_moves() {
    let accounts = if !is_bench() {
        50
    } else if is_short() {
        2_000
    } else {
        20_000
    };
    let folder = folder();
    let path = folder.path().join("tokens");
    let key = || KeySource::bytes([7; 32]);
    let store = TokenStore::builder(&path)
        .key(key())
        .refresh_token_durability(Durability::ProcessCrash)
        .open()
        .unwrap();
    let mut random = Random(1);
    let lives: Vec<LiveSignIn> =
        (0..accounts).map(|number| add_account(&store, number, TOKENS, &mut random)).collect();

    println!("{accounts} accounts of {TOKENS} tokens of 1.6 kB");
    println!(
        "{:<30} {:>9} | {:^29} | {:^29}",
        "", "took", "read: median, 99.9 %, longest", "write: median, 99.9 %, longest"
    );
    let quiet = Duration::from_millis(if is_bench() { 2_000 } else { 20 });
    beside("nothing", &store, &lives, || std::thread::sleep(quiet));
    beside("compact", &store, &lives, || _ = store.compact().unwrap());
    beside("complete_erasure", &store, &lives, || _ = store.complete_erasure(&key()).unwrap());
    beside("backup", &store, &lives, || _ = store.backup(folder.path().join("backup")).unwrap());
    beside("verify", &store, &lives, || assert!(store.verify().unwrap().is_sound()));
    beside("rotate_key", &store, &lives, || store.rotate_key(&key()).unwrap());
    drop(lives);
    store.close().unwrap();
}

/// How many write, in the other half.
const WRITERS: u64 = 64;

/// Sweep and compaction among as many writers as a busy app has, all at the same few accounts:
/// nobody may starve.
fn among_writers() {
    let accounts = if is_bench() { 336 } else { 20 };
    let folder = folder();
    let key = KeySource::bytes([7; 32]);
    let store = TokenStore::builder(folder.path().join("tokens")).key(key).open().unwrap();
    let mut random = Random(1);
    (0..accounts).for_each(|number| drop(add_account(&store, number, TOKENS, &mut random)));
    // As many sign-ins and tokens as there are among them.
    among(&store, accounts, |writes| {
        while writes.load(Ordering::Relaxed) < u64::from(accounts) * 32 {
            std::thread::sleep(Duration::from_millis(1));
        }
    });

    println!("\n{accounts} accounts, among {WRITERS} threads that sign in, put and sign out");
    println!("{:<12} {:>9} {:>9} {:>7} {:>14}", "", "quiet", "among", "ratio", "writes a second");
    let sweep = || while !store.sweep(usize::MAX).unwrap().finished {};
    let compact = || _ = store.compact().unwrap();
    let works: [(&str, &dyn Fn()); 2] = [("sweep", &sweep), ("compact", &compact)];
    let times = |work: &dyn Fn()| {
        let mut times: Vec<Duration> =
            (0..if is_bench() { 5 } else { 1 }).map(|_| time(work)).collect();
        times.sort_unstable();
        (times[times.len() / 2], times.iter().sum::<Duration>())
    };
    for (what, work) in works {
        store.wait_reclaimed().unwrap();
        let (quiet, _) = times(work);
        let (meanwhile, rate) = among(&store, accounts, |writes| {
            let before = writes.load(Ordering::Relaxed);
            let (median, all) = times(work);
            (median, (writes.load(Ordering::Relaxed) - before) as f64 / all.as_secs_f64())
        });
        let ratio = meanwhile.as_secs_f64() / quiet.as_secs_f64();
        println!(
            "{what:<12} {:>6} ms {:>6} ms {ratio:>7.2} {rate:>14.0}",
            quiet.as_millis(),
            meanwhile.as_millis()
        );
    }
    store.close().unwrap();
}

/// Runs `work` while all are writing; it is told how many writes there were.
fn among<T>(store: &TokenStore, accounts: u32, work: impl FnOnce(&AtomicU64) -> T) -> T {
    let (done, writes) = (AtomicBool::new(false), AtomicU64::new(0));
    let write = |random: &mut Random| {
        let number = random.below(accounts as usize) as u32;
        match random.below(8) {
            0 => drop(store.sign_out(SignOut::account(&account(number))).unwrap()),
            // A sign-out may overtake either.
            1..4 => drop(store.sign_in(sign_in(number))),
            _ => store
                .account(&account(number))
                .unwrap()
                .iter()
                .take(1)
                .for_each(|live| drop(live.put(refresh_token(random)))),
        }
        writes.fetch_add(1, Ordering::Relaxed);
    };
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (done, write) = (&done, &write);
            scope.spawn(move || {
                let mut random = Random(writer);
                while !done.load(Ordering::Relaxed) {
                    write(&mut random);
                }
            });
        }
        while writes.load(Ordering::Relaxed) < WRITERS * 4 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let result = work(&writes);
        done.store(true, Ordering::Relaxed);
        result
    })
}

/// Runs `work` while others read and write.
fn beside(what: &str, store: &TokenStore, lives: &[LiveSignIn], work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    let (took, reads, writes) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut random = Random(2);
            let mut times = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let live = &lives[random.below(lives.len())];
                let wanted = query(random.below(TOKENS));
                times.push(time(|| assert!(live.access_token(&wanted).unwrap().is_some())));
            }
            times
        });
        let writer = scope.spawn(|| {
            let mut random = Random(3);
            let mut times = Vec::new();
            let nobody = AccountId::new("login.example.com", "nobody").unwrap();
            while !done.load(Ordering::Relaxed) {
                let live = &lives[random.below(lives.len())];
                let token = refresh_token(&mut random);
                times.push(time(|| drop(live.put(token).unwrap())));
                times.push(time(|| drop(store.sign_out(SignOut::account(&nobody)).unwrap())));
            }
            assert!(lives[0].refresh_token(&client()).is_ok());
            times
        });
        let took = time(work);
        done.store(true, Ordering::Relaxed);
        (took, reader.join().unwrap(), writer.join().unwrap())
    });
    println!("{what:<30} {:>6} ms | {} | {}", took.as_millis(), spread(reads), spread(writes));
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: f64| {
        times
            .get(((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1)))
            .copied()
    };
    let micros = |part: f64| at(part).unwrap_or_default().as_secs_f64() * 1e6;
    format!("{:>6.0} µs {:>6.0} µs {:>7.0} µs", micros(0.5), micros(0.999), micros(1.0))
}
