//! The verb `sign-out`, in every scope.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oubliette::*;
use oubliette_testkit::accounts::*;
use serde_json::{Value, json};

use crate::site::*;

#[test]
fn every_scope_can_be_signed_out() {
    let site = ProgramFixture::with_store();
    let store = site.open();
    let mut expected: Vec<u32> = (1..=12).collect();
    fill(&store, 12);
    let oidc = AccountId::of_subject(Subject::new("https://idp", "-sub").unwrap());
    let app = AccountId::app(tenant(9), client());
    let msal = AccountId::msal("login.windows.net", "U.T").unwrap();
    for (id, tenant) in [(&oidc, tenant(9)), (&app, tenant(9)), (&msal, tenant(9))] {
        store.sign_in(SignIn::new(id.clone(), tenant)).unwrap();
    }
    store.sign_in(SignIn::new(account(6), tenant(1)).session(session(60))).unwrap();
    store.close().unwrap();

    let mut last = 0;
    let mut sign_out = |args: &[&str], scope: &str, accounts: Value, gone: &[u32]| {
        let shown = site.json(&[&["sign-out"], args].concat());
        let keys = [
            "accounts",
            "accounts_ended",
            "at",
            "nobody",
            "position",
            "scope",
            "sign_ins_ended",
            "signed_in_before",
        ];
        assert_eq!(keys_of(&shown), keys);
        assert_eq!(
            (&shown["scope"], &shown["accounts"], &shown["signed_in_before"]),
            (&json!(scope), &accounts, &Value::Null)
        );
        assert!(shown["position"].as_u64().unwrap() > last);
        last = shown["position"].as_u64().unwrap();
        let store = site.open();
        expected.retain(|number| !gone.contains(number));
        assert_eq!(live(&store, 12), expected, "{args:?}");
        store
    };
    sign_out(&["--account", "login.example.com", "user-1"], "account", Value::Null, &[1]);
    sign_out(
        &["--subject", "https://login.example.com", "subject-2"],
        "subject",
        Value::Null,
        &[2],
    );
    sign_out(&["--session", "https://login.example.com", "session-3"], "session", json!(1), &[3]);
    sign_out(&["--session", "https://login.example.com", "nobody"], "session", json!(0), &[]);
    let store = sign_out(
        &["--session", "https://login.example.com", "session-60", "--only-session"],
        "session",
        Value::Null,
        &[],
    );
    assert_eq!(store.account(&account(6)).unwrap().len(), 1, "its other session lives");
    drop(store);
    let store = sign_out(&["--oidc-account", "https://idp", "-sub"], "account", Value::Null, &[]);
    assert!(store.account(&oidc).unwrap().is_empty() && !store.account(&app).unwrap().is_empty());
    drop(store);
    let store = sign_out(&["--app-account", "tenant-9", "client"], "account", Value::Null, &[]);
    assert!(store.account(&app).unwrap().is_empty() && !store.account(&msal).unwrap().is_empty());
    drop(store);
    let store =
        sign_out(&["--msal-account", "STS.windows.net", "U.T"], "account", Value::Null, &[]);
    assert!(store.account(&msal).unwrap().is_empty());
    drop(store);
    sign_out(&["--tenant", "tenant-2"], "tenant", Value::Null, &[7, 8, 9, 10, 11, 12]);
    // Everybody is signed out only with a confirmation.
    let error = site.fails(2, &["sign-out", "--everybody"]);
    assert!(error["message"].as_str().unwrap().contains("--yes"), "{error}");
    sign_out(&["--everybody", "--yes"], "everybody", Value::Null, &[4, 5, 6]);
    assert!(
        site.ok(&["sign-out", "--tenant", "tenant-2"])
            .starts_with("Nobody was signed in under this name;")
    );

    // Only one scope can be given at a time, and with all that belongs to it.
    for wrong in [
        &["sign-out"] as &[&str],
        &["sign-out", "--tenant", "a", "--everybody"],
        &["sign-out", "--tenant", "a", "--tenant", "b"],
        &["sign-out", "--account", "a"],
        &["sign-out", "--account", "a", "b", "c"],
        &["sign-out", "--account", "", "b"],
        &["sign-out", "--tenant", "a", "--only-session"],
        &["sign-out", "--tenant", "a", "--before", "yesterday"],
    ] {
        assert_eq!(site.fails(2, wrong)["kind"], "usage");
    }
}

/// A typing error must not look like a sign-out.
#[test]
fn a_name_that_nobody_has_is_said_and_is_recorded_all_the_same() {
    let site = ProgramFixture::with_store();
    let store = site.open();
    fill(&store, 4);
    store.sign_in(SignIn::new(account(1), tenant(1)).session(session(9))).unwrap();
    store.close().unwrap();
    let nobody = "Nobody was signed in under this name; the sign-out is recorded all the same.";
    for args in [
        &["--account", "login.example.com", "user-99"] as &[&str],
        &["--account", "https://login.microsoftonline.com/tid/v2.0", "sub"],
        &["--msal-account", "login.windows.net", "u.t"],
        &["--subject", "https://login.example.com", "tyop"],
        &["--session", "https://login.example.com", "tyop"],
        &["--tenant", "tyop"],
    ] {
        let args = [&["sign-out"], args].concat();
        let said = site.ok(&args);
        assert!(said.starts_with(nobody), "{said}");
        // Entra, Okta and MSAL have ids of their own.
        let is_account = args[1].ends_with("account");
        assert_eq!(
            said.contains("--subject") && said.contains("`oubliette accounts`"),
            is_account,
            "{said}"
        );
        let shown = site.json(&args);
        assert_eq!(
            (&shown["nobody"], &shown["accounts_ended"], &shown["sign_ins_ended"]),
            (&json!(true), &json!(0), &json!(0))
        );
        assert!(shown["position"].as_u64().unwrap() > 0);
        let ran = site.run(&[&args[..], &["--expect-someone"]].concat());
        assert_eq!((ran.code, ran.stdout.starts_with(nobody)), (14, true));
    }
    assert_eq!(site.json(&["history"])["total"], 18, "each of them, three times");
    // Now somebody is signed in.
    let shown =
        site.json(&["sign-out", "--expect-someone", "--account", "login.example.com", "user-1"]);
    assert_eq!(
        (&shown["nobody"], &shown["accounts_ended"], &shown["sign_ins_ended"]),
        (&json!(false), &json!(1), &json!(2))
    );
    let said = site.ok(&["sign-out", "--expect-someone", "--tenant", "tenant-2"]);
    assert!(
        said.starts_with("Signed out, durably.") && said.contains("accounts ended          2"),
        "{said}"
    );
    let shown = site.json(&["sign-out", "--everybody", "--yes"]);
    assert_eq!((&shown["nobody"], &shown["accounts_ended"]), (&json!(false), &json!(1)));
    assert!(
        site.ok(&["sign-out", "--everybody", "--yes"])
            .starts_with("Nobody was signed in; the sign-out")
    );
}

#[test]
fn an_account_by_issuer_and_subject_has_two_spellings() {
    let user = ["https://sso.example.com/realms/contoso", "f:1"];
    for [signed_in, signed_out] in [["new", "--oidc-account"], ["of_subject", "--account"]] {
        let site = ProgramFixture::with_store();
        let store = site.open();
        let account = match signed_in {
            "new" => AccountId::new(user[0], user[1]).unwrap(),
            _ => AccountId::of_subject(Subject::new(user[0], user[1]).unwrap()),
        };
        store.sign_in(SignIn::new(account.clone(), tenant(1))).unwrap();
        store.close().unwrap();
        assert_eq!(site.json(&["sign-out", signed_out, user[0], user[1]])["sign_ins_ended"], 1);
        assert!(site.open().account(&account).unwrap().is_empty());
        for spelling in ["--account", "--oidc-account", "--subject"] {
            assert_eq!(
                site.json(&["history", spelling, user[0], user[1]])["signed_out"],
                true,
                "{spelling}"
            );
        }
    }
}

#[test]
fn an_alias_finds_whom_to_sign_out() {
    let site = ProgramFixture::with_store();
    let store = site.open();
    let alias = Alias::new(AliasKind::Email, "ann@example.com").unwrap();
    store.sign_in(sign_in(1).alias(alias)).unwrap();
    store.close().unwrap();
    let shown = site.json(&["sign-out", "--alias", "Ann@Example.com"]);
    assert_eq!((&shown["scope"], &shown["accounts_ended"]), (&json!("alias"), &json!(1)));
    assert!(
        site.ok(&["sign-out", "--alias", "ann@example.com"])
            .starts_with("Nobody is signed in under this other name.")
    );
    assert_eq!(site.run(&["sign-out", "--alias", "bob", "--expect-someone"]).code, 14);
    assert_eq!(
        site.json(&["history", "--account", "login.example.com", "user-1"])["signed_out"],
        true
    );
}

#[test]
fn a_sign_out_can_be_of_earlier_sign_ins_alone() {
    let site = ProgramFixture::with_store();
    let store = site.open();
    let hours_ago = |hours: u64| SystemTime::now() - Duration::from_secs(hours * 3600);
    for (number, hours) in [(1, 3), (1, 1), (2, 1)] {
        store.sign_in(sign_in(number).signed_in_at(hours_ago(hours))).unwrap();
    }
    store.close().unwrap();
    let seconds = hours_ago(2).duration_since(UNIX_EPOCH).unwrap().as_secs();
    let shown = site.json(&[
        "sign-out",
        "--account",
        "login.example.com",
        "user-1",
        "--before",
        &seconds.to_string(),
    ]);
    let before = shown["signed_in_before"].as_str().unwrap().to_owned();
    assert_eq!(site.open().account(&account(1)).unwrap().len(), 1);
    // The time is given in the other spelling, which the program showed.
    let again = site.json(&["sign-out", "--everybody", "--yes", "--before", &before]);
    assert_eq!(again["signed_in_before"], before);
    let store = site.open();
    assert_eq!(live(&store, 2), [1, 2]);
    let record = store.last_sign_out(&SignOutScope::Everybody).unwrap().record.unwrap();
    assert_eq!(record.signed_in_before, Some(UNIX_EPOCH + Duration::from_secs(seconds)));
    store.close().unwrap();
    let history = site.json(&["history", "--account", "login.example.com", "user-1"]);
    assert_eq!(history["records"][0]["signed_in_before"], before);
}
