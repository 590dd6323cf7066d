//! Encrypted tokens: only what was encrypted for a key of the app's is decrypted, and of that only what says that it is signed. And private
//! keys, as an app hands them in.

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use oubliette::logout::{DecryptionKey, DecryptionKeys, Rejected};
use oubliette_testkit::encrypter::{Curve, ENCRYPTIONS, Encrypter, KEY_MANAGEMENTS};
use serde_json::{Value, json};

use crate::bounds::within;
use crate::edit::Edit;
use crate::input::Encode;
use crate::members::{Change, Members};

crate::plans! {
    /// What the token, or the key, is made of.
    pub enum Plan {
        /// The rest of the bytes is the token.
        Raw {},
        /// The rest of the bytes are edits of a good one.
        Edited { key: u8 },
        /// Put together and encrypted: for a key of ours, or another of the same name.
        Built { key: u8, is_ours: bool, enc: u8, has_info: bool, content: u8, header: Vec<Change> },
        /// A private key of ours with changes.
        PrivateKey { key: u8, changes: Vec<Change> },
        /// The rest of the bytes is a private key.
        RawPrivateKey {},
    }
}

/// Who the token is from, where that is said.
const SENDER: &[u8] = b"Alice";

/// Names and values of members, as they stand in a header.
const HEADER_NAMES: [&str; 13] =
    ["alg", "enc", "kid", "cty", "zip", "crit", "epk", "apu", "apv", "jwk", "jku", "p2c", "typ"];
pub const VALUES: [&str; 44] = [
    "null",
    "true",
    "7",
    "{}",
    "[]",
    "\"\"",
    "\"x\"",
    "[\"exp\"]",
    "\"RSA-OAEP\"",
    "\"RSA-OAEP-256\"",
    "\"ECDH-ES\"",
    "\"ECDH-ES+A128KW\"",
    "\"ECDH-ES+A192KW\"",
    "\"ECDH-ES+A256KW\"",
    "\"RSA1_5\"",
    "\"dir\"",
    "\"A256KW\"",
    "\"PBES2-HS256+A128KW\"",
    "\"none\"",
    "\"A128GCM\"",
    "\"A192GCM\"",
    "\"A256GCM\"",
    "\"A128CBC-HS256\"",
    "\"A192CBC-HS384\"",
    "\"A256CBC-HS512\"",
    "\"RSA-OAEP-0\"",
    "\"RSA-OAEP-256-0\"",
    "\"ECDH-ES-0\"",
    "\"ECDH-ES+A128KW-0\"",
    "\"JWT\"",
    "\"jwt\"",
    "\"application/JWT\"",
    "\"text/plain\"",
    "\"DEF\"",
    "\"QWxpY2U\"",
    "\"QWxpY2V\"",
    "\"AQAB\"",
    "\"=\"",
    "\"A128G\\u0043M\"",
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\",\"y\":\"AQAB\"}",
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0\",\"y\":\"SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps\"}",
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0\",\"y\":\"gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0\"}",
    "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
    "\"https://evil.example/keys\"",
];

/// What can be inside, and whether it says that it is signed.
pub const CONTENTS: [(&str, bool); 14] = [
    ("eyJhbGciOiJSUzI1NiJ9.e30.c2ln", true),
    // {"alg":"unknown"}
    ("eyJhbGciOiJ1bmtub3duIn0..", true),
    // {"alg":"none"}, {"alg":"NONE"}
    ("eyJhbGciOiJub25lIn0.e30.", false),
    ("eyJhbGciOiJOT05FIn0.e30.", false),
    ("{\"iss\":\"https://login.example.com\"}", false),
    ("e30.e30.c2ln", false),
    ("..", false),
    (" ", false),
    ("eyJhbGciOiJSUzI1NiJ9.e30", false),
    ("eyJhbGciOiJSUzI1NiJ9.e30.c2ln.", false),
    ("eyJhbGciOiJSUzI1NiJ9.e30.e30.e30.e30", false),
    ("eyJhbGciOiJSUzI1NiJ9=.e30.c2ln", false),
    // {"alg":"RS256","alg":"RS256"}
    ("eyJhbGciOiJSUzI1NiIsImFsZyI6IlJTMjU2In0.e30.c2ln", false),
    ("\u{fe}", false),
];

const KEY_NAMES: [&str; 16] =
    ["kty", "crv", "alg", "d", "n", "e", "p", "q", "dp", "dq", "qi", "x", "y", "kid", "use", "oth"];

struct World {
    ours: Vec<Encrypter>,
    others: Vec<Encrypter>,
    keys: DecryptionKeys,
    good: Vec<String>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    // One on each curve, too.
    let numbered = |number| {
        let mut all: Vec<_> =
            KEY_MANAGEMENTS.map(|algorithm| Encrypter::numbered(algorithm, number)).into();
        all[4] = Encrypter::on(Curve::P384, KEY_MANAGEMENTS[4], number);
        all[5] = Encrypter::on(Curve::X25519, KEY_MANAGEMENTS[5], number);
        all
    };
    let ours = numbered(0);
    let others = numbered(1).into_iter().zip(&ours).map(|(other, ours)| other.named(&ours.kid));
    let keys = DecryptionKeys::new(ours.iter().map(Encrypter::key)).expect("keys");
    let good = ours.iter().map(|encrypter| encrypter.encrypt(CONTENTS[0].0)).collect();
    World { others: others.collect(), ours, keys, good }
});

/// The bytes of a run.
pub fn input(plan: &Plan, rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    plan.encode(&mut bytes);
    bytes.extend_from_slice(rest);
    bytes
}

/// A token with which all is right.
pub fn good(key: u8) -> &'static str {
    &WORLD.good[usize::from(key) % WORLD.good.len()]
}

pub fn run(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let Ok(plan) = Plan::arbitrary(&mut data) else { return };
    crate::show(&plan);
    match plan {
        Plan::Raw {} => {
            let Ok(token) = std::str::from_utf8(data.take_rest()) else { return };
            // (The tokens of another process are encrypted for the same keys.)
            if let Ok(inner) = decrypt(token) {
                assert_eq!(inner, CONTENTS[0].0, "a token was taken that nobody encrypted");
            }
        }
        Plan::Edited { key } => {
            let good = good(key);
            let mut bytes = good.as_bytes().to_vec();
            while let Ok(edit) = Edit::arbitrary(&mut data) {
                edit.apply(&mut bytes);
                if data.is_empty() || bytes.len() > 1 << 16 {
                    break;
                }
            }
            let Ok(token) = String::from_utf8(bytes) else { return };
            let taken = decrypt(&token);
            assert_eq!(taken.is_ok(), token == good, "{:?}", taken.err());
        }
        Plan::Built { key, is_ours, enc, has_info, content, header: changes } => {
            let at = usize::from(key) % WORLD.ours.len();
            let by = if is_ours { &WORLD.ours[at] } else { &WORLD.others[at] };
            let enc = ENCRYPTIONS[usize::from(enc) % ENCRYPTIONS.len()];
            let (content, is_signed) = CONTENTS[usize::from(content) % CONTENTS.len()];
            let info = if has_info { SENDER } else { b"" };
            let envelope = by.envelope(enc, info, b"");

            let mut header = by.header();
            header["enc"] = enc.into();
            if let Some(epk) = &envelope.epk {
                header["epk"] = epk.clone();
            }
            if has_info {
                header["apu"] = Base64UrlUnpadded::encode_string(SENDER).into();
            }
            let mut header = Members::of(&header);
            changes.iter().for_each(|change| header.apply(*change, &HEADER_NAMES, &VALUES));
            let token = envelope.seal(header.text().as_bytes(), content.as_bytes());

            let is_agreed = envelope.epk.is_some();
            let is_right = is_ours
                && !header.has_twice()
                && !header.has("crit")
                && !header.has("zip")
                && header.value("alg") == Some(by.header()["alg"].clone())
                && header.value("enc") == Some(enc.into())
                && is_none_or(&header, "kid", |kid| kid == by.kid)
                && is_none_or(&header, "cty", |cty| {
                    ["jwt", "application/jwt"].contains(&cty.to_ascii_lowercase().as_str())
                })
                && (!is_agreed || header.value("epk") == envelope.epk)
                && is_info(&header, "apu", is_agreed.then_some(info))
                && is_info(&header, "apv", is_agreed.then_some(b""))
                && token.len() <= 16 * 1024;
            match decrypt(&token) {
                Ok(inner) => {
                    assert!(is_right && is_signed, "it was taken: {} {content}", header.text());
                    assert_eq!(inner, content);
                }
                Err(Rejected::OnlyEncrypted) => assert!(is_right && !is_signed),
                Err(why) => assert!(!is_right, "{why:?}: {}", header.text()),
            }
        }
        Plan::PrivateKey { key, changes } => {
            let mut jwk = Members::of(&WORLD.ours[usize::from(key) % WORLD.ours.len()].jwk());
            changes.iter().for_each(|change| jwk.apply(*change, &KEY_NAMES, &VALUES));
            read(jwk.text().as_bytes(), &jwk);
        }
        Plan::RawPrivateKey {} => {
            let jwk = data.take_rest();
            if let Some(members) = std::str::from_utf8(jwk).ok().and_then(Members::parse) {
                read(jwk, &members);
            } else {
                assert!(DecryptionKey::from_jwk(jwk).is_err());
            }
        }
    }
}

fn decrypt(token: &str) -> Result<String, Rejected> {
    let opened = within((64 << 10) + 16 * token.len(), || WORLD.keys.decrypt(token));
    opened.map(|inner| inner.expose().to_owned())
}

/// A text, if it is there.
fn is_none_or(header: &Members, name: &str, is_right: impl Fn(&str) -> bool) -> bool {
    match header.value(name) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => is_right(&text),
        Some(_) => false,
    }
}

/// A text in base64url, and this one if it matters which.
fn is_info(header: &Members, name: &str, expected: Option<&[u8]>) -> bool {
    let found = match header.value(name) {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::String(text)) => Base64UrlUnpadded::decode_vec(&text).ok(),
        Some(_) => None,
    };
    found.is_some_and(|found| expected.is_none_or(|expected| found == expected))
}

/// Reads a private key: if it is one, only its public half is published.
fn read(jwk: &[u8], members: &Members) {
    let Ok(key) = DecryptionKey::from_jwk(jwk) else { return };
    assert!(!members.has_twice());
    let keys = DecryptionKeys::new([key]).expect("one key");
    let published: Value = serde_json::from_str(&keys.public_jwks()).expect("JSON");
    let published = published["keys"][0].as_object().expect("a key");
    let public = ["alg", "crv", "e", "kid", "kty", "n", "use", "x", "y"];
    assert!(published.keys().all(|name| public.contains(&name.as_str())));
    for name in ["kty", "crv", "alg", "n", "e", "x", "y"] {
        let given = members.value(name);
        assert!(published.get(name).is_none_or(|value| Some(value) == given.as_ref()), "{name}");
    }
    assert_eq!(published["use"], json!("enc"));
}
