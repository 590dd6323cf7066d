//! The keyring file: the store's keys, sealed under a mount key that the operator's key wraps.
//!
//! ```text
//! keyring = "OUBK" | version1 = 02 | store_id16 | w1 | w*wrap
//!           | seal[body key](all bytes before, body)          1 <= w <= 8
//! wrap    = kek_id16 | alg1 | len2 | blob                          len <= 4096, no kek_id twice
//! body    = 02 | index key32 | ledger key32 | ledger_id16 | n1 | n*(epoch4 | root32) | old end8
//!                                                                  n >= 1, epochs strictly rise
//!
//! alg 01, a local key KEK:   kek_id = Expand(KEK, "oubliette/v1/kek-id", 16)
//!     blob = salt16 | seal[wk]("oubliette/v1/mount-key" | store_id | kek_id, MK) | commit32
//!     wk32 | commit32 = Expand(KEK, "oubliette/v1/kek-wrap" | salt | store_id, 64)
//! alg 03, a key provider:    kek_id and blob are the provider's
//! MK, the mount key:         32 random bytes, fresh at every write
//!     body key = Expand(MK, "oubliette/v1/keyring-body", 32)
//! seal[k](aad, p) = nonce12 | AES-256-GCM ciphertext | tag16;   Expand = HKDF-Expand with SHA-256
//! ```
//! (alg 02 is kept free for passwords.) One local wrap and one root make 303 bytes. In version 1,
//! and its body 01, there is no `old end`.
//!
//! The `old end` is the ledger's position from which on openings are of version 2: those below may
//! have sign-ins of accounts under a tag of version 1 (`identity.rs`). Too high is safe, too low is
//! not; all ones says that it is not settled yet, as in version 1: the next open of the store
//! settles it ([`Keyring::settled`]).
//!
//! A wrap is found by its key id, never by trying: with the commitment, no file opens under two
//! keys. The single-use wrapping key has no limit of 2^32 wraps. As the mount key is fresh, a wrap
//! and a body from two writes never fit together.
//!
//! So to change the operator's key, or to add one, only this file is written: nothing below the
//! mount key changes.

mod secrets;
#[cfg(test)]
mod tests;
mod wrap;

pub(crate) use self::secrets::KeyringSecrets;

use self::wrap::{kek_id, open_local_blob, unwrap_by, wrap_by, wrap_locally};
use super::key_source::{KeyProvider, KeySource, MAX_BLOB_BYTES, Offered, WrappedKey};
use super::keys::{MountKey, OperatorKey, SealingKey};
use super::seal::{Key, fresh, open_in_place, seal_in_place, sub_key};
use crate::model::error::{Component, Error, Result};
use crate::model::position::Position;
use crate::model::random_id::StoreId;
use zeroize::Zeroizing;

const MAGIC: &[u8; 4] = b"OUBK";

const VERSION: u8 = 2;

const OLD_VERSION: u8 = 1;

const UNSETTLED: Position = Position::MAX;

const ALG_LOCAL: u8 = 1;

const ALG_PROVIDER: u8 = 3;

/// Enough for a time when two keys overlap, and for keys that are kept in a safe.
const MAX_WRAPS: u8 = 8;

const FIRST_EPOCH: u32 = 1;

/// An opened keyring.
///
/// It keeps neither the operator's key nor the mount key: each writing takes a fresh one.
#[derive(Debug)]
pub(crate) struct Keyring {
    /// The store's id, which is in the authenticated data of every row.
    pub(crate) store_id: StoreId,
    pub(crate) secrets: KeyringSecrets,
    /// Whether a previous key opened it: then it should be written anew with [`Keyring::encode`].
    pub(crate) opened_by_previous: bool,
}

impl Keyring {
    /// The largest keyring file there can be; a larger one need not be read.
    pub(crate) const MAX_BYTES: usize = 64 * 1024;

    /// A new store: its keyring, and the bytes of the file.
    ///
    /// # Errors
    /// [`Error::KeyUnavailable`] if the source's own key (not a previous one) cannot be read, or
    /// its provider fails.
    pub(crate) fn create(source: &KeySource) -> Result<(Self, Vec<u8>)> {
        Self::with_fresh_secrets(StoreId::from_bytes(fresh()?), source)
    }

    /// The same store with everything else fresh, the ledger's id too: all that was stored is
    /// forgotten.
    ///
    /// # Errors
    /// As [`Keyring::create`].
    pub(crate) fn with_new_secrets(&self, source: &KeySource) -> Result<(Self, Vec<u8>)> {
        Self::with_fresh_secrets(self.store_id, source)
    }

    fn with_fresh_secrets(store_id: StoreId, source: &KeySource) -> Result<(Self, Vec<u8>)> {
        let keyring =
            Self { store_id, secrets: KeyringSecrets::generate()?, opened_by_previous: false };
        let bytes = keyring.encode(source)?;
        Ok((keyring, bytes))
    }

    /// The keyring of the same store with the same index key, and so the same tags, but with fresh
    /// keys for all else and a fresh ledger id. Nothing that was sealed before opens with it.
    ///
    /// # Errors
    /// As [`Keyring::create`].
    pub(crate) fn successor(&self, source: &KeySource) -> Result<(Self, Vec<u8>)> {
        let mut secrets = KeyringSecrets::generate()?;
        // Tags stay as they are: the identifiers cannot be recovered from the ledger's records, so
        // new tags cannot be computed.
        secrets.index_key = self.secrets.index_key.clone();
        secrets.newest_root.0 = self.secrets.newest_root.0.saturating_add(1);
        // The new ledger takes over the openings, at their positions.
        secrets.old_end = self.secrets.old_end;
        let keyring = Self { store_id: self.store_id, secrets, opened_by_previous: false };
        let bytes = keyring.encode(source)?;
        Ok((keyring, bytes))
    }

    /// The bytes of the file, under a fresh mount key that is wrapped by the source's own key and
    /// by those beside it.
    ///
    /// # Errors
    /// As [`Keyring::create`]; [`Error::InvalidInput`] for more than eight keys, or one key twice.
    pub(crate) fn encode(&self, source: &KeySource) -> Result<Vec<u8>> {
        let mount_key = MountKey::random()?;
        let mut wraps: Vec<(u8, WrappedKey)> = Vec::new();
        for source in source.wrapping() {
            let (alg, wrapped) = match source.load()? {
                Offered::Local(kek) => (ALG_LOCAL, wrap_locally(&kek, &mount_key, &self.store_id)?),
                Offered::Provider(provider) => {
                    (ALG_PROVIDER, wrap_by(provider, source, &mount_key, &self.store_id)?)
                }
            };
            if wraps.iter().any(|(_, other)| other.key_id == wrapped.key_id) {
                return Err(Error::invalid("key", "the same key is given twice"));
            }
            wraps.push((alg, wrapped));
        }
        let count = u8::try_from(wraps.len()).ok().filter(|count| *count <= MAX_WRAPS);
        let count = count
            .ok_or_else(|| Error::invalid("key", "a keyring is wrapped by eight keys at most"))?;
        let mut sealed = self.secrets.encode()?;
        // All of the file before the sealed body is the body's associated data.
        let mut file = Vec::new();
        file.extend_from_slice(MAGIC);
        file.push(VERSION);
        file.extend_from_slice(self.store_id.as_bytes());
        file.push(count);
        for (alg, wrapped) in &wraps {
            let len = u16::try_from(wrapped.blob.len())
                .map_err(|_| source.unavailable("what it wrapped is too long"))?;
            file.extend_from_slice(&wrapped.key_id);
            file.push(*alg);
            file.extend_from_slice(&len.to_be_bytes());
            file.extend_from_slice(&wrapped.blob);
        }
        seal_in_place(&body_key(&mount_key), &file, &mut sealed, 0)?;
        file.extend_from_slice(&sealed);
        // A provider that cannot unwrap what it wrapped would lock the store for ever.
        for offered in source.wrapping() {
            let opened = File::parse(&file)?.mount_key(offered)?;
            if opened.is_none_or(|opened| opened.bytes() != mount_key.bytes()) {
                return Err(offered.unavailable("it does not unwrap what it wrapped"));
            }
        }
        Ok(file)
    }

    /// The bytes of a keyring file of today's version that records where the openings of version 1
    /// end, with everything else as in `bytes`: all keys that wrap it stay, also those that are not
    /// available now.
    ///
    /// # Errors
    /// As [`Keyring::open`].
    pub(crate) fn settled(bytes: &[u8], source: &KeySource, old_end: Position) -> Result<Vec<u8>> {
        let file = File::parse(bytes)?;
        for (_, offered) in source.all() {
            let Some(mount_key) = file.mount_key(offered)? else { continue };
            let secrets = KeyringSecrets { old_end: Some(old_end), ..file.open_body(&mount_key)? };
            let mut settled = file.head.to_vec();
            if let Some(version) = settled.get_mut(MAGIC.len()) {
                *version = VERSION;
            }
            let mut sealed = secrets.encode()?;
            seal_in_place(&body_key(&mount_key), &settled, &mut sealed, 0)?;
            settled.extend_from_slice(&sealed);
            return Ok(settled);
        }
        Err(Error::KeyRejected)
    }

    /// Opens a keyring with the first of the source's keys that one of its wraps names.
    ///
    /// Until the body has opened, no byte of the file is authenticated, and such bytes decide
    /// nothing but a refusal.
    ///
    /// # Errors
    /// * [`Error::KeyRejected`] if no wrap names an offered key. A changed bit in a key's id looks
    ///   just like that: with no trial decryption there is nothing to tell the two apart by. (A
    ///   wrong key must never look like damage, for damage may be answered by forgetting everyone.)
    /// * [`Error::Damaged`] if the file is malformed, or a key is named by a wrap which it does not
    ///   open, or the body does not open.
    /// * [`Error::UnsupportedFormat`] if a newer version of this crate seems to have written it.
    /// * [`Error::KeyUnavailable`] if a key could not be read, or its provider failed.
    pub(crate) fn open(bytes: &[u8], source: &KeySource) -> Result<Self> {
        let file = File::parse(bytes)?;
        for (is_previous, offered) in source.all() {
            if let Some(mount_key) = file.mount_key(offered)? {
                let secrets = file.open_body(&mount_key)?;
                return Ok(Self {
                    store_id: file.store_id,
                    secrets,
                    opened_by_previous: is_previous,
                });
            }
        }
        Err(Error::KeyRejected)
    }
}

/// A keyring file taken apart; nothing in it is authenticated yet.
struct File<'a> {
    version: u8,
    store_id: StoreId,
    wraps: Vec<Wrap<'a>>,
    /// All bytes before the sealed body.
    head: &'a [u8],
    sealed: &'a [u8],
}

struct Wrap<'a> {
    key_id: &'a [u8; 16],
    alg: u8,
    blob: &'a [u8],
}

impl<'a> File<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut rest = Reader(bytes);
        if rest.array() != Some(MAGIC) {
            return Err(damaged("it is not a keyring"));
        }
        let version = match rest.array() {
            Some([version @ (OLD_VERSION | VERSION)]) => *version,
            Some([found]) if *found > VERSION => {
                return Err(Error::UnsupportedFormat {
                    part: Component::Keyring,
                    found: *found,
                    supported: VERSION,
                });
            }
            _ => return Err(damaged("it has no valid version")),
        };
        if bytes.len() > Keyring::MAX_BYTES {
            return Err(damaged("it is too long"));
        }
        let (store_id, wraps) =
            Self::parse_wraps(&mut rest).ok_or_else(|| damaged("its list of keys is malformed"))?;
        let sealed = rest.0;
        let head = bytes.get(..bytes.len() - sealed.len()).unwrap_or_default();
        Ok(Self { version, store_id, wraps, head, sealed })
    }

    fn parse_wraps(rest: &mut Reader<'a>) -> Option<(StoreId, Vec<Wrap<'a>>)> {
        let store_id = StoreId::from_bytes(*rest.array()?);
        let [count] = *rest.array()?;
        if !(1..=MAX_WRAPS).contains(&count) {
            return None;
        }
        let mut wraps: Vec<Wrap<'a>> = Vec::with_capacity(count.into());
        for _ in 0..count {
            let key_id = rest.array()?;
            let [alg] = *rest.array()?;
            let len = usize::from(u16::from_be_bytes(*rest.array()?));
            let known = matches!(alg, ALG_LOCAL | ALG_PROVIDER);
            if !known || len > MAX_BLOB_BYTES || wraps.iter().any(|wrap| wrap.key_id == key_id) {
                return None;
            }
            wraps.push(Wrap { key_id, alg, blob: rest.slice(len)? });
        }
        Some((store_id, wraps))
    }

    /// The mount key, or `None` if no wrap is for this source.
    fn mount_key(&self, offered: &KeySource) -> Result<Option<MountKey>> {
        match offered.load()? {
            Offered::Local(kek) => self.unwrap_locally(&kek),
            Offered::Provider(provider) => self.unwrap_by(provider, offered),
        }
    }

    /// The mount key, or `None` if no wrap names this key.
    fn unwrap_locally(&self, kek: &OperatorKey) -> Result<Option<MountKey>> {
        let id = kek_id(kek);
        let Some(wrap) = self.wraps.iter().find(|wrap| *wrap.key_id == id) else { return Ok(None) };
        let mount_key = if wrap.alg == ALG_LOCAL {
            open_local_blob(kek, &id, wrap.blob, &self.store_id)
        } else {
            None
        };
        mount_key.map(Some).ok_or_else(|| damaged("the right key does not open it"))
    }

    /// The mount key, or `None` if no wrap is this provider's. Only the provider knows which ones
    /// are.
    fn unwrap_by(
        &self,
        provider: &dyn KeyProvider,
        source: &KeySource,
    ) -> Result<Option<MountKey>> {
        for wrap in self.wraps.iter().filter(|wrap| wrap.alg == ALG_PROVIDER) {
            let wrapped = WrappedKey { key_id: *wrap.key_id, blob: wrap.blob.to_vec() };
            if let Some(mount_key) = unwrap_by(provider, source, &wrapped, &self.store_id)? {
                return Ok(Some(mount_key));
            }
        }
        Ok(None)
    }

    fn open_body(&self, mount_key: &MountKey) -> Result<KeyringSecrets> {
        let mut body = Zeroizing::new(self.sealed.to_vec());
        let body = open_in_place(&body_key(mount_key), self.head, &mut body)
            .ok_or_else(|| damaged("its keys do not open"))?;
        KeyringSecrets::decode(self.version, body).ok_or_else(|| damaged("its keys are malformed"))
    }
}

/// Bounded reading: every step returns `None` if the bytes end too soon.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(array)
    }

    fn slice(&mut self, len: usize) -> Option<&'a [u8]> {
        let (slice, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(slice)
    }

    fn key<P>(&mut self) -> Option<Key<P>> {
        self.array::<32>().map(|from| Key::init(|bytes| bytes.copy_from_slice(from)))
    }
}

fn damaged(problem: &'static str) -> Error {
    Error::damaged(Component::Keyring, problem)
}

fn body_key(mount_key: &MountKey) -> SealingKey {
    sub_key(mount_key, &[b"oubliette/v1/keyring-body"])
}
