//! What fuzzing starts from: a small file for each thing that a target can do, made from valid data. `examples/seeds.rs` writes them.

use std::collections::BTreeMap;

use oubliette::Machine;
use oubliette::fuzzing::{LedgerFile, LedgerOn};
use oubliette_testkit::chance::Chance;
use serde_json::{Map, Value};

use crate::edit::Edit;
use crate::input::Encode;
use crate::ledger::{self, Crash, Head, Item};
use crate::members::Change;
use crate::operations::{self, Verb};
use crate::row_and_header::{Kind, frame, valid};
use crate::{
    discovery, encrypted_token, front_channel_query, jwks, key_source, keyring, logout_token,
    msal_import, row_and_header, token_response,
};

/// As MSAL.NET writes: an app's token without a home account id, a byte-order mark, commas that JSON does not allow.
const DOTNET: &str = concat!(
    "\u{feff}",
    r#"{"AccessToken": {
        "a": {"home_account_id": "uid.utid", "environment": "sts.windows.net", "client_id": "web", "secret": "at-1",
            "credential_type": "AccessToken", "realm": "utid", "target": "User.Read openid", "cached_at": "1799990000",
            "expires_on": "1800003600", "ext_expires_on": "1800007200", "refresh_on": "1800001800", "later": {"a": [1, 2,],},},
        "b": {"environment": "login.windows.net", "client_id": "web", "secret": "at-2", "realm": "utid",
            "target": "api/.default", "expires_on": 1800003600},
        "c": {"home_account_id": "uid.utid", "environment": "login.microsoftonline.com", "client_id": "web", "secret": "at-3",
            "realm": "utid", "target": "b", "expires_on": "1800003600", "ext_cache_key": "x",},},
    "Account": {"d": {"home_account_id": "uid.utid", "environment": "login.windows.net", "realm": "utid", "username": "u",},},
    "Unknown": {"x": [true, null]}}"#
);

/// As MSAL for Java writes: on-behalf-of partitions, a user of several tenants, a family of clients.
const JAVA: &str = r#"{"AccessToken": {
    "a": {"home_account_id": "uid.utid", "environment": "login.windows.net", "client_id": "web", "secret": "at-1", "realm": "utid",
        "target": "a b", "expires_on": "1800003600", "user_assertion_hash": "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"},
    "b": {"home_account_id": "uid.utid", "environment": "login.windows.net", "client_id": "web", "secret": "at-2", "realm": "guest",
        "target": "a b", "expires_on": "1800003600", "token_type": "PoP"}},
  "RefreshToken": {"c": {"home_account_id": "uid.utid", "environment": "login.windows.net", "client_id": "web", "secret": "rt",
        "family_id": "1", "last_modification_time": "1799990000"}},
  "IdToken": {"d": {"home_account_id": "uid.utid", "environment": "login.windows.net", "client_id": "web", "realm": "utid",
        "secret": "e30.eyJpc3MiOiJodHRwczovL2kiLCJzdWIiOiJzIiwic2lkIjoiZCIsImlhdCI6MTc5OTk5MDAwMH0.e30"}},
  "Account": {"e": {"home_account_id": "uid.utid", "environment": "login.windows.net", "realm": "utid",
        "local_account_id": "uid", "username": "user@example.com", "authority_type": "MSSTS"}},
  "AppMetadata": {"f": {"client_id": "web", "environment": "login.windows.net", "family_id": "1"}}}"#;

/// What an import has to be careful with: who is signed out, what is no tenant, what is newer.
const MSAL_IN_DOUBT: [(&str, &str); 8] = [
    (
        "no-account",
        r#"{"Account": {}, "RefreshToken": {"k": {"credential_type": "RefreshToken", "home_account_id": "u.t",
        "environment": "login.windows.net", "client_id": "web", "secret": "RT"}}}"#,
    ),
    (
        "alias",
        r#"{"AccessToken": {"a": {"home_account_id": "1.aaaaaaaa-0000-4000-8000-00000000000a", "environment": "login.windows.net",
        "client_id": "web", "realm": "organizations", "target": "a", "secret": "at", "expires_on": "1800003600"}},
        "Account": {"a": {"home_account_id": "1.aaaaaaaa-0000-4000-8000-00000000000a", "environment": "login.windows.net", "realm": "common"}}}"#,
    ),
    (
        "domain",
        r#"{"AccessToken": {"a": {"home_account_id": "sub", "environment": "login.windows.net",
        "client_id": "web", "realm": "contoso.com", "target": "a", "secret": "at", "expires_on": "1800003600"}},
        "IdToken": {"a": {"home_account_id": "sub", "environment": "login.windows.net", "client_id": "web", "realm": "contoso.com",
        "secret": "e30.eyJ0aWQiOiJiYmJiYmJiYi0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMGIiLCJzdWIiOiJzIn0.e30"}},
        "Account": {"a": {"home_account_id": "sub", "environment": "login.microsoftonline.com", "realm": "contoso.com"}}}"#,
    ),
    (
        "domain-of-nobody",
        r#"{"AccessToken": {"a": {"home_account_id": "", "environment": "login.windows.net",
        "client_id": "web", "realm": "contoso.com", "target": "x/.default", "secret": "at", "expires_on": "1800003600"}}}"#,
    ),
    (
        "adfs",
        r#"{"AccessToken": {"a": {"home_account_id": "s+/=", "environment": "fs.example.com",
        "client_id": "web", "realm": "adfs", "target": "a", "secret": "at", "expires_on": "1800003600"}},
        "Account": {"a": {"home_account_id": "s+/=", "environment": "fs.example.com", "realm": "adfs", "authority_type": "ADFS"}}}"#,
    ),
    (
        "two-refresh-tokens",
        r#"{"RefreshToken": {
        "p": {"home_account_id": "u.t", "environment": "login.microsoftonline.com", "client_id": "web", "secret": "rt-1",
            "last_modification_time": "1799990000"},
        "n": {"home_account_id": "u.t", "environment": "login.windows.net", "client_id": "web", "secret": "rt-2"}},
        "AccessToken": {"n": {"home_account_id": "u.t", "environment": "login.windows.net", "client_id": "web", "realm": "t",
            "target": "a", "secret": "at", "cached_at": "1799995000", "expires_on": "1800003600", "extended_expires_on": "1800012200"}},
        "Account": {"p": {"home_account_id": "u.t", "environment": "login.microsoftonline.com"}}}"#,
    ),
    (
        "undecided",
        r#"{"RefreshToken": {
        "p": {"home_account_id": "u.t", "environment": "login.microsoftonline.com", "client_id": "web", "secret": "rt-1",
            "last_modification_time": "1799990000"},
        "n": {"home_account_id": "u.t", "environment": "login.windows.net", "client_id": "web", "secret": "rt-2"}},
        "Account": {"p": {"home_account_id": "u.t", "environment": "sts.windows.net"}}}"#,
    ),
    (
        "empty-id-of-a-user",
        r#"{"AccessToken": {"a": {"home_account_id": "", "environment": "login.windows.net", "client_id": "web",
        "realm": "aaaaaaaa-0000-4000-8000-00000000000a", "target": "User.Read", "secret": "at", "expires_on": "1800003600"}}}"#,
    ),
];

/// What is handed in for a cache and is none.
const MSAL_NO_CACHE: [(&str, &[u8]); 6] = [
    (
        "browser",
        br#"{"u-refreshtoken-web----": "{\"credentialType\":\"RefreshToken\",\"homeAccountId\":\"u.t\",\"secret\":\"rt\"}"}"#,
    ),
    ("browser-encrypted", br#"{"msal.3|u": "{\"id\":\"1\",\"nonce\":\"n\",\"data\":\"d\"}"}"#),
    ("adal", br#"[{"_clientId": "web", "_authority": "https://login.example.com/common", "refreshToken": "rt",}]"#),
    ("data-protection", b"\x09\xf0\xc9\xf0\x80\x9c\x81\x0c"),
    ("dpapi", b"\x01\0\0\0\xd0\x8c\x9d\xdf\x01\x15\xd1\x11\x8c\x7a\x00\xc0\x4f\xc2\x97\xeb"),
    ("no-section", br#"{"access_token": "at", "refresh_token": "rt"}"#),
];

/// Files by name.
pub type Seeds = BTreeMap<String, Vec<u8>>;

/// The seeds of a target.
pub fn of(target: &str) -> Seeds {
    match target {
        "key_source" => of_key_source(),
        "discovery" => of_discovery(),
        "encrypted_token" => of_encrypted_token(),
        "front_channel_query" => of_front_channel_query(),
        "jwks" => of_jwks(),
        "keyring" => of_keyring(),
        "ledger" => of_ledger(),
        "logout_token" => of_logout_token(),
        "msal_import" => of_msal_import(),
        "operations" => of_operations(),
        "row_and_header" => of_row_and_header(),
        "token_response" => of_token_response(),
        _ => panic!("there is no target {target}"),
    }
}

fn named(seeds: impl IntoIterator<Item = (impl Into<String>, Vec<u8>)>) -> Seeds {
    seeds.into_iter().map(|(name, bytes)| (name.into(), bytes)).collect()
}

fn of_key_source() -> Seeds {
    use key_source::{Plan, input};
    let hex = "hex:000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
    let base64 = "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let text = |text: &str| input(&Plan::Text { newline_allowed: true }, text.as_bytes());
    let env = |value, file, mode, text: &str| {
        input(
            &Plan::Env { name: 3, value, file, mode, allow: mode == 6 },
            format!("KEY{text}").as_bytes(),
        )
    };
    named([
        ("text-hex", text(hex)),
        ("text-hex-newline", text(&format!("{hex}\n"))),
        ("text-base64-crlf", text(&format!("{base64}\r\n"))),
        ("text-two-newlines", text(&format!("{hex}\n\n"))),
        (
            "text-no-newline-allowed",
            input(&Plan::Text { newline_allowed: false }, format!("{hex}\n").as_bytes()),
        ),
        ("text-base64-loose-bits", text("base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=")),
        ("text-base64-url", text("base64:__ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")),
        ("text-placeholder", text(&format!("hex:{}", "a5".repeat(32)))),
        ("text-password", text("correct horse battery staple")),
        ("env-value", env(true, false, 0, hex)),
        ("env-file", env(false, true, 0, base64)),
        ("env-both", env(true, true, 0, hex)),
        ("env-neither", env(false, false, 0, hex)),
        ("env-file-0644", env(false, true, 6, hex)),
        ("env-file-0420", env(false, true, 4, hex)),
        (
            "env-named-by-key",
            input(
                &Plan::Env { name: 68, value: false, file: false, mode: 0, allow: false },
                hex.as_bytes(),
            ),
        ),
        (
            "systemd",
            input(
                &Plan::Systemd { name: 3, directory: true, mode: 0 },
                format!("KEY{hex}\n").as_bytes(),
            ),
        ),
        (
            "systemd-none",
            input(
                &Plan::Systemd { name: 3, directory: false, mode: 0 },
                format!("KEY{hex}").as_bytes(),
            ),
        ),
        ("path-key", input(&Plan::Path {}, hex.as_bytes())),
    ])
}

/// A change of a member: to a value of the target's list, or to nothing.
fn change(name: u8, value: Option<u8>) -> Change {
    Change { name, value: value.map_or(0, |value| value + 1), again: false }
}

fn of_discovery() -> Seeds {
    use discovery::{Plan, document, input};
    let built = |is_local, changes: &[Change]| {
        input(&Plan::Built { is_local, changes: changes.to_vec() }, &[])
    };
    let raw = |is_local, text: &str| input(&Plan::Raw { is_local }, text.as_bytes());
    named([
        ("raw-good", raw(false, &document(false).to_string())),
        ("raw-local", raw(true, &document(true).to_string())),
        (
            "raw-list",
            raw(false, r#"["https://login.example.com", "https://login.example.com/keys"]"#),
        ),
        (
            "raw-twice",
            raw(
                false,
                r#"{"issuer": "https://login.example.com", "issuer": "x", "jwks_uri": "https://a/b"}"#,
            ),
        ),
        ("built-good", built(false, &[])),
        ("built-local", built(true, &[])),
        ("built-other-issuer", built(false, &[change(0, Some(6))])),
        ("built-escaped", built(false, &[change(0, Some(8))])),
        ("built-keys-elsewhere", built(false, &[change(1, Some(16))])),
        ("built-keys-plain", built(false, &[change(1, Some(15))])),
        ("built-keys-local", built(true, &[change(1, Some(10))])),
        ("built-keys-not-local", built(true, &[change(1, Some(14))])),
        ("built-keys-user", built(true, &[change(1, Some(20))])),
        ("built-keys-file", built(false, &[change(1, Some(21))])),
        ("built-end-fragment", built(false, &[change(2, Some(17))])),
        ("built-twice", built(false, &[Change { name: 1, value: 17, again: true }])),
    ])
}

fn of_front_channel_query() -> Seeds {
    use front_channel_query::{Plan, input};
    let raw = |route, query: &str| input(&Plan::Raw { route }, query.as_bytes());
    named([
        ("raw-session", raw(0, "iss=https%3A%2F%2Fa.example.com&sid=s1")),
        ("raw-only-session", raw(0, "sid=s2&iss=https://b.example.com:8443/realms/b")),
        ("raw-unknown", raw(0, "iss=https%3A%2F%2Fa.example.com&sid=nobody")),
        ("raw-no-issuer", raw(0, "sid=s1")),
        ("raw-alone", raw(1, "sid=s1")),
        ("raw-alone-issuer", raw(1, "sid=s1&iss=https://c.example.com/c")),
        ("raw-alone-other", raw(1, "sid=s1&iss=https://a.example.com")),
        ("raw-odd", raw(1, "sid=a%2Bb+%26c%3Dd%2520%C3%A9")),
        ("raw-twice", raw(1, "sid=s1&s%69d=s1")),
        ("raw-empty", raw(1, "sid=")),
        ("raw-control", raw(1, "sid=s1%00")),
        ("raw-long", raw(1, &format!("sid=s1&x={}", "y".repeat(4096)))),
        ("built-session", input(&Plan::Built { route: 0, pieces: vec![1, 7, 2, 0, 5] }, &[])),
        ("built-encoded", input(&Plan::Built { route: 0, pieces: vec![11, 10, 2, 9, 20] }, &[])),
    ])
}

fn of_jwks() -> Seeds {
    use jwks::{Plan, input};
    let built = |signer, first: &[Change], second: &[Change], algorithms| {
        input(
            &Plan::Built {
                signer,
                other: signer + 5,
                first: first.to_vec(),
                second: second.to_vec(),
                algorithms,
            },
            &[],
        )
    };
    let raw = |text: &str| input(&Plan::Raw {}, text.as_bytes());
    let mut seeds = named([
        ("raw-all", input(&Plan::Raw {}, &jwks::document())),
        ("raw-none", raw(r#"{"keys": []}"#)),
        ("raw-list", raw(&format!("[{}]", jwks::keys()))),
        ("raw-twice", raw(r#"{"keys": [{"kty": "oct", "k": "AQ"}], "keys": []}"#)),
        (
            "raw-symmetric",
            raw(r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "EdDSA-0", "alg": "HS256"}]}"#),
        ),
        ("raw-small-rsa", raw(r#"{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}"#)),
        (
            "raw-off-the-curve",
            raw(&format!(
                r#"{{"keys": [{{"kty": "EC", "crv": "P-256", "x": "{0}", "y": "{0}"}}]}}"#,
                "A".repeat(43)
            )),
        ),
        ("built-alg", built(0, &[change(7, Some(20))], &[change(7, Some(21))], 0b11111)),
        ("built-alg-of-another", built(2, &[change(7, Some(24))], &[], 0b11111)),
        ("built-for-encryption", built(3, &[change(8, Some(29))], &[change(8, Some(28))], 0b11111)),
        ("built-key-ops", built(4, &[change(9, Some(30))], &[change(9, Some(32))], 0b11111)),
        ("built-no-kid", built(4, &[change(6, None)], &[], 0b10000)),
        ("built-not-the-algorithm", built(1, &[], &[], 0b00001)),
        ("built-twice", built(0, &[Change { name: 2, value: 8, again: true }], &[], 1)),
    ]);
    seeds.extend(
        (0..5).map(|signer| (format!("built-{signer}"), built(signer, &[], &[], 1 << signer))),
    );
    seeds
}

fn of_logout_token() -> Seeds {
    use logout_token::{Plan, good, input};
    let signed = |signer, is_ours, header: &[Change], claims: &[Change]| {
        let (header, claims) = (header.to_vec(), claims.to_vec());
        let (skew, age, is_type_required, algorithms) = (60, None, false, 0b11111);
        input(
            &Plan::Signed {
                signer,
                is_ours,
                header,
                claims,
                skew,
                age,
                is_type_required,
                algorithms,
            },
            &[],
        )
    };
    let (skew, age, algorithms) = (0, Some(60), 1);
    let settings = |is_type_required, header: Vec<Change>, claims: Vec<Change>| {
        input(
            &Plan::Signed {
                signer: 0,
                is_ours: true,
                header,
                claims,
                skew,
                age,
                is_type_required,
                algorithms,
            },
            &[],
        )
    };
    let mut seeds = named([
        ("raw-none", input(&Plan::Raw {}, b"eyJhbGciOiJub25lIn0.e30.")),
        ("raw-encrypted", input(&Plan::Raw {}, b"eyJhbGciOiJkaXIifQ..AA.AA.AA")),
        ("edited-nothing", input(&Plan::Edited { signer: 4 }, &[])),
        ("signed-by-another", signed(0, false, &[], &[])),
        ("signed-alg-none", signed(0, true, &[change(0, Some(18))], &[])),
        (
            "signed-alg-of-another",
            signed(0, true, &[change(0, Some(13)), change(2, Some(22))], &[]),
        ),
        ("signed-ed25519", signed(4, true, &[change(0, Some(17))], &[])),
        ("signed-no-kid", signed(1, true, &[change(2, None)], &[])),
        ("signed-crit", signed(4, true, &[change(3, Some(11))], &[])),
        ("signed-typ-jwt", signed(4, true, &[change(1, Some(30))], &[])),
        ("signed-typ-prefix", signed(4, true, &[change(1, Some(28))], &[])),
        ("signed-typ-at", signed(4, true, &[change(1, Some(31))], &[])),
        ("signed-nonce-null", signed(4, true, &[], &[change(8, Some(0))])),
        ("signed-sub-alone", signed(4, true, &[], &[change(6, None)])),
        ("signed-sid-alone", signed(4, true, &[], &[change(5, None)])),
        ("signed-nobody", signed(4, true, &[], &[change(5, None), change(6, Some(6))])),
        ("signed-sid-unfit", signed(4, true, &[], &[change(6, Some(44))])),
        ("signed-aud-list", signed(4, true, &[], &[change(1, Some(40))])),
        ("signed-aud-mixed", signed(4, true, &[], &[change(1, Some(41))])),
        ("signed-iss-list", signed(4, true, &[], &[change(0, Some(37))])),
        ("signed-iat-ahead", signed(4, true, &[], &[change(2, Some(54))])),
        ("signed-iat-text", signed(4, true, &[], &[change(2, Some(56))])),
        ("signed-exp-just-over", signed(4, true, &[], &[change(3, Some(50))])),
        ("signed-exp-fraction", signed(4, true, &[], &[change(3, Some(51))])),
        ("signed-nbf-ahead", signed(4, true, &[], &[change(4, Some(53))])),
        ("signed-event-list", signed(4, true, &[], &[change(7, Some(65))])),
        ("signed-event-offline", signed(4, true, &[], &[change(7, Some(59))])),
        ("signed-event-twice", signed(4, true, &[], &[change(7, Some(64))])),
        ("signed-iss-twice", signed(4, true, &[], &[Change { name: 0, value: 37, again: true }])),
        ("settings-no-exp", settings(false, vec![], vec![change(3, None)])),
        (
            "settings-no-exp-too-old",
            settings(false, vec![], vec![change(3, None), change(2, Some(50))]),
        ),
        ("settings-type", settings(true, vec![change(1, Some(30))], vec![])),
    ]);
    for (name, edit) in edits_by_name() {
        seeds.insert(format!("edited-{name}"), input(&Plan::Edited { signer: 4 }, &edit));
    }
    for signer in 0..5 {
        seeds.insert(format!("signed-{signer}"), signed(signer, true, &[], &[]));
        seeds.insert(format!("raw-{signer}"), input(&Plan::Raw {}, good(signer).as_bytes()));
    }
    seeds
}

fn of_encrypted_token() -> Seeds {
    use encrypted_token::{CONTENTS, Plan, VALUES, good, input};
    let built = |key, is_ours, enc, content, header: &[Change]| {
        let (header, has_info) = (header.to_vec(), key % 2 == 0);
        input(&Plan::Built { key, is_ours, enc, has_info, content, header }, &[])
    };
    // By the text of the value.
    let to = |name, value: &str| {
        let place = VALUES.iter().position(|one| *one == value).expect("a value");
        change(name, Some(u8::try_from(place).expect("few values")))
    };
    let mut seeds = named([
        ("raw-none", input(&Plan::Raw {}, b"....")),
        ("raw-dir", input(&Plan::Raw {}, b"eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..AA.AA.AA")),
        ("edited-nothing", input(&Plan::Edited { key: 3 }, &[])),
        ("built-for-another", built(0, false, 2, 0, &[])),
        ("built-alg-of-another", built(0, true, 2, 0, &[to(0, "\"RSA-OAEP-256\"")])),
        ("built-alg-dir", built(2, true, 2, 0, &[to(0, "\"dir\"")])),
        ("built-alg-bleichenbacher", built(0, true, 2, 0, &[to(0, "\"RSA1_5\"")])),
        ("built-enc-of-another", built(1, true, 2, 0, &[to(1, "\"A128GCM\"")])),
        ("built-no-kid", built(1, true, 0, 0, &[change(2, None)])),
        ("built-kid-of-another", built(1, true, 0, 0, &[to(2, "\"RSA-OAEP-0\"")])),
        ("built-zip", built(1, true, 0, 0, &[to(4, "\"DEF\"")])),
        ("built-crit", built(3, true, 0, 0, &[to(5, "[\"exp\"]")])),
        ("built-cty-lower", built(3, true, 0, 0, &[to(3, "\"jwt\"")])),
        ("built-cty-none", built(3, true, 0, 0, &[change(3, None)])),
        ("built-no-epk", built(4, true, 0, 0, &[change(6, None)])),
        ("built-apu", built(3, true, 0, 0, &[to(7, "\"QWxpY2U\"")])),
        ("built-apu-none", built(3, true, 0, 0, &[to(7, "null")])),
        ("built-apu-other", built(4, true, 0, 0, &[to(7, "\"AQAB\"")])),
        ("built-twice", built(0, true, 0, 0, &[Change { name: 0, value: 1, again: true }])),
        ("key-nothing", input(&Plan::PrivateKey { key: 0, changes: vec![] }, &[])),
        ("key-raw", input(&Plan::RawPrivateKey {}, b"{\"kty\":\"RSA\",\"alg\":\"RSA-OAEP\"}")),
    ]);
    for (name, edit) in edits_by_name() {
        seeds.insert(format!("edited-{name}"), input(&Plan::Edited { key: 2 }, &edit));
    }
    for key in 0..6 {
        seeds.insert(format!("built-{key}"), built(key, true, key, 0, &[]));
        seeds.insert(format!("raw-{key}"), input(&Plan::Raw {}, good(key).as_bytes()));
        for name in [0, 3, 12] {
            let changes = vec![change(name, None)];
            let name = format!("key-{key}-without-{name}");
            seeds.insert(name, input(&Plan::PrivateKey { key, changes }, &[]));
        }
    }
    for content in 1..u8::try_from(CONTENTS.len()).expect("few contents") {
        seeds.insert(format!("content-{content}"), built(5, true, 5, content, &[]));
    }
    seeds
}

fn of_keyring() -> Seeds {
    use keyring::{Plan, Wrap, body, file, input};
    let right = || vec![Wrap::Right {}];
    let with =
        |keys, wraps: Vec<Wrap>| input(&Plan::Body { keys, version: 1, wraps }, &body(&[1, 2]));
    let of_body = |body: &[u8]| input(&Plan::Body { keys: 0, version: 1, wraps: right() }, body);
    let edits = |edits: &[u8]| input(&Plan::Changed { keys: 5, wraps: edits.len() as u8 }, edits);
    let mut seeds = named([
        ("raw-valid", input(&Plan::Raw { keys: 0 }, &file(1, &right(), &body(&[1])))),
        ("raw-previous", input(&Plan::Raw { keys: 1 }, &file(1, &right(), &body(&[1, 5])))),
        ("raw-newer", input(&Plan::Raw { keys: 0 }, &file(2, &right(), &body(&[1])))),
        ("raw-cut", input(&Plan::Raw { keys: 0 }, &file(1, &right(), &body(&[1]))[..200])),
        (
            "raw-provider",
            input(
                &Plan::Raw { keys: 2 },
                &file(1, &[Wrap::Provider { id: 4, len: 40 }], &body(&[1])),
            ),
        ),
        ("body-one-root", of_body(&body(&[1]))),
        ("body-three-roots", of_body(&body(&[1, 7, 9]))),
        ("body-no-root", of_body(&body(&[]))),
        ("body-falling-epochs", of_body(&body(&[2, 1]))),
        ("body-empty", of_body(&[])),
        ("body-longer", of_body(&[body(&[1]), vec![0]].concat())),
        ("wraps-two", with(0, vec![Wrap::Other {}, Wrap::Right {}])),
        ("wraps-same-twice", with(0, vec![Wrap::Right {}, Wrap::Right {}])),
        ("wraps-nine", with(0, (0..9).map(|id| Wrap::Provider { id, len: 3 }).collect())),
        ("wraps-broken", with(0, vec![Wrap::Broken { at: 20, alg: 1 }])),
        ("wraps-too-long", with(3, vec![Wrap::Provider { id: 1, len: 4097 }, Wrap::Right {}])),
        ("wraps-provider-refuses", with(3, vec![Wrap::Provider { id: 1, len: 9 }, Wrap::Right {}])),
        ("wraps-provider-fails", with(2, vec![Wrap::Provider { id: 3, len: 9 }])),
        ("wraps-any", with(4, vec![Wrap::Any { id: 2, alg: 3, len: 9, have: 9 }])),
        ("changed-not", edits(&[])),
    ]);
    for (name, edit) in edits_by_name() {
        seeds.insert(format!("changed-{name}"), edits(&edit));
    }
    seeds
}

/// Each kind of edit, as `arbitrary` reads it.
fn edits_by_name() -> Vec<(&'static str, Vec<u8>)> {
    // (A list of them all, so that a new one is not forgotten here.)
    let number = |edit: &Edit| match edit {
        Edit::Flip { .. } => 0,
        Edit::Set { .. } => 1,
        Edit::Cut { .. } => 2,
        Edit::Extend { .. } => 3,
        Edit::Insert { .. } => 4,
        Edit::Remove { .. } => 5,
        Edit::Copy { .. } => 6,
    };
    let edit = |edit: Edit, fields: &[u8]| {
        let mut bytes = Vec::new();
        crate::input::variant(number(&edit), 7, &mut bytes);
        [bytes, fields.to_vec()].concat()
    };
    vec![
        ("flip", edit(Edit::Flip { at: 30, mask: 4 }, &[30, 0, 4])),
        ("set", edit(Edit::Set { at: 4, to: 9 }, &[4, 0, 9])),
        ("cut", edit(Edit::Cut { to: 99 }, &[99, 0])),
        ("extend", edit(Edit::Extend { by: 2, with: 1 }, &[2, 1])),
        ("insert", edit(Edit::Insert { at: 21, byte: 1 }, &[21, 0, 1])),
        ("remove", edit(Edit::Remove { at: 60, count: 3 }, &[60, 0, 3])),
        ("copy", edit(Edit::Copy { from: 40, to: 60, count: 16 }, &[40, 0, 60, 0, 16])),
    ]
}

/// A ledger's file after some groups, written by the ledger itself.
fn real_ledger(chunk: u32, calls: &[&[(u8, u8)]], compacted: bool) -> Vec<u8> {
    let machine = Machine::new();
    LedgerOn::create(&machine, chunk, 3, 5).expect("a new ledger");
    let ledger =
        LedgerOn::open(&machine, chunk, 3, 0).expect("it opens").expect("it reaches the start");
    for call in calls {
        let scopes: Vec<_> = call.iter().map(|(kind, number)| (*kind, [*number; 16])).collect();
        let last = ledger.stand(&scopes, u64::MAX, 10).expect("there is room");
        ledger.wait(last).expect("the disk works");
    }
    if compacted {
        ledger.compact(0).expect("the disk works");
    }
    machine.files().remove(&LedgerFile::name()).expect("the file is there")
}

fn of_ledger() -> Seeds {
    use ledger::{Plan, Verb, input};
    let never = || Crash::Never {};
    let slots = |head, items, fillers| {
        input(&Plan::Slots { head, items, fillers, cut: 0, crash: never() }, &[])
    };
    let sound = |chunk: u8, kept| Head::Sound { chunk: chunk - 1, kept, gap: 3, floor: 0 };
    let mended =
        |header, left, file: &[u8]| input(&Plan::Mended { header, left, crash: never() }, file);
    let three = real_ledger(4, &[&[(3, 1)], &[(4, 2), (3, 2), (3, 3)], &[(1, 0)]], false);
    let compacted = real_ledger(2, &[[(3, 1)].as_slice(); 9], true);
    let mut torn = three.clone();
    torn[512 + 64 * 3..512 + 64 * 4].fill(0);
    let mut seeds = named([
        ("raw-new", input(&Plan::Raw { crash: never() }, &real_ledger(4, &[], false))),
        ("raw-three-calls", input(&Plan::Raw { crash: never() }, &three)),
        ("raw-compacted", input(&Plan::Raw { crash: never() }, &compacted)),
        ("raw-cut-chunk", input(&Plan::Raw { crash: never() }, &three[..three.len() - 70])),
        ("raw-crash", input(&Plan::Raw { crash: Crash::After { calls: 3, seed: 5 } }, &three)),
        ("mended", mended(true, 0, &three)),
        ("mended-compacted", mended(true, 0, &compacted)),
        ("mended-gap", mended(true, 0, &torn)),
        ("mended-but-one", mended(true, 4, &three)),
        ("mended-not-header", mended(false, 0, &three)),
        ("slots-empty", slots(sound(4, 0), vec![], 4)),
        (
            "slots-groups",
            slots(sound(4, 0), vec![Item::Opening {}, Item::Group { calls: vec![1, 3] }], 8),
        ),
        (
            "slots-kept",
            slots(sound(8, 3), vec![Item::Group { calls: vec![1, 1, 1] }, Item::Opening {}], 4),
        ),
        (
            "slots-torn",
            slots(
                sound(4, 0),
                vec![
                    Item::Opening {},
                    Item::Group { calls: vec![2] },
                    Item::Gap { slots: 1 },
                    Item::Record { in_group: 3, in_call: 0, call_size: 1, ahead: 0, kind: 3 },
                ],
                3,
            ),
        ),
        (
            "slots-half-call",
            slots(
                sound(4, 0),
                vec![
                    Item::Opening {},
                    Item::Record { in_group: 0, in_call: 0, call_size: 2, ahead: 0, kind: 4 },
                ],
                2,
            ),
        ),
        ("slots-void", slots(sound(4, 0), vec![Item::Opening {}, Item::Void { in_group: 0 }], 2)),
        (
            "slots-bad-last-chunk",
            slots(sound(4, 0), vec![Item::Gap { slots: 4 }, Item::Bad { byte: 0 }], 0),
        ),
        (
            "slots-bad",
            slots(sound(4, 0), vec![Item::Opening {}, Item::Bad { byte: 1 }, Item::Opening {}], 1),
        ),
        (
            "slots-odd-header",
            slots(
                Head::Any {
                    serial: 1,
                    chunk: 4,
                    kept: 0,
                    tail: u64::MAX - 2,
                    floor: 9,
                    known_since: 1,
                },
                vec![Item::Opening {}],
                3,
            ),
        ),
    ]);
    let history = |verbs: Vec<Verb>| input(&Plan::History { chunk: 2, reserve: 6, verbs }, &[]);
    let sign_in = |who| Verb::SignIn { who, ago: 3 };
    let sign_out = |scopes: &[u8], wait| Verb::SignOut { scopes: scopes.to_vec(), ago: None, wait };
    seeds.extend(named([
        (
            "history-plain",
            history(vec![sign_in(0), sign_in(0x55), sign_out(&[2], true), sign_in(0)]),
        ),
        (
            "history-torn",
            history(vec![
                sign_in(0),
                sign_out(&[7, 2, 3], false),
                sign_out(&[1, 6], true),
                Verb::CutPower { seed: 3 },
            ]),
        ),
        (
            "history-dies",
            history(vec![
                sign_in(0),
                Verb::DieAfter { calls: 1 },
                sign_out(&[2, 3, 4], true),
                Verb::CutPower { seed: 9 },
                sign_in(0),
                Verb::Kill { seed: 1 },
            ]),
        ),
        (
            "history-compacts",
            history(
                [sign_in(0x1b)]
                    .into_iter()
                    .chain((0..12).map(|_| sign_out(&[2, 8], true)))
                    .chain([Verb::Compact { age: 200 }, Verb::Reopen { chunk: 7, reserve: 20 }])
                    .chain([Verb::Clock { by: 300, back: false }, sign_in(1), sign_out(&[0], true)])
                    .chain([Verb::Compact { age: 100 }, Verb::CutPower { seed: 2 }])
                    .collect(),
            ),
        ),
        (
            "history-clock-back",
            history(
                [
                    Verb::Clock { by: 500, back: false },
                    sign_out(&[2], true),
                    Verb::Clock { by: 600, back: true },
                ]
                .into_iter()
                .chain([
                    Verb::Reopen { chunk: 2, reserve: 3 },
                    sign_in(0),
                    sign_out(&[3, 2], true),
                    sign_in(0),
                ])
                .chain((0..5).map(|_| sign_out(&[4], true)))
                .chain([Verb::Compact { age: 9999 }])
                .collect(),
            ),
        ),
        (
            // A sign-in while somebody else's sign-out is being written; then that is too old, and the sign-in is not.
            "history-pending-ages",
            history(
                [
                    sign_in(0),
                    sign_out(&[7, 12, 17, 8], false),
                    Verb::Clock { by: 300, back: false },
                    sign_in(0),
                ]
                .into_iter()
                .chain((0..9).map(|_| sign_out(&[8], true)))
                .chain([Verb::Compact { age: 100 }])
                .collect(),
            ),
        ),
        (
            // The power fails while the first call of a process is written, after its opening; and the clock was wrong.
            "history-opening-outlives-call",
            history(
                (0..9)
                    .map(|_| sign_out(&[8], true))
                    .chain([
                        sign_in(0),
                        Verb::Clock { by: 600, back: true },
                        Verb::Reopen { chunk: 2, reserve: 20 },
                    ])
                    .chain([
                        Verb::DieAfter { calls: 1 },
                        sign_out(&[8, 7, 12, 17, 9, 14, 13, 19, 18, 8, 7, 12], true),
                    ])
                    .chain([
                        Verb::CutPower { seed: 14 },
                        Verb::Clock { by: 600, back: false },
                        Verb::Compact { age: 500 },
                    ])
                    .collect(),
            ),
        ),
        (
            "history-full",
            history(
                [sign_in(0), Verb::Full { is_full: true }]
                    .into_iter()
                    .chain((0..20).map(|number| sign_out(&[number], true)))
                    .chain([Verb::Full { is_full: false }, sign_out(&[2], true)])
                    .collect(),
            ),
        ),
        (
            "history-put-back",
            history(vec![
                sign_in(0),
                sign_out(&[7], true),
                Verb::Copy {},
                sign_in(1),
                sign_out(&[2], true),
                sign_out(&[1], true),
                sign_in(2),
                Verb::PutBack {},
                sign_out(&[2, 7, 12], true),
                sign_in(0),
            ]),
        ),
    ]));
    seeds
}

fn of_msal_import() -> Seeds {
    const PYTHON: &[u8] = include_bytes!("../../tests/samples/msal/msal-python.json");
    const NODE: &[u8] = include_bytes!("../../tests/samples/msal/msal-node.json");
    let mut seeds =
        named([("dotnet", DOTNET.as_bytes().to_vec()), ("java", JAVA.as_bytes().to_vec())]);
    // Whole caches are large: one file for each account.
    for (library, file) in [("python", PYTHON), ("node", NODE)] {
        let cache: Map<String, Value> = serde_json::from_slice(file).expect("a sample is JSON");
        let whose = |entry: &Value| {
            entry.get("home_account_id").and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let entries = |node: &Value| {
            node.as_object()
                .into_iter()
                .flatten()
                .map(|(_, entry)| whose(entry))
                .collect::<Vec<_>>()
        };
        let mut accounts: Vec<String> = cache.values().flat_map(entries).collect();
        accounts.sort_unstable();
        accounts.dedup();
        for (number, account) in accounts.iter().enumerate() {
            let mut own = cache.clone();
            for node in own.values_mut() {
                if let Some(node) = node.as_object_mut() {
                    node.retain(|_, entry| whose(entry) == *account);
                }
            }
            seeds.insert(
                format!("{library}-{number}"),
                serde_json::to_vec(&own).expect("it is JSON"),
            );
        }
    }
    seeds.extend(named(MSAL_IN_DOUBT.map(|(name, file)| (name, file.as_bytes().to_vec()))));
    seeds.extend(named(MSAL_NO_CACHE.map(|(name, file)| (name, file.to_vec()))));
    let wide =
        |to: fn(u16) -> [u8; 2]| "\u{feff}{\"Account\": {}}".encode_utf16().flat_map(to).collect();
    seeds.extend(named([
        ("utf-16-little", wide(u16::to_le_bytes)),
        ("utf-16-big", wide(u16::to_be_bytes)),
        ("empty", Vec::new()),
        ("empty-object", b"{}".to_vec()),
        (
            "trailing-commas",
            br#"{"AccessToken": {"a": {"secret": "x",},}, "RefreshToken": null,}"#.to_vec(),
        ),
        (
            "wrong-kinds",
            br#"{"AccessToken": [1], "IdToken": "x", "Account": {"a": 1e999, "b": null}}"#.to_vec(),
        ),
    ]));
    let mut chance = Chance(1);
    for (number, length) in [12, 20, 40, 60, 90].into_iter().enumerate() {
        let mut choices = vec![msal_import::PUT_TOGETHER];
        choices.extend((0..length).map(|_| chance.next() as u8));
        seeds.insert(format!("put-together-{number}"), choices);
    }
    seeds
}

fn of_operations() -> Seeds {
    let sign_in = |account, tenant| {
        let (session, subject) = (Some(account), Some(account));
        Verb::SignIn { account, tenant, session, subject, ago: 0, continued: false }
    };
    let put = |handle| Verb::Put { handle, what: 0b11111, tenant: None, size: 0, lifetime: 300 };
    let sign_out = |scope, number| Verb::SignOut {
        scope,
        number,
        ago: None,
        taking: false,
        only_session: false,
    };
    let crash = |power| Verb::Crash { power, seed: 5, again: None };
    let clock = |by, back| Verb::Clock { by, back };
    let begin = || vec![sign_in(0, 0), put(0), sign_in(1, 1), put(1)];
    let after = |verbs: Vec<Verb>| operations::input(true, &[begin(), verbs].concat());
    let cutoff =
        Verb::SignOut { scope: 0, number: 0, ago: Some(5), taking: true, only_session: false };
    let guest = Verb::Put { handle: 0, what: 0b11111, tenant: Some(1), size: 3, lifetime: 300 };
    let tamper = |how, row, live| Verb::Tamper { how, row, other: row + 3, at: 30, mask: 1, live };
    let import = |ago| Verb::SignIn {
        account: 0,
        tenant: 0,
        session: None,
        subject: None,
        ago,
        continued: true,
    };
    let mut seeds = named([
        ("account", after(vec![sign_out(0, 0), put(0), crash(true), put(0)])),
        ("tenant-of-a-guest", after(vec![guest.clone(), sign_out(1, 1), guest, crash(false)])),
        ("session", after(vec![sign_in(0, 0), put(2), sign_out(2, 0), crash(true)])),
        (
            "subject-everybody",
            after(vec![sign_out(3, 1), sign_in(1, 0), put(2), sign_out(4, 0), sign_in(0, 0)]),
        ),
        (
            "cutoff",
            after(vec![clock(20, false), sign_in(0, 1), put(2), cutoff, crash(true), put(2)]),
        ),
        (
            "pushed-out",
            after(vec![sign_in(0, 0), sign_in(0, 1), sign_in(0, 0), put(0), put(2), crash(true)]),
        ),
        (
            "expiry",
            after(vec![
                clock(299, false),
                put(0),
                clock(200, false),
                Verb::Sweep { budget: 40 },
                clock(450, true),
                crash(true),
            ]),
        ),
        (
            "too-old",
            after(vec![
                clock(600, false),
                put(0),
                sign_in(0, 0),
                Verb::Sweep { budget: 40 },
                Verb::Close {},
            ]),
        ),
        (
            "dies",
            after(vec![
                Verb::DieAfter { calls: 1 },
                sign_out(2, 0),
                sign_in(0, 1),
                crash(true),
                put(0),
            ]),
        ),
        (
            "dies-opening",
            after(vec![
                sign_out(0, 1),
                Verb::Crash { power: true, seed: 3, again: Some(5) },
                put(0),
            ]),
        ),
        ("fails", after(vec![Verb::FailSyncs {}, sign_out(0, 0), put(1), crash(false)])),
        (
            "engine-fails",
            after(vec![Verb::FailEngine {}, put(0), sign_out(2, 0), sign_out(0, 1), crash(true)]),
        ),
        (
            "full",
            after(
                [
                    vec![Verb::Full { is_full: true }],
                    vec![sign_out(3, 2); 40],
                    vec![sign_out(0, 0), crash(true)],
                ]
                .concat(),
            ),
        ),
        ("tampered-header", after(vec![tamper(6, 0, false), sign_in(0, 0), put(2), crash(true)])),
        (
            "tampered-live",
            after(vec![
                tamper(1, 2, true),
                put(0),
                put(1),
                tamper(0, 7, true),
                Verb::Sweep { budget: 30 },
            ]),
        ),
        (
            "older-rows",
            after(vec![
                Verb::CopyRows {},
                put(0),
                sign_out(0, 1),
                Verb::PutBackRows { every: 0, seed: 0, live: false },
                put(0),
            ]),
        ),
        (
            "mixed-rows",
            after(vec![
                Verb::CopyRows {},
                sign_out(0, 0),
                sign_in(0, 0),
                Verb::PutBackRows { every: 1, seed: 1, live: true },
            ]),
        ),
        (
            "tampered-file",
            after(vec![
                sign_out(0, 0),
                Verb::TamperFile { file: 1, how: 4, at: 600, mask: 1 },
                Verb::List {},
            ]),
        ),
        (
            "forgotten",
            after(vec![
                Verb::CopyRows {},
                Verb::Forget { at: 9, mask: 1 },
                sign_in(0, 0),
                put(2),
                Verb::List {},
            ]),
        ),
        (
            "forgotten-amid-erasure",
            after(vec![
                Verb::DieAfter { calls: 15 },
                Verb::Move { kind: 2, keys: 0 },
                Verb::Forget { at: 9, mask: 1 },
                sign_in(0, 0),
            ]),
        ),
        (
            "import",
            after(vec![
                clock(50, false),
                sign_out(0, 0),
                import(60),
                import(20),
                clock(20, false),
                import(5),
            ]),
        ),
        (
            "keys",
            after(vec![
                Verb::Move { kind: 0, keys: 5 },
                crash(true),
                Verb::Move { kind: 0, keys: 4 },
                Verb::Close {},
                put(0),
            ]),
        ),
        (
            "compacted",
            after(vec![
                sign_out(0, 0),
                Verb::Move { kind: 1, keys: 0 },
                put(1),
                crash(true),
                Verb::Verify {},
            ]),
        ),
        (
            "erased",
            after(vec![
                Verb::CopyRows {},
                sign_out(0, 0),
                Verb::Move { kind: 2, keys: 6 },
                put(1),
                crash(true),
                sign_out(2, 1),
                Verb::PutBackRows { every: 0, seed: 0, live: false },
            ]),
        ),
        (
            "dies-moving",
            after(vec![
                Verb::DieAfter { calls: 6 },
                Verb::Move { kind: 1, keys: 0 },
                crash(true),
                put(0),
                Verb::Verify {},
            ]),
        ),
        (
            "dies-erasing",
            after(vec![
                Verb::DieAfter { calls: 11 },
                Verb::Move { kind: 2, keys: 9 },
                crash(true),
                put(0),
                sign_out(0, 0),
            ]),
        ),
        (
            "waits",
            after(vec![
                sign_out(0, 0),
                Verb::WaitReclaimed {},
                crash(true),
                Verb::Sweep { budget: 9 },
                Verb::Close {},
            ]),
        ),
    ]);
    // And a few long ones by chance, most verbs as they come.
    let mut chance = Chance(7);
    for number in 0..10u64 {
        let mut verbs = begin();
        for _ in 0..30 {
            let mut below = |end: u64| chance.below(end) as u8;
            let maybe = |number: u8| (number > 2).then_some(number);
            verbs.push(match below(18) {
                0..=3 => {
                    let (session, subject) = (maybe(below(6)), maybe(below(6)));
                    let (account, tenant, ago) = (below(3), below(2), below(30));
                    Verb::SignIn {
                        account,
                        tenant,
                        session,
                        subject,
                        ago,
                        continued: below(8) == 0,
                    }
                }
                4..=8 => {
                    let tenant = (below(3) == 0).then(|| below(2));
                    Verb::Put {
                        handle: below(14),
                        what: below(32),
                        tenant,
                        size: below(6),
                        lifetime: 40 + u16::from(below(250)),
                    }
                }
                9..=11 => {
                    let ago = (below(3) == 0).then(|| below(60));
                    let (taking, only_session) = (below(2) == 0, below(3) == 0);
                    Verb::SignOut { scope: below(8), number: below(3), ago, taking, only_session }
                }
                12 => clock(below(200).into(), below(4) == 0),
                13 => Verb::Sweep { budget: below(30) },
                14 if number % 2 == 0 => tamper(below(7), below(40).into(), below(2) == 0),
                14 => Verb::DieAfter { calls: below(30) },
                15 => Verb::Move { kind: below(3), keys: below(12) },
                16 => Verb::Verify {},
                _ => Verb::Crash {
                    power: below(2) == 0,
                    seed: below(255).into(),
                    again: (below(3) == 0).then(|| below(20)),
                },
            });
        }
        seeds.insert(format!("chance-{number}"), operations::input(number % 3 != 0, &verbs));
    }
    seeds
}

fn of_row_and_header() -> Seeds {
    use row_and_header::{Plan, input};
    let mut seeds = Seeds::new();
    for (number, (kind, rows)) in valid().into_iter().enumerate() {
        if let [row] = rows.as_slice()
            && number % 2 == 0
        {
            seeds.insert(format!("raw-{number}"), input(&Plan::Raw { kind: kind.clone() }, row));
        }
        for (name, edit) in edits_by_name().into_iter().skip(number % 3).step_by(3) {
            let plan =
                Plan::Changed { kind: kind.clone(), which: number as u8, part: number as u8 };
            seeds.insert(format!("changed-{number}-{name}"), input(&plan, &edit));
        }
    }
    // Bodies in bincode's encoding: integers as they are, texts and lists behind their length, options behind a byte.
    let text =
        |text: &str| [(text.len() as u64).to_be_bytes().as_slice(), text.as_bytes()].concat();
    let some = |bytes: Vec<u8>| [vec![1], bytes].concat();
    let (none, number) = (|| vec![0], |number: u64| number.to_be_bytes().to_vec());
    let account = [vec![0], text("login.example.com"), text("uid.utid")].concat();
    let aliases = [number(2), vec![0], text("a@example.com"), vec![1], text("b")].concat();
    let names =
        [some([text("iss"), text("sid")].concat()), some([text("iss"), text("sub")].concat())]
            .concat();
    let sign_in =
        [text("tenant"), names, aliases, number(1_800_000_000_000), vec![7; 16], number(9)]
            .concat();
    let plain_sign_in =
        [text("t"), none(), none(), number(0), number(0), vec![0; 16], number(0)].concat();
    let token = |kind: u8, scopes: Vec<u8>, partition: &[u8], extra: usize| {
        let times =
            [some(number(1_800_000_000_000)), none(), some(number(1_800_000_600_000))].concat();
        let front = [
            vec![kind],
            text("client"),
            some(text("guest")),
            some(text("https://api")),
            scopes,
            text("Bearer"),
        ]
        .concat();
        let partition = [number(partition.len() as u64), partition.to_vec()].concat();
        let behind = [number(extra as u64), vec![3; extra]].concat();
        [front, some(text("1")), text("eyJ0"), times, partition, behind].concat()
    };
    let scopes = || [number(2), text("mail.read"), text("user.read")].concat();
    let bodies = [
        ("account", Kind::Header {}, account.clone(), 1),
        ("account-app", Kind::Header {}, [vec![2], text("tenant"), text("client")].concat(), 1),
        ("sign-in", Kind::SignIn {}, sign_in.clone(), 1),
        ("sign-in-plain", Kind::SignIn {}, plain_sign_in, 1),
        ("access", Kind::Token {}, token(0, scopes(), &[], 0), 1),
        ("refresh", Kind::Token {}, token(1, number(0), &[9; 32], 5), 1),
        ("id", Kind::Token {}, token(2, number(0), &[], 0), 1),
        ("parts", Kind::Token {}, token(0, scopes(), &[], 2000), 4),
        ("long-list", Kind::Token {}, token(0, number(u64::MAX >> 4), &[], 0), 1),
    ];
    for (name, kind, body, parts) in bodies {
        let plan = Plan::Text { kind, framed: true, sign_ins: 2, parts, count: None };
        seeds.insert(format!("text-{name}"), input(&plan, &body));
    }
    let unframed = |kind, count| Plan::Text { kind, framed: false, sign_ins: 0, parts: 3, count };
    let fields = || vec![60, 0, 1, 2, 3, 0];
    let made = |kind, optional, secret| {
        let (times, scopes) = (vec![1_800_000_000_000 << 12; 3], 2);
        Plan::Token { kind, tenant: true, optional, scopes, times, secret, extra: 300 }
    };
    let words = b"client\ntenant\nscope-1\nscope-2\nassertion\nsecret\nresource\nDPoP";
    seeds.extend(named([
        ("text-framed-by-hand", input(&unframed(Kind::SignIn {}, None), &frame(&sign_in))),
        ("text-wrong-count", input(&unframed(Kind::Token {}, Some(9)), &frame(&account))),
        ("text-checkpoint", input(&unframed(Kind::Checkpoint {}, None), &number(77))),
        ("text-not-padded", input(&unframed(Kind::SignIn {}, None), &fields())),
        ("mixed", input(&Plan::Mixed { which: 40, taken: 0b10, parts: 3 }, &[])),
        ("mixed-whole", input(&Plan::Mixed { which: 0, taken: 0, parts: 2 }, &[])),
        ("made-access", input(&made(0, 0xff, 10), words)),
        ("made-refresh", input(&made(1, 0, 40_000), words)),
        ("made-id", input(&made(2, 1, 6_200), words)),
        ("key-token", input(&Plan::Key {}, &[b"A".as_slice(), &[1; 16], &[16], &[2; 49]].concat())),
        (
            "key-sign-in",
            input(&Plan::Key {}, &[b"A".as_slice(), &[1; 16], &[8], &[2; 16]].concat()),
        ),
        ("key-index", input(&Plan::Key {}, &[b"T".as_slice(), &[1; 32]].concat())),
    ]));
    let mut many = Vec::new();
    vec![1u64 << 60; 3].encode(&mut many);
    seeds.insert(
        "text-odd".into(),
        input(
            &Plan::Text { kind: Kind::Token {}, framed: true, sign_ins: 9, parts: 9, count: None },
            &many,
        ),
    );
    seeds
}

/// Answers as providers give them, and as they should not.
fn of_token_response() -> Seeds {
    use token_response::{Plan, answer, input};
    let mut seeds = Seeds::new();
    let bodies: &[(&str, &str)] = &[
        ("good", &answer().to_string()),
        (
            "empty-refresh-token",
            r#"{"access_token": "at", "token_type": "Bearer", "expires_in": 3600, "refresh_token": ""}"#,
        ),
        (
            "blank-tokens",
            r#"{"access_token": " ", "token_type": "Bearer", "refresh_token": "\t", "id_token": ""}"#,
        ),
        (
            "empty-access-token",
            r#"{"access_token": "", "token_type": "Bearer", "refresh_token": "rt"}"#,
        ),
        ("no-access-token", r#"{"token_type": "Bearer", "refresh_token": "rt"}"#),
        (
            "negative",
            r#"{"access_token": "at", "token_type": "Bearer", "expires_in": -1, "refresh_token": "rt"}"#,
        ),
        (
            "fraction",
            r#"{"access_token": "at", "token_type": "Bearer", "expires_in": 3599.9, "refresh_token": "rt"}"#,
        ),
        (
            "text",
            r#"{"access_token": "at", "token_type": "Bearer", "expires_in": "3600", "refresh_token": "rt"}"#,
        ),
        (
            "odd-text",
            r#"{"access_token": "at", "token_type": "Bearer", "expires_in": "soon", "refresh_token": "rt"}"#,
        ),
        (
            "too-large",
            r#"{"access_token": "at", "token_type": "Bearer", "expires_in": 1e999, "refresh_token": "rt"}"#,
        ),
        (
            "null",
            r#"{"access_token": "at", "token_type": "Bearer", "expires_in": null, "refresh_token": "rt", "scope": null}"#,
        ),
        ("github", r#"{"access_token": "gho_1", "token_type": "bearer", "scope": "repo,gist"}"#),
        (
            "github-expiring",
            r#"{"access_token": "ghu_1", "expires_in": 28800, "refresh_token": "ghr_1", "refresh_token_expires_in": 15897600, "scope": "", "token_type": "bearer"}"#,
        ),
        (
            "github-refuses",
            r#"{"error": "bad_refresh_token", "error_description": "x", "error_uri": "https://docs.github.com"}"#,
        ),
        (
            "slack",
            r#"{"ok": true, "access_token": "xoxb-1", "token_type": "bot", "scope": "commands,chat:write", "authed_user": {"id": "U1", "scope": "chat:write", "access_token": "xoxp-1", "token_type": "user", "refresh_token": "xoxe-1", "expires_in": 43200}}"#,
        ),
        (
            "slack-user-alone",
            r#"{"ok": true, "authed_user": {"id": "U1", "scope": "chat:write", "access_token": "xoxp-1", "token_type": "user"}}"#,
        ),
        (
            "slack-user-outside",
            r#"{"ok": true, "access_token": "xoxp-1", "token_type": "user", "authed_user": {"id": "U1", "scope": "openid,email"}}"#,
        ),
        ("slack-refuses", r#"{"ok": false, "error": "invalid_refresh_token"}"#),
        (
            "entra-v1",
            r#"{"token_type": "Bearer", "scope": "a", "expires_in": "3599", "ext_expires_in": "3599", "expires_on": "1800003599", "resource": "r", "access_token": "at", "refresh_token": "rt", "foci": "1", "id_token": "e30.e30.", "client_info": "e30"}"#,
        ),
        (
            "keycloak",
            r#"{"access_token": "at", "expires_in": 300, "refresh_expires_in": 0, "refresh_token": "rt", "token_type": "Bearer", "not-before-policy": 0, "session_state": "s", "scope": "openid"}"#,
        ),
        ("list", r#"{"access_token": "at", "refresh_token": "rt", "scope": ["a", "b c", 1]}"#),
        (
            "twice",
            r#"{"access_token": "a", "access_token": "at", "refresh_token": "rt", "refresh_token": "", "expires_in": 60, "expires_in": 600}"#,
        ),
        ("expires-on", r#"{"access_token": "at", "expires_on": 1800003600}"#),
        ("breaks-off", r#"{"access_token": "at", "refresh_token": "rt", "expires_"#),
        ("behind", "\u{feff}{\"access_token\": \"at\", \"refresh_token\": \"rt\"} <!-- -->"),
        ("odd-family", r#"{"access_token": "at", "refresh_token": "rt", "foci": "\u0007"}"#),
        ("form", "access_token=gho_1&scope=repo%2Cgist&token_type=bearer"),
        ("page", "<html>Bad Gateway</html>"),
    ];
    for (number, (name, body)) in (0..).zip(bodies) {
        seeds.insert(
            format!("raw-{name}"),
            input(&Plan::Raw { client: number % 4 }, body.as_bytes()),
        );
    }
    let built = |client, changes: &[Change], user: Option<&[Change]>| {
        let (changes, is_slack) = (changes.to_vec(), user.is_some());
        input(
            &Plan::Built { client, changes, user: user.unwrap_or_default().to_vec(), is_slack },
            &[],
        )
    };
    let none = [change(0, None), change(1, None)];
    seeds.extend(named([
        ("built-good", built(0, &[], None)),
        ("built-basic", built(2, &[], None)),
        ("built-openid", built(3, &[change(5, Some(4))], None)),
        ("built-empty-refresh-token", built(2, &[change(1, Some(1))], None)),
        ("built-blank-access-token", built(3, &[change(0, Some(3))], None)),
        ("built-odd-life", built(2, &[change(2, Some(34))], None)),
        ("built-life-twice", built(1, &[Change { name: 2, value: 30, again: true }], None)),
        ("built-refusal", built(1, &[change(0, None), change(1, None), change(6, Some(24))], None)),
        ("built-refusal-with-token", built(0, &[change(6, Some(24))], None)),
        ("built-ends-otherwise", built(0, &[change(2, None), change(15, Some(29))], None)),
        ("built-slack", built(0, &[change(3, Some(22))], Some(&[change(3, Some(23))]))),
        ("built-slack-user-alone", built(1, &none, Some(&[change(2, Some(29))]))),
    ]));
    seeds
}
