//! OpenID Connect RP-Initiated Logout 1.0: the user signs out here, and is sent to do so at the
//! provider.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};

use crate::asynchronous::AsyncSignIn;
use crate::crypto::fresh;
use crate::logout::channels::end_session_url::{Said, address};
use crate::logout::channels::form;
use crate::logout::channels::front_channel::digest;
use crate::logout::issuer::Issuer;
use crate::logout::receiver::answer::Answer;
use crate::logout::receiver::{BoxError, Receiver, SignOutError, Signal, SignedOut};
use crate::model::id::{AccountId, ClientId};
use crate::model::sign_out::{Receipt, Scope, SessionPolicy, SignOut};
use crate::model::token::IdToken;

/// The longest ID token that goes into an address, and the longest query, in bytes, unless it is
/// said otherwise. IIS refuses longer queries (`maxQueryString`), with a page of its own and the
/// user still signed in.
const LONGEST_HINT: usize = 4096;
const LONGEST_QUERY: usize = 2048;
/// The cookie that has the `state` while the user is at the provider.
const COOKIE: &str = "__Host-signing-out";

/// How a user who signs out here is to sign out at the provider: what [`Receiver::sign_out`] needs
/// to know.
///
/// ```
/// use oubliette::logout::EndSession;
/// let request = EndSession::new().back_to("https://app.example.com/logout/done").ui_locales("de en");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct EndSession {
    back_to: Option<String>,
    client: Option<ClientId>,
    logout_hint: Option<String>,
    ui_locales: Option<String>,
    longest_hint: usize,
    longest_query: usize,
    only_this_session: bool,
    takes_refresh_tokens: bool,
}

impl Default for EndSession {
    fn default() -> Self {
        Self::new()
    }
}

impl EndSession {
    /// The user stays on the provider's page.
    pub fn new() -> Self {
        Self {
            back_to: None,
            client: None,
            logout_hint: None,
            ui_locales: None,
            longest_hint: LONGEST_HINT,
            longest_query: LONGEST_QUERY,
            only_this_session: false,
            takes_refresh_tokens: false,
        }
    }

    /// The provider sends the user back to this address (`post_logout_redirect_uri`): one that is
    /// registered with it, never one that a request says.
    pub fn back_to(mut self, url: impl Into<String>) -> Self {
        self.back_to = Some(url.into());
        self
    }

    /// As which client the app signed her in, if it has several ids at the provider.
    pub fn client(mut self, client: ClientId) -> Self {
        self.client = Some(client);
        self
    }

    /// Whom the provider is to sign out, in words of its own (`logout_hint`): at Entra the claim
    /// `login_hint`.
    pub fn logout_hint(mut self, hint: impl Into<String>) -> Self {
        self.logout_hint = Some(hint.into());
        self
    }

    /// The languages of the provider's page, best first, separated by spaces (`ui_locales`).
    pub fn ui_locales(mut self, locales: impl Into<String>) -> Self {
        self.ui_locales = Some(locales.into());
        self
    }

    /// The longest ID token that is put into the address (`id_token_hint`), in bytes: 4096, unless
    /// it is said otherwise; and only where it fits into the [query](Self::longest_query), which by
    /// default takes one of some 1800 bytes. Without a hint most providers ask the user whether
    /// they mean it.
    pub fn longest_hint(mut self, bytes: usize) -> Self {
        self.longest_hint = bytes;
        self
    }

    /// The longest query that the address may have, in bytes: 2048, unless it is said otherwise,
    /// which is what IIS takes. Servers refuse longer ones with an error page, some from 8 KiB on,
    /// and then the user is still signed in there. So a longer one is sent without the ID token; if
    /// that is not enough, without `ui_locales` and then `logout_hint`. `client_id`, the way back,
    /// and what the provider's own address has are always in it. If the provider is known to take
    /// more, say so here: its users are then asked less often.
    pub fn longest_query(mut self, bytes: usize) -> Self {
        self.longest_query = bytes;
        self
    }

    /// Gives the refresh tokens that end, in [`Ended::receipt`], so that the app can revoke them
    /// (RFC 7009) once the user has been sent to the provider.
    pub fn taking_refresh_tokens(mut self) -> Self {
        self.takes_refresh_tokens = true;
        self
    }

    /// Ends the sign-ins of this session at the provider alone, and not the account in all
    /// browsers. (If its session is not known, the account.)
    pub fn only_this_session(mut self) -> Self {
        self.only_this_session = true;
        self
    }
}

/// The user is signed out here, durably; what is left to do is to [send](Self::answer) her to the
/// provider.
///
/// `Debug` tells nothing: the address has the ID token in it.
#[must_use = "the user is still signed in at the provider"]
pub struct Ended {
    receipt: Receipt,
    url: Option<String>,
    state: String,
    hook: Option<BoxError>,
}

impl Ended {
    /// What was recorded.
    #[must_use]
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Where to send the user. `None` if her provider is not known, or where users sign out there:
    /// she is signed out *here only*, so tell her.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// The random text that the provider gives back with the user
    /// ([`is_expected_return`](Self::is_expected_return)).
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Why the app's [hook](Receiver::after_sign_out) failed, if it did. The tokens are gone all
    /// the same.
    #[must_use]
    pub fn hook_error(&self) -> Option<&BoxError> {
        self.hook.as_ref()
    }

    /// A redirect to the provider, with the state in a cookie; or, if there is no address there, to
    /// `else_to`, a page of the app.
    pub fn answer(&self, else_to: &str) -> Answer {
        match &self.url {
            Some(url) => {
                let cookie = format!(
                    "{COOKIE}={}; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax",
                    self.state
                );
                Answer::redirect(url, Some(cookie))
            }
            None => Answer::redirect(else_to, None),
        }
    }

    /// Whether a user who comes back with this query (after `?`) and these cookies (the header) was
    /// sent to the provider from here: if so, she has been there. If not, she may have deleted her
    /// cookies, or the provider sends no `state`, or somebody sent her a link: it proves nothing
    /// and does nothing, since she was signed out here before she went.
    #[must_use]
    pub fn is_expected_return(query: &str, cookies: &str) -> bool {
        let state = (query.len() <= form::MAX_QUERY)
            .then(|| form::parameter(query.as_bytes(), "state").ok().flatten())
            .flatten();
        let mut cookies = cookies.split(';').filter_map(|cookie| cookie.trim().split_once('='));
        let kept = cookies.find(|(name, _)| *name == COOKIE).map(|(_, value)| value);
        state.is_some_and(|state| !state.is_empty() && kept == Some(state.as_str()))
    }

    /// A redirect to a page of the app for who comes back: the state has done its service, and its
    /// cookie goes.
    pub fn returned(to: &str) -> Answer {
        Answer::redirect(
            to,
            Some(format!("{COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax")),
        )
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ended").field("is_here_only", &self.url.is_none()).finish_non_exhaustive()
    }
}

impl Receiver {
    /// Signs a user out who asks for it here: first here, durably, then says where to send her to
    /// sign out at the provider.
    ///
    /// By default her account ends, in all browsers. The provider will tell of the same sign-out,
    /// while she is there: to that there is nothing left to do, and it harms no sign-in made since.
    ///
    /// The order matters: the provider may be down, she may say no there, its notifications may not
    /// come. And if she closes the page, all goes on to its end. Revoke refresh tokens (RFC 7009)
    /// only after she was sent there, if at all: some providers forget the session with the token,
    /// and then tell no other app.
    ///
    /// A request that signs out must come from a page of the app itself: compare `Origin`, or use a
    /// token against forgery.
    ///
    /// # Errors
    /// [`SignOutError`]: she may not be signed out. Then do not send her on.
    pub async fn sign_out(
        &self,
        live: &AsyncSignIn,
        request: EndSession,
    ) -> Result<Ended, SignOutError> {
        let (receiver, live) = (self.clone(), live.clone());
        let ended = self.to_the_end(async move { receiver.end_session(&live, request).await });
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
        let hint = id_token(live, clients).await;
        let (sign_out, accounts) = whom(live, issuer, request.only_this_session);
        let sign_out =
            if request.takes_refresh_tokens { sign_out.taking_refresh_tokens() } else { sign_out };
        let result = self.store.sign_out(sign_out).await;
        let signed_out =
            SignedOut::by(Signal::RpInitiated, live.session().cloned(), live.subject().cloned());
        let hook = self
            .run_hook(SignedOut { accounts, receipt: result.as_ref().ok().cloned(), ..signed_out })
            .await
            .err();
        let receipt = result?;
        if let Some(session) = live.session().filter(|_| hook.is_none()) {
            let names = issuer.and_then(|issuer| {
                issuer.provider().sessions(Some(session.issuer()), session.sid()).ok()
            });
            self.remember(digest(
                names.as_ref().and_then(|names| names.first()).unwrap_or(session),
            ));
        }

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
        let said = Said {
            id_token_hint: token.filter(|token| token.len() <= request.longest_hint),
            client_id: client.map(ClientId::as_str),
            or_client_id: clients.first().map(ClientId::as_str),
            logout_hint: request.logout_hint.as_deref(),
            post_logout_redirect_uri: request.back_to.as_deref(),
            // It comes back with the user, to there.
            state: request.back_to.as_ref().map(|_| state.as_str()),
            ui_locales: request.ui_locales.as_deref(),
        };
        let url = endpoint.map(|endpoint| address(&endpoint, &said, request.longest_query));
        Ok(Ended { receipt, url, state, hook })
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

/// The ID token that the user got as one of these clients. What cannot be read must not keep
/// anybody signed in.
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

/// Whom a sign-out from here ends, by all names of their provider, and the accounts that end whole.
fn whom(
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
            .map(Scope::Session);
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
    let others = accounts.iter().skip(1).cloned().map(Scope::Account);
    (others.fold(SignOut::account(live.account()), SignOut::and), accounts)
}
