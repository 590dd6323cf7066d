//! The names by which a provider calls itself and its users after the login: in logout tokens and
//! requests, and in its discovery document.

use openidconnect::url::Url;

use super::Provider;
use super::entra::{Authority, tenant_of};
use super::provider::Kind;
use crate::model::error::Result;
use crate::model::id::{AccountId, SessionId, Subject};

/// The placeholder for a tenant's id in Entra's documents.
pub(super) const TENANT: &str = "{tenantid}";
/// The id of no tenant, with which a template can be filled.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

impl Provider {
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether this `iss` is one of the provider's names. At Entra it names a tenant, which must be
    /// one that is accepted, and the same as `tid`, if that is given.
    pub(crate) fn takes_issuer(&self, iss: &str, tid: Option<&str>) -> bool {
        let first = self.first_name(iss);
        match &self.kind {
            Kind::Entra(authority) => {
                let tenant =
                    Url::parse(&first).ok().and_then(|iss| authority.tenant_of_issuer(&iss));
                tenant.is_some_and(|tenant| tid.is_none_or(|tid| tid.eq_ignore_ascii_case(&tenant)))
            }
            _ => first == self.issuer,
        }
    }

    /// Whether the provider's tokens must have a `tid`. They must if several tenants of a cloud are
    /// accepted.
    pub(crate) fn needs_tenant(&self) -> bool {
        matches!(&self.kind, Kind::Entra(authority) if authority.only_tenant().is_none())
    }

    /// The sessions that a `sid` may stand for, in a token or a request of this provider. The first
    /// is the one that [`sign_in`](Self::sign_in) gives. Those under other names of the provider
    /// follow, for sign-ins that were made before the name was set. At Entra those of sign-ins that
    /// an app made itself from `iss` and `sid` come too.
    ///
    /// `iss` may be missing only on a route of this provider alone.
    pub(crate) fn sessions(&self, iss: Option<&str>, sid: &str) -> Result<Vec<SessionId>> {
        let issuers: Vec<String> = match &self.kind {
            Kind::Entra(authority) => {
                let by_hand = issuers_of(authority, iss).flat_map(|iss| self.names(&iss));
                authority
                    .clouds()
                    .chain(iss.map(|iss| self.first_name(iss).into_owned()))
                    .chain(by_hand)
                    .collect()
            }
            _ => self.names(iss.unwrap_or(&self.issuer)),
        };
        let mut sessions = Vec::new();
        for issuer in issuers {
            let session = SessionId::new(issuer, sid)?;
            if !sessions.contains(&session) {
                sessions.push(session);
            }
        }
        Ok(sessions)
    }

    /// The subjects that a `sub` may stand for, in a token of this issuer. The first is the one
    /// that [`sign_in`](Self::sign_in) gives.
    pub(crate) fn subjects(&self, iss: &str, sub: &str) -> Result<Vec<Subject>> {
        self.names(iss).into_iter().map(|iss| Subject::new(iss, sub)).collect()
    }

    /// The account, if issuer and subject determine it. They do everywhere except at Entra.
    pub(crate) fn account_of(&self, subject: &Subject) -> Result<Option<AccountId>> {
        match &self.kind {
            Kind::Entra(_) => Ok(None),
            // A user of an org is one account, whichever of its servers issued the token.
            Kind::Okta { org } => {
                // If the subject is under another name of the org, its sign-ins were filed under
                // that name.
                let other = Url::parse(subject.issuer())
                    .ok()
                    .filter(|_| self.others.iter().any(|other| other == subject.issuer()));
                let org = other.as_ref().and_then(Url::host_str).unwrap_or(org);
                AccountId::new(org, subject.sub()).map(Some)
            }
            Kind::Generic | Kind::Keycloak { .. } | Kind::Auth0 { .. } | Kind::Google { .. } => {
                Ok(Some(AccountId::of_subject(subject.clone())))
            }
        }
    }

    /// The address of the discovery document (OpenID Connect Discovery 1.0 §4).
    pub(crate) fn discovery_url(&self) -> String {
        format!(
            "{}/.well-known/openid-configuration",
            self.issuer.strip_suffix('/').unwrap_or(&self.issuer)
        )
    }

    /// Whether a discovery document of this `issuer` is the provider's (OpenID Connect Discovery
    /// 1.0 §4.3). In documents for several tenants Entra writes a template.
    pub(crate) fn takes_discovered_issuer(&self, issuer: &str) -> bool {
        match &self.kind {
            Kind::Entra(authority) if issuer.contains(TENANT) => {
                let tenant = authority.only_tenant().unwrap_or(NOBODY);
                let filled = Url::parse(&self.first_name(&issuer.replace(TENANT, tenant))).ok();
                filled.is_some_and(|url| authority.is_at(&url) && tenant_of(&url) == Some(tenant))
            }
            _ => self.takes_issuer(issuer, None),
        }
    }
}

/// The issuers of both versions of the endpoint, for the tenant that `iss` names, or for the only
/// tenant that is accepted.
fn issuers_of(authority: &Authority, iss: Option<&str>) -> impl Iterator<Item = String> {
    let named = iss
        .and_then(|iss| Url::parse(iss).ok())
        .and_then(|iss| authority.tenant_of_issuer(&authority.first_name(&iss)));
    let tenant = named.or_else(|| authority.only_tenant().map(Into::into));
    tenant.into_iter().flat_map(|tenant| {
        let older = match authority.host() {
            "login.microsoftonline.com" | "login.microsoftonline.us" => Some("sts.windows.net"),
            "login.partner.microsoftonline.cn" => Some("sts.chinacloudapi.cn"),
            _ => None,
        };
        let newer = format!("{}/{tenant}/v2.0", authority.cloud());
        older.map(|host| format!("https://{host}/{tenant}/")).into_iter().chain([newer])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "aaaaaaaa-0000-4000-8000-00000000000a";
    const OTHER: &str = "bbbbbbbb-0000-4000-8000-00000000000b";

    fn entra(tenant: &str) -> Provider {
        Provider::entra(&format!("https://login.microsoftonline.com/{tenant}/v2.0")).unwrap()
    }

    fn v2(tenant: &str) -> String {
        format!("https://login.microsoftonline.com/{tenant}/v2.0")
    }

    fn v1(tenant: &str) -> String {
        format!("https://sts.windows.net/{tenant}/")
    }

    fn session(issuer: &str) -> SessionId {
        SessionId::new(issuer, "s").unwrap()
    }

    #[test]
    fn an_issuer_is_taken_letter_by_letter() {
        let provider = Provider::generic("https://login.example.com").unwrap();
        assert!(provider.takes_issuer("https://login.example.com", Some("whatever")));
        for iss in [
            "https://login.example.com/",
            "https://LOGIN.example.com",
            "https://login.example.com:443",
            "",
            "login.example.com",
        ] {
            assert!(!provider.takes_issuer(iss, None), "{iss}");
        }
    }

    #[test]
    fn entras_issuer_and_tid_say_the_same_tenant_and_it_is_ours() {
        for provider in [entra("common"), entra("organizations"), entra(GUID)] {
            for iss in [v2(GUID), v1(GUID)] {
                assert!(
                    provider.takes_issuer(&iss, None)
                        && provider.takes_issuer(&iss, Some(&GUID.to_uppercase()))
                );
                assert!(
                    !provider.takes_issuer(&iss, Some(OTHER))
                        && !provider.takes_issuer(&iss, Some(""))
                );
            }
            for iss in [
                "https://login.microsoftonline.com/{tenantid}/v2.0",
                "https://login.microsoftonline.com/common/v2.0",
                "x",
                "",
            ] {
                assert!(!provider.takes_issuer(iss, None), "{iss}");
            }
            assert!(!provider.takes_issuer(
                &format!("https://login.microsoftonline.us/{GUID}/v2.0"),
                Some(GUID)
            ));
        }
        assert!(!entra(GUID).takes_issuer(&v2(OTHER), Some(OTHER)));
        assert!(entra("common").needs_tenant() && !entra(GUID).needs_tenant());
    }

    #[test]
    fn entras_sessions_are_the_clouds_and_those_that_were_made_by_hand() {
        let cloud = session("https://login.microsoftonline.com");
        let (older, newer) = (session(&v1(GUID)), session(&v2(GUID)));
        let common = entra("common");
        assert_eq!(common.sessions(None, "s").unwrap(), std::slice::from_ref(&cloud));
        assert_eq!(
            common.sessions(Some(&v1(GUID)), "s").unwrap(),
            [cloud.clone(), older.clone(), newer.clone()]
        );
        assert_eq!(
            common.sessions(Some(&v2(GUID)), "s").unwrap(),
            [cloud.clone(), newer.clone(), older.clone()]
        );
        assert_eq!(entra(GUID).sessions(None, "s").unwrap(), [cloud.clone(), older, newer]);
        for iss in [v1(GUID), v2(GUID), v2(&OTHER.to_uppercase())] {
            assert_eq!(common.session(&iss, "s").unwrap(), cloud);
        }
        let b2c =
            Provider::entra(&format!("https://contoso.b2clogin.com/tfp/{GUID}/b2c_1_susi/v2.0/"))
                .unwrap();
        let by_hand = format!("https://contoso.b2clogin.com/{GUID}/v2.0");
        assert_eq!(
            b2c.sessions(None, "s").unwrap(),
            [session("https://contoso.b2clogin.com"), session(&by_hand)]
        );
    }

    #[test]
    fn sessions_of_other_providers_are_the_issuers() {
        let provider = Provider::generic("https://login.example.com").unwrap();
        assert_eq!(provider.sessions(None, "s").unwrap(), [session("https://login.example.com")]);
        assert_eq!(
            provider.sessions(Some("https://login.example.com"), "s").unwrap(),
            [session("https://login.example.com")]
        );
        assert!(
            provider.sessions(None, "").is_err() && entra("common").sessions(None, "\n").is_err()
        );
    }

    #[test]
    fn discovery_documents() {
        let provider = Provider::auth0("https://contoso.eu.auth0.com/").unwrap();
        assert_eq!(
            provider.discovery_url(),
            "https://contoso.eu.auth0.com/.well-known/openid-configuration"
        );
        assert!(provider.takes_discovered_issuer("https://contoso.eu.auth0.com/"));
        assert!(!provider.takes_discovered_issuer("https://contoso.eu.auth0.com"));
        let common = entra("common");
        assert_eq!(
            common.discovery_url(),
            "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration"
        );
        for issuer in [v2("{tenantid}"), v1("{tenantid}"), v2(GUID)] {
            assert!(common.takes_discovered_issuer(&issuer), "{issuer}");
        }
        for issuer in [
            "https://login.microsoftonline.us/{tenantid}/v2.0",
            "http://login.microsoftonline.com/{tenantid}/v2.0",
            "https://evil.example/{tenantid}/v2.0",
            "https://{tenantid}.evil.example/v2.0",
            "https://login.microsoftonline.com/x/{tenantid}/v2.0",
            "https://login.microsoftonline.com/common/v2.0",
        ] {
            assert!(!common.takes_discovered_issuer(issuer), "{issuer}");
        }
        assert!(!entra(GUID).takes_discovered_issuer(&v2(OTHER)));
        assert!(
            !Provider::generic("https://login.example.com/{tenantid}")
                .unwrap()
                .takes_discovered_issuer("https://login.example.com/x")
        );
    }

    const BY_NAME: &str = "https://contoso.ciamlogin.com/aaaaaaaa-0000-4000-8000-00000000000a/v2.0";
    const BY_ID: &str = "https://aaaaaaaa-0000-4000-8000-00000000000a.ciamlogin.com/aaaaaaaa-0000-4000-8000-00000000000a/v2.0";

    #[test]
    fn an_external_tenant_is_one_provider_by_both_of_its_hosts() {
        let (by_name, by_id) = (Provider::entra(BY_NAME).unwrap(), Provider::entra(BY_ID).unwrap());
        assert!(by_name.is(&by_id) && by_id.is(&by_name));
        assert_eq!(by_name.discovery_url(), format!("{BY_NAME}/.well-known/openid-configuration"));
        let cloud = session("https://aaaaaaaa-0000-4000-8000-00000000000a.ciamlogin.com");
        for provider in [&by_name, &by_id] {
            assert!(
                provider.takes_issuer(BY_ID, Some(GUID))
                    && !provider.takes_issuer(BY_ID, Some(OTHER))
            );
            assert_eq!(provider.session(BY_ID, "s").unwrap(), cloud);
            assert_eq!(provider.sessions(None, "s").unwrap()[0], cloud);
            for issuer in [BY_ID, "https://{tenantid}.ciamlogin.com/{tenantid}/v2.0"] {
                assert!(provider.takes_discovered_issuer(issuer), "{issuer}");
            }
            for issuer in [
                BY_ID.replace(GUID, OTHER).as_str(),
                &BY_ID.replacen(GUID, OTHER, 1),
                &format!("https://{GUID}.ciamlogin.com/{OTHER}/v2.0"),
                &format!("https://fabrikam.ciamlogin.com/{GUID}/v2.0"),
                &BY_ID.replace("https", "http"),
                &BY_ID.replace("ciamlogin.com", "ciamlogin.com.example"),
                &v2(GUID),
            ] {
                assert!(
                    !provider.takes_issuer(issuer, None)
                        && !provider.takes_discovered_issuer(issuer),
                    "{issuer}"
                );
            }
        }
        // Only the provider that was given the name knows it.
        assert!(by_name.takes_issuer(BY_NAME, None) && !by_id.takes_issuer(BY_NAME, None));
        assert_eq!(by_name.session(BY_NAME, "s").unwrap(), cloud);
        // A custom domain is one more name.
        let custom = format!("https://login.contoso.example/{GUID}/v2.0");
        assert!(by_id.also_known_as(&custom).unwrap().takes_issuer(&custom, Some(GUID)));
    }

    #[test]
    fn pages_come_from_the_host_that_users_see() {
        assert_eq!(
            Provider::keycloak("https://SSO.example.com:8443/realms/a").unwrap().origins(),
            ["https://sso.example.com:8443"]
        );
        assert_eq!(
            Provider::generic("http://127.0.0.1:9000").unwrap().origins(),
            ["http://127.0.0.1:9000"]
        );
        assert_eq!(
            Provider::entra(&v1(GUID)).unwrap().origins(),
            ["https://login.microsoftonline.com"]
        );
        let names = Provider::generic("https://a.example/x")
            .unwrap()
            .also_known_as("https://b.example:8443/")
            .unwrap();
        assert_eq!(
            names.also_known_as("https://a.example/y").unwrap().origins(),
            ["https://a.example", "https://b.example:8443"]
        );
    }

    #[test]
    fn the_account_of_a_subject_is_the_one_of_its_sign_in() {
        let told = |provider: &Provider| {
            let json = serde_json::json!({"iss": provider.issuer(), "sub": "u", "aud": "a", "exp": 2e9, "iat": 1e9});
            let claims: crate::openid::ProviderIdTokenClaims =
                serde_json::from_value(json).unwrap();
            provider.sign_in(&claims).unwrap().account().clone()
        };
        for provider in [
            Provider::generic("https://login.example.com").unwrap(),
            Provider::keycloak("https://sso.example.com/realms/a").unwrap(),
            Provider::okta("https://contoso.okta.com/oauth2/default").unwrap(),
            Provider::auth0("https://contoso.eu.auth0.com/").unwrap(),
            Provider::google().unwrap(),
        ] {
            let subject = Subject::new(provider.issuer(), "u").unwrap();
            assert_eq!(
                provider.account_of(&subject).unwrap(),
                Some(told(&provider)),
                "{provider:?}"
            );
        }
        // Under another name, the account is the one that was filed under that name.
        let okta = Provider::okta("https://contoso.okta.com")
            .unwrap()
            .also_known_as("https://id.contoso.example")
            .unwrap();
        let subjects = okta.subjects("https://id.contoso.example", "u").unwrap();
        let accounts: Vec<_> =
            subjects.iter().map(|subject| okta.account_of(subject).unwrap().unwrap()).collect();
        let expected =
            ["contoso.okta.com", "id.contoso.example"].map(|org| AccountId::new(org, "u").unwrap());
        assert_eq!(accounts, expected);
        let subject = Subject::new(v2(GUID), "u").unwrap();
        assert_eq!(entra(GUID).account_of(&subject).unwrap(), None);
    }
}
