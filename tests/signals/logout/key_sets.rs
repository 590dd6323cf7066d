//! JWKS documents: which keys count, and for which tokens.

use base64ct::{Base64UrlUnpadded, Encoding};
use oubliette::logout::{Algorithm, KeySet, KeysError, MAX_KEY_SET_BYTES, Rejected};
use oubliette_testkit::accounts::now;
use oubliette_testkit::provider::SigningProvider;
use oubliette_testkit::signer::Signer;
use serde_json::{Value, json};

fn document(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn keys(list: &[Value]) -> KeySet {
    KeySet::parse(document(list).as_bytes()).unwrap()
}

/// Whether a set of this key alone, and one that is good, keeps it.
fn counts(jwk: &Value) -> bool {
    let good = Signer::new(Algorithm::EdDsa).jwk();
    keys(&[jwk.clone(), good]).len() == 2
}

fn with(jwk: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut jwk = jwk.clone();
    jwk[name] = value.into();
    jwk
}

fn without(jwk: &Value, name: &str) -> Value {
    let mut jwk = jwk.clone();
    jwk.as_object_mut().unwrap().remove(name).unwrap();
    jwk
}

fn verify(stub: &SigningProvider, set: &KeySet, token: &str) -> Result<(), Rejected> {
    stub.issuer().verify(token, set, now()).map(|_| ())
}

#[test]
fn keys_that_cannot_be_used_are_passed_over() {
    let all = [Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];
    for algorithm in all {
        let jwk = Signer::numbered(algorithm, 1).jwk();
        assert!(counts(&jwk), "{algorithm:?}");
        assert!(
            counts(&with(&jwk, "use", "sig"))
                && counts(&with(&jwk, "key_ops", json!(["sign", "verify"])))
        );
        assert!(
            counts(&with(&jwk, "x5c", json!(["MIIB"])))
                && counts(&with(&jwk, "unknown", json!({})))
        );
        // For something else.
        for (name, value) in [
            ("use", json!("enc")),
            ("use", json!("")),
            ("key_ops", json!(["encrypt"])),
            ("key_ops", json!([])),
            ("alg", json!("RSA-OAEP")),
            ("alg", json!("HS256")),
            ("alg", json!("none")),
            ("alg", json!("ES512")),
        ] {
            assert!(!counts(&with(&jwk, name, value.clone())), "{algorithm:?} {name} {value}");
        }
        // Not what it should be.
        for (name, value) in [
            ("kty", json!("oct")),
            ("kty", json!("rsa")),
            ("kty", json!(7)),
            ("use", json!(7)),
            ("kid", json!(7)),
            ("alg", json!([])),
            ("key_ops", json!("verify")),
        ] {
            assert!(!counts(&with(&jwk, name, value.clone())), "{algorithm:?} {name} {value}");
        }
        for name in jwk.as_object().unwrap().keys().filter(|name| *name != "kid") {
            assert!(!counts(&without(&jwk, name)), "{algorithm:?} without {name}");
        }
        assert!(counts(&without(&jwk, "kid")));
    }
    // Of another kind's algorithm.
    assert!(!counts(&with(&Signer::new(Algorithm::Rs256).jwk(), "alg", "ES256")));
    assert!(!counts(&with(&Signer::new(Algorithm::Es256).jwk(), "alg", "ES384")));
    assert!(!counts(&json!({"kty": "oct", "k": "c2VjcmV0", "kid": "s"})));
    for odd in [json!(7), json!([]), json!({}), json!("key"), Value::Null] {
        assert!(!counts(&odd));
    }
}

#[test]
fn rsa_keys_of_other_lengths() {
    let modulus = |bits: usize| {
        let mut n = vec![0xff; bits.div_ceil(8)];
        n[0] = 0xff >> (n.len() * 8 - bits);
        Base64UrlUnpadded::encode_string(&n)
    };
    let jwk = |bits| json!({"kty": "RSA", "n": modulus(bits), "e": "AQAB"});
    for bits in [2048, 2049, 3072, 4096] {
        assert!(counts(&jwk(bits)), "{bits}");
    }
    for bits in [1, 512, 1024, 2047, 4097, 8192, 16384] {
        assert!(!counts(&jwk(bits)), "{bits}");
    }
    // Zeros in front do not make it longer.
    let short = Base64UrlUnpadded::encode_string(&[vec![0; 128], vec![0xff; 128]].concat());
    assert!(!counts(&json!({"kty": "RSA", "n": short, "e": "AQAB"})));
    let padded = Base64UrlUnpadded::encode_string(&[vec![0], vec![0xff; 256]].concat());
    assert!(counts(&json!({"kty": "RSA", "n": padded, "e": "AQAB"})));
    // Exponents with which anybody signs, and even moduli.
    for e in ["AQ", "AA", "", "Ag", "BA", "AQAA"] {
        assert!(!counts(&with(&jwk(2048), "e", e)), "{e}");
    }
    assert!(counts(&with(&jwk(2048), "e", "Aw")));
    let even = Base64UrlUnpadded::encode_string(&[vec![0xff; 255], vec![0xfe]].concat());
    assert!(!counts(&with(&jwk(2048), "n", even)));
}

#[test]
fn coordinates_have_their_length_and_lie_on_the_curve() {
    for (algorithm, len) in [(Algorithm::Es256, 32), (Algorithm::Es384, 48)] {
        let jwk = Signer::new(algorithm).jwk();
        let bytes =
            |name: &str| Base64UrlUnpadded::decode_vec(jwk[name].as_str().unwrap()).unwrap();
        let (x, y) = (bytes("x"), bytes("y"));
        assert_eq!((x.len(), y.len()), (len, len));
        let moved = |x: &[u8], y: &[u8]| {
            let text = Base64UrlUnpadded::encode_string;
            with(&with(&jwk, "x", text(x)), "y", text(y))
        };
        assert!(counts(&moved(&x, &y)));
        // The same bytes together, cut elsewhere; or too few, too many.
        let both = [x.as_slice(), &y].concat();
        assert!(!counts(&moved(&both[..len - 1], &both[len - 1..])) && !counts(&moved(&both, &[])));
        assert!(
            !counts(&moved(&[&[0], x.as_slice()].concat(), &y)) && !counts(&moved(&x[1..], &y))
        );
        // No point of the curve.
        let mut off = y.clone();
        off[len - 1] ^= 1;
        assert!(
            !counts(&moved(&x, &off))
                && !counts(&moved(&vec![0; len], &vec![0; len]))
                && !counts(&moved(&vec![0xff; len], &y))
        );
    }
    let ed = Signer::new(Algorithm::EdDsa).jwk();
    for x in ["", "AA", "c2hvcnQ"] {
        assert!(!counts(&with(&ed, "x", x)));
    }
    for crv in ["X25519", "Ed448", "P-256", ""] {
        assert!(!counts(&with(&ed, "crv", crv)));
    }
    assert!(!counts(&with(&Signer::new(Algorithm::Es256).jwk(), "crv", "secp256k1")));
}

#[test]
fn a_document_that_is_no_key_set() {
    for document in [
        "",
        "[]",
        "{}",
        "null",
        "{\"keys\":{}}",
        "{\"keys\":null}",
        "{\"keys\":[]",
        "<html>",
        "[[]]",
        "{\"keys\":[]}x",
    ] {
        assert_eq!(
            KeySet::parse(document.as_bytes()).unwrap_err(),
            KeysError::NotAKeySet,
            "{document}"
        );
    }
    for document in ["{\"keys\":[]}", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"}]}"] {
        assert_eq!(
            KeySet::parse(document.as_bytes()).unwrap_err(),
            KeysError::NoUsableKeys,
            "{document}"
        );
    }
    let twice = document(&[Signer::new(Algorithm::EdDsa).jwk()]).replacen('{', "{\"keys\":[],", 1);
    assert_eq!(KeySet::parse(twice.as_bytes()).unwrap_err(), KeysError::NotAKeySet);
    // A list is no object without names.
    let list = json!([[Signer::new(Algorithm::EdDsa).jwk()]]).to_string();
    assert_eq!(KeySet::parse(list.as_bytes()).unwrap_err(), KeysError::NotAKeySet);
}

#[test]
fn a_document_is_bounded() {
    let good = document(&[Signer::new(Algorithm::EdDsa).jwk()]);
    let padded = |len: usize| format!("{good}{}", " ".repeat(len - good.len()));
    assert_eq!(KeySet::parse(padded(MAX_KEY_SET_BYTES).as_bytes()).unwrap().len(), 1);
    assert_eq!(
        KeySet::parse(padded(MAX_KEY_SET_BYTES + 1).as_bytes()).unwrap_err(),
        KeysError::TooLarge
    );
    // The first 64 that can be used.
    let jwk = Signer::new(Algorithm::EdDsa).jwk();
    let symmetric = json!({"kty": "oct", "k": "AA"});
    let many: Vec<Value> =
        std::iter::repeat_n(symmetric, 100).chain(std::iter::repeat_n(jwk, 100)).collect();
    assert_eq!(keys(&many).len(), 64);
    assert_eq!(format!("{:?}", keys(&many)), "KeySet(64 keys)");
}

#[test]
fn a_member_twice_makes_a_key_unusable() {
    let jwk = Signer::new(Algorithm::EdDsa).jwk().to_string();
    let other = Signer::new(Algorithm::Es256).jwk();
    let twice = jwk.replacen('{', "{\"x\":\"AA\",", 1);
    assert_eq!(
        KeySet::parse(format!("{{\"keys\":[{twice},{other}]}}").as_bytes()).unwrap().len(),
        1
    );
}

#[test]
fn unknown_kid() {
    let stub = SigningProvider::new(Algorithm::Es256);
    let mut header = stub.header();
    header["kid"] = "newer".into();
    let token = stub.sign(&header, &stub.claims());
    assert_eq!(stub.verify(&token).unwrap_err(), Rejected::UnknownKey);
    // Until a fresher set has it.
    let fresh = keys(&[stub.signer.jwk(), with(&stub.signer.jwk(), "kid", "newer")]);
    assert_eq!(verify(&stub, &fresh, &token), Ok(()));
}

#[test]
fn a_kid_names_several_keys() {
    // Of other kinds, and of the same (RFC 7517 §4.5).
    let stub = SigningProvider::new(Algorithm::Es256);
    let named = |algorithm, number| {
        with(&Signer::numbered(algorithm, number).jwk(), "kid", stub.signer.kid.clone())
    };
    let set = keys(&[
        named(Algorithm::EdDsa, 0),
        named(Algorithm::Es384, 0),
        named(Algorithm::Es256, 1),
        stub.signer.jwk(),
    ]);
    assert_eq!(verify(&stub, &set, &stub.token(&stub.claims())), Ok(()));
    let set = keys(&[named(Algorithm::EdDsa, 0), named(Algorithm::Es384, 0)]);
    assert_eq!(verify(&stub, &set, &stub.token(&stub.claims())), Err(Rejected::UnknownKey));
}

#[test]
fn a_token_without_kid() {
    let stub = SigningProvider::new(Algorithm::Es256);
    let mut header = stub.header();
    header.as_object_mut().unwrap().remove("kid");
    let token = stub.sign(&header, &stub.claims());
    let other = Signer::numbered(Algorithm::Es256, 1).jwk();
    let foreign = Signer::new(Algorithm::EdDsa).jwk();
    assert_eq!(verify(&stub, &keys(&[foreign.clone(), stub.signer.jwk()]), &token), Ok(()));
    // While the provider changes its keys there are two.
    assert_eq!(verify(&stub, &keys(&[other.clone(), stub.signer.jwk()]), &token), Ok(()));
    assert_eq!(verify(&stub, &keys(&[other]), &token), Err(Rejected::BadSignature));
    assert_eq!(verify(&stub, &keys(&[foreign]), &token), Err(Rejected::UnknownKey));
}

#[test]
fn no_token_has_more_than_eight_keys_tried() {
    let stub = SigningProvider::new(Algorithm::EdDsa);
    let named = |key: Value| with(&key, "kid", stub.signer.kid.clone());
    let other = named(Signer::numbered(Algorithm::EdDsa, 1).jwk());
    let set = |others| {
        keys(
            &std::iter::repeat_n(other.clone(), others)
                .chain([stub.signer.jwk()])
                .collect::<Vec<_>>(),
        )
    };
    let token = stub.token(&stub.claims());
    assert_eq!(verify(&stub, &set(7), &token), Ok(()));
    assert_eq!(verify(&stub, &set(8), &token), Err(Rejected::BadSignature));
    // Nor of those that have no name.
    let (other, ours) = (without(&other, "kid"), without(&stub.signer.jwk(), "kid"));
    let set = |others| {
        keys(&std::iter::repeat_n(other.clone(), others).chain([ours.clone()]).collect::<Vec<_>>())
    };
    assert_eq!(verify(&stub, &set(7), &token), Ok(()));
    assert_eq!(verify(&stub, &set(8), &token), Err(Rejected::BadSignature));
}

#[test]
fn a_key_without_kid() {
    let stub = SigningProvider::new(Algorithm::Es256);
    let nameless = without(&stub.signer.jwk(), "kid");
    let token = stub.token(&stub.claims());
    assert_eq!(verify(&stub, &keys(std::slice::from_ref(&nameless)), &token), Ok(()));
    // But one of that name is the one that is meant.
    let named = with(&Signer::numbered(Algorithm::Es256, 1).jwk(), "kid", stub.signer.kid.clone());
    assert_eq!(verify(&stub, &keys(&[nameless, named]), &token), Err(Rejected::BadSignature));
}

#[test]
fn kid_of_another_issuers_jwks() {
    let ours = SigningProvider::new(Algorithm::Es256);
    let theirs = SigningProvider {
        signer: Signer::numbered(Algorithm::Es256, 1),
        ..SigningProvider::new(Algorithm::Es256)
    };
    // A token that says it is of ours, signed by the other, who is just as well known.
    assert_eq!(
        verify(&ours, &ours.key_set(), &theirs.token(&ours.claims())),
        Err(Rejected::UnknownKey)
    );
}
