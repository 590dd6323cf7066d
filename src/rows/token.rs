//! A token's rows, and its wire form.

use crate::clock::lasting::{Put, Stored};
use crate::crypto::{TAG_BYTES, fresh};
use crate::engine::Row;
use crate::model::error::{Error, Result};
use crate::model::id::{ClientId, TenantId};
use crate::model::random_id::WriteId;
use crate::model::scopes::{Partition, Scopes};
use crate::model::secret::Secret;
use crate::model::time::{Interval, Millis, from_millis, millis, to_millis};
use crate::model::token::{AccessToken, IdToken, RefreshToken, Token};
use crate::rows::cipher::{FORMAT, Rows};
use crate::rows::codec;
use crate::rows::header::Header;
use crate::rows::parts::{PARTS_TEXT, Parted};
use serde::{Deserialize, Serialize};
use std::time::Duration;

impl Rows {
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

    /// Opens the parts of a token, in order. `None` if they are not all the parts of one write,
    /// which happens if the token was written while they were read.
    ///
    /// # Errors
    /// `Tampered` if a part does not open.
    pub(crate) fn open_token(&self, parts: Vec<Row>, header: &Header) -> Result<Option<Stored>> {
        self.open_parts(&TOKEN, parts, header, decode_token)
    }
}

/// The version of token rows that record when the token was stored.
const TOKEN_FORMAT: u8 = 2;

/// Tokens.
const TOKEN: Parted = Parted { name: "token", byte: b'T', format: TOKEN_FORMAT };

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

/// The fields of version 2: those of version 1, the lifetime that the provider gave, and when the
/// token was stored.
#[derive(Serialize, Deserialize)]
struct TokenWire2<'a> {
    #[serde(borrow)]
    fields: TokenWire<'a>,
    lifetime: Option<Interval>,
    /// The time that the clock showed, the id of the process's run, and the time that had passed in
    /// that run.
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
        // In version 1, every access token had an expiry.
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
