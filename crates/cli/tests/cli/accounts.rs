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
        json!({ "kind": "user", "authority": "login.example.com", "id": "user-1", "sign_ins": 2 }),
        json!({ "kind": "user", "authority": "login.example.com", "id": "user-600", "sign_ins": 1 }),
        json!({ "kind": "user", "authority": "https://login.example.com", "id": "subject-7", "sign_ins": 1 }),
        json!({ "kind": "app", "tenant": "tenant-3", "client": "client", "sign_ins": 1 }),
    ] {
        assert_eq!(
            accounts.iter().filter(|account| **account == expected).count(),
            1,
            "{expected}"
        );
    }
    let text = site.ok(&["accounts"]);
    assert_eq!(text.lines().count(), 602);
    assert!(text.lines().any(|line| line == "2\tuser\tlogin.example.com\tuser-1"));
    assert!(text.lines().any(|line| line == "1\tuser\thttps://login.example.com\tsubject-7"));
    assert!(text.lines().any(|line| line == "1\tapp\ttenant-3\tclient"));

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
        (Some(0), "", 1 + 6 + 18 + 1001),
        "{line}"
    );
    site.open().close().unwrap();
}
