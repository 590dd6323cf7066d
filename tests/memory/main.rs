//! No freed block of memory holds a token or a key, of any level: an allocator looks into every
//! block that is given back, or left behind by one that grows. After each verb the part of the
//! stack that it used holds none either; and once a store is closed, no block that is still in use
//! does.
//!
//! The one test binary with an allocator of its own, and so with `unsafe`. The store tells it of
//! every key that it makes (with the feature `test-util`). Not looked at: registers, other threads'
//! stacks, and all of AES-GCM's state but the round keys.

mod canary;
mod key_sources;
mod verbs;

use std::hint::black_box;
use std::mem::ManuallyDrop;

use aes_gcm::Aes256Gcm;
use canary::{CLEAN, Found, Kind, found, freed, held, left_on_stack, noted};
use hmac::{Hmac, KeyInit};
use oubliette::*;
use sha2::Sha256;

/// What a token consists of. Made on the stack when needed, so that the test itself leaves no copy
/// behind.
fn token_needle() -> [u8; 16] {
    std::array::from_fn(|at| b'a' + (at as u8 * 5) % 26)
}

/// The needle, some times over, in a string of just that size.
fn secret(times: usize) -> String {
    #[inline(never)]
    fn make(times: usize) -> String {
        let mut secret = String::with_capacity(16 * times);
        (0..times).for_each(|_| secret.extend(token_needle().map(char::from)));
        secret
    }
    let secret = make(times);
    zeroize::zeroize_stack::<4096>();
    secret
}

/// An operator's key.
fn operator_key(number: u8) -> [u8; 32] {
    std::array::from_fn(|at| (at as u8 * 7 + 3) ^ (number * 29))
}

fn key(number: u8) -> KeySource {
    KeySource::bytes(operator_key(number))
}

/// Nothing that was given back since this was asked last held a secret, and none was left on this
/// thread's stack.
#[track_caller]
fn clean_after(verb: &str) {
    assert_eq!(freed(), CLEAN, "freed blocks after {verb}");
    assert_eq!(left_on_stack(), CLEAN, "the stack after {verb}");
}

/// One test, since what is counted is of the whole process.
#[test]
fn no_freed_memory_holds_a_token_or_a_key() {
    assert!(observe_keys(|half| _ = canary::note(Kind::Key, half)));
    canary::note(Kind::Token, token_needle().map(|byte| !byte));
    canary::watch();

    the_canary_sees();
    verbs::on_a_machine();
    verbs::what_an_open_store_holds();
    verbs::import_of_msal_caches();
    verbs::responses_of_the_oauth2_crate();
    // In so many words: all stores are closed, and no thread of theirs is left.
    assert!(held().is_empty(), "something still has a secret");
    verbs::on_a_disk();
    key_sources::every_source();
    // The keyring's, the ledger's, the tags' and the accounts' keys, of every store.
    assert!(noted(Kind::Key) > 400, "{} keys were looked for", noted(Kind::Key));
}

/// What would be found: each of these leaks.
fn the_canary_sees() {
    const A_TOKEN: Found = Found { tokens: 1, keys: 0 };
    const A_KEY: Found = Found { tokens: 0, keys: 1 };
    assert_eq!(found(|| drop(black_box(secret(1)))), A_TOKEN, "a plain string");
    assert_eq!(
        found(|| drop(black_box(format!("Bearer {}", Secret::from(secret(1)).expose())))),
        A_TOKEN,
        "a token in a text"
    );
    let grown = found(|| {
        let mut secret = black_box(secret(3)).into_bytes();
        secret.push(0);
        secret.fill(0);
    });
    assert_eq!(grown, A_TOKEN, "what a buffer leaves behind that grows");

    // The array that a source is made of is wiped. (Made deeper down than the looking itself goes.)
    #[inline(never)]
    fn make_source(number: u8) -> (KeySource, [u8; 2000]) {
        #[inline(never)]
        fn make(number: u8) -> KeySource {
            key(number)
        }
        (make(number), black_box([0; 2000]))
    }
    left_on_stack();
    let (source, _) = make_source(1);
    assert_eq!(left_on_stack(), CLEAN, "making a source");
    // A key is known as soon as there is one; and, once it has wrapped something, what HMAC and AES
    // keep of it.
    assert_eq!(found(|| drop(black_box(Box::new(operator_key(1))))), A_KEY, "a plain key");
    Machine::new().builder().key(source).open().unwrap().close().unwrap();
    clean_after("opening and closing");
    let hmac = || ManuallyDrop::new(Hmac::<Sha256>::new_from_slice(&operator_key(1)).unwrap());
    assert_eq!(found(|| drop(black_box(Box::new(hmac())))), A_KEY, "the state of HMAC");
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("aes") {
        let aes = || ManuallyDrop::new(Aes256Gcm::new(&operator_key(1).into()));
        assert_eq!(found(|| drop(black_box(Box::new(aes())))), A_KEY, "the round keys of AES");
    }
    drop(black_box((
        Box::new(Hmac::<Sha256>::new_from_slice(&operator_key(1)).unwrap()),
        Secret::new(secret(1)),
    )));
    assert_eq!(freed(), CLEAN, "what wipes itself");

    #[inline(never)]
    fn leave_behind() {
        // Deeper than the looking itself goes.
        black_box((token_needle(), operator_key(1), [0_u8; 2000]));
    }
    leave_behind();
    assert_eq!(left_on_stack(), Found { tokens: 1, keys: 1 }, "what a call leaves behind");
    assert_eq!(left_on_stack(), CLEAN, "looking wipes");

    let kept = black_box((Box::new(operator_key(1)), secret(1)));
    assert_eq!(held().len(), 2, "what is still in use");
    assert_eq!(found(|| drop(kept)), Found { tokens: 1, keys: 1 });
    assert!(held().is_empty());
    left_on_stack();
}
