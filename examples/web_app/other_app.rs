//! Demonstration: another app of the same provider, the smallest that does its part. It calls no API and keeps no token but the ID token,
//! so it has no need of a token store: its sessions are in memory, and it uses Oubliette only to check what the provider says.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use openidconnect::core::CoreAuthenticationFlow;
use openidconnect::{
    AuthorizationCode, ClientSecret, CsrfToken, IssuerUrl, Nonce, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl,
};
use openidconnect::{ProviderMetadataWithLogout, TokenResponse as _, reqwest};
use oubliette::ClientId;
use oubliette::logout::{Issuer, KeySet, Keys, ReqwestClient};
use oubliette::openid::{DiscoveredClient, Provider};
use tokio::net::TcpListener;

use super::provider::Client;

type Fault = Box<dyn std::error::Error + Send + Sync>;
type Params = HashMap<String, String>;
type Oidc = DiscoveredClient;

const ID: &str = "other-app";
const SECRET: &str = "known-to-whoever-reads-this";
const COOKIE: &str = "other_app";
/// As many logins as can be on their way, and as many users, before all begin anew.
const MOST: usize = 10_000;

/// How the provider is to know it.
pub(crate) fn registration(url: &str) -> Client {
    Client {
        id: ID.into(),
        secret: SECRET.into(),
        redirect_uris: vec![format!("{url}/callback")],
        post_logout_redirect_uris: vec![format!("{url}/")],
        back_channel: Some(format!("{url}/logout/back-channel")),
        front_channel: Some(format!("{url}/logout/front-channel")),
    }
}

/// Serves at `url` (`http://127.0.0.1:<port>`), where `listener` is bound, to users of the provider `issuer`, until the runtime ends.
pub(crate) fn serve(listener: TcpListener, url: String, issuer: String) -> Result<(), Fault> {
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .build()?;
    let keys = Keys::discovered(ReqwestClient::new()?);
    let signs_out = Issuer::new(Provider::generic(&issuer)?, ClientId::new(ID)?, keys);
    let app = Arc::new(App {
        url,
        issuer,
        http,
        signs_out,
        begun: Mutex::default(),
        sessions: Mutex::default(),
    });
    let router = Router::new()
        .route("/", get(home))
        .route("/style.css", get(style))
        .route("/sign-in", get(sign_in))
        .route("/callback", get(callback))
        .route("/sign-out", post(sign_out))
        .route("/logout/back-channel", post(back_channel))
        .route("/logout/front-channel", get(front_channel))
        .with_state(app);
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(())
}

struct App {
    url: String,
    issuer: String,
    http: reqwest::Client,
    signs_out: Issuer,
    /// Logins on their way, by the cookie.
    begun: Mutex<HashMap<String, (CsrfToken, Nonce, PkceCodeVerifier)>>,
    /// Who is signed in, by the cookie.
    sessions: Mutex<HashMap<String, Session>>,
}

struct Session {
    sid: String,
    name: String,
    id_token: String,
}

impl App {
    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn metadata(&self) -> Result<ProviderMetadataWithLogout, Fault> {
        Ok(ProviderMetadataWithLogout::discover_async(
            IssuerUrl::new(self.issuer.clone())?,
            &self.http,
        )
        .await?)
    }

    async fn oidc(&self) -> Result<Oidc, Fault> {
        let (id, secret) =
            (openidconnect::ClientId::new(ID.into()), ClientSecret::new(SECRET.into()));
        let oidc = Oidc::from_provider_metadata(self.metadata().await?, id, Some(secret));
        Ok(oidc.set_redirect_uri(RedirectUrl::new(format!("{}/callback", self.url))?))
    }

    fn end(&self, sid: &str) {
        self.sessions().retain(|_, session| session.sid != sid);
    }
}

async fn home(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let name = cookie(&headers).and_then(|cookie| Some(app.sessions().get(cookie)?.name.clone()));
    let body = match name {
        Some(name) => format!(
            r#"<p id="me" data-user="{0}">You are signed in as <strong>{0}</strong>.</p>
<form method="post" action="/sign-out"><button id="sign-out">Sign out, of all apps</button></form>"#,
            escaped(&name)
        ),
        None => r#"<p id="me" data-user="">Nobody is signed in here with this browser.</p>
<p><a id="sign-in" href="/sign-in">Sign in</a> (whom the provider knows is not asked again)</p>"#
            .into(),
    };
    page(&app, StatusCode::OK, "Another app", &body)
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

async fn sign_in(State(app): State<Arc<App>>) -> Result<Response, Failure> {
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let oidc = app.oidc().await?;
    let request = oidc.authorize_url(
        CoreAuthenticationFlow::AuthorizationCode,
        CsrfToken::new_random,
        Nonce::new_random,
    );
    let (url, state, nonce) = request.set_pkce_challenge(challenge).url();
    let id = CsrfToken::new_random().into_secret();
    let mut begun = app.begun.lock().unwrap_or_else(PoisonError::into_inner);
    if begun.len() >= MOST {
        begun.clear();
    }
    begun.insert(id.clone(), (state, nonce, verifier));
    drop(begun);
    Ok(with_cookie(Redirect::to(url.as_str()), &id))
}

async fn callback(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(back): Query<Params>,
) -> Result<Response, Failure> {
    let begun = cookie(&headers)
        .and_then(|id| app.begun.lock().unwrap_or_else(PoisonError::into_inner).remove(id));
    let begun = begun.filter(|(state, ..)| back.get("state") == Some(state.secret()));
    let (Some((_, nonce, verifier)), Some(code)) = (begun, back.get("code")) else {
        return Err("no login was begun in this browser, or it was refused".into());
    };
    let oidc = app.oidc().await?;
    let request =
        oidc.exchange_code(AuthorizationCode::new(code.clone()))?.set_pkce_verifier(verifier);
    let response = request.request_async(&app.http).await?;
    let id_token = response.id_token().ok_or("no ID token")?;
    let claims = id_token.claims(&oidc.id_token_verifier(), &nonce)?;
    let sid = claims
        .additional_claims()
        .get("sid")
        .and_then(|sid| sid.as_str())
        .ok_or("no sid in the ID token")?
        .to_owned();
    let name = claims
        .name()
        .and_then(|name| name.get(None))
        .map_or(claims.subject().as_str(), |name| name.as_str())
        .to_owned();
    let id = CsrfToken::new_random().into_secret();
    let mut sessions = app.sessions();
    if sessions.len() >= MOST {
        sessions.clear();
    }
    sessions.insert(id.clone(), Session { sid, name, id_token: id_token.to_string() });
    drop(sessions);
    Ok(with_cookie(Redirect::to("/"), &id))
}

/// Here, and then at the provider, which tells all other apps.
async fn sign_out(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Failure> {
    if headers.get(header::ORIGIN).is_none_or(|origin| origin.as_bytes() != app.url.as_bytes()) {
        return Err("a sign-out that is not from a page of ours".into());
    }
    let Some(session) = cookie(&headers).and_then(|cookie| app.sessions().remove(cookie)) else {
        return Ok(Redirect::to("/").into_response());
    };
    let metadata = app.metadata().await?;
    let there = metadata.additional_metadata().end_session_endpoint.as_ref();
    let mut url = there.ok_or("the provider does not say where to sign out")?.url().clone();
    let back = format!("{}/", app.url);
    url.query_pairs_mut().extend_pairs([
        ("id_token_hint", session.id_token.as_str()),
        ("post_logout_redirect_uri", &back),
    ]);
    Ok(Redirect::to(url.as_str()).into_response())
}

/// The provider says, server to server, that a session is over.
async fn back_channel(
    State(app): State<Arc<App>>,
    Form(params): Form<Params>,
) -> Result<StatusCode, Failure> {
    let keys = app.metadata().await?.jwks_uri().url().clone();
    let keys = KeySet::parse(&app.http.get(keys).send().await?.bytes().await?)?;
    let token = params.get("logout_token").ok_or("no logout token")?;
    match app.signs_out.verify(token, &keys, SystemTime::now())?.session() {
        Some(session) => app.end(session.sid()),
        None => return Err("this app is told of sessions, not of users".into()),
    }
    Ok(StatusCode::OK)
}

/// The provider's page has the browser fetch this in a frame. No cookie comes with it: the `sid` tells whose session is over.
async fn front_channel(State(app): State<Arc<App>>, Query(params): Query<Params>) -> Response {
    if let Some(sid) = params.get("sid").filter(|_| params.get("iss") == Some(&app.issuer)) {
        app.end(sid);
    }
    let policy = format!("default-src 'none'; frame-ancestors {}", app.issuer);
    let mut response =
        Html("<!doctype html><title>Signed out</title><p>You are signed out here.</p>")
            .into_response();
    set(
        &mut response,
        [(header::CONTENT_SECURITY_POLICY, policy.as_str()), (header::CACHE_CONTROL, "no-store")],
    );
    response
}

/// Told to whoever looks at the terminal; the user is only told that it did not work.
struct Failure(Fault);

impl<E: Into<Fault>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        eprintln!("the other app: {}", self.0);
        (StatusCode::BAD_REQUEST, Html(r#"<!doctype html><title>No</title><p>This did not work. <a href="/">Begin anew</a>"#))
            .into_response()
    }
}

fn page(app: &App, status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="stylesheet" href="/style.css"><link rel="icon" href="data:,"></head>
<body><main><h1>{title}</h1>
{body}
</main></body></html>
"#
    );
    // Browsers hold a form's redirects to `form-action` too: the one that signs out leads to the provider.
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self' {}; base-uri 'none'; frame-ancestors 'none'",
        app.issuer
    );
    let mut response = (status, Html(html)).into_response();
    set(
        &mut response,
        [
            (header::CONTENT_SECURITY_POLICY, policy.as_str()),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "same-origin"),
            (header::CACHE_CONTROL, "no-store"),
        ],
    );
    response
}

fn set<'a>(
    response: &mut Response,
    headers: impl IntoIterator<Item = (header::HeaderName, &'a str)>,
) {
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies =
        headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

fn with_cookie(response: impl IntoResponse, value: &str) -> Response {
    let mut response = response.into_response();
    // Its own name: browsers tell cookies apart by host, and not by port.
    set(
        &mut response,
        [(
            header::SET_COOKIE,
            format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax").as_str(),
        )],
    );
    response
}

fn escaped(text: &str) -> impl fmt::Display {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const STYLE: &str = "\
:root { color-scheme: light; font: 1rem/1.5 system-ui, sans-serif; color: #10261b; background: #eef6f0; }
body { margin: 0; }
main { max-width: 40rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; line-height: 1.2; }
a { color: #0b5a33; }
button { font: inherit; padding: .6rem 1rem; border: 2px solid #0b5a33; border-radius: .4rem; background: #fff; color: #0b3d24; cursor: pointer; }
button:hover { background: #dff0e5; }
:focus-visible { outline: 3px solid #b3261e; outline-offset: 2px; }
";
