//! Whom the library has signed out an import does not bring back.

use super::*;

const NO_ACCOUNT: &str = "there is no account entry for its user, as after a sign-out";

/// One user's tokens of each kind.
fn tokens() -> Value {
    let node = |name: &str| json!({"key": whole(name, USER)});
    json!({"AccessToken": node("AccessToken"), "RefreshToken": node("RefreshToken"), "IdToken": node("IdToken")})
}

/// The same beside an account entry of one's own.
fn beside(account: Value) -> MsalCache {
    let mut cache = tokens();
    cache["Account"] = json!({"key": account});
    read(&cache.to_string())
}

#[test]
fn no_account_entry_no_sign_in() {
    let cache = read(
        r#"{"Account": {}, "RefreshToken": {"k": {"credential_type": "RefreshToken", "home_account_id": "u.t",
            "environment": "login.windows.net", "client_id": "web", "secret": "RT"}}}"#,
    );
    assert_eq!((cache.sign_ins.len(), cache.signed_out), (0, 1));
    assert_eq!(problems(&cache), [format!("RefreshToken entry 1: {NO_ACCOUNT}")]);
    assert_eq!(
        (cache.problems[0].kind, cache.problems[0].left_out),
        (MsalProblemKind::NoAccount, true)
    );

    // Nor for tokens of any other kind: each has a line.
    for node in ["AccessToken", "RefreshToken", "IdToken"] {
        let cache = read(&json!({node: {"key": whole(node, USER)}}).to_string());
        assert_eq!((cache.sign_ins.len(), cache.signed_out), (0, 1), "{node}");
        assert_eq!(problems(&cache), [format!("{node} entry 1: {NO_ACCOUNT}")]);
    }
    let cache = read(&tokens().to_string());
    assert_eq!((cache.sign_ins.len(), cache.problems.len(), cache.signed_out), (0, 3, 1));
}

/// The cache that MSAL for Node wrote, once MSAL for Python has called `remove_account` on it for
/// its first user: it takes the account entry, and finds none of the tokens under its own keys.
/// (`findings/msal-python-removes-no-token-that-node-wrote.sh` shows it.)
#[test]
fn who_is_signed_out_by_python_in_a_cache_of_nodes_stays_out() {
    let mut left: Value = serde_json::from_str(NODE).unwrap();
    left["Account"]
        .as_object_mut()
        .unwrap()
        .retain(|_, account| !account["home_account_id"].as_str().unwrap().starts_with(USER));
    let (whole, cache) = (read(NODE), read(&left.to_string()));
    let gone = whole.sign_ins[0].sign_in.account();
    assert_eq!(gone.home_account_id(), Some(format!("{USER}.{TENANT_A}").as_str()));

    let store = store();
    assert_eq!((cache.sign_ins.len(), cache.signed_out), (whole.sign_ins.len() - 1, 1));
    assert_eq!(cache.problems.len(), whole.sign_ins[0].tokens.len());
    assert!(cache.problems.iter().all(|problem| problem.kind == MsalProblemKind::NoAccount));
    let others = cache.sign_ins.len();
    assert_eq!(take_over(&store, cache), others);
    assert!(store.account(gone).unwrap().is_empty());
}

#[test]
fn an_account_entry_of_any_name_of_the_user_counts() {
    for changes in [
        json!({}),
        // Another name of the cloud, another realm, another user flow, other letters, other fields.
        json!({"environment": "login.windows.net"}),
        json!({"environment": "STS.windows.net"}),
        json!({"realm": TENANT_B}),
        json!({"realm": null}),
        json!({"home_account_id": format!("{USER}.{TENANT_A}").to_uppercase()}),
        json!({"home_account_id": format!("{USER}-b2c_1_edit.{TENANT_A}")}),
        json!({"home_account_id": null, "homeAccountId": format!("{USER}.{TENANT_A}")}),
        json!({"local_account_id": null, "username": null}),
    ] {
        let cache = beside(changed(whole("Account", USER), changes.clone()));
        assert_eq!(
            (cache.sign_ins.len(), problems(&cache), cache.signed_out),
            (1, vec![], 0),
            "{changes}"
        );
        assert_eq!(cache.sign_ins[0].tokens.len(), 3);
    }
    // One that names its user is an entry, whatever else of it cannot be read.
    for (field, value) in [
        ("username", json!("needle\u{7}")),
        ("username", json!(7)),
        ("realm", json!([])),
        ("authority_type", json!(1)),
    ] {
        let cache = beside(changed(whole("Account", USER), json!({field: value})));
        assert_eq!((cache.sign_ins.len(), cache.problems.len()), (1, 1), "{field}");
        assert_eq!((cache.problems[0].field, cache.problems[0].left_out), (Some(field), false));
    }
}

#[test]
fn an_account_entry_of_somebody_else_or_of_nobody_does_not_count() {
    for changes in [
        json!({"home_account_id": format!("{USER}.{TENANT_B}")}),
        json!({"home_account_id": format!("99999999-0000-4000-8000-000000000009.{TENANT_A}")}),
        json!({"environment": "login.microsoftonline.us"}),
        json!({"environment": "login.example.com"}),
        json!({"home_account_id": null}),
        json!({"home_account_id": ""}),
        json!({"home_account_id": [1]}),
        json!({"home_account_id": "needle\u{7}"}),
        json!({"environment": null}),
        json!({"environment": 5}),
        json!({"credential_type": "RefreshToken"}),
    ] {
        let cache = beside(changed(whole("Account", USER), changes.clone()));
        assert_eq!(cache.sign_ins.len(), 0, "{changes}");
        let without =
            cache.problems.iter().filter(|problem| problem.kind == MsalProblemKind::NoAccount);
        assert_eq!(
            (without.count(), cache.problems.len()),
            (3, 4),
            "{changes}: {:?}",
            cache.problems
        );
        assert!(cache.problems.iter().all(|problem| problem.left_out));
    }
    for broken in [json!(null), json!(true), json!("FAKE"), json!([])] {
        assert_eq!(beside(broken).sign_ins.len(), 0);
    }
    let mut cache = tokens();
    cache["Account"] = json!([whole("Account", USER)]);
    assert_eq!(read(&cache.to_string()).sign_ins.len(), 0);
}

#[test]
fn the_entry_of_one_user_brings_back_no_other() {
    const OTHER: &str = "99999999-0000-4000-8000-000000000009";
    let mut cache = tokens();
    cache["Account"] = json!({"key": whole("Account", USER)});
    cache["RefreshToken"]["other"] = whole("RefreshToken", OTHER);
    let cache = read(&cache.to_string());
    assert_eq!((cache.sign_ins.len(), cache.sign_ins[0].tokens.len(), cache.signed_out), (1, 3, 1));
    assert_eq!(problems(&cache), [format!("RefreshToken entry 2: {NO_ACCOUNT}")]);
}

#[test]
fn an_apps_own_token_needs_no_account_entry() {
    for id in [json!(null), json!("")] {
        let app = changed(
            whole("AccessToken", USER),
            json!({"home_account_id": null, "target": "api/.default"}),
        );
        let mut app = app;
        app["home_account_id"] = id;
        let cache = read(&json!({"AccessToken": {"key": app}, "Account": {}}).to_string());
        assert_eq!((cache.sign_ins.len(), problems(&cache), cache.signed_out), (1, vec![], 0));
        assert!(cache.sign_ins[0].sign_in.account().as_app().is_some());
    }
}

#[test]
fn an_account_without_a_token_is_no_sign_in() {
    let cache = read(&json!({"Account": {"key": whole("Account", USER)}}).to_string());
    assert_eq!(problems(&cache), ["Account entry 1: no token belongs to it, as after a sign-out"]);
    assert_eq!(
        (cache.sign_ins.len(), cache.signed_out, cache.problems[0].kind),
        (0, 1, MsalProblemKind::NoToken)
    );
    // One whose token cannot be read is not signed out for that.
    let cache = access_token_with(json!({"expires_on": null}));
    assert_eq!(
        problems(&cache),
        [
            "Account entry 1: none of its tokens is taken over",
            "AccessToken entry 1: expires_on: it is missing"
        ]
    );
    assert_eq!(cache.signed_out, 0);
}

#[test]
fn an_empty_or_null_id_is_the_apps_only_with_its_scopes() {
    let is_apps = |id: &Value, target: &Value| {
        let mut entry = whole("AccessToken", USER);
        entry["target"] = target.clone();
        match id {
            Value::Bool(_) => drop(entry.as_object_mut().unwrap().remove("home_account_id")),
            id => entry["home_account_id"] = id.clone(),
        }
        let cache = read(&json!({"AccessToken": {"key": entry}}).to_string());
        if cache.sign_ins.is_empty() {
            let said = "home_account_id: it is missing, and the scopes are not those of an app's own token";
            assert_eq!(problems(&cache), [format!("AccessToken entry 1: {said}")]);
        }
        !cache.sign_ins.is_empty()
    };
    // Null is Python's, empty is Node's, and missing (here a truth) is .NET's.
    for id in [json!(null), json!(""), json!(true)] {
        for target in
            [json!("api/.default"), json!("a/.default b/.default "), json!(["api/.default"])]
        {
            assert!(is_apps(&id, &target), "{id} {target}");
        }
        for target in [
            json!("User.Read"),
            json!("api/.default User.Read"),
            json!("api/.defaults"),
            json!(""),
            json!(" "),
            json!([]),
            json!(["api/.default", "User.Read"]),
            json!(["api/.default", 5]),
            json!("https://management.example.com"),
        ] {
            assert!(!is_apps(&id, &target), "{id} {target}");
        }
    }
}
