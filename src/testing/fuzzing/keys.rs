//! The operator's keys and the keyring.

use std::ffi::OsString;

use crate::crypto::{KeySource, Keyring};
use crate::model::error::Result;

/// The key that a text in a file (`newline_allowed`) or a variable stands for.
///
/// # Errors
/// `KeyUnavailable` if it is none.
pub fn key_of_text(text: &[u8], newline_allowed: bool) -> Result<[u8; 32]> {
    KeySource::env("KEY").decode(text, newline_allowed).map(|key| *key.bytes())
}

/// The key that `KeySource::env(name)` gives in this environment.
///
/// # Errors
/// `KeyUnavailable` if there is none.
pub fn key_of_env(
    source: &KeySource,
    name: &str,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<[u8; 32]> {
    source.load_env(name, env).map(|key| *key.bytes())
}

/// The key that `KeySource::systemd(name)` gives in this environment.
///
/// # Errors
/// `KeyUnavailable` if there is none.
pub fn key_of_systemd(
    source: &KeySource,
    name: &str,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<[u8; 32]> {
    source.load_systemd(name, env).map(|key| *key.bytes())
}

/// What an opened keyring says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyringFacts {
    /// In the authenticated data of every row.
    pub store_id: [u8; 16],
    /// Hides identifiers.
    pub index_key: [u8; 32],
    /// Authenticates the ledger.
    pub ledger_key: [u8; 32],
    /// Names the ledger.
    pub ledger_id: [u8; 16],
    /// Root keys by epoch, oldest first.
    pub roots: Vec<(u32, [u8; 32])>,
    /// Whether a previous key opened it.
    pub opened_by_previous: bool,
}

/// The largest keyring that is read.
pub const MAX_KEYRING_BYTES: usize = Keyring::MAX_BYTES;

/// Opens the bytes of a keyring file.
///
/// # Errors
/// As opening a store.
pub fn open_keyring(bytes: &[u8], source: &KeySource) -> Result<KeyringFacts> {
    Keyring::open(bytes, source).map(|keyring| facts(&keyring))
}

/// A new keyring and its file.
///
/// # Errors
/// As making a store.
pub fn create_keyring(source: &KeySource) -> Result<(KeyringFacts, Vec<u8>)> {
    Keyring::create(source).map(|(keyring, bytes)| (facts(&keyring), bytes))
}

fn facts(keyring: &Keyring) -> KeyringFacts {
    let secrets = &keyring.secrets;
    let roots = secrets.older_roots.iter().chain(std::iter::once(&secrets.newest_root));
    KeyringFacts {
        store_id: *keyring.store_id.as_bytes(),
        index_key: *secrets.index_key.bytes(),
        ledger_key: *secrets.ledger_key.bytes(),
        ledger_id: *secrets.ledger_id.as_bytes(),
        roots: roots.map(|(epoch, root)| (*epoch, *root.bytes())).collect(),
        opened_by_previous: keyring.opened_by_previous,
    }
}
