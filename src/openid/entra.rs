//! Entra ID: finds the tenant and the home account of a token's user.

use std::borrow::Cow;

use base64ct::{Base64UrlUnpadded, Encoding};
use openidconnect::url::Url;
use serde::Deserialize;

use super::provider::{ClaimError, Claims, missing, wrong};
use crate::model::entra_cloud::{
    PERSONAL, is_external, preferred_environment, preferred_host, tenant_in,
};
use crate::model::error::{Error, Result};
use crate::model::id::{AccountId, TenantId, is_guid};
use crate::platform::wipe::Wiped;

/// The cloud that external tenants belong to, beside their own hosts.
pub(super) const PUBLIC: &str = "login.microsoftonline.com";

/// Where users sign in: a host, and the tenants whose tokens are accepted.
#[derive(Clone)]
pub(super) struct Authority {
    host: String,
    /// Other hosts that mean the same: the host with the name of an external tenant, and custom
    /// domains.
    other_hosts: Vec<String>,
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

/// What a token response says of its user, beside [`Claims`].
pub(super) struct User<'a> {
    pub(super) iss: &'a Url,
    pub(super) sub: &'a str,
    /// The claim `acr`. In tokens of old B2C flows it is the user flow; in others it means
    /// something else.
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
        let named = cloud(url).ok_or(Error::invalid("issuer", "it has no host"))?;
        if is_external(&named) {
            return Self::external(named, tenant_of(url));
        }
        let tenants = match tenant_of(url) {
            Some("common") => Tenants::Any,
            Some("organizations") => Tenants::Organizations,
            Some("consumers") => Tenants::One(PERSONAL.into()),
            Some(guid) if is_guid(guid) => Tenants::One(guid.to_ascii_lowercase()),
            _ => {
                return Err(Error::invalid(
                    "issuer",
                    "name the tenant by its GUID, or common, organizations or consumers",
                ));
            }
        };
        Ok(Self { environment: named.clone(), host: named, other_hosts: Vec::new(), tenants })
    }

    /// A tenant of External ID, named by the host that has its name or its id.
    fn external(named: String, tenant: Option<&str>) -> Result<Self> {
        // If a domain stood in its place, it would not be known which tenant's tokens to accept.
        let tenant = tenant.filter(|tenant| is_guid(tenant)).map(str::to_ascii_lowercase).ok_or(Error::invalid(
            "issuer",
            "name the external tenant by its GUID, as in https://contoso.ciamlogin.com/<GUID>/v2.0: it stands in `issuer` of the discovery \
             document, and as tenant ID in the admin center",
        ))?;
        let host = preferred_host(&named, &tenant);
        if named != host && named.split('.').next().is_some_and(is_guid) {
            return Err(Error::invalid("issuer", "its host and its path name two tenants"));
        }
        let other_hosts = if named == host { Vec::new() } else { vec![named] };
        Ok(Self { environment: host.clone(), host, other_hosts, tenants: Tenants::One(tenant) })
    }

    /// Adds a host that means the same as the first.
    pub(super) fn add_host(&mut self, url: &Url) -> Result<()> {
        let host = cloud(url).ok_or(Error::invalid("address", "it has no host"))?;
        if host != self.host && !self.other_hosts.contains(&host) {
            self.other_hosts.push(host);
        }
        Ok(())
    }

    /// The same issuer at the first host, if it is at another one.
    pub(super) fn first_name<'a>(&self, iss: &'a Url) -> Cow<'a, Url> {
        let is_other = iss.scheme() == "https"
            && cloud(iss).is_some_and(|host| self.other_hosts.contains(&host));
        let mut first = Cow::Borrowed(iss);
        if is_other && first.to_mut().set_host(Some(&self.host)).is_err() {
            return Cow::Borrowed(iss);
        }
        first
    }

    pub(super) fn account_and_tenant(
        &self,
        user: &User<'_>,
        claims: &Claims<'_>,
    ) -> Result<(AccountId, TenantId), ClaimError> {
        let tfp = claims.text("tfp")?.or(user.flow);
        let is_b2c = tfp.is_some_and(|flow| {
            flow.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("b2c_1"))
        });
        let iss = self.first_name(user.iss);
        let tid = self.tenant(&iss, claims, is_b2c)?;

        // B2C need not send the `oid`. Its `sub` is the same value, unless the app's policies say
        // otherwise.
        let oid = claims
            .text("oid")?
            .or((is_b2c && is_guid(user.sub)).then_some(user.sub))
            .ok_or(missing("oid"))?;
        if !is_guid(oid) {
            return Err(ClaimError::Invalid { claim: "oid".into(), problem: "it is no GUID" });
        }
        let account =
            |id: &str, claim| AccountId::msal(&self.environment, id).map_err(wrong(claim));
        let here = account(&format!("{oid}.{tid}"), "oid")?;
        let account = match user.client_info.map(Home::read).transpose()? {
            Some(home) => {
                let home_account = account(&format!("{}.{}", home.uid, home.utid), "client_info")?;
                // If this tenant is the home tenant, `client_info` must name the user that the
                // signed token names.
                if home.utid.eq_ignore_ascii_case(&tid) && home_account != here {
                    return Err(ClaimError::Invalid {
                        claim: "client_info".into(),
                        problem: "it names another user than the ID token does",
                    });
                }
                home_account
            }
            None if !is_b2c && self.is_guest(&iss, claims)? => return Err(missing("client_info")),
            None => here,
        };
        Ok((account, TenantId::new(tid).map_err(wrong("tid"))?))
    }

    /// The cloud's address, which is also the issuer of its sessions (as in
    /// `entra_cloud::session`).
    pub(super) fn cloud(&self) -> String {
        format!("https://{}", self.host)
    }

    /// The tenant that issued the token. `tid` and the issuer must name the same tenant, and it
    /// must be one that is accepted.
    fn tenant(&self, iss: &Url, claims: &Claims<'_>, is_b2c: bool) -> Result<String, ClaimError> {
        let issuer = self.tenant_of_issuer(iss).ok_or(ClaimError::WrongIssuer)?;
        match claims.text("tid")? {
            Some(tid) if !tid.eq_ignore_ascii_case(&issuer) => Err(ClaimError::WrongIssuer),
            None if !is_b2c => Err(missing("tid")),
            _ => Ok(issuer),
        }
    }

    /// Whether the user's home is another tenant: `acct` (an optional claim) says so, or an `idp`
    /// that is not the issuer does. (If `idp` is missing, it is the issuer.)
    fn is_guest(&self, iss: &Url, claims: &Claims<'_>) -> Result<bool, ClaimError> {
        if claims.says_yes("acct") {
            return Ok(true);
        }
        let Some(idp) = claims.text("idp")? else { return Ok(false) };
        let Ok(idp) = Url::parse(idp) else { return Ok(true) };
        let idp = self.first_name(&idp);
        // The v1.0 issuer of the same tenant does not count as another identity provider. Nor does
        // the cloud that an external tenant belongs to.
        let is_cloud = cloud(&idp) == cloud(iss)
            || (is_external(&self.host) && cloud(&idp).is_some_and(|host| host == PUBLIC));
        Ok(!(is_cloud && tenant_of(&idp) == tenant_of(iss)))
    }

    /// The tenant that an issuer names, if the issuer is of this cloud and the tenant is accepted.
    pub(super) fn tenant_of_issuer(&self, iss: &Url) -> Option<String> {
        let tenant = tenant_of(iss)
            .filter(|tenant| self.is_at(iss) && is_guid(tenant))
            .map(str::to_ascii_lowercase)?;
        let is_ours = match &self.tenants {
            Tenants::Any => true,
            Tenants::Organizations => tenant != PERSONAL,
            Tenants::One(ours) => tenant == *ours,
        };
        is_ours.then_some(tenant)
    }

    /// Whether the address is at the cloud's first host.
    pub(super) fn is_at(&self, url: &Url) -> bool {
        url.scheme() == "https" && cloud(url).as_ref() == Some(&self.host)
    }
}

#[cfg(feature = "logout")]
impl Authority {
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The addresses of the cloud at all of its hosts, beginning with the first.
    pub(super) fn clouds(&self) -> impl Iterator<Item = String> {
        [&self.host].into_iter().chain(&self.other_hosts).map(|host| format!("https://{host}"))
    }

    /// The same issuer at the other hosts, if it is at the first.
    pub(super) fn others_of(&self, iss: &str) -> Vec<String> {
        let Some(url) = Url::parse(iss).ok().filter(|url| self.is_at(url)) else {
            return Vec::new();
        };
        let at = |host: &String| {
            let mut other = url.clone();
            other.set_host(Some(host)).ok().map(|()| other.into())
        };
        self.other_hosts.iter().filter_map(at).collect()
    }

    /// Whether a host is known to both authorities, and means something else to each.
    pub(super) fn disputes(&self, other: &Self) -> bool {
        let is_of = |authority: &Self, host: &String| {
            authority.host == *host || authority.other_hosts.contains(host)
        };
        self.host != other.host
            && [self, other].into_iter().any(|one| {
                let mut hosts = one.other_hosts.iter().chain([&one.host]);
                hosts.any(|host| is_of(self, host) && is_of(other, host))
            })
    }

    /// The tenant, if only one tenant's tokens are accepted.
    pub(super) fn only_tenant(&self) -> Option<&str> {
        match &self.tenants {
            Tenants::One(tenant) => Some(tenant),
            Tenants::Any | Tenants::Organizations => None,
        }
    }
}

impl Home {
    fn read(client_info: &str) -> Result<Self, ClaimError> {
        let wrong = || ClaimError::Invalid {
            claim: "client_info".into(),
            problem: "it is not the base64url of uid and utid",
        };
        let json = Wiped(
            Base64UrlUnpadded::decode_vec(client_info.trim_end_matches('='))
                .map_err(|_| wrong())?,
        );
        let home: Self = serde_json::from_slice(&json).map_err(|_| wrong())?;
        if home.uid.is_empty() || !is_guid(&home.utid) { Err(wrong()) } else { Ok(home) }
    }
}

/// The host. All hosts of one cloud give the same name.
pub(super) fn cloud(url: &Url) -> Option<String> {
    url.host_str().map(preferred_environment)
}

pub(super) fn tenant_of(url: &Url) -> Option<&str> {
    tenant_in(url.path())
}
