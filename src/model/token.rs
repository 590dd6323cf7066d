//! Tokens as the store takes and returns them.

use crate::model::error::{Error, Result};
use crate::model::id::{ClientId, MAX_ID_BYTES, TenantId, check, hidden_debug};
use crate::model::query::AccessQuery;
use crate::model::scopes::{Partition, Scopes};
use crate::model::secret::Secret;
use std::time::{Duration, SystemTime};

/// The longest token that can be stored, in bytes.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// The longest [`extra`](AccessToken::extra) that can be stored, in bytes.
pub const MAX_EXTRA_BYTES: usize = 16 * 1024;

/// An access token (RFC 6749 §1.4).
///
/// Two access tokens are the same one, so that the later takes the earlier's place, if client,
/// tenant, resource, scope set, token type and partition are equal.
///
/// Fields may be added in later versions: make one with
/// `AccessToken { resource: Some(r), ..AccessToken::new(...) }`.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// The client it was issued to.
    pub client_id: ClientId,
    /// The tenant it was issued in; `None` is the tenant of the sign-in. (A guest has tokens of
    /// several tenants.)
    pub tenant: Option<TenantId>,
    /// The resource it is for (RFC 8707), if the provider tells tokens apart by it.
    pub resource: Option<String>,
    /// What it allows.
    pub scopes: Scopes,
    /// `Bearer`, `DPoP`, `pop`, ...: compared without regard to case.
    pub token_type: String,
    /// The token.
    pub secret: Secret,
    /// When it expires, by the clock of the machine that obtained it; `None` if the provider did
    /// not say (RFC 6749 §5.1): then it ends with its sign-in.
    pub expires_at: Option<SystemTime>,
    /// How long it lasts from when it was obtained, if the provider said so (`expires_in`). The
    /// store believes no more than this, counted from when the token is stored, however the clock
    /// behind [`expires_at`](Self::expires_at) may have jumped.
    pub lifetime: Option<Duration>,
    /// When it should be refreshed, if the provider said so: then it is *due* for an
    /// [`Acquirer`](crate::Acquirer), and never counts as expired.
    pub refresh_at: Option<SystemTime>,
    /// Until when it may be used while the provider is out of order, if the provider said so: see
    /// [`AccessQuery::even_if_expired`].
    pub extended_expires_at: Option<SystemTime>,
    /// On whose behalf it was obtained.
    pub partition: Partition,
    /// Bytes that the app wants to keep with it, sealed like the token. Empty if there are none.
    pub extra: Vec<u8>,
}

impl AccessToken {
    /// A bearer token of the sign-in's own tenant; set the other fields as needed. `expires_at` is
    /// a [`SystemTime`], or `None`.
    #[must_use]
    pub fn new(
        client_id: ClientId,
        scopes: Scopes,
        secret: impl Into<Secret>,
        expires_at: impl Into<Option<SystemTime>>,
    ) -> Self {
        Self {
            client_id,
            tenant: None,
            resource: None,
            scopes,
            token_type: "Bearer".into(),
            secret: secret.into(),
            expires_at: expires_at.into(),
            lifetime: None,
            refresh_at: None,
            extended_expires_at: None,
            partition: Partition::user(),
            extra: Vec::new(),
        }
    }
}

/// A refresh token (RFC 6749 §1.5). It belongs to the tenant of its sign-in.
///
/// Two are the same one if their family (or, without one, client) and partition are equal.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// The client it was issued to.
    pub client_id: ClientId,
    /// The family of clients that may redeem it (MSAL's `family_id`), if any.
    pub family_id: Option<String>,
    /// The token.
    pub secret: Secret,
    /// When it expires, if known.
    pub expires_at: Option<SystemTime>,
    /// On whose behalf it was obtained.
    pub partition: Partition,
    /// Bytes that the app wants to keep with it, sealed like the token. Empty if there are none.
    pub extra: Vec<u8>,
}

impl RefreshToken {
    /// A refresh token of one client, without a known expiry.
    #[must_use]
    pub fn new(client_id: ClientId, secret: impl Into<Secret>) -> Self {
        Self {
            client_id,
            family_id: None,
            secret: secret.into(),
            expires_at: None,
            partition: Partition::user(),
            extra: Vec::new(),
        }
    }
}

/// An ID token (OpenID Connect Core 1.0 §2), kept for its claims and as `id_token_hint`.
///
/// Two are the same one if client, tenant and partition are equal. It may be read after its expiry:
/// `id_token_hint` is accepted then (OpenID Connect RP-Initiated Logout 1.0 §2).
#[derive(Clone, PartialEq, Eq)]
pub struct IdToken {
    /// The client it was issued to.
    pub client_id: ClientId,
    /// The tenant it was issued in; `None` is the tenant of the sign-in.
    pub tenant: Option<TenantId>,
    /// The token.
    pub secret: Secret,
    /// On whose behalf it was obtained.
    pub partition: Partition,
    /// Bytes that the app wants to keep with it, sealed like the token. Empty if there are none.
    pub extra: Vec<u8>,
}

impl IdToken {
    /// An ID token of the sign-in's own tenant.
    #[must_use]
    pub fn new(client_id: ClientId, secret: impl Into<Secret>) -> Self {
        Self {
            client_id,
            tenant: None,
            secret: secret.into(),
            partition: Partition::user(),
            extra: Vec::new(),
        }
    }
}

hidden_debug!(Secret, Scopes, AccessToken, RefreshToken, IdToken, AccessQuery);

/// Any token: what [`LiveSignIn::put`](crate::LiveSignIn::put) takes, one or several.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Token {
    /// An access token.
    Access(AccessToken),
    /// A refresh token.
    Refresh(RefreshToken),
    /// An ID token.
    Id(IdToken),
}

impl From<AccessToken> for Token {
    fn from(token: AccessToken) -> Self {
        Self::Access(token)
    }
}

impl From<RefreshToken> for Token {
    fn from(token: RefreshToken) -> Self {
        Self::Refresh(token)
    }
}

impl From<IdToken> for Token {
    fn from(token: IdToken) -> Self {
        Self::Id(token)
    }
}

impl Token {
    /// The client that it was issued to.
    #[must_use]
    pub fn client(&self) -> &ClientId {
        match self {
            Self::Access(token) => &token.client_id,
            Self::Refresh(token) => &token.client_id,
            Self::Id(token) => &token.client_id,
        }
    }

    /// The tenant the token names, if it names one.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Access(token) => token.tenant.as_ref(),
            Self::Id(token) => token.tenant.as_ref(),
            Self::Refresh(_) => None,
        }
    }

    /// Checks what the types do not: lengths and characters.
    pub(crate) fn check(&self) -> Result<()> {
        let (secret, extra) = match self {
            Self::Access(t) => {
                check("token type", &t.token_type, 64)?;
                if let Some(resource) = &t.resource {
                    check("resource", resource, MAX_ID_BYTES)?;
                }
                (&t.secret, &t.extra)
            }
            Self::Refresh(t) => {
                if let Some(family) = &t.family_id {
                    check("family id", family, MAX_ID_BYTES)?;
                }
                (&t.secret, &t.extra)
            }
            Self::Id(t) => (&t.secret, &t.extra),
        };
        check("token", secret.expose(), MAX_TOKEN_BYTES)?;
        if extra.len() > MAX_EXTRA_BYTES {
            return Err(Error::invalid("extra", "it is too long"));
        }
        Ok(())
    }
}

/// Several tokens to store as one: made from one token, a `Vec`, or an array of [`Token`]s.
#[derive(Clone, Debug, Default)]
pub struct Tokens(pub(crate) Vec<Token>);

impl<T: Into<Token>> From<T> for Tokens {
    fn from(token: T) -> Self {
        Self(vec![token.into()])
    }
}

impl From<Vec<Token>> for Tokens {
    fn from(tokens: Vec<Token>) -> Self {
        Self(tokens)
    }
}

impl<const N: usize> From<[Token; N]> for Tokens {
    fn from(tokens: [Token; N]) -> Self {
        Self(tokens.into())
    }
}
