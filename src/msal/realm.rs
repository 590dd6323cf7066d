//! Which tenant the realm of an entry is.
//!
//! Libraries write there what stood in the address of the token endpoint. A GUID is the tenant.
//! Everything else is a name for one, which a sign-out by the tenant does not know:
//!
//! - `organizations`, `common` and `consumers` are whoever signs in: the home tenant, which the
//!   home account id and the ID token tell.
//! - `adfs` is written for every AD FS, which has no tenants: there the server's name stands for
//!   one.
//! - a domain, such as `contoso.onmicrosoft.com`, is the tenant that ID tokens of that realm say
//!   they were issued by. In a B2C directory everybody is at home, so that the home account id
//!   tells it too.
//!
//! What the file does not tell, or tells in two ways, is nobody's: see [`Names::tenant`].

use std::collections::{BTreeSet, HashMap};

use super::entry::{Realm, User};
use crate::model::entra_cloud::{self, preferred_environment};
use crate::model::id::{AccountId, TenantId, is_guid};

/// What the names in a file mean.
#[derive(Default)]
pub(super) struct Names(HashMap<(Scope, String), BTreeSet<TenantId>>);

/// Where a name means one tenant.
#[derive(PartialEq, Eq, Hash)]
enum Scope {
    /// A domain: in a cloud.
    Cloud(String),
    /// What means whoever signs in: for one user.
    User(AccountId),
}

impl Names {
    /// Takes in what an entry of a user tells: the tenant in its ID token, if it is one.
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

    /// The tenant that a name means for this user, if all that tells it says the same.
    pub(super) fn of_user(&self, account: &AccountId, name: &str) -> Option<TenantId> {
        let authority = account.authority()?;
        if is_alias(name) {
            let told = self.0.get(&(Scope::User(account.clone()), name.to_owned()));
            let personal =
                (name == "consumers").then(|| TenantId::new(entra_cloud::PERSONAL).ok()).flatten();
            return only(told.into_iter().flatten().cloned().chain(half(account)).chain(personal));
        }
        // Where a tenant is no GUID, as home account ids and realms of the same server show.
        let own = half(account).filter(|half| half.as_str() == name);
        own.or_else(|| self.of_server(authority, name))
    }

    /// As [`Names::of_user`], where there is no user.
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

/// The home tenant, where it can be told from the account alone.
pub(super) fn home(account: &AccountId) -> Option<TenantId> {
    let is_microsofts = account.authority().is_some_and(entra_cloud::is_microsofts);
    half(account).filter(|half| is_guid(half.as_str()) || is_microsofts)
}

/// The second half of the home account id, in lower case. (At AD FS the id is whatever the server
/// calls its user.)
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

/// The one tenant that is told, however often.
fn only(told: impl Iterator<Item = TenantId>) -> Option<TenantId> {
    let told: BTreeSet<TenantId> = told.collect();
    if told.len() == 1 { told.into_iter().next() } else { None }
}
