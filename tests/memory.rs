//! No freed block of memory holds a token or the operator's key: an allocator looks into every block that is given back.
//!
//! The one test binary with an allocator of its own, and so with `unsafe`. (The stack and registers are not looked at.)

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use common::*;
use oubliette::*;

struct Canary;

static IS_WATCHING: AtomicBool = AtomicBool::new(false);
static TOKENS: AtomicUsize = AtomicUsize::new(0);
static KEYS: AtomicUsize = AtomicUsize::new(0);

/// What is looked for. Made on the stack when needed, so that the test itself leaves no copy behind.
fn token_needle() -> [u8; 16] {
    std::array::from_fn(|at| b'a' + (at as u8 * 5) % 26)
}

fn key_needle() -> [u8; 16] {
    std::array::from_fn(|at| 0x30 + at as u8)
}

// SAFETY: all calls are passed on to the system's allocator with the layouts that they came with. `realloc` is the trait's own,
// which allocates, copies and gives back: an allocator that always moves.
unsafe impl GlobalAlloc for Canary {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Zeroed, so that nothing older is found.
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if IS_WATCHING.load(SeqCst) {
            // SAFETY: the block is the caller's until it is given back, of this size, and was zeroed when it was allocated.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            for (needle, count) in [(token_needle(), &TOKENS), (key_needle(), &KEYS)] {
                count.fetch_add(usize::from(bytes.windows(16).any(|window| window == needle)), SeqCst);
            }
        }
        // SAFETY: the caller's promise about `block` and `layout` is passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static CANARY: Canary = Canary;

/// How many freed blocks held a token, and how many the key.
fn watch(work: impl FnOnce()) -> (usize, usize) {
    TOKENS.store(0, SeqCst);
    KEYS.store(0, SeqCst);
    IS_WATCHING.store(true, SeqCst);
    work();
    IS_WATCHING.store(false, SeqCst);
    (TOKENS.load(SeqCst), KEYS.load(SeqCst))
}

/// The needle, some times over, in a string of just that size.
fn secret(times: usize) -> String {
    let mut secret = String::with_capacity(16 * times);
    (0..times).for_each(|_| secret.extend(token_needle().map(char::from)));
    secret
}

fn key() -> KeySource {
    let mut key = [9; 32];
    key[..16].copy_from_slice(&key_needle());
    KeySource::bytes(key)
}

#[test]
fn no_freed_memory_holds_a_token_or_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(now());
    assert_eq!(watch(|| drop(std::hint::black_box(secret(1)))), (1, 0), "the canary sees a plain string");

    let builder = || TokenStore::builder(folder.path().join("tokens")).clock(clock.clone());
    let verbs = watch(|| {
        let store = builder().key(key()).open().unwrap();
        let live = store.sign_in(sign_in(1).session(session(1))).unwrap();
        let expires = now() + Duration::from_secs(9999);
        live.put([access("a", "x").into(), AccessToken::new(client(), scopes("b"), secret(1), expires).into()]).unwrap();
        // Large enough for several parts.
        live.put([RefreshToken::new(client(), secret(2000)).into(), IdToken::new(client(), secret(1)).into()]).unwrap();
        for wanted in ["", "b"] {
            drop(live.access_token(&query(wanted)).unwrap().unwrap());
        }
        drop(live.refresh_token(&client()).unwrap().unwrap());
        drop(live.id_token(&client()).unwrap().unwrap());
        assert!(store.sweep(100).unwrap().finished);
        store.close().unwrap();
        drop(live);

        let store = builder().key(KeySource::bytes([1; 32]).previous(key())).open().unwrap();
        let live = store.account(&account(1)).unwrap().pop().unwrap();
        let receipt = store.sign_out(SignOut::account(&account(1)).taking_refresh_tokens()).unwrap();
        assert_eq!(receipt.refresh_tokens.len(), 1);
        drop(receipt);
        // What is refused is wiped too.
        drop(live.put(RefreshToken::new(client(), secret(1))).unwrap_err());
        drop(live.put(RefreshToken::new(client(), secret(5000))).unwrap_err());
        store.wait_reclaimed().unwrap();
        store.close().unwrap();
        drop(builder().key(KeySource::bytes([3; 32])).open().unwrap_err());
    });
    assert_eq!(verbs, (0, 0));

    let file = format!(
        r#"{{"RefreshToken": {{"k": {{"home_account_id": "a.b", "environment": "e", "client_id": "c", "secret": "{0}"}}}},
            "AccessToken": {{"k": {{"home_account_id": "a.b", "environment": "e", "client_id": "c", "secret": "{0}", "realm": "b",
            "target": "s", "expires_on": "1900000000"}}}}}}"#,
        secret(3)
    );
    let import = watch(|| {
        assert_eq!(oubliette::msal::MsalCache::read(file.as_bytes()).unwrap().sign_ins[0].tokens.len(), 2);
        assert!(oubliette::msal::MsalCache::read(&file.as_bytes()[..file.len() - 40]).is_err());
    });
    assert_eq!(import, (0, 0));
}
