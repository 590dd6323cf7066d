//! The app's keys for encrypted tokens: how they are read, which of them decrypts, what is published.

use oubliette::logout::{
    Algorithm, DecryptionKey, DecryptionKeys, Issuers, KeyManagement, Receiver, Rejected,
};
use oubliette::{Error, openid::Provider};
use oubliette_testkit::encrypter::{Curve, Encrypter, KEY_MANAGEMENTS};
use oubliette_testkit::fixture::Fixture;
use oubliette_testkit::provider::SigningProvider;
use serde_json::{Value, json};

use super::encryption::{good, issuer, stub, text};

#[test]
fn keys_by_their_names() {
    let algorithm = KeyManagement::RsaOaep;
    let (new, old) = (Encrypter::new(algorithm), Encrypter::numbered(algorithm, 1));
    let both = issuer([new.key(), old.key().retired()]);
    let verify = |token: &str| stub().verify_by(&both, token).map(|_| ());
    assert_eq!(verify(&new.encrypt(&good())), Ok(()));
    assert_eq!(verify(&old.encrypt(&good())), Ok(()));
    // Of a name that is not there: no other key is tried.
    let unknown = Encrypter::new(algorithm).named("unknown");
    assert_eq!(verify(&unknown.encrypt(&good())), Err(Rejected::UnknownDecryptionKey));
    // Under the name of another key of ours.
    let swapped = Encrypter::new(algorithm).named(&old.kid);
    assert_eq!(verify(&swapped.encrypt(&good())), Err(Rejected::Undecryptable));
    // Without a name, each is tried.
    for encrypter in [&new, &old] {
        let mut header = encrypter.header();
        header.as_object_mut().unwrap().remove("kid");
        assert_eq!(verify(&encrypter.encrypt_as(&header, good().as_bytes())), Ok(()));
    }
}

/// Two providers, each with a key of the app's of its own: one that knows the other's cannot use it.
#[tokio::test]
async fn a_key_serves_its_own_issuers() {
    const OTHER: &str = "https://other.example.com";
    let (stub, other) =
        (stub(), SigningProvider::at(Algorithm::Es256, Provider::generic(OTHER).unwrap(), OTHER));
    let algorithm = KeyManagement::EcdhEs;
    let (ours, theirs) = (Encrypter::new(algorithm), Encrypter::numbered(algorithm, 1));
    let issuers = Issuers::new([
        stub.issuer().decryption_keys(ours.keys()),
        other.issuer().decryption_keys(theirs.keys()),
    ]);
    let fixture = Fixture::new();
    let receiver = Receiver::new(fixture.store.clone(), issuers.unwrap());
    let post = async |token: String| {
        let body = format!("logout_token={token}");
        let answer = receiver.back_channel(None, None, body.as_bytes()).await;
        (answer.status(), answer.body().to_owned())
    };
    let (from_us, from_them) = (stub.token(&stub.claims()), other.token(&other.claims()));
    assert_eq!(post(ours.encrypt(&from_us)).await.0, 200);
    assert_eq!(post(theirs.encrypt(&from_them)).await.0, 200);
    for token in [theirs.encrypt(&from_us), ours.encrypt(&from_them)] {
        let (status, body) = post(token).await;
        assert_eq!(status, 400);
        assert!(body.contains("encrypted for"), "{body}");
    }
    // Signed alone it is good.
    assert_eq!(post(from_us).await.0, 200);
}

#[test]
fn keys_that_cannot_be() {
    let invalid = |keys: Result<DecryptionKeys, Error>| {
        assert!(matches!(keys, Err(Error::InvalidInput { field: "decryption keys", .. })));
    };
    let algorithm = KeyManagement::RsaOaep;
    invalid(DecryptionKeys::new([]));
    let (one, other) = (Encrypter::new(algorithm), Encrypter::other(algorithm));
    invalid(DecryptionKeys::new([one.key(), other.key()]));
    invalid(DecryptionKeys::new([one.key(), one.key()]));
    // Nor at two issuers that share a route; one key may serve both.
    let at = |iss: &str, keys| {
        let stub = SigningProvider::at(Algorithm::EdDsa, Provider::generic(iss).unwrap(), iss);
        stub.issuer().decryption_keys(keys)
    };
    let (a, b) = ("https://a.example", "https://b.example");
    assert!(Issuers::new([at(a, one.keys()), at(b, one.keys())]).is_ok());
    assert!(Issuers::new([at(a, one.keys()), at(b, other.keys()).named("b")]).is_ok());
    let both = Issuers::new([at(a, one.keys()), at(b, other.keys())]);
    assert!(matches!(both, Err(Error::InvalidInput { field: "decryption keys", .. })));
}

#[test]
fn a_private_key_is_read_strictly() {
    let read = |jwk: &Value| DecryptionKey::from_jwk(jwk.to_string().as_bytes());
    for encrypter in KEY_MANAGEMENTS.map(Encrypter::new) {
        let good = encrypter.jwk();
        assert!(read(&good).is_ok());
        let with = |name: &str, value: Value| {
            let mut jwk = good.clone();
            jwk[name] = value;
            read(&jwk)
        };
        for (name, value) in [
            ("use", json!("sig")),
            ("use", json!(7)),
            ("key_ops", json!(["sign", "verify"])),
            ("key_ops", json!([])),
            ("key_ops", json!("decrypt")),
            ("alg", Value::Null),
            ("alg", json!("RSA1_5")),
            ("alg", json!("RS256")),
            ("alg", json!("dir")),
            ("kty", json!("oct")),
            ("kty", Value::Null),
            ("kid", json!(7)),
            ("d", Value::Null),
            ("d", json!("")),
            ("d", json!("AQAB")),
            ("d", json!("not base64url!")),
        ] {
            let refused = with(name, value.clone());
            assert!(refused.is_err(), "{} {name} {value}", encrypter.kid);
            // An error says nothing of the key.
            assert!(!format!("{refused:?}").contains(good["d"].as_str().unwrap()));
        }
        assert!(
            with("use", Value::Null).is_ok()
                && with("key_ops", json!(["deriveBits", "decrypt"])).is_ok()
        );
        assert!(!format!("{:?}", encrypter.key()).contains(good["d"].as_str().unwrap()));
        // Of another kind than its algorithm needs.
        let other = if good["kty"] == "RSA" { "ECDH-ES" } else { "RSA-OAEP" };
        assert!(with("alg", other.into()).is_err());
    }
    let rsa = Encrypter::new(KeyManagement::RsaOaep).jwk();
    for name in ["n", "e", "p", "q", "dp", "dq", "qi"] {
        for value in [Value::Null, json!("AQAB"), json!("")] {
            let mut jwk = rsa.clone();
            jwk[name] = value.clone();
            assert!(read(&jwk).is_err() || jwk == rsa, "{name} {value}");
        }
    }
    // Long ones take long: 4096 bits is the most.
    for len in [128, 255, 513, 1024] {
        let mut jwk = rsa.clone();
        jwk["n"] = text(&vec![0xff; len]).into();
        let refused = read(&jwk).unwrap_err().to_string();
        assert!(refused.contains("2048 to 4096 bits"), "{len} {refused}");
    }
    let mut three_primes = rsa.clone();
    three_primes["oth"] = json!([{"r": "AQAB", "d": "AQAB", "t": "AQAB"}]);
    assert!(read(&three_primes).is_err());
    // A public half that is another key's.
    let (one, other) =
        (Encrypter::new(KeyManagement::EcdhEs), Encrypter::other(KeyManagement::EcdhEs));
    let mut mixed = one.jwk();
    (mixed["x"], mixed["y"]) = (other.jwk()["x"].clone(), other.jwk()["y"].clone());
    assert!(read(&mixed).is_err());
    assert!(DecryptionKey::from_jwk(b"").is_err() && DecryptionKey::from_jwk(b"{}").is_err());
}

/// As `openssl` writes them. (RSA is among the vectors of Wycheproof, in the library's own tests.)
#[test]
fn keys_in_pem() {
    let pem =
        |der: &str| format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
    let p256 = pem("MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAQEBAQEBAQEBAQEB\n\
         AQEBAQEBAQEBAQEBAQEBAQEBAQGhRANCAARv8DuUkkHOHa3UNRnmlg4KhbQaaaBc\n\
         MoEDqivOFZTKFjxPdTpVvwHcU/bAsMfu54tAxv99JaluIoK5ic73HBRK");
    // Without the public half.
    let p384 = pem("ME4CAQAwEAYHKoZIzj0CAQYFK4EEACIENzA1AgEBBDABAQEBAQEBAQEBAQEBAQEB\n\
         AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
    let x25519 = pem("MC4CAQAwBQYDK2VuBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB");
    let algorithm = KeyManagement::EcdhEsA256Kw;
    for (pem, curve) in [(&p256, Curve::P256), (&p384, Curve::P384), (&x25519, Curve::X25519)] {
        let encrypter = Encrypter::on(curve, algorithm, 0);
        let key = DecryptionKey::from_pem(pem, algorithm).unwrap();
        // Its name is its thumbprint, as that of a JWK without one.
        let mut jwk = encrypter.jwk();
        jwk.as_object_mut().unwrap().remove("kid");
        let same = DecryptionKey::from_jwk(jwk.to_string().as_bytes()).unwrap();
        assert_eq!((key.kid(), key.kid().len()), (same.kid(), 43), "{curve:?}");
        let issuer = issuer([key.named(&encrypter.kid)]);
        assert!(stub().verify_by(&issuer, &encrypter.encrypt(&good())).is_ok(), "{curve:?}");
        assert!(DecryptionKey::from_pem(pem, KeyManagement::RsaOaep256).is_err(), "{curve:?}");
        // Of another label, changed, cut, empty.
        let cut = pem.replace("AQEB", "");
        for bad in [&pem.replace("PRIVATE", "EC PRIVATE"), &cut, "", &pem[..pem.len() - 9]] {
            assert!(DecryptionKey::from_pem(bad, algorithm).is_err(), "{curve:?}");
        }
    }
    // A key for signatures (the example of RFC 8410 §10.3).
    let ed25519 = pem("MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC");
    assert!(DecryptionKey::from_pem(&ed25519, KeyManagement::EcdhEs).is_err());
}

#[test]
fn the_public_keys_and_nothing_else_are_published() {
    for algorithm in KEY_MANAGEMENTS {
        let (new, old) = (Encrypter::new(algorithm), Encrypter::numbered(algorithm, 1));
        let keys = DecryptionKeys::new([new.key(), old.key().retired()]).unwrap();
        let published: Value = serde_json::from_str(&keys.public_jwks()).unwrap();
        let mut expected = new.jwk();
        for private in ["d", "p", "q", "dp", "dq", "qi"] {
            expected.as_object_mut().unwrap().remove(private);
        }
        assert_eq!(published, json!({"keys": [expected]}), "{algorithm:?}");
    }
}

/// For ID tokens: the app verifies what comes out.
#[test]
fn a_token_is_decrypted_alone() {
    let encrypter = Encrypter::new(KeyManagement::EcdhEsA256Kw);
    let keys = encrypter.keys();
    let inner = keys.decrypt(&encrypter.encrypt(&good())).unwrap();
    assert_eq!(inner.expose(), good());
    assert_eq!(keys.decrypt(&encrypter.encrypt("{}")).unwrap_err(), Rejected::OnlyEncrypted);
    assert!(matches!(keys.decrypt(&good()).unwrap_err(), Rejected::Malformed(_)));
}
