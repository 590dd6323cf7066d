//! Logout tokens: only what a key of the issuer has signed is taken, and of that only what the specifications allow. A plain reading of the same
//! members says what that is.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arbitrary::{Arbitrary, Unstructured};
use oubliette::logout::{Algorithm, Issuer, KeySet, Keys, LogoutToken, Rejected};
use oubliette::openid::Provider;
use oubliette::{ClientId, MAX_ID_BYTES};
use serde_json::{Value, json};

use crate::bounds::within;
use crate::edit::Edit;
use crate::input::Encode;
use crate::members::{Change, Members};
use oubliette_testkit::signer::Signer;

crate::plans! {
    /// What the token is made of, and what the issuer is set to.
    pub enum Plan {
        /// The rest of the bytes is the token.
        Raw {},
        /// The rest of the bytes are edits of a good one.
        Edited { signer: u8 },
        /// Put together and signed. What is signed with is the first key of that algorithm, or a second one of the same name.
        Signed {
            signer: u8, is_ours: bool, header: Vec<Change>, claims: Vec<Change>,
            skew: u16, age: Option<u16>, is_type_required: bool, algorithms: u8,
        },
    }
}

const ISSUER: &str = "https://login.example.com";
const NOW: u64 = 1_800_000_000;
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];
/// How far the `iat` of a token may lie ahead beside the skew.
const AHEAD: u64 = 600;

/// Names and values of members, as they stand in a token.
const HEADER_NAMES: [&str; 9] = ["alg", "typ", "kid", "crit", "b64", "jwk", "jku", "x5c", "cty"];
const CLAIM_NAMES: [&str; 12] =
    ["iss", "aud", "iat", "exp", "nbf", "sub", "sid", "events", "nonce", "jti", "tid", "unknown"];
const VALUES: [&str; 66] = [
    "null",
    "true",
    "0",
    "-1",
    "{}",
    "[]",
    "\"\"",
    "\"x\"",
    "1e400",
    "1e300",
    "-0.0",
    "[\"exp\"]",
    "\"RS256\"",
    "\"PS256\"",
    "\"ES256\"",
    "\"ES384\"",
    "\"EdDSA\"",
    "\"Ed25519\"",
    "\"none\"",
    "\"HS256\"",
    "\"rs256\"",
    "\"RS256-0\"",
    "\"PS256-0\"",
    "\"ES256-0\"",
    "\"ES384-0\"",
    "\"EdDSA-0\"",
    "\"logout+jwt\"",
    "\"Logout+JWT\"",
    "\"application/logout+jwt\"",
    "\"APPLICATION/jwt\"",
    "\"JWT\"",
    "\"at+jwt\"",
    "\"secevent+jwt\"",
    "\"application/\"",
    "\"https://login.example.com\"",
    "\"https://login.example.com/\"",
    "\"https://evil.example.com\"",
    "[\"https://login.example.com\"]",
    "\"web\"",
    "[\"web\"]",
    "[\"other\",\"web\"]",
    "[\"web\",7]",
    "\"other\"",
    "\"web\\u0000\"",
    "\"line\\nbreak\"",
    "\"\\ud83d\\ude00\"",
    "1800000000",
    "1800000000.5",
    "1799999999",
    "1799999941",
    "1799999940",
    "1799999939.75",
    "1800000060",
    "1800000061",
    "1800000659",
    "1800000661",
    "\"1800000000\"",
    "99999999999999999999",
    "{\"http://schemas.openid.net/event/backchannel-logout\":{}}",
    "{\"http://schemas.openid.net/event/backchannel-logout\":{\"a\":[]},\"revoke_offline_access\":true}",
    "{\"http://schemas.openid.net/event/backchannel-logout\":{},\"revoke_offline_access\":1}",
    "{\"http://schemas.openid.net/event/backchannel-logout\":[]}",
    "{\"http://schemas.openid.net/event/backchannel-logout\":null}",
    "{\"http://schemas.openid.net/event/back\\u0063hannel-logout\":{}}",
    "{\"http://schemas.openid.net/event/backchannel-logout\":{},\"http://schemas.openid.net/event/backchannel-logout\":{}}",
    "[\"http://schemas.openid.net/event/backchannel-logout\"]",
];

struct World {
    signers: Vec<Signer>,
    others: Vec<Signer>,
    /// A token with which all is right, of each.
    good: Vec<String>,
    keys: KeySet,
    jwks: Vec<u8>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let signers: Vec<_> = ALGORITHMS.map(Signer::new).into();
    let others = ALGORITHMS.map(Signer::other).into();
    let keys = signers.iter().map(|signer: &Signer| {
        let mut key = signer.jwk();
        key["alg"] = signer.header()["alg"].clone();
        key
    });
    let jwks = json!({ "keys": keys.collect::<Vec<_>>() }).to_string().into_bytes();
    let sign = |signer: &Signer| {
        signer.sign_bytes(header(signer).text().as_bytes(), claims().text().as_bytes())
    };
    let good = signers.iter().map(sign).collect();
    World { signers, others, good, keys: KeySet::parse(&jwks).expect("the keys can be used"), jwks }
});

/// The bytes of a run.
pub fn input(plan: &Plan, rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    plan.encode(&mut bytes);
    bytes.extend_from_slice(rest);
    bytes
}

/// A token with which all is right.
pub fn good(signer: u8) -> &'static str {
    &WORLD.good[usize::from(signer) % ALGORITHMS.len()]
}

pub fn run(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let Ok(plan) = Plan::arbitrary(&mut data) else { return };
    crate::show(&plan);
    let issuer = issuer().algorithms(ALGORITHMS);
    match plan {
        Plan::Raw {} => {
            let Ok(token) = std::str::from_utf8(data.take_rest()) else { return };
            if verify(&issuer, token).is_ok() {
                // (There is more than one signature of the same for PS256.)
                let signed =
                    |token: &str| token.rsplit_once('.').map(|(signed, _)| signed.to_owned());
                assert!(
                    (0..5).any(|signer| signed(good(signer)) == signed(token)),
                    "a token was taken that nobody signed"
                );
            }
        }
        Plan::Edited { signer } => {
            let good = good(signer);
            let mut bytes = good.as_bytes().to_vec();
            while let Ok(edit) = Edit::arbitrary(&mut data) {
                edit.apply(&mut bytes);
                if data.is_empty() || bytes.len() > 1 << 16 {
                    break;
                }
            }
            let Ok(token) = String::from_utf8(bytes) else { return };
            let taken = verify(&issuer, &token);
            // (ECDSA: whoever has one signature can make the other that is as good: s and n - s. That takes more than edits.)
            assert_eq!(taken.is_ok(), token == good, "{:?}", taken.err());
        }
        Plan::Signed {
            signer,
            is_ours,
            header: in_header,
            claims: in_claims,
            skew,
            age,
            is_type_required,
            algorithms,
        } => {
            let at = usize::from(signer) % ALGORITHMS.len();
            let by = if is_ours { &WORLD.signers[at] } else { &WORLD.others[at] };
            let mut header = header(by);
            let mut claims = claims();
            in_header.iter().for_each(|change| header.apply(*change, &HEADER_NAMES, &VALUES));
            in_claims.iter().for_each(|change| claims.apply(*change, &CLAIM_NAMES, &VALUES));
            let token = by.sign_bytes(header.text().as_bytes(), claims.text().as_bytes());

            let algorithms: Vec<_> = (0..5)
                .filter(|bit| algorithms & 1 << bit != 0)
                .map(|bit| ALGORITHMS[bit])
                .collect();
            if algorithms.is_empty() {
                return;
            }
            let skew = u64::from(skew);
            let mut issuer = issuer.algorithms(algorithms.clone()).skew(Duration::from_secs(skew));
            if let Some(age) = age {
                issuer = issuer.without_expiry_for(Duration::from_secs(age.into()));
            }
            if is_type_required {
                issuer = issuer.require_type();
            }
            let is_signed = is_ours && is_named_right(&header, ALGORITHMS[at], by);
            let expected = is_signed
                && algorithms.contains(&ALGORITHMS[at])
                && is_typed(&header, is_type_required)
                && !header.has("crit")
                && !header.has("b64")
                && is_timely(&claims, skew, age.map(u64::from));
            let expected = if expected && !header.has_twice() && token.len() <= 16 * 1024 {
                read(&claims)
            } else {
                None
            };
            match (verify(&issuer, &token), expected) {
                (Ok(token), Some(expected)) => check(&token, &expected, &claims),
                (Err(_), None) => {}
                (Ok(_), None) => panic!("it was taken: {} {}", header.text(), claims.text()),
                (Err(why), Some(_)) => panic!("{why:?}: {} {}", header.text(), claims.text()),
            }
        }
    }
}

fn issuer() -> Issuer {
    let keys = Keys::fixed(&WORLD.jwks).expect("the keys can be used");
    let provider = Provider::generic(ISSUER).expect("an issuer");
    Issuer::new(provider, ClientId::new("web").expect("a client"), keys)
}

fn verify(issuer: &Issuer, token: &str) -> Result<LogoutToken, Rejected> {
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    within((64 << 10) + 16 * token.len(), || issuer.verify(token, &WORLD.keys, now))
}

fn header(signer: &Signer) -> Members {
    Members::of(&signer.header())
}

fn claims() -> Members {
    Members::of(&json!({
        "iss": ISSUER, "aud": "web", "iat": NOW, "exp": NOW + 120, "jti": "1", "sub": "jane", "sid": "session",
        "events": {EVENT: {}},
    }))
}

/// Who has signed out, by a plain reading.
struct User {
    sub: Option<String>,
    sid: Option<String>,
}

/// What the claims say, if they may say it.
fn read(claims: &Members) -> Option<User> {
    if claims.has_twice() || claims.has("nonce") {
        return None;
    }
    (claims.value("iss")? == ISSUER).then_some(())?;
    let is_for_us = match claims.value("aud")? {
        Value::String(one) => one == "web",
        Value::Array(several) => {
            several.iter().all(Value::is_string) && several.iter().any(|one| one == "web")
        }
        _ => false,
    };
    // `null` is none; an empty text is none.
    let text = |name: &str| match claims.value(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => Some(Some(text).filter(|text| !text.is_empty())),
        Some(_) => None,
    };
    let can_be_stored =
        |text: &String| text.len() <= MAX_ID_BYTES && !text.chars().any(char::is_control);
    // What no sign-in can have names nobody.
    let (sub, sid, _) =
        (text("sub")?.filter(can_be_stored), text("sid")?.filter(can_be_stored), text("tid")?);
    let events = claims.text_of("events")?;
    let has_event = Members::parse(events).is_some_and(|events| {
        !events.has_twice()
            && events
                .text_of(EVENT)
                .and_then(Members::parse)
                .is_some_and(|event| !event.has_twice())
    });
    (is_for_us && has_event && (sub.is_some() || sid.is_some())).then_some(User { sub, sid })
}

fn is_timely(claims: &Members, skew: u64, age: Option<u64>) -> bool {
    // `None` if it is there and no time.
    let time = |name: &str| match claims.value(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::Number(seconds)) => {
            seconds.as_f64().filter(|seconds| *seconds >= 0.0).map(Some)
        }
        Some(_) => None,
    };
    let (Some(Some(iat)), Some(exp), Some(nbf)) = (time("iat"), time("exp"), time("nbf")) else {
        return false;
    };
    let (now, skew) = (NOW as f64, skew as f64);
    let end = match (exp, age) {
        (Some(exp), _) => exp,
        (None, Some(age)) => iat + age as f64,
        (None, None) => return false,
    };
    iat <= now + skew + AHEAD as f64 && nbf.is_none_or(|nbf| nbf <= now + skew) && end + skew > now
}

fn is_typed(header: &Members, strictly: bool) -> bool {
    match header.value("typ") {
        None | Some(Value::Null) => !strictly,
        Some(Value::String(typ)) => {
            let typ = typ.to_ascii_lowercase();
            let typ = typ.strip_prefix("application/").unwrap_or(&typ);
            typ == "logout+jwt" || (["jwt", "at+jwt"].contains(&typ) && !strictly)
        }
        Some(_) => false,
    }
}

/// Whether the header names the key that signed, and the algorithm that it signed with.
fn is_named_right(header: &Members, algorithm: Algorithm, signer: &Signer) -> bool {
    let is_algorithm = match header.value("alg") {
        Some(Value::String(name)) => {
            signer.header()["alg"] == name || (algorithm == Algorithm::EdDsa && name == "Ed25519")
        }
        _ => false,
    };
    let is_key = match header.value("kid") {
        None | Some(Value::Null) => true,
        Some(Value::String(name)) => name == signer.kid,
        Some(_) => false,
    };
    is_algorithm && is_key
}

fn check(token: &LogoutToken, expected: &User, claims: &Members) {
    assert_eq!(token.session().map(|session| session.sid()), expected.sid.as_deref());
    assert_eq!(token.subject().map(|subject| subject.sub()), expected.sub.as_deref());
    assert!(token.session().is_none_or(|session| session.issuer() == ISSUER));
    assert!(token.subject().is_none_or(|subject| subject.issuer() == ISSUER));
    let iat = token
        .issued_at()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after the epoch")
        .as_secs_f64();
    let expected = claims.value("iat").and_then(|iat| iat.as_f64()).expect("a number");
    assert!((iat - expected).abs() < 0.001, "{iat} {expected}");
    let events: Value =
        serde_json::from_str(claims.text_of("events").expect("it is there")).expect("JSON");
    assert_eq!(token.revokes_offline_access(), events["revoke_offline_access"] == true);
    assert_eq!(format!("{token:?}"), "LogoutToken(..)");
}
