//! Issuers as an app sets them up.

use oubliette::logout::{Algorithm, Issuer, Issuers, Rejected};
use oubliette::openid::Provider;
use oubliette::*;
use oubliette_testkit::provider::{NOW, SigningProvider, at, seconds};

fn stub() -> SigningProvider {
    SigningProvider::new(Algorithm::EdDsa)
}

fn at_host(host: &str) -> Issuer {
    let issuer = format!("https://{host}");
    SigningProvider::at(Algorithm::EdDsa, Provider::generic(&issuer).unwrap(), &issuer).issuer()
}

fn is_refused(issuers: impl IntoIterator<Item = Issuer>, field: &str) -> bool {
    matches!(Issuers::new(issuers), Err(Error::InvalidInput { field: found, .. }) if found == field)
}

#[test]
fn a_list_is_not_ambiguous() {
    assert!(Issuers::new([at_host("a.example"), at_host("b.example")]).is_ok());
    assert!(is_refused([], "issuers"));
    assert!(is_refused([at_host("a.example"), at_host("a.example")], "issuers"));
    assert!(is_refused([at_host("a.example"), at_host("a.example").named("a")], "issuers"));
    assert!(is_refused(
        [at_host("a.example").named("a"), at_host("b.example").named("a")],
        "issuers"
    ));
    assert!(
        Issuers::new([
            at_host("a.example").named("a"),
            at_host("b.example").named("b"),
            at_host("c.example")
        ])
        .is_ok()
    );
}

#[test]
fn a_wrong_setting_is_an_error_at_the_start() {
    for name in ["", "a/b", "a b", "ä", "..", ".", "a?b", "a%2e", &"x".repeat(65)] {
        assert!(is_refused([stub().issuer().named(name)], "name"), "{name}");
    }
    for name in ["a", "contoso.example", "a_b-c", &"x".repeat(64)] {
        assert!(Issuers::new([stub().issuer().named(name)]).is_ok(), "{name}");
    }
    assert!(is_refused([stub().issuer().algorithms([])], "algorithms"));
    assert!(is_refused([stub().issuer().skew(seconds(86_401))], "skew"));
    for origin in [
        "login.example.com",
        "http://login.example.com",
        "https://login.example.com/path",
        "https://login.example.com?a",
        "https://user@login.example.com",
        "https://*.example.com",
        "https://a;b.example",
        "https://a,b.example",
        "https://'self'",
        "*",
        "data:",
        "",
    ] {
        assert!(is_refused([stub().issuer().frame_origin(origin)], "frame origin"), "{origin}");
    }
    for origin in [
        "https://login.example.com",
        "https://login.example.com/",
        "https://LOGIN.example.com:8443",
        "http://localhost:3000",
    ] {
        assert!(Issuers::new([stub().issuer().frame_origin(origin)]).is_ok(), "{origin}");
    }
    for url in [
        "/end",
        "http://login.example.com/end",
        "https://login.example.com/end#a",
        "javascript:alert(1)",
        "",
    ] {
        assert!(
            is_refused([stub().issuer().end_session_endpoint(url)], "end-session endpoint"),
            "{url}"
        );
    }
    assert!(
        Issuers::new([stub()
            .issuer()
            .end_session_endpoint("https://login.example.com/end?p=b2c_1")])
        .is_ok()
    );
    // The first mistake is told.
    assert!(is_refused([stub().issuer().named("").algorithms([])], "name"));
}

#[test]
fn several_clients() {
    let issuer = stub().issuer().client(ClientId::new("mobile").unwrap());
    for aud in ["web", "mobile"] {
        let token = stub().token(&stub().claims().with("aud", aud));
        assert!(stub().verify_by(&issuer, &token).is_ok());
    }
    let token = stub().token(&stub().claims().with("aud", "other"));
    assert_eq!(stub().verify_by(&issuer, &token).unwrap_err(), Rejected::WrongAudience);
}

#[test]
fn rs256_unless_it_is_said_otherwise() {
    let stub = SigningProvider::new(Algorithm::Ps256);
    let issuer = Issuer::new(stub.provider(), ClientId::new("web").unwrap(), stub.keys());
    let token = stub.token(&stub.claims());
    assert_eq!(stub.verify_by(&issuer, &token).unwrap_err(), Rejected::WrongAlgorithm);
    assert!(stub.verify_by(&issuer.algorithms([Algorithm::Ps256]), &token).is_ok());
    let stub = SigningProvider::new(Algorithm::Rs256);
    let issuer = Issuer::new(stub.provider(), ClientId::new("web").unwrap(), stub.keys());
    assert!(stub.verify_by(&issuer, &stub.token(&stub.claims())).is_ok());
}

#[test]
fn the_skew_is_settable() {
    let expired = stub().token(&stub().claims().with("exp", NOW - 200));
    let verify = |skew| stub().verify_by(&stub().issuer().skew(seconds(skew)), &expired);
    assert_eq!(verify(200).unwrap_err(), Rejected::Expired);
    assert!(verify(201).is_ok());
    let fresh = stub().token(&stub().claims().with("exp", NOW + 1));
    assert!(stub().verify_by(&stub().issuer().skew(seconds(0)), &fresh).is_ok());
}

#[test]
fn a_clock_before_the_epoch_panics_nobody() {
    let before = std::time::SystemTime::UNIX_EPOCH - seconds(5);
    let token = stub().token(&stub().claims());
    assert_eq!(
        stub().issuer().verify(&token, &stub().key_set(), before).unwrap_err(),
        Rejected::NotYetValid
    );
    assert!(
        stub()
            .issuer()
            .without_expiry_for(std::time::Duration::MAX)
            .verify(&token, &stub().key_set(), at(NOW))
            .is_ok()
    );
}
