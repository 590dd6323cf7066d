//! The store for async code.

use super::{AsyncSignIn, Threads};
use crate::api::token_store::TokenStore;
use crate::api::web_sessions::WebBinding;
use crate::model::error::Result;
use crate::model::id::AccountId;
use crate::model::query::AccessQuery;
use crate::model::secret::Secret;
use crate::model::sign_in::{AsOf, PutOutcome, SignIn};
use crate::model::sign_out::{LastSignOut, Receipt, SignOut, SignOutScope};
use crate::model::token::{AccessToken, Tokens};
use crate::observe::{self, Read};
use crate::store::access::attempt;

/// A [`TokenStore`] for async code, on tokio. Clones share it; so do the [`TokenStore`] and the
/// [`LiveSignIn`](crate::LiveSignIn)s that it was made from.
///
/// # When a future is dropped
/// A verb begins when its future is first polled. From then on it goes on to its end, even if the
/// future is dropped: a sign-out that has begun is durable soon after, and no verb is done by half.
/// A future that was never polled has done nothing.
///
/// If the runtime is shut down meanwhile, the shutdown waits for a verb that runs. With
/// `Runtime::shutdown_timeout` and `shutdown_background` the verb goes on alone, and a process that
/// ends then is like one that is killed: the verb is done or not done, never by half. A verb that
/// was still waiting for a thread, or comes later, is done or not done at all; if it is not done,
/// its future ends with [`Error::Io`](crate::Error::Io) when it is polled.
///
/// # How long a call may block the thread that polls it
/// - `access_token`, `refresh_token`, `id_token`, `is_live`, `account` and `resume` read on the
///   thread that polls, in some microseconds. They read on another thread while the engine is being
///   replaced, the account is locked, or a long batch is being applied. They can wait for a short
///   batch (up to 16 rows) of another thread, and they read the disk for rows that are not in the
///   [cache](crate::Builder::cache_bytes). They never wait for a sync.
/// - Everything else runs on tokio's threads for blocking work, one for each call until it is done.
///
/// `docs/benchmarks.md` has measured figures. If the rows are many times the cache and the disk is
/// slow, read through [`blocking`](Self::blocking) on a blocking thread.
///
/// # Dropping it
/// Dropping the last handle closes the store, as with [`TokenStore`]; if that happens on a
/// runtime's thread, the store closes soon after, on another thread. To know that closing
/// succeeded, and before opening the store again, call [`close`](Self::close).
///
/// # Panics
/// Calls that need another thread panic when they are polled outside of a tokio runtime, unless
/// this was made inside of one.
///
/// # Examples
/// ```
/// # use oubliette::*;
/// # async fn example() -> Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path().join("tokens");
/// let store = TokenStore::builder(folder).key(KeySource::bytes([7; 32])).open_async().await?;
/// let account = AccountId::new("login.example.com", "uid.utid")?;
/// let live = store.sign_in(SignIn::new(account.clone(), TenantId::new("contoso")?)).await?;
/// store.sign_out(SignOut::account(&account)).await?; // durable when it returns
/// assert!(!live.is_live().await?);
/// store.close().await
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct AsyncTokenStore {
    store: TokenStore,
    threads: Threads,
}

impl AsyncTokenStore {
    /// Wraps this store.
    #[must_use]
    pub fn new(store: TokenStore) -> Self {
        store.owner().close_off_runtime();
        Self { store, threads: Threads::current() }
    }

    /// The store whose verbs block.
    #[must_use]
    pub fn blocking(&self) -> &TokenStore {
        &self.store
    }

    /// As [`TokenStore::sign_in`].
    ///
    /// # Errors
    /// As [`TokenStore::sign_in`].
    pub async fn sign_in(&self, sign_in: SignIn) -> Result<AsyncSignIn> {
        let live = self.run(move |store| store.sign_in(sign_in)).await?;
        Ok(AsyncSignIn::with(live, &self.threads))
    }

    /// As [`TokenStore::as_of`].
    ///
    /// # Errors
    /// As [`TokenStore::as_of`].
    pub async fn as_of(&self) -> Result<AsOf> {
        // The first call of a process writes to the ledger.
        self.run(TokenStore::as_of).await
    }

    /// As [`TokenStore::sign_in_with`].
    ///
    /// # Errors
    /// As [`TokenStore::sign_in_with`].
    pub async fn sign_in_with(
        &self,
        sign_in: SignIn,
        tokens: impl Into<Tokens>,
    ) -> Result<(AsyncSignIn, PutOutcome)> {
        let tokens = tokens.into();
        let (live, stored) = self.run(move |store| store.sign_in_with(sign_in, tokens)).await?;
        Ok((AsyncSignIn::with(live, &self.threads), stored))
    }

    /// As [`TokenStore::sign_out`].
    ///
    /// # Errors
    /// As [`TokenStore::sign_out`].
    pub async fn sign_out(&self, sign_out: SignOut) -> Result<Receipt> {
        self.run(move |store| store.sign_out(sign_out)).await
    }

    /// As [`TokenStore::last_sign_out`].
    ///
    /// # Errors
    /// As [`TokenStore::last_sign_out`].
    pub async fn last_sign_out(&self, scope: &SignOutScope) -> Result<LastSignOut> {
        let scope = scope.clone();
        // Not a point read: it waits for a record that is being synced.
        self.run(move |store| store.last_sign_out(&scope)).await
    }

    /// As [`TokenStore::account`].
    ///
    /// # Errors
    /// As [`TokenStore::account`].
    pub async fn account(&self, account: &AccountId) -> Result<Vec<AsyncSignIn>> {
        let found = match self.attempt("account", |open| self.store.account_in(open, account)) {
            Some(result) => result,
            None => {
                let account = account.clone();
                self.run(move |store| store.account(&account)).await
            }
        };
        Ok(found?.into_iter().map(|live| AsyncSignIn::with(live, &self.threads)).collect())
    }

    /// As [`TokenStore::resume`].
    ///
    /// # Errors
    /// As [`TokenStore::resume`].
    pub async fn resume(&self, account: &AccountId, id: [u8; 16]) -> Result<Option<AsyncSignIn>> {
        let found = match self.attempt("resume", |open| self.store.resume_in(open, account, id)) {
            Some(result) => result,
            None => {
                let account = account.clone();
                self.run(move |store| store.resume(&account, id)).await
            }
        };
        Ok(found?.map(|live| AsyncSignIn::with(live, &self.threads)))
    }

    /// As [`TokenStore::resume_ticket`].
    ///
    /// # Errors
    /// As [`TokenStore::resume_ticket`].
    pub async fn resume_ticket(&self, ticket: &str) -> Result<Option<AsyncSignIn>> {
        let read =
            |open: &crate::store::access::Open<'_>| self.store.resume_ticket_in(open, ticket);
        let found = match self.attempt("resume_ticket", read) {
            Some(result) => result,
            None => {
                let ticket = Secret::from(ticket);
                self.run(move |store| store.resume_ticket(ticket.expose())).await
            }
        };
        Ok(found?.map(|live| AsyncSignIn::with(live, &self.threads)))
    }

    /// As [`TokenStore::resume_bound`].
    ///
    /// # Errors
    /// As [`TokenStore::resume_bound`].
    pub async fn resume_bound(&self, binding: &WebBinding) -> Result<Option<AsyncSignIn>> {
        let read =
            |open: &crate::store::access::Open<'_>| self.store.resume_bound_in(open, binding);
        let found = match self.attempt("resume", read) {
            Some(result) => result,
            None => {
                let binding = *binding;
                self.run(move |store| store.resume_bound(&binding)).await
            }
        };
        Ok(found?.map(|live| AsyncSignIn::with(live, &self.threads)))
    }

    /// As [`TokenStore::access_token`].
    ///
    /// # Errors
    /// As [`TokenStore::access_token`].
    pub async fn access_token(
        &self,
        account: &AccountId,
        id: [u8; 16],
        wanted: &AccessQuery,
    ) -> Result<Option<AccessToken>> {
        let core = self.store.core();
        let read = || attempt(core, |open| self.store.access_token_in(open, account, id, wanted));
        if let Some(result) = observe::try_read(Read::Access, read) {
            return result;
        }
        let (account, wanted) = (account.clone(), wanted.clone());
        self.run(move |store| store.access_token(&account, id, &wanted)).await
    }

    /// As [`TokenStore::close`].
    ///
    /// # Errors
    /// As [`TokenStore::close`].
    pub async fn close(self) -> Result<()> {
        let Self { store, threads } = self;
        threads.run(move || store.close()).await
    }

    #[cfg(feature = "logout")]
    pub(crate) async fn outlook(
        &self,
        sign_out: SignOut,
    ) -> Result<crate::store::sign_out::Outlook> {
        self.run(move |store| store.outlook(&sign_out)).await
    }

    #[cfg(feature = "logout")]
    pub(crate) async fn is_on_record(&self, scope: SignOutScope) -> Result<bool> {
        self.run(move |store| store.is_on_record(&scope)).await
    }

    pub(super) fn threads(&self) -> &Threads {
        &self.threads
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&TokenStore) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.store.clone();
        self.threads.run(move || work(&store)).await
    }

    fn attempt<T>(
        &self,
        verb: &'static str,
        read: impl FnOnce(&crate::store::access::Open<'_>) -> Result<T>,
    ) -> Option<Result<T>> {
        observe::try_verb(verb, || attempt(self.store.core(), read))
    }
}

impl From<TokenStore> for AsyncTokenStore {
    fn from(store: TokenStore) -> Self {
        Self::new(store)
    }
}

impl AsRef<TokenStore> for AsyncTokenStore {
    fn as_ref(&self) -> &TokenStore {
        &self.store
    }
}
