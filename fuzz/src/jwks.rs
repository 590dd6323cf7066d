//! Key sets: any bytes, or keys put together. A key checks a signature just if a plain reading says that it is the one that signed, and may.

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use arbitrary::{Arbitrary, Unstructured};
use oubliette::ClientId;
use oubliette::logout::{Algorithm, Issuer, KeySet, Keys, MAX_KEY_SET_BYTES};
use oubliette::openid::Provider;
use serde_json::{Value, json};

use crate::bounds::within;
use crate::input::Encode;
use crate::members::{Change, Members};
use oubliette_testkit::signer::Signer;

crate::plans! {
    /// The document.
    pub enum Plan {
        /// The rest of the bytes.
        Raw {},
        /// Two keys, of what kind, and how they are changed; and which algorithms the issuer has.
        Built { signer: u8, other: u8, first: Vec<Change>, second: Vec<Change>, algorithms: u8 },
    }
}

const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];
const ISSUER: &str = "https://login.example.com";
const NOW: u64 = 1_800_000_000;

const NAMES: [&str; 14] =
    ["kty", "crv", "n", "e", "x", "y", "kid", "alg", "use", "key_ops", "x5c", "d", "k", "unknown"];
/// As they stand in a document; those of the signers' keys come on top.
const VALUES: [&str; 36] = [
    "null",
    "7",
    "{}",
    "[]",
    "\"\"",
    "\"A\"",
    "\"AQAB\"",
    "\"AQ\"",
    "\"AQAB=\"",
    "\"RSA\"",
    "\"rsa\"",
    "\"EC\"",
    "\"OKP\"",
    "\"oct\"",
    "\"P-256\"",
    "\"P-384\"",
    "\"P-521\"",
    "\"Ed25519\"",
    "\"Ed448\"",
    "\"X25519\"",
    "\"RS256\"",
    "\"PS256\"",
    "\"RS384\"",
    "\"ES256\"",
    "\"ES384\"",
    "\"EdDSA\"",
    "\"none\"",
    "\"HS256\"",
    "\"sig\"",
    "\"enc\"",
    "[\"verify\"]",
    "[\"sign\",\"verify\"]",
    "[\"encrypt\"]",
    "\"verify\"",
    "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"",
    "[7]",
];

struct World {
    signers: Vec<Signer>,
    tokens: Vec<String>,
    values: Vec<String>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let signers: Vec<_> =
        (0..10).map(|n| Signer::numbered(ALGORITHMS[n % 5], (n / 5) as u8)).collect();
    let claims = json!({
        "iss": ISSUER, "aud": "web", "iat": NOW, "exp": NOW + 120, "sub": "jane",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    let tokens = signers.iter().map(|signer| signer.sign(&signer.header(), &claims)).collect();
    let mut values: Vec<_> = VALUES.map(String::from).into();
    for key in signers.iter().map(Signer::jwk) {
        let parts = ["n", "x", "y", "kid"].into_iter().filter_map(|name| key.get(name));
        values.extend(parts.map(Value::to_string));
    }
    World { signers, tokens, values }
});

/// The bytes of a run.
pub fn input(plan: &Plan, rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    plan.encode(&mut bytes);
    bytes.extend_from_slice(rest);
    bytes
}

/// A document with a key of each kind.
pub fn document() -> Vec<u8> {
    json!({ "keys": keys() }).to_string().into_bytes()
}

/// All keys.
pub fn keys() -> Value {
    WORLD.signers.iter().map(Signer::jwk).collect()
}

pub fn run(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let Ok(plan) = Plan::arbitrary(&mut data) else { return };
    crate::show(&plan);
    match plan {
        Plan::Raw {} => {
            let document = data.take_rest();
            let Some(keys) = parse(document) else { return };
            // None of the keys is one of ours, unless it is written there.
            let all: Value = serde_json::from_slice(document).unwrap_or_default();
            assert!(all.is_null() || all.is_object(), "no object was taken for a key set");
            for (signer, token) in WORLD.signers.iter().zip(&WORLD.tokens) {
                if verifies(token, &keys, &ALGORITHMS) {
                    let key = signer.jwk();
                    let part = key.get("n").or(key.get("x")).expect("a part of a key");
                    assert!(
                        all.is_null() || is_in(&all, part),
                        "a key that is not there has verified a signature"
                    );
                }
            }
        }
        Plan::Built { signer, other, first, second, algorithms } => {
            let algorithms: Vec<_> = (0..5)
                .filter(|bit| algorithms & 1 << bit != 0)
                .map(|bit| ALGORITHMS[bit])
                .collect();
            if algorithms.is_empty() {
                return;
            }
            let values: Vec<&str> = WORLD.values.iter().map(String::as_str).collect();
            let key = |number: u8, changes: &[Change]| {
                let mut key = Members::of(&WORLD.signers[usize::from(number) % 10].jwk());
                changes.iter().for_each(|change| key.apply(*change, &NAMES, &values));
                key
            };
            let (one, two) = (key(signer, &first), key(other, &second));
            let document = format!("{{\"keys\":[{},{}]}}", one.text(), two.text());
            let keys = parse(document.as_bytes());
            for (at, (signer, token)) in WORLD.signers.iter().zip(&WORLD.tokens).enumerate() {
                let algorithm = ALGORITHMS[at % 5];
                let expected = match algorithms.contains(&algorithm) {
                    true => expected(&[&one, &two], signer, algorithm, &algorithms),
                    false => Some(false),
                };
                let verifies = keys.as_ref().is_some_and(|keys| verifies(token, keys, &algorithms));
                assert!(
                    expected.is_none_or(|expected| expected == verifies),
                    "{algorithm:?} with {algorithms:?}: {document}"
                );
            }
        }
    }
}

fn parse(document: &[u8]) -> Option<KeySet> {
    let keys = within((64 << 10) + 16 * document.len(), || KeySet::parse(document)).ok()?;
    assert!(
        (1..=64).contains(&keys.len()) && !keys.is_empty() && document.len() <= MAX_KEY_SET_BYTES
    );
    assert_eq!(format!("{keys:?}"), format!("KeySet({} keys)", keys.len()));
    Some(keys)
}

fn verifies(token: &str, keys: &KeySet, algorithms: &[Algorithm]) -> bool {
    static ISSUER_OF_ALL: LazyLock<Issuer> = LazyLock::new(|| {
        let keys = Keys::fixed(&document()).expect("the keys can be used");
        Issuer::new(
            Provider::generic(ISSUER).expect("an issuer"),
            ClientId::new("web").expect("a client"),
            keys,
        )
    });
    let issuer = ISSUER_OF_ALL.clone().algorithms(algorithms.iter().copied());
    issuer.verify(token, keys, UNIX_EPOCH + Duration::from_secs(NOW)).is_ok()
}

/// Whether the signer's token verifies: with a key of its name, if one is there that can be used, else with one without a name. `None` if that
/// depends on whether a key made of odd parts is one.
fn expected(
    keys: &[&Members],
    signer: &Signer,
    algorithm: Algorithm,
    algorithms: &[Algorithm],
) -> Option<bool> {
    let is_ours = |key: &&&Members| is_public_key(key, signer);
    let is_known = |key: &&&Members| WORLD.signers.iter().any(|signer| is_public_key(key, signer));
    let usable: Vec<_> =
        keys.iter().filter(|key| may_verify(key, signer, algorithm, algorithms)).collect();
    let of_name = |name: Option<Value>| {
        usable
            .iter()
            .copied()
            .filter(move |key| key.value("kid").filter(|kid| !kid.is_null()) == name)
    };
    let named: Vec<_> = of_name(Some(signer.kid.clone().into())).collect();
    if named.iter().any(is_ours) {
        Some(true)
    } else if named.iter().any(is_known) {
        Some(false)
    } else if named.is_empty() {
        Some(of_name(None).any(|key| is_public_key(key, signer)))
    } else {
        None
    }
}

/// Whether it is this one, whatever it is called and may be used for.
fn is_public_key(key: &Members, signer: &Signer) -> bool {
    let public = signer.jwk();
    let parts = ["kty", "crv", "n", "e", "x", "y"]
        .into_iter()
        .filter_map(|name| public.get(name).map(|value| (name, value)));
    parts.into_iter().all(|(name, value)| key.value(name).as_ref() == Some(value))
}

/// Whether the rest of it lets it check what was signed with this algorithm.
fn may_verify(
    key: &Members,
    signer: &Signer,
    algorithm: Algorithm,
    algorithms: &[Algorithm],
) -> bool {
    // Text, where it is there at all.
    let is_text =
        |name: &str| !key.has(name) || key.value(name).is_some_and(|value| value.is_string());
    let is_for_signatures = !key.has("use") || key.value("use") == Some("sig".into());
    let may_verify = !key.has("key_ops")
        || key.value("key_ops").and_then(|names| names.as_array().cloned()).is_some_and(|names| {
            names.iter().all(Value::is_string) && names.contains(&"verify".into())
        });
    // A key serves one algorithm: what it says, or else the first that it can of the issuer's.
    let is_rsa = |algorithm: &Algorithm| matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256);
    let serves = if key.has("alg") {
        let name = key.value("alg");
        name == Some(signer.header()["alg"].clone())
            || (algorithm == Algorithm::EdDsa && name == Some("Ed25519".into()))
    } else {
        !is_rsa(&algorithm)
            || algorithms.iter().find(|algorithm| is_rsa(algorithm)) == Some(&algorithm)
    };
    let has_family = key.value("kty") == signer.jwk().get("kty").cloned()
        && (is_rsa(&algorithm) || key.value("crv") == signer.jwk().get("crv").cloned());
    !key.has_twice()
        && is_text("crv")
        && is_text("kid")
        && is_for_signatures
        && may_verify
        && serves
        && has_family
}

fn is_in(all: &Value, part: &Value) -> bool {
    all == part
        || match all {
            Value::Array(values) => values.iter().any(|value| is_in(value, part)),
            Value::Object(members) => members.values().any(|value| is_in(value, part)),
            _ => false,
        }
}
