//! Signatures: each algorithm, its own keys, and nothing else that looks like one.

use base64ct::{Base64UrlUnpadded, Encoding};
use oubliette::logout::{Algorithm, KeySet, Rejected};
use oubliette_testkit::accounts::now;
use oubliette_testkit::provider::{SigningProvider, is_about};
use oubliette_testkit::signer::Signer;
use serde_json::{Value, json};

const ALL: [Algorithm; 5] =
    [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];

/// A good token with other bytes as its signature.
fn resigned(token: &str, signature: &[u8]) -> String {
    let (input, _) = token.rsplit_once('.').unwrap();
    format!("{input}.{}", Base64UrlUnpadded::encode_string(signature))
}

fn signature(token: &str) -> Vec<u8> {
    Base64UrlUnpadded::decode_vec(token.rsplit_once('.').unwrap().1).unwrap()
}

fn keys(list: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": list }).to_string().as_bytes()).unwrap()
}

#[test]
fn each_algorithm_verifies() {
    for algorithm in ALL {
        let stub = SigningProvider::new(algorithm);
        let token = stub.accepts(&stub.claims());
        assert_eq!(token.session().unwrap().sid(), "session-1", "{algorithm:?}");
    }
}

#[test]
fn a_forged_signature() {
    for algorithm in ALL {
        let stub = SigningProvider::new(algorithm);
        let token = stub.token(&stub.claims());
        let good = signature(&token);
        let mut forged = Vec::new();
        for bit in [0, good.len() * 4, good.len() * 8 - 1] {
            let mut other = good.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            forged.push(other);
        }
        // Other lengths: shorter, longer, with zeros in front, in DER's form of ECDSA, none at all.
        forged.push(good[1..].to_vec());
        forged.push(good[..good.len() - 1].to_vec());
        forged.push([good.as_slice(), &[0]].concat());
        forged.push([&[0], good.as_slice()].concat());
        forged.push([&[0x30, 0x44, 2, 0x20], &good[..32], &[2, 0x20], &good[32..]].concat());
        forged.push(vec![0; good.len()]);
        forged.push(vec![0xff; good.len()]);
        forged.push(Vec::new());
        for signature in forged {
            let rejected = stub.verify(&resigned(&token, &signature)).unwrap_err();
            assert_eq!(rejected, Rejected::BadSignature, "{algorithm:?} {} bytes", signature.len());
        }
    }
}

#[test]
fn a_signature_of_something_else() {
    for algorithm in ALL {
        let stub = SigningProvider::new(algorithm);
        let good = signature(&stub.token(&stub.claims()));
        let other = stub.token(&stub.claims().with("sub", "john"));
        assert_eq!(
            stub.verify(&resigned(&other, &good)).unwrap_err(),
            Rejected::BadSignature,
            "{algorithm:?}"
        );
        // Under another header, too.
        let mut header = stub.header();
        header["typ"] = "JWT".into();
        let other = stub.sign(&header, &stub.claims());
        assert_eq!(
            stub.verify(&resigned(&other, &good)).unwrap_err(),
            Rejected::BadSignature,
            "{algorithm:?}"
        );
    }
}

#[test]
fn a_key_of_the_same_name_of_somebody_else() {
    for algorithm in ALL {
        let stub = SigningProvider::new(algorithm);
        let forger =
            SigningProvider { signer: Signer::other(algorithm), ..SigningProvider::new(algorithm) };
        assert_eq!(
            stub.verify(&forger.token(&stub.claims())).unwrap_err(),
            Rejected::BadSignature,
            "{algorithm:?}"
        );
    }
}

#[test]
fn a_symmetric_key_made_of_the_public_one() {
    // The confusion of algorithms: whoever knows the public key can make an HMAC with it. There is
    // no such algorithm here.
    let stub = SigningProvider::new(Algorithm::Rs256);
    for alg in ["HS256", "HS384", "HS512"] {
        let mut header = stub.header();
        header["alg"] = alg.into();
        let token = stub.sign(&header, &stub.claims());
        assert_eq!(stub.verify(&token).unwrap_err(), Rejected::WrongAlgorithm);
    }
}

#[test]
fn another_algorithm_of_the_same_key() {
    // One RSA key, both paddings allowed: it serves the first alone, unless it says which.
    for (first, second) in
        [(Algorithm::Rs256, Algorithm::Ps256), (Algorithm::Ps256, Algorithm::Rs256)]
    {
        let (stub, other) = (SigningProvider::new(first), SigningProvider::new(second));
        let mut jwk = stub.signer.jwk();
        jwk["kid"] = "one".into();
        let token = |stub: &SigningProvider| {
            let mut header = stub.header();
            header["kid"] = "one".into();
            stub.sign(&header, &stub.claims())
        };
        let issuer = stub.issuer().algorithms([first, second]);
        let verify = |jwk: &Value, token: &str| {
            issuer.verify(token, &keys(std::slice::from_ref(jwk)), now()).map(|_| ())
        };
        assert_eq!(verify(&jwk, &token(&stub)), Ok(()));
        assert_eq!(verify(&jwk, &token(&other)), Err(Rejected::UnknownKey));
        jwk["alg"] = other.header()["alg"].clone();
        assert_eq!(verify(&jwk, &token(&stub)), Err(Rejected::UnknownKey));
        assert_eq!(verify(&jwk, &token(&other)), Ok(()));
    }
}

#[test]
fn the_header_names_an_algorithm_that_the_signature_is_not_of() {
    let stub = SigningProvider::new(Algorithm::Rs256);
    let mut header = stub.header();
    header["alg"] = "PS256".into();
    let token = stub.sign(&header, &stub.claims());
    let issuer = stub.issuer().algorithms([Algorithm::Ps256]);
    assert_eq!(stub.verify_by(&issuer, &token).unwrap_err(), Rejected::BadSignature);
}

#[test]
fn ed25519_by_its_newer_name() {
    let stub = SigningProvider::new(Algorithm::EdDsa);
    let mut header = stub.header();
    header["alg"] = "Ed25519".into();
    let token = stub.sign(&header, &stub.claims());
    assert!(stub.verify(&token).is_ok());
    let mut jwk = stub.signer.jwk();
    jwk["alg"] = "Ed25519".into();
    assert!(stub.issuer().verify(&token, &keys(&[jwk]), now()).is_ok());
}

#[test]
fn encrypted() {
    // Five parts (RFC 7516 §7.1).
    assert_eq!(
        SigningProvider::new(Algorithm::Rs256)
            .verify("eyJlbmMiOiJBMTI4R0NNIn0.a2V5.aXY.Y2lwaGVy.dGFn")
            .unwrap_err(),
        Rejected::Encrypted
    );
}

#[test]
fn crit() {
    let stub = SigningProvider::new(Algorithm::Es256);
    for (name, value) in
        [("crit", json!(["exp"])), ("crit", json!([])), ("b64", json!(false)), ("b64", json!(true))]
    {
        let mut header = stub.header();
        header[name] = value;
        assert!(
            matches!(stub.verify(&stub.sign(&header, &stub.claims())), Err(Rejected::Malformed(_))),
            "{name}"
        );
    }
}

#[test]
fn a_key_in_the_token_is_not_used() {
    // The forger's own, by value and by address (RFC 7515 §4.1.2 to §4.1.6).
    let stub = SigningProvider::new(Algorithm::Es256);
    let forger = SigningProvider {
        signer: Signer::other(Algorithm::Es256),
        ..SigningProvider::new(Algorithm::Es256)
    };
    let mut header = forger.header();
    header["jwk"] = forger.signer.jwk();
    header["jku"] = "https://evil.example/keys".into();
    header["x5u"] = "https://evil.example/certificate".into();
    header["x5c"] = json!(["MIIB"]);
    assert_eq!(
        stub.verify(&forger.sign(&header, &stub.claims())).unwrap_err(),
        Rejected::BadSignature
    );
    header["kid"] = "theirs".into();
    assert_eq!(
        stub.verify(&forger.sign(&header, &stub.claims())).unwrap_err(),
        Rejected::UnknownKey
    );
    // A genuine token with such members is as good as without.
    header["kid"] = stub.signer.kid.clone().into();
    assert!(stub.verify(&stub.sign(&header, &stub.claims())).is_ok());
}

#[test]
fn types() {
    let stub = SigningProvider::new(Algorithm::EdDsa);
    let strict = stub.issuer().require_type();
    let token = |typ: Option<&str>| {
        let mut header = stub.header();
        match typ {
            Some(typ) => header["typ"] = typ.into(),
            None => drop(header.as_object_mut().unwrap().remove("typ")),
        }
        stub.sign(&header, &stub.claims())
    };
    for typ in [Some("logout+jwt"), Some("application/logout+jwt"), Some("Logout+JWT")] {
        assert!(
            stub.verify(&token(typ)).is_ok() && stub.verify_by(&strict, &token(typ)).is_ok(),
            "{typ:?}"
        );
    }
    for typ in [Some("JWT"), Some("jwt"), Some("at+jwt"), None] {
        assert!(stub.verify(&token(typ)).is_ok(), "{typ:?}");
        assert_eq!(
            stub.verify_by(&strict, &token(typ)).unwrap_err(),
            Rejected::WrongType,
            "{typ:?}"
        );
    }
    for typ in [Some("secevent+jwt"), Some("command+jwt"), Some("dpop+jwt"), Some("")] {
        assert_eq!(stub.verify(&token(typ)).unwrap_err(), Rejected::WrongType, "{typ:?}");
    }
}

#[test]
fn everything_else_is_judged_before_the_signature() {
    // So that nobody makes us fetch keys for a token that is wrong anyway.
    let stub = SigningProvider::new(Algorithm::Rs256);
    let forge = |token: String| resigned(&token, b"no signature");
    let refused = |token: String| stub.verify(&forge(token)).unwrap_err();
    assert_eq!(
        refused(stub.token(&stub.claims().with("iss", "https://evil.example"))),
        Rejected::UnknownIssuer
    );
    assert_eq!(refused(stub.token(&stub.claims().with("aud", "other"))), Rejected::WrongAudience);
    assert_eq!(refused(stub.token(&stub.claims().with("exp", 1))), Rejected::Expired);
    assert!(is_about(refused(stub.token(&stub.claims().without("events"))), "events"));
    assert!(is_about(refused(stub.token(&stub.claims().with("nonce", "n"))), "nonce"));
    assert_eq!(refused(stub.token(&stub.claims())), Rejected::BadSignature);
}
