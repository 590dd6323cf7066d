//! The keyring file: any bytes, a valid file with changes, and files whose wraps and body are anything at all, sealed as they should be.

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use oubliette::fuzzing::{KeyringFacts, create_keyring, expand, open_keyring, seal};
use oubliette::{Error, KeyProvider, KeySource, WrapContext, WrappedKey, Zeroizing};

use crate::bounds::within;
use crate::edit::Edit;
use crate::input::Encode;

const KEK: [u8; 32] = [11; 32];
const OTHER_KEK: [u8; 32] = [12; 32];
const MOUNT_KEY: [u8; 32] = [13; 32];
const STORE_ID: [u8; 16] = [14; 16];

crate::plans! {
    /// What the rest of a run's bytes is, and with which keys it is opened.
    pub enum Plan {
        /// The file.
        Raw { keys: u8 },
        /// Changes of a valid file.
        Changed { keys: u8, wraps: u8 },
        /// The body, sealed behind these wraps.
        Body { keys: u8, version: u8, wraps: Vec<Wrap> },
    }
}

crate::plans! {
    /// A wrap of a file that is made by hand.
    pub enum Wrap {
        /// Of the key that opens it.
        Right {},
        /// Of another key.
        Other {},
        /// Of a provider.
        Provider { id: u8, len: u16 },
        /// Of the right key's id, but broken.
        Broken { at: u16, alg: u8 },
        /// Anything.
        Any { id: u8, alg: u8, len: u16, have: u16 },
    }
}

/// The bytes of a run.
pub fn input(plan: &Plan, rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    plan.encode(&mut bytes);
    bytes.extend_from_slice(rest);
    bytes
}

/// Takes any wrap for its own whose id is even, and knows one mount key.
struct Careless;

impl KeyProvider for Careless {
    fn wrap(
        &self,
        _: &[u8; 32],
        _: &WrapContext<'_>,
    ) -> Result<WrappedKey, Box<dyn std::error::Error + Send + Sync>> {
        Err("it does not wrap".into())
    }

    fn unwrap(
        &self,
        wrapped: &WrappedKey,
        _: &WrapContext<'_>,
    ) -> Result<Option<Zeroizing<[u8; 32]>>, Box<dyn std::error::Error + Send + Sync>> {
        match wrapped.key_id[0] % 4 {
            1 => Ok(None),
            3 => Err("it is out of order".into()),
            _ => Ok(Some(Zeroizing::new(MOUNT_KEY))),
        }
    }
}

/// With which keys a file is opened.
fn source(keys: u8) -> KeySource {
    match keys % KEYS {
        0 => KeySource::bytes(KEK),
        5 => KeySource::bytes([15; 32])
            .also(KeySource::bytes(KEK))
            .previous(KeySource::bytes([16; 32])),
        1 => KeySource::bytes([15; 32]).previous(KeySource::bytes(KEK)),
        2 => KeySource::provider(Careless),
        3 => KeySource::bytes([15; 32])
            .previous(KeySource::provider(Careless))
            .previous(KeySource::bytes(KEK)),
        _ => KeySource::bytes([16; 32]),
    }
}

/// How many sources there are; and which of them have the right key.
const KEYS: u8 = 6;

fn has_key(keys: u8) -> bool {
    matches!(keys % KEYS, 0 | 1 | 3 | 5)
}

/// Whether the right key is a previous one there.
fn is_previous(keys: u8) -> bool {
    matches!(keys % KEYS, 1 | 3)
}

/// Files as the store makes them, for one key and for two: others in each process.
static VALID: LazyLock<[(KeyringFacts, Vec<u8>); 2]> = LazyLock::new(|| {
    let two = KeySource::bytes(OTHER_KEK).also(KeySource::bytes(KEK));
    [KeySource::bytes(KEK), two].map(|source| create_keyring(&source).expect("a keyring"))
});

pub fn run(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let Ok(plan) = Plan::arbitrary(&mut data) else { return };
    crate::show(&plan);
    match plan {
        Plan::Raw { keys } => {
            let _ = open(data.take_rest(), keys);
        }
        Plan::Changed { keys, wraps } => {
            let (facts, valid) = &VALID[usize::from(wraps % 2)];
            let mut file = valid.clone();
            while let Ok(edit) = Edit::arbitrary(&mut data) {
                edit.apply(&mut file);
                if data.is_empty() {
                    break;
                }
            }
            let opened = open(&file, keys);
            let fits = has_key(keys) && file == *valid;
            assert_eq!(opened.is_some(), fits, "a changed file opens, or a valid one does not");
            if let Some(opened) = opened {
                assert_eq!(KeyringFacts { opened_by_previous: false, ..opened }, *facts);
            }
        }
        Plan::Body { keys, version, mut wraps } => {
            wraps.truncate(9);
            let body = data.take_rest();
            let file = file(version, &wraps, body);
            let opened = open(&file, keys);
            let expected = body_facts(version, body);
            if let Some(opened) = &opened {
                assert_eq!(
                    Some(&KeyringFacts { opened_by_previous: false, ..opened.clone() }),
                    expected.as_ref()
                );
            }
            assert!(
                opened.is_none() || (matches!(version, 1 | 2) && may_be_sound(&wraps)),
                "a malformed list of wraps is read"
            );
            let is_plain = matches!(version, 1 | 2) && wraps == [Wrap::Right {}] && has_key(keys);
            assert!(!is_plain || opened.is_some() == expected.is_some(), "a sound body is refused");
            if is_plain {
                assert_eq!(
                    opened.is_some_and(|opened| opened.opened_by_previous),
                    expected.is_some() && is_previous(keys)
                );
            }
        }
    }
}

fn open(file: &[u8], keys: u8) -> Option<KeyringFacts> {
    // Made before: keys are on the heap.
    let source = source(keys);
    match within(64 * 1024 + 4 * file.len(), || open_keyring(file, &source)) {
        Ok(facts) => Some(facts),
        Err(
            Error::Damaged { .. }
            | Error::UnsupportedFormat { .. }
            | Error::KeyRejected
            | Error::KeyUnavailable { .. },
        ) => None,
        Err(error) => panic!("{error:?}"),
    }
}

/// A file of any wraps and body, sealed as it should be: as `docs/format.md` says.
pub fn file(version: u8, wraps: &[Wrap], body: &[u8]) -> Vec<u8> {
    let mut file = [b"OUBK".as_slice(), &[version], &STORE_ID, &[wraps.len() as u8]].concat();
    for wrap in wraps {
        let (key_id, alg, len, blob) = match wrap {
            Wrap::Right {} => local(&KEK),
            Wrap::Other {} => local(&OTHER_KEK),
            Wrap::Provider { id, len } => {
                ([*id; 16], 3, *len % 5000, vec![7; usize::from(*len % 5000)])
            }
            Wrap::Broken { at, alg } => {
                let (key_id, _, len, mut blob) = local(&KEK);
                let at = usize::from(*at) % blob.len();
                blob[at] ^= 1;
                (key_id, *alg, len, blob)
            }
            Wrap::Any { id, alg, len, have } => {
                ([*id; 16], *alg, *len, vec![9; usize::from(*have % 600)])
            }
        };
        file.extend_from_slice(&key_id);
        file.push(alg);
        file.extend_from_slice(&len.to_be_bytes());
        file.extend_from_slice(&blob);
    }
    let body_key: [u8; 32] =
        expand(&MOUNT_KEY, &[b"oubliette/v1/keyring-body"], 32).try_into().expect("32 bytes");
    let sealed = seal(&body_key, &file, body).expect("a body is not too long to seal");
    file.extend_from_slice(&sealed);
    file
}

/// Whether the list is one that may be written: 1 to 8 wraps of known kinds, none too long, no key twice.
fn may_be_sound(wraps: &[Wrap]) -> bool {
    // Where a length is wrong, what is behind it is read as something else.
    let is_any = |wrap: &Wrap| matches!(wrap, Wrap::Any { len, have, .. } if *len != have % 600);
    let is_known = |wrap: &Wrap| match wrap {
        Wrap::Right {} | Wrap::Other {} => true,
        Wrap::Provider { len, .. } => len % 5000 <= 4096,
        Wrap::Broken { alg, .. } | Wrap::Any { alg, .. } => matches!(alg, 1 | 3),
    };
    let id = |wrap: &Wrap| match wrap {
        Wrap::Right {} | Wrap::Broken { .. } => (0, 0),
        Wrap::Other {} => (1, 0),
        Wrap::Provider { id, .. } | Wrap::Any { id, .. } => (2, *id),
    };
    let ids: std::collections::BTreeSet<_> = wraps.iter().map(id).collect();
    wraps.iter().any(is_any)
        || ((1..=8).contains(&wraps.len())
            && wraps.iter().all(is_known)
            && ids.len() == wraps.len())
}

fn local(kek: &[u8; 32]) -> ([u8; 16], u8, u16, Vec<u8>) {
    let key_id: [u8; 16] = expand(kek, &[b"oubliette/v1/kek-id"], 16).try_into().expect("16 bytes");
    let salt = [17; 16];
    let keys = expand(kek, &[b"oubliette/v1/kek-wrap", &salt, &STORE_ID], 64);
    let (wrapping, commit) = keys.split_at(32);
    let aad = [b"oubliette/v1/mount-key".as_slice(), &STORE_ID, &key_id].concat();
    let sealed = seal(wrapping.try_into().expect("32 bytes"), &aad, &MOUNT_KEY)
        .expect("a key is not too long to seal");
    let blob = [salt.as_slice(), &sealed, commit].concat();
    (key_id, 1, blob.len() as u16, blob)
}

/// A sound body of version 1 with these epochs.
pub fn body(epochs: &[u32]) -> Vec<u8> {
    let mut body =
        [[1].as_slice(), &[18; 32], &[19; 32], &[20; 16], &[epochs.len() as u8]].concat();
    for epoch in epochs {
        body.extend_from_slice(&epoch.to_be_bytes());
        body.extend_from_slice(&[21; 32]);
    }
    body
}

/// The body by the book: `version1 | index_key32 | ledger_key32 | ledger_id16 | n1 | n * (epoch4 | root32)`, where n >= 1 and epochs rise;
/// in version 2, eight bytes more.
fn body_facts(version: u8, body: &[u8]) -> Option<KeyringFacts> {
    let count = usize::from(*body.get(81)?);
    let more = if version == 2 { 8 } else { 0 };
    if body[0] != version || count == 0 || body.len() != 82 + count * 36 + more {
        return None;
    }
    let root =
        |at: &[u8]| (u32::from_be_bytes(at[..4].try_into().unwrap()), at[4..].try_into().unwrap());
    let roots: Vec<(u32, [u8; 32])> = body[82..82 + count * 36].chunks(36).map(root).collect();
    roots.windows(2).all(|pair| pair[0].0 < pair[1].0).then(|| KeyringFacts {
        store_id: STORE_ID,
        index_key: body[1..33].try_into().unwrap(),
        ledger_key: body[33..65].try_into().unwrap(),
        ledger_id: body[65..81].try_into().unwrap(),
        roots,
        opened_by_previous: false,
    })
}
