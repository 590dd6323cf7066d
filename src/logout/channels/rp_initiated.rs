//! OpenID Connect RP-Initiated Logout 1.0: the user signs out in this app, and is then sent to the
//! provider to sign out there.

use base64ct::{Base64UrlUnpadded, Encoding};

use super::end_session::{EndSession, Ended};
use super::end_session_url::{Parameters, end_session_url};
use super::front_channel::digest;
use crate::asynchronous::AsyncSignIn;
use crate::crypto::fresh;
use crate::logout::issuer::Issuer;
use crate::logout::receiver::Receiver;
use crate::logout::receiver::signed_out::{BoxError, SignOutError, Signal, SignedOut};
use crate::model::id::{AccountId, ClientId};
use crate::model::sign_out::{Receipt, SessionPolicy, SignOut, SignOutScope};
use crate::model::token::IdToken;

impl Receiver {
    /// Signs the user out at their own request: first in this app, durably. The result says where
    /// to send them to sign out at the provider.
    ///
    /// By default the user's account ends, in all browsers. While the user is at the provider, it
    /// reports the same sign-out: then nothing is left to do, and no sign-in made since is harmed.
    ///
    /// The order matters: the provider may be down, the user may decline there, its notifications
    /// may not come. If the user closes the page, the sign-out goes on to its end. Revoke refresh
    /// tokens (RFC 7009) only after the user was sent there, if at all: some providers forget the
    /// session with the token, and then notify no other app.
    ///
    /// A request that signs out must come from a page of the app itself: compare `Origin`, or use
    /// an anti-forgery token.
    ///
    /// # Errors
    /// [`SignOutError`]: the user may still be signed in. Then do not send them on.
    pub async fn sign_out(
        &self,
        live: &AsyncSignIn,
        request: EndSession,
    ) -> Result<Ended, SignOutError> {
        let (receiver, live) = (self.clone(), live.clone());
        let ended = self.detached(async move { receiver.end_session(&live, request).await });
        ended.await.unwrap_or(Err(SignOutError::Interrupted))
    }

    async fn end_session(
        &self,
        live: &AsyncSignIn,
        request: EndSession,
    ) -> Result<Ended, SignOutError> {
        let issuer = self.issuer_of(live);
        let clients = match &request.client {
            Some(client) => std::slice::from_ref(client),
            None => issuer.map(Issuer::clients).unwrap_or_default(),
        };
        // Read before the sign-out, which removes it.
        let hint = id_token(live, clients).await;
        let (receipt, hook) = self.end_here(live, issuer, &request).await?;

        let state = Base64UrlUnpadded::encode_string(&fresh::<16>()?);
        let endpoint = match issuer {
            Some(issuer) => match issuer.end_session_url() {
                Some(url) => Some(url.clone()),
                None => issuer.cache().end_session_endpoint().await,
            },
            None => None,
        };
        let token = hint.as_ref().map(|(_, token)| token.secret.expose());
        let client = hint.as_ref().map(|(client, _)| *client).or(request.client.as_ref());
        let parameters = Parameters {
            id_token_hint: token.filter(|token| token.len() <= request.longest_hint),
            client_id: client.map(ClientId::as_str),
            or_client_id: clients.first().map(ClientId::as_str),
            logout_hint: request.logout_hint.as_deref(),
            post_logout_redirect_uri: request.back_to.as_deref(),
            // The provider gives the state back only with a redirect.
            state: request.back_to.as_ref().map(|_| state.as_str()),
            ui_locales: request.ui_locales.as_deref(),
        };
        let url =
            endpoint.map(|endpoint| end_session_url(&endpoint, &parameters, request.longest_query));
        Ok(Ended { receipt, url, state, hook })
    }

    /// Signs the user out in the store and runs the hook. Returns the hook's error, if it failed.
    async fn end_here(
        &self,
        live: &AsyncSignIn,
        issuer: Option<&Issuer>,
        request: &EndSession,
    ) -> Result<(Receipt, Option<BoxError>), SignOutError> {
        let (sign_out, accounts) = scopes_of(live, issuer, request.only_this_session);
        let sign_out =
            if request.takes_refresh_tokens { sign_out.taking_refresh_tokens() } else { sign_out };
        let result = self.store.sign_out(sign_out).await;
        // The hook runs even if the store failed: the app's own sessions have to end.
        let signed_out =
            SignedOut::by(Signal::RpInitiated, live.session().cloned(), live.subject().cloned());
        let hook = self
            .run_hook(SignedOut { accounts, receipt: result.as_ref().ok().cloned(), ..signed_out })
            .await
            .err();
        let receipt = result?;

        // The provider is about to report the end of this session on the front channel.
        if let Some(session) = live.session().filter(|_| hook.is_none()) {
            let names = issuer.and_then(|issuer| {
                issuer.provider().sessions(Some(session.issuer()), session.sid()).ok()
            });
            self.remember(digest(
                names.as_ref().and_then(|names| names.first()).unwrap_or(session),
            ));
        }
        Ok((receipt, hook))
    }

    /// The issuer that signed the user in.
    fn issuer_of(&self, live: &AsyncSignIn) -> Option<&Issuer> {
        let subject = live.subject().map(|subject| subject.issuer());
        let iss = subject.or(live.session().map(|session| session.issuer()));
        match iss {
            Some(iss) => {
                self.issuers.iter().find(|issuer| issuer.provider().takes_issuer(iss, None))
            }
            None => {
                let mut all = self.issuers.iter();
                all.next().filter(|_| all.next().is_none())
            }
        }
    }
}

/// The user's ID token for one of these clients. A token that cannot be read must not prevent the
/// sign-out.
async fn id_token<'a>(
    live: &AsyncSignIn,
    clients: &'a [ClientId],
) -> Option<(&'a ClientId, IdToken)> {
    for client in clients {
        if let Some(token) = live.id_token(client).await.ok().flatten() {
            return Some((client, token));
        }
    }
    None
}

/// What a sign-out from here ends, under each name of the provider, and the accounts that end
/// entirely.
fn scopes_of(
    live: &AsyncSignIn,
    issuer: Option<&Issuer>,
    only_this_session: bool,
) -> (SignOut, Vec<AccountId>) {
    let provider = issuer.map(Issuer::provider).filter(|provider| provider.has_other_names());
    if let Some(session) = live.session().filter(|_| only_this_session) {
        let names = provider
            .and_then(|provider| provider.sessions(Some(session.issuer()), session.sid()).ok());
        let others = names
            .unwrap_or_default()
            .into_iter()
            .filter(|other| other != session)
            .map(SignOutScope::Session);
        return (
            others.fold(SignOut::session(session), SignOut::and).policy(SessionPolicy::OnlySession),
            Vec::new(),
        );
    }
    let mut accounts = vec![live.account().clone()];
    if let Some((provider, subject)) = provider.zip(live.subject()) {
        let subjects = provider.subjects(subject.issuer(), subject.sub()).unwrap_or_default();
        let others =
            subjects.iter().filter_map(|subject| provider.account_of(subject).ok().flatten());
        accounts.extend(others.filter(|other| other != live.account()));
    }
    let others = accounts.iter().skip(1).cloned().map(SignOutScope::Account);
    (others.fold(SignOut::account(live.account()), SignOut::and), accounts)
}
