//! Row values: how headers, sign-ins, tokens and the checkpoint are sealed and opened. Pure
//! functions over bytes.
//!
//! `wrapping key = HKDF[root of its epoch]("account-key" | salt16)` wraps a random account key, and
//! the account key seals all else of the account. Associated data: label, store id, ledger id,
//! generation, the full row key, and the clear front of the value; so no row opens in another's
//! place, nor another version of it under another front. `docs/format.md` has the tables.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock::lasting::{Put, Stored};
use crate::clock::trust::Known;
use crate::crypto::{
    AccountKey, Keyring, KeyringSecrets, NONCE_BYTES, OVERHEAD_BYTES, RootKey, SealingKey,
    TAG_BYTES, fresh, open_in_place, seal_in_place, sub_key,
};
use crate::engine::Row;
use crate::model::error::{Error, Part, Result};
use crate::model::id::{AccountId, Alias, ClientId, SessionId, Subject, TenantId};
use crate::model::position::{Opening, Position};
use crate::model::random_id::{Generation, LedgerId, SignInId, StoreId, WriteId};
use crate::model::scopes::{Partition, Scopes};
use crate::model::secret::Secret;
use crate::model::tag::AccountTag;
use crate::model::time::{Interval, Millis, from_millis, millis, to_millis};
use crate::model::token::{AccessToken, IdToken, RefreshToken, Token};
use crate::platform::wipe::Wiped;
use crate::rows::codec;

/// What a move of the rows brought: how much was live, and the size of the fresh engine with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fresh {
    pub(crate) live_bytes: u64,
    pub(crate) engine_bytes: u64,
}

/// What a row of version 1 begins with. The keyring's version speaks for the whole store: a byte
/// that it does not know is a changed one.
const FORMAT: u8 = 1;
/// A token's row that says when it was stored.
const TOKEN_FORMAT: u8 = 2;
/// A token's sealed body above this is cut into parts: 16 rows of one leaf stay below sled's limit
/// for blob files.
const PART_BYTES: usize = 6 * 1024;
const SALT_BYTES: usize = 16;
const WRAPPED_BYTES: usize = 32 + OVERHEAD_BYTES;
const TOKEN_FRONT: usize = 3 + 16;
/// Where a body begins that is sealed in parts: behind front and nonce.
pub(crate) const PARTS_TEXT: usize = TOKEN_FRONT + NONCE_BYTES;
/// Tokens.
const TOKEN: Parted = Parted { name: "token", byte: b'T', format: TOKEN_FORMAT };

/// Seals and opens the rows of one store.
pub(crate) struct Rows {
    store_id: StoreId,
    ledger_id: LedgerId,
    secrets: KeyringSecrets,
}

/// A kind of row that can have several parts.
pub(crate) struct Parted {
    /// In the associated data, and in errors.
    pub(crate) name: &'static str,
    /// In the clear front.
    pub(crate) byte: u8,
    /// Before it: what is written. Older ones are read.
    pub(crate) format: u8,
}

/// What the header of a live account says.
pub(crate) struct Header {
    pub(crate) generation: Generation,
    pub(crate) account_key: AccountKey,
    /// The live sign-ins, oldest first.
    pub(crate) sign_ins: Vec<SignInId>,
    /// The account's other tag, in a store that knows two: see `identity.rs`. It is not in the row.
    pub(crate) other: Option<AccountTag>,
}

/// What is stored of a sign-in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SignInBody {
    pub(crate) tenant: TenantId,
    pub(crate) session: Option<SessionId>,
    pub(crate) subject: Option<Subject>,
    pub(crate) aliases: Vec<Alias>,
    pub(crate) time: Millis,
    pub(crate) opening: Opening,
    pub(crate) as_of: Position,
}

impl Rows {
    pub(crate) fn new(store_id: StoreId, secrets: KeyringSecrets) -> Self {
        Self { store_id, ledger_id: secrets.ledger_id, secrets }
    }

    /// What the keyring's file would say.
    pub(crate) fn keyring(&self) -> Keyring {
        Keyring {
            store_id: self.store_id,
            secrets: self.secrets.clone(),
            opened_by_previous: false,
        }
    }

    /// The header row's value. The account key is wrapped anew each time.
    pub(crate) fn seal_header(
        &self,
        key: &[u8],
        header: &Header,
        account: &AccountId,
    ) -> Result<Vec<u8>> {
        let (epoch, root) = self.secrets.current_root();
        let count = u8::try_from(header.sign_ins.len())
            .map_err(|_| Error::invalid("sign-ins", "there are more than 255"))?;
        let (kind, first, second) = account.parts();
        let mut value = vec![FORMAT, b'H'];
        value.extend_from_slice(&epoch.to_be_bytes());
        value.extend_from_slice(header.generation.as_bytes());
        value.push(count);
        header.sign_ins.iter().for_each(|id| value.extend_from_slice(id.as_bytes()));
        let salt = fresh::<SALT_BYTES>()?;
        value.extend_from_slice(&salt);

        let mut wrapped = Zeroizing::new(Vec::with_capacity(WRAPPED_BYTES));
        wrapped.resize(NONCE_BYTES, 0);
        wrapped.extend_from_slice(header.account_key.bytes());
        let aad = self.aad(b"account-key", &header.generation, key, &value);
        seal_in_place(&wrapping_key(root, &salt), &aad, &mut wrapped, 0)?;
        value.extend_from_slice(&wrapped);

        let body = codec::encode(&(kind, first, second), NONCE_BYTES, TAG_BYTES);
        let mut body = body.ok_or_else(|| Error::invalid("account", "it is too long"))?;
        let aad = self.aad(b"account", &header.generation, key, &value);
        seal_in_place(&header.account_key, &aad, &mut body, 0)?;
        value.extend_from_slice(&body);
        Ok(value)
    }

    /// Opens a header: its front and the account key are authentic. (The account's id behind them
    /// is opened by [`Rows::open_account`].)
    pub(crate) fn open_header(&self, key: &[u8], value: &[u8]) -> Result<Header> {
        let front = HeaderFront::read(value)?;
        let root = self.secrets.root(front.epoch).ok_or(Error::Tampered("header"))?;
        let mut wrapped = Zeroizing::new(front.wrapped.to_vec());
        let aad = self.aad(b"account-key", &front.generation, key, front.before_wrapped);
        let opened = open_in_place(&wrapping_key(root, front.salt), &aad, &mut wrapped)
            .ok_or(Error::Tampered("header"))?;
        let account_key = AccountKey::try_init(|bytes| {
            bytes.copy_from_slice(opened.first_chunk::<32>().ok_or(Error::Tampered("header"))?);
            Ok(())
        })?;
        Ok(Header {
            generation: front.generation,
            account_key,
            sign_ins: front.sign_ins.iter().copied().map(SignInId::from_bytes).collect(),
            other: None,
        })
    }

    /// The id of the account, from the value of an opened header.
    pub(crate) fn open_account(
        &self,
        key: &[u8],
        value: &[u8],
        header: &Header,
    ) -> Result<AccountId> {
        let front = HeaderFront::read(value)?;
        let aad = self.aad(b"account", &header.generation, key, front.before_body);
        let mut body = Zeroizing::new(front.body.to_vec());
        let body =
            open_in_place(&header.account_key, &aad, &mut body).ok_or(Error::Tampered("header"))?;
        let (kind, first, second) =
            codec::decode::<(u8, &str, &str)>(body).ok_or(Error::Tampered("header"))?;
        AccountId::from_parts(kind, first, second).map_err(|_| Error::Tampered("header"))
    }

    pub(crate) fn seal_sign_in(
        &self,
        key: &[u8],
        header: &Header,
        sign_in: &SignInBody,
    ) -> Result<Vec<u8>> {
        let wire = SignInWire {
            tenant: sign_in.tenant.as_str(),
            session: sign_in.session.as_ref().map(|s| (s.issuer(), s.sid())),
            subject: sign_in.subject.as_ref().map(|s| (s.issuer(), s.sub())),
            aliases: sign_in.aliases.iter().map(Alias::parts).collect(),
            time: sign_in.time,
            opening: sign_in.opening,
            as_of: sign_in.as_of,
        };
        let body = codec::encode(&wire, 2 + NONCE_BYTES, TAG_BYTES);
        let mut row = body
            .filter(|b| b.len() <= PART_BYTES)
            .ok_or_else(|| Error::invalid("sign-in", "its ids are too long together"))?;
        self.seal_behind(b"sign-in", key, header, &[FORMAT, b'S'], &mut row)?;
        Ok(std::mem::take(&mut *row))
    }

    pub(crate) fn open_sign_in(
        &self,
        key: &[u8],
        value: &[u8],
        header: &Header,
    ) -> Result<SignInBody> {
        let tampered = || Error::Tampered("sign-in");
        let mut row = Zeroizing::new(value.to_vec());
        let body = self
            .open_behind(b"sign-in", [FORMAT, b'S'], key, header, 2, &mut row)?
            .ok_or_else(tampered)?;
        let wire = codec::decode::<SignInWire<'_>>(body).ok_or_else(tampered)?;
        wire.read().map_err(|_: Error| tampered())
    }

    /// The rows of a token, part by part; `key` makes the key of a part. All parts share a fresh
    /// write id. `put` says when it was stored, if that is known.
    pub(crate) fn seal_token(
        &self,
        key: impl Fn(u8) -> Vec<u8>,
        header: &Header,
        token: &Token,
        put: Option<&Put>,
    ) -> Result<Vec<Row>> {
        let body = codec::encode(&TokenWire2::of(token, put), PARTS_TEXT, TAG_BYTES);
        let rows = body
            .map(|body| {
                let write_id = WriteId::from_bytes(fresh()?);
                self.seal_parts(&TOKEN, key, header, &write_id, body)
            })
            .transpose()?
            .flatten();
        rows.ok_or_else(|| Error::invalid("token", "it is too long with its ids and extra"))
    }

    /// Opens the parts of a token, in order. `None` if they are not all the parts of one write, as
    /// when they were read while another write went on.
    ///
    /// # Errors
    /// `Tampered` if a part does not open.
    pub(crate) fn open_token(&self, parts: Vec<Row>, header: &Header) -> Result<Option<Stored>> {
        self.open_parts(&TOKEN, parts, header, decode_token)
    }

    /// Seals a body that begins behind [`PARTS_TEXT`], in as many rows as it needs. `None` if these
    /// are too many.
    pub(crate) fn seal_parts(
        &self,
        kind: &Parted,
        key: impl Fn(u8) -> Vec<u8>,
        header: &Header,
        write_id: &WriteId,
        mut body: Zeroizing<Vec<u8>>,
    ) -> Result<Option<Vec<Row>>> {
        let front =
            |count: u8| [[kind.format, kind.byte, count].as_slice(), write_id.as_bytes()].concat();
        let label = kind.name.as_bytes();
        if body.len() - PARTS_TEXT <= PART_BYTES {
            let key = key(0);
            self.seal_behind(label, &key, header, &front(1), &mut body)?;
            return Ok(Some(vec![(key, std::mem::take(&mut *body))]));
        }
        let parts = body.get(PARTS_TEXT..).unwrap_or_default().chunks(PART_BYTES);
        let Ok(count) = u8::try_from(parts.len()) else { return Ok(None) };
        let rows = (0..).zip(parts).map(|(part, bytes)| {
            let key = key(part);
            let mut row = Zeroizing::new(Vec::with_capacity(PARTS_TEXT + bytes.len() + TAG_BYTES));
            row.resize(PARTS_TEXT, 0);
            row.extend_from_slice(bytes);
            self.seal_behind(label, &key, header, &front(count), &mut row)?;
            Ok((key, std::mem::take(&mut *row)))
        });
        rows.collect::<Result<_>>().map(Some)
    }

    /// Opens what [`Rows::seal_parts`] has sealed, as [`Rows::open_token`] says. `decode` is given
    /// the version of the rows too.
    ///
    /// # Errors
    /// `Tampered` if a part does not open, or `decode` says no.
    pub(crate) fn open_parts<T>(
        &self,
        kind: &Parted,
        parts: Vec<Row>,
        header: &Header,
        decode: impl FnOnce(u8, &[u8]) -> Option<T>,
    ) -> Result<Option<T>> {
        let tampered = || Error::Tampered(kind.name);
        let first = parts.first().and_then(|(_, value)| token_front(value)).ok_or_else(tampered)?;
        if parts.len() != usize::from(first.count)
            || parts.iter().any(|(_, value)| token_front(value) != Some(first))
        {
            return Ok(None);
        }
        let format = first.format;
        if !(FORMAT..=kind.format).contains(&format) {
            return Err(tampered());
        }
        let mut bodies = Vec::with_capacity(parts.len());
        for (key, value) in parts {
            let mut row = Wiped(value);
            let opened = self.open_behind(
                kind.name.as_bytes(),
                [format, kind.byte],
                &key,
                header,
                TOKEN_FRONT,
                &mut row,
            )?;
            let length = opened.ok_or_else(tampered)?.len();
            bodies.push((row, length));
        }
        let opened = if let [(row, length)] = bodies.as_slice() {
            row.get(PARTS_TEXT..PARTS_TEXT + length).and_then(|body| decode(format, body))
        } else {
            let mut whole =
                Wiped(Vec::with_capacity(bodies.iter().map(|(_, length)| length).sum()));
            for (row, length) in &bodies {
                whole.extend_from_slice(
                    row.get(PARTS_TEXT..PARTS_TEXT + length).unwrap_or_default(),
                );
            }
            decode(format, &whole)
        };
        opened.map(Some).ok_or_else(tampered)
    }

    /// The checkpoint: this ledger was synced up to `position`.
    pub(crate) fn seal_checkpoint(&self, key: &[u8], position: Position) -> Result<Vec<u8>> {
        let mut row = vec![FORMAT, b'C'];
        row.resize(2 + NONCE_BYTES, 0);
        row.extend_from_slice(&position.get().to_be_bytes());
        let aad = self.aad(b"checkpoint", &Generation::NONE, key, &[FORMAT, b'C']);
        seal_in_place(&self.checkpoint_key(), &aad, &mut row, 2)?;
        Ok(row)
    }

    pub(crate) fn open_checkpoint(&self, key: &[u8], value: &[u8]) -> Result<Position> {
        let damaged = || Error::damaged(Part::Engine, "its checkpoint is not of this ledger");
        let (front, sealed) = value.split_first_chunk::<2>().ok_or_else(damaged)?;
        if *front != [FORMAT, b'C'] {
            return Err(damaged());
        }
        let aad = self.aad(b"checkpoint", &Generation::NONE, key, front);
        let mut sealed = sealed.to_vec();
        let opened =
            open_in_place(&self.checkpoint_key(), &aad, &mut sealed).ok_or_else(damaged)?;
        opened
            .try_into()
            .map(|bytes: &mut [u8; 8]| Position::new(u64::from_be_bytes(*bytes)))
            .map_err(|_| damaged())
    }

    /// What is known of the time, for later openings.
    pub(crate) fn seal_known(&self, key: &[u8], known: &Known) -> Result<Vec<u8>> {
        self.seal_two(b"known-time", b'K', key, [known.known.get(), known.shown.get()])
    }

    /// Opens it; `None` if it is not as it was written.
    pub(crate) fn open_known(&self, key: &[u8], value: &[u8]) -> Option<Known> {
        self.open_two(b"known-time", b'K', key, value).map(|times| {
            let [known, shown] = times.map(Millis::new);
            Known { known, shown }
        })
    }

    /// What a move brought, for later openings.
    pub(crate) fn seal_fresh(&self, key: &[u8], fresh: &Fresh) -> Result<Vec<u8>> {
        self.seal_two(b"fresh-engine", b'F', key, [fresh.live_bytes, fresh.engine_bytes])
    }

    /// Opens it; `None` if it is not as it was written: then nothing is known of it.
    pub(crate) fn open_fresh(&self, key: &[u8], value: &[u8]) -> Option<Fresh> {
        let [live_bytes, engine_bytes] = self.open_two(b"fresh-engine", b'F', key, value)?;
        Some(Fresh { live_bytes, engine_bytes })
    }

    /// Two numbers that belong to no account.
    fn seal_two(&self, label: &[u8], kind: u8, key: &[u8], numbers: [u64; 2]) -> Result<Vec<u8>> {
        let mut row = vec![FORMAT, kind];
        row.resize(2 + NONCE_BYTES, 0);
        numbers.iter().for_each(|number| row.extend_from_slice(&number.to_be_bytes()));
        let aad = self.aad(label, &Generation::NONE, key, &[FORMAT, kind]);
        seal_in_place(&self.checkpoint_key(), &aad, &mut row, 2)?;
        Ok(row)
    }

    fn open_two(&self, label: &[u8], kind: u8, key: &[u8], value: &[u8]) -> Option<[u64; 2]> {
        let (front, sealed) = value.split_first_chunk::<2>()?;
        let aad = self.aad(label, &Generation::NONE, key, front);
        let mut sealed = sealed.to_vec();
        let opened = open_in_place(&self.checkpoint_key(), &aad, &mut sealed)
            .filter(|_| *front == [FORMAT, kind])?;
        let ([first, second], []) = opened.as_chunks::<8>() else { return None };
        Some([u64::from_be_bytes(*first), u64::from_be_bytes(*second)])
    }

    /// A key for one row that belongs to no account.
    pub(crate) fn key_of_nobody(&self, label: &[u8], salt: &WriteId) -> AccountKey {
        sub_key(self.secrets.current_root().1, &[label, salt.as_bytes()])
    }

    pub(crate) fn checkpoint_key(&self) -> SealingKey {
        sub_key(self.secrets.current_root().1, &[b"oubliette/v1/checkpoint"])
    }

    /// Seals what is in `row` behind `front`, which it writes, and the room for the nonce.
    fn seal_behind(
        &self,
        label: &[u8],
        key: &[u8],
        header: &Header,
        front: &[u8],
        row: &mut Vec<u8>,
    ) -> Result<()> {
        if let Some(start) = row.get_mut(..front.len()) {
            start.copy_from_slice(front);
        }
        seal_in_place(
            &header.account_key,
            &self.aad(label, &header.generation, key, front),
            row,
            front.len(),
        )
    }

    fn open_behind<'a>(
        &self,
        label: &[u8],
        kind: [u8; 2],
        key: &[u8],
        header: &Header,
        front: usize,
        row: &'a mut [u8],
    ) -> Result<Option<&'a mut [u8]>> {
        let Some((front, sealed)) = row.split_at_mut_checked(front) else { return Ok(None) };
        if !front.starts_with(&kind) {
            return Ok(None);
        }
        Ok(open_in_place(
            &header.account_key,
            &self.aad(label, &header.generation, key, front),
            sealed,
        ))
    }

    /// `label | store id | ledger id | generation | key length u32 | key | front`: only the last
    /// has a free length.
    pub(crate) fn aad(
        &self,
        label: &[u8],
        generation: &Generation,
        key: &[u8],
        front: &[u8],
    ) -> Vec<u8> {
        let mut aad = Vec::with_capacity(64 + label.len() + key.len() + front.len());
        aad.extend_from_slice(b"oubliette/v1/");
        aad.extend_from_slice(label);
        aad.push(0);
        aad.extend_from_slice(self.store_id.as_bytes());
        aad.extend_from_slice(self.ledger_id.as_bytes());
        aad.extend_from_slice(generation.as_bytes());
        aad.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes());
        aad.extend_from_slice(key);
        aad.extend_from_slice(front);
        aad
    }
}

/// The random bytes that all parts of one write share, not authenticated.
pub(crate) fn write_id_of(value: &[u8]) -> Option<WriteId> {
    token_front(value).map(|front| front.write_id)
}

/// How many parts the token has whose first part this is, not authenticated: for knowing which rows
/// to read or to delete.
pub(crate) fn parts_of(value: &[u8]) -> u8 {
    token_front(value).map_or(1, |front| front.count.max(1))
}

fn wrapping_key(root: &RootKey, salt: &[u8]) -> SealingKey {
    sub_key(root, &[b"oubliette/v1/account-key", salt])
}

struct HeaderFront<'a> {
    epoch: u32,
    generation: Generation,
    sign_ins: &'a [[u8; 16]],
    salt: &'a [u8],
    wrapped: &'a [u8],
    body: &'a [u8],
    before_wrapped: &'a [u8],
    before_body: &'a [u8],
}

impl<'a> HeaderFront<'a> {
    fn read(value: &'a [u8]) -> Result<Self> {
        let read = || {
            let rest = value.strip_prefix(&[FORMAT, b'H'])?;
            let (epoch, rest) = rest.split_first_chunk()?;
            let (generation, rest) = rest.split_first_chunk()?;
            let (count, rest) = rest.split_first()?;
            let (ids, rest) = rest.split_at_checked(16 * usize::from(*count))?;
            let (salt, rest) = rest.split_at_checked(SALT_BYTES)?;
            let before_wrapped = value.get(..value.len() - rest.len())?;
            let (wrapped, body) = rest.split_at_checked(WRAPPED_BYTES)?;
            let before_body = value.get(..value.len() - body.len())?;
            let epoch = u32::from_be_bytes(*epoch);
            let sign_ins = ids.as_chunks().0;
            Some(Self {
                epoch,
                generation: Generation::from_bytes(*generation),
                sign_ins,
                salt,
                wrapped,
                body,
                before_wrapped,
                before_body,
            })
        };
        read().ok_or(Error::Tampered("header"))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct TokenFront {
    format: u8,
    count: u8,
    write_id: WriteId,
}

fn token_front(value: &[u8]) -> Option<TokenFront> {
    let ([format, _, count], rest) = value.split_first_chunk::<3>()?;
    let write_id = WriteId::from_bytes(*rest.first_chunk()?);
    Some(TokenFront { format: *format, count: *count, write_id })
}

#[derive(Serialize, Deserialize)]
struct SignInWire<'a> {
    tenant: &'a str,
    #[serde(borrow)]
    session: Option<(&'a str, &'a str)>,
    #[serde(borrow)]
    subject: Option<(&'a str, &'a str)>,
    #[serde(borrow)]
    aliases: Vec<(u8, &'a str)>,
    time: Millis,
    opening: Opening,
    as_of: Position,
}

impl SignInWire<'_> {
    fn read(self) -> Result<SignInBody> {
        Ok(SignInBody {
            tenant: TenantId::new(self.tenant)?,
            session: self.session.map(|(issuer, sid)| SessionId::new(issuer, sid)).transpose()?,
            subject: self.subject.map(|(issuer, sub)| Subject::new(issuer, sub)).transpose()?,
            aliases: self
                .aliases
                .into_iter()
                .map(|(kind, value)| Alias::from_parts(kind, value))
                .collect::<Result<_>>()?,
            time: self.time,
            opening: self.opening,
            as_of: self.as_of,
        })
    }
}

/// A token's fields, borrowed: no secret is copied on the way to its sealed row.
#[derive(Serialize, Deserialize)]
struct TokenWire<'a> {
    kind: u8,
    client: &'a str,
    tenant: Option<&'a str>,
    resource: Option<&'a str>,
    #[serde(borrow)]
    scopes: Vec<&'a str>,
    token_type: &'a str,
    family: Option<&'a str>,
    secret: &'a str,
    expires_at: Option<Millis>,
    refresh_at: Option<Millis>,
    extended_expires_at: Option<Millis>,
    partition: &'a [u8],
    extra: &'a [u8],
}

impl<'a> TokenWire<'a> {
    fn of(token: &'a Token) -> Self {
        let wire = |kind,
                    client: &'a ClientId,
                    secret: &'a Secret,
                    partition: &'a Partition,
                    extra: &'a [u8]| Self {
            kind,
            client: client.as_str(),
            tenant: None,
            resource: None,
            scopes: Vec::new(),
            token_type: "",
            family: None,
            secret: secret.expose(),
            expires_at: None,
            refresh_at: None,
            extended_expires_at: None,
            partition: partition.bytes(),
            extra,
        };
        match token {
            Token::Access(t) => Self {
                tenant: t.tenant.as_ref().map(TenantId::as_str),
                resource: t.resource.as_deref(),
                scopes: t.scopes.iter().collect(),
                token_type: &t.token_type,
                expires_at: t.expires_at.map(to_millis),
                refresh_at: t.refresh_at.map(to_millis),
                extended_expires_at: t.extended_expires_at.map(to_millis),
                ..wire(0, &t.client_id, &t.secret, &t.partition, &t.extra)
            },
            Token::Refresh(t) => Self {
                family: t.family_id.as_deref(),
                expires_at: t.expires_at.map(to_millis),
                ..wire(1, &t.client_id, &t.secret, &t.partition, &t.extra)
            },
            Token::Id(t) => Self {
                tenant: t.tenant.as_ref().map(TenantId::as_str),
                ..wire(2, &t.client_id, &t.secret, &t.partition, &t.extra)
            },
        }
    }
}

/// The same of version 2: with the life that was given, and when the token was stored.
#[derive(Serialize, Deserialize)]
struct TokenWire2<'a> {
    #[serde(borrow)]
    fields: TokenWire<'a>,
    lifetime: Option<Interval>,
    /// What the clock showed, the process, and what had passed in it.
    put: Option<(Millis, u64, Interval)>,
}

impl<'a> TokenWire2<'a> {
    fn of(token: &'a Token, put: Option<&Put>) -> Self {
        let lifetime =
            if let Token::Access(token) = token { token.lifetime.map(millis) } else { None };
        Self {
            fields: TokenWire::of(token),
            lifetime,
            put: put.map(|put| (put.shown, put.run, put.passed)),
        }
    }
}

fn decode_token(format: u8, body: &[u8]) -> Option<Stored> {
    if format == FORMAT {
        let wire = codec::decode::<TokenWire<'_>>(body)?;
        // There was none without an end.
        let is_whole = wire.kind != 0 || wire.expires_at.is_some();
        return is_whole
            .then(|| token_of(wire, None))
            .flatten()
            .map(|token| Stored { token, put: None });
    }
    let TokenWire2 { fields, lifetime, put } = codec::decode(body)?;
    let put = put.map(|(shown, run, passed)| Put { shown, passed, run });
    token_of(fields, lifetime).map(|token| Stored { token, put })
}

fn token_of(wire: TokenWire<'_>, lifetime: Option<Interval>) -> Option<Token> {
    let client_id = ClientId::new(wire.client).ok()?;
    let tenant = wire.tenant.map(TenantId::new).transpose().ok()?;
    let partition = Partition::from_bytes(wire.partition)?;
    let secret = Secret::from(wire.secret);
    let extra = wire.extra.to_vec();
    let expires_at = wire.expires_at.map(from_millis);
    Some(match wire.kind {
        0 => Token::Access(AccessToken {
            tenant,
            resource: wire.resource.map(Into::into),
            token_type: wire.token_type.into(),
            lifetime: lifetime.map(Duration::from),
            refresh_at: wire.refresh_at.map(from_millis),
            extended_expires_at: wire.extended_expires_at.map(from_millis),
            partition,
            extra,
            ..AccessToken::new(client_id, Scopes::new(wire.scopes).ok()?, secret, expires_at)
        }),
        1 => Token::Refresh(RefreshToken {
            family_id: wire.family.map(Into::into),
            expires_at,
            partition,
            extra,
            ..RefreshToken::new(client_id, secret)
        }),
        2 => Token::Id(IdToken { tenant, partition, extra, ..IdToken::new(client_id, secret) }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{KeySource, Keyring};

    /// The keys differ too, so that no other test can tell: here each part is looked at by itself.
    #[test]
    fn every_part_of_the_associated_data_counts() {
        let (keyring, _) = Keyring::create(&KeySource::bytes([7; 32])).unwrap();
        let mut other_ledger = keyring.secrets.clone();
        other_ledger.ledger_id = LedgerId::filled(1);
        let rows = Rows::new(StoreId::filled(1), keyring.secrets.clone());
        let all = [
            rows.aad(b"label", &Generation::filled(2), b"key", b"front"),
            rows.aad(b"other", &Generation::filled(2), b"key", b"front"),
            rows.aad(b"label", &Generation::filled(3), b"key", b"front"),
            rows.aad(b"label", &Generation::filled(2), b"yek", b"front"),
            rows.aad(b"label", &Generation::filled(2), b"key", b"tnorf"),
            rows.aad(b"label", &Generation::filled(2), b"keyf", b"ront"),
            Rows::new(StoreId::filled(9), keyring.secrets.clone()).aad(
                b"label",
                &Generation::filled(2),
                b"key",
                b"front",
            ),
            Rows::new(StoreId::filled(1), other_ledger).aad(
                b"label",
                &Generation::filled(2),
                b"key",
                b"front",
            ),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
