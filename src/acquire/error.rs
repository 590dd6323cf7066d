//! Why there is no token: the errors that a refresh closure returns, and those that an acquirer
//! returns to its callers.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::model::error::Error;
use crate::model::id::{AccountId, hidden_debug};
use crate::model::token::Token;

type Source = Box<dyn StdError + Send + Sync>;

/// What a refresh closure returns when it got no tokens.
///
/// An error of the `oauth2` crate turns into what it means by `?` (feature `oauth2`). Of any other
/// error only the closure knows whether it may be tried again: a refresh token that the provider
/// refuses (`invalid_grant`) and a user who has to be asked must not pass for a failure of the
/// network, so there is no `?` for these.
///
/// ```
/// use oubliette::RefreshError;
/// fn refused(code: &str, description: String) -> RefreshError {
///     match code {
///         "invalid_grant" => RefreshError::invalid_grant(description),
///         "interaction_required" | "consent_required" | "login_required" => {
///             RefreshError::interaction_required(None, description)
///         }
///         _ => RefreshError::failed(description),
///     }
/// }
/// let error = refused("invalid_grant", "revoked".into());
/// assert!(matches!(error, RefreshError::InvalidGrant(_)));
/// ```
#[non_exhaustive]
pub enum RefreshError {
    /// The provider will not take this refresh token any more (`invalid_grant`, RFC 6749 §5.2). It
    /// is removed.
    InvalidGrant(Source),
    /// The provider requires the user's interaction (`interaction_required` and similar codes,
    /// OpenID Connect Core 1.0 §3.1.2.6). The refresh token is kept.
    InteractionRequired {
        /// The claims to ask for when the user is sent to the provider, if it named them.
        claims: Option<String>,
        /// What the provider said.
        source: Source,
    },
    /// Anything else: an error of the network or the provider. Trying again later may work.
    Failed(Source),
}

impl RefreshError {
    /// The provider will not take this refresh token any more.
    pub fn invalid_grant(source: impl Into<Source>) -> Self {
        Self::InvalidGrant(source.into())
    }

    /// The provider requires the user's interaction, and may have named the claims to ask for.
    pub fn interaction_required(claims: Option<String>, source: impl Into<Source>) -> Self {
        Self::InteractionRequired { claims, source: source.into() }
    }

    /// Anything else. A message will do. (If it is a `RefreshError` already, it stays what it is.)
    pub fn failed(source: impl Into<Source>) -> Self {
        match source.into().downcast::<Self>() {
            Ok(known) => *known,
            Err(source) => Self::Failed(source),
        }
    }
}

/// The store's own errors are no refusals.
impl From<Error> for RefreshError {
    fn from(error: Error) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidGrant(_) => "the provider does not take the refresh token any more",
            Self::InteractionRequired { .. } => "the provider wants to see the user",
            Self::Failed(_) => "the refresh failed",
        })
    }
}

impl StdError for RefreshError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::InvalidGrant(source)
            | Self::InteractionRequired { source, .. }
            | Self::Failed(source) => Some(&**source),
        }
    }
}

// A provider's text can hold anything.
impl fmt::Debug for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidGrant(_) => "InvalidGrant(..)",
            Self::InteractionRequired { .. } => "InteractionRequired(..)",
            Self::Failed(_) => "Failed(..)",
        })
    }
}

/// Why [`Acquirer::acquire`](crate::Acquirer::acquire) gave no token, and what to do about it.
///
/// Clones share their source: all callers that waited for one refresh get the same error.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// Only the user can help. Send the user to the provider, with the claims if there are any, and
    /// [`put`](crate::LiveSignIn::put) the tokens that they come back with.
    #[error("the user has to be asked: {reason}")]
    #[non_exhaustive]
    InteractionRequired {
        /// Why.
        reason: InteractionReason,
        /// The claims to ask the provider for: those that it named, or else those of the request.
        claims: Option<String>,
        /// The refresh closure's error, if there was a refresh.
        source: Option<RefreshFailed>,
    },

    /// The sign-in, or the tenant of the token, has been signed out; or the refresh token was
    /// [removed](crate::LiveSignIn::remove_client) while it was redeemed. Have the user sign in
    /// again.
    #[error(
        "signed out: this sign-in has ended, or the tenant was signed out; have the user sign in \
         again"
    )]
    SignedOut,

    /// The refresh failed, or brought no access token that can be read. Nothing is lost, and the
    /// next call tries again at once, with the new refresh token if one came.
    #[error("the token could not be refreshed; try again later")]
    Refresh(#[source] RefreshFailed),

    /// The store failed. The error says what to do. (It is never [`Error::SignedOut`].)
    #[error(transparent)]
    Store(Arc<Error>),
}

// Claims can name a user.
impl fmt::Debug for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InteractionRequired { reason, .. } => {
                f.debug_tuple("InteractionRequired").field(reason).finish()
            }
            Self::SignedOut => f.write_str("SignedOut"),
            Self::Refresh(failed) => f.debug_tuple("Refresh").field(failed).finish(),
            Self::Store(error) => f.debug_tuple("Store").field(error).finish(),
        }
    }
}

impl From<Error> for AcquireError {
    fn from(error: Error) -> Self {
        if matches!(error, Error::SignedOut) {
            Self::SignedOut
        } else {
            Self::Store(Arc::new(error))
        }
    }
}

/// Why only the user can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InteractionReason {
    /// There is no refresh token, or it has expired.
    NoRefreshToken,
    /// The provider does not take the refresh token any more. It is removed.
    InvalidGrant,
    /// The provider requires it.
    Provider,
    /// The provider gave less than was asked for. The tokens that it gave are stored.
    ConsentRequired,
}

impl fmt::Display for InteractionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRefreshToken => "there is no refresh token",
            Self::InvalidGrant => "the provider does not take the refresh token any more",
            Self::Provider => "the provider wants to see the user",
            Self::ConsentRequired => "the provider gave less than was asked for",
        })
    }
}

/// The error of a refresh, shared by all callers that waited for it. The closure's own error is its
/// source.
#[derive(Clone)]
pub struct RefreshFailed(Arc<dyn StdError + Send + Sync>);

impl RefreshFailed {
    pub(super) fn new(source: impl Into<Source>) -> Self {
        Self(source.into().into())
    }

    /// The refresh closure's own error.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.0
    }

    /// The refresh closure's own error, if it is of this type.
    #[must_use]
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl fmt::Display for RefreshFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the refresh failed")
    }
}

impl StdError for RefreshFailed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

/// Tokens that a provider issued and that the store does not hold: revoke them (RFC 7009), or
/// forget them.
#[derive(Clone)]
#[non_exhaustive]
pub struct Orphaned {
    /// The account that they were issued for.
    pub account: AccountId,
    /// The tokens that were not stored.
    pub tokens: Vec<Token>,
    /// Why.
    pub reason: OrphanReason,
}

hidden_debug!(RefreshFailed, Orphaned);

/// Why tokens that a refresh got were not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OrphanReason {
    /// The user, or the token's tenant, was signed out meanwhile.
    SignedOut,
    /// The store failed, or could not take them. If it failed, they may have been stored all the
    /// same. When in doubt, revoke or forget them: at most providers the redeemed refresh token is
    /// spent, and the user signs in again.
    NotStored,
}
