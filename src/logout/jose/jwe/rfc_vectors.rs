//! The examples of the specifications, `rfc_vectors.json`. Their contents are no tokens, so they go
//! to the functions below those that ask for one. (RFC 7518 §C is in `agreement.rs`, RFC 7638 §3.1
//! in `public_key.rs`.)

use serde_json::Value;

use super::decryption_key::DecryptionKey;
use super::sealed_token::SealedToken;
use super::token::Jwe;
use crate::logout::once::OPENED;
use crate::logout::rejected::Rejected;

fn vectors() -> Vec<Value> {
    serde_json::from_str(include_str!("rfc_vectors.json")).unwrap()
}

fn key(jwk: &Value) -> DecryptionKey {
    DecryptionKey::from_jwk(jwk.to_string().as_bytes()).unwrap()
}

#[test]
fn the_examples_are_decrypted() {
    for vector in vectors() {
        let (key, source) = (key(&vector["jwk"]), &vector["source"]);
        let jwe = Jwe::parse(vector["token"].as_str().unwrap()).unwrap();
        let named = jwe.header().kid.is_some();
        let key = if named { key } else { key.named("any") };
        assert!(key.fits(&jwe), "{source}");
        let text = key.open(&jwe).unwrap();
        assert_eq!(
            std::str::from_utf8(&text).unwrap(),
            vector["text"].as_str().unwrap(),
            "{source}"
        );
        // None of them is a token, so none is taken.
        let sealed = SealedToken::parse(vector["token"].as_str().unwrap(), [&key].into_iter());
        assert_eq!(sealed.unwrap().open().err(), Some(Rejected::OnlyEncrypted), "{source}");
    }
    assert_eq!(vectors().len(), 5);
}

/// Each byte of each part counts, also those that no part of the content depends on.
#[test]
fn a_changed_example_is_refused() {
    for vector in vectors() {
        let (key, token) = (key(&vector["jwk"]), vector["token"].as_str().unwrap());
        for at in (0..token.len()).step_by(37) {
            let mut changed = token.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'E' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let opened = Jwe::parse(&changed).ok().filter(|jwe| key.fits(jwe));
            let opened = opened.and_then(|jwe| key.open(&jwe));
            assert!(changed == token || opened.is_none(), "{} {at}", vector["source"]);
        }
    }
}

/// RFC 7516 §11.5: whether the key was wrong or the content, the sender is told the same.
#[test]
fn a_wrong_key_and_a_changed_content_look_alike() {
    for vector in vectors() {
        let (key, token) = (key(&vector["jwk"]), vector["token"].as_str().unwrap());
        let parts: Vec<&str> = token.split('.').collect();
        let refused = |place: usize| {
            let mut parts: Vec<String> = parts.iter().map(|part| (*part).into()).collect();
            let first = if parts[place].starts_with('B') { "C" } else { "B" };
            parts[place].replace_range(..1, first);
            let sealed = SealedToken::parse(&parts.join("."), [&key].into_iter());
            sealed.unwrap().open().err()
        };
        for place in (1..5).filter(|place| !parts[*place].is_empty()) {
            // Also with a wrong key the content is tried, so it takes as long.
            OPENED.set(0);
            assert_eq!(refused(place), Some(Rejected::Undecryptable), "{place}");
            assert_eq!(OPENED.get(), 1, "{place}");
        }
    }
}
