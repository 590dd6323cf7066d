//! ID tokens as each provider writes them, as sign-ins.

use std::time::{Duration, SystemTime};

use oubliette::oauth::ProviderFields;
use oubliette::openid::{ClaimError, Provider, ProviderIdTokenClaims};
use oubliette::*;
use oubliette_testkit::accounts::now;
use serde_json::{Value, json};

const TENANT: &str = "aaaaaaaa-0000-4000-8000-00000000000a";
const HOME: &str = "bbbbbbbb-0000-4000-8000-00000000000b";
const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
const OID: &str = "11111111-0000-4000-8000-000000000001";

fn claims(json: &Value) -> ProviderIdTokenClaims {
    serde_json::from_value(json.clone()).unwrap()
}

/// With what every ID token has.
fn token(mut json: Value) -> Value {
    let own = json.as_object_mut().unwrap();
    for (name, value) in [
        ("aud", json!("web")),
        ("exp", json!(1_800_003_000)),
        ("iat", json!(1_799_999_000)),
        ("nonce", json!("n")),
    ] {
        own.entry(name).or_insert(value);
    }
    json
}

fn with(mut json: Value, name: &str, value: Value) -> Value {
    json[name] = value;
    json
}

fn fails(provider: &Provider, json: &Value) -> ClaimError {
    provider.sign_in(&claims(json)).unwrap_err()
}

fn missing(claim: &'static str) -> ClaimError {
    ClaimError::Missing { claim: claim.into() }
}

/// Signed in to a store, where all of it can be seen.
fn live(provider: &Provider, json: &Value) -> LiveSignIn {
    live_with(provider, json, &ProviderFields::default())
}

fn live_with(provider: &Provider, json: &Value, fields: &ProviderFields) -> LiveSignIn {
    let sign_in = provider.sign_in_with(&claims(json), fields).unwrap();
    Machine::new()
        .builder()
        .clock(ManualClock::new(now()))
        .open()
        .unwrap()
        .sign_in(sign_in)
        .unwrap()
}

fn client_info(uid: &str, utid: &str) -> ProviderFields {
    use base64ct::Encoding;
    let info = base64ct::Base64UrlUnpadded::encode_string(
        json!({"uid": uid, "utid": utid}).to_string().as_bytes(),
    );
    serde_json::from_value(json!({"client_info": info})).unwrap()
}

fn subject(iss: &str, sub: &str) -> Subject {
    Subject::new(iss, sub).unwrap()
}

fn email(address: &str) -> Alias {
    Alias::new(AliasKind::Email, address).unwrap()
}

fn generic() -> (Provider, Value) {
    let iss = "https://login.example.com";
    let json = token(
        json!({"iss": iss, "sub": "248289761001", "sid": "08a5019c-17e1-4977-8f42-65a12843ea02", "auth_time": 1_700_000_000,
        "email": "Jane@Example.com", "email_verified": true, "org": "contoso"}),
    );
    (Provider::generic(iss).unwrap(), json)
}

fn entra() -> (Provider, Value) {
    let json = token(
        json!({"ver": "2.0", "iss": format!("https://login.microsoftonline.com/{TENANT}/v2.0"), "tid": TENANT.to_uppercase(), "oid": OID,
        "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "sid": "007e3899-5f70-4c5b-9e2d-0a0b0c0d0e0f", "name": "Abe Lincoln",
        "preferred_username": "AbeLi@contoso.com", "email": "AbeLi@contoso.com", "aio": "Df2UVXL1ix!", "rh": "0.A", "uti": "x", "acr": "1"}),
    );
    (Provider::entra(&format!("https://login.microsoftonline.com/{TENANT}/v2.0")).unwrap(), json)
}

/// A user of the tenant `HOME` in the tenant `TENANT`.
fn guest() -> (Provider, Value) {
    let (provider, json) = entra();
    (provider, with(json, "idp", json!(format!("https://sts.windows.net/{HOME}/"))))
}

fn b2c() -> (Provider, Value) {
    let iss = format!("https://contoso.b2clogin.com/{TENANT}/v2.0/");
    let json = token(
        json!({"ver": "1.0", "iss": iss, "sub": OID, "tfp": "B2C_1_susi", "auth_time": 1_799_999_000, "idp": "google.com",
        "emails": ["jane@gmail.com"], "given_name": "Jane"}),
    );
    (Provider::entra(&iss).unwrap(), json)
}

#[test]
fn any_provider() {
    let (provider, json) = generic();
    let live = live(&provider, &json);
    let me = subject("https://login.example.com", "248289761001");
    assert_eq!((live.account(), live.subject()), (&AccountId::of_subject(me.clone()), Some(&me)));
    assert_eq!(live.tenant().as_str(), "https://login.example.com");
    let session =
        SessionId::new("https://login.example.com", "08a5019c-17e1-4977-8f42-65a12843ea02")
            .unwrap();
    assert_eq!(
        (live.session(), live.aliases()),
        (Some(&session), [email("jane@example.com")].as_slice())
    );
    // By the time of issue, not of authentication, which can be older than the store keeps
    // sign-ins.
    assert_eq!(live.signed_in_at(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_799_999_000));
}

#[test]
fn a_provider_whose_clock_is_ahead_signs_in_now() {
    let (provider, json) = generic();
    assert_eq!(live(&provider, &with(json, "iat", json!(1_800_000_900))).signed_in_at(), now());
}

#[test]
fn an_email_address_is_a_name_only_if_it_is_verified() {
    let (provider, json) = generic();
    assert!(
        live(&provider, &with(json.clone(), "email_verified", json!(false))).aliases().is_empty()
    );
    assert!(live(&provider, &with(json, "email_verified", Value::Null)).aliases().is_empty());
    let (provider, json) = entra();
    assert!(live(&provider, &json).aliases().is_empty());
    // Entra says it otherwise; elsewhere its claim says nothing.
    for yes in [json!(true), json!(1), json!("1"), json!("true")] {
        assert_eq!(
            live(&provider, &with(json.clone(), "xms_edov", yes)).aliases(),
            [email("abeli@contoso.com")]
        );
    }
    for no in [json!(false), json!(0), json!("0"), json!([1]), Value::Null] {
        assert!(live(&provider, &with(json.clone(), "xms_edov", no)).aliases().is_empty());
    }
    let (provider, json) = generic();
    let json = with(with(json, "email_verified", json!(false)), "xms_edov", json!(true));
    assert!(live(&provider, &json).aliases().is_empty());
}

#[test]
fn another_issuer_is_refused_by_every_provider() {
    let foreign = "https://evil.example.com/realms/contoso";
    let providers = [
        Provider::generic("https://login.example.com").unwrap(),
        Provider::keycloak("https://sso.example.com/realms/contoso").unwrap(),
        Provider::okta("https://contoso.okta.com").unwrap(),
        Provider::auth0("https://contoso.eu.auth0.com/").unwrap(),
        Provider::google().unwrap(),
        entra().0,
        Provider::entra("https://login.microsoftonline.com/common/v2.0").unwrap(),
    ];
    for provider in providers {
        let json = token(
            json!({"iss": foreign, "sub": "u", "oid": OID, "tid": TENANT, "hd": "example.com", "org_id": "org_1"}),
        );
        assert_eq!(fails(&provider, &json), ClaimError::WrongIssuer, "{provider:?}");
    }
}

#[test]
fn a_claim_can_name_the_tenant() {
    let (provider, json) = generic();
    let provider = provider.tenant_claim("org");
    assert_eq!(live(&provider, &json).tenant().as_str(), "contoso");
    assert_eq!(fails(&provider, &with(json.clone(), "org", Value::Null)), missing("org"));
    assert_eq!(fails(&provider, &with(json.clone(), "org", json!(""))), missing("org"));
    assert!(matches!(
        fails(&provider, &with(json, "org", json!(["a"]))),
        ClaimError::Invalid { .. }
    ));
}

#[test]
fn a_session_can_be_demanded() {
    let (provider, json) = generic();
    let without = with(json.clone(), "sid", Value::Null);
    assert!(live(&provider, &without).session().is_none());
    assert_eq!(fails(&provider.clone().require_session(), &without), missing("sid"));
    // One that nobody could sign out by is no session.
    assert!(matches!(fails(&provider, &with(json, "sid", json!(7))), ClaimError::Invalid { .. }));
}

#[test]
fn entra_at_home() {
    let (provider, json) = entra();
    let me = live(&provider, &json);
    assert_eq!(
        *me.account(),
        AccountId::msal("login.microsoftonline.com", &format!("{OID}.{TENANT}")).unwrap()
    );
    assert_eq!(me.tenant().as_str(), TENANT);
    let iss = format!("https://login.microsoftonline.com/{TENANT}/v2.0");
    let session =
        SessionId::new("https://login.microsoftonline.com", "007e3899-5f70-4c5b-9e2d-0a0b0c0d0e0f")
            .unwrap();
    assert_eq!(me.session(), Some(&session));
    assert_eq!(me.subject(), Some(&subject(&iss, "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ")));
    // The v1.0 endpoint's tokens are of the same account, and so is a home told by `client_info`,
    // and by `idp`.
    let v1 = with(json.clone(), "iss", json!(format!("https://sts.windows.net/{TENANT}/")));
    assert_eq!(
        (live(&provider, &v1).account(), live(&provider, &v1).session()),
        (me.account(), Some(&session))
    );
    assert_eq!(live_with(&provider, &json, &client_info(OID, TENANT)).account(), me.account());
    for (idp, acct) in
        [(json!(iss), json!(0)), (json!(format!("https://sts.windows.net/{TENANT}/")), Value::Null)]
    {
        let json = with(with(json.clone(), "idp", idp), "acct", acct);
        assert_eq!(live(&provider, &json).account(), me.account());
    }
}

#[test]
fn entras_account_is_the_one_that_msal_caches_know() {
    let cache = format!(
        r#"{{"RefreshToken": {{"k": {{"home_account_id": "{OID}.{TENANT}", "environment": "login.windows.net", "client_id": "web", "secret": "rt"}}}},
            "Account": {{"k": {{"home_account_id": "{OID}.{TENANT}", "environment": "login.windows.net", "realm": "{TENANT}"}}}}}}"#
    );
    let cache = msal::MsalCache::read(cache.as_bytes()).unwrap();
    let (provider, json) = entra();
    assert_eq!(live(&provider, &json).account(), cache.sign_ins[0].sign_in.account());
}

#[test]
fn an_entra_guest_is_known_by_the_home_account() {
    let (provider, json) = guest();
    assert_eq!(fails(&provider, &json), missing("client_info"));
    let uid = "22222222-0000-4000-8000-000000000002";
    let me = live_with(&provider, &json, &client_info(uid, HOME));
    assert_eq!(
        *me.account(),
        AccountId::msal("login.microsoftonline.com", &format!("{uid}.{HOME}")).unwrap()
    );
    assert_eq!(me.tenant().as_str(), TENANT);
    // The same person at home, in a multi-tenant app: one account, two tenants.
    let common = Provider::entra("https://login.microsoftonline.com/common/v2.0").unwrap();
    let at_home = token(
        json!({"iss": format!("https://login.microsoftonline.com/{HOME}/v2.0"), "tid": HOME, "oid": uid, "sub": "s"}),
    );
    assert_eq!(live(&common, &at_home).account(), me.account());
    // `acct` says it too, where `idp` is not sent; and a personal account is a guest like others.
    let (provider, json) = entra();
    assert_eq!(fails(&provider, &with(json.clone(), "acct", json!(1))), missing("client_info"));
    let json = with(json, "idp", json!("live.com"));
    assert_eq!(fails(&provider, &json), missing("client_info"));
    let uid = "00000000-0000-0000-8bad-000000000003";
    assert_eq!(
        live_with(&provider, &json, &client_info(uid, PERSONAL)).account().home_account_id(),
        Some(format!("{uid}.{PERSONAL}").as_str())
    );
}

#[test]
fn client_info_cannot_name_somebody_else_of_the_same_tenant() {
    let (provider, json) = entra();
    let other = client_info("22222222-0000-4000-8000-000000000002", TENANT);
    let error = provider.sign_in_with(&claims(&json), &other).unwrap_err();
    assert!(matches!(error, ClaimError::Invalid { claim, .. } if claim == "client_info"));
    for bad in ["%", "e30", "bm90IGpzb24"] {
        let fields: ProviderFields = serde_json::from_value(json!({"client_info": bad})).unwrap();
        let error = provider.sign_in_with(&claims(&json), &fields).unwrap_err();
        assert!(matches!(error, ClaimError::Invalid { claim, .. } if claim == "client_info"));
    }
    let error = provider.sign_in_with(&claims(&json), &client_info(OID, "contoso")).unwrap_err();
    assert!(matches!(error, ClaimError::Invalid { .. }));
}

#[test]
fn entras_personal_accounts() {
    let oid = "00000000-0000-0000-66f3-3332eca7ea81";
    let json = token(
        json!({"ver": "2.0", "iss": format!("https://login.microsoftonline.com/{PERSONAL}/v2.0"), "tid": PERSONAL, "oid": oid,
        "sub": "AAAAAAAAAAAAAAAAAAAAAMLkPFSaMXaqhpLW", "preferred_username": "abe@outlook.com"}),
    );
    for tenants in ["common", "consumers", PERSONAL] {
        let provider =
            Provider::entra(&format!("https://login.microsoftonline.com/{tenants}/v2.0")).unwrap();
        let live = live(&provider, &json);
        assert_eq!(live.account().home_account_id(), Some(format!("{oid}.{PERSONAL}").as_str()));
        assert_eq!(live.tenant().as_str(), PERSONAL);
    }
    let provider = Provider::entra("https://login.microsoftonline.com/organizations/v2.0").unwrap();
    assert_eq!(fails(&provider, &json), ClaimError::WrongIssuer);
}

#[test]
fn entras_tenant_is_believed_only_beside_its_issuer() {
    let (one, json) = entra();
    let common = Provider::entra("https://login.microsoftonline.com/common/v2.0").unwrap();
    let organizations =
        Provider::entra("https://login.microsoftonline.com/organizations/v2.0").unwrap();
    let consumers = Provider::entra("https://login.microsoftonline.com/consumers/v2.0").unwrap();
    for provider in [&one, &common, &organizations] {
        assert_eq!(live(provider, &json).tenant().as_str(), TENANT);
        // The tenant of another customer, in the claim or in the issuer alone.
        assert_eq!(
            fails(provider, &with(json.clone(), "tid", json!(HOME))),
            ClaimError::WrongIssuer
        );
        let other = with(
            json.clone(),
            "iss",
            json!(format!("https://login.microsoftonline.com/{HOME}/v2.0")),
        );
        assert_eq!(fails(provider, &other), ClaimError::WrongIssuer);
        assert_eq!(fails(provider, &with(json.clone(), "tid", Value::Null)), missing("tid"));
        for iss in [
            format!("https://login.microsoftonline.us/{TENANT}/v2.0"),
            format!("https://login.microsoftonline.com.evil.example/{TENANT}/v2.0"),
            format!("http://login.microsoftonline.com/{TENANT}/v2.0"),
            format!("https://login.microsoftonline.com/x/{TENANT}/v2.0"),
            "https://login.microsoftonline.com/common/v2.0".into(),
        ] {
            assert_eq!(
                fails(provider, &with(json.clone(), "iss", json!(iss))),
                ClaimError::WrongIssuer,
                "{iss}"
            );
        }
        assert_eq!(fails(provider, &with(json.clone(), "oid", Value::Null)), missing("oid"));
    }
    assert_eq!(fails(&consumers, &json), ClaimError::WrongIssuer);
    let both = with(json.clone(), "tid", json!(HOME));
    let both = with(both, "iss", json!(format!("https://login.microsoftonline.com/{HOME}/v2.0")));
    assert_eq!(fails(&one, &both), ClaimError::WrongIssuer);
    assert_eq!(live(&common, &both).tenant().as_str(), HOME);
}

#[test]
fn b2c_user_flows_are_one_account() {
    let (provider, json) = b2c();
    let me = live(&provider, &json);
    assert_eq!(
        *me.account(),
        AccountId::new("contoso.b2clogin.com", format!("{OID}.{TENANT}")).unwrap()
    );
    assert_eq!((me.tenant().as_str(), me.session()), (TENANT, None));
    // Another flow, named by `acr` and in the issuer; a flow's policy in `client_info`.
    let edit = with(with(json.clone(), "tfp", Value::Null), "acr", json!("b2c_1a_edit"));
    let edit = with(
        edit,
        "iss",
        json!(format!("https://contoso.b2clogin.com/tfp/{TENANT}/b2c_1a_edit/v2.0/")),
    );
    assert_eq!(live(&provider, &edit).account(), me.account());
    let info = client_info(&format!("{OID}-b2c_1_susi"), TENANT);
    assert_eq!(live_with(&provider, &json, &info).account(), me.account());
    // A policy that puts something else into `sub` has to send the `oid`.
    let custom = with(json.clone(), "sub", json!("not supported"));
    assert_eq!(fails(&provider, &custom), missing("oid"));
    assert_eq!(live(&provider, &with(custom, "oid", json!(OID))).account(), me.account());
    // A custom domain can be said to be the same.
    let own = format!("https://login.contoso.com/{TENANT}/v2.0/");
    let provider = Provider::entra(&own).unwrap().environment("contoso.b2clogin.com");
    assert_eq!(live(&provider, &with(json, "iss", json!(own))).account(), me.account());
}

/// The issuer of a tenant of External ID has its id in the host, whatever the authority has.
#[test]
fn entra_external_id_by_both_spellings_of_its_authority() {
    let host = format!("{TENANT}.ciamlogin.com");
    let json = token(
        json!({"ver": "2.0", "iss": format!("https://{host}/{TENANT}/v2.0"), "tid": TENANT, "oid": OID, "sid": "s-1",
        "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "name": "Jane", "email": "jane@example.com"}),
    );
    for authority in ["contoso.ciamlogin.com", "CONTOSO.ciamlogin.com", &host] {
        for form in [
            format!("https://{authority}/{TENANT}/v2.0"),
            format!("https://{authority}/{}/", TENANT.to_uppercase()),
        ] {
            let provider = Provider::entra(&form).unwrap();
            let me = live(&provider, &json);
            // One account, as MSAL has it under either of its hosts; and one session.
            for environment in ["contoso.ciamlogin.com", &host] {
                assert_eq!(
                    *me.account(),
                    AccountId::msal(environment, &format!("{OID}.{TENANT}")).unwrap(),
                    "{form}"
                );
            }
            assert_eq!(
                me.session(),
                Some(&SessionId::new(format!("https://{host}"), "s-1").unwrap())
            );
            assert_eq!(
                (me.tenant().as_str(), me.subject().map(Subject::issuer)),
                (TENANT, json["iss"].as_str())
            );
            // At home, whether the identity provider is said by this host or by the cloud's.
            for idp in [
                format!("https://{host}/{TENANT}/v2.0"),
                format!("https://sts.windows.net/{TENANT}/"),
            ] {
                assert_eq!(
                    live(&provider, &with(json.clone(), "idp", json!(idp))).account(),
                    me.account()
                );
            }
            for idp in ["google.com".to_owned(), format!("https://sts.windows.net/{HOME}/")] {
                assert_eq!(
                    fails(&provider, &with(json.clone(), "idp", json!(idp))),
                    missing("client_info")
                );
            }
            for iss in [
                format!("https://{HOME}.ciamlogin.com/{HOME}/v2.0"),
                format!("https://{HOME}.ciamlogin.com/{TENANT}/v2.0"),
                format!("https://{host}/{HOME}/v2.0"),
                format!("https://fabrikam.ciamlogin.com/{TENANT}/v2.0"),
                format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
            ] {
                assert_eq!(
                    fails(&provider, &with(json.clone(), "iss", json!(iss))),
                    ClaimError::WrongIssuer,
                    "{form} {iss}"
                );
            }
        }
    }
}

/// Microsoft's own libraries take a domain for the tenant; from it nobody can know whose tokens are
/// ours.
#[test]
fn an_external_tenant_that_is_not_named_by_its_id_is_an_error_that_says_what_to_do() {
    for authority in [
        "https://contoso.ciamlogin.com/contoso.onmicrosoft.com",
        "https://contoso.ciamlogin.com/contoso.onmicrosoft.com/v2.0",
        "https://contoso.ciamlogin.com",
        "https://contoso.ciamlogin.com/common/v2.0",
        "https://contoso.ciamlogin.com/organizations/v2.0",
    ] {
        let Err(Error::InvalidInput { field: "issuer", problem }) = Provider::entra(authority)
        else {
            panic!("{authority}")
        };
        assert!(
            problem.contains("https://contoso.ciamlogin.com/<GUID>/v2.0")
                && problem.contains("discovery"),
            "{problem}"
        );
    }
    let Err(Error::InvalidInput { problem, .. }) =
        Provider::entra(&format!("https://{HOME}.ciamlogin.com/{TENANT}/v2.0"))
    else {
        panic!("two tenants")
    };
    assert!(problem.contains("two tenants"), "{problem}");
}

#[test]
fn a_second_address_of_every_provider_is_filed_under_the_first() {
    let b2c = format!("https://contoso.b2clogin.com/{TENANT}/v2.0/");
    let entra = format!("https://login.microsoftonline.com/{TENANT}/v2.0");
    for (provider, first, second) in [
        (
            Provider::generic("https://login.example.com"),
            "https://login.example.com",
            "https://old.example.com",
        ),
        (
            Provider::keycloak("https://sso.example.com/realms/a"),
            "https://sso.example.com/realms/a",
            "http://keycloak:8080/realms/b",
        ),
        (
            Provider::okta("https://contoso.okta.com"),
            "https://contoso.okta.com",
            "https://id.contoso.example",
        ),
        (
            Provider::auth0("https://contoso.eu.auth0.com/"),
            "https://contoso.eu.auth0.com/",
            "https://login.contoso.example/",
        ),
        (Provider::google(), "https://accounts.google.com", "https://google.example"),
        // At Entra the host is the address, whatever stands behind it.
        (Provider::entra(&b2c), &b2c, &format!("https://login.contoso.example/{TENANT}/v2.0/")),
        (Provider::entra(&entra), &entra, &format!("https://login.contoso.example/{TENANT}/v2.0")),
    ] {
        let alone = provider.unwrap();
        let provider = alone.clone().also_known_as(second).unwrap();
        let json = |iss: &str| {
            token(json!({"iss": iss, "sub": OID, "oid": OID, "tid": TENANT, "sid": "s-1"}))
        };
        let [one, other] = [first, second].map(|iss| live(&provider, &json(iss)));
        assert_eq!(
            (one.account(), one.tenant(), one.session()),
            (other.account(), other.tenant(), other.session()),
            "{first}"
        );
        assert_eq!(one.subject(), other.subject());
        assert_eq!(one.subject(), live(&alone, &json(first)).subject());
        assert_eq!(fails(&alone, &json(second)), ClaimError::WrongIssuer);
        // Letter by letter elsewhere.
        let upper = if second.contains(TENANT) {
            second.replace("https", "http")
        } else {
            second.to_uppercase()
        };
        for odd in [second.replace("://", "://x"), upper, format!("{second}x")] {
            assert_eq!(fails(&provider, &json(&odd)), ClaimError::WrongIssuer, "{odd}");
        }
    }
    for bad in [
        "old.example.com",
        "",
        "ftp://old.example.com",
        "https://old.example.com?x",
        "https://a@old.example.com",
        "https://x#y",
    ] {
        let error = Provider::google().unwrap().also_known_as(bad).unwrap_err();
        assert!(matches!(error, Error::InvalidInput { field: "address", .. }), "{bad}");
    }
    let long = format!("https://old.example.com/{}", "x".repeat(MAX_ID_BYTES));
    assert!(Provider::google().unwrap().also_known_as(&long).is_err());
}

#[test]
fn keycloak() {
    let iss = "https://sso.example.com/auth/realms/contoso";
    let provider = Provider::keycloak(iss).unwrap();
    let json = token(
        json!({"jti": "4a8e", "iss": iss, "sub": "f7a1b2c3-0000-4000-8000-000000000001", "typ": "ID", "azp": "web", "acr": "1",
        "sid": "5b2f1c6e-0000-4000-8000-000000000009", "auth_time": 1_799_990_000, "email_verified": true, "email": "jane@example.com",
        "preferred_username": "jane", "at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng"}),
    );
    let live = live(&provider, &json);
    assert_eq!((live.tenant().as_str(), live.session().is_some()), ("contoso", true));
    assert_eq!(
        *live.account(),
        AccountId::of_subject(subject(iss, "f7a1b2c3-0000-4000-8000-000000000001"))
    );
    // The same user id in another realm is another account.
    let other = "https://sso.example.com/auth/realms/fabrikam";
    assert_eq!(fails(&provider, &with(json, "iss", json!(other))), ClaimError::WrongIssuer);
}

#[test]
fn okta() {
    let [org, server] = ["https://contoso.okta.com", "https://contoso.okta.com/oauth2/default"];
    let json = |iss| {
        token(
            json!({"iss": iss, "sub": "00uid4BxXw6I6TV4m0g3", "ver": 1, "jti": "ID.4eAWJOCMB3SX8XewDfVR", "amr": ["pwd"], "idp": "00ok1u7AsAkrwdZL3z0g3",
            "preferred_username": "jane@example.com", "auth_time": 1_799_990_000, "at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng"}),
        )
    };
    let [a, b] = [org, server].map(|iss| live(&Provider::okta(iss).unwrap(), &json(iss)));
    assert_eq!(*a.account(), AccountId::new("contoso.okta.com", "00uid4BxXw6I6TV4m0g3").unwrap());
    assert_eq!((a.account(), a.tenant().as_str()), (b.account(), "contoso.okta.com"));
    assert_eq!(
        (a.subject(), b.subject()),
        (
            Some(&subject(org, "00uid4BxXw6I6TV4m0g3")),
            Some(&subject(server, "00uid4BxXw6I6TV4m0g3"))
        )
    );
    assert_eq!(fails(&Provider::okta(org).unwrap(), &json(server)), ClaimError::WrongIssuer);
}

#[test]
fn auth0() {
    let iss = "https://contoso.eu.auth0.com/";
    let provider = Provider::auth0(iss).unwrap();
    let json = token(
        json!({"iss": iss, "sub": "google-oauth2|103547991597142817347", "sid": "jLOGYnVUTwm4gL8Gkh6-_0bSjRpbEPKQ", "nickname": "jane",
        "email": "jane@example.com", "email_verified": true, "updated_at": "2026-11-20T10:00:00.000Z", "org_id": "org_9ybsU1dN2dKfDkBi"}),
    );
    // The crate reads `updated_at` as seconds only; Auth0 writes a text.
    let json = with(json, "updated_at", Value::Null);
    let of_org = live(&provider, &json);
    let alone = live(&provider, &with(json, "org_id", Value::Null));
    assert_eq!(
        (of_org.tenant().as_str(), alone.tenant().as_str()),
        ("org_9ybsU1dN2dKfDkBi", "contoso.eu.auth0.com")
    );
    assert_eq!(of_org.account(), alone.account());
    assert!(of_org.session().is_some());
}

#[test]
fn google() {
    let provider = Provider::google().unwrap();
    let json = token(
        json!({"iss": "https://accounts.google.com", "azp": "1234987819200.apps.googleusercontent.com", "sub": "10769150350006150715113082367",
        "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q", "hd": "example.com", "email": "jsmith@example.com", "email_verified": true}),
    );
    let live_one = live(&provider, &json);
    assert_eq!((live_one.tenant().as_str(), live_one.session()), ("example.com", None));
    let personal = live(&provider, &with(json, "hd", Value::Null));
    assert_eq!(
        (personal.tenant().as_str(), personal.account()),
        ("accounts.google.com", live_one.account())
    );
}

#[test]
fn issuers_of_another_form_are_refused_at_start() {
    let bad = [
        Provider::generic("login.example.com"),
        Provider::generic("http://login.example.com"),
        Provider::generic("https://login.example.com?x=1"),
        Provider::generic("https://user@login.example.com"),
        Provider::keycloak("https://sso.example.com/auth"),
        Provider::keycloak("https://sso.example.com/realms/"),
        Provider::entra("https://login.microsoftonline.com/contoso.onmicrosoft.com/v2.0"),
        Provider::entra("https://login.microsoftonline.com/"),
        Provider::entra(&format!(
            "https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/authorize"
        )),
        Provider::okta("contoso.okta.com"),
    ];
    for provider in bad {
        assert!(matches!(provider.unwrap_err(), Error::InvalidInput { field: "issuer", .. }));
    }
    assert!(
        Provider::generic("http://localhost:8080").is_ok()
            && Provider::generic("http://127.0.0.1:1").is_ok()
    );
}

#[test]
fn no_error_or_debug_shows_a_claim() {
    let (provider, json) = generic();
    let json = with(json, "sid", json!("x".repeat(2000) + "needle"));
    let error = fails(&provider, &json);
    let shown = format!(
        "{error} {error:?} {:?} {:?}",
        claims(&json).additional_claims(),
        client_info("needle", "needle")
    );
    assert!(!shown.contains("needle") && shown.contains("sid"), "{shown}");
}
