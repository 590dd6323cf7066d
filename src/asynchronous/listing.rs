//! Which accounts are live, for async code.

use super::{AsyncSignIn, AsyncTokenStore, Threads};
use crate::api::listing::{Account, Accounts, Page};
use crate::model::error::Result;
use crate::model::id::{AccountId, Alias, SessionId, Subject, TenantId};

/// As [`Accounts`], with handles for async code.
#[derive(Debug)]
#[non_exhaustive]
pub struct AsyncAccounts {
    /// The accounts of this page.
    pub accounts: Vec<AsyncAccount>,
    /// The next page, if there are more accounts.
    pub next: Option<Page>,
    /// How many accounts were passed over because their rows do not open. The sweep removes them.
    pub tampered: usize,
}

/// As [`Account`], with handles for async code.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AsyncAccount {
    /// Its id.
    pub id: AccountId,
    /// Its live sign-ins, newest first. Never empty.
    pub sign_ins: Vec<AsyncSignIn>,
}

impl AsyncTokenStore {
    /// As [`TokenStore::accounts`](crate::TokenStore::accounts).
    ///
    /// # Errors
    /// As [`TokenStore::accounts`](crate::TokenStore::accounts).
    pub async fn accounts(&self, page: Page) -> Result<AsyncAccounts> {
        self.run(move |store| store.accounts(page)).await.map(|page| self.page(page))
    }

    /// As [`TokenStore::accounts_in`](crate::TokenStore::accounts_in).
    ///
    /// # Errors
    /// As [`TokenStore::accounts_in`](crate::TokenStore::accounts_in).
    pub async fn accounts_in(&self, tenant: &TenantId, page: Page) -> Result<AsyncAccounts> {
        let tenant = tenant.clone();
        self.run(move |store| store.accounts_in(&tenant, page)).await.map(|page| self.page(page))
    }

    /// As [`TokenStore::accounts_of_session`](crate::TokenStore::accounts_of_session).
    ///
    /// # Errors
    /// As [`TokenStore::accounts_of_session`](crate::TokenStore::accounts_of_session).
    pub async fn accounts_of_session(&self, session: &SessionId) -> Result<Vec<AsyncAccount>> {
        let session = session.clone();
        let found = self.run(move |store| store.accounts_of_session(&session)).await?;
        Ok(all_with(found, self.threads()))
    }

    /// As [`TokenStore::accounts_of_subject`](crate::TokenStore::accounts_of_subject).
    ///
    /// # Errors
    /// As [`TokenStore::accounts_of_subject`](crate::TokenStore::accounts_of_subject).
    pub async fn accounts_of_subject(&self, subject: &Subject) -> Result<Vec<AsyncAccount>> {
        let subject = subject.clone();
        let found = self.run(move |store| store.accounts_of_subject(&subject)).await?;
        Ok(all_with(found, self.threads()))
    }

    /// As [`TokenStore::accounts_of_alias`](crate::TokenStore::accounts_of_alias).
    ///
    /// # Errors
    /// As [`TokenStore::accounts_of_alias`](crate::TokenStore::accounts_of_alias).
    pub async fn accounts_of_alias(&self, alias: &Alias) -> Result<Vec<AsyncAccount>> {
        let alias = alias.clone();
        let found = self.run(move |store| store.accounts_of_alias(&alias)).await?;
        Ok(all_with(found, self.threads()))
    }

    fn page(&self, page: Accounts) -> AsyncAccounts {
        let Accounts { accounts, next, tampered } = page;
        AsyncAccounts { accounts: all_with(accounts, self.threads()), next, tampered }
    }
}

fn all_with(accounts: Vec<Account>, threads: &Threads) -> Vec<AsyncAccount> {
    let with = |Account { id, sign_ins }| AsyncAccount {
        id,
        sign_ins: sign_ins.into_iter().map(|live| AsyncSignIn::with(live, threads)).collect(),
    };
    accounts.into_iter().map(with).collect()
}
