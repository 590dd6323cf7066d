//! Compactions of the engine: which ones are worth it, across restarts too, and what they take.

use std::path::Path;

use oubliette::*;
use oubliette_testkit::accounts::*;

/// So many, of rows so small, that a fresh engine of them is what a sweep takes for bloated: more
/// than twice what is live, and 8 MiB.
const ACCOUNTS: u32 = 6_000;

fn open(path: &Path) -> TokenStore {
    TokenStore::builder(path)
        .key(KeySource::bytes([7; 32]))
        .clock(ManualClock::new(now()))
        .open()
        .unwrap()
}

fn sweep(store: &TokenStore) -> SweepReport {
    loop {
        let swept = store.sweep(usize::MAX).unwrap();
        if swept.finished {
            return swept;
        }
    }
}

fn close_and_open(store: TokenStore, path: &Path) -> TokenStore {
    store.close().unwrap();
    open(path)
}

// Without it: what the last compaction brought is forgotten at close, and every restart compacts in
// vain.
#[test]
fn what_did_not_pay_is_not_done_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let store = open(&path);
    let fill = |share: u32| {
        for number in (share..ACCOUNTS).step_by(16) {
            // By its number only: half of them leave later.
            let request = SignIn::new(account(number), tenant(number % 2))
                .session(session(number))
                .subject(subject(number));
            let alias = |n: u32| Alias::new(AliasKind::Opaque, format!("{number}-{n}")).unwrap();
            store.sign_in((0..8).fold(request, |request, n| request.alias(alias(n)))).unwrap();
        }
    };
    std::thread::scope(|scope| (0..16).for_each(|share| _ = scope.spawn(move || fill(share))));
    store.compact().unwrap();
    let mut store = close_and_open(store, &path);
    for _ in 0..2 {
        let swept = sweep(&store);
        let size = store.stats().unwrap().engine_bytes;
        assert!(
            size > (8 << 20) + 2 * swept.live_bytes,
            "{size} of {} live: no case of it",
            swept.live_bytes
        );
        assert!(!swept.compacted);
        store = close_and_open(store, &path);
    }

    // Half of it goes, and it is worth it again: once.
    store.sign_out(SignOut::tenant(&tenant(1))).unwrap();
    store.wait_reclaimed().unwrap();
    store = close_and_open(store, &path);
    let before = store.stats().unwrap().engine_bytes;
    assert!(sweep(&store).compacted);
    assert!(store.stats().unwrap().engine_bytes < before);
    store = close_and_open(store, &path);
    assert!(!sweep(&store).compacted);
    assert_eq!(
        store.accounts(Page::first(usize::MAX)).unwrap().accounts.len(),
        ACCOUNTS as usize / 2
    );
    store.close().unwrap();
}

/// The size of a folder and all in it.
fn size_of(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    let size = |path: &Path| {
        if path.is_dir() { size_of(path) } else { path.metadata().map_or(0, |data| data.len()) }
    };
    entries.flatten().map(|entry| size(&entry.path())).sum()
}

#[test]
fn a_compaction_takes_no_more_of_the_disk_than_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    let store = open(&path);
    for number in 0..200 {
        let tokens: Vec<Token> =
            (0..20).map(|n| access(&format!("scope-{n}"), &"x".repeat(1600)).into()).collect();
        store.sign_in_with(sign_in(number), tokens).unwrap();
    }
    let estimate = store.compaction_estimate().unwrap();
    let others = size_of(&path) - estimate.engine_bytes;
    let (done, peak) =
        (std::sync::atomic::AtomicBool::new(false), std::sync::atomic::AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                peak.fetch_max(size_of(&path), std::sync::atomic::Ordering::Relaxed);
            }
        });
        store.compact().unwrap();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let peak = peak.into_inner();
    assert!(
        peak > estimate.engine_bytes && peak <= others + estimate.peak_bytes,
        "{peak} of {estimate:?}"
    );
    assert_eq!(estimate.peak_bytes, estimate.engine_bytes + estimate.copy_bytes);
    assert!(estimate.memory_bytes > 64 << 20 && estimate.free_bytes.is_some());
    store.close().unwrap();
}
