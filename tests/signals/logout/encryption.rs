//! Encrypted logout tokens: every algorithm, the app's keys, and the attacks on JWE that are known.

use base64ct::{Base64UrlUnpadded, Encoding};
use oubliette::logout::{
    Algorithm, DecryptionKey, DecryptionKeys, Issuer, Issuers, KeyManagement, Rejected,
};
use oubliette::{Error, openid::Provider};
use oubliette_testkit::encrypter::{Curve, ENCRYPTIONS, Encrypter, KEY_MANAGEMENTS};
use oubliette_testkit::provider::SigningProvider;
use serde_json::{Value, json};

fn stub() -> SigningProvider {
    SigningProvider::new(Algorithm::EdDsa)
}

fn good() -> String {
    stub().token(&stub().claims())
}

fn issuer(keys: impl IntoIterator<Item = DecryptionKey>) -> Issuer {
    stub().issuer().decryption_keys(DecryptionKeys::new(keys).unwrap())
}

fn refused(encrypter: &Encrypter, token: &str) -> Rejected {
    stub().verify_by(&issuer([encrypter.key()]), token).unwrap_err()
}

fn accepted(encrypter: &Encrypter, token: &str) -> bool {
    stub().verify_by(&issuer([encrypter.key()]), token).is_ok()
}

/// Another text in the place of one of the five parts.
fn with_part(token: &str, place: usize, text: &str) -> String {
    let mut parts: Vec<&str> = token.split('.').collect();
    parts[place] = text;
    parts.join(".")
}

fn text(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

#[test]
fn every_algorithm_decrypts() {
    let mut all: Vec<Encrypter> = KEY_MANAGEMENTS.map(Encrypter::new).into();
    for algorithm in KEY_MANAGEMENTS.into_iter().skip(2) {
        all.extend([Curve::P384, Curve::X25519].map(|curve| Encrypter::on(curve, algorithm, 0)));
    }
    for encrypter in &all {
        for enc in ENCRYPTIONS {
            let mut header = encrypter.header();
            header["enc"] = enc.into();
            let token = encrypter.encrypt_as(&header, good().as_bytes());
            let verified = stub().verify_by(&issuer([encrypter.key()]), &token).unwrap();
            assert_eq!(verified.session().unwrap().sid(), "session-1", "{} {enc}", encrypter.kid);
        }
    }
    assert_eq!(all.len(), 14);
}

#[test]
fn a_token_says_whom_it_is_from_and_to_in_the_agreement() {
    let encrypter = Encrypter::new(KeyManagement::EcdhEsA256Kw);
    let mut header = encrypter.header();
    (header["apu"], header["apv"]) = (text(b"provider").into(), text(b"app").into());
    let token = encrypter.encrypt_as(&header, good().as_bytes());
    assert!(accepted(&encrypter, &token));
}

#[test]
fn a_signed_token_is_taken_too() {
    // The signature says who sent it.
    assert!(accepted(&Encrypter::new(KeyManagement::RsaOaep), &good()));
}

#[test]
fn without_a_key_encrypted_tokens_are_refused() {
    let token = Encrypter::new(KeyManagement::RsaOaep).encrypt(&good());
    assert_eq!(stub().verify(&token).unwrap_err(), Rejected::Encrypted);
}

#[test]
fn what_is_only_encrypted_proves_nothing() {
    let encrypter = Encrypter::new(KeyManagement::EcdhEs);
    let claims = stub().claims().json().to_string();
    let unsigned = |alg: &str| {
        let header = text(json!({"alg": alg, "typ": "logout+jwt"}).to_string().as_bytes());
        format!("{header}.{}.", text(claims.as_bytes()))
    };
    for content in [
        claims.clone(),
        unsigned("none"),
        unsigned("None"),
        // In two layers.
        encrypter.encrypt(&good()),
        encrypter.encrypt(&encrypter.encrypt(&good())),
        "..".into(),
        ".e30.".into(),
        "e30.e30.".into(),
        "\u{7f}".into(),
        json!({"payload": "e30", "signatures": []}).to_string(),
    ] {
        assert_eq!(refused(&encrypter, &encrypter.encrypt(&content)), Rejected::OnlyEncrypted);
    }
    let bytes = encrypter.encrypt_as(&encrypter.header(), b"\xff.\xff.\xff");
    assert_eq!(refused(&encrypter, &bytes), Rejected::OnlyEncrypted);
}

#[test]
fn what_is_inside_is_checked_as_if_it_had_come_alone() {
    let encrypter = Encrypter::new(KeyManagement::RsaOaep256);
    let forger = SigningProvider {
        signer: oubliette_testkit::signer::Signer::other(Algorithm::EdDsa),
        ..stub()
    };
    for token in [
        forger.token(&stub().claims()),
        stub().token(&stub().claims().with("aud", "other")),
        stub().token(&stub().claims().with("iss", "https://evil.example")),
        stub().token(&stub().claims().with("exp", 1)),
        stub().token(&stub().claims().with("nonce", "n")),
        stub().token(&stub().claims().without("events")),
    ] {
        let alone = stub().verify(&token).unwrap_err();
        assert_eq!(refused(&encrypter, &encrypter.encrypt(&token)), alone);
    }
}

#[test]
fn each_byte_counts() {
    for algorithm in KEY_MANAGEMENTS {
        let encrypter = Encrypter::new(algorithm);
        for enc in ENCRYPTIONS {
            let mut header = encrypter.header();
            header["enc"] = enc.into();
            let token = encrypter.encrypt_as(&header, good().as_bytes());
            for place in 0..5 {
                let part = Base64UrlUnpadded::decode_vec(token.split('.').nth(place).unwrap());
                let part = part.unwrap();
                for at in [0, part.len() / 2, part.len().saturating_sub(1)] {
                    let mut changed = part.clone();
                    let Some(byte) = changed.get_mut(at) else { continue };
                    *byte ^= 1;
                    let changed = with_part(&token, place, &text(&changed));
                    let why = refused(&encrypter, &changed);
                    // (A header is often none any more.)
                    assert!(place == 0 || why == Rejected::Undecryptable, "{enc} {place} {why:?}");
                }
            }
        }
    }
}

/// RFC 7516 §11.5: a sender who could tell these apart could decrypt what others have encrypted, by
/// sending it again with changes (Bleichenbacher, Manger).
#[test]
fn a_wrong_key_a_key_of_a_wrong_length_and_a_wrong_content_look_alike() {
    for algorithm in [KeyManagement::RsaOaep, KeyManagement::RsaOaep256] {
        let encrypter = Encrypter::new(algorithm);
        let token = encrypter.encrypt(&good());
        let modulus = 256;
        for encrypted_key in [
            // No padding, more than the modulus, zero, one; too short, too long.
            vec![7; modulus],
            vec![0xff; modulus],
            vec![0; modulus],
            [vec![0; modulus - 1], vec![1]].concat(),
            vec![7; modulus - 1],
            vec![7; modulus + 1],
            vec![7],
        ] {
            let token = with_part(&token, 1, &text(&encrypted_key));
            assert_eq!(refused(&encrypter, &token), Rejected::Undecryptable);
        }
        assert_eq!(
            refused(&encrypter, &with_part(&token, 4, &text(&[7; 16]))),
            Rejected::Undecryptable
        );
        // The padding is right, and the key of a length that the content's cannot have: shorter (and
        // then filled up as the sender likes), or none at all.
        for len in [0, 1, 16, 31, 33] {
            let token = encrypter.encrypt_with(&vec![7; len], good().as_bytes());
            assert_eq!(refused(&encrypter, &token), Rejected::Undecryptable, "{len}");
        }
        assert!(accepted(&encrypter, &encrypter.encrypt_with(&[7; 32], good().as_bytes())));
    }
    // As where keys are wrapped: with a check that is wrong, and with lengths that cannot be.
    for algorithm in KEY_MANAGEMENTS.into_iter().skip(3) {
        let encrypter = Encrypter::new(algorithm);
        let token = encrypter.encrypt(&good());
        for len in [1, 8, 16, 24, 40, 41, 48, 8 * 1000] {
            let token = with_part(&token, 1, &text(&vec![7; len]));
            assert_eq!(refused(&encrypter, &token), Rejected::Undecryptable, "{len}");
        }
    }
}

/// The invalid curve attack: from points on a weaker curve a sender learns the private key. AWS-LC
/// takes only points of the curve.
#[test]
fn a_point_that_is_not_on_the_curve() {
    for curve in [Curve::P256, Curve::P384] {
        let encrypter = Encrypter::on(curve, KeyManagement::EcdhEs, 0);
        let jwk = encrypter.jwk();
        let point = |x: Value, y: Value| json!({"kty": "EC", "crv": jwk["crv"], "x": x, "y": y});
        let of = |epk: Value| {
            let mut header = encrypter.header();
            header["epk"] = epk;
            refused(&encrypter, &encrypter.encrypt_as(&header, good().as_bytes()))
        };
        let len = if matches!(curve, Curve::P256) { 32 } else { 48 };
        let number = |byte: u8| Value::from(text(&[vec![0; len - 1], vec![byte]].concat()));
        for epk in [
            point(jwk["x"].clone(), jwk["x"].clone()),
            point(number(0), number(0)),
            point(number(1), number(1)),
            point(number(2), number(3)),
            point(text(&vec![0xff; len]).into(), text(&vec![0xff; len]).into()),
        ] {
            assert_eq!(of(epk), Rejected::Undecryptable);
        }
        // Our own public key is a point, and not the one that was agreed with.
        assert_eq!(of(point(jwk["x"].clone(), jwk["y"].clone())), Rejected::Undecryptable);
        // Coordinates of another length, or none.
        for epk in [
            point(text(&vec![1; len - 1]).into(), jwk["y"].clone()),
            point(text(&vec![1; len + 1]).into(), jwk["y"].clone()),
            point("".into(), "".into()),
            point(Value::Null, Value::Null),
            json!({"kty": "EC", "crv": "P-521", "x": jwk["x"], "y": jwk["y"]}),
            json!({"kty": "oct", "k": jwk["x"]}),
            json!([]),
            json!("x"),
        ] {
            assert!(matches!(of(epk), Rejected::Malformed(_)));
        }
    }
    // Points of small order, with which anybody agrees on zeros (RFC 7748 §6.1).
    let encrypter = Encrypter::on(Curve::X25519, KeyManagement::EcdhEs, 0);
    for first in [0, 1] {
        let x = text(&[vec![first], vec![0; 31]].concat());
        let mut header = encrypter.header();
        header["epk"] = json!({"kty": "OKP", "crv": "X25519", "x": x});
        let token = encrypter.encrypt_as(&header, good().as_bytes());
        assert_eq!(refused(&encrypter, &token), Rejected::Undecryptable);
    }
}

#[test]
fn a_point_on_the_curve_of_another_key() {
    let ours = Encrypter::on(Curve::P256, KeyManagement::EcdhEs, 0);
    for curve in [Curve::P384, Curve::X25519] {
        let token = Encrypter::on(curve, KeyManagement::EcdhEs, 0).encrypt(&good());
        assert_eq!(refused(&ours, &token), Rejected::UnknownDecryptionKey, "{curve:?}");
    }
}

/// A key serves the algorithm that it says, and no other, whatever the token says.
#[test]
fn the_algorithm_of_another_key() {
    for algorithm in KEY_MANAGEMENTS {
        let ours = Encrypter::new(algorithm);
        for other in KEY_MANAGEMENTS.into_iter().filter(|other| *other != algorithm) {
            let theirs = Encrypter::new(other).named(&ours.kid);
            let token = theirs.encrypt(&good());
            assert_eq!(refused(&ours, &token), Rejected::UnknownDecryptionKey, "{other:?}");
            // The header says ours, and it was encrypted by the other.
            let mut header = theirs.header();
            header["alg"] = algorithm.name().into();
            let token = theirs.encrypt_as(&header, good().as_bytes());
            let why = refused(&ours, &token);
            let is_right = matches!(why, Rejected::Undecryptable | Rejected::Malformed(_));
            assert!(is_right, "{algorithm:?} {other:?} {why:?}");
        }
    }
}

/// What a sender would like the app to do: use the public key as a secret (`dir`, `A256KW`), check
/// the padding that Bleichenbacher's attack needs, or hash a password for as long as they say.
#[test]
fn algorithms_that_are_not_taken() {
    for encrypter in KEY_MANAGEMENTS.map(Encrypter::new) {
        for alg in [
            "RSA1_5",
            "dir",
            "A128KW",
            "A256KW",
            "A256GCMKW",
            "PBES2-HS256+A128KW",
            "PBES2-HS512+A256KW",
            "none",
            "HS256",
            "rsa-oaep",
            "RSA-OAEP-512",
            "",
        ] {
            let mut header = encrypter.header();
            (header["alg"], header["p2c"], header["p2s"]) =
                (alg.into(), 2147483647.into(), "AAAA".into());
            let token = encrypter.encrypt_as(&header, good().as_bytes());
            assert_eq!(refused(&encrypter, &token), Rejected::WrongEncryption, "{alg}");
        }
        for enc in ["none", "", "A128CBC", "A256CTR", "XC20P", "a256gcm"] {
            let mut header = encrypter.header();
            header["enc"] = enc.into();
            let token = encrypter.encrypt_as(&header, good().as_bytes());
            assert_eq!(refused(&encrypter, &token), Rejected::WrongEncryption, "{enc}");
        }
    }
}

/// Kilobytes can unpack to gigabytes. Nothing is unpacked, and a token that was packed says so.
#[test]
fn compressed_bombs() {
    let encrypter = Encrypter::new(KeyManagement::RsaOaep);
    for zip in [json!("DEF"), json!("GZ"), json!(""), json!(1), json!(["DEF"])] {
        let mut header = encrypter.header();
        header["zip"] = zip;
        let token = encrypter.encrypt_as(&header, good().as_bytes());
        assert!(
            matches!(refused(&encrypter, &token), Rejected::Malformed(why) if why.contains("compressed"))
        );
    }
}

#[test]
fn extensions_and_types_of_the_header() {
    let encrypter = Encrypter::new(KeyManagement::EcdhEsA128Kw);
    let of = |name: &str, value: Value| {
        let mut header = encrypter.header();
        header[name] = value;
        stub().verify_by(
            &issuer([encrypter.key()]),
            &encrypter.encrypt_as(&header, good().as_bytes()),
        )
    };
    for crit in [json!(["exp"]), json!(["zip"]), json!([]), json!("exp")] {
        assert!(matches!(of("crit", crit), Err(Rejected::Malformed(_))));
    }
    for cty in ["jwt", "application/jwt", "JWT"] {
        assert!(of("cty", cty.into()).is_ok(), "{cty}");
    }
    assert_eq!(of("cty", "text/plain".into()).unwrap_err(), Rejected::WrongType);
    assert_eq!(of("cty", "".into()).unwrap_err(), Rejected::WrongType);
    assert!(of("cty", Value::Null).is_ok(), "some leave it out");
    // Keys and addresses in the header are no keys.
    let forger = Encrypter::other(KeyManagement::EcdhEsA128Kw);
    let mut header = forger.header();
    (header["jwk"], header["jku"]) = (forger.jwk(), "https://evil.example/keys".into());
    let token = forger.encrypt_as(&header, good().as_bytes());
    assert_eq!(refused(&encrypter, &token), Rejected::Undecryptable);
    assert!(of("jku", "https://evil.example/keys".into()).is_ok());
}

#[test]
fn other_forms_of_a_token() {
    let encrypter = Encrypter::new(KeyManagement::RsaOaep);
    let token = encrypter.encrypt(&good());
    let parts: Vec<&str> = token.split('.').collect();
    let json = json!({"protected": parts[0], "encrypted_key": parts[1], "iv": parts[2],
        "ciphertext": parts[3], "tag": parts[4]});
    for other in [
        format!("{token}."),
        format!(".{token}"),
        token.replace('.', ".."),
        json.to_string(),
        token.replace('_', "/"),
        format!("{token}="),
        format!("{token}\n"),
        format!(" {token}"),
        // A short tag can be guessed, and a longer one is none.
        with_part(&token, 4, &text(&[0; 12])),
        with_part(&token, 4, ""),
        with_part(&token, 2, ""),
        with_part(&token, 3, ""),
        with_part(&token, 1, ""),
        with_part(&token, 3, &"A".repeat(16 * 1024)),
    ] {
        if other != token {
            assert!(matches!(refused(&encrypter, &other), Rejected::Malformed(_)), "{other}");
        }
    }
}

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
    let fixture = oubliette_testkit::fixture::Fixture::new();
    let receiver = oubliette::logout::Receiver::new(fixture.store.clone(), issuers.unwrap());
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
