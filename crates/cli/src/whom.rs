//! The flags that say whom a sign-out or a question is about.

use clap::{ArgAction, Args};
use oubliette_control::Whom as Name;

use crate::failure::Failure;

/// The flags that name a scope, except the scope of everybody. Most have two values, because both
/// are part of the identity.
#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct Whom {
    /// An account: its authority and its id there, as `accounts` lists them. For most providers
    /// these are the issuer and the sub; Entra ID, Okta and MSAL's caches have ids of their own
    #[arg(long, num_args = 2, value_names = ["AUTHORITY", "ID"], action = ArgAction::Set, allow_hyphen_values = true)]
    account: Option<Vec<String>>,

    /// An account as MSAL knows it: environment and home account id, in any of their spellings
    #[arg(long, num_args = 2, value_names = ["ENVIRONMENT", "ID"], action = ArgAction::Set, allow_hyphen_values = true)]
    msal_account: Option<Vec<String>>,

    /// Another spelling of --account, for an issuer and a sub
    #[arg(long, num_args = 2, value_names = ["ISSUER", "SUB"], action = ArgAction::Set, allow_hyphen_values = true)]
    oidc_account: Option<Vec<String>>,

    /// The app's own account in a tenant, for tokens of the client-credentials grant
    #[arg(long, num_args = 2, value_names = ["TENANT", "CLIENT"], action = ArgAction::Set, allow_hyphen_values = true)]
    app_account: Option<Vec<String>>,

    /// A session at the provider: issuer and sid (at Entra ID the cloud,
    /// https://login.microsoftonline.com, and sid)
    #[arg(long, num_args = 2, value_names = ["ISSUER", "SID"], action = ArgAction::Set, allow_hyphen_values = true)]
    session: Option<Vec<String>>,

    /// A subject at the provider: issuer and sub
    #[arg(long, num_args = 2, value_names = ["ISSUER", "SUB"], action = ArgAction::Set, allow_hyphen_values = true)]
    subject: Option<Vec<String>>,

    /// A tenant
    #[arg(long, allow_hyphen_values = true)]
    tenant: Option<String>,
}

/// A name that was checked before it is sent anywhere; else the error names the flag.
pub(crate) fn checked(flag: &str, name: Name) -> Result<Name, Failure> {
    let valid = name.scope().map(drop).and_then(|()| name.alias().map(drop));
    valid.map(|()| name).map_err(|error| Failure::from(error).of_flag(flag))
}

impl Whom {
    /// Every flag that names a scope.
    pub(crate) const FLAGS: [&str; 7] =
        ["account", "msal_account", "oidc_account", "app_account", "session", "subject", "tenant"];

    /// The flags that cannot be given together with a session.
    pub(crate) const NO_SESSION: [&str; 6] =
        ["account", "msal_account", "oidc_account", "app_account", "subject", "tenant"];

    /// The names that the flags give.
    pub(crate) fn names(&self) -> Result<Vec<Name>, Failure> {
        type Make = fn(String, String) -> Name;
        let pairs: [(&str, &Option<Vec<String>>, Make); 6] = [
            ("--account", &self.account, |authority, id| Name::Account { authority, id }),
            ("--msal-account", &self.msal_account, |environment, id| Name::MsalAccount {
                environment,
                id,
            }),
            ("--oidc-account", &self.oidc_account, |issuer, sub| Name::OidcAccount { issuer, sub }),
            ("--app-account", &self.app_account, |tenant, client| Name::AppAccount {
                tenant,
                client,
            }),
            ("--session", &self.session, |issuer, sid| Name::Session { issuer, sid }),
            ("--subject", &self.subject, |issuer, sub| Name::Subject { issuer, sub }),
        ];
        let mut names = Vec::new();
        for (flag, given, make) in pairs {
            if let Some([first, second]) = given.as_deref() {
                names.push(checked(flag, make(first.clone(), second.clone()))?);
            }
        }
        if let Some(tenant) = &self.tenant {
            names.push(checked("--tenant", Name::Tenant { tenant: tenant.clone() })?);
        }
        Ok(names)
    }
}
