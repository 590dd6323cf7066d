//! Which accounts are live: page by page, and by the other names of their sign-ins.

use crate::api::internal::beside_writers;
use crate::api::token_store::TokenStore;
use crate::model::error::{Error, Result};
use crate::model::id::{AccountId, Alias, SessionId, Subject, TenantId};
use crate::model::tag::{AccountTag, TenantTag};
use crate::observe;
use crate::rows::row_key::{self, IndexEntry};
use crate::store::access::Open;
use crate::store::census::next_account;
use crate::store::handle::LiveSignIn;
use crate::store::resume;

/// A part of a long list.
#[derive(Clone)]
#[must_use]
pub struct Page {
    after: Option<Vec<u8>>,
    limit: usize,
}

impl Page {
    /// The first accounts, up to `limit` (at least one).
    pub fn first(limit: usize) -> Self {
        Self { after: None, limit: limit.max(1) }
    }
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Page({})", self.limit)
    }
}

/// Some live accounts, in unspecified order.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Accounts {
    /// The accounts of this page.
    pub accounts: Vec<Account>,
    /// The next page, if there are more accounts.
    pub next: Option<Page>,
    /// How many accounts were passed over because their rows do not open. The sweep removes them.
    pub tampered: usize,
}

/// A live account.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its live sign-ins, newest first. Never empty.
    pub sign_ins: Vec<LiveSignIn>,
}

impl TokenStore {
    /// The live accounts, page by page. Accounts that do not open are counted, not listed.
    ///
    /// # Errors
    /// [`Error::Poisoned`], [`Error::Closed`].
    pub fn accounts(&self, page: Page) -> Result<Accounts> {
        observe::verb("accounts", || self.page_of_accounts(page))
    }

    /// The live accounts with a sign-in in this tenant, or with tokens of it (guests), page by
    /// page.
    ///
    /// # Errors
    /// As [`TokenStore::accounts`].
    pub fn accounts_in(&self, tenant: &TenantId, page: Page) -> Result<Accounts> {
        observe::verb("accounts_in", || self.page_of_tenant(tenant, page))
    }

    /// The live accounts that this session of the provider is signed in to.
    ///
    /// # Errors
    /// As [`TokenStore::accounts`].
    pub fn accounts_of_session(&self, session: &SessionId) -> Result<Vec<Account>> {
        let entry = IndexEntry::Session(self.core().tagger.session(session));
        observe::verb("accounts_of_session", || {
            self.accounts_under(entry, |live| live.session() == Some(session))
        })
    }

    /// The live accounts with a sign-in of this subject.
    ///
    /// # Errors
    /// As [`TokenStore::accounts`].
    pub fn accounts_of_subject(&self, subject: &Subject) -> Result<Vec<Account>> {
        let entry = IndexEntry::Subject(self.core().tagger.subject(subject));
        observe::verb("accounts_of_subject", || {
            self.accounts_under(entry, |live| live.subject() == Some(subject))
        })
    }

    /// The live accounts with a sign-in of this alias.
    ///
    /// # Errors
    /// As [`TokenStore::accounts`].
    pub fn accounts_of_alias(&self, alias: &Alias) -> Result<Vec<Account>> {
        let entry = IndexEntry::Alias(self.core().tagger.alias(alias));
        observe::verb("accounts_of_alias", || {
            self.accounts_under(entry, |live| live.aliases().contains(alias))
        })
    }

    fn page_of_accounts(&self, page: Page) -> Result<Accounts> {
        let mut after = page.after.unwrap_or_else(row_key::all_accounts);
        let mut found = Accounts::default();
        while found.accounts.len() < page.limit {
            // Entered anew for each account: a caller that has to wait for all verbs does not wait
            // for a long page.
            let open = self.core().enter()?;
            let Some(account) = next_account(&open, after)? else { return Ok(found) };
            found.add(self.live_account(&open, &account))?;
            after = row_key::behind_account(&account);
        }
        found.next = Some(Page { after: Some(after), limit: page.limit });
        Ok(found)
    }

    fn page_of_tenant(&self, tenant: &TenantId, page: Page) -> Result<Accounts> {
        let tag = self.core().tagger.tenant(tenant);
        let prefix = IndexEntry::Tenant(tag).accounts();
        let mut after = page.after;
        let mut found = Accounts::default();
        while found.accounts.len() < page.limit {
            let open = self.core().enter()?;
            let rows = open.scan(&prefix, after.as_deref(), 1)?;
            let Some((key, _)) = rows.into_iter().next() else { return Ok(found) };
            if let Some(account) = row_key::indexed_account(&key) {
                found.add(self.live_account(&open, &account).and_then(
                    |account| match account {
                        Some(account) if has_tenant(&open, &account, &tag)? => Ok(Some(account)),
                        _ => Ok(None),
                    },
                ))?;
            }
            after = Some(key);
        }
        found.next = Some(Page { after, limit: page.limit });
        Ok(found)
    }

    fn accounts_under(
        &self,
        entry: IndexEntry,
        is_wanted: impl Fn(&LiveSignIn) -> bool,
    ) -> Result<Vec<Account>> {
        let open = self.core().enter()?;
        let mut found = Accounts::default();
        open.for_each_row(&entry.accounts(), |(key, _)| {
            if let Some(account) = row_key::indexed_account(&key) {
                found.add(self.live_account(&open, &account))?;
            }
            Ok(true)
        })?;
        found.accounts.retain(|account| account.sign_ins.iter().any(&is_wanted));
        Ok(found.accounts)
    }

    fn live_account(&self, open: &Open<'_>, account: &AccountTag) -> Result<Option<Account>> {
        let sign_ins = beside_writers(|| resume::live_sign_ins(&self.owner, open, account))?;
        Ok(sign_ins.first().map(|live| live.account().clone()).map(|id| Account { id, sign_ins }))
    }
}

impl Accounts {
    /// Adds an account, or counts one that does not open.
    fn add(&mut self, account: Result<Option<Account>>) -> Result<()> {
        match account {
            Ok(account) => self.accounts.extend(account),
            Err(Error::Tampered(_)) => self.tampered += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Whether a sign-in of the account is of this tenant, or has a token of it that is not dead.
fn has_tenant(open: &Open<'_>, account: &Account, tenant: &TenantTag) -> Result<bool> {
    for live in &account.sign_ins {
        let is_dead = || open.is_tenant_dead(live.life(), *tenant);
        let prefix = row_key::tokens_in(&live.life().account, live.id_bytes(), tenant);
        if live.life().tenant == *tenant
            || (!is_dead()? && !open.scan(&prefix, None, 1)?.is_empty())
        {
            return Ok(true);
        }
    }
    Ok(false)
}
