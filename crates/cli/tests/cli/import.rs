//! The verb `import-msal`: which users it imports, and which it does not.

use std::fs;
use std::time::{Duration, SystemTime};

use oubliette::*;
use serde_json::{Value, json};

use crate::site::*;

const PYTHON: &str = include_str!("../../../../tests/samples/msal/msal-python.json");
/// When the samples were made.
const DAYS_OF_THE_SAMPLES: &str = "36500";

fn hours_ago(hours: u64) -> SystemTime {
    SystemTime::now() - Duration::from_secs(hours * 3600)
}

/// The report of an import.
fn expected(changes: Value, problems: Value) -> Value {
    let mut report = json!({
        "nobody": null, "accounts": 0, "tokens": 0, "replaced": 0, "signed_out_before": 0, "signed_out_since": 0,
        "tokens_signed_out": 0, "not_stored": 0, "problems": problems,
    });
    report.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    report
}

#[test]
fn msal_caches_are_taken_over_but_nobody_who_signed_out() {
    let site = ProgramFixture::with_store();
    fs::write(site.path("cache.json"), msal_cache(hours_ago(1), "XTOKENX-imported")).unwrap();
    fs::write(site.path("bad.json"), "XTOKENX {").unwrap();
    // A file that cannot be read stops the whole import before anything is stored.
    let error = site.fails(2, &["import-msal", "cache.json", "bad.json"]);
    assert!(error["message"].as_str().unwrap().contains("bad.json: not JSON"), "{error}");
    site.fails(12, &["import-msal", "cache.json", "none.json"]);
    assert_eq!(site.json(&["accounts"])["accounts"], json!([]));
    site.fails(2, &["import-msal"]);

    let problems = json!([{
        "file": "cache.json", "node": "AccessToken", "entry": 2, "field": "environment", "problem": "it is missing", "left_out": true,
    }]);
    let shown = site.json(&["import-msal", "cache.json"]);
    assert_eq!(shown, expected(json!({"accounts": 1, "tokens": 4}), problems.clone()));
    let id = AccountId::msal("login.example.com", "uid.utid").unwrap();
    let store = site.open();
    let live = store.account(&id).unwrap().remove(0);
    let query = RefreshQuery::client(ClientId::new("web").unwrap());
    assert_eq!(live.refresh_token(query).unwrap().unwrap().secret.expose(), "XTOKENX-imported");
    store.close().unwrap();
    let text = site.ok(&["import-msal", "cache.json"]);
    assert!(
        text.contains("cache.json: AccessToken entry 2: environment: it is missing (left out)"),
        "{text}"
    );

    // Either session finds the account.
    assert_eq!(
        site.json(&["sign-out", "--session", "https://login.example.com", "sid-1"])["accounts"],
        1
    );
    let again = ProgramFixture::with_store();
    again.ok(&["import-msal", site.path("cache.json").to_str().unwrap()]);
    assert_eq!(
        again.json(&["sign-out", "--session", "https://login.example.com", "sid-2"])["accounts"],
        1
    );
    let shown = site.json(&["import-msal", "cache.json"]);
    assert_eq!(shown, expected(json!({"nobody": "left_out", "signed_out_since": 1}), problems));
    assert!(site.open().account(&id).unwrap().is_empty());
}

#[test]
fn sign_ins_older_than_the_app_keeps_them_are_not_stored() {
    let site = ProgramFixture::with_store();
    fs::write(site.path("old.json"), msal_cache(hours_ago(2400), "XTOKENX-old")).unwrap();
    let shown = site.json(&["import-msal", "old.json"]);
    assert_eq!(
        (&shown["accounts"], &shown["not_stored"], &shown["nobody"]),
        (&json!(0), &json!(1), &json!("left_out"))
    );
    assert_eq!(site.json(&["--max-sign-in-days", "365", "import-msal", "old.json"])["accounts"], 1);
}

#[test]
fn whom_the_library_signed_out_is_not_brought_back() {
    let site = ProgramFixture::with_store();
    let mut cache: Value = serde_json::from_str(&msal_cache(hours_ago(1), "XTOKENX")).unwrap();
    // This is what MSAL for Python leaves of a cache that MSAL for Node wrote.
    cache["Account"] = json!({});
    cache["AccessToken"].as_object_mut().unwrap().remove("b");
    fs::write(site.path("left.json"), cache.to_string()).unwrap();
    let shown = site.json(&["import-msal", "left.json"]);
    let no_account = "there is no account entry for its user, as after a sign-out";
    let problem = |node, entry| json!({"file": "left.json", "node": node, "entry": entry, "field": null, "problem": no_account, "left_out": true});
    let problems = json!([
        problem("IdToken", 1),
        problem("IdToken", 2),
        problem("AccessToken", 1),
        problem("RefreshToken", 1)
    ]);
    assert_eq!(shown, expected(json!({"nobody": "signed_out", "signed_out_before": 1}), problems));
    let text = site.ok(&["import-msal", "left.json"]);
    assert!(
        text.starts_with("No user was taken over: all in the caches are signed out.\n"),
        "{text}"
    );
    assert!(
        text.contains(&format!("left.json: RefreshToken entry 1: {no_account} (left out)")),
        "{text}"
    );
    assert_eq!(site.json(&["accounts"])["accounts"], json!([]));
}

#[test]
fn a_cache_of_which_nobody_is_left_is_success_and_says_so() {
    let site = ProgramFixture::with_store();
    for (name, empty) in [
        ("1", ""),
        ("2", "{}"),
        ("3", "\u{feff}\r\n"),
        ("4", r#"{"AccessToken": {}, "Account": {}}"#),
    ] {
        fs::write(site.path(name), empty).unwrap();
        assert_eq!(
            site.json(&["import-msal", name]),
            expected(json!({"nobody": "no_users"}), json!([])),
            "{empty}"
        );
        assert!(
            site.ok(&["import-msal", name])
                .starts_with("No user was taken over: there is none in the caches.\n")
        );
    }
    // All users have signed out of this store.
    let mut cache: Value = serde_json::from_str(&msal_cache(hours_ago(1), "XTOKENX")).unwrap();
    cache["AccessToken"].as_object_mut().unwrap().remove("b");
    fs::write(site.path("cache.json"), cache.to_string()).unwrap();
    assert_eq!(
        site.json(&["import-msal", "1", "cache.json"]),
        expected(json!({"accounts": 1, "tokens": 4}), json!([]))
    );
    site.ok(&["sign-out", "--tenant", "utid"]);
    let shown = site.json(&["import-msal", "cache.json"]);
    assert_eq!(shown, expected(json!({"nobody": "signed_out", "signed_out_since": 1}), json!([])));
    let text = site.ok(&["import-msal", "cache.json"]);
    assert!(
        text.starts_with("No user was taken over: all in the caches are signed out.\n"),
        "{text}"
    );
    // An app is not a user.
    let app = json!({"AccessToken": {"a": {"home_account_id": null, "environment": "login.example.com", "client_id": "web",
        "realm": "aaaaaaaa-0000-4000-8000-00000000000a", "target": "api/.default", "secret": "XTOKENX", "expires_on": "99999999999"}}});
    fs::write(site.path("app.json"), app.to_string()).unwrap();
    let shown = site.json(&["import-msal", "app.json"]);
    assert_eq!(
        shown,
        expected(json!({"nobody": "no_users", "accounts": 1, "tokens": 1}), json!([]))
    );
}

#[test]
fn what_is_no_cache_is_said_to_be_what_it_looks_to_be() {
    let site = ProgramFixture::with_store();
    let browser = json!({"uid.utid-login.windows.net-refreshtoken-web----":
        json!({"credentialType": "RefreshToken", "homeAccountId": "uid.utid", "secret": "XTOKENX"}).to_string()})
    .to_string();
    let wide: Vec<u8> = std::iter::once(0xfeff)
        .chain("{\"Account\": {}}".encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let files: [(&[u8], &str); 7] = [
        (browser.as_bytes(), "sign in at the server"),
        (
            br#"{"msal.3|x": {"id": "1", "nonce": "XTOKENX", "data": "XTOKENX"}}"#,
            "only that browser can read it",
        ),
        (
            br#"[{"_clientId": "web", "_authority": "x", "refreshToken": "XTOKENX"}]"#,
            "a list of ADAL's",
        ),
        (&wide, "save it as UTF-8"),
        (b"\x09\xf0\xc9\xf0XTOKENX", "unprotect it in the app that protected it"),
        (
            b"\x01\0\0\0\xd0\x8c\x9d\xdf\x01\x15\xd1\x11\x8c\x7a\x00\xc0\x4f\xc2\x97\xebXTOKENX",
            "as the user who protected it",
        ),
        (br#"{"access_token": "XTOKENX"}"#, "it has none of the sections"),
    ];
    for (bytes, says) in files {
        fs::write(site.path("other"), bytes).unwrap();
        let error = site.fails(2, &["import-msal", "other"]);
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with("other: ") && message.contains(says), "{message}");
        assert!(site.run(&["import-msal", "other"]).stderr.contains(says));
    }
}

#[test]
fn the_count_is_that_of_verify_and_what_was_replaced_is_said() {
    let site = ProgramFixture::with_store();
    fs::write(site.path("python.json"), PYTHON).unwrap();
    let entries: Value = serde_json::from_str(PYTHON).unwrap();
    let entries: usize = ["AccessToken", "RefreshToken", "IdToken"]
        .iter()
        .map(|node| entries[node].as_object().unwrap().len())
        .sum();
    let import = ["--max-sign-in-days", DAYS_OF_THE_SAMPLES, "import-msal", "python.json"];
    let shown = site.json(&import);
    assert_eq!(shown, expected(json!({"accounts": 7, "tokens": 25, "replaced": 3}), json!([])));
    assert_eq!(entries, 28);
    let verified = site.json(&["--max-sign-in-days", DAYS_OF_THE_SAMPLES, "verify"]);
    assert_eq!(verified["tokens"], shown["tokens"]);
}
