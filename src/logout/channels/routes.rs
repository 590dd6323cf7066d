//! The sign-out callbacks as routes of axum.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{RawPathParams, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use super::end_session::Ended;
use super::form::MAX_BODY;
use crate::asynchronous::AsyncTokenStore;
use crate::logout::issuer::issuers::Issuers;
use crate::logout::receiver::Receiver;
use crate::logout::receiver::answer::Answer;
use crate::logout::receiver::signed_out::{BoxError, SignedOut};
use crate::logout::rejected::Rejected;

/// How long a sender may take for the body of its request.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Where the name of an issuer stands in a path: by a name that no route around these has.
const NAME: &str = "oubliette_issuer";

/// The routes at which providers tell of sign-outs: `POST /logout/back-channel` and
/// `GET /logout/front-channel`, and for an issuer with a [name](crate::logout::Issuer::named) the
/// same with `/<name>` behind. To be given to [`Router::merge`].
///
/// ```no_run
/// use axum::Router;
/// use oubliette::ClientId;
/// use oubliette::logout::{Issuer, Issuers, Keys, sign_out_routes};
/// use oubliette::openid::Provider;
/// # use oubliette::AsyncTokenStore;
/// # use oubliette::logout::HttpClient;
///
/// # fn app(store: AsyncTokenStore, http: impl HttpClient) -> oubliette::Result<Router> {
/// let provider = Provider::keycloak("https://sso.example.com/realms/contoso")?;
/// let keys = Keys::discovered(http); // with the feature `reqwest`: ReqwestClient::new()?
/// let issuers = Issuers::new([Issuer::new(provider, ClientId::new("web")?, keys)])?;
/// let routes = sign_out_routes(store, issuers).after_sign_out(|signed_out| async move {
///     // End what the app has of its own; web sessions that are bound to the sign-in have ended already.
///     println!("signed out by {:?}", signed_out.signal);
///     Ok(())
/// });
/// Ok(Router::new().merge(routes))
/// # }
/// ```
///
/// # What to register at the provider
/// `https://app.example.com/logout/back-channel` as `backchannel_logout_uri`, and/or
/// `https://app.example.com/logout/front-channel` as `frontchannel_logout_uri` (of the same origin
/// as a redirect URI: Front-Channel Logout 1.0 §2); the `..._session_required` of both, so that it
/// sends the `sid`.
///
/// # Where to merge them
/// Last, outside of the app's own layers: what is wrapped around them by [`Router::layer`] answers
/// in their place. A login guard would redirect the provider, protection against forged requests
/// would refuse it (its request has no token of a page, and needs none: the logout token is
/// signed), and `X-Frame-Options` would blank the front-channel's page. A limit of requests per
/// sender is good to have: checking a signature takes some 0.1 ms of a core, and anybody can ask
/// for that.
pub fn sign_out_routes(store: impl Into<AsyncTokenStore>, issuers: Issuers) -> SignOutRoutes {
    Receiver::new(store, issuers).into()
}

impl From<Receiver> for SignOutRoutes {
    fn from(receiver: Receiver) -> Self {
        Self {
            receiver,
            back: "/logout/back-channel".into(),
            front: "/logout/front-channel".into(),
            returned: None,
        }
    }
}

/// Routes for sign-outs, to be given to [`Router::merge`]: see [`sign_out_routes`].
#[derive(Clone, Debug)]
#[must_use]
pub struct SignOutRoutes {
    receiver: Receiver,
    back: String,
    front: String,
    returned: Option<(String, String)>,
}

impl SignOutRoutes {
    /// As [`Receiver::after_sign_out`].
    pub fn after_sign_out<F, Fut>(self, hook: F) -> Self
    where
        F: Fn(SignedOut) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Self { receiver: self.receiver.after_sign_out(hook), ..self }
    }

    /// As [`Receiver::hook_time`].
    pub fn hook_time(self, time: Duration) -> Self {
        Self { receiver: self.receiver.hook_time(time), ..self }
    }

    /// As [`Receiver::taking_refresh_tokens`].
    pub fn taking_refresh_tokens(self) -> Self {
        Self { receiver: self.receiver.taking_refresh_tokens(), ..self }
    }

    /// The path of the back channel, instead of `/logout/back-channel`.
    pub fn back_channel_at(self, path: impl Into<String>) -> Self {
        Self { back: path.into(), ..self }
    }

    /// The path of the front channel, instead of `/logout/front-channel`.
    pub fn front_channel_at(self, path: impl Into<String>) -> Self {
        Self { front: path.into(), ..self }
    }

    /// A route for users who come back from signing out at the provider
    /// (`post_logout_redirect_uri`), which takes them on to the page `to`. They are signed out here
    /// already: whatever `state` they bring, or none, changes nothing.
    pub fn returned_at(self, path: impl Into<String>, to: impl Into<String>) -> Self {
        Self { returned: Some((path.into(), to.into())), ..self }
    }

    /// What carries the sign-outs out: to sign users out who ask for it [here](Receiver::sign_out),
    /// and to [`drain`](Receiver::drain) before the store is closed. Ask for it last: it has the
    /// hook and the settings that were given until then.
    pub fn receiver(&self) -> Receiver {
        self.receiver.clone()
    }
}

/// # Panics
/// As [`Router::route`]: if a path does not begin with `/`, or two are the same.
impl<S: Clone + Send + Sync + 'static> From<SignOutRoutes> for Router<S> {
    fn from(routes: SignOutRoutes) -> Self {
        let SignOutRoutes { receiver, back, front, returned } = routes;
        let at =
            |path: &str| [path.to_owned(), format!("{}/{{{NAME}}}", path.trim_end_matches('/'))];
        let mut router = Self::new();
        for path in at(&back) {
            let receiver = receiver.clone();
            router = router.route(
                &path,
                any(move |params: RawPathParams, request: Request| {
                    back_channel(receiver, params, request)
                }),
            );
        }
        for path in at(&front) {
            let receiver = receiver.clone();
            router = router.route(
                &path,
                any(move |params: RawPathParams, request: Request| {
                    front_channel(receiver, params, request)
                }),
            );
        }
        if let Some((path, to)) = returned {
            router = router.route(&path, any(move || async move { Ended::returned(&to) }));
        }
        router
    }
}

async fn back_channel(receiver: Receiver, params: RawPathParams, request: Request) -> Response {
    if request.method() != Method::POST {
        return Answer::wrong_method("POST").into_response();
    }
    let (parts, body) = request.into_parts();
    let content_type = content_type(&parts.headers);
    let answer = match read(body).await {
        Some(body) => receiver.back_channel(name(&params), content_type, &body).await,
        None => {
            Answer::refused(Rejected::Malformed("the body did not come, or is longer than is read"))
        }
    };
    answer.into_response()
}

async fn front_channel(receiver: Receiver, params: RawPathParams, request: Request) -> Response {
    // Not HEAD either: it is no question, it would sign out.
    if request.method() != Method::GET {
        return Answer::wrong_method("GET").into_response();
    }
    receiver
        .front_channel(name(&params), request.uri().query().unwrap_or_default())
        .await
        .into_response()
}

async fn read(body: Body) -> Option<Vec<u8>> {
    let body = tokio::time::timeout(BODY_TIME, to_bytes(body, MAX_BODY)).await.ok()?;
    Some(body.ok()?.into())
}

/// The last: a router around these may have parameters too.
fn name(params: &RawPathParams) -> Option<&str> {
    params.iter().filter(|(name, _)| *name == NAME).map(|(_, value)| value).last()
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default())
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body().to_owned()));
        *response.status_mut() =
            StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers() {
            match value.parse() {
                Ok(value) => _ = response.headers_mut().append(name, value),
                // An address that cannot stand in a header: rather none than half of it.
                Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
            }
        }
        response
    }
}
