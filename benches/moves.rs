//! How long verbs wait while an operator's work goes on: compaction, complete erasure, backup, verification.
//!
//! One thread reads tokens, one puts and signs out, first in quiet and then beside each operation: the median, the 99.9th percentile and
//! the longest. `cargo bench --bench moves`; `OUBLIETTE_BENCH=short` for a quick look.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Random, TOKENS, add_account, client, folder, is_bench, is_short, query, refresh_token};
use oubliette::*;

fn main() {
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
    let store = TokenStore::builder(&path).key(key()).refresh_token_durability(Durability::ProcessCrash).open().unwrap();
    let mut random = Random(1);
    let lives: Vec<LiveSignIn> = (0..accounts).map(|number| add_account(&store, number, TOKENS, &mut random)).collect();

    println!("{accounts} accounts of {TOKENS} tokens of 1.6 kB");
    println!("{:<30} {:>9} | {:^29} | {:^29}", "", "took", "read: median, 99.9 %, longest", "write: median, 99.9 %, longest");
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
    let at = |part: f64| times.get(((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1))).copied();
    let micros = |part: f64| at(part).unwrap_or_default().as_secs_f64() * 1e6;
    format!("{:>6.0} µs {:>6.0} µs {:>7.0} µs", micros(0.5), micros(0.999), micros(1.0))
}
