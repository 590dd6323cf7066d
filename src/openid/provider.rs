//! The conventions by which each provider names the user and the tenant.

use std::borrow::Cow;
use std::fmt;

use openidconnect::url::Url;
use openidconnect::{AdditionalClaims, GenderClaim, IdTokenClaims};

use super::ProviderClaims;
use super::entra::{Authority, User};
use crate::model::error::{Error, Result};
use crate::model::id::{AccountId, Alias, AliasKind, SessionId, Subject, TenantId};
use crate::model::sign_in::SignIn;
use crate::oauth::ProviderFields;

/// An OpenID provider, with its conventions for the claims of a sign-in. The [module](super) has a
/// table of them, and an example.
#[derive(Clone)]
#[must_use]
pub struct Provider {
    pub(super) issuer: String,
    /// Other names of the provider.
    pub(super) others: Vec<String>,
    pub(super) kind: Kind,
    tenant_claim: Option<String>,
    is_session_required: bool,
}

#[derive(Clone)]
pub(super) enum Kind {
    Generic,
    Entra(Authority),
    Keycloak { realm: TenantId },
    Okta { org: String },
    Auth0 { host: TenantId },
    Google { host: TenantId },
}

/// Why no sign-in can be made of an ID token. Nobody is signed in. The error names claims, never
/// their values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// The token does not have this claim. Configure the provider to send it.
    #[error("the ID token has no claim `{claim}`: have the provider send it")]
    Missing {
        /// The claim.
        claim: Cow<'static, str>,
    },
    /// The claim has a wrong value.
    #[error("the claim `{claim}` is wrong: {problem}")]
    Invalid {
        /// The claim.
        claim: Cow<'static, str>,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The token is of another issuer than this provider.
    #[error("the ID token is of another issuer")]
    WrongIssuer,
}

impl Provider {
    /// Any provider, by its issuer. The account is (`iss`, `sub`), and the tenant is the issuer.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the issuer is not an `https` URL. (`http` is accepted for
    /// loopback hosts, as in tests.)
    pub fn generic(issuer: &str) -> Result<Self> {
        parse(issuer)?;
        Ok(Self::of(issuer, Kind::Generic))
    }

    /// Microsoft Entra ID, Azure AD B2C, or Entra External ID, by the authority at which users sign
    /// in.
    ///
    /// `https://login.microsoftonline.com/<tenant>/v2.0` with the tenant's GUID accepts only tokens
    /// of that tenant. With `organizations`, `consumers` or `common` in place of the GUID, it
    /// accepts those of any organisation, of personal accounts, or of both: the issuer must be of
    /// the same cloud, and its tenant must be the token's `tid`. Tokens of the v1.0 endpoint
    /// (`https://sts.windows.net/...`) are accepted too.
    ///
    /// For B2C the authority is `https://contoso.b2clogin.com/<tenant>/v2.0/`, with or without
    /// `tfp` and the user flow. For External ID it is
    /// `https://contoso.ciamlogin.com/<tenant>/v2.0`, always with the tenant's GUID, though
    /// Microsoft's own libraries accept `contoso.onmicrosoft.com` too. The tokens of External ID
    /// name the issuer by another host, `https://<tenant>.ciamlogin.com/<tenant>/v2.0`. This crate
    /// knows that host; `openidconnect`'s own discovery must be given that address. A custom domain
    /// is one more [name](Self::also_known_as).
    ///
    /// **Account**: the *home* account, `uid.utid`, at the authority's host: [`AccountId::msal`].
    /// So an account that was imported from an MSAL cache is the same, and all user flows of a B2C
    /// user give one account. For a user who signs in to their home tenant it is `oid.tid`. A
    /// **guest** has another `oid` in each tenant. Only `client_info` in the token response tells
    /// their home account, and the provider sends it if `client_info=1` is among the request's
    /// parameters (`add_extra_param`). Give the response's fields to
    /// [`sign_in_with`](Self::sign_in_with); without them a guest's sign-in is refused. Take
    /// `client_info` from nowhere else: it is not signed, and in a redirect the user could change
    /// it. A **personal account** has the tenant `9188040d-6c67-4c5b-b112-36a304b66dad`.
    ///
    /// **Tenant**: `tid`, in lower case.
    ///
    /// **Subject**: (`iss`, `sub`). It is pairwise: the same user has another `sub` in each app.
    ///
    /// **Session**: the cloud, such as `https://login.microsoftonline.com`, and `sid`. Neither the
    /// tenant nor the version of the endpoint counts, because Entra's front-channel sign-out sends
    /// a `sid` without an issuer. (At External ID the cloud is `https://<tenant>.ciamlogin.com`,
    /// with the tenant's id.) `sid` is an [optional claim] that has to be configured.
    ///
    /// **E-mail**: `email` is not verified, so it is an alias only with the optional claim
    /// `xms_edov`.
    ///
    /// Sources: the [ID token claims reference], and MSAL's handling of `client_info`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the URL is not of that form, or does not name the tenant by its
    /// GUID (or by `organizations`, `consumers` or `common`).
    ///
    /// [optional claim]: https://learn.microsoft.com/entra/identity-platform/optional-claims-reference
    /// [ID token claims reference]: https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
    pub fn entra(authority: &str) -> Result<Self> {
        let url = parse(authority)?;
        Ok(Self::of(authority, Kind::Entra(Authority::new(&url)?)))
    }

    /// Keycloak, by the realm's issuer: `https://sso.example.com/realms/<realm>` (with `/auth`
    /// before `/realms` in versions before 17).
    ///
    /// The account is (`iss`, `sub`); the tenant is the realm, as the issuer spells it. (Realms of
    /// the same name on two servers count as one tenant. If you use several servers, let a
    /// [claim](Self::tenant_claim) name the tenant, or use [`generic`](Self::generic).) `sid` and
    /// `sub` are always there.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the issuer does not end in `/realms/<realm>`.
    pub fn keycloak(issuer: &str) -> Result<Self> {
        let url = parse(issuer)?;
        let mut path = url.path().rsplit('/');
        match (path.next(), path.next()) {
            (Some(realm), Some("realms")) if !realm.is_empty() => {
                Ok(Self::of(issuer, Kind::Keycloak { realm: TenantId::new(realm)? }))
            }
            _ => Err(Error::invalid("issuer", "a Keycloak issuer ends in /realms/<realm>")),
        }
    }

    /// Okta, by the issuer of the org (`https://contoso.okta.com`) or of a custom authorization
    /// server (`https://contoso.okta.com/oauth2/default`).
    ///
    /// The `sub` of an ID token is the user's id in the org, whichever of its servers issued the
    /// token. So the account is (the org's host, `sub`), and the tenant is the host.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] as for [`generic`](Self::generic).
    pub fn okta(issuer: &str) -> Result<Self> {
        let org = host(&parse(issuer)?)?;
        Ok(Self::of(issuer, Kind::Okta { org }))
    }

    /// Auth0, by the tenant's issuer (`https://contoso.eu.auth0.com/`, with the slash) or its
    /// custom domain.
    ///
    /// The account is (`iss`, `sub`). The tenant is the organization (`org_id`) that the user
    /// signed in to, or the host if there is none. A user of two organizations is one account with
    /// sign-ins in two tenants.
    ///
    /// Auth0 writes `updated_at` as a text. If you ask for the scope `profile`, switch on
    /// `openidconnect`'s feature `accept-rfc3339-timestamps`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] as for [`generic`](Self::generic).
    pub fn auth0(issuer: &str) -> Result<Self> {
        let host = TenantId::new(host(&parse(issuer)?)?)?;
        Ok(Self::of(issuer, Kind::Auth0 { host }))
    }

    /// Google. The account is (`iss`, `sub`); the tenant is the Workspace domain (`hd`), or
    /// `accounts.google.com` for a personal account. Google sends no `sid`.
    ///
    /// # Errors
    /// It does not fail in practice. The type is that of [`generic`](Self::generic).
    pub fn google() -> Result<Self> {
        Ok(Self::of(
            "https://accounts.google.com",
            Kind::Google { host: TenantId::new("accounts.google.com")? },
        ))
    }

    /// Takes the tenant from this claim, instead of following the provider's convention. A token
    /// without the claim is refused.
    pub fn tenant_claim(mut self, name: impl Into<String>) -> Self {
        self.tenant_claim = Some(name.into());
        self
    }

    /// Refuses ID tokens without a `sid`: for an app that relies on sign-outs by session.
    pub fn require_session(mut self) -> Self {
        self.is_session_required = true;
        self
    }

    /// For Entra: sets the authority's host in account ids. Use it if other apps (or an MSAL cache)
    /// have another host there than the authority has: for a B2C custom domain, or for a government
    /// cloud's v1.0 issuer. It has no effect for other providers, nor between the two hosts of an
    /// external tenant, which are the same in account ids ([`AccountId::msal`]).
    pub fn environment(mut self, host: impl Into<String>) -> Self {
        if let Kind::Entra(authority) = &mut self.kind {
            authority.environment = host.into();
        }
        self
    }

    /// Makes the sign-in that verified claims describe.
    ///
    /// # Errors
    /// [`ClaimError`] if the claims are not of this provider, or do not say something that the
    /// sign-in needs.
    pub fn sign_in<AC, GC>(&self, claims: &IdTokenClaims<AC, GC>) -> Result<SignIn, ClaimError>
    where
        AC: AdditionalClaims + AsRef<ProviderClaims>,
        GC: GenderClaim,
    {
        self.sign_in_with(claims, &ProviderFields::default())
    }

    /// As [`sign_in`](Self::sign_in), with the other fields of the token response
    /// (`response.fields()`), which the sign-in of a guest at Entra needs.
    ///
    /// # Errors
    /// As [`sign_in`](Self::sign_in).
    pub fn sign_in_with<AC, GC>(
        &self,
        claims: &IdTokenClaims<AC, GC>,
        response: &ProviderFields,
    ) -> Result<SignIn, ClaimError>
    where
        AC: AdditionalClaims + AsRef<ProviderClaims>,
        GC: GenderClaim,
    {
        let (iss, sub) = (self.first_name(claims.issuer().as_str()), claims.subject().as_str());
        let iss = &*iss;
        let more = Claims(claims.additional_claims().as_ref());
        let subject = Subject::new(iss, sub).map_err(wrong("sub"))?;
        if !matches!(self.kind, Kind::Entra(_)) && iss != self.issuer {
            return Err(ClaimError::WrongIssuer);
        }
        let is_verified = |email: bool| {
            email || (matches!(self.kind, Kind::Entra(_)) && more.says_yes("xms_edov"))
        };
        let user = User {
            iss: claims.issuer().url(),
            sub,
            flow: claims.auth_context_ref().map(|acr| acr.as_str()),
            client_info: response.client_info(),
        };
        let (account, tenant) = self.account_and_tenant(iss, &user, &subject, &more)?;
        let tenant = match &self.tenant_claim {
            Some(name) => more.tenant(name)?.ok_or_else(|| missing(name.clone()))?,
            None => tenant,
        };
        let mut sign_in =
            SignIn::new(account, tenant).subject(subject).told_at(claims.issue_time().into());
        match more.text("sid")? {
            Some(sid) => sign_in = sign_in.session(self.session(iss, sid).map_err(wrong("sid"))?),
            None if self.is_session_required => return Err(missing("sid")),
            None => {}
        }
        match claims.email() {
            Some(email) if is_verified(claims.email_verified() == Some(true)) => {
                let alias = Alias::new(AliasKind::Email, email.as_str()).map_err(wrong("email"))?;
                Ok(sign_in.alias(alias))
            }
            _ => Ok(sign_in),
        }
    }

    /// The account and tenant of a user, by the conventions of this provider.
    fn account_and_tenant(
        &self,
        iss: &str,
        user: &User<'_>,
        subject: &Subject,
        more: &Claims<'_>,
    ) -> Result<(AccountId, TenantId), ClaimError> {
        Ok(match &self.kind {
            Kind::Entra(authority) => authority.account_and_tenant(user, more)?,
            Kind::Okta { org } => (
                AccountId::new(org, user.sub).map_err(wrong("sub"))?,
                TenantId::new(org).map_err(wrong("iss"))?,
            ),
            Kind::Generic => {
                (AccountId::of_subject(subject.clone()), TenantId::new(iss).map_err(wrong("iss"))?)
            }
            Kind::Keycloak { realm } => (AccountId::of_subject(subject.clone()), realm.clone()),
            Kind::Auth0 { host } => (
                AccountId::of_subject(subject.clone()),
                more.tenant("org_id")?.unwrap_or(host.clone()),
            ),
            Kind::Google { host } => {
                (AccountId::of_subject(subject.clone()), more.tenant("hd")?.unwrap_or(host.clone()))
            }
        })
    }

    /// The session of a `sid` in a token of this provider. `iss` is the first name of its issuer.
    pub(crate) fn session(&self, iss: &str, sid: &str) -> Result<SessionId> {
        match &self.kind {
            Kind::Entra(authority) => SessionId::new(authority.cloud(), sid),
            _ => SessionId::new(iss, sid),
        }
    }

    fn of(issuer: &str, kind: Kind) -> Self {
        Self {
            issuer: issuer.into(),
            others: Vec::new(),
            kind,
            tenant_claim: None,
            is_session_required: false,
        }
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// Reads the claims beyond the standard ones, and checks their types.
pub(super) struct Claims<'a>(pub(super) &'a ProviderClaims);

impl Claims<'_> {
    /// A claim that is a text. An empty one counts as missing.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, ClaimError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => match value.as_str() {
                Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
                None => Err(ClaimError::Invalid {
                    claim: name.to_owned().into(),
                    problem: "it is not a text",
                }),
            },
        }
    }

    fn tenant(&self, name: &str) -> Result<Option<TenantId>, ClaimError> {
        self.text(name)?.map(|tenant| TenantId::new(tenant).map_err(wrong(name))).transpose()
    }

    /// Whether a claim is `true`, in one of the ways in which Entra writes that.
    pub(super) fn says_yes(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| {
            value.as_bool() == Some(true)
                || value.as_u64() == Some(1)
                || matches!(value.as_str(), Some("1" | "true"))
        })
    }
}

pub(super) fn missing(claim: impl Into<Cow<'static, str>>) -> ClaimError {
    ClaimError::Missing { claim: claim.into() }
}

/// Converts the problem that an [`Error`] of this crate names into a problem of `claim`.
pub(super) fn wrong(claim: &str) -> impl FnOnce(Error) -> ClaimError {
    let claim = claim.to_owned().into();
    move |error| match error {
        Error::InvalidInput { problem, .. } => ClaimError::Invalid { claim, problem },
        _ => ClaimError::Invalid { claim, problem: "it cannot be stored" },
    }
}

pub(super) fn parse(issuer: &str) -> Result<Url> {
    let url = Url::parse(issuer).map_err(|_| Error::invalid("issuer", "it is no URL"))?;
    let is_loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => {}
        "http" if is_loopback => {}
        _ => return Err(Error::invalid("issuer", "it is no https URL")),
    }
    if !is_bare(&url) {
        return Err(Error::invalid(
            "issuer",
            "it has more than host and path (OpenID Connect Discovery 1.0 §3)",
        ));
    }
    Ok(url)
}

/// Whether the address has no more than a host and a path.
pub(super) fn is_bare(url: &Url) -> bool {
    url.query().is_none() && url.fragment().is_none() && url.username().is_empty()
}

fn host(url: &Url) -> Result<String> {
    url.host_str().map(Into::into).ok_or(Error::invalid("issuer", "it has no host"))
}
