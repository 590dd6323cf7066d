//! Entra ID: one set of keys for a whole cloud, whose keys say whose tokens they sign.

use oubliette::logout::{Algorithm, KeySet, Rejected};
use oubliette::openid::Provider;
use oubliette::*;
use oubliette_testkit::accounts::now;
use oubliette_testkit::provider::{Claims, SigningProvider, is_about};
use serde_json::{Value, json};

const GUID: &str = "aaaaaaaa-0000-4000-8000-00000000000a";
const OTHER: &str = "bbbbbbbb-0000-4000-8000-00000000000b";
const CLOUD: &str = "https://login.microsoftonline.com";

fn entra(tenant: &str) -> SigningProvider {
    let provider = Provider::entra(&format!("{CLOUD}/{tenant}/v2.0")).unwrap();
    SigningProvider::at(Algorithm::Rs256, provider, &format!("{CLOUD}/{GUID}/v2.0"))
}

fn claims(stub: &SigningProvider) -> Claims {
    stub.claims().with("tid", GUID)
}

/// With a key that says so of its issuer.
fn verify(
    stub: &SigningProvider,
    key_issuer: Option<&str>,
    claims: &Claims,
) -> Result<(), Rejected> {
    let mut jwk = stub.signer.jwk();
    if let Some(issuer) = key_issuer {
        jwk["issuer"] = issuer.into();
    }
    let keys = KeySet::parse(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
    stub.issuer().verify(&stub.token(claims), &keys, now()).map(|_| ())
}

#[test]
fn a_key_of_all_tenants() {
    let template = format!("{CLOUD}/{{tenantid}}/v2.0");
    for tenant in ["common", "organizations", GUID] {
        let stub = entra(tenant);
        assert_eq!(verify(&stub, Some(&template), &claims(&stub)), Ok(()));
        assert_eq!(verify(&stub, None, &claims(&stub)), Ok(()));
        // The older endpoint's tokens are signed with the same keys.
        let older = claims(&stub).with("iss", format!("https://sts.windows.net/{GUID}/"));
        assert_eq!(verify(&stub, Some(&template), &older), Ok(()));
    }
}

#[test]
fn a_key_of_one_tenant() {
    let stub = entra("common");
    assert_eq!(verify(&stub, Some(&format!("{CLOUD}/{GUID}/v2.0")), &claims(&stub)), Ok(()));
    for issuer in [
        format!("{CLOUD}/{OTHER}/v2.0"),
        format!("{CLOUD}/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"),
        "https://login.microsoftonline.us/{tenantid}/v2.0".into(),
    ] {
        assert_eq!(
            verify(&stub, Some(&issuer), &claims(&stub)),
            Err(Rejected::UnknownKey),
            "{issuer}"
        );
    }
}

#[test]
fn a_token_without_tid() {
    let (common, one) = (entra("common"), entra(GUID));
    assert!(is_about(verify(&common, None, &common.claims()).unwrap_err(), "tid"));
    // Of one tenant the issuer tells it, but a key with a template wants it.
    assert_eq!(verify(&one, None, &one.claims()), Ok(()));
    assert_eq!(
        verify(&one, Some(&format!("{CLOUD}/{{tenantid}}/v2.0")), &one.claims()),
        Err(Rejected::UnknownKey)
    );
}

#[test]
fn tid_and_iss_say_the_same() {
    for tenant in ["common", GUID] {
        let stub = entra(tenant);
        for (tid, iss) in [
            (json!(OTHER), format!("{CLOUD}/{GUID}/v2.0")),
            (json!(GUID), format!("{CLOUD}/{OTHER}/v2.0")),
            (json!(GUID), format!("{CLOUD}/{{tenantid}}/v2.0")),
            (json!(GUID), format!("{CLOUD}/common/v2.0")),
            (json!(GUID), format!("https://login.microsoftonline.us/{GUID}/v2.0")),
            (json!(GUID), format!("https://evil.example/{GUID}/v2.0")),
        ] {
            let claims = stub.claims().with("tid", tid).with("iss", iss);
            assert_eq!(verify(&stub, None, &claims), Err(Rejected::UnknownIssuer));
        }
        assert!(is_about(verify(&stub, None, &stub.claims().with("tid", 7)).unwrap_err(), "tid"));
        assert_eq!(verify(&stub, None, &stub.claims().with("tid", GUID.to_uppercase())), Ok(()));
    }
    // A tenant that is not ours.
    let stub = entra(GUID);
    let other = stub.claims().with("tid", OTHER).with("iss", format!("{CLOUD}/{OTHER}/v2.0"));
    assert_eq!(verify(&stub, None, &other), Err(Rejected::UnknownIssuer));
    let personal = "9188040d-6c67-4c5b-b112-36a304b66dad";
    let stub = entra("organizations");
    let other = stub.claims().with("tid", personal).with("iss", format!("{CLOUD}/{personal}/v2.0"));
    assert_eq!(verify(&stub, None, &other), Err(Rejected::UnknownIssuer));
}

#[test]
fn a_key_of_an_external_tenant() {
    let iss = format!("https://{GUID}.ciamlogin.com/{GUID}/v2.0");
    for authority in [iss.clone(), format!("https://contoso.ciamlogin.com/{GUID}/v2.0")] {
        let stub =
            SigningProvider::at(Algorithm::Rs256, Provider::entra(&authority).unwrap(), &iss);
        for issuer in [&iss, &authority, &format!("{CLOUD}/{{tenantid}}/v2.0")] {
            assert_eq!(verify(&stub, Some(issuer), &claims(&stub)), Ok(()), "{authority} {issuer}");
        }
        assert_eq!(
            verify(&stub, Some(&iss.replace(GUID, OTHER)), &claims(&stub)),
            Err(Rejected::UnknownKey)
        );
        assert_eq!(
            verify(&stub, None, &claims(&stub).with("tid", OTHER)),
            Err(Rejected::UnknownIssuer)
        );
    }
}

#[test]
fn a_member_of_that_name_elsewhere_means_nothing() {
    let stub = SigningProvider::new(Algorithm::Rs256);
    for issuer in ["CN=Some CA", "https://other.example.com"] {
        assert_eq!(verify(&stub, Some(issuer), &stub.claims()), Ok(()));
    }
}

#[test]
fn a_token_ends_the_session_of_the_cloud() {
    let stub = entra("organizations");
    let token = stub.accepts(&claims(&stub).without("sub"));
    assert_eq!(token.session(), Some(&SessionId::new(CLOUD, "session-1").unwrap()));
    // Sign-ins of both versions of the endpoint, and those that an app made by hand.
    let store = Machine::new().builder().clock(ManualClock::new(now())).open().unwrap();
    let by_hand = |number: u32, issuer: &str| {
        let sign_in = oubliette_testkit::accounts::sign_in(number)
            .session(SessionId::new(issuer, "session-1").unwrap());
        store.sign_in(sign_in.signed_in_at(now())).unwrap()
    };
    let lives = [
        by_hand(1, CLOUD),
        by_hand(2, &format!("{CLOUD}/{GUID}/v2.0")),
        by_hand(3, &format!("https://sts.windows.net/{GUID}/")),
    ];
    let others = [
        by_hand(4, &format!("{CLOUD}/{OTHER}/v2.0")),
        by_hand(5, "https://login.microsoftonline.us"),
    ];
    store.sign_out(token.sign_out(SessionPolicy::OnlySession)).unwrap();
    for live in &lives {
        assert!(!live.is_live().unwrap());
    }
    for live in &others {
        assert!(live.is_live().unwrap());
    }
}

#[test]
fn a_sign_in_that_was_imported_from_msal_is_found_by_the_clouds_session() {
    use base64ct::{Base64UrlUnpadded, Encoding};
    let stub = entra(GUID);
    let jwt = |claims: Value| {
        let part = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
        format!("{}.{}.", part(&json!({"alg": "none"})), part(&claims))
    };
    for iss in [format!("{CLOUD}/{GUID}/v2.0"), format!("https://sts.windows.net/{GUID}/")] {
        let id_token = jwt(
            json!({"iss": iss, "sub": "jane", "sid": "session-1", "tid": GUID, "iat": 1_799_999_000}),
        );
        let home = format!("{OTHER}.{GUID}");
        let cache = json!({
            "IdToken": {"i": {"home_account_id": home, "environment": "login.windows.net", "client_id": "web", "realm": GUID, "secret": id_token}},
            "RefreshToken": {"r": {"home_account_id": home, "environment": "login.windows.net", "client_id": "web", "secret": "rt"}},
            "Account": {"a": {"home_account_id": home, "environment": "login.windows.net", "realm": GUID}}
        });
        let cache = msal::MsalCache::read(cache.to_string().as_bytes()).unwrap();
        let store = Machine::new().builder().clock(ManualClock::new(now())).open().unwrap();
        let imported = cache.sign_ins.into_iter().next().unwrap();
        let live = store.sign_in(imported.sign_in).unwrap();
        assert!(live.is_live().unwrap());
        assert_eq!(live.session(), Some(&SessionId::new(CLOUD, "session-1").unwrap()));
        let token = stub.accepts(&claims(&stub).without("sub"));
        store.sign_out(token.sign_out(SessionPolicy::OnlySession)).unwrap();
        assert!(!live.is_live().unwrap());
    }
}
