//! What a logout token must and must not say, beyond the conformance suite.

use std::time::Duration;

use oubliette::logout::{Algorithm, Rejected};
use oubliette::*;
use oubliette_testkit::provider::{
    Claims, EVENT, ISSUER, NOW, SigningProvider, at, is_about, seconds,
};
use serde_json::{Value, json};

fn stub() -> SigningProvider {
    SigningProvider::new(Algorithm::EdDsa)
}

fn claims() -> Claims {
    stub().claims()
}

#[test]
fn sub_only() {
    let token = stub().accepts(&claims().without("sid"));
    assert_eq!(
        (token.session(), token.subject()),
        (None, Some(&Subject::new(ISSUER, "jane").unwrap()))
    );
}

#[test]
fn sid_only() {
    let token = stub().accepts(&claims().without("sub"));
    assert_eq!(
        (token.session(), token.subject()),
        (Some(&SessionId::new(ISSUER, "session-1").unwrap()), None)
    );
}

#[test]
fn neither_sub_nor_sid() {
    assert!(is_about(stub().refuses(&claims().without("sub").without("sid")), "sub"));
    assert!(is_about(stub().refuses(&claims().with("sub", "").with("sid", Value::Null)), "sub"));
}

#[test]
fn sub_or_sid_of_another_type() {
    for wrong in [json!(7), json!(["jane"]), json!({"sub": "jane"}), json!(true)] {
        assert!(is_about(stub().refuses(&claims().with("sub", wrong.clone())), "sub"));
        assert!(is_about(stub().refuses(&claims().with("sid", wrong)), "sid"));
    }
}

#[test]
fn a_name_that_nobody_can_have_does_not_spoil_the_other() {
    for long in ["x".repeat(MAX_ID_BYTES + 1), "line\nbreak".into()] {
        let token = stub().accepts(&claims().with("sid", long.clone()));
        assert!(token.session().is_none() && token.subject().is_some());
        let token = stub().accepts(&claims().with("sub", long.clone()));
        assert!(token.session().is_some() && token.subject().is_none());
        assert!(is_about(
            stub().refuses(&claims().with("sub", long.clone()).with("sid", long)),
            "sub"
        ));
    }
}

#[test]
fn missing_exp() {
    assert!(is_about(stub().refuses(&claims().without("exp")), "exp"));
    assert!(is_about(stub().refuses(&claims().with("exp", Value::Null)), "exp"));
}

#[test]
fn missing_iat() {
    assert!(is_about(stub().refuses(&claims().without("iat")), "iat"));
}

#[test]
fn missing_jti() {
    // The sender owes it, but nothing here goes by it: no reason to keep tokens.
    stub().accepts(&claims().without("jti"));
}

#[test]
fn exp_past() {
    // To the skew, and not beyond.
    stub().accepts(&claims().with("exp", NOW - 59));
    assert_eq!(stub().refuses(&claims().with("exp", NOW - 60)), Rejected::Expired);
    assert_eq!(stub().refuses(&claims().with("exp", 0)), Rejected::Expired);
}

#[test]
fn iat_future() {
    // Our clock may be behind, but not by more than the skew and ten minutes.
    stub().accepts(&claims().with("iat", NOW + 660).with("exp", NOW + 780));
    assert_eq!(
        stub().refuses(&claims().with("iat", NOW + 661).with("exp", NOW + 780)),
        Rejected::NotYetValid
    );
}

#[test]
fn nbf_future() {
    stub().accepts(&claims().with("nbf", NOW + 60));
    assert_eq!(stub().refuses(&claims().with("nbf", NOW + 61)), Rejected::NotYetValid);
}

#[test]
fn an_old_token_that_has_not_expired() {
    stub().accepts(&claims().with("iat", NOW - 86_400));
}

#[test]
fn times_of_another_type() {
    for claim in ["iat", "exp", "nbf"] {
        for wrong in [json!("1800000000"), json!([NOW]), json!(true), json!(-1), json!(-1e300)] {
            assert!(
                is_about(stub().refuses(&claims().with(claim, wrong.clone())), claim),
                "{claim} {wrong}"
            );
        }
    }
}

#[test]
fn times_with_fractions_and_at_the_end_of_time() {
    let token =
        stub().accepts(&claims().with("iat", 1_799_999_999.5).with("exp", 1_800_000_060.25));
    assert_eq!(token.issued_at(), at(1_799_999_999) + Duration::from_millis(500));
    for late in [json!(1e18), json!(u64::MAX), json!(1e300)] {
        stub().accepts(&claims().with("exp", late.clone()));
        assert_eq!(stub().refuses(&claims().with("iat", late.clone())), Rejected::NotYetValid);
        assert_eq!(stub().refuses(&claims().with("nbf", late)), Rejected::NotYetValid);
    }
}

#[test]
fn without_exp_a_token_has_an_age() {
    let lenient = stub().issuer().without_expiry_for(seconds(300));
    let verify = |claims: &Claims| stub().verify_by(&lenient, &stub().token(claims));
    verify(&claims().without("exp").with("iat", NOW - 359)).unwrap();
    assert_eq!(
        verify(&claims().without("exp").with("iat", NOW - 360)).unwrap_err(),
        Rejected::Expired
    );
    // One that is there counts, and nothing else.
    assert_eq!(verify(&claims().with("exp", NOW - 60)).unwrap_err(), Rejected::Expired);
    verify(&claims().with("iat", NOW - 86_400)).unwrap();
}

#[test]
fn aud_array() {
    for aud in [json!(["web"]), json!(["other", "web"]), json!(["web", "web"])] {
        stub().accepts(&claims().with("aud", aud));
    }
    for aud in [json!([]), json!(["other"]), json!("web2"), json!("we"), json!("WEB"), json!("")] {
        assert_eq!(
            stub().refuses(&claims().with("aud", aud.clone())),
            Rejected::WrongAudience,
            "{aud}"
        );
    }
    for aud in [json!(7), json!({"web": 1}), json!(["web", 7]), json!([["web"]]), Value::Null] {
        assert!(is_about(stub().refuses(&claims().with("aud", aud)), "aud"));
    }
    assert!(is_about(stub().refuses(&claims().without("aud")), "aud"));
}

#[test]
fn iss_array() {
    assert!(is_about(stub().refuses(&claims().with("iss", json!([ISSUER]))), "iss"));
    assert!(is_about(stub().refuses(&claims().without("iss")), "iss"));
    for iss in [
        "https://login.example.com/",
        "https://LOGIN.example.com",
        "http://login.example.com",
        "login.example.com",
    ] {
        assert_eq!(stub().refuses(&claims().with("iss", iss)), Rejected::UnknownIssuer, "{iss}");
    }
}

#[test]
fn events_of_another_form() {
    for events in [
        json!([EVENT]),
        json!(EVENT),
        json!({}),
        json!({EVENT: true}),
        json!({EVENT: null}),
        json!({EVENT: []}),
        json!(null),
    ] {
        assert!(
            is_about(stub().refuses(&claims().with("events", events.clone())), "events"),
            "{events}"
        );
    }
}

#[test]
fn keycloaks_revoke_offline_access() {
    let events =
        |value: Value| claims().with("events", json!({EVENT: {}, "revoke_offline_access": value}));
    assert!(stub().accepts(&events(json!(true))).revokes_offline_access());
    for no in [json!(false), json!("true"), json!({}), Value::Null] {
        assert!(!stub().accepts(&events(no)).revokes_offline_access());
    }
    assert!(!stub().accepts(&claims()).revokes_offline_access());
}

#[test]
fn an_id_token_is_no_logout_token() {
    let id_token = claims().without("events").with("nonce", "n").with("auth_time", NOW);
    let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": stub().signer.kid});
    assert!(stub().verify(&stub().sign(&header, &id_token)).is_err());
    // Nor without a nonce, as a refresh gives it.
    let id_token = claims().without("events");
    assert!(is_about(stub().verify(&stub().sign(&header, &id_token)).unwrap_err(), "events"));
}

#[test]
fn a_security_event_token_is_no_logout_token() {
    let mut header = stub().header();
    header["typ"] = "secevent+jwt".into();
    assert_eq!(stub().verify(&stub().sign(&header, &claims())).unwrap_err(), Rejected::WrongType);
}

#[test]
fn a_name_twice() {
    let good = claims().json().to_string();
    for twice in [
        r#""iss":"https://login.example.com","#,
        r#""sid":"other","#,
        r#""s\u0069d":"other","#,
        r#""unknown":1,"#,
    ] {
        let payload = good.replacen('{', &format!("{{{twice}"), 1);
        let token =
            stub().signer.sign_bytes(stub().header().to_string().as_bytes(), payload.as_bytes());
        assert!(matches!(stub().verify(&token), Err(Rejected::Malformed(_))), "{twice}");
    }
    let twice =
        good.replace(&format!("\"{EVENT}\":{{}}"), &format!("\"{EVENT}\":{{}},\"{EVENT}\":{{}}"));
    assert_ne!(twice, good);
    let token = stub().signer.sign_bytes(stub().header().to_string().as_bytes(), twice.as_bytes());
    assert!(is_about(stub().verify(&token).unwrap_err(), "events"));
    let header = r#"{"alg":"EdDSA","alg":"none","typ":"logout+jwt"}"#;
    let token = stub().signer.sign_bytes(header.as_bytes(), good.as_bytes());
    assert!(matches!(stub().verify(&token), Err(Rejected::Malformed(_))));
}

#[test]
fn a_payload_that_is_no_object() {
    let deep = "[".repeat(9000);
    for payload in ["", "[]", "null", "{", "{}x", "\u{feff}{}", deep.as_str()] {
        let token =
            stub().signer.sign_bytes(stub().header().to_string().as_bytes(), payload.as_bytes());
        assert!(matches!(stub().verify(&token), Err(Rejected::Malformed(_))), "{}", payload.len());
    }
    // Depth where something is read, and where nothing is.
    let deep = format!("{}{}", "[".repeat(4000), "]".repeat(4000));
    for (name, is_read) in [("aud", true), ("events", true), ("unknown", false)] {
        let payload = claims().without("unknown").json().to_string();
        let payload = payload.replacen(&format!("\"{name}\":"), "\"ignored\":", 1).replacen(
            '{',
            &format!("{{\"{name}\":{deep},"),
            1,
        );
        let token =
            stub().signer.sign_bytes(stub().header().to_string().as_bytes(), payload.as_bytes());
        assert_eq!(stub().verify(&token).is_err(), is_read, "{name}");
    }
}

#[test]
fn oversized() {
    let token = stub().token(&claims().with("unknown", "x".repeat(13_000)));
    assert!(token.len() > 16 * 1024);
    assert!(matches!(stub().verify(&token), Err(Rejected::Malformed(_))));
    stub().accepts(&claims().with("unknown", "x".repeat(11_000)));
}

#[test]
fn what_is_refused_says_no_value_and_what_is_taken_prints_none() {
    let needle = "n33dle";
    let refused = [
        claims().with("iss", needle),
        claims().with("aud", needle),
        claims().with("events", json!({needle: {}})),
        claims().with("iat", needle),
        claims().with("nonce", needle),
        claims().with("sub", json!([needle])),
    ];
    for claims in refused {
        let rejected = stub().refuses(&claims);
        let text = format!("{rejected} {rejected:?}");
        assert!(!text.contains(needle), "{text}");
        // As RFC 6749 §5.2 has the characters of an error_description.
        let is_plain = |c: char| matches!(c, ' '..='!' | '#'..='[' | ']'..='~');
        assert!(rejected.to_string().chars().all(is_plain), "{rejected}");
    }
    let token = stub().accepts(&claims().with("sub", needle).with("sid", needle));
    assert_eq!(format!("{token:?}"), "LogoutToken(..)");
    let sign_out = format!("{:?}", token.sign_out(SessionPolicy::WholeAccount));
    assert!(!sign_out.contains(needle), "{sign_out}");
}
