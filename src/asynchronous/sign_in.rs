//! The live handle for async code.

use std::time::SystemTime;

use super::Threads;
use crate::model::error::Result;
use crate::model::held::HeldToken;
use crate::model::id::{AccountId, Alias, ClientId, SessionId, Subject, TenantId};
use crate::model::query::{AccessQuery, IdQuery, RefreshQuery};
use crate::model::sign_in::PutOutcome;
use crate::model::ticket::Ticket;
use crate::model::token::{AccessToken, IdToken, RefreshToken, Tokens};
use crate::observe::{self, Read};
use crate::store::access::attempt;
use crate::store::handle::LiveSignIn;

/// A [`LiveSignIn`] for async code. Clones are the same sign-in.
///
/// See [`AsyncTokenStore`](crate::AsyncTokenStore) for what happens when a future is dropped, and
/// for how long a call may keep a thread.
///
/// ```
/// # use std::time::{Duration, SystemTime};
/// # use oubliette::*;
/// # async fn example() -> Result<()> {
/// let store = AsyncTokenStore::new(TokenStore::in_memory()?);
/// let account = AccountId::new("login.example.com", "user-1")?;
/// let live = store.sign_in(SignIn::new(account, TenantId::new("contoso")?)).await?;
/// let (client, hour) = (ClientId::new("web")?, SystemTime::now() + Duration::from_secs(3600));
/// live.put(AccessToken::new(client.clone(), Scopes::parse("mail.read")?, "at-1", hour)).await?;
/// assert!(live.access_token(&AccessQuery::new(client)).await?.is_some());
/// # store.close().await }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone)]
pub struct AsyncSignIn {
    live: LiveSignIn,
    threads: Threads,
}

impl AsyncSignIn {
    /// As [`LiveSignIn::put`].
    ///
    /// # Errors
    /// As [`LiveSignIn::put`].
    pub async fn put(&self, tokens: impl Into<Tokens>) -> Result<PutOutcome> {
        let (live, tokens) = (self.live.clone(), tokens.into());
        self.threads.run(move || live.put(tokens)).await
    }

    /// As [`LiveSignIn::is_live`].
    ///
    /// # Errors
    /// As [`LiveSignIn::is_live`].
    pub async fn is_live(&self) -> Result<bool> {
        if let Some(result) =
            attempt(self.live.core(), |open| Ok(self.live.live_header(open)?.is_some()))
        {
            return result;
        }
        let live = self.live.clone();
        self.threads.run(move || live.is_live()).await
    }

    /// As [`LiveSignIn::access_token`].
    ///
    /// # Errors
    /// As [`LiveSignIn::access_token`].
    pub async fn access_token(&self, wanted: &AccessQuery) -> Result<Option<AccessToken>> {
        if let Some(result) = self.live.try_access_token(wanted) {
            return result;
        }
        let (live, wanted) = (self.live.clone(), wanted.clone());
        self.threads.run(move || live.access_token(&wanted)).await
    }

    /// As [`LiveSignIn::refresh_token`].
    ///
    /// # Errors
    /// As [`LiveSignIn::refresh_token`].
    pub async fn refresh_token(
        &self,
        wanted: impl Into<RefreshQuery>,
    ) -> Result<Option<RefreshToken>> {
        let wanted = wanted.into();
        let read = || attempt(self.live.core(), |open| self.live.refresh_token_in(open, &wanted));
        if let Some(result) = observe::try_read(Read::Refresh, read) {
            return result;
        }
        let live = self.live.clone();
        self.threads.run(move || live.refresh_token(wanted)).await
    }

    /// As [`LiveSignIn::id_token`].
    ///
    /// # Errors
    /// As [`LiveSignIn::id_token`].
    pub async fn id_token(&self, wanted: impl Into<IdQuery>) -> Result<Option<IdToken>> {
        let wanted = wanted.into();
        let read = || attempt(self.live.core(), |open| self.live.id_token_in(open, &wanted));
        if let Some(result) = observe::try_read(Read::Id, read) {
            return result;
        }
        let live = self.live.clone();
        self.threads.run(move || live.id_token(wanted)).await
    }

    /// As [`LiveSignIn::tokens`].
    ///
    /// # Errors
    /// As [`LiveSignIn::tokens`].
    pub async fn tokens(&self) -> Result<Vec<HeldToken>> {
        let live = self.live.clone();
        self.threads.run(move || live.tokens()).await
    }

    /// As [`LiveSignIn::remove_client`].
    ///
    /// # Errors
    /// As [`LiveSignIn::remove_client`].
    pub async fn remove_client(&self, client: &ClientId) -> Result<usize> {
        let (live, client) = (self.live.clone(), client.clone());
        self.threads.run(move || live.remove_client(&client)).await
    }

    /// As [`LiveSignIn::ticket`].
    ///
    /// # Errors
    /// As [`LiveSignIn::ticket`].
    pub async fn ticket(&self) -> Result<Ticket> {
        if let Some(result) = attempt(self.live.core(), |open| self.live.ticket_in(open)) {
            return result;
        }
        let live = self.live.clone();
        self.threads.run(move || live.ticket()).await
    }

    /// The handle whose verbs block.
    #[must_use]
    pub fn blocking(&self) -> &LiveSignIn {
        &self.live
    }

    /// As [`LiveSignIn::id`].
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        self.live.id()
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        self.live.account()
    }

    /// The tenant that the user signed in to.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        self.live.tenant()
    }

    /// The provider's session, if the sign-in named it.
    #[must_use]
    pub fn session(&self) -> Option<&SessionId> {
        self.live.session()
    }

    /// The provider's name of the user, if the sign-in named it.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        self.live.subject()
    }

    /// The other names of the user that the sign-in named.
    #[must_use]
    pub fn aliases(&self) -> &[Alias] {
        self.live.aliases()
    }

    /// What the app calls it, if it was given a [label](crate::SignIn::label).
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.live.label()
    }

    /// When it ends of itself, by its age.
    #[must_use]
    pub fn ends_at(&self) -> SystemTime {
        self.live.ends_at()
    }

    /// When the user signed in, to the millisecond.
    #[must_use]
    pub fn signed_in_at(&self) -> SystemTime {
        self.live.signed_in_at()
    }

    pub(super) fn with(live: LiveSignIn, threads: &Threads) -> Self {
        live.close_off_runtime();
        Self { live, threads: threads.clone() }
    }
}

impl From<LiveSignIn> for AsyncSignIn {
    /// Blocking work runs on the threads of the runtime that a verb is called in; if there is none,
    /// on those of the runtime that this is called in.
    fn from(live: LiveSignIn) -> Self {
        Self::with(live, &Threads::current())
    }
}

impl AsRef<LiveSignIn> for AsyncSignIn {
    fn as_ref(&self) -> &LiveSignIn {
        &self.live
    }
}

impl PartialEq for AsyncSignIn {
    /// Whether both are the same sign-in.
    fn eq(&self, other: &Self) -> bool {
        self.live == other.live
    }
}

impl Eq for AsyncSignIn {}

impl std::fmt::Debug for AsyncSignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AsyncSignIn(..)")
    }
}
