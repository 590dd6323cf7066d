//! Tenants and clients.

use super::{checked, hidden_debug};
#[cfg(doc)]
use crate::model::error::Error;
use crate::model::error::Result;

/// The directory, organisation or realm a token was issued in: an Entra `tid`, a Keycloak realm, an
/// Auth0 tenant.
///
/// Compared byte for byte; give it in one spelling.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(String);

/// The id of an OAuth client, as registered with the provider (RFC 6749 §2.2).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(String);

impl TenantId {
    /// A tenant, by the name its authority gives it.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the value is empty, too long or has control characters.
    pub fn new(value: impl Into<String>) -> Result<Self> {
        checked("tenant", value).map(Self)
    }

    /// The value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ClientId {
    /// A client, by its registered id.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the value is empty, too long or has control characters.
    pub fn new(value: impl Into<String>) -> Result<Self> {
        checked("client id", value).map(Self)
    }

    /// The value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

hidden_debug!(TenantId, ClientId);
