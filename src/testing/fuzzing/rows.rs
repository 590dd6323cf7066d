//! Rows, sealed as the store seals them, and as it never would.

use super::{fixed_key, seal_behind};
use crate::crypto::{KeyringSecrets, OVERHEAD_BYTES};
use crate::model::error::{Error, Result};
use crate::model::id::{AccountId, Alias, SessionId, Subject, TenantId};
use crate::model::position::{Opening, Position};
use crate::model::random_id::{Generation, LedgerId, SignInId, StoreId};
use crate::model::sign_in::Label;
use crate::model::time::{Interval, Millis};
use crate::model::token::Token;
use crate::rows::codec::PAD;
use crate::rows::{cipher as row, row_key};

/// The longest a sealed body can be that is not cut into parts.
pub const PART_BYTES: usize = 6 * 1024;

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
pub struct SignInBody(crate::rows::sign_in::SignInBody);

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
        Self(crate::rows::sign_in::SignInBody {
            tenant,
            session,
            subject,
            aliases,
            time,
            opening,
            as_of,
            label: None,
            age: None,
        })
    }

    /// With a label and an age of its own.
    #[must_use]
    pub fn named(mut self, label: Option<String>, age: Option<u64>) -> Self {
        self.0.label = label.map(Label);
        self.0.age = age.map(Interval::new);
        self
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
    header: crate::rows::header::Header,
}

impl Rows {
    /// The only rows that there are here.
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
        let header = crate::rows::header::Header {
            generation: Generation::from_bytes([6; 16]),
            account_key: fixed_key(&[7; 32]),
            sign_ins: Vec::new(),
            other: None,
        };
        Self { rows: row::Rows::new(StoreId::from_bytes([8; 16]), secrets), header }
    }

    fn header(&self, sign_ins: &[[u8; 16]]) -> crate::rows::header::Header {
        let crate::rows::header::Header { generation, account_key, .. } = &self.header;
        crate::rows::header::Header {
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
        crate::rows::parts::parts_of(value)
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
