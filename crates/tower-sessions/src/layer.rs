//! The layer of `tower-sessions` as a login needs it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{CACHE_CONTROL, Entry, SET_COOKIE};
use http::{HeaderValue, Response};
use oubliette::TokenStore;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;
use tower_sessions::cookie::{SameSite, time};
use tower_sessions::{Expiry, SessionManagerLayer};

use crate::OublietteSessions;

/// The cookie's name by default.
pub(crate) const NAME: &str = "__Host-session";
/// How long a session lasts after the last request, by default.
pub(crate) const IDLE: Duration = Duration::from_secs(8 * 3600);

/// Web sessions for a router, in one line: `tower-sessions`' layer over [`OublietteSessions`], with
/// what a login through a browser needs.
///
/// - The cookie's name begins with `__Host-`: no other host, and no page without TLS, can set it
///   (RFC 6265bis §4.1.3.2). Browsers take it over https, and most of them from `localhost`.
/// - It is `Secure` and `HttpOnly`, and `SameSite=Lax`: the browser sends it when the provider
///   redirects back, and not with forms of other sites. (With `Strict`, the default of
///   `tower-sessions`, a login at a provider never ends: the callback comes without the session that
///   it began in.)
/// - A response that sets it says `Cache-Control: no-store`, so that no cache hands one user's
///   session to another.
/// - A session ends eight hours after the last request that changed its data, or with its sign-in.
///   For most apps that is eight hours after the login: requests that only read do not extend it.
///
/// ```
/// # use std::time::Duration;
/// use oubliette_tower_sessions::SessionLayer;
/// # let store = oubliette::TokenStore::in_memory()?;
/// let layer = SessionLayer::new(&store).idle_for(Duration::from_secs(30 * 60));
/// // let app = Router::new().route("/", get(home)).layer(layer);
/// # Ok::<(), oubliette::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SessionLayer {
    sessions: OublietteSessions,
    name: String,
    idle: Duration,
}

impl SessionLayer {
    /// Sessions in this store.
    pub fn new(store: impl AsRef<TokenStore>) -> Self {
        Self { sessions: OublietteSessions::new(store), name: NAME.into(), idle: IDLE }
    }

    /// Names the cookie `__Host-` and this, for several apps on one host (browsers do not tell
    /// ports apart). Characters other than ASCII letters, digits, `-` and `_` are left out.
    pub fn named(mut self, name: &str) -> Self {
        let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || "-_".contains(*letter);
        self.name = name.chars().filter(is_plain).fold("__Host-".into(), |mut all, letter| {
            all.push(letter);
            all
        });
        self
    }

    /// How long a session lasts after the last request that changed its data. Its sign-in and the
    /// tokens last as long as they do: see [`SignIn::lasts_for`](oubliette::SignIn::lasts_for).
    pub fn idle_for(mut self, time: Duration) -> Self {
        self.idle = time;
        self
    }

    /// How long a session that is bound to no sign-in lasts at most: see
    /// [`OublietteSessions::unbound_for`].
    pub fn unbound_for(mut self, time: Duration) -> Self {
        self.sessions = self.sessions.unbound_for(time);
        self
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = NoStoreService<<SessionManagerLayer<OublietteSessions> as Layer<S>>::Service>;

    fn layer(&self, inner: S) -> Self::Service {
        let idle = time::Duration::try_from(self.idle).unwrap_or(time::Duration::MAX);
        let manager = SessionManagerLayer::new(self.sessions.clone())
            .with_name(self.name.clone())
            .with_same_site(SameSite::Lax)
            .with_expiry(Expiry::OnInactivity(idle));
        NoStore.layer(manager.layer(inner))
    }
}

/// Says `Cache-Control: no-store` (RFC 9111 §5.2.2.5) of each response that sets a cookie, and
/// completes those of a `__Host-` name with `Secure`: without it browsers ignore them, also what
/// removes one. [`SessionLayer`] has it inside.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore;

impl<S> Layer<S> for NoStore {
    type Service = NoStoreService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        NoStoreService(inner)
    }
}

/// The service that [`NoStore`] makes.
#[derive(Clone, Debug)]
pub struct NoStoreService<S>(S);

impl<S, R, B> Service<R> for NoStoreService<S>
where
    S: Service<R, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Uncached<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        Uncached { response: self.0.call(request) }
    }
}

/// What removes a cookie is made of its name alone.
fn complete(cookie: &mut HeaderValue) {
    let Ok(text) = cookie.to_str() else { return };
    let is_secure = text.split(';').skip(1).any(|one| one.trim().eq_ignore_ascii_case("secure"));
    if text.starts_with("__Host-")
        && !is_secure
        && let Ok(complete) = HeaderValue::try_from(format!("{text}; Secure"))
    {
        *cookie = complete;
    }
}

pin_project! {
    /// A response that no cache keeps if it sets a cookie.
    #[derive(Debug)]
    pub struct Uncached<F> {
        #[pin]
        response: F,
    }
}

impl<F, B, E> Future for Uncached<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut response = ready!(self.project().response.poll(context))?;
        let headers = response.headers_mut();
        if headers.contains_key(SET_COOKIE) {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if let Entry::Occupied(mut cookies) = headers.entry(SET_COOKIE) {
            cookies.iter_mut().for_each(complete);
        }
        Poll::Ready(Ok(response))
    }
}
