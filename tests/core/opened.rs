//! What a store says of the files that it was opened from.

use std::fs;

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::disk::*;

#[test]
fn a_missing_engine_is_told_of_once_and_not_at_birth() {
    let home = Home::new();
    let store = home.open();
    assert_eq!(store.opened(), Opened::default());
    store.sign_in(sign_in(1)).unwrap();
    store.sign_in(sign_in(2)).unwrap();
    store.sign_out(SignOut::account(&account(2))).unwrap();
    store.close().unwrap();
    fs::remove_dir_all(entry(&home.path(), "engine-")).unwrap();
    let store = home.open();
    assert!(store.opened().engine_was_missing);
    assert!(store.account(&account(1)).unwrap().is_empty());
    assert!(store.last_sign_out(&SignOutScope::Account(account(2))).unwrap().record.is_some());
    store.close().unwrap();
    assert_eq!(home.open().opened(), Opened::default());
}

#[test]
fn a_birth_that_was_interrupted_misses_nothing() {
    let home = Home::new();
    home.open().close().unwrap();
    // As if it had died before it made its engine.
    let ledger = entry(&home.path(), "ledger-").file_name().unwrap().to_str().unwrap().to_owned();
    fs::remove_dir_all(entry(&home.path(), "engine-")).unwrap();
    fs::write(home.path().join("birth"), ledger).unwrap();
    assert_eq!(home.open().opened(), Opened::default());
}

#[test]
fn who_forgets_everyone_misses_nothing() {
    let home = Home::new();
    home.open().close().unwrap();
    fs::write(entry(&home.path(), "engine-").join("db"), "no log").unwrap();
    let store = home.builder().on_damage(OnDamage::ForgetEveryone).open().unwrap();
    assert_eq!(store.opened(), Opened::default());
}

#[test]
fn a_damaged_snapshot_is_told_of_and_loses_nothing() {
    let home = Home::new();
    home.open().close().unwrap();
    let store = home.open();
    store.sign_in(sign_in(1)).unwrap();
    store.close().unwrap();
    fs::write(entry(&entry(&home.path(), "engine-"), "snap."), "no snapshot").unwrap();
    let store = home.open();
    assert!(store.opened().snapshot_was_damaged && !store.opened().engine_was_missing);
    assert_eq!(store.account(&account(1)).unwrap().len(), 1);
    store.close().unwrap();
    assert_eq!(home.open().opened(), Opened::default());
}
