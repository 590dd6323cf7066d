//! One test for each thing that libraries and versions write differently.

use super::*;
use crate::samples::DOTNET;

#[test]
fn an_empty_file_is_an_empty_cache() {
    for empty in ["", " \r\n\t", "\u{feff}", "\u{feff} ", "{}", r#"{"AccessToken": null, "Account": {}}"#] {
        let cache = read(empty);
        assert!(cache.sign_ins.is_empty() && cache.problems.is_empty(), "{empty:?}");
    }
}

#[test]
fn what_is_no_cache_is_an_error_that_quotes_nothing() {
    for bad in
        ["[1]", "null", "7", "\"needle\"", "{needle", r#"{"needle": needle}"#, r#"{"needle": "\ud800"}"#, "{} needle", "{,,}"]
    {
        let error = MsalCache::read(bad.as_bytes()).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("needle"), "{text}");
    }
    assert!(matches!(MsalCache::read(b"[1]"), Err(MsalError::NotAnObject)));
    assert!(matches!(MsalCache::read(b"\xff\xfe{\x00}\x00"), Err(MsalError::NotJson { .. })));
    let cut = DOTNET.split("FAKE-RT-1").next().unwrap();
    assert!(matches!(MsalCache::read(cut.as_bytes()), Err(MsalError::NotJson { line: 34, .. })), "past the trailing commas");
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(MsalCache::read(deep.as_bytes()), Err(MsalError::NotJson { .. })));
}

#[test]
fn a_huge_file_is_refused() {
    let huge = vec![b' '; 256 * 1024 * 1024 + 1];
    assert!(matches!(MsalCache::read(&huge), Err(MsalError::TooLarge)));
}

#[test]
fn trailing_commas_are_found_outside_of_texts_only() {
    let cache = read(r#"{"a": ["x,]", ",}\\", "\",]",], "b": {"c": 1 , } ,}"#);
    assert_eq!(Value::Object(cache.other), json!({"a": ["x,]", ",}\\", "\",]"], "b": {"c": 1}}));
}

#[test]
fn keys_of_the_file_do_not_count() {
    let entry = whole("AccessToken", USER);
    let cache = read(&json!({"AccessToken": {"other-login.windows.net-accesstoken-x-y-z": entry, "": entry}}).to_string());
    assert_eq!((problems(&cache).len(), access_tokens(&cache).len(), cache.sign_ins.len()), (0, 2, 1));

    // Nor do they stand in for a field that is missing.
    let key = format!("{USER}.{TENANT_A}-login.microsoftonline.com-accesstoken-web-{TENANT_A}-user.read");
    let mut entry = entry;
    entry.as_object_mut().unwrap().remove("client_id");
    let cache = read(&json!({"AccessToken": {key: entry}}).to_string());
    assert_eq!(problems(&cache), ["AccessToken entry 1: client_id: it is missing"]);
}

#[test]
fn names_in_camel_case_are_read_too() {
    let cache = access_token_with(json!({
        "token_type": null, "tokenType": "pop", "user_assertion_hash": null, "keyId": "k", "refresh_on": null, "refreshOn": 1_795_134_600,
        "userAssertionHash": "LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564="
    }));
    let token = access_tokens(&cache)[0];
    assert_eq!((token.token_type.as_str(), token.refresh_at), ("pop", Some(at(NOW + 1800))));
    assert_eq!(token.partition, Partition::on_behalf_of("foo"));
    assert_eq!(serde_json::from_slice::<Value>(&token.extra).unwrap(), json!({"cached_at": "1795132800", "keyId": "k"}));
    let family = json!({"RefreshToken": {"key": {"home_account_id": "a.b", "environment": "e", "client_id": "c", "secret": "s",
        "familyId": "1"}}});
    assert_eq!(refresh_tokens(&read(&family.to_string()))[0].family_id.as_deref(), Some("1"));
}

#[test]
fn the_scopes_are_a_text_or_a_list() {
    for target in [json!("b a"), json!(["a", "b"]), json!(" a  b ")] {
        assert_eq!(access_tokens(&access_token_with(json!({"target": target})))[0].scopes.joined(), "a b");
    }
    assert!(access_tokens(&access_token_with(json!({"target": ""})))[0].scopes.is_empty());
    for target in [json!("a\\b"), json!("sc\u{f6}pe"), json!("a\tb"), json!([1]), json!(["a b"]), json!({})] {
        assert!(problem_with(json!({"target": target})).starts_with("AccessToken entry 1: target: "), "{target}");
    }
}

#[test]
fn times_are_texts_or_numbers() {
    for time in
        [json!("1795136400"), json!(1_795_136_400), json!(1_795_136_400.75), json!("1795136400.25"), json!(" 1795136400 ")]
    {
        assert_eq!(access_tokens(&access_token_with(json!({"expires_on": time})))[0].expires_at, Some(at(NOW + 3600)), "{time}");
    }
    for time in [
        json!(-1),
        json!("-62135596800"),
        json!(1e300),
        json!(u64::MAX),
        json!("soon"),
        json!("NaN"),
        json!(1_795_136_400_000_u64),
    ] {
        let problem = problem_with(json!({"expires_on": time}));
        assert_eq!(problem, "AccessToken entry 1: expires_on: it is not a time in seconds between 1970 and 9999", "{time}");
        // A time that a token can do without is left out alone.
        let cache = access_token_with(json!({"refresh_on": time}));
        assert_eq!((access_tokens(&cache)[0].refresh_at, cache.problems.len()), (None, 1));
        assert!(!cache.problems[0].left_out);
    }
    // No JSON number of Rust, but one of JSON.
    let cache = read(&DOTNET.replace("\"1795140000\"", "1e999"));
    assert_eq!((access_tokens(&cache).len(), cache.problems.len()), (2, 2), "{cache:?}");
}

#[test]
fn an_access_token_for_more_than_ten_years_is_corrupt() {
    let ten_years = 10 * 365 * 24 * 60 * 60;
    assert_eq!(access_token_with(json!({"expires_on": NOW + ten_years})).sign_ins.len(), 1);
    let problem = problem_with(json!({"expires_on": NOW + ten_years + 1}));
    assert_eq!(problem, "AccessToken entry 1: expires_on: it is more than ten years after the token was cached");
    assert_eq!(access_token_with(json!({"expires_on": NOW + ten_years + 1, "cached_at": null})).sign_ins.len(), 1);
}

#[test]
fn the_older_name_of_the_extended_expiry_counts_if_alone() {
    let cache = access_token_with(json!({"extended_expires_on": null, "ext_expires_on": NOW + 9}));
    assert_eq!(access_tokens(&cache)[0].extended_expires_at, Some(at(NOW + 9)));
    let cache = access_token_with(json!({"ext_expires_on": NOW + 9}));
    assert_eq!(access_tokens(&cache)[0].extended_expires_at, Some(at(NOW + 7200)));
}

#[test]
fn a_token_without_a_user_is_the_apps_only_if_it_says_so() {
    for id in [json!({"home_account_id": ""}), json!({"home_account_id": null, "target": "api/.default"})] {
        let cache = access_token_with(id);
        assert_eq!(cache.sign_ins[0].sign_in.account().as_app().unwrap().1.as_str(), "web");
    }
    // A user's token that has lost its id is not handed to the app.
    assert_eq!(problem_with(json!({"home_account_id": null})), "AccessToken entry 1: home_account_id: it is missing");
    assert_eq!(problem_with(json!({"home_account_id": "", "realm": ""})), "AccessToken entry 1: realm: it is missing");
}

#[test]
fn a_token_set_apart_by_what_the_store_does_not_know_is_left_out() {
    for field in ["ext", "ext_cache_key", "additionalCacheKeyComponents"] {
        let problem = problem_with(json!({field: {"fmi_path": "x"}}));
        assert_eq!(problem, format!("AccessToken entry 1: {field}: the store cannot set tokens apart by it"));
        assert_eq!(access_token_with(json!({field: {}})).problems, []);
    }
}

#[test]
fn a_token_in_the_wrong_node_is_left_out() {
    let cache = read(&json!({"AccessToken": {"key": whole("RefreshToken", USER)}}).to_string());
    assert_eq!(problems(&cache), ["AccessToken entry 1: credential_type: it is that of another node"]);
    assert_eq!(access_token_with(json!({"credential_type": "AccessToken_With_AuthScheme"})).problems, []);
}

#[test]
fn an_assertion_hash_that_is_none_is_reported() {
    for hash in ["the app's own key", "LCa0", "LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564"] {
        let problem = problem_with(json!({"user_assertion_hash": hash}));
        assert_eq!(problem, "AccessToken entry 1: user_assertion_hash: it is not the base64 of a SHA-256");
    }
}

#[test]
fn the_tenant_of_a_sign_in() {
    let id = |node: &str, realm: &str| {
        let mut entry = whole(node, USER);
        entry["realm"] = realm.into();
        entry
    };
    let tenant = |cache: Value| read(&cache.to_string()).sign_ins[0].sign_in.tenant().as_str().to_owned();
    // A guest of one tenant only is signed in there; one of several, at home.
    assert_eq!(tenant(json!({"AccessToken": {"1": id("AccessToken", "guest")}})), "guest");
    assert_eq!(
        tenant(json!({"AccessToken": {"1": id("AccessToken", "guest")}, "Account": {"1": id("Account", TENANT_A)}})),
        "guest"
    );
    assert_eq!(tenant(json!({"AccessToken": {"1": id("AccessToken", "guest"), "2": id("AccessToken", "two")}})), TENANT_A);
    // Refresh tokens alone: as the account entry says, or at home.
    let refresh = json!({"1": id("RefreshToken", "")});
    assert_eq!(tenant(json!({"RefreshToken": refresh, "Account": {"1": id("Account", "Guest")}})), "guest");
    assert_eq!(tenant(json!({"RefreshToken": refresh})), TENANT_A);
    // The case of letters does not make two.
    assert_eq!(tenant(json!({"AccessToken": {"1": id("AccessToken", "Guest"), "2": id("AccessToken", "gUEST")}})), "guest");
}

#[test]
fn a_server_without_tenants_is_its_own() {
    let entry = json!({"home_account_id": "Sub+/=", "environment": "FS.example.com", "client_id": "web", "secret": "FAKE-AT",
        "target": "", "expires_on": "1795136400"});
    let cache = read(&json!({"AccessToken": {"key": entry}, "RefreshToken": {"key": entry}}).to_string());
    assert_eq!(summary(&cache), ["Sub+/= in fs.example.com: AT AT"]);
    // But where some entries name tenants, one that does not has lost it.
    let mut named = entry.clone();
    named["realm"] = "adfs".into();
    let cache = read(&json!({"AccessToken": {"1": named, "2": entry}}).to_string());
    assert_eq!(
        (problems(&cache), summary(&cache)),
        (vec!["AccessToken entry 2: realm: it is missing".into()], vec!["Sub+/= in adfs: AT".into()])
    );
}

#[test]
fn of_two_spellings_of_one_token_the_last_is_the_one_to_keep() {
    let mut late = whole("AccessToken", USER);
    let mut early = late.clone();
    late["environment"] = "login.windows.net".into();
    early["home_account_id"] = format!("{USER}-b2c_1_edit.{}", TENANT_A.to_uppercase()).into();
    early["expires_on"] = "1795136399".into();
    let cache = read(&json!({"AccessToken": {"1": late, "2": early}}).to_string());
    let expiries: Vec<_> = access_tokens(&cache).iter().map(|token| token.expires_at).collect();
    assert_eq!((expiries, cache.sign_ins.len()), (vec![Some(at(NOW + 3599)), Some(at(NOW + 3600))], 1));
}

#[test]
fn an_account_without_a_token_is_no_sign_in() {
    let cache = read(&json!({"Account": {"key": whole("Account", USER)}}).to_string());
    assert_eq!((cache.sign_ins.len(), problems(&cache)), (0, vec!["Account entry 1: no token belongs to it".into()]));
}

#[test]
fn an_id_token_that_cannot_be_decoded_is_still_a_token() {
    for secret in [
        "opaque",
        "a.b.c",
        "..",
        "e30.e30.e30",
        &id_token(&json!({"iss": 1, "sub": "s"})),
        &id_token(&json!({"iss": "", "sid": "s"})),
    ] {
        let mut entry = whole("IdToken", USER);
        entry["secret"] = secret.into();
        let cache = read(&json!({"IdToken": {"key": entry}}).to_string());
        let MsalSignIn { sign_in, tokens, .. } = &cache.sign_ins[0];
        assert_eq!((tokens.len(), live(sign_in).subject(), live(sign_in).session()), (1, None, None), "{secret}");
    }
}

#[test]
fn a_secret_with_escapes_is_the_same_secret() {
    let cache = read(&DOTNET.replace("FAKE-RT-1", "\\u0046AKE\\/RT"));
    assert_eq!(refresh_tokens(&cache)[0].secret.expose(), "FAKE/RT");
}

#[test]
fn fields_too_long_for_extra_are_left_out_alone() {
    let cache = access_token_with(json!({"note": "x".repeat(20_000)}));
    assert_eq!(access_tokens(&cache)[0].extra, b"");
    assert_eq!((problems(&cache).len(), cache.problems[0].left_out), (1, false));
}

#[test]
fn an_entry_or_node_that_is_no_object_is_reported_and_nothing_else_lost() {
    for bad in [json!(null), json!(true), json!(1), json!(-1), json!(1.5), json!("FAKE"), json!([["FAKE"]])] {
        let cache = read(&json!({"AccessToken": {"1": bad, "2": whole("AccessToken", USER)}}).to_string());
        assert_eq!((problems(&cache), cache.sign_ins.len()), (vec!["AccessToken entry 1: it is not an object".into()], 1));
        let cache = read(&json!({"RefreshToken": bad, "AccessToken": {"2": whole("AccessToken", USER)}}).to_string());
        let expected = if bad.is_null() { vec![] } else { vec!["RefreshToken: it is not an object".to_owned()] };
        assert_eq!((problems(&cache), cache.sign_ins.len()), (expected, 1));
    }
}

#[test]
fn an_account_of_many_names_keeps_as_many_as_the_store_takes() {
    let mut cache = json!({"AccessToken": {"key": whole("AccessToken", USER)}, "Account": {}});
    for n in 0..9 {
        let mut account = whole("Account", USER);
        account["username"] = format!("USER-{}", n % 9).into();
        cache["Account"][n.to_string()] = account.clone();
        cache["Account"][format!("{n} again")] = account;
    }
    let cache = read(&cache.to_string());
    assert_eq!(live(&cache.sign_ins[0].sign_in).aliases().len(), 8);
    assert_eq!((cache.sign_ins[0].accounts.len(), cache.problems.len(), cache.problems[0].left_out), (18, 2, false));
}
