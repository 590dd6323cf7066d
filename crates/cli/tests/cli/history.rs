//! The verb `history`: what is on record, read beside the app.

use std::fs;
use std::time::SystemTime;

use oubliette::*;
use oubliette_testkit::accounts::*;
use serde_json::{Value, json};

use crate::site::*;

#[test]
fn beside_the_app_history_works_and_all_else_says_who_is_there() {
    let mut site = ProgramFixture::with_store();
    site.make_key("fresh");
    let store = site.open();
    fill(&store, 4);
    assert_eq!(
        site.json(&["history", "--account", "login.example.com", "user-1"])["signed_out"],
        false
    );
    store.sign_out(SignOut::account(&account(1))).unwrap();
    let receipt = store.sign_out(SignOut::tenant(&tenant(2))).unwrap();

    let shown = site.json(&["history", "--account", "login.example.com", "user-1"]);
    assert_eq!(
        keys_of(&shown),
        ["known_since", "not_looked_at", "position", "records", "signed_out"]
    );
    assert_eq!(
        (&shown["signed_out"], &shown["position"]),
        (&json!(true), &json!(receipt.position))
    );
    let [record] = shown["records"].as_array().unwrap().as_slice() else { panic!("{shown}") };
    assert_eq!(keys_of(record), ["at", "position", "scope", "signed_in_before"]);
    assert_eq!(
        (&record["scope"], &record["position"]),
        (&json!("account"), &json!(receipt.position - 1))
    );
    // If the tenant is given, its sign-out counts too, and the newest comes first.
    let with_tenant =
        ["history", "--account", "login.example.com", "user-1", "--tenant", "tenant-2"];
    let scopes = |shown: &Value| -> Vec<String> {
        shown["records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| record["scope"].as_str().unwrap().into())
            .collect()
    };
    assert_eq!(scopes(&site.json(&with_tenant)), ["tenant", "account"]);
    let text = site.ok(&with_tenant);
    assert!(
        text.starts_with("Signed out at ")
            && text.contains(&format!("record {}", receipt.position)),
        "{text}"
    );
    assert!(
        !text.contains("user-1") && !text.contains("tenant-2"),
        "identifiers are for `accounts` to show: {text}"
    );
    store.sign_out(SignOut::session(&session(2))).unwrap();
    assert_eq!(
        scopes(&site.json(&["history", "--session", "https://login.example.com", "session-2"])),
        ["session"]
    );
    let nobody = site.json(&["history", "--subject", "https://login.example.com", "subject-2"]);
    assert_eq!((&nobody["signed_out"], &nobody["records"]), (&json!(false), &json!([])));
    assert!(
        site.ok(&["history", "--subject", "a", "b"]).starts_with("There is no sign-out on record.")
    );

    // Without a name, it counts the sign-outs of each kind on each day.
    let counts = site.json(&["history"]);
    assert_eq!(keys_of(&counts), ["days", "known_since", "position", "total"]);
    let count = |scope: &str| -> u64 {
        let of_scope =
            counts["days"].as_array().unwrap().iter().filter(|day| day["scope"] == scope);
        of_scope.map(|day| day["count"].as_u64().unwrap()).sum()
    };
    // (The session's account is on record too.)
    let all = ["account", "tenant", "session", "subject", "everybody"].map(count);
    assert_eq!((all, &counts["total"]), ([2, 1, 1, 0, 0], &json!(4)));
    assert_eq!(site.ok(&["history"]).lines().filter(|line| line.contains("tenant")).count(), 1);

    let files = |folder: &str| -> Vec<_> {
        fs::read_dir(site.path(folder)).unwrap().map(|e| e.unwrap().file_name()).collect()
    };
    let before = files("tokens");
    let cache = msal_cache(SystemTime::now(), "XTOKENX");
    fs::write(site.path("cache.json"), cache).unwrap();
    let others: [&[&str]; 11] = [
        &["accounts"],
        &["sign-out", "--tenant", "tenant-1"],
        &["import-msal", "cache.json"],
        &["sweep"],
        &["stats"],
        &["verify"],
        &["compact"],
        &["rotate-key", "--new-key-file", "fresh"],
        &["erase", "--new-key-file", "fresh", "--yes"],
        &["backup", "copy"],
        &["restore", "cache", "--yes"],
    ];
    fs::create_dir(site.path("cache")).unwrap();
    for verb in others {
        let error = site.fails(5, verb);
        assert_eq!(
            (&error["kind"], &error["pid"]),
            (&json!("already_open"), &json!(std::process::id())),
            "{verb:?}"
        );
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains(&std::process::id().to_string()) && message.contains("--wait"),
            "{message}"
        );
    }
    assert_eq!(files("tokens"), before);
    assert!(!site.path("copy").exists());
    assert_eq!(store.account(&account(1)).unwrap().len(), 0);
}

/// The sign-out of only a session is not on record under the account: the answer says that it was
/// not looked for.
#[test]
fn what_was_not_looked_at_is_said() {
    let site = ProgramFixture::with_store();
    let store = site.open();
    let iss = "https://login.example.com";
    let request = SignIn::new(AccountId::new(iss, "u").unwrap(), tenant(1)).session(session(1));
    store.sign_in(request).unwrap();
    store.sign_out(SignOut::session(&session(1)).policy(SessionPolicy::OnlySession)).unwrap();
    store.sign_out(SignOut::tenant(&tenant(7))).unwrap();
    store.close().unwrap();
    let asked = |args: &[&str]| site.json(&[&["history"], args].concat());
    let account = ["--account", iss, "u"];
    for (more, not_looked_at, is_out) in [
        (&[] as &[&str], json!(["tenant", "session"]), false),
        (&["--tenant", "tenant-1"], json!(["session"]), false),
        (&["--session", iss, "session-1"], json!(["tenant"]), true),
        (&["--session", iss, "session-1", "--tenant", "tenant-7"], json!([]), true),
    ] {
        let shown = asked(&[&account, more].concat());
        assert_eq!(
            (&shown["not_looked_at"], &shown["signed_out"]),
            (&not_looked_at, &json!(is_out)),
            "{more:?}"
        );
    }
    let said = site.ok(&[&["history"], &account[..]].concat());
    assert!(said.contains("Not looked at: sign-outs by tenant, session alone"), "{said}");
    assert!(!site.ok(&["history", "--tenant", "tenant-7"]).contains("Not looked at"));
    // An account whose authority is not an issuer has subjects that its name does not tell.
    assert_eq!(
        asked(&["--msal-account", "login.windows.net", "u.t"])["not_looked_at"],
        json!(["tenant", "session", "subject"])
    );
    assert_eq!(asked(&["--everybody"])["signed_out"], false);
    site.json(&["sign-out", "--everybody", "--yes"]);
    let shown = asked(&["--everybody"]);
    assert_eq!(
        (&shown["signed_out"], shown["records"].as_array().unwrap().len()),
        (&json!(true), 1)
    );
    assert_eq!(asked(&account)["records"][0]["scope"], "everybody");
}
