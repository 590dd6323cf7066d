//! SQLite's log under writers and readers that never rest.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use oubliette_testkit::accounts::*;
use oubliette_testkit::disk::Home;

use super::file;
use crate::child::builder;

/// Four threads write, and two read; SQLite by itself would begin the log anew only in a moment in
/// which none of them does anything.
#[test]
fn it_stays_short_under_writers_that_never_rest() {
    const PUTS: u64 = 12_000;
    let home = Home::new();
    let store = builder(&home.path()).open().unwrap();
    let lives: Vec<_> = (0..4).map(|number| store.sign_in(sign_in(number)).unwrap()).collect();
    let log = file(&home.path(), "rows-", ".db-wal");
    let (longest, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let secret = "s".repeat(1600);
    std::thread::scope(|scope| {
        let writers: Vec<_> = lives
            .iter()
            .map(|live| {
                let (log, longest, secret) = (&log, &longest, &secret);
                scope.spawn(move || {
                    for count in 0..PUTS {
                        live.put(access(&format!("scope-{}", count % 20), secret)).unwrap();
                        let bytes = std::fs::metadata(log).unwrap().len();
                        longest.fetch_max(bytes, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for live in &lives[..2] {
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let _ = live.access_token(&query("scope-1")).unwrap();
                }
            });
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
    });
    let longest = longest.into_inner() >> 20;
    assert!((1..64).contains(&longest), "{longest} MiB");
}
