//! Ways past the public interface for the fuzz targets in `fuzz/`: compiled with `--cfg fuzzing`
//! alone.
//!
//! Thin on purpose: whatever is decided here is decided by the modules themselves. What a target
//! needs beyond them, such as sealing bytes that the store would never write, is put together from
//! the same parts.

use crate::ledger::{Found, Growth, Ledger, fuzzing as ledger};
use crate::model::position::{Opening, Position};
use crate::model::random_id::{Generation, LedgerId, SignInId, StoreId};
use crate::store::location::Place;
use crate::testing::machine::Machine;
use std::ffi::OsString;

use crate::crypto::KeySource;
use crate::crypto::{
    Key, Keyring, KeyringSecrets, NONCE_BYTES, OVERHEAD_BYTES, RootKey, SealingKey, Seals,
    expand as hkdf_expand, seal_in_place,
};
use crate::model::error::{Error, Result};
use crate::model::id::{AccountId, Alias, SessionId, Subject, TenantId};
use crate::model::time::Millis;
use crate::model::token::Token;
use crate::rows::codec::PAD;
use crate::rows::{cipher as row, row_key};

pub use crate::ledger::fuzzing::{
    FileHeader, LedgerFile, LedgerOn, Read, SignedIn, SlotRecord, Standing,
};
#[cfg(feature = "logout")]
pub use crate::logout::fuzzing::discovered;

/// The longest a sealed body can be that is not cut into parts.
pub const PART_BYTES: usize = 6 * 1024;

/// `nonce | ciphertext | tag` of any text under any key.
///
/// # Errors
/// `InvalidInput` if the text is too long.
pub fn seal(key: &[u8; 32], aad: &[u8], text: &[u8]) -> Result<Vec<u8>> {
    let key: SealingKey = fixed_key(key);
    seal_behind(&key, aad, &[], text)
}

/// HKDF-Expand with SHA-256, as all keys are derived.
#[must_use]
pub fn expand(key: &[u8; 32], info: &[&[u8]], len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    let key: RootKey = fixed_key(key);
    hkdf_expand(&key, info, &mut out);
    out
}

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

/// What can be sealed in the place of a body that the store wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// A sign-in's.
    SignIn,
    /// A token's, or one part of it.
    Token,
    /// The checkpoint's.
    Checkpoint,
}

/// What is stored of a sign-in.
#[derive(Clone, PartialEq, Eq)]
pub struct SignInBody(row::SignInBody);

impl SignInBody {
    /// Of these fields.
    #[must_use]
    pub fn new(
        tenant: TenantId,
        session: Option<SessionId>,
        subject: Option<Subject>,
        aliases: Vec<Alias>,
        (time, opening, as_of): (u64, [u8; 16], u64),
    ) -> Self {
        let time = Millis::new(time);
        let (opening, as_of) = (Opening::from_bytes(opening), Position::new(as_of));
        Self(row::SignInBody { tenant, session, subject, aliases, time, opening, as_of })
    }
}

impl std::fmt::Debug for SignInBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignInBody(..)")
    }
}

/// The rows of one account of one store, whose keys never change, so that what was sealed in one
/// run opens in another.
pub struct Rows {
    rows: row::Rows,
    header: row::Header,
}

impl Rows {
    /// The only ones.
    #[must_use]
    pub fn fixed() -> Self {
        let secrets = KeyringSecrets {
            index_key: fixed_key(&[1; 32]),
            ledger_key: fixed_key(&[2; 32]),
            ledger_id: LedgerId::from_bytes([3; 16]),
            older_roots: vec![(1, fixed_key(&[4; 32]))],
            newest_root: (2, fixed_key(&[5; 32])),
            old_end: Some(Position::ZERO),
        };
        let header = row::Header {
            generation: Generation::from_bytes([6; 16]),
            account_key: fixed_key(&[7; 32]),
            sign_ins: Vec::new(),
            other: None,
        };
        Self { rows: row::Rows::new(StoreId::from_bytes([8; 16]), secrets), header }
    }

    fn header(&self, sign_ins: &[[u8; 16]]) -> row::Header {
        let row::Header { generation, account_key, .. } = &self.header;
        row::Header {
            generation: *generation,
            account_key: account_key.clone(),
            sign_ins: sign_ins.iter().copied().map(SignInId::from_bytes).collect(),
            other: None,
        }
    }

    /// As the store writes a header.
    ///
    /// # Errors
    /// As the store.
    pub fn seal_header(
        &self,
        key: &[u8],
        sign_ins: &[[u8; 16]],
        account: &AccountId,
    ) -> Result<Vec<u8>> {
        self.rows.seal_header(key, &self.header(sign_ins), account)
    }

    /// A header whose account's id is any text, sealed as it should be.
    ///
    /// # Errors
    /// As the store.
    pub fn seal_account_text(
        &self,
        key: &[u8],
        sign_ins: &[[u8; 16]],
        text: &[u8],
    ) -> Result<Vec<u8>> {
        let header = self.header(sign_ins);
        let mut front = self.rows.seal_header(key, &header, &AccountId::new("a", "b")?)?;
        front.truncate(front.len().saturating_sub(PAD + OVERHEAD_BYTES));
        let aad = self.rows.aad(b"account", &header.generation, key, &front);
        seal_behind(&header.account_key, &aad, &front, text)
    }

    /// The header's list of sign-ins, if it opens.
    ///
    /// # Errors
    /// `Tampered`.
    pub fn open_header(&self, key: &[u8], value: &[u8]) -> Result<Vec<[u8; 16]>> {
        self.rows
            .open_header(key, value)
            .map(|header| header.sign_ins.iter().map(|id| *id.as_bytes()).collect())
    }

    /// The account's id, if the header and it open.
    ///
    /// # Errors
    /// `Tampered`.
    pub fn open_account(&self, key: &[u8], value: &[u8]) -> Result<AccountId> {
        self.rows.open_account(key, value, &self.rows.open_header(key, value)?)
    }

    /// As the store writes a sign-in.
    ///
    /// # Errors
    /// As the store.
    pub fn seal_sign_in(&self, key: &[u8], body: &SignInBody) -> Result<Vec<u8>> {
        self.rows.seal_sign_in(key, &self.header, &body.0)
    }

    /// Opens a sign-in.
    ///
    /// # Errors
    /// `Tampered`.
    pub fn open_sign_in(&self, key: &[u8], value: &[u8]) -> Result<SignInBody> {
        self.rows.open_sign_in(key, value, &self.header).map(SignInBody)
    }

    /// As the store writes a token, part by part.
    ///
    /// # Errors
    /// As the store.
    pub fn seal_token(
        &self,
        key: impl Fn(u8) -> Vec<u8>,
        token: &Token,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        token.check()?;
        self.rows.seal_token(key, &self.header, token, None)
    }

    /// Opens the parts of a token.
    ///
    /// # Errors
    /// `Tampered`.
    pub fn open_token(&self, parts: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Option<Token>> {
        Ok(self.rows.open_token(parts, &self.header)?.map(|stored| stored.token))
    }

    /// As the store writes a checkpoint.
    ///
    /// # Errors
    /// As the store.
    pub fn seal_checkpoint(&self, key: &[u8], position: u64) -> Result<Vec<u8>> {
        self.rows.seal_checkpoint(key, Position::new(position))
    }

    /// Opens a checkpoint.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn open_checkpoint(&self, key: &[u8], value: &[u8]) -> Result<u64> {
        self.rows.open_checkpoint(key, value).map(Position::get)
    }

    /// A row with any clear front and any text behind it, sealed as the store seals such rows.
    ///
    /// # Errors
    /// As the store.
    pub fn seal_text(&self, body: Body, key: &[u8], front: &[u8], text: &[u8]) -> Result<Vec<u8>> {
        let of = &self.header;
        let aad = |label: &[u8], generation| self.rows.aad(label, generation, key, front);
        match body {
            Body::SignIn => {
                let aad = aad(b"sign-in", &of.generation);
                seal_behind(&of.account_key, &aad, front, text)
            }
            Body::Token => {
                let aad = aad(b"token", &of.generation);
                seal_behind(&of.account_key, &aad, front, text)
            }
            Body::Checkpoint => {
                let aad = aad(b"checkpoint", &Generation::NONE);
                seal_behind(&self.rows.checkpoint_key(), &aad, front, text)
            }
        }
    }

    /// How many parts a token's first row says that there are.
    #[must_use]
    pub fn parts_of(value: &[u8]) -> u8 {
        row::parts_of(value)
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rows(..)")
    }
}

/// What `layout` reads in a row key, written anew: the same bytes, or `None` if it reads nothing.
#[must_use]
pub fn reread_key(key: &[u8]) -> Option<Vec<u8>> {
    let account = row_key::account_of(key)?;
    Some(match row_key::parse(key)? {
        row_key::AccountRow::Header => row_key::header(&account),
        row_key::AccountRow::SignIn(id) => row_key::sign_in(&account, &id),
        row_key::AccountRow::Token { sign_in, tenant, slot, part } => {
            row_key::token(&account, &sign_in, &tenant, &slot, part)
        }
        row_key::AccountRow::Web { sign_in, session, part } => {
            row_key::web(&account, &sign_in, &session, part)
        }
    })
}

/// The tag and account that an index row's key names.
#[must_use]
pub fn index_key(key: &[u8]) -> Option<([u8; 16], [u8; 16])> {
    let (entry, account) = row_key::indexed(key)?;
    let tag = entry.accounts().get(1..)?.try_into().ok()?;
    Some((tag, *account.as_bytes()))
}

/// Whether an error of a row says that it was changed.
#[must_use]
pub fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Tampered(_) | Error::Damaged { .. })
}

fn fixed_key<P>(bytes: &[u8; 32]) -> Key<P> {
    Key::init(|key| key.copy_from_slice(bytes))
}

fn seal_behind<P: Seals>(key: &Key<P>, aad: &[u8], front: &[u8], text: &[u8]) -> Result<Vec<u8>> {
    let mut row = front.to_vec();
    row.resize(front.len() + NONCE_BYTES, 0);
    row.extend_from_slice(text);
    seal_in_place(key, aad, &mut row, front.len())?;
    Ok(row)
}

impl LedgerOn {
    /// Makes the ledger's file.
    ///
    /// # Errors
    /// As making a store.
    pub fn create(machine: &Machine, chunk: u32, reserve: u64, now: u64) -> Result<()> {
        Ledger::create(
            &*machine.ledger_disk()?,
            ledger::ID,
            &ledger::key(),
            Growth { chunk, reserve },
            Millis::new(now),
        )
    }

    /// Opens it, and says whether it reaches the position that the engine has seen. If it does not,
    /// nothing is written.
    ///
    /// # Errors
    /// As opening a store.
    pub fn open(
        machine: &Machine,
        chunk: u32,
        reserve: u64,
        checkpoint: u64,
    ) -> Result<Option<Self>> {
        machine.sync()?;
        let found: Found = Ledger::read(
            machine.ledger_disk()?,
            ledger::ID,
            &ledger::key(),
            Growth { chunk, reserve },
        )?;
        if found.reaches(Position::new(checkpoint)) {
            found.settle().map(Self).map(Some)
        } else {
            Ok(None)
        }
    }
}
