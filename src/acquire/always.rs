//! An acquirer that knows how to refresh: what an async app has one of.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::{AccessRequest, AcquireError, Acquirer, Grant, RefreshError};
use crate::api::token_store::TokenStore;
use crate::model::id::TenantId;
use crate::model::token::{AccessToken, Tokens};
use crate::platform::sync::Arc;
use crate::store::handle::LiveSignIn;

/// An [`Acquirer`] with the way to refresh, for async apps: made once, and asked at each API call.
/// Clones share it.
///
/// [`Acquirer::with_client`] makes one of a client of the `oauth2` or `openidconnect` crate, and
/// [`Acquirer::refreshing`] of any other.
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
#[derive(Clone)]
#[must_use]
pub struct AsyncAcquirer {
    acquirer: Acquirer,
    refresh: Arc<Refresh>,
}

type Refresh = dyn Fn(Grant) -> Pin<Box<dyn Future<Output = Result<Tokens, RefreshError>> + Send>>
    + Send
    + Sync;

#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
impl Acquirer {
    /// Refreshes with this closure, whatever token is wanted.
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// use oubliette::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = AsyncTokenStore::new(TokenStore::in_memory()?);
    /// # let user = SignIn::new(AccountId::new("login.example.com", "uid")?, TenantId::new("contoso")?);
    /// # let client = ClientId::new("web")?;
    /// # let (live, _) = store.sign_in_with(user, RefreshToken::new(client.clone(), "rt-1")).await?;
    /// let acquirer = Acquirer::new().refreshing(|grant| async move {
    ///     // POST grant_type=refresh_token; what the provider refuses is no `failed`
    ///     Ok(grant.access_token(None, "at-2", Duration::from_secs(3600)).into())
    /// });
    /// let wanted = AccessQuery::new(client).scopes(Scopes::parse("mail.read")?);
    /// assert_eq!(acquirer.acquire(&live, &wanted).await?.secret.expose(), "at-2");
    /// # Ok(()) }
    /// ```
    pub fn refreshing<F>(
        self,
        refresh: impl Fn(Grant) -> F + Send + Sync + 'static,
    ) -> AsyncAcquirer
    where
        F: Future<Output = Result<Tokens, RefreshError>> + Send + 'static,
    {
        let refresh = Arc::new(move |grant| Box::pin(refresh(grant)) as Pin<Box<_>>);
        AsyncAcquirer { acquirer: self, refresh }
    }
}

impl AsyncAcquirer {
    /// A valid access token: see [`Acquirer::acquire_async`].
    ///
    /// # Errors
    /// As [`Acquirer::acquire_async`].
    pub fn acquire<L, Q>(
        &self,
        live: L,
        request: Q,
    ) -> impl Future<Output = Result<AccessToken, AcquireError>> + Send + 'static + use<L, Q>
    where
        L: AsRef<LiveSignIn>,
        Q: Into<AccessRequest>,
    {
        let refresh = self.refresh.clone();
        self.acquirer.acquire_async(live, request, move |grant| refresh(grant))
    }

    /// A valid access token of the app itself: see [`Acquirer::acquire_for_app_async`].
    ///
    /// # Errors
    /// As [`Acquirer::acquire_for_app_async`].
    pub fn acquire_for_app<S, Q>(
        &self,
        store: S,
        tenant: &TenantId,
        request: Q,
    ) -> impl Future<Output = Result<AccessToken, AcquireError>> + Send + 'static + use<S, Q>
    where
        S: AsRef<TokenStore>,
        Q: Into<AccessRequest>,
    {
        let refresh = self.refresh.clone();
        self.acquirer.acquire_for_app_async(store, tenant, request, move |grant| refresh(grant))
    }
}

impl fmt::Debug for AsyncAcquirer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncAcquirer").field("acquirer", &self.acquirer).finish_non_exhaustive()
    }
}
