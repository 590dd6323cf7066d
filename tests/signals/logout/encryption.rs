//! Encrypted logout tokens: every algorithm, the app's keys, and the attacks on JWE that are known.

use base64ct::{Base64UrlUnpadded, Encoding};
use oubliette::logout::{
    Algorithm, DecryptionKey, DecryptionKeys, Issuer, KeyManagement, Rejected,
};
use oubliette_testkit::encrypter::{Curve, ENCRYPTIONS, Encrypter, KEY_MANAGEMENTS};
use oubliette_testkit::provider::SigningProvider;
use serde_json::{Value, json};

pub(super) fn stub() -> SigningProvider {
    SigningProvider::new(Algorithm::EdDsa)
}

pub(super) fn good() -> String {
    stub().token(&stub().claims())
}

pub(super) fn issuer(keys: impl IntoIterator<Item = DecryptionKey>) -> Issuer {
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

pub(super) fn text(bytes: &[u8]) -> String {
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
