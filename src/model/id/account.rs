//! Accounts, and the one spelling that MSAL's names of a user are brought into.

use super::{ClientId, Subject, TenantId, checked, hidden_debug};
use crate::model::entra_cloud::preferred_host;
use crate::model::error::{Error, Result};

/// The user as the store knows them, or the app itself for tokens of the client-credentials grant.
///
/// The authority is part of the identity: the same user id at two authorities is two accounts.
/// Where an account is known by the provider's issuer and its `sub`, these are its authority and
/// id, whichever constructor made it.
///
/// ```
/// use oubliette::{AccountId, Subject};
/// let a = AccountId::new("login.example.com", "uid.utid")?;
/// assert_eq!(a.home_account_id(), Some("uid.utid"));
/// // One user, one name:
/// let issuer = "https://sso.example.com/realms/contoso";
/// let subject = Subject::new(issuer, "f:1")?;
/// assert_eq!(AccountId::new(issuer, "f:1")?, AccountId::of_subject(subject));
/// // Entra's aliases of one cloud, its upper-case GUIDs and B2C's user flows are all one account.
/// let b = AccountId::msal(
///     "login.windows.net",
///     "0A0B0C0D-0001-0002-0003-0A0B0C0D0E0F-b2c_1_edit.0a0b0c0d-0009-0008-0007-0a0b0c0d0e0f",
/// )?;
/// let c = AccountId::msal(
///     "login.microsoftonline.com",
///     "0a0b0c0d-0001-0002-0003-0a0b0c0d0e0f.0a0b0c0d-0009-0008-0007-0a0b0c0d0e0f",
/// )?;
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

impl AccountId {
    /// A user, by authority (the provider's issuer, an MSAL *environment*, or any name of the
    /// identity provider) and the id that the user has there. Both are compared byte for byte. With
    /// an issuer and a `sub` it is the account that [`of_subject`](Self::of_subject) gives.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if a value is empty, too long or has control characters.
    pub fn new(authority: impl Into<String>, id: impl Into<String>) -> Result<Self> {
        Ok(Self(Kind::User {
            authority: checked("authority", authority)?,
            id: checked("account id", id)?,
        }))
    }

    /// A user as MSAL's caches know them, in one spelling: the environment in lower case and by the
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

    /// A user that the app knows by issuer and subject: the account of these two, as
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
            Kind::App { tenant, client } => (2, tenant.as_str(), client.as_str()),
        }
    }

    pub(crate) fn from_parts(kind: u8, first: &str, second: &str) -> Result<Self> {
        match kind {
            // Version 1 had a kind of its own for accounts that are known by issuer and subject.
            0 | 1 => Self::new(first, second),
            2 => Ok(Self::app(TenantId::new(first)?, ClientId::new(second)?)),
            _ => Err(Error::Tampered("header")),
        }
    }
}

/// `uid.utid` with GUIDs in lower case, and without the B2C policy, which some libraries add to
/// either half.
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

hidden_debug!(AccountId);

#[cfg(test)]
mod tests {
    use super::*;

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
        // Without a tenant's id, and at other hosts, the environment stays as it is.
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
