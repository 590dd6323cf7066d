//! The request for an access token: which one, and on what terms.

use crate::crypto::Tagger;
use crate::model::id::{ClientId, TenantId, hidden_debug};
use crate::model::query::AccessQuery;
use crate::model::scopes::Partition;
use crate::model::secret::Secret;
use crate::model::tag::{AccountTag, Slot, TenantTag};
use crate::model::token::AccessToken;

/// Which access token [`Acquirer::acquire`](crate::Acquirer::acquire) is to get, and on what terms.
/// An [`AccessQuery`] converts into one.
///
/// [`AccessQuery::even_if_expired`] says that a token past its expiry, up to its extended expiry,
/// will do if it cannot be refreshed.
///
/// Scopes that stand for something else (`openid`, `profile`, `offline_access`, Entra's
/// `x/.default`) are part of the request, but the response need not name them: most providers do
/// not.
///
/// ```
/// # use std::time::SystemTime;
/// use oubliette::*;
/// let wanted = AccessQuery::new(ClientId::new("web")?).scopes(Scopes::parse("mail.read")?);
/// # let (client, now) = (ClientId::new("web")?, SystemTime::now());
/// # let rejected = AccessToken::new(client, Scopes::default(), "at", now);
/// // The API answered 401 to this very token:
/// let request = AccessRequest::new(wanted.clone()).instead_of(&rejected);
/// // It answered with a claims challenge (RFC 9470, or Entra's `claims` parameter):
/// let claims = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;
/// let request = AccessRequest::new(wanted).claims(claims);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct AccessRequest {
    /// Its own `even_if_expired` is never set: the field below has it.
    pub(super) wanted: AccessQuery,
    pub(super) even_if_expired: bool,
    pub(super) family: Option<String>,
    pub(super) flow: Flow,
    pub(super) keeps_refresh_token: bool,
    pub(super) claims: Option<String>,
    pub(super) bypass: Bypass,
}

/// How a token is got if there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// With a refresh token.
    User,
    /// With the app's own credentials (RFC 6749 §4.4). There is no refresh token.
    App,
    /// With an assertion (RFC 7523, RFC 8693). There may be a refresh token.
    OnBehalfOf,
}

/// Which tokens of the cache will not do.
#[derive(Clone)]
pub(super) enum Bypass {
    Nothing,
    This(Secret),
    Everything,
}

impl AccessRequest {
    /// Asks for the token of this query, from the cache if it is there.
    pub fn new(wanted: AccessQuery) -> Self {
        let even_if_expired = wanted.even_if_expired;
        let wanted = AccessQuery { even_if_expired: false, ..wanted };
        Self {
            wanted,
            even_if_expired,
            family: None,
            flow: Flow::User,
            keeps_refresh_token: false,
            claims: None,
            bypass: Bypass::Nothing,
        }
    }

    /// Asks for a token that is not from the cache, but from a refresh: one that begins after this
    /// request, by this caller or by another with the same request.
    ///
    /// After a 401 use [`instead_of`](Self::instead_of): it costs one refresh however many calls
    /// failed.
    pub fn force_refresh(mut self) -> Self {
        self.bypass = Bypass::Everything;
        self
    }

    /// Asks for these claims, as a claims challenge names them. The token is not from the cache.
    /// The refresh finds the claims in its [grant](crate::Grant::claims).
    pub fn claims(mut self, claims: impl Into<String>) -> Self {
        self.claims = Some(claims.into());
        self
    }

    /// Asks for any token but this one, which the API has rejected. If the cache has another one by
    /// now, the caller gets that.
    pub fn instead_of(mut self, rejected: &AccessToken) -> Self {
        if !matches!(self.bypass, Bypass::Everything) {
            self.bypass = Bypass::This(rejected.secret.clone());
        }
        self
    }

    /// Redeems the refresh token of this family of clients (MSAL's `family_id`), or if there is
    /// none, the client's own.
    pub fn family(mut self, family: impl Into<String>) -> Self {
        self.family = Some(family.into());
        self
    }

    /// Uses the app's own credentials (RFC 6749 §4.4). No refresh token is looked for.
    pub fn client_credentials(mut self) -> Self {
        self.flow = Flow::App;
        self
    }

    /// Asks on behalf of the user whose access token to this app is the assertion (RFC 7523 §2.1,
    /// RFC 8693). Only its SHA-256 is kept, as the [partition](AccessQuery::partition) that the
    /// tokens are stored in. No refresh token is needed; one that is in the partition is redeemed.
    /// One that comes is not stored, except with [`keep_refresh_token`](Self::keep_refresh_token).
    pub fn on_behalf_of(mut self, assertion: &str) -> Self {
        self.flow = Flow::OnBehalfOf;
        self.wanted.partition = Partition::on_behalf_of(assertion);
        self
    }

    pub(super) fn client(&self) -> &ClientId {
        &self.wanted.client_id
    }

    pub(super) fn tenant(&self) -> Option<&TenantId> {
        self.wanted.tenant.as_ref()
    }

    /// On behalf of a user, stores a refresh token that comes, for work that goes on when the
    /// assertion has expired. As every assertion has a partition of its own, such tokens add up
    /// until the user signs out.
    pub fn keep_refresh_token(mut self) -> Self {
        self.keeps_refresh_token = true;
        self
    }

    /// Whether a token of the cache may do at all.
    pub(super) fn takes_cached(&self) -> bool {
        self.claims.is_none() && !matches!(self.bypass, Bypass::Everything)
    }

    /// Whether this token of the cache will do.
    pub(super) fn takes(&self, token: &AccessToken) -> bool {
        match &self.bypass {
            Bypass::Nothing => true,
            Bypass::This(rejected) => token.secret != *rejected,
            Bypass::Everything => false,
        }
    }

    /// The request for its refresh. Acquisitions with an equal one share a refresh.
    pub(super) fn refresh_request(
        &self,
        tagger: &Tagger,
        account: &AccountTag,
        tenant: TenantTag,
    ) -> RefreshRequest {
        let (target, claims) = (self.wanted.slot(tagger, account), self.claims.clone());
        RefreshRequest {
            tenant,
            target,
            claims,
            flow: self.flow,
            keeps_refresh_token: self.keeps_refresh_token,
        }
    }
}

impl From<AccessQuery> for AccessRequest {
    fn from(wanted: AccessQuery) -> Self {
        Self::new(wanted)
    }
}

impl From<&AccessQuery> for AccessRequest {
    fn from(wanted: &AccessQuery) -> Self {
        Self::new(wanted.clone())
    }
}

hidden_debug!(AccessRequest);

/// What one refresh asks for: with which flow and claims, and for which token.
#[derive(PartialEq, Eq)]
pub(crate) struct RefreshRequest {
    tenant: TenantTag,
    /// The slot: client, resource, scopes, token type and partition.
    target: Slot,
    claims: Option<String>,
    flow: Flow,
    keeps_refresh_token: bool,
}
