//! The flags that say whom a sign-out or a question is about.

use clap::{ArgAction, Args};
use oubliette::{AccountId, ClientId, SessionId, SignOutScope, Subject, TenantId};

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

impl Whom {
    /// Every flag that names a scope.
    pub(crate) const FLAGS: [&str; 7] =
        ["account", "msal_account", "oidc_account", "app_account", "session", "subject", "tenant"];

    /// The flags that cannot be given together with a session.
    pub(crate) const NO_SESSION: [&str; 6] =
        ["account", "msal_account", "oidc_account", "app_account", "subject", "tenant"];

    /// The scopes that the flags name.
    pub(crate) fn scopes(&self) -> Result<Vec<SignOutScope>, Failure> {
        type Make = fn(&str, &str) -> oubliette::Result<SignOutScope>;
        let pairs: [(&Option<Vec<String>>, Make); 6] = [
            (&self.account, |authority, id| {
                AccountId::new(authority, id).map(SignOutScope::Account)
            }),
            (&self.msal_account, |environment, id| {
                AccountId::msal(environment, id).map(SignOutScope::Account)
            }),
            (&self.oidc_account, |issuer, sub| {
                Ok(SignOutScope::Account(AccountId::of_subject(Subject::new(issuer, sub)?)))
            }),
            (&self.app_account, |tenant, client| {
                Ok(SignOutScope::Account(AccountId::app(
                    TenantId::new(tenant)?,
                    ClientId::new(client)?,
                )))
            }),
            (&self.session, |issuer, sid| SessionId::new(issuer, sid).map(SignOutScope::Session)),
            (&self.subject, |issuer, sub| Subject::new(issuer, sub).map(SignOutScope::Subject)),
        ];
        let mut scopes = Vec::new();
        for (given, make) in pairs {
            if let Some([first, second]) = given.as_deref() {
                scopes.push(make(first, second)?);
            }
        }
        if let Some(tenant) = &self.tenant {
            scopes.push(SignOutScope::Tenant(TenantId::new(tenant)?));
        }
        Ok(scopes)
    }
}
