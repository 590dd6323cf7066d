//! Known answers: what this version writes, byte for byte, and that it reads what is in
//! `tests/golden`, of version 1 too. How the files are made is said there.

mod keyring;
mod ledger;
mod rows;
mod tokens;

use std::path::Path;

use crate::crypto::chance::seeded;
use crate::crypto::{AccountKey, KeySource, Keyring, Tagger};
use crate::engine::Row;
use crate::model::id::{AccountId, ClientId, SessionId, Subject, TenantId};
use crate::model::random_id::{Generation, SignInId};
use crate::model::time::{Interval, Millis};
use crate::rows::cipher::Rows;
use crate::rows::header::Header;

const NOW: Millis = Millis::new(1_800_000_000_000);
const EARLIER: Millis = NOW.saturating_sub(Interval::new(5));

/// What version 2 writes otherwise than version 1; the rest is as it was.
const OF_VERSION_2: [&str; 10] = [
    "keyring",
    "keyring-two-wraps",
    "header",
    "sign-in",
    "longest-age",
    "ticket",
    "token",
    "token-of-three-parts",
    "known-time",
    "fresh-engine",
];

fn path_of(version: &str, name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(version)
        .join(name)
        .with_extension("hex")
}

fn parts_of(path: &Path) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(path).unwrap().replace('\r', "");
    text.split("\n\n")
        .map(|part| base16ct::lower::decode_vec(part.replace('\n', "")).unwrap())
        .collect()
}

/// What version 1 wrote: it is only read.
fn of_version_1(name: &str) -> Vec<Vec<u8>> {
    parts_of(&path_of("v1", name))
}

fn rows_of_version_1(name: &str) -> Vec<Row> {
    of_version_1(name).chunks(2).map(|row| (row[0].clone(), row[1].clone())).collect()
}

/// The content of a known answer, which is what was `made` now.
///
/// A file is parts in hexadecimal, with an empty line between one and the next.
fn golden(name: &str, made: &[&[u8]]) -> Vec<Vec<u8>> {
    let path = path_of(if OF_VERSION_2.contains(&name) { "v2" } else { "v1" }, name);
    if std::env::var_os("OUBLIETTE_GOLDEN").is_some_and(|wish| wish == "write") {
        let lines = |part: &[u8]| {
            part.chunks(48)
                .map(|line| base16ct::lower::encode_string(line) + "\n")
                .collect::<String>()
        };
        let text = made.iter().map(|part| lines(part)).collect::<Vec<_>>().join("\n");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let parts = parts_of(&path);
    assert_eq!(parts.len(), made.len(), "{name}: the number of parts");
    for (number, (part, made)) in parts.iter().zip(made).enumerate() {
        let at = part.iter().zip(*made).take_while(|(a, b)| a == b).count();
        assert!(
            part == made,
            "{name}: this version writes part {number} otherwise, from byte {at} on; see tests/golden/README.md"
        );
    }
    parts
}

/// The rows of a known answer: a key, a value, the next key, and so on.
fn golden_rows(name: &str, made: &[Row]) -> Vec<Row> {
    let parts: Vec<&[u8]> = made.iter().flat_map(|(key, value)| [key.as_slice(), value]).collect();
    golden(name, &parts).chunks(2).map(|row| (row[0].clone(), row[1].clone())).collect()
}

fn operator(from: u8) -> KeySource {
    KeySource::bytes(std::array::from_fn(|at| from + u8::try_from(at).unwrap()))
}

/// The known keyring: all rows and ledgers are sealed with what is in it.
fn keyring() -> (Keyring, Vec<u8>) {
    seeded("keyring", || Keyring::create(&operator(0)).unwrap())
}

fn rows() -> (Rows, Tagger) {
    let (keyring, _) = keyring();
    let tagger = Tagger::new(&keyring.secrets.index_key);
    (Rows::new(keyring.store_id, keyring.secrets), tagger)
}

/// The user's header, with two sign-ins.
fn header() -> Header {
    Header {
        generation: Generation::filled(0xa1),
        account_key: AccountKey::init(|key| key.fill(0xa2)),
        sign_ins: [0xa3, 0xa4].map(SignInId::filled).to_vec(),
        other: None,
    }
}

fn user() -> AccountId {
    AccountId::new("login.example.com", "uid.utid").unwrap()
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn subject() -> Subject {
    Subject::new("https://login.example.com", "sub").unwrap()
}

fn session() -> SessionId {
    SessionId::new("https://login.example.com", "sid").unwrap()
}

fn client() -> ClientId {
    ClientId::new("client").unwrap()
}

/// The time this many milliseconds after [`NOW`].
fn after(millis: u64) -> Millis {
    NOW.saturating_add(Interval::new(millis))
}
