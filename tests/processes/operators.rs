//! What operators do to a store beside the processes that have it open.

use std::fs;

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::disk::{Home, entries};

use crate::child::{Process, builder, tokens};

fn key(number: u8) -> KeySource {
    KeySource::bytes([number; 32])
}

/// The rows' file of a store.
fn rows_bytes(home: &Home) -> u64 {
    fs::metadata(entry_of_rows(home)).unwrap().len()
}

fn entry_of_rows(home: &Home) -> std::path::PathBuf {
    let is_it = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "db");
    entries(&home.path(), "rows-").into_iter().find(is_it).unwrap()
}

#[test]
fn the_key_is_changed_beside_others_which_all_go_on() {
    let home = Home::new();
    let path = home.path().display().to_string();
    let store = builder(&home.path()).open().unwrap();
    let mut before = Process::with_store(&home.path());
    before.must("in 1 rt-1");
    store.rotate_key(&key(9).also(key(8))).unwrap();
    assert!(!store.stats().unwrap().opened_by_previous_key);
    let mut after = Process::servant();
    let refused = after.ask(&format!("open {path}"));
    assert_eq!(refused, "no KeyRejected");
    for number in [8, 9] {
        let mut one = Process::servant();
        one.must(&format!("open-keyed {path} {number}"));
        assert_eq!(one.must("get 1"), "rt-1");
    }
    after.must(&format!("open-keyed {path} 9"));
    // Those from before, and those from after, are of one store.
    before.must("in 2 rt-2");
    assert_eq!(after.must("get 2"), "rt-2");
    after.must("out 1");
    assert_eq!(before.must("get 1"), "");
    assert_eq!(tokens(&store, 2).unwrap(), ["rt-2"]);
    // One of them changes it again.
    before.must("rotate 5");
    assert_eq!(Process::servant().ask(&format!("open-keyed {path} 9")), "no KeyRejected");
    store.close().unwrap();
    before.kill();
    after.kill();
    let store = builder(&home.path()).key(key(5)).open().unwrap();
    assert_eq!(tokens(&store, 2).unwrap(), ["rt-2"]);
}

/// What a rotation leaves that ends at one of its steps: one of the two keys opens the store.
#[test]
fn a_rotation_that_ends_anywhere_leaves_a_store_that_opens() {
    let home = Home::new();
    let keyring = home.path().join("keyring");
    let store = builder(&home.path()).open().unwrap();
    store.sign_in(sign_in(1)).unwrap().put(refresh("rt-1")).unwrap();
    let old = fs::read(&keyring).unwrap();
    store.rotate_key(&key(9)).unwrap();
    store.close().unwrap();
    let new = fs::read(&keyring).unwrap();
    assert!(!home.path().join("keyring.new").exists());
    for (written, is_switched) in
        [(0, false), (new.len() / 2, false), (new.len(), false), (0, true)]
    {
        fs::write(&keyring, if is_switched { &new } else { &old }).unwrap();
        if !is_switched {
            fs::write(home.path().join("keyring.new"), &new[..written]).unwrap();
        }
        let builder = builder(&home.path());
        let store = if is_switched { builder.key(key(9)) } else { builder }.open().unwrap();
        assert_eq!(tokens(&store, 1).unwrap(), ["rt-1"]);
        store.rotate_key(&key(9)).unwrap();
        store.close().unwrap();
    }
}

#[test]
fn the_keyring_of_another_store_is_not_overwritten() {
    let home = Home::new();
    let store = builder(&home.path()).open().unwrap();
    fs::rename(home.path(), home.beside("moved")).unwrap();
    let mut other = Process::with_store(&home.path());
    other.must("in 1 rt-1");
    let refused = store.rotate_key(&key(9));
    assert!(matches!(refused, Err(Error::Damaged { .. })), "{refused:?}");
    other.must("close");
    other.must(&format!("open {}", home.path().display()));
    assert_eq!(other.must("get 1"), "rt-1");
}

fn fill(store: &TokenStore, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let live = store.sign_in(sign_in(number)).unwrap();
        live.put(refresh(&format!("rt-{number}-{}", "x".repeat(4000)))).unwrap();
    }
}

#[test]
fn space_is_given_back_beside_others() {
    let home = Home::new();
    let store = builder(&home.path()).open().unwrap();
    let mut other = Process::with_store(&home.path());
    other.must("in 1000 rt-1000");
    fill(&store, 0..300);
    let estimate = store.compaction_estimate().unwrap();
    assert_eq!(estimate.copy_bytes, 0);
    for number in 1..300 {
        store.sign_out(SignOut::account(&account(number))).unwrap();
    }
    store.wait_reclaimed().unwrap();
    let compacted = store.compact().unwrap();
    assert_eq!((compacted.accounts, compacted.tampered), (2, 0));
    assert!(compacted.bytes_after < compacted.bytes_before / 4, "{compacted:?}");
    assert_eq!(rows_bytes(&home), compacted.bytes_after);
    // Nothing is lost of what lives, and the other goes on.
    assert_eq!(other.must("get 1000"), "rt-1000");
    other.must("in 1001 rt-1001");
    assert_eq!(tokens(&store, 1001).unwrap(), ["rt-1001"]);
    assert_eq!(tokens(&store, 0).unwrap().len(), 1);

    // The end of a sweep does the same, if it is worth it.
    assert!(!store.sweep(10_000).unwrap().compacted);
    fill(&store, 300..500);
    store.sign_out(SignOut::everybody()).unwrap();
    store.wait_reclaimed().unwrap();
    let swept = store.sweep(10_000).unwrap();
    assert!(swept.finished && swept.compacted, "{swept:?}");
    assert!(rows_bytes(&home) < 1 << 18);
    other.must("verify");
}
