//! What a refresh closure works with.

use std::time::{Duration, SystemTime};

use super::given::believed;
use crate::model::id::{AccountId, ClientId, TenantId, hidden_debug};
use crate::model::query::AccessQuery;
use crate::model::scopes::{Partition, Scopes};
use crate::model::secret::Secret;
use crate::model::token::{AccessToken, RefreshToken};

/// The right to refresh, for one refresh: the refresh token, if there is one, and what to ask the
/// provider for.
///
/// Only [`Acquirer::acquire`](crate::Acquirer::acquire) makes one, and only what the closure
/// returns from it is stored: through the sign-in that the refresh token was read from. There is
/// one at a time for a refresh token.
///
/// [`access_token`](Self::access_token) and [`next_refresh_token`](Self::next_refresh_token) make
/// what was asked for from a response's parts, so that tenant, resource and partition are those
/// that the next request looks for.
pub struct Grant {
    pub(super) account: AccountId,
    pub(super) tenant: TenantId,
    pub(super) wanted: AccessQuery,
    pub(super) claims: Option<String>,
    pub(super) refresh_token: Option<RefreshToken>,
    pub(super) began_at: SystemTime,
}

impl Grant {
    /// For a closure that takes it along. (Nobody else has use for a second one: it would be the
    /// right to refresh twice.)
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

    /// The refresh token to redeem (RFC 6749 §6). `None` for client credentials, and on behalf of
    /// somebody if there is none.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    /// All that was asked for.
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

    /// On whose behalf. Tokens of another partition are refused.
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

    /// The store's time before the closure was called: a response's `expires_in` counts from here
    /// at the earliest.
    #[must_use]
    pub fn began_at(&self) -> SystemTime {
        self.began_at
    }

    /// The access token that was asked for, from a response: its `scope` (what was asked for, if
    /// the response does not say; RFC 6749 §5.1) and `expires_in`, which is counted from
    /// [`began_at`](Self::began_at).
    ///
    /// `expires_in` is a [`Duration`], or `None` if the response has none and the provider
    /// documents no other life (GitHub, Slack): such a token has no end but that of its sign-in.
    /// More than ten years are an error of the provider's: then an hour is believed.
    ///
    /// A token without a text is none: the refresh that returns nothing else has
    /// [failed](crate::AcquireError::Refresh), and the refresh token beside it is stored.
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

    /// The refresh token of a response, in the place of the one that was redeemed. One without a
    /// text is none: that one stays (RFC 6749 §6).
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
