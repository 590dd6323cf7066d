//! Who is signed in; and who is taken over from another cache.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use oubliette::*;
use serde_json::json;

use crate::common::*;
use crate::site::*;

#[test]
fn accounts_are_listed_by_page_and_tenant_and_nothing_else_shows_them() {
    let site = Site::with_store();
    let store = site.open();
    fill(&store, 600);
    store.sign_in(sign_in(1)).unwrap();
    store.sign_in(SignIn::new(AccountId::of_subject(subject(7)), tenant(3))).unwrap();
    store.sign_in(SignIn::new(AccountId::app(tenant(3), client()), tenant(3))).unwrap();
    store.close().unwrap();
    let shown = site.json(&["accounts"]);
    assert_eq!(keys_of(&shown), ["accounts", "more", "tampered"]);
    assert_eq!((&shown["more"], &shown["tampered"]), (&json!(false), &json!(0)));
    let accounts = shown["accounts"].as_array().unwrap();
    assert_eq!(accounts.len(), 602);
    for expected in [
        json!({ "kind": "user", "authority": "login.example.com", "id": "user-1", "sign_ins": 2 }),
        json!({ "kind": "user", "authority": "login.example.com", "id": "user-600", "sign_ins": 1 }),
        json!({ "kind": "user", "authority": "https://login.example.com", "id": "subject-7", "sign_ins": 1 }),
        json!({ "kind": "app", "tenant": "tenant-3", "client": "client", "sign_ins": 1 }),
    ] {
        assert_eq!(accounts.iter().filter(|account| **account == expected).count(), 1, "{expected}");
    }
    let text = site.ok(&["accounts"]);
    assert_eq!(text.lines().count(), 602);
    assert!(text.lines().any(|line| line == "2\tuser\tlogin.example.com\tuser-1"));
    assert!(text.lines().any(|line| line == "1\tuser\thttps://login.example.com\tsubject-7"));
    assert!(text.lines().any(|line| line == "1\tapp\ttenant-3\tclient"));

    assert_eq!(site.json(&["accounts", "--tenant", "tenant-2"])["accounts"].as_array().unwrap().len(), 300);
    for (limit, more) in [("1", true), ("256", true), ("601", true), ("602", false), ("9999", false)] {
        let shown = site.json(&["accounts", "--limit", limit]);
        assert_eq!(shown["accounts"].as_array().unwrap().len(), limit.parse::<usize>().unwrap().min(602));
        assert_eq!(shown["more"], more, "{limit}");
    }
    assert_eq!(site.json(&["accounts", "--tenant", "nobody"]), json!({ "accounts": [], "more": false, "tampered": 0 }));
    site.fails(2, &["accounts", "--limit", "0"]);
}

#[test]
fn whoever_reads_the_list_may_stop() {
    let site = Site::with_store();
    let store = site.open();
    for number in 0..3000 {
        let id = AccountId::new("login.example.com", format!("{number:01000}")).unwrap();
        store.sign_in(SignIn::new(id, tenant(1))).unwrap();
    }
    store.close().unwrap();
    let mut child = site.command(&["accounts"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    // 3 MB do not fit into the pipe: the program is still writing when it is closed.
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str(), line.len()), (Some(0), "", 1 + 6 + 18 + 1001), "{line}");
    site.open().close().unwrap();
}

#[test]
fn msal_caches_are_taken_over_but_nobody_who_signed_out() {
    let site = Site::with_store();
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    fs::write(site.path("cache.json"), msal_cache(an_hour_ago, "XTOKENX-imported")).unwrap();
    fs::write(site.path("old.json"), msal_cache(SystemTime::now() - Duration::from_secs(100 * 86_400), "XTOKENX-old")).unwrap();
    fs::write(site.path("bad.json"), "XTOKENX {").unwrap();
    // A file that cannot be read stops all of it, before anything was stored.
    let error = site.fails(1, &["import-msal", "cache.json", "bad.json"]);
    assert!(error["message"].as_str().unwrap().contains("bad.json: not JSON"), "{error}");
    site.fails(12, &["import-msal", "cache.json", "none.json"]);
    assert_eq!(site.json(&["accounts"])["accounts"], json!([]));
    site.fails(2, &["import-msal"]);

    let problem = json!({
        "file": "cache.json", "node": "AccessToken", "entry": 2, "field": "environment", "problem": "it is missing", "left_out": true,
    });
    let shown = site.json(&["import-msal", "cache.json"]);
    let expected = |accounts, tokens, signed_out, not_stored| {
        json!({
            "accounts": accounts, "tokens": tokens, "signed_out_since": signed_out, "tokens_signed_out": 0, "not_stored": not_stored,
            "problems": [problem],
        })
    };
    assert_eq!(shown, expected(1, 4, 0, 0));
    let id = AccountId::msal("login.example.com", "uid.utid").unwrap();
    let store = site.open();
    let live = store.account(&id).unwrap().remove(0);
    let query = RefreshQuery::client(ClientId::new("web").unwrap());
    assert_eq!(live.refresh_token(query).unwrap().unwrap().secret.expose(), "XTOKENX-imported");
    store.close().unwrap();
    let text = site.ok(&["import-msal", "cache.json"]);
    assert!(text.contains("cache.json: AccessToken entry 2: environment: it is missing (left out)"), "{text}");

    // Either session finds the account.
    assert_eq!(site.json(&["sign-out", "--session", "https://login.example.com", "sid-1"])["accounts"], 1);
    let again = Site::with_store();
    again.ok(&["import-msal", site.path("cache.json").to_str().unwrap()]);
    assert_eq!(again.json(&["sign-out", "--session", "https://login.example.com", "sid-2"])["accounts"], 1);
    assert_eq!(site.json(&["import-msal", "cache.json"]), expected(0, 0, 1, 0));
    assert!(site.open().account(&id).unwrap().is_empty());
    let shown = site.json(&["import-msal", "old.json"]);
    assert_eq!((&shown["accounts"], &shown["not_stored"]), (&json!(0), &json!(1)));
    // Unless the app keeps sign-ins for longer.
    let site = Site::with_store();
    fs::write(site.path("old.json"), msal_cache(SystemTime::now() - Duration::from_secs(100 * 86_400), "XTOKENX-old")).unwrap();
    assert_eq!(site.json(&["--max-sign-in-days", "365", "import-msal", "old.json"])["accounts"], 1);
}
