//! The OpenID conformance suite's tests of receivers of back-channel logout
//! (`oidcc-client-test-rp-backchannel-*`): what they say of the token. What they say of the answer
//! is where the endpoint is tested.

use oubliette::logout::{Algorithm, Rejected};
use oubliette_testkit::provider::{EVENT, SigningProvider, is_about};
use serde_json::json;

fn stub() -> SigningProvider {
    SigningProvider::new(Algorithm::Rs256)
}

#[test]
fn rpinitlogout() {
    let token = stub().accepts(&stub().claims());
    assert_eq!(
        (token.session().unwrap().sid(), token.subject().unwrap().sub()),
        ("session-1", "jane")
    );
}

#[test]
fn alg_none() {
    let header = json!({"alg": "none", "typ": "logout+jwt"});
    let signed = stub().sign(&header, &stub().claims());
    let unsigned = format!("{}.", signed.rsplit_once('.').unwrap().0);
    for token in [signed, unsigned] {
        assert_eq!(stub().verify(&token).unwrap_err(), Rejected::WrongAlgorithm);
    }
    // Nor without an algorithm.
    let token = stub().sign(&json!({"typ": "logout+jwt"}), &stub().claims());
    assert_eq!(stub().verify(&token).unwrap_err(), Rejected::WrongAlgorithm);
}

#[test]
fn wrong_alg() {
    // ES256 where RS256 is configured, and the other way round; with keys of both in the set.
    for (configured, used) in
        [(Algorithm::Rs256, Algorithm::Es256), (Algorithm::Es256, Algorithm::Rs256)]
    {
        let (ours, other) = (SigningProvider::new(configured), SigningProvider::new(used));
        let keys = json!({"keys": [ours.signer.jwk(), other.signer.jwk()]}).to_string();
        let keys = oubliette::logout::KeySet::parse(keys.as_bytes()).unwrap();
        let token = other.token(&other.claims());
        assert_eq!(
            ours.issuer().verify(&token, &keys, oubliette_testkit::accounts::now()).unwrap_err(),
            Rejected::WrongAlgorithm
        );
        assert!(other.issuer().verify(&token, &keys, oubliette_testkit::accounts::now()).is_ok());
    }
}

#[test]
fn wrong_aud() {
    assert_eq!(stub().refuses(&stub().claims().with("aud", "webINVALID")), Rejected::WrongAudience);
}

#[test]
fn wrong_iss() {
    let claims = stub().claims().with("iss", "https://login.example.comINVALID");
    assert_eq!(stub().refuses(&claims), Rejected::UnknownIssuer);
}

#[test]
fn no_event() {
    assert!(is_about(stub().refuses(&stub().claims().without("events")), "events"));
}

#[test]
fn wrong_event() {
    let events = json!({"http://schemas.openid.net/event/foobar": {}});
    assert!(is_about(stub().refuses(&stub().claims().with("events", events)), "events"));
}

#[test]
fn with_nonce() {
    assert!(is_about(stub().refuses(&stub().claims().with("nonce", "n-0S6_WzA2Mj")), "nonce"));
}

#[test]
fn events_of_other_kinds_beside_the_right_one_are_no_harm() {
    let events =
        json!({EVENT: {"more": 1}, "http://schemas.openid.net/event/foobar": {}, "other": "text"});
    stub().accepts(&stub().claims().with("events", events));
}
