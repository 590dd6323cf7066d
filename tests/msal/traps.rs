//! One test for each thing that libraries and versions write differently.

use super::*;
use crate::samples::DOTNET;

#[test]
fn trailing_commas_are_found_outside_of_texts_only() {
    let cache = read(r#"{"a": ["x,]", ",}\\", "\",]",], "b": {"c": 1 , } , "Account": {},}"#);
    assert_eq!(Value::Object(cache.other), json!({"a": ["x,]", ",}\\", "\",]"], "b": {"c": 1}}));
}

#[test]
fn keys_of_the_file_do_not_count() {
    let entry = whole("AccessToken", USER);
    let other = changed(entry.clone(), json!({"target": "Mail.Read"}));
    let cache = read_with_accounts(
        json!({"AccessToken": {"other-login.windows.net-accesstoken-x-y-z": entry, "": other}}),
    );
    assert_eq!(
        (problems(&cache).len(), access_tokens(&cache).len(), cache.sign_ins.len()),
        (0, 2, 1)
    );

    // Nor do they stand in for a field that is missing.
    let key =
        format!("{USER}.{TENANT_A}-login.microsoftonline.com-accesstoken-web-{TENANT_A}-user.read");
    let cache = read(
        &json!({"AccessToken": {key: changed(entry, json!({"client_id": null}))}}).to_string(),
    );
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
    assert_eq!(
        serde_json::from_slice::<Value>(&token.extra).unwrap(),
        json!({"cached_at": "1795132800", "keyId": "k"})
    );
    let family = json!({"RefreshToken": {"key": {"home_account_id": "a.b", "environment": "e", "client_id": "c", "secret": "s",
        "familyId": "1"}}});
    assert_eq!(refresh_tokens(&read_with_accounts(family))[0].family_id.as_deref(), Some("1"));
}

#[test]
fn the_scopes_are_a_text_or_a_list() {
    for target in [json!("b a"), json!(["a", "b"]), json!(" a  b ")] {
        assert_eq!(
            access_tokens(&access_token_with(json!({"target": target})))[0].scopes.joined(),
            "a b"
        );
    }
    assert!(access_tokens(&access_token_with(json!({"target": ""})))[0].scopes.is_empty());
    for target in
        [json!("a\\b"), json!("sc\u{f6}pe"), json!("a\tb"), json!([1]), json!(["a b"]), json!({})]
    {
        assert!(
            problem_with(json!({"target": target})).starts_with("AccessToken entry 1: target: "),
            "{target}"
        );
    }
}

#[test]
fn times_are_texts_or_numbers() {
    for time in [
        json!("1795136400"),
        json!(1_795_136_400),
        json!(1_795_136_400.75),
        json!("1795136400.25"),
        json!(" 1795136400 "),
    ] {
        assert_eq!(
            expiry(access_tokens(&access_token_with(json!({"expires_on": time})))[0]),
            Some(at(NOW + 3600)),
            "{time}"
        );
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
        assert_eq!(
            problem,
            "AccessToken entry 1: expires_on: it is not a time in seconds between 1970 and 9999",
            "{time}"
        );
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
    assert_eq!(
        problem,
        "AccessToken entry 1: expires_on: it is more than ten years after the token was cached"
    );
    let undated =
        json!({"expires_on": NOW + ten_years + 1, "cached_at": null, "extended_expires_on": null});
    assert_eq!(access_token_with(undated).sign_ins.len(), 1);
}

#[test]
fn a_token_set_apart_by_what_the_store_does_not_know_is_left_out() {
    for field in ["ext", "ext_cache_key", "additionalCacheKeyComponents"] {
        let problem = problem_with(json!({field: {"fmi_path": "x"}}));
        assert_eq!(
            problem,
            format!("AccessToken entry 1: {field}: the store cannot set tokens apart by it")
        );
        assert_eq!(access_token_with(json!({field: {}})).problems, []);
    }
}

#[test]
fn a_token_in_the_wrong_node_is_left_out() {
    let cache = read(&json!({"AccessToken": {"key": whole("RefreshToken", USER)}}).to_string());
    assert_eq!(
        problems(&cache),
        ["AccessToken entry 1: credential_type: it is that of another node"]
    );
    assert_eq!(
        access_token_with(json!({"credential_type": "AccessToken_With_AuthScheme"})).problems,
        []
    );
}

#[test]
fn an_assertion_hash_that_is_none_is_reported() {
    for hash in ["the app's own key", "LCa0", "LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564"] {
        let problem = problem_with(json!({"user_assertion_hash": hash}));
        assert_eq!(
            problem,
            "AccessToken entry 1: user_assertion_hash: it is not the base64 of a SHA-256"
        );
    }
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
        let cache = read_with_accounts(json!({"IdToken": {"key": entry}}));
        let MsalSignIn { sign_in, tokens, .. } = &cache.sign_ins[0];
        assert_eq!(
            (tokens.len(), live(sign_in).subject(), live(sign_in).session()),
            (1, None, None),
            "{secret}"
        );
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
    for bad in [
        json!(null),
        json!(true),
        json!(1),
        json!(-1),
        json!(1.5),
        json!("FAKE"),
        json!([["FAKE"]]),
    ] {
        let cache =
            read_with_accounts(json!({"AccessToken": {"1": bad, "2": whole("AccessToken", USER)}}));
        assert_eq!(
            (problems(&cache), cache.sign_ins.len()),
            (vec!["AccessToken entry 1: it is not an object".into()], 1)
        );
        let cache = read_with_accounts(
            json!({"RefreshToken": bad, "AccessToken": {"2": whole("AccessToken", USER)}}),
        );
        let expected = if bad.is_null() {
            vec![]
        } else {
            vec!["RefreshToken: it is not an object".to_owned()]
        };
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
    assert_eq!(
        (cache.sign_ins[0].accounts.len(), cache.problems.len(), cache.problems[0].left_out),
        (18, 2, false)
    );
}
