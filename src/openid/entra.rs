//! Entra ID: whose token it is, and which home account.

use base64ct::{Base64UrlUnpadded, Encoding};
use openidconnect::url::Url;
use serde::Deserialize;

use super::provider::{ClaimError, Claims, missing, wrong};
use crate::cloud::{preferred_environment, tenant_in};
use crate::error::{Error, Result};
use crate::id::{AccountId, TenantId, is_guid};
use crate::wipe::Wiped;

/// The tenant of all personal accounts.
const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// Where users sign in: a host, and whose tokens are taken.
#[derive(Clone)]
pub(super) struct Authority {
    host: String,
    tenants: Tenants,
    /// The host in account ids.
    pub(super) environment: String,
}

#[derive(Clone)]
enum Tenants {
    Any,
    Organizations,
    One(String),
}

/// What an ID token says of its user, beside [`Claims`].
pub(super) struct User<'a> {
    pub(super) iss: &'a Url,
    pub(super) sub: &'a str,
    /// `acr`: B2C's user flow, in tokens of old flows; else something else.
    pub(super) flow: Option<&'a str>,
    pub(super) client_info: Option<&'a str>,
}

/// What `client_info` says.
#[derive(Deserialize)]
struct Home {
    uid: String,
    utid: String,
}

impl Authority {
    pub(super) fn new(url: &Url) -> Result<Self> {
        let host = cloud(url).ok_or(Error::invalid("issuer", "it has no host"))?;
        let tenants = match tenant_of(url) {
            Some("common") => Tenants::Any,
            Some("organizations") => Tenants::Organizations,
            Some("consumers") => Tenants::One(PERSONAL.into()),
            Some(guid) if is_guid(guid) => Tenants::One(guid.to_ascii_lowercase()),
            _ => return Err(Error::invalid("issuer", "name the tenant by its GUID, or common, organizations or consumers")),
        };
        Ok(Self { environment: host.clone(), host, tenants })
    }

    pub(super) fn account_and_tenant(&self, user: &User<'_>, claims: &Claims<'_>) -> Result<(AccountId, TenantId), ClaimError> {
        let tfp = claims.text("tfp")?.or(user.flow);
        let is_b2c = tfp.is_some_and(|flow| flow.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("b2c_1")));
        let tid = self.tenant(user, claims, is_b2c)?;

        // B2C need not send the `oid`; its `sub` is the same, unless the app's policies say otherwise.
        let oid = claims.text("oid")?.or((is_b2c && is_guid(user.sub)).then_some(user.sub)).ok_or(missing("oid"))?;
        if !is_guid(oid) {
            return Err(ClaimError::Invalid { claim: "oid".into(), problem: "it is no GUID" });
        }
        let account = |id: &str, claim| AccountId::msal(&self.environment, id).map_err(wrong(claim));
        let here = account(&format!("{oid}.{tid}"), "oid")?;
        let account = match user.client_info.map(Home::read).transpose()? {
            Some(home) => {
                let home_account = account(&format!("{}.{}", home.uid, home.utid), "client_info")?;
                // Who is at home here is whom the signed token says.
                if home.utid.eq_ignore_ascii_case(&tid) && home_account != here {
                    return Err(ClaimError::Invalid {
                        claim: "client_info".into(),
                        problem: "it is of another user than the ID token",
                    });
                }
                home_account
            }
            None if !is_b2c && is_guest(user, claims)? => return Err(missing("client_info")),
            None => here,
        };
        Ok((account, TenantId::new(tid).map_err(wrong("tid"))?))
    }

    /// The cloud's address, which is also the issuer of its sessions (as `cloud::session` has it).
    pub(super) fn cloud(&self) -> String {
        format!("https://{}", self.host)
    }

    /// The tenant that issued the token: `tid` and issuer must say the same, and that it is one of ours.
    fn tenant(&self, user: &User<'_>, claims: &Claims<'_>, is_b2c: bool) -> Result<String, ClaimError> {
        let issuer = self.tenant_of_issuer(user.iss).ok_or(ClaimError::WrongIssuer)?;
        match claims.text("tid")? {
            Some(tid) if !tid.eq_ignore_ascii_case(&issuer) => Err(ClaimError::WrongIssuer),
            None if !is_b2c => Err(missing("tid")),
            _ => Ok(issuer),
        }
    }

    /// The tenant that an issuer names, if it is of this cloud and one of ours.
    pub(super) fn tenant_of_issuer(&self, iss: &Url) -> Option<String> {
        let tenant = tenant_of(iss).filter(|tenant| self.is_at(iss) && is_guid(tenant)).map(str::to_ascii_lowercase)?;
        let is_ours = match &self.tenants {
            Tenants::Any => true,
            Tenants::Organizations => tenant != PERSONAL,
            Tenants::One(ours) => tenant == *ours,
        };
        is_ours.then_some(tenant)
    }

    #[cfg(feature = "logout")]
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn is_at(&self, url: &Url) -> bool {
        url.scheme() == "https" && cloud(url).as_ref() == Some(&self.host)
    }

    /// The tenant whose tokens alone are taken, if it is one.
    #[cfg(feature = "logout")]
    pub(super) fn only_tenant(&self) -> Option<&str> {
        match &self.tenants {
            Tenants::One(tenant) => Some(tenant),
            Tenants::Any | Tenants::Organizations => None,
        }
    }
}

impl Home {
    fn read(client_info: &str) -> Result<Self, ClaimError> {
        let wrong = || ClaimError::Invalid { claim: "client_info".into(), problem: "it is not the base64url of uid and utid" };
        let json = Wiped(Base64UrlUnpadded::decode_vec(client_info.trim_end_matches('=')).map_err(|_| wrong())?);
        let home: Self = serde_json::from_slice(&json).map_err(|_| wrong())?;
        if home.uid.is_empty() || !is_guid(&home.utid) { Err(wrong()) } else { Ok(home) }
    }
}

/// Whether the user's home is another tenant: `acct` (an optional claim) says so, or an `idp` that is not the issuer. (Without an
/// `idp` it is the issuer.)
fn is_guest(user: &User<'_>, claims: &Claims<'_>) -> Result<bool, ClaimError> {
    if claims.says_yes("acct") {
        return Ok(true);
    }
    let Some(idp) = claims.text("idp")? else { return Ok(false) };
    // The v1.0 issuer of the same tenant is no other identity provider.
    let url = Url::parse(idp).ok();
    let is_here = |idp: &Url| cloud(idp) == cloud(user.iss) && tenant_of(idp) == tenant_of(user.iss);
    Ok(!url.is_some_and(|idp| is_here(&idp)))
}

/// The host, by one name for each cloud.
pub(super) fn cloud(url: &Url) -> Option<String> {
    url.host_str().map(preferred_environment)
}

pub(super) fn tenant_of(url: &Url) -> Option<&str> {
    tenant_in(url.path())
}
