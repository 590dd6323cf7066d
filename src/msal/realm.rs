//! Finds the tenant that the realm of an entry means.
//!
//! Libraries write as the realm what stood in the address of the token endpoint. A GUID is the
//! tenant itself. Everything else is a name for a tenant, which a sign-out by the tenant does not
//! know:
//!
//! - `organizations`, `common` and `consumers` mean the home tenant of the user who signs in. The
//!   home account id and the ID token tell which tenant that is.
//! - `adfs` is written for every AD FS server. It has no tenants, so the server's name stands for
//!   the tenant.
//! - A domain, such as `contoso.onmicrosoft.com`, is the tenant that ID tokens of that realm name
//!   as their issuer. A B2C directory is the home tenant of all its users, so there the home
//!   account id tells it too.
//!
//! If the file does not tell the tenant, or tells two, the entry has none: see [`Names::of_user`].

use std::collections::{BTreeSet, HashMap};

use super::entry::{Realm, User};
use crate::model::entra_cloud::{self, preferred_environment};
use crate::model::id::{AccountId, TenantId, is_guid};

/// Which tenants the names in a file mean.
#[derive(Default)]
pub(super) struct Names(HashMap<(Scope, String), BTreeSet<TenantId>>);

/// The scope in which a name means one tenant.
#[derive(PartialEq, Eq, Hash)]
enum Scope {
    /// For a domain: one cloud.
    Cloud(String),
    /// For a name that means the home tenant of the user who signs in: one user.
    User(AccountId),
}

impl Names {
    /// Learns from an entry of a user which tenant its realm means: the one that issued it, if the
    /// entry is an ID token; and the home tenant, if it is of a B2C directory.
    pub(super) fn learn(&mut self, user: &User, realm: &Realm, issued_by: Option<&TenantId>) {
        let Realm::Name(name) = realm else { return };
        let home = home(&user.account).filter(|_| user.is_b2c && !is_alias(name));
        let scope = || {
            if is_alias(name) {
                Scope::User(user.account.clone())
            } else {
                Scope::Cloud(cloud_of(&user.environment))
            }
        };
        for tenant in issued_by.cloned().into_iter().chain(home) {
            self.0.entry((scope(), name.clone())).or_default().insert(tenant);
        }
    }

    /// The tenant that a name means for this user, if all sources agree.
    pub(super) fn of_user(&self, account: &AccountId, name: &str) -> Option<TenantId> {
        let authority = account.authority()?;
        if is_alias(name) {
            let told = self.0.get(&(Scope::User(account.clone()), name.to_owned()));
            let personal =
                (name == "consumers").then(|| TenantId::new(entra_cloud::PERSONAL).ok()).flatten();
            return only(told.into_iter().flatten().cloned().chain(half(account)).chain(personal));
        }
        // On a server whose tenants are not GUIDs, home account ids and realms name them alike.
        let own = half(account).filter(|half| half.as_str() == name);
        own.or_else(|| self.of_server(authority, name))
    }

    /// As [`Names::of_user`], for an entry without a user.
    pub(super) fn of_server(&self, environment: &str, name: &str) -> Option<TenantId> {
        match name {
            "adfs" if !entra_cloud::is_microsofts(environment) => {
                TenantId::new(cloud_of(environment)).ok()
            }
            "consumers" => TenantId::new(entra_cloud::PERSONAL).ok(),
            _ => only(
                self.0
                    .get(&(Scope::Cloud(cloud_of(environment)), name.to_owned()))
                    .into_iter()
                    .flatten()
                    .cloned(),
            ),
        }
    }
}

/// The home tenant, if the account alone tells it.
pub(super) fn home(account: &AccountId) -> Option<TenantId> {
    let is_microsofts = account.authority().is_some_and(entra_cloud::is_microsofts);
    half(account).filter(|half| is_guid(half.as_str()) || is_microsofts)
}

/// The second half of the home account id, in lower case. (At AD FS the id is the server's own name
/// for its user.)
pub(super) fn half(account: &AccountId) -> Option<TenantId> {
    let (_, half) = account.home_account_id()?.rsplit_once('.')?;
    let half = half.to_ascii_lowercase();
    TenantId::new(half).ok().filter(|half| !is_alias(half.as_str()) && half.as_str() != "adfs")
}

fn is_alias(name: &str) -> bool {
    matches!(name, "organizations" | "common" | "consumers")
}

fn cloud_of(environment: &str) -> String {
    preferred_environment(environment)
}

/// The tenant, if all that are told are the same one.
fn only(told: impl Iterator<Item = TenantId>) -> Option<TenantId> {
    let told: BTreeSet<TenantId> = told.collect();
    if told.len() == 1 { told.into_iter().next() } else { None }
}
