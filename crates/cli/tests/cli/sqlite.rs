//! The program beside an app that has the store open, which is kept by SQLite: no socket is needed.
//! Here the app is the test's process, and the program always another one.

use std::fs::File;

use oubliette::*;
use oubliette_testkit::accounts::*;
use rustix::fs::{FlockOperation, fcntl_lock};
use serde_json::Value;

use crate::site::*;

fn app(site: &ProgramFixture) -> TokenStore {
    site.builder().sqlite().open().unwrap()
}

#[test]
fn the_app_sees_at_once_whom_the_program_signs_out() {
    let site = ProgramFixture::new();
    let store = app(&site);
    fill(&store, 8);
    let handle = store.account(&account(1)).unwrap().remove(0);
    site.ok(&["sign-out", "--account", "login.example.com", "user-1"]);
    assert!(!handle.is_live().unwrap() && handle.refresh_token(&client()).unwrap().is_none());
    assert!(matches!(handle.put(refresh("late")), Err(Error::SignedOut)));
    assert_eq!(live(&store, 8), [2, 3, 4, 5, 6, 7, 8]);
    site.ok(&["sign-out", "--session", "https://login.example.com", "session-2"]);
    assert_eq!(live(&store, 8), [3, 4, 5, 6, 7, 8]);
    site.ok(&["sign-out", "--subject", "https://login.example.com", "subject-3"]);
    assert_eq!(live(&store, 8), [4, 5, 6, 7, 8]);
    site.ok(&["sign-out", "--tenant", "tenant-2"]);
    assert_eq!(live(&store, 8), [4]);
    // Who signs in again is in.
    fill(&store, 1);
    assert_eq!(live(&store, 8), [1, 4]);
    site.ok(&["sign-out", "--everybody", "--yes"]);
    assert_eq!(live(&store, 8), [0; 0]);
    store.verify().unwrap();
    store.close().unwrap();
    assert_eq!(live(&app(&site), 8), [0; 0]);
}

#[test]
fn the_program_sees_at_once_what_the_app_does() {
    let site = ProgramFixture::new();
    let store = app(&site);
    let figures = |site: &ProgramFixture| {
        let accounts = site.run(&["accounts"]).stdout.lines().count();
        let verified = site.json(&["verify"]);
        (accounts, verified["sign_ins"].as_u64(), verified["tampered"].as_u64())
    };
    assert_eq!(figures(&site), (0, Some(0), Some(0)));
    fill(&store, 5);
    assert_eq!(figures(&site), (5, Some(5), Some(0)));
    store.sign_out(SignOut::account(&account(4))).unwrap();
    assert_eq!(figures(&site), (4, Some(4), Some(0)));
    let history = |number: u32| {
        let name = format!("user-{number}");
        let said = site.json(&["history", "--account", "login.example.com", &name]);
        said["signed_out"].as_bool().unwrap()
    };
    assert_eq!([history(4), history(5)], [true, false]);

    // And so it is alone.
    let beside = site.json(&["stats"]);
    assert_eq!(beside["engine_was_missing"], false);
    store.close().unwrap();
    let alone = site.json(&["stats"]);
    assert_eq!(keys_of(&beside), keys_of(&alone));
    assert_eq!(beside["fences"], alone["fences"]);
    assert_eq!(figures(&site), (4, Some(4), Some(0)));
    assert_eq!([history(4), history(5)], [true, false]);
}

/// What the program cannot do beside the app, it refuses; and the app goes on.
#[test]
fn what_cannot_be_done_beside_the_app_changes_nothing() {
    let mut site = ProgramFixture::new();
    site.make_key("new");
    let store = app(&site);
    fill(&store, 3);
    store.backup(site.path("backup")).unwrap();
    let backup = site.path("backup").display().to_string();
    let new = site.path("new").display().to_string();
    for args in [
        &["restore", "--yes", &backup] as &[&str],
        &["erase", "--yes", "--new-key-file", &new],
        &["migrate", "--to", "embedded"],
        &["migrate", "--to", "sqlite"],
    ] {
        let error = site.fails(5, args);
        assert!(error["message"].as_str().unwrap().contains("--wait"), "{args:?}: {error}");
        assert_eq!(live(&store, 3), [1, 2, 3], "{args:?}");
        let mut lives = store.account(&account(1)).unwrap();
        lives.remove(0).put(refresh("XTOKENX-next")).unwrap();
        site.ok(&["verify"]);
    }
    site.ok(&["sweep"]);
    site.ok(&["sign-out", "--account", "login.example.com", "user-3"]);
    assert_eq!(live(&store, 3), [1, 2]);
}

#[test]
fn the_program_changes_keys_compacts_and_backs_up_beside_the_app() {
    let mut site = ProgramFixture::new();
    site.make_key("new");
    let store = app(&site);
    fill(&store, 40);
    let (backup, new) = (site.path("backup").display().to_string(), site.path("new"));
    let backed_up = site.json(&["backup", &backup]);
    assert_eq!((&backed_up["accounts"], &backed_up["tampered"]), (&40.into(), &0.into()));
    store.sign_out(SignOut::tenant(&tenant(2))).unwrap();
    store.wait_reclaimed().unwrap();
    let compacted = site.json(&["compact"]);
    assert_eq!((&compacted["accounts"], &compacted["tampered"]), (&20.into(), &0.into()));
    site.ok(&["rotate-key", "--new-key-file", &new.display().to_string()]);
    site.fails(6, &["stats"]);
    // The app goes on, and opens it by the new key from then on.
    fill(&store, 1);
    assert_eq!(live(&store, 40).len(), 20);
    store.close().unwrap();
    let store = site.builder_with("new").open().unwrap();
    assert_eq!(live(&store, 40).len(), 20);
    store.close().unwrap();
    // Behind a restore those stay out who have signed out since.
    let key = ["--key-file", new.to_str().unwrap()];
    site.ok(&[&key as &[&str], &["restore", "--yes", &backup]].concat());
    let store = site.builder_with("new").sqlite().open().unwrap();
    assert_eq!(live(&store, 40), (1..=20).collect::<Vec<_>>());
}

#[test]
fn a_store_is_moved_and_erased_while_no_app_has_it() {
    let mut site = ProgramFixture::new();
    site.make_key("new");
    let store = site.open();
    fill(&store, 4);
    store.sign_out(SignOut::account(&account(4))).unwrap();
    assert_eq!(site.fails(5, &["migrate", "--to", "sqlite"])["kind"], "already_open");
    store.close().unwrap();
    site.fails(2, &["migrate"]);
    site.fails(2, &["migrate", "--to", "paper"]);
    // The second time it is there already.
    for _ in 0..2 {
        let moved = site.json(&["migrate", "--to", "sqlite"]);
        assert_eq!((&moved["accounts"], &moved["tampered"]), (&3.into(), &0.into()));
        let store = app(&site);
        assert_eq!(live(&store, 4), [1, 2, 3]);
        // Beside the app, as it is shared.
        site.ok(&["stats"]);
        store.close().unwrap();
    }
    site.ok(&["sign-out", "--account", "login.example.com", "user-1"]);
    let new = site.path("new").display().to_string();
    let erased = site.json(&["erase", "--yes", "--new-key-file", &new]);
    assert_eq!(erased["accounts"], 2);
    site.fails(6, &["stats"]);
    let store = site.builder_with("new").sqlite().open().unwrap();
    assert_eq!(live(&store, 4), [2, 3]);
    store.close().unwrap();
    site.ok(&["--key-file", &new, "migrate", "--to", "embedded"]);
    assert!(site.builder_with("new").sqlite().open().is_err());
    let store = site.builder_with("new").open().unwrap();
    assert_eq!(live(&store, 4), [2, 3]);
    // Whoever has it has it alone again.
    assert_eq!(site.fails(5, &["--key-file", &new, "stats"])["kind"], "already_open");
}

/// A process that stands still while it opens the store: the program names it, and does nothing.
#[test]
fn a_process_that_holds_up_the_store_is_named() {
    let site = ProgramFixture::new();
    let store = app(&site);
    fill(&store, 2);
    // This process stands in for it, without the store.
    store.close().unwrap();
    let opening = site.path("tokens").join("opening");
    let opening = File::options().read(true).write(true).open(opening).unwrap();
    fcntl_lock(&opening, FlockOperation::LockExclusive).unwrap();
    let sign_out = ["--json", "sign-out", "--account", "login.example.com", "user-2"];
    let ran = site.run(&sign_out);
    assert_eq!((ran.code, &*ran.stdout), (16, ""), "{}", ran.stderr);
    let said: Value = serde_json::from_str(&ran.stderr).unwrap();
    let error = &said["error"];
    assert_eq!((&error["kind"], &error["pid"]), (&"busy".into(), &std::process::id().into()));

    drop(opening);
    assert_eq!(live(&app(&site), 2), [1, 2]);
    site.ok(&sign_out);
    assert_eq!(live(&app(&site), 2), [1]);
}
