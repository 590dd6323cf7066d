//! The verb `accounts`: who is signed in.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use oubliette::*;
use oubliette_testkit::accounts::*;
use serde_json::json;

use crate::site::*;

#[test]
fn accounts_are_listed_by_page_and_tenant_and_nothing_else_shows_them() {
    let site = ProgramFixture::with_store();
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
        json!({ "kind": "user", "authority": "login.example.com", "id": "user-1", "words": ["--account", "login.example.com", "user-1"], "sign_ins": 2 }),
        json!({ "kind": "user", "authority": "login.example.com", "id": "user-600", "words": ["--account", "login.example.com", "user-600"], "sign_ins": 1 }),
        json!({ "kind": "user", "authority": "https://login.example.com", "id": "subject-7", "words": ["--account", "https://login.example.com", "subject-7"], "sign_ins": 1 }),
        json!({ "kind": "app", "tenant": "tenant-3", "client": "client", "words": ["--app-account", "tenant-3", "client"], "sign_ins": 1 }),
    ] {
        assert_eq!(
            accounts.iter().filter(|account| **account == expected).count(),
            1,
            "{expected}"
        );
    }
    let text = site.ok(&["accounts"]);
    assert_eq!(text.lines().count(), 602);
    assert!(text.lines().any(|line| line == "2\t--account login.example.com user-1"));
    assert!(text.lines().any(|line| line == "1\t--account https://login.example.com subject-7"));
    assert!(text.lines().any(|line| line == "1\t--app-account tenant-3 client"));

    assert_eq!(
        site.json(&["accounts", "--tenant", "tenant-2"])["accounts"].as_array().unwrap().len(),
        300
    );
    for (limit, more) in
        [("1", true), ("256", true), ("601", true), ("602", false), ("9999", false)]
    {
        let shown = site.json(&["accounts", "--limit", limit]);
        assert_eq!(
            shown["accounts"].as_array().unwrap().len(),
            limit.parse::<usize>().unwrap().min(602)
        );
        assert_eq!(shown["more"], more, "{limit}");
    }
    assert_eq!(
        site.json(&["accounts", "--tenant", "nobody"]),
        json!({ "accounts": [], "more": false, "tampered": 0 })
    );
    site.fails(2, &["accounts", "--limit", "0"]);
}

/// Each line can be pasted behind `sign-out`, whatever the ids are.
#[cfg(unix)]
#[test]
fn an_account_is_listed_in_the_words_that_sign_it_out() {
    let site = ProgramFixture::with_store();
    let hostile = "$(id) `id` 'a' \"b\" \\ * -x; ü";
    let store = site.open();
    let user = AccountId::new("https://idp", hostile).unwrap();
    store.sign_in(SignIn::new(user, tenant(1))).unwrap();
    let app = AccountId::app(TenantId::new("a b").unwrap(), client());
    store.sign_in(SignIn::new(app, TenantId::new("a b").unwrap())).unwrap();
    let msal = AccountId::msal("sts.windows.net", "U.T").unwrap();
    store.sign_in(SignIn::new(msal, tenant(1))).unwrap();
    store.close().unwrap();
    let listed = site.ok(&["accounts"]);
    assert_eq!(listed.lines().count(), 3);
    for line in listed.lines() {
        let words = line.split_once('\t').unwrap().1;
        for verb in ["history", "--json sign-out"] {
            let program = env!("CARGO_BIN_EXE_oubliette");
            let out = std::process::Command::new("sh")
                .args(["-c", &format!("{program} {verb} {words}")])
                .env("OUBLIETTE_STORE", site.path("tokens"))
                .env("OUBLIETTE_KEY_FILE", site.path("key"))
                .output()
                .unwrap();
            let ran = site.check(&out);
            assert_eq!(ran.code, 0, "{verb} {words}: {}", ran.stderr);
            assert!(verb == "history" || ran.stdout.contains("\"sign_ins_ended\":1"), "{words}");
        }
    }
    // And then there is nobody, which it says, and not on stdout: `| wc -l` counts.
    for args in [&["accounts"] as &[&str], &["accounts", "--tenant", "x"]] {
        let ran = site.run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
        assert!(ran.stderr.starts_with("oubliette: nobody is signed in"), "{}", ran.stderr);
    }
}

#[test]
fn whoever_reads_the_list_may_stop() {
    let site = ProgramFixture::with_store();
    let store = site.open();
    for number in 0..3000 {
        let id = AccountId::new("login.example.com", format!("{number:01000}")).unwrap();
        store.sign_in(SignIn::new(id, tenant(1))).unwrap();
    }
    store.close().unwrap();
    let mut child =
        site.command(&["accounts"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    // 3 MB do not fit into the pipe, so the program is still writing when the pipe is closed.
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), said.as_str(), line.len()),
        (Some(0), "", 2 + 10 + 18 + 1001),
        "{line}"
    );
    site.open().close().unwrap();
}
