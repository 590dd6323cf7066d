//! Keys are made, given, refused and changed, and they are never shown.

use std::fs;
use std::process::Command;

use oubliette::*;
use oubliette_testkit::accounts::*;
use serde_json::{Value, json};

use crate::site::*;

#[test]
fn keygen_makes_a_private_file_once() {
    let site = ProgramFixture::new();
    let shown = site.json(&["keygen", "--out", "new"]);
    assert_eq!(shown, json!({ "out": "new" }));
    let text = fs::read_to_string(site.path("new")).unwrap();
    let digits = text.strip_prefix("hex:").and_then(|text| text.strip_suffix('\n')).unwrap();
    assert!(digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(site.path("new")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let error = site.fails(4, &["keygen", "--out", "new"]);
    assert_eq!(error["kind"], "exists");
    assert_eq!(fs::read_to_string(site.path("new")).unwrap(), text);
    site.ok(&["keygen", "--out", "other"]);
    assert_ne!(fs::read_to_string(site.path("other")).unwrap(), text);
    // The key opens a store.
    site.ok(&["--key-file", "new", "init"]);
    site.fails(12, &["keygen", "--out", "no/such/folder/key"]);
}

#[test]
fn keygen_without_a_file_prints_a_key_and_says_what_to_do_with_it() {
    let site = ProgramFixture::new();
    let ran = site.run(&["keygen"]);
    let key = ran.stdout.strip_suffix('\n').unwrap();
    assert!(
        ran.code == 0 && ran.stderr.contains("secret manager") && !ran.stderr.contains(&key[4..]),
        "{}",
        ran.stderr
    );
    let made =
        site.bare(&["--store", "tokens", "init"]).env("OUBLIETTE_KEY", key).output().unwrap();
    assert_eq!(site.check(&made).code, 0, "the line is a key");
    let ran = site.run(&["--json", "keygen"]);
    let value: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(keys_of(&value) == ["key"] && value["key"].as_str().unwrap().starts_with("hex:"));
    assert_ne!(value["key"], key);
}

#[test]
fn which_store_and_which_key_can_be_said_in_several_ways() {
    let mut site = ProgramFixture::with_store();
    site.make_key("other");
    let run = |command: &mut Command| site.check(&command.output().unwrap());
    // The store and the key are given by flags, and the flag for the key wins over the environment.
    let flags = ["--store", "tokens", "--key-file", "key", "stats"];
    assert_eq!(run(&mut site.bare(&flags)).code, 0);
    assert_eq!(run(site.bare(&flags).env("OUBLIETTE_KEY_FILE", site.path("other"))).code, 0);
    assert_eq!(
        run(&mut site.bare(&["stats", "--store", "tokens", "--key-file", "key"])).code,
        0,
        "behind the verb too"
    );
    // Without a store, without a key, with another key, and with two.
    let ran = run(&mut site.bare(&["--key-file", "key", "stats"]));
    assert!(ran.code == 2 && ran.stderr.contains("OUBLIETTE_STORE"), "{}", ran.stderr);
    let ran = run(&mut site.bare(&["--store", "tokens", "stats"]));
    assert!(ran.code == 7 && ran.stderr.contains("OUBLIETTE_KEY_FILE"), "{}", ran.stderr);
    assert_eq!(site.fails(6, &["--key-file", "other", "stats"])["kind"], "key_rejected");
    assert_eq!(site.fails(6, &["--key-file", "other", "history"])["kind"], "key_rejected");
    assert_eq!(site.fails(7, &["--key-file", "none", "stats"])["kind"], "key_unavailable");
    let text = fs::read_to_string(site.path("key")).unwrap();
    assert_eq!(
        run(site.command(&["stats"]).env("OUBLIETTE_KEY", text.trim())).code,
        7,
        "both are set"
    );
    assert_eq!(
        run(site.bare(&["--store", "tokens", "stats"]).env("OUBLIETTE_KEY", text.trim())).code,
        0
    );
    // An older key, and a systemd credential, open the store.
    let stats = site.json(&["--key-file", "other", "--previous-key-file", "key", "stats"]);
    assert_eq!(stats["opened_by_previous_key"], true);
    let credential = ["--store", "tokens", "--key-credential", "key", "stats"];
    assert_eq!(
        run(site.bare(&credential).env("CREDENTIALS_DIRECTORY", site.folder.path())).code,
        0
    );
    // The ledger is in another folder.
    let elsewhere = ["--store", "elsewhere", "--ledger-dir", "ledgers", "init"];
    site.ok(&elsewhere);
    assert!(fs::read_dir(site.path("ledgers")).unwrap().count() > 0);
    site.ok(&["--store", "elsewhere", "--ledger-dir", "ledgers", "history"]);
    assert_eq!(site.fails(8, &["--store", "elsewhere", "history"])["kind"], "damaged");
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused_unless_that_is_said_to_be_right() {
    let site = ProgramFixture::with_store();
    fs::set_permissions(site.path("key"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .unwrap();
    assert_eq!(site.fails(7, &["stats"])["kind"], "key_unavailable");
    site.ok(&["--allow-readable-key", "stats"]);
}

#[test]
fn another_key_or_several() {
    let mut site = ProgramFixture::with_store();
    ["second", "third", "safe"].into_iter().for_each(|name| site.make_key(name));
    let opens = |key: &str| site.builder_with(key).open().map(drop).is_ok();
    site.fails(2, &["rotate-key"]);
    site.fails(7, &["rotate-key", "--new-key-file", "none"]);
    assert_eq!(
        site.json(&["rotate-key", "--new-key-file", "second", "--also-key-file", "key"]),
        json!({ "keys": 2 })
    );
    assert!(opens("key") && opens("second") && !opens("third"));
    let keys = [
        "--key-file",
        "third",
        "--previous-key-file",
        "second",
        "rotate-key",
        "--new-key-file",
        "third",
    ];
    site.ok(&keys);
    assert!(!opens("key") && !opens("second") && opens("third"));
    site.ok(&["--key-file", "third", "--store", "more", "init", "--also-key-file", "safe"]);
    site.ok(&["--key-file", "safe", "--store", "more", "stats"]);
}

#[test]
fn an_erasure_leaves_nothing_that_the_old_key_opens() {
    let mut site = ProgramFixture::with_store();
    site.make_key("fresh");
    let store = site.open();
    fill(&store, 3);
    store.sign_out(SignOut::account(&account(1))).unwrap();
    store.close().unwrap();
    site.ok(&["backup", "copy"]);
    let before = fs::read_dir(site.path("tokens")).unwrap().count();
    // An erasure needs a confirmation, and a key that does not open the old files.
    site.fails(2, &["erase", "--new-key-file", "fresh"]);
    site.fails(2, &["erase", "--yes"]);
    let error = site.fails(2, &["erase", "--yes", "--new-key-file", "key"]);
    assert!(error["message"].as_str().unwrap().contains("fresh"), "{error}");
    site.fails(2, &["erase", "--yes", "--new-key-file", "fresh", "--also-key-file", "key"]);
    site.fails(7, &["erase", "--yes", "--new-key-file", "none"]);
    assert_eq!(live(&site.open(), 3), [2, 3]);
    let shown = site.json(&["erase", "--yes", "--new-key-file", "fresh"]);
    assert_eq!(
        (keys_of(&shown), &shown["accounts"]),
        (vec!["accounts", "rows", "tampered"], &json!(2))
    );
    site.fails(6, &["stats"]);
    assert_eq!(live(&site.builder_with("fresh").open().unwrap(), 3), [2, 3]);
    assert!(
        fs::read_dir(site.path("tokens")).unwrap().count() <= before + 1,
        "a lock file at most"
    );
    let history =
        site.json(&["--key-file", "fresh", "history", "--account", "login.example.com", "user-1"]);
    assert_eq!(history["signed_out"], true);
    let error = site.fails(3, &["--key-file", "fresh", "restore", "copy", "--yes"]);
    assert_eq!(error["kind"], "not_found");
}

#[test]
fn a_key_or_token_in_the_wrong_place_is_not_repeated() {
    let site = ProgramFixture::with_store();
    let key = fs::read_to_string(site.path("key")).unwrap();
    let key = key.trim();
    for args in [
        &["stats", key] as &[&str],
        &["--key", key, "stats"],
        &[key],
        &["sign-out", "--before", key, "--tenant", "a"],
        &["sign-out", "--before", "eyJ.XTOKENX", "--tenant", "a"],
    ] {
        site.fails(2, args);
    }
    // (All that it prints is searched for the key.)
    site.fails(7, &["--key-file", key, "stats"]);
    site.fails(7, &["rotate-key", "--new-key-file", key]);
}
