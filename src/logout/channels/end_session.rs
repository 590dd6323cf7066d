//! A user's sign-out at the provider: how it is asked for, and its result.

use std::fmt;

use super::form;
use crate::logout::receiver::answer::Answer;
use crate::logout::receiver::signed_out::BoxError;
use crate::model::id::ClientId;
use crate::model::sign_out::Receipt;

/// The default limits of the ID token in an address, and of the query, in bytes. IIS refuses longer
/// queries (`maxQueryString`), with a page of its own and the user still signed in.
const LONGEST_HINT: usize = 4096;
const LONGEST_QUERY: usize = 2048;
/// The cookie that holds the `state` while the user is at the provider.
const COOKIE: &str = "__Host-signing-out";

/// How a user who signs out in this app is sent to sign out at the provider: the input of
/// [`Receiver::sign_out`](crate::logout::Receiver::sign_out).
///
/// ```
/// use oubliette::logout::EndSession;
/// let request = EndSession::new().back_to("https://app.example.com/logout/done").ui_locales("de en");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct EndSession {
    pub(in crate::logout) back_to: Option<String>,
    pub(in crate::logout) client: Option<ClientId>,
    pub(in crate::logout) logout_hint: Option<String>,
    pub(in crate::logout) ui_locales: Option<String>,
    pub(in crate::logout) longest_hint: usize,
    pub(in crate::logout) longest_query: usize,
    pub(in crate::logout) only_this_session: bool,
    pub(in crate::logout) takes_refresh_tokens: bool,
}

impl Default for EndSession {
    fn default() -> Self {
        Self::new()
    }
}

impl EndSession {
    /// The defaults: the user stays on the provider's page.
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
    /// registered with it, never one taken from a request.
    pub fn back_to(mut self, url: impl Into<String>) -> Self {
        self.back_to = Some(url.into());
        self
    }

    /// The client as which the app signed the user in, if it has several ids at the provider.
    pub fn client(mut self, client: ClientId) -> Self {
        self.client = Some(client);
        self
    }

    /// The user whom the provider should sign out, in the provider's terms (`logout_hint`): at
    /// Entra the claim `login_hint`.
    pub fn logout_hint(mut self, hint: impl Into<String>) -> Self {
        self.logout_hint = Some(hint.into());
        self
    }

    /// The languages of the provider's page, best first, separated by spaces (`ui_locales`).
    pub fn ui_locales(mut self, locales: impl Into<String>) -> Self {
        self.ui_locales = Some(locales.into());
        self
    }

    /// The longest ID token that is put into the address (`id_token_hint`), in bytes: 4096 by
    /// default; and only where it fits into the [query](Self::longest_query), which by default has
    /// space for about 1800 bytes. Without a hint most providers ask the user to confirm.
    pub fn longest_hint(mut self, bytes: usize) -> Self {
        self.longest_hint = bytes;
        self
    }

    /// The longest query that the address may have, in bytes: 2048 by default, the limit of IIS.
    /// Servers refuse longer queries with an error page, some from 8 KiB on, and then the user is
    /// still signed in there. So a longer query is sent without the ID token; if that is not
    /// enough, without `ui_locales` and then `logout_hint`. `client_id`, the address of the return,
    /// and the parameters of the provider's own address are always in it. If the provider is known
    /// to accept more, set it here: users are then asked to confirm less often.
    pub fn longest_query(mut self, bytes: usize) -> Self {
        self.longest_query = bytes;
        self
    }

    /// Returns the refresh tokens that end, in [`Ended::receipt`], so that the app can revoke them
    /// (RFC 7009) once the user has been sent to the provider.
    pub fn taking_refresh_tokens(mut self) -> Self {
        self.takes_refresh_tokens = true;
        self
    }

    /// Ends only the sign-ins of this session at the provider, and not the account in all browsers.
    /// (If the session is not known, the account ends.)
    pub fn only_this_session(mut self) -> Self {
        self.only_this_session = true;
        self
    }
}

/// The user is signed out in this app, durably; it remains to [send](Self::answer) them to the
/// provider.
///
/// `Debug` does not show the address: the ID token is in it.
#[must_use = "the user is still signed in at the provider"]
pub struct Ended {
    pub(in crate::logout) receipt: Receipt,
    pub(in crate::logout) url: Option<String>,
    pub(in crate::logout) state: String,
    pub(in crate::logout) hook: Option<BoxError>,
}

impl Ended {
    /// What was recorded.
    #[must_use]
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Where to send the user. `None` if their provider is not known, or has no known address for
    /// signing out: the user is signed out *in this app only*, so tell them.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// The random text that comes back with the user
    /// ([`is_expected_return`](Self::is_expected_return)).
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Why the app's [hook](crate::logout::Receiver::after_sign_out) failed, if it did. The tokens
    /// are gone all the same.
    #[must_use]
    pub fn hook_error(&self) -> Option<&BoxError> {
        self.hook.as_ref()
    }

    /// A redirect to the provider, with the state in a cookie; or, without an address there, to
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
    /// sent to the provider from here: if so, they have been there. If not, the user may have
    /// deleted the cookies, the provider may send no `state`, or the user may have followed a link:
    /// that proves nothing, and it does not matter, since the user was signed out here before they
    /// went.
    #[must_use]
    pub fn is_expected_return(query: &str, cookies: &str) -> bool {
        let state = (query.len() <= form::MAX_QUERY)
            .then(|| form::parameter(query.as_bytes(), "state").ok().flatten())
            .flatten();
        let mut cookies = cookies.split(';').filter_map(|cookie| cookie.trim().split_once('='));
        let kept = cookies.find(|(name, _)| *name == COOKIE).map(|(_, value)| value);
        state.is_some_and(|state| !state.is_empty() && kept == Some(state.as_str()))
    }

    /// A redirect to a page of the app for a user who comes back. It deletes the cookie of the
    /// state, which is no longer needed.
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
