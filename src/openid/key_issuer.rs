//! Decides which issuers' tokens a key may sign, if its document names one, as Entra's documents
//! do.

use openidconnect::url::Url;

use super::entra::{PUBLIC, cloud, tenant_of};
use super::signals::TENANT;
use crate::model::entra_cloud::{address_of, is_external};

/// Whether a key whose document says `issuer` may sign a token of `iss`. `{tenantid}` stands for
/// the token's `tid`; without a `tid` no issuer matches.
///
/// Entra publishes the keys of a whole cloud, and each key names the issuer whose tokens it signs,
/// always as the newer endpoint does. A token of the older endpoint counts as one of the newer
/// endpoint for the same tenant. For other providers the member has no documented meaning, and is
/// ignored.
pub(crate) fn is_issued_by(issuer: &str, iss: &str, tid: Option<&str>) -> bool {
    if !issuer.contains(TENANT) && address_of(issuer).is_none() {
        return true;
    }
    let issuer = match (issuer.contains(TENANT), tid) {
        (true, Some(tid)) => issuer.replace(TENANT, tid),
        (true, None) => return false,
        (false, _) => issuer.into(),
    };
    // GUIDs may be written in upper or lower case.
    issuer.eq_ignore_ascii_case(iss)
        || of_older_endpoint(iss).is_some_and(|iss| iss.eq_ignore_ascii_case(&issuer))
        || is_of_external_tenant(&issuer, iss)
}

/// Whether the key of an external tenant's token names the same issuer at another host: at the host
/// with the tenant's name, or at that of the cloud, which publishes some of the same keys.
fn is_of_external_tenant(issuer: &str, iss: &str) -> bool {
    let (Ok(issuer), Ok(iss)) = (Url::parse(issuer), Url::parse(iss)) else { return false };
    let is_known =
        |url: &Url| url.host_str().is_some_and(|host| is_external(host) || host == PUBLIC);
    let is_one = tenant_of(&issuer)
        .zip(tenant_of(&iss))
        .is_some_and(|(one, other)| one.eq_ignore_ascii_case(other));
    is_one
        && is_known(&issuer)
        && iss.host_str().is_some_and(is_external)
        && issuer.scheme() == "https"
        && iss.scheme() == "https"
}

/// The issuer at the newer endpoint, for an issuer of Entra's older endpoint.
fn of_older_endpoint(iss: &str) -> Option<String> {
    let url = Url::parse(iss).ok()?;
    let is_older = matches!(url.host_str(), Some("sts.windows.net" | "sts.chinacloudapi.cn"));
    let (cloud, tenant) = (cloud(&url)?, tenant_of(&url)?);
    (is_older && url.scheme() == "https").then(|| format!("https://{cloud}/{tenant}/v2.0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "aaaaaaaa-0000-4000-8000-00000000000a";
    const OTHER: &str = "bbbbbbbb-0000-4000-8000-00000000000b";
    const BY_NAME: &str = "https://contoso.ciamlogin.com/aaaaaaaa-0000-4000-8000-00000000000a/v2.0";
    const BY_ID: &str = "https://aaaaaaaa-0000-4000-8000-00000000000a.ciamlogin.com/aaaaaaaa-0000-4000-8000-00000000000a/v2.0";

    fn v2(tenant: &str) -> String {
        format!("https://login.microsoftonline.com/{tenant}/v2.0")
    }

    fn v1(tenant: &str) -> String {
        format!("https://sts.windows.net/{tenant}/")
    }

    #[test]
    fn a_key_of_an_external_tenant_may_say_either_of_its_hosts() {
        for issuer in [
            BY_ID,
            BY_NAME,
            &v2(GUID),
            "https://{tenantid}.ciamlogin.com/{tenantid}/v2.0",
            &v2("{tenantid}"),
        ] {
            assert!(is_issued_by(issuer, BY_ID, Some(GUID)), "{issuer}");
        }
        for issuer in [
            &v2(OTHER),
            &BY_ID.replace(GUID, OTHER),
            &v2(GUID).replace(".com", ".us"),
            &format!("https://login.contoso.example/{GUID}/v2.0"),
        ] {
            assert!(!is_issued_by(issuer, BY_ID, Some(GUID)), "{issuer}");
        }
        // A key of one of these hosts signs no token of another cloud.
        assert!(!is_issued_by(BY_ID, &v2(GUID), Some(GUID)));
    }

    #[test]
    fn a_key_signs_for_whom_it_says() {
        let template = v2("{tenantid}");
        assert!(
            is_issued_by(&template, &v2(GUID), Some(GUID))
                && is_issued_by(&template, &v1(GUID), Some(GUID))
        );
        // A token without a tenant, of another tenant, and of another cloud.
        assert!(
            !is_issued_by(&template, &v2(GUID), None)
                && !is_issued_by(&template, &v2(GUID), Some(OTHER))
        );
        assert!(!is_issued_by(
            &template,
            &format!("https://login.microsoftonline.us/{GUID}/v2.0"),
            Some(GUID)
        ));
        assert!(
            is_issued_by(&v2(GUID), &v2(GUID), None) && is_issued_by(&v2(GUID), &v1(GUID), None)
        );
        assert!(
            !is_issued_by(&v2(OTHER), &v2(GUID), Some(GUID))
                && !is_issued_by(&v2(OTHER), &v1(GUID), Some(GUID))
        );
        // Only Entra's documents mean an issuer by this member.
        assert!(is_issued_by("CN=some CA", "https://login.example.com", None));
    }
}
