//! The app's own tokens: the client-credentials grant. The app is an account like another, and is
//! signed in when it needs to be.

use super::acquisition::Acquisition;
use super::request::{AccessRequest, Flow};
use super::{
    AcquireError, AcquireState, Acquirer, Grant, RefreshError, observed, pending, timed_out,
};
use crate::api::token_store::TokenStore;
use crate::model::id::{AccountId, TenantId};
use crate::model::sign_in::SignIn;
use crate::model::token::{AccessToken, Tokens};
use crate::platform::single_flight::{Role, TimedOut};
use crate::store::handle::LiveSignIn;
use std::time::Duration;

impl Acquirer {
    /// As [`acquire`](Self::acquire), for the app itself in a tenant (client credentials, RFC 6749
    /// §4.4): [`AccountId::app`] of the tenant and the request's client, which is signed in if it
    /// is not. The closure's grant has no refresh token.
    ///
    /// Signing out the tenant ends the app's sign-in too: a caller that waits meanwhile gets
    /// [`AcquireError::SignedOut`], and the next call signs the app in anew.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use oubliette::*;
    /// # let store = TokenStore::in_memory()?;
    /// let scopes = Scopes::parse("https://api.example.com/.default")?;
    /// let wanted = AccessQuery::new(ClientId::new("daemon")?).scopes(scopes);
    /// let tenant = TenantId::new("contoso")?;
    /// let token = Acquirer::new().acquire_for_app(&store, &tenant, wanted, |grant| {
    ///     // POST grant_type=client_credentials with the app's own secret or assertion
    ///     Ok(grant.access_token(None, "at-1", Duration::from_secs(3600)).into())
    /// })?;
    /// assert_eq!(token.secret.expose(), "at-1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub fn acquire_for_app<R>(
        &self,
        store: &TokenStore,
        tenant: &TenantId,
        request: impl Into<AccessRequest>,
        refresh: R,
    ) -> Result<AccessToken, AcquireError>
    where
        R: FnOnce(&Grant) -> Result<Tokens, RefreshError>,
    {
        let request = for_app(request.into());
        observed(
            self.app(store, tenant, &request).and_then(|live| {
                self.acquire_here(&Acquisition::new(self, &live, request), refresh)
            }),
        )
    }

    /// The app's live sign-in. If there is none, one of the callers that come at a time signs the
    /// app in.
    fn app(
        &self,
        store: &TokenStore,
        tenant: &TenantId,
        request: &AccessRequest,
    ) -> Result<LiveSignIn, AcquireError> {
        let account = AccountId::app(tenant.clone(), request.client().clone());
        loop {
            if let Some(live) = signed_in(store, &account)? {
                return Ok(live);
            }
            match AcquireState::of(store.core())
                .apps
                .join(store.core().tagger.account(&account), ())
            {
                Role::Leader(leader) => {
                    let live = sign_in(store, &account, tenant, self.0.give_up_after);
                    leader.complete(live.clone());
                    return live;
                }
                Role::Waiter(waiter) => match waiter.wait(self.0.give_up_after) {
                    Err(TimedOut) => return Err(timed_out()),
                    Ok(Some(live)) => return live,
                    Ok(None) => {}
                },
            }
        }
    }
}

pub(super) fn for_app(request: AccessRequest) -> AccessRequest {
    AccessRequest { flow: Flow::App, ..request }
}

pub(super) fn signed_in(
    store: &TokenStore,
    account: &AccountId,
) -> Result<Option<LiveSignIn>, AcquireError> {
    Ok(store.account(account)?.into_iter().next())
}

/// Signs the app in, unless another caller has, of this process or another.
pub(super) fn sign_in(
    store: &TokenStore,
    account: &AccountId,
    tenant: &TenantId,
    give_up_after: Duration,
) -> Result<LiveSignIn, AcquireError> {
    let (core, tagger) = (store.core(), &store.core().tagger);
    let lease = tagger.lease(&[b"app", tagger.account(account).as_bytes()]);
    let _lease = pending::wait_for(core, &lease, give_up_after)?;
    match signed_in(store, account)? {
        Some(live) => Ok(live),
        None => Ok(store.sign_in(SignIn::new(account.clone(), tenant.clone()))?),
    }
}
