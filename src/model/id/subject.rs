//! What a provider calls a user's session and the user.

use super::{checked, hidden_debug};
#[cfg(doc)]
use crate::model::error::Error;
use crate::model::error::Result;

/// One session at the OpenID provider: its issuer and its `sid`.
///
/// A `sid` is unique only per issuer (OpenID Connect Front-Channel Logout 1.0 §3). For Entra ID the
/// issuer is the cloud, such as `https://login.microsoftonline.com`: its front-channel sign-out
/// says no more.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionId {
    pub(super) issuer: String,
    sid: String,
}

/// What a provider calls the user: its issuer and the `sub` claim. Pairwise at some providers, so
/// an account can have several.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    pub(super) issuer: String,
    pub(super) sub: String,
}

impl SessionId {
    /// A session, by its provider's issuer (the `iss` claim) and the `sid` claim.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if a value is empty, too long or has control characters.
    pub fn new(issuer: impl Into<String>, sid: impl Into<String>) -> Result<Self> {
        Ok(Self { issuer: checked("issuer", issuer)?, sid: checked("session id", sid)? })
    }

    /// The provider.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The `sid` claim.
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.sid
    }
}

impl Subject {
    /// A subject, by its provider's issuer (the `iss` claim) and the `sub` claim.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if a value is empty, too long or has control characters.
    pub fn new(issuer: impl Into<String>, sub: impl Into<String>) -> Result<Self> {
        Ok(Self { issuer: checked("issuer", issuer)?, sub: checked("subject", sub)? })
    }

    /// The provider.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The `sub` claim.
    #[must_use]
    pub fn sub(&self) -> &str {
        &self.sub
    }
}

hidden_debug!(SessionId, Subject);
