//! The grant that a refresh closure gets.

use std::time::{Duration, SystemTime};

use super::token_response::believed;
use crate::model::id::{AccountId, ClientId, TenantId, hidden_debug};
use crate::model::query::AccessQuery;
use crate::model::scopes::{Partition, Scopes};
use crate::model::secret::Secret;
use crate::model::token::{AccessToken, RefreshToken};

/// The right to do one refresh: the refresh token, if there is one, and what to ask the provider
/// for.
///
/// Only [`Acquirer::acquire`](crate::Acquirer::acquire) and its variants make one. The tokens that
/// the closure returns are stored through the sign-in that the refresh token was read from. There
/// is one grant at a time for a refresh token.
///
/// [`access_token`](Self::access_token) and [`next_refresh_token`](Self::next_refresh_token) make
/// tokens from the parts of a response, with the tenant, resource and partition that the next
/// request looks for.
pub struct Grant {
    pub(super) account: AccountId,
    pub(super) tenant: TenantId,
    pub(super) wanted: AccessQuery,
    pub(super) claims: Option<String>,
    pub(super) refresh_token: Option<RefreshToken>,
    pub(super) began_at: SystemTime,
}

impl Grant {
    /// A copy that an async closure owns. (Not `Clone`: a second grant would be the right to
    /// refresh twice.)
    #[cfg(feature = "tokio")]
    pub(super) fn copy(&self) -> Self {
        Self {
            account: self.account.clone(),
            tenant: self.tenant.clone(),
            wanted: self.wanted.clone(),
            claims: self.claims.clone(),
            refresh_token: self.refresh_token.clone(),
            began_at: self.began_at,
        }
    }

    /// The refresh token to redeem (RFC 6749 §6). `None` for client credentials, and on behalf of a
    /// user if there is none.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    /// The query that was asked for.
    #[cfg(feature = "oauth2")]
    pub(crate) fn asked(&self) -> &AccessQuery {
        &self.wanted
    }

    /// The client that asks.
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        &self.wanted.client_id
    }

    /// The tenant to get the token in: the one that was asked for, or else that of the sign-in.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        self.wanted.tenant.as_ref().unwrap_or(&self.tenant)
    }

    /// Whether the token is wanted in another tenant than the sign-in's own.
    #[cfg(all(feature = "oauth2", feature = "tokio"))]
    pub(crate) fn is_of_another_tenant(&self) -> bool {
        self.wanted.tenant.as_ref().is_some_and(|tenant| *tenant != self.tenant)
    }

    /// The resource that the token is for (RFC 8707), if one was asked for.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.wanted.resource.as_deref()
    }

    /// The scopes that were asked for.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.wanted.scopes
    }

    /// The token type that was asked for.
    #[must_use]
    pub fn token_type(&self) -> &str {
        &self.wanted.token_type
    }

    /// The partition: the user's own, or on behalf of a user. Tokens of another partition are
    /// refused.
    #[must_use]
    pub fn partition(&self) -> &Partition {
        &self.wanted.partition
    }

    /// The claims to ask for, from a claims challenge.
    #[must_use]
    pub fn claims(&self) -> Option<&str> {
        self.claims.as_deref()
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The store's time before the closure was called: a response's `expires_in` counts from this
    /// time at the earliest.
    #[must_use]
    pub fn began_at(&self) -> SystemTime {
        self.began_at
    }

    /// The access token that was asked for, from a response: its `scope` (`None` if the response
    /// has none, which means the requested scopes; RFC 6749 §5.1) and `expires_in`, which counts
    /// from [`began_at`](Self::began_at).
    ///
    /// `expires_in` is a [`Duration`], or `None` if the response has none and the provider
    /// documents no other lifetime (GitHub, Slack): such a token lives as long as its sign-in. More
    /// than ten years are an error of the provider, and count as an hour.
    ///
    /// A token without a text does not count as one: a refresh that returns no other access token
    /// has [failed](crate::AcquireError::Refresh), and the refresh token beside it is stored.
    #[must_use]
    pub fn access_token(
        &self,
        scopes: Option<Scopes>,
        secret: impl Into<Secret>,
        expires_in: impl Into<Option<Duration>>,
    ) -> AccessToken {
        let (wanted, lifetime) = (&self.wanted, expires_in.into().map(believed));
        let expires_at =
            lifetime.map(|life| self.began_at.checked_add(life).unwrap_or(self.began_at));
        AccessToken {
            tenant: wanted.tenant.clone(),
            resource: wanted.resource.clone(),
            token_type: wanted.token_type.clone(),
            lifetime,
            partition: wanted.partition.clone(),
            ..AccessToken::new(
                wanted.client_id.clone(),
                scopes.unwrap_or_else(|| wanted.scopes.clone()),
                secret,
                expires_at,
            )
        }
    }

    /// The refresh token of a response, which replaces the redeemed one. A token without a text
    /// does not count as one: then the redeemed one stays (RFC 6749 §6).
    #[must_use]
    pub fn next_refresh_token(&self, secret: impl Into<Secret>) -> RefreshToken {
        RefreshToken {
            family_id: self.refresh_token.as_ref().and_then(|redeemed| redeemed.family_id.clone()),
            partition: self.wanted.partition.clone(),
            ..RefreshToken::new(self.wanted.client_id.clone(), secret)
        }
    }
}

hidden_debug!(Grant);
