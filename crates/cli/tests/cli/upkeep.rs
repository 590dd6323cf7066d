//! Making a store, upkeep, damage, copies, and help.

use std::fs;
use std::time::{Duration, SystemTime};

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::disk::entry;
use serde_json::{Value, json};

use crate::site::*;

#[test]
fn a_store_is_made_once_and_only_by_init() {
    let site = ProgramFixture::new();
    let verbs: [&[&str]; 10] = [
        &["accounts"],
        &["sign-out", "--tenant", "t"],
        &["history"],
        &["sweep"],
        &["stats"],
        &["verify"],
        &["compact"],
        &["rotate-key", "--new-key-file", "key"],
        &["erase", "--new-key-file", "key", "--yes"],
        &["backup", "copy"],
    ];
    for verb in verbs {
        let error = site.fails(3, verb);
        assert_eq!(error["kind"], "not_found");
        assert!(!site.path("tokens").exists(), "{verb:?}");
    }
    assert_eq!(site.json(&["init"]), json!({ "keys": 1 }));
    assert_eq!(site.fails(4, &["init"])["kind"], "exists");
    assert!(live(&site.open(), 3).is_empty());
}

#[cfg(unix)]
#[test]
fn a_store_of_another_user_is_left_alone() {
    let site = ProgramFixture::with_store();
    if std::os::unix::fs::chown(site.path("tokens"), Some(54_321), None).is_err() {
        // Only root can give a folder away, and only root can open it then.
        return;
    }
    let error = site.fails(2, &["stats"]);
    assert!(error["message"].as_str().unwrap().contains("54321"), "{error}");
    site.ok(&["--any-user", "stats"]);
    site.ok(&["history"]);
}

/// A store that has not been open for long looks like one whose clock has jumped: nothing is
/// deleted for its age until the operator says that the clock is right.
#[test]
fn a_sweep_by_a_clock_that_nobody_speaks_for_says_so_and_deletes_nobody() {
    let site = ProgramFixture::with_store();
    fs::remove_dir_all(site.path("tokens")).unwrap();
    let then = SystemTime::now() - Duration::from_secs(95 * 86_400);
    let store = site.builder().clock(ManualClock::new(then)).open().unwrap();
    store.sign_in(sign_in(1)).unwrap().put(refresh("XTOKENX")).unwrap();
    store.close().unwrap();
    for verb in ["sweep", "stats"] {
        let said = site.ok(&[verb]);
        assert!(
            said.contains("clock is 2280 hours ahead")
                && said.contains("oubliette sweep --clock-is-right"),
            "{said}"
        );
    }
    let shown = site.json(&["sweep"]);
    assert!(
        shown["clock_ahead_by_seconds"].as_u64().unwrap() > 94 * 86_400 && shown["dead_rows"] == 0,
        "{shown}"
    );
    let shown = site.json(&["sweep", "--clock-is-right"]);
    assert_eq!(
        (&shown["clock_ahead_by_seconds"], shown["dead_rows"].as_u64() > Some(0)),
        (&Value::Null, true),
        "{shown}"
    );
    assert!(!site.ok(&["sweep"]).contains("clock"), "and it is remembered");
}

#[test]
fn upkeep_deletes_what_is_over_and_tells_figures() {
    let site = ProgramFixture::with_store();
    let store = site.open();
    fill(&store, 5);
    let days_ago = |days: u64| SystemTime::now() - Duration::from_secs(days * 86_400);
    store.sign_in(sign_in(6).signed_in_at(days_ago(80))).unwrap();
    let live = store.sign_in(sign_in(7)).unwrap();
    live.put(AccessToken::new(
        client(),
        scopes("a"),
        "XTOKENX",
        SystemTime::now() - Duration::from_secs(9),
    ))
    .unwrap();
    drop(live);
    store.close().unwrap();

    let stats = site.json(&["stats"]);
    let names = [
        "backlog",
        "clock_ahead_by_seconds",
        "engine_bytes",
        "engine_was_missing",
        "fences",
        "known_since",
        "ledger_bytes",
        "ledger_reserve",
        "opened_by_previous_key",
        "snapshot_was_damaged",
        "synced",
    ];
    assert_eq!(keys_of(&stats), names);
    assert!(stats["engine_was_missing"] == false && stats["snapshot_was_damaged"] == false);
    assert!(stats["ledger_bytes"].as_u64().unwrap() > 0 && stats["fences"] == 0);

    let sweep = |args: &[&str]| site.json(&[args, &["sweep"]].concat());
    let shown = sweep(&[]);
    let keys = [
        "accounts",
        "clock_ahead_by_seconds",
        "compacted",
        "dead_rows",
        "expired_tokens",
        "live_bytes",
        "tampered",
    ];
    assert_eq!(keys_of(&shown), keys);
    assert_eq!(
        (&shown["accounts"], &shown["expired_tokens"], &shown["dead_rows"]),
        (&json!(7), &json!(1), &json!(0))
    );
    // The app's sign-ins last 60 days.
    assert!(sweep(&["--max-sign-in-days", "60"])["dead_rows"].as_u64().unwrap() > 0);
    assert_eq!(sweep(&[])["accounts"], 6);

    let shown = site.json(&["compact"]);
    assert_eq!(
        keys_of(&shown),
        ["accounts", "bytes_after", "bytes_before", "ledger_compacted", "rows", "tampered"]
    );
    assert_eq!(shown["accounts"], 6);

    // These are more accounts than one call of the library looks at.
    let store = site.open();
    (100..1100).for_each(|number| drop(store.sign_in(sign_in(number)).unwrap()));
    store.close().unwrap();
    assert_eq!(sweep(&[])["accounts"], 1006);
    site.ok(&["sign-out", "--everybody", "--yes", "--before", "2026-01-01T00:00:00Z"]);

    let shown = site.json(&["verify"]);
    let names = [
        "accounts",
        "dead_rows",
        "missing_index_rows",
        "sign_ins",
        "sign_outs",
        "sound",
        "tampered",
        "tokens",
    ];
    assert_eq!(keys_of(&shown), names);
    assert_eq!(
        (&shown["sound"], &shown["accounts"], &shown["tokens"]),
        (&json!(true), &json!(1006), &json!(10))
    );
    for verb in ["stats", "sweep", "compact", "verify"] {
        assert!(site.ok(&[verb]).lines().count() > 4, "{verb}");
    }
    // It says what it takes before it begins.
    assert!(site.ok(&["compact"]).starts_with("the engine takes "));
}

#[test]
fn damage_has_a_code_of_its_own() {
    let site = ProgramFixture::with_store();
    site.ok(&["sign-out", "--tenant", "a"]);
    let ledger = entry(&site.path("tokens"), "ledger-");
    let mut bytes = fs::read(&ledger).unwrap();
    bytes[600] ^= 1;
    fs::write(&ledger, &bytes).unwrap();
    for verb in ["stats", "history", "verify", "sweep"] {
        let error = site.fails(8, &[verb]);
        assert!(
            error["kind"] == "damaged" && error["message"].as_str().unwrap().contains("ledger"),
            "{error}"
        );
    }
    bytes[600] ^= 1;
    fs::write(&ledger, &bytes).unwrap();
    site.ok(&["stats"]);
    // A store without its keyring is damaged, not absent.
    fs::rename(site.path("tokens/keyring"), site.path("away")).unwrap();
    assert_eq!(site.fails(8, &["stats"])["kind"], "damaged");
    let mut newer = fs::read(site.path("away")).unwrap();
    newer[4] = 9;
    fs::write(site.path("tokens/keyring"), newer).unwrap();
    assert_eq!(site.fails(9, &["stats"])["kind"], "unsupported_format");
}

#[test]
fn verify_finds_changed_rows_and_sweep_removes_them() {
    let site = ProgramFixture::with_store();
    fill(&site.open(), 3);
    let engine = sled::open(entry(&site.path("tokens"), "engine-")).unwrap();
    // Another program changes the last byte of the header of one account.
    let (key, value) =
        engine.iter().map(|row| row.unwrap()).find(|(key, _)| key.len() == 18).unwrap();
    let mut value = value.to_vec();
    *value.last_mut().unwrap() ^= 1;
    engine.insert(key, value).unwrap();
    engine.flush().unwrap();
    drop(engine);

    let ran = site.run(&["--json", "verify"]);
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, ran.stderr.as_str(), &shown["sound"]), (8, "", &json!(false)));
    assert_eq!((&shown["tampered"], &shown["accounts"]), (&json!(1), &json!(2)));
    let listed = site.json(&["accounts"]);
    assert_eq!((listed["accounts"].as_array().unwrap().len(), &listed["tampered"]), (2, &json!(1)));
    let ran = site.run(&["accounts"]);
    assert!(
        ran.code == 0 && ran.stdout.lines().count() == 2 && ran.stderr.contains("do not open"),
        "{ran:?}"
    );
    assert_eq!(site.json(&["sweep"])["tampered"], 1);
    assert_eq!(site.json(&["verify"])["sound"], true);
}

#[test]
fn a_backup_comes_back_without_those_who_signed_out_since() {
    let site = ProgramFixture::with_store();
    fill(&site.open(), 3);
    let shown = site.json(&["backup", "copies/today"]);
    assert_eq!(keys_of(&shown), ["accounts", "live_bytes", "position", "rows", "tampered"]);
    assert_eq!((&shown["accounts"], &shown["tampered"]), (&json!(3), &json!(0)));
    assert_eq!(site.fails(4, &["backup", "copies/today"])["kind"], "exists");
    assert_eq!(site.fails(4, &["backup", "key"])["kind"], "exists");
    fs::create_dir(site.path("empty")).unwrap();
    site.ok(&["backup", "empty"]);
    site.ok(&["sign-out", "--account", "login.example.com", "user-2"]);
    fill(&site.open(), 4);

    let error = site.fails(2, &["restore", "copies/today"]);
    assert!(error["message"].as_str().unwrap().contains("--yes"), "{error}");
    for nothing in ["none", "key"] {
        assert_eq!(site.fails(3, &["restore", "--yes", nothing])["kind"], "not_found");
    }
    site.fails(3, &["--store", "no-store", "restore", "--yes", "none"]);
    assert!(!site.path("no-store").exists());
    fs::create_dir(site.path("nothing")).unwrap();
    site.fails(3, &["restore", "--yes", "nothing"]);
    assert_eq!(live(&site.open(), 4), [1, 2, 3, 4]);
    let shown = site.json(&["restore", "--yes", "copies/today"]);
    assert_eq!(keys_of(&shown), ["engine_bytes", "synced"]);
    assert_eq!(live(&site.open(), 4), [1, 3]);
    // A restore works even if engine and keyring are lost.
    for entry in fs::read_dir(site.path("tokens")).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        if name == "keyring" {
            fs::remove_file(entry.path()).unwrap();
        } else if name.starts_with("engine-") {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    site.ok(&["restore", "--yes", "empty"]);
    assert_eq!(live(&site.open(), 4), [1, 3]);
}

#[test]
fn help_completions_and_manual() {
    let site = ProgramFixture::new();
    let help = site.ok(&["--help"]);
    let verbs = [
        "keygen",
        "init",
        "import-msal",
        "accounts",
        "sign-out",
        "history",
        "sweep",
        "stats",
        "verify",
        "compact",
        "rotate-key",
        "erase",
        "backup",
        "restore",
        #[cfg(feature = "sqlite")]
        "migrate",
        "completions",
        "man",
    ];
    for code in 0..=13 {
        assert!(help.contains(&format!("\n  {code:2}  ")), "{code}: {help}");
    }
    for verb in verbs {
        assert!(help.contains(&format!("\n  {verb}")), "{verb}");
        assert!(site.ok(&[verb, "--help"]).contains("--json"), "{verb}");
        assert!(site.ok(&["man", verb]).contains(&format!(".TH oubliette-{verb} 1")), "{verb}");
    }
    assert!(
        site.ok(&["man"]).contains("Exit codes:")
            && site.json(&["man"])["page"].as_str().unwrap().contains(".TH oubliette 1")
    );
    site.fails(2, &["man", "nothing"]);
    site.ok(&["man", "--out-dir", "pages/man1"]);
    assert_eq!(fs::read_dir(site.path("pages/man1")).unwrap().count(), verbs.len() + 1);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(site.ok(&["completions", shell]).contains("sign-out"), "{shell}");
    }
    assert!(
        site.json(&["completions", "fish"])["completions"].as_str().unwrap().contains("rotate-key")
    );
    assert_eq!(site.ok(&["--version"]), format!("oubliette {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(site.fails(2, &[])["kind"], "usage");
    site.fails(2, &["no-such-verb"]);
}
