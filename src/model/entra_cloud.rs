//! Microsoft's clouds: one name for each, for all of the hosts that it answers to.

/// The preferred name of a host: a cloud answers to several, and MSAL libraries write the one that
/// they met first.
pub(crate) fn preferred_environment(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    match host.as_str() {
        "login.windows.net" | "login.microsoft.com" | "sts.windows.net" => {
            "login.microsoftonline.com".into()
        }
        "login.chinacloudapi.cn" | "sts.chinacloudapi.cn" => {
            "login.partner.microsoftonline.cn".into()
        }
        "login.usgovcloudapi.net" => "login.microsoftonline.us".into(),
        _ => host,
    }
}

/// The zone of Entra External ID. Each tenant has two hosts there, by its name and by its id: users
/// sign in at the former, and tokens name the latter
/// (`https://<id>.ciamlogin.com/<id>/v2.0`).
const EXTERNAL: &str = ".ciamlogin.com";

pub(crate) fn is_external(host: &str) -> bool {
    let name = host.len().checked_sub(EXTERNAL.len()).and_then(|name| host.split_at_checked(name));
    name.is_some_and(|(name, zone)| !name.is_empty() && zone.eq_ignore_ascii_case(EXTERNAL))
}

/// As [`preferred_environment`], for a host of this tenant: at External ID it is the host that has
/// the tenant's id, in place of either. (MSAL libraries write the one that the app was configured
/// with, so that one user has two environments.)
pub(crate) fn preferred_host(host: &str, tenant: &str) -> String {
    if is_external(host) && crate::model::id::is_guid(tenant) {
        return format!("{}{EXTERNAL}", tenant.to_ascii_lowercase());
    }
    preferred_environment(host)
}

/// The tenant of all personal accounts.
#[cfg(any(feature = "msal", feature = "openidconnect"))]
pub(crate) const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// Whether a host serves a B2C directory. (A directory with a domain of its own cannot be told by
/// its name.)
#[cfg(feature = "msal")]
pub(crate) fn is_b2c(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host.ends_with(".b2clogin.com") || host.ends_with(".b2clogin.cn")
}

/// Whether a host is Microsoft's: there tenants are GUIDs, home account ids end in one, and the
/// host itself is no tenant.
#[cfg(feature = "msal")]
pub(crate) fn is_microsofts(host: &str) -> bool {
    let host = preferred_environment(host);
    let clouds = [
        "login.microsoftonline.com",
        "login.partner.microsoftonline.cn",
        "login.microsoftonline.us",
        "login-us.microsoftonline.com",
        "login.microsoftonline.de",
    ];
    clouds.contains(&host.as_str()) || host.ends_with(".ciamlogin.com") || is_b2c(&host)
}

/// The session of a `sid` in an ID token of any issuer: the issuer's or, at Entra, the cloud's.
/// Entra's front-channel sign-out names no tenant, and each version of its endpoint is an issuer of
/// its own.
#[cfg(feature = "msal")]
pub(crate) fn session(
    iss: &str,
    sid: &str,
) -> crate::model::error::Result<crate::model::id::SessionId> {
    crate::model::id::SessionId::new(address_of(iss).as_deref().unwrap_or(iss), sid)
}

/// The cloud, as `https://<host>`, if the issuer is of Entra's form: a tenant by its GUID, and
/// nothing else.
#[cfg(any(feature = "msal", feature = "logout"))]
pub(crate) fn address_of(iss: &str) -> Option<String> {
    entra(iss).map(|(host, tenant)| format!("https://{}", preferred_host(host, tenant)))
}

/// The tenant's GUID, if the issuer is of Entra's form.
#[cfg(feature = "msal")]
pub(crate) fn tenant_of_issuer(iss: &str) -> Option<&str> {
    entra(iss).map(|(_, tenant)| tenant)
}

/// Host and tenant of an issuer of Entra's form.
#[cfg(any(feature = "msal", feature = "logout"))]
fn entra(iss: &str) -> Option<(&str, &str)> {
    let rest = iss.strip_prefix("https://")?;
    let (host, path) = rest.split_at_checked(rest.find('/')?)?;
    let tenant =
        tenant_in(path).filter(|tenant| crate::model::id::is_guid(tenant) && !host.is_empty())?;
    Some((host, tenant))
}

/// The tenant's place in the path of an issuer: `/<tenant>`, `/<tenant>/v2.0` and
/// `/tfp/<tenant>/<flow>/v2.0`.
#[cfg(any(feature = "msal", feature = "openidconnect"))]
pub(crate) fn tenant_in(path: &str) -> Option<&str> {
    let path = path.strip_prefix('/')?;
    let path: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    match path.as_slice() {
        [tenant] | [tenant, "v2.0"] | ["tfp", tenant, _, "v2.0"] => Some(tenant),
        _ => None,
    }
}

#[cfg(all(test, feature = "msal"))]
mod tests {
    use super::*;
    use crate::model::id::SessionId;

    #[test]
    fn microsofts_servers_are_known_by_any_name() {
        for host in [
            "login.microsoftonline.com",
            "LOGIN.windows.net",
            "sts.chinacloudapi.cn",
            "login.usgovcloudapi.net",
            "contoso.ciamlogin.com",
            "contoso.b2clogin.com",
        ] {
            assert!(is_microsofts(host), "{host}");
        }
        for host in [
            "login.example.com",
            "fs.contoso.com",
            "b2clogin.com.example.com",
            "login.microsoftonline.com.example.com",
        ] {
            assert!(!is_microsofts(host) && !is_b2c(host), "{host}");
        }
        assert!(is_b2c("Contoso.B2CLogin.com") && !is_b2c("contoso.ciamlogin.com"));
    }

    #[test]
    fn an_issuer_of_entras_form_names_its_tenant() {
        let tenant = "aaaaaaaa-0000-4000-8000-00000000000a";
        let iss = format!("https://contoso.b2clogin.com/tfp/{tenant}/b2c_1_susi/v2.0/");
        assert_eq!(tenant_of_issuer(&iss), Some(tenant));
        assert_eq!(tenant_of_issuer("https://login.microsoftonline.com/organizations/v2.0"), None);
        assert_eq!(tenant_of_issuer("https://sso.example.com/realms/contoso"), None);
    }

    #[test]
    fn sessions_of_entra_are_the_clouds_and_others_the_issuers() {
        let tenant = "AAAAAAAA-0000-4000-8000-00000000000a";
        for (iss, issuer) in [
            (
                format!("https://login.microsoftonline.com/{tenant}/v2.0"),
                "https://login.microsoftonline.com",
            ),
            (
                format!("https://LOGIN.windows.net/{tenant}/v2.0"),
                "https://login.microsoftonline.com",
            ),
            (format!("https://sts.windows.net/{tenant}/"), "https://login.microsoftonline.com"),
            (
                format!("https://sts.chinacloudapi.cn/{tenant}/"),
                "https://login.partner.microsoftonline.cn",
            ),
            (
                format!("https://contoso.b2clogin.com/tfp/{tenant}/b2c_1_susi/v2.0/"),
                "https://contoso.b2clogin.com",
            ),
            // An external tenant, by its id and by its name.
            (
                format!("https://{tenant}.ciamlogin.com/{tenant}/v2.0"),
                "https://aaaaaaaa-0000-4000-8000-00000000000a.ciamlogin.com",
            ),
            (
                format!("https://Contoso.ciamlogin.com/{tenant}/v2.0"),
                "https://aaaaaaaa-0000-4000-8000-00000000000a.ciamlogin.com",
            ),
        ] {
            assert_eq!(
                session(&iss, "sid").unwrap(),
                SessionId::new(issuer, "sid").unwrap(),
                "{iss}"
            );
        }
        for iss in [
            "https://login.microsoftonline.com",
            "https://login.microsoftonline.com/common/v2.0",
            "https://sso.example.com/realms/contoso",
            "http://sts.windows.net/aaaaaaaa-0000-4000-8000-00000000000a/",
            "https:///aaaaaaaa-0000-4000-8000-00000000000a/",
            "accounts.google.com",
        ] {
            assert_eq!(session(iss, "sid").unwrap(), SessionId::new(iss, "sid").unwrap(), "{iss}");
        }
    }
}
