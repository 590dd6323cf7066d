//! Who and what: tenants, accounts, sessions, subjects, clients, aliases.
//!
//! Every identifier is checked when it is made (not empty, at most [`MAX_ID_BYTES`] bytes, no
//! control characters) and never printed: `Debug` hides the value, and there is no `Display`.

use crate::model::entra_cloud::preferred_host;
use crate::model::error::{Error, Result};

/// The longest identifier that can be stored, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 1024;

/// The directory, organisation or realm a token was issued in: an Entra `tid`, a Keycloak realm, an
/// Auth0 tenant.
///
/// Compared byte for byte; give it in one spelling.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(String);

/// The id of an OAuth client, as registered with the provider (RFC 6749 §2.2).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(String);

/// One session at the OpenID provider: its issuer and its `sid`.
///
/// A `sid` is unique only per issuer (OpenID Connect Front-Channel Logout 1.0 §3). For Entra ID the
/// issuer is the cloud, such as `https://login.microsoftonline.com`: its front-channel sign-out
/// says no more.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionId {
    issuer: String,
    sid: String,
}

/// What a provider calls the user: its issuer and the `sub` claim. Pairwise at some providers, so
/// an account can have several.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    issuer: String,
    sub: String,
}

/// The user as the cache knows it, or the app itself for tokens of the client-credentials grant.
///
/// The authority is part of the identity: the same user id at two authorities is two accounts.
/// Where the provider's issuer and its `sub` tell the account, they are its authority and id,
/// whichever constructor it was made by.
///
/// ```
/// use oubliette::{AccountId, Subject};
/// let a = AccountId::new("login.example.com", "uid.utid")?;
/// assert_eq!(a.home_account_id(), Some("uid.utid"));
/// // One user, one name:
/// let subject = Subject::new("https://sso.example.com/realms/contoso", "f:1")?;
/// assert_eq!(AccountId::new("https://sso.example.com/realms/contoso", "f:1")?, AccountId::of_subject(subject));
/// // Entra's aliases of one cloud, its upper-case GUIDs and B2C's user flows are all one account.
/// let b = AccountId::msal("login.windows.net", "0A0B0C0D-0001-0002-0003-0A0B0C0D0E0F-b2c_1_edit.0a0b0c0d-0009-0008-0007-0a0b0c0d0e0f")?;
/// let c = AccountId::msal("login.microsoftonline.com", "0a0b0c0d-0001-0002-0003-0a0b0c0d0e0f.0a0b0c0d-0009-0008-0007-0a0b0c0d0e0f")?;
/// assert_eq!(b, c);
/// # Ok::<(), oubliette::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AccountId(Kind);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Kind {
    User { authority: String, id: String },
    App { tenant: TenantId, client: ClientId },
}

/// Another name of an account, to find it by.
///
/// ```
/// use oubliette::{Alias, AliasKind};
/// // E-mail addresses are found whatever their case; opaque values only as they were given.
/// assert_eq!(Alias::new(AliasKind::Email, "A@Example.com")?, Alias::new(AliasKind::Email, "a@example.com")?);
/// # Ok::<(), oubliette::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Alias {
    kind: AliasKind,
    value: String,
}

/// What kind of name an [`Alias`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AliasKind {
    /// An e-mail address; compared without regard to case.
    Email,
    /// Anything else; compared byte for byte.
    Opaque,
}

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

impl AccountId {
    /// A user, by authority (the provider's issuer, an MSAL *environment*, or any name of the
    /// identity provider) and the id it has there. Both are compared byte for byte. With an issuer
    /// and a `sub` it is the account that [`of_subject`](Self::of_subject) gives.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if a value is empty, too long or has control characters.
    pub fn new(authority: impl Into<String>, id: impl Into<String>) -> Result<Self> {
        Ok(Self(Kind::User {
            authority: checked("authority", authority)?,
            id: checked("account id", id)?,
        }))
    }

    /// A user as MSAL's caches know it, in one spelling: the environment in lower case and by the
    /// preferred name of its cloud, GUIDs in lower case, and without the B2C user flow, so that all
    /// user flows of one user are one account. A user of Entra External ID is one account too,
    /// whether the environment has the tenant's name (`contoso.ciamlogin.com`) or its id. A home
    /// account id that is not made of GUIDs (AD FS) is kept as it is.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if a value is empty, too long or has control characters.
    pub fn msal(environment: &str, home_account_id: &str) -> Result<Self> {
        let id = one_home_account_id(home_account_id);
        let tenant = id.split_once('.').map_or("", |(_, tenant)| tenant);
        Self::new(preferred_host(environment, tenant), id)
    }

    /// A user whom the app knows by issuer and subject: the account of these two, as
    /// [`new`](Self::new) makes it.
    #[must_use]
    pub fn of_subject(Subject { issuer, sub }: Subject) -> Self {
        Self(Kind::User { authority: issuer, id: sub })
    }

    /// The app itself in a tenant: where tokens of the client-credentials grant (RFC 6749 §4.4)
    /// live. Signing the tenant out takes them too.
    #[must_use]
    pub fn app(tenant: TenantId, client: ClientId) -> Self {
        Self(Kind::App { tenant, client })
    }

    /// The authority, if this is a user.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        match &self.0 {
            Kind::User { authority, .. } => Some(authority),
            Kind::App { .. } => None,
        }
    }

    /// The id at the authority, if this is a user.
    #[must_use]
    pub fn home_account_id(&self) -> Option<&str> {
        match &self.0 {
            Kind::User { id, .. } => Some(id),
            Kind::App { .. } => None,
        }
    }

    /// The subject that the account is, if its authority is an issuer: a URL (OpenID Connect Core
    /// 1.0 §2).
    #[must_use]
    pub fn subject(&self) -> Option<Subject> {
        match &self.0 {
            Kind::User { authority, id } if authority.contains("://") => {
                Some(Subject { issuer: authority.clone(), sub: id.clone() })
            }
            _ => None,
        }
    }

    /// The tenant and client, if this is an app's own account.
    #[must_use]
    pub fn as_app(&self) -> Option<(&TenantId, &ClientId)> {
        match &self.0 {
            Kind::App { tenant, client } => Some((tenant, client)),
            _ => None,
        }
    }

    /// Kind and two fields: what is hashed for the row key, and what is sealed in the header.
    pub(crate) fn parts(&self) -> (u8, &str, &str) {
        match &self.0 {
            Kind::User { authority, id } => (0, authority, id),
            Kind::App { tenant, client } => (2, &tenant.0, &client.0),
        }
    }

    pub(crate) fn from_parts(kind: u8, first: &str, second: &str) -> Result<Self> {
        match kind {
            // Version 1 told those who were known by issuer and subject from others.
            0 | 1 => Self::new(first, second),
            2 => Ok(Self::app(TenantId::new(first)?, ClientId::new(second)?)),
            _ => Err(Error::Tampered("header")),
        }
    }
}

impl Alias {
    /// Another name of an account.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the value is empty, too long or has control characters.
    pub fn new(kind: AliasKind, value: impl Into<String>) -> Result<Self> {
        let value = value.into();
        // Lower case can be longer, so it comes before the check.
        let value = if kind == AliasKind::Email { value.to_lowercase() } else { value };
        Ok(Self { kind, value: checked("alias", value)? })
    }

    pub(crate) fn parts(&self) -> (u8, &str) {
        (if self.kind == AliasKind::Email { 0 } else { 1 }, &self.value)
    }

    pub(crate) fn from_parts(kind: u8, value: &str) -> Result<Self> {
        match kind {
            0 => Self::new(AliasKind::Email, value),
            1 => Self::new(AliasKind::Opaque, value),
            _ => Err(Error::Tampered("sign-in")),
        }
    }

    /// What kind of name it is.
    #[must_use]
    pub fn kind(&self) -> AliasKind {
        self.kind
    }

    /// The value: an e-mail address is in lower case.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// Takes a text that may stand in an identifier, or says which field cannot and why.
pub(crate) fn checked(field: &'static str, value: impl Into<String>) -> Result<String> {
    let value = value.into();
    check(field, &value, MAX_ID_BYTES)?;
    Ok(value)
}

pub(crate) fn check(field: &'static str, value: &str, most: usize) -> Result<()> {
    if value.is_empty() {
        return Err(Error::invalid(field, "it is empty"));
    }
    if value.len() > most {
        return Err(Error::invalid(field, "it is too long"));
    }
    if value.chars().any(char::is_control) {
        return Err(Error::invalid(field, "it has control characters"));
    }
    Ok(())
}

/// `uid.utid` with GUIDs in lower case and the B2C policy, which some libraries add to either half,
/// taken off.
fn one_home_account_id(id: &str) -> String {
    let Some((uid, utid)) = id.split_once('.') else { return id.into() };
    match (guid_with_policy(uid), guid_with_policy(utid)) {
        (Some(uid), Some(utid)) => {
            format!("{}.{}", uid.to_ascii_lowercase(), utid.to_ascii_lowercase())
        }
        _ => id.into(),
    }
}

/// The GUID at the start of `half`, if it is one, alone or followed by `-b2c_1…`.
fn guid_with_policy(half: &str) -> Option<&str> {
    let (guid, rest) = half.split_at_checked(36)?;
    let is_policy =
        rest.is_empty() || rest.get(..6).is_some_and(|p| p.eq_ignore_ascii_case("-b2c_1"));
    (is_guid(guid) && is_policy).then_some(guid)
}

/// Whether it is a GUID: `8-4-4-4-12` hexadecimal digits.
pub(crate) fn is_guid(text: &str) -> bool {
    let is_digit = |(i, b)| match i {
        8 | 13 | 18 | 23 => b == b'-',
        _ => u8::is_ascii_hexdigit(&b),
    };
    text.len() == 36 && text.bytes().enumerate().all(is_digit)
}

/// `Debug` that tells only the type: what identifies a user is no business of a log.
macro_rules! hidden_debug {
    ($($name:ident),+) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )+};
}
pub(crate) use hidden_debug;
hidden_debug!(TenantId, ClientId, SessionId, Subject, AccountId, Alias);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_identifiers_name_the_field_and_not_the_value() {
        for bad in [String::new(), "x".repeat(MAX_ID_BYTES + 1), "sec\u{7}ret".into()] {
            let error = TenantId::new(bad.clone()).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains("tenant") && (bad.is_empty() || !text.contains(&bad)), "{text}");
        }
        assert!(TenantId::new("x".repeat(MAX_ID_BYTES)).is_ok());
    }

    #[test]
    fn debug_hides_identifiers() {
        let all = format!(
            "{:?}{:?}{:?}{:?}{:?}{:?}",
            TenantId::new("needle").unwrap(),
            ClientId::new("needle").unwrap(),
            SessionId::new("needle", "needle").unwrap(),
            Subject::new("needle", "needle").unwrap(),
            AccountId::new("needle", "needle").unwrap(),
            Alias::new(AliasKind::Opaque, "needle").unwrap()
        );
        assert!(!all.contains("needle"), "{all}");
    }

    #[test]
    fn a_user_of_an_external_tenant_is_one_account_by_both_of_its_hosts() {
        let tenant = "0a0b0c0d-0009-0008-0007-0a0b0c0d0e0f";
        let by_id = AccountId::msal(
            &format!("{tenant}.ciamlogin.com"),
            &format!("0a0b0c0d-0001-0002-0003-0a0b0c0d0e0f.{tenant}"),
        );
        let by_name = AccountId::msal(
            "Contoso.CIAMLogin.com",
            &format!("0A0B0C0D-0001-0002-0003-0A0B0C0D0E0F.{tenant}"),
        );
        assert_eq!(by_id.unwrap(), by_name.unwrap());
        // Without a tenant to tell, and elsewhere, a host is what it is.
        for (environment, id) in [
            ("contoso.ciamlogin.com", "jane"),
            ("ciamlogin.com.example", "a.b"),
            (".ciamlogin.com", "a.b"),
        ] {
            assert_eq!(AccountId::msal(environment, id).unwrap().authority(), Some(environment));
        }
    }

    #[test]
    fn an_adfs_id_keeps_its_case() {
        let id = AccountId::msal("FS.example.com", "unZYjm1N+CsiQ=").unwrap();
        assert_eq!(
            (id.authority(), id.home_account_id()),
            (Some("fs.example.com"), Some("unZYjm1N+CsiQ="))
        );
    }
}
