//! What is wanted, and on what terms.

use crate::crypto::Tagger;
use crate::model::id::{ClientId, TenantId, hidden_debug};
use crate::model::query::AccessQuery;
use crate::model::scopes::Partition;
use crate::model::secret::Secret;
use crate::model::tag::{AccountTag, Slot, TenantTag};
use crate::model::token::AccessToken;

/// Which access token [`Acquirer::acquire`](crate::Acquirer::acquire) is to get, and on what terms.
/// An [`AccessQuery`] is one by itself.
///
/// [`AccessQuery::even_if_expired`] says that a token past its expiry, up to its extended expiry,
/// will do if it cannot be refreshed.
///
/// Scopes that stand for something else (`openid`, `profile`, `offline_access`, Entra's
/// `x/.default`) are asked for, but need not be named in the response, as most providers do not.
///
/// ```
/// # use std::time::SystemTime;
/// use oubliette::*;
/// let wanted = AccessQuery::new(ClientId::new("web")?).scopes(Scopes::parse("mail.read")?);
/// # let rejected = AccessToken::new(ClientId::new("web")?, Scopes::default(), "at", SystemTime::now());
/// // The API answered 401 to this very token:
/// let request = AccessRequest::new(wanted.clone()).instead_of(&rejected);
/// // It answered with a claims challenge (RFC 9470, or Entra's `claims` parameter):
/// let request = AccessRequest::new(wanted).claims(r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct AccessRequest {
    /// Never `even_if_expired`: that is said beside it.
    pub(super) wanted: AccessQuery,
    pub(super) even_if_expired: bool,
    pub(super) family: Option<String>,
    pub(super) flow: Flow,
    pub(super) keeps_refresh_token: bool,
    pub(super) claims: Option<String>,
    pub(super) bypass: Bypass,
}

/// How tokens are got when there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// For a refresh token.
    User,
    /// For the app's own credentials (RFC 6749 §4.4). There is no refresh token.
    App,
    /// For an assertion (RFC 7523, RFC 8693). There may be a refresh token.
    OnBehalfOf,
}

/// What of the cache will not do.
#[derive(Clone)]
pub(super) enum Bypass {
    Nothing,
    This(Secret),
    Everything,
}

impl AccessRequest {
    /// The token of this query, from the cache if it has it.
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

    /// Not from the cache, but what a refresh gives: one that is under way for the same request, or
    /// else one of its own.
    ///
    /// After a 401 say [`instead_of`](Self::instead_of): it costs one refresh however many calls
    /// failed.
    pub fn force_refresh(mut self) -> Self {
        self.bypass = Bypass::Everything;
        self
    }

    /// With these claims, as a claims challenge names them: not from the cache. They are handed to
    /// the refresh in its [grant](crate::Grant::claims).
    pub fn claims(mut self, claims: impl Into<String>) -> Self {
        self.claims = Some(claims.into());
        self
    }

    /// Any but this token, which the API has rejected. If the cache has another one by now, that is
    /// it.
    pub fn instead_of(mut self, rejected: &AccessToken) -> Self {
        if !matches!(self.bypass, Bypass::Everything) {
            self.bypass = Bypass::This(rejected.secret.clone());
        }
        self
    }

    /// For the refresh token of this family of clients (MSAL's `family_id`), or if there is none,
    /// the client's own.
    pub fn family(mut self, family: impl Into<String>) -> Self {
        self.family = Some(family.into());
        self
    }

    /// For the app's own credentials (RFC 6749 §4.4): no refresh token is looked for.
    pub fn client_credentials(mut self) -> Self {
        self.flow = Flow::App;
        self
    }

    /// On behalf of the user whose access token to this app is the assertion (RFC 7523 §2.1, RFC
    /// 8693). Only its SHA-256 is kept, as the [partition](AccessQuery::partition) that the tokens
    /// are found in. No refresh token is needed. One that comes is not kept, unless [told
    /// to](Self::keep_refresh_token); one that is in the partition is redeemed.
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

    /// On behalf of somebody: a refresh token that comes is kept, for work that goes on when the
    /// assertion has expired. As every assertion has a partition of its own, such tokens add up
    /// until the user signs out.
    pub fn keep_refresh_token(mut self) -> Self {
        self.keeps_refresh_token = true;
        self
    }

    /// Whether the cache is looked into at all.
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

    /// What its refresh is about. Requests with the same errand share a refresh.
    pub(super) fn errand(
        &self,
        tagger: &Tagger,
        account: &AccountTag,
        tenant: TenantTag,
    ) -> Errand {
        let (target, claims) = (self.wanted.slot(tagger, account), self.claims.clone());
        Errand {
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

/// What one refresh is about: for which tenant, client, resource, scopes, token type and partition,
/// how, and with which claims.
#[derive(PartialEq, Eq)]
pub(crate) struct Errand {
    tenant: TenantTag,
    target: Slot,
    claims: Option<String>,
    flow: Flow,
    keeps_refresh_token: bool,
}
