//! Tokens as the store takes and gives them, and how they are asked for.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::{Error, Result};
use crate::id::{ClientId, MAX_ID_BYTES, TenantId, check, hidden_debug};
use crate::wipe::Wiped;

/// The longest token that can be stored, in bytes.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;
/// The longest [`extra`](AccessToken::extra) that can be stored, in bytes.
pub const MAX_EXTRA_BYTES: usize = 16 * 1024;

/// A token's text. Wiped when dropped, hidden in `Debug`, compared in constant time, shown only by [`Secret::expose`].
///
/// ```
/// use oubliette::Secret;
/// let secret = Secret::new("eyJ0".to_owned());
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// assert_eq!(secret.expose(), "eyJ0");
/// ```
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes over the string; its own buffer is the one that is wiped.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The token in clear. What you make of it, you wipe.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        drop(Wiped(std::mem::take(&mut self.0).into_bytes()));
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

/// A set of scopes (RFC 6749 §3.3): unordered, case-sensitive, each of printable ASCII without space, `"` or `\`.
///
/// ```
/// use oubliette::Scopes;
/// assert_eq!(Scopes::parse("mail.read user.read")?, Scopes::new(["user.read", "mail.read"])?);
/// assert!(Scopes::parse("a b c")?.is_superset(&Scopes::parse("c a")?));
/// # Ok::<(), oubliette::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scopes(BTreeSet<String>);

impl Scopes {
    /// The scopes of a space-separated list, as in a token response. An empty list is the empty set.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if a scope has characters that RFC 6749 does not allow, or the list is too long.
    pub fn parse(list: &str) -> Result<Self> {
        Self::new(list.split(' ').filter(|scope| !scope.is_empty()))
    }

    /// The scopes of a list of single scopes.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if a scope is empty or has characters that RFC 6749 does not allow, or if all are too long together.
    pub fn new<S: Into<String>>(scopes: impl IntoIterator<Item = S>) -> Result<Self> {
        let set: BTreeSet<String> = scopes.into_iter().map(Into::into).collect();
        let allowed = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if set.iter().any(|scope| scope.is_empty() || !scope.bytes().all(allowed)) {
            return Err(Error::invalid("scope", "a scope is printable ASCII without space, quote or backslash (RFC 6749 §3.3)"));
        }
        if set.iter().map(|scope| scope.len() + 1).sum::<usize>() > 4 * MAX_ID_BYTES {
            return Err(Error::invalid("scope", "the set is too long"));
        }
        Ok(Self(set))
    }

    /// Whether every scope of `wanted` is in this set.
    #[must_use]
    pub fn is_superset(&self, wanted: &Self) -> bool {
        self.0.is_superset(&wanted.0)
    }

    /// The scopes, in byte order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The space-separated list, in byte order.
    #[must_use]
    pub fn joined(&self) -> String {
        self.0.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

/// On whose behalf a token was got: it is found only under the same partition.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Partition(Option<[u8; 32]>);

impl Partition {
    /// Tokens of the user's own sign-in.
    #[must_use]
    pub fn user() -> Self {
        Self(None)
    }

    /// Tokens got by the on-behalf-of flow (RFC 7523) with this assertion. Only its SHA-256 is kept.
    #[must_use]
    pub fn on_behalf_of(assertion: &str) -> Self {
        Self(Some(Sha256::digest(assertion.as_bytes()).into()))
    }

    /// As [`Partition::on_behalf_of`], from the assertion's SHA-256.
    #[must_use]
    pub fn on_behalf_of_hash(sha256: [u8; 32]) -> Self {
        Self(Some(sha256))
    }

    /// Whether these are tokens of the user's own sign-in.
    #[must_use]
    pub fn is_user(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |hash| hash.as_slice())
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() { Some(Self(None)) } else { bytes.try_into().ok().map(|hash| Self(Some(hash))) }
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_user() { "Partition(user)" } else { "Partition(on behalf of ..)" })
    }
}

/// An access token (RFC 6749 §1.4).
///
/// Two access tokens are the same one, so that the later takes the earlier's place, if client, tenant, resource, scope set,
/// token type and partition are equal.
///
/// Fields may be added in later versions: make one with `AccessToken { resource: Some(r), ..AccessToken::new(...) }`.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// The client it was issued to.
    pub client_id: ClientId,
    /// The tenant it was issued in; `None` is the tenant of the sign-in. (A guest has tokens of several tenants.)
    pub tenant: Option<TenantId>,
    /// The resource it is for (RFC 8707), if the provider tells tokens apart by it.
    pub resource: Option<String>,
    /// What it allows.
    pub scopes: Scopes,
    /// `Bearer`, `DPoP`, `pop`, ...: compared without regard to case.
    pub token_type: String,
    /// The token.
    pub secret: Secret,
    /// When it expires, by the clock of whoever got it; `None` if the provider did not say (RFC 6749 §5.1): then it ends with its sign-in.
    pub expires_at: Option<SystemTime>,
    /// How long it lasts from when it was got, if the provider said so (`expires_in`). The store believes no more than this, counted
    /// from when the token is stored, however the clock behind [`expires_at`](Self::expires_at) may have jumped.
    pub lifetime: Option<Duration>,
    /// When it should be refreshed, if the provider said so: then it is *due* for an [`Acquirer`](crate::Acquirer), and never counts as expired.
    pub refresh_at: Option<SystemTime>,
    /// Until when it may be used while the provider is out of order, if the provider said so: see [`AccessQuery::even_if_expired`].
    pub extended_expires_at: Option<SystemTime>,
    /// On whose behalf it was got.
    pub partition: Partition,
    /// Whatever the app wants kept with it, sealed like the token. Empty if nothing.
    pub extra: Vec<u8>,
}

impl AccessToken {
    /// A bearer token of the sign-in's own tenant; set the other fields as needed. `expires_at` is a [`SystemTime`], or `None`.
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
    /// On whose behalf it was got.
    pub partition: Partition,
    /// Whatever the app wants kept with it, sealed like the token. Empty if nothing.
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
    /// On whose behalf it was got.
    pub partition: Partition,
    /// Whatever the app wants kept with it, sealed like the token. Empty if nothing.
    pub extra: Vec<u8>,
}

impl IdToken {
    /// An ID token of the sign-in's own tenant.
    #[must_use]
    pub fn new(client_id: ClientId, secret: impl Into<Secret>) -> Self {
        Self { client_id, tenant: None, secret: secret.into(), partition: Partition::user(), extra: Vec::new() }
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

/// Which access token is wanted.
///
/// ```
/// use oubliette::{AccessQuery, ClientId, Scopes};
/// let wanted = AccessQuery::new(ClientId::new("web")?).scopes(Scopes::parse("mail.read")?);
/// # Ok::<(), oubliette::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct AccessQuery {
    pub(crate) client_id: ClientId,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) resource: Option<String>,
    pub(crate) scopes: Scopes,
    pub(crate) token_type: String,
    pub(crate) partition: Partition,
    pub(crate) even_if_expired: bool,
}

impl AccessQuery {
    /// Any unexpired bearer token of this client, in the sign-in's own tenant, without a resource.
    pub fn new(client_id: ClientId) -> Self {
        Self {
            client_id,
            tenant: None,
            resource: None,
            scopes: Scopes::default(),
            token_type: "Bearer".into(),
            partition: Partition::user(),
            even_if_expired: false,
        }
    }

    /// Issued in this tenant.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// For this resource.
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.resource = Some(resource.into());
        self
    }

    /// Allowing at least these scopes. Of several the one that allows least is found.
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// Of this token type.
    pub fn token_type(mut self, token_type: impl Into<String>) -> Self {
        self.token_type = token_type.into();
        self
    }

    /// In this partition.
    pub fn partition(mut self, partition: Partition) -> Self {
        self.partition = partition;
        self
    }

    /// Also a token past its expiry, up to its extended expiry: for when the provider cannot be reached.
    pub fn even_if_expired(mut self) -> Self {
        self.even_if_expired = true;
        self
    }
}
