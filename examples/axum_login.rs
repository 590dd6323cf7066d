//! A web app behind a login: OpenID Connect, a session cookie, calls of an API with the user's access token, sign-out.
//!
//! ```sh
//! export OUBLIETTE_KEY="hex:$(openssl rand -hex 32)" ISSUER=https://login.example.com CLIENT_ID=... CLIENT_SECRET=... \
//!     API_URL=https://api.example.com/me SCOPES="openid offline_access" PUBLIC_URL=http://localhost:3000
//! cargo run --example axum_login   # register $PUBLIC_URL/callback as redirect URI, $PUBLIC_URL/ for after sign-out,
//! ```                                             # and $PUBLIC_URL/logout/{back,front}-channel for sign-outs elsewhere
//!
//! - The cookie holds a random id. The web session lies in the token store, sealed and *bound* to the sign-in: however the user is signed
//!   out, session and tokens go in one stroke, and no request in flight brings either back.
//! - `state`, `nonce` and PKCE verifier lie in the session from before the login, and count once. Binding gives the session a new id.
//! - A token is asked for at each call. One that is due is refreshed once, whoever asks; what the provider does not take back, the user mends.
//! - Sign-out is a POST of our own pages: here first, then at the provider. Nothing is ever redirected to where a request says.
//! - `offline_access` is for providers that give refresh tokens for that alone. At Keycloak it is left out, or sign-outs there do not arrive.
//! - In production it stands behind TLS: browsers take `__Host-` cookies over https only (and, most of them, from localhost).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use openidconnect::core::{CoreAuthenticationFlow, CoreProviderMetadata};
use openidconnect::{
    AuthorizationCode, ClientSecret, CsrfToken, Nonce, PkceCodeChallenge, PkceCodeVerifier, Scope,
};
use openidconnect::{IssuerUrl, RedirectUrl, TokenResponse, reqwest};
use oubliette::logout::{
    EndSession, Issuer, Issuers, Keys, Receiver, ReqwestClient, sign_out_routes,
};
use oubliette::oauth::{Received, TokenRequestError};
use oubliette::openid::{DiscoveredClient as Oidc, Provider};
use oubliette::{
    AccessQuery, AccessRequest, AcquireError, Acquirer, AsyncAcquirer, AsyncTokenStore, ClientId,
    KeySource, Scopes, TokenStore,
};
use oubliette_tower_sessions::{SessionLayer, bind_instead, bound};
use tower_sessions::Session;

type Fault = Box<dyn std::error::Error + Send + Sync>;
type Back = Query<HashMap<String, String>>;

/// What differs from app to app. `public_url` is where browsers find this one, without a path; scopes are separated by spaces.
pub(crate) struct Config {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) public_url: String,
    pub(crate) api_url: String,
    pub(crate) scopes: String,
}

struct App {
    config: Config,
    client: ClientId,
    scopes: Scopes,
    store: AsyncTokenStore,
    sign_outs: Receiver,
    acquirer: AsyncAcquirer,
    provider: Provider,
    oidc: tokio::sync::RwLock<Arc<Oidc>>,
    http: reqwest::Client,
}

pub(crate) async fn app(config: Config, sign_outs: Receiver) -> Result<Router, Fault> {
    let store = sign_outs.store().clone();
    // No redirects: else whoever answers as the provider could have requests sent to hosts behind our firewall.
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .build()?;
    let oidc = discover(&config, &http).await?;
    let provider = Provider::generic(&config.issuer)?; // or Provider::entra(...), ::keycloak(...): they know what a tenant is
    let (client, scopes) = (ClientId::new(&config.client_id)?, Scopes::parse(&config.scopes)?);
    let sessions = SessionLayer::new(&store);
    let app = App {
        config,
        client,
        scopes,
        store,
        sign_outs,
        acquirer: Acquirer::new().with_client(oidc.clone(), http.clone()),
        provider,
        oidc: tokio::sync::RwLock::new(oidc),
        http,
    };
    let router = Router::new()
        .route("/", get(home))
        .route("/login", get(login))
        .route("/callback", get(callback));
    Ok(router
        .route("/api", get(api))
        .route("/logout", post(logout))
        .layer(sessions)
        .with_state(Arc::new(app)))
}

async fn discover(config: &Config, http: &reqwest::Client) -> Result<Arc<Oidc>, Fault> {
    let metadata =
        CoreProviderMetadata::discover_async(IssuerUrl::new(config.issuer.clone())?, http).await?;
    let (id, secret) = (
        openidconnect::ClientId::new(config.client_id.clone()),
        ClientSecret::new(config.client_secret.clone()),
    );
    let oidc = Oidc::from_provider_metadata(metadata, id, Some(secret));
    Ok(Arc::new(
        oidc.set_redirect_uri(RedirectUrl::new(format!("{}/callback", config.public_url))?),
    ))
}

async fn home(
    State(app): State<Arc<App>>,
    session: Session,
) -> Result<Html<&'static str>, Failure> {
    Ok(Html(match bound(&session, &app.store).await? {
        Some(_) => {
            r#"<a href="/api">Call the API</a> <form method="post" action="/logout"><button>Sign out</button></form>"#
        }
        None => r#"<a href="/login">Sign in</a>"#,
    }))
}

async fn login(State(app): State<Arc<App>>, session: Session) -> Result<Redirect, Failure> {
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let oidc = app.oidc.read().await.clone();
    let request = oidc.authorize_url(
        CoreAuthenticationFlow::AuthorizationCode,
        CsrfToken::new_random,
        Nonce::new_random,
    );
    let scopes = app.scopes.iter().map(|scope| Scope::new(scope.to_owned()));
    let (url, state, nonce) = request.add_scopes(scopes).set_pkce_challenge(challenge).url();
    session.insert("login", (state, nonce, verifier)).await?;
    Ok(Redirect::to(url.as_str()))
}

async fn callback(
    State(app): State<Arc<App>>,
    session: Session,
    Query(back): Back,
) -> Result<Redirect, Failure> {
    let begun = session.remove::<(CsrfToken, Nonce, PkceCodeVerifier)>("login").await?;
    session.save().await?; // it counts once, also if what follows fails
    let begun = begun.filter(|(state, ..)| back.get("state") == Some(state.secret()));
    let (Some((_, nonce, verifier)), Some(code)) = (begun, back.get("code")) else {
        return Err(Failure(
            StatusCode::BAD_REQUEST,
            "no login was begun in this browser, or it was refused".into(),
        ));
    };
    let mut oidc = app.oidc.read().await.clone();
    // A sign-out that comes while the code is redeemed counts: they would be signed out of everything but this.
    let (asked_at, moment) = (SystemTime::now(), app.store.as_of().await?);
    let request =
        oidc.exchange_code(AuthorizationCode::new(code.clone()))?.set_pkce_verifier(verifier);
    let response = request.request_async(&app.http).await.map_err(TokenRequestError::from)?;
    let id_token = response.id_token().ok_or("no ID token: is `openid` among the scopes?")?;
    if id_token.signing_key(&oidc.id_token_verifier()).is_err() {
        oidc = discover(&app.config, &app.http).await?; // it signs with a new key by now
        *app.oidc.write().await = oidc.clone();
    }
    let claims = id_token.claims(&oidc.id_token_verifier(), &nonce)?;
    let sign_in = app.provider.sign_in_with(claims, response.fields())?.as_of(moment);
    let tokens = Received::new(app.client.clone(), asked_at)
        .requested_scopes(app.scopes.clone())
        .tokens(&response)?;
    let (live, _) = app.store.sign_in_with(sign_in, tokens).await?;
    bind_instead(&session, &app.store, &live).await?; // and end an earlier sign-in of this browser
    Ok(Redirect::to("/"))
}

async fn api(State(app): State<Arc<App>>, session: Session) -> Result<Response, Failure> {
    let Some(live) = bound(&session, &app.store).await? else {
        return Ok(Redirect::to("/login").into_response());
    };
    let mut wanted =
        AccessRequest::new(AccessQuery::new(app.client.clone()).scopes(app.scopes.clone()));
    for is_last in [false, true] {
        let token = match app.acquirer.acquire(&live, wanted.clone()).await {
            Ok(token) => token,
            Err(AcquireError::InteractionRequired { .. } | AcquireError::SignedOut) => break,
            Err(error) => return Err(error.into()),
        };
        let answer =
            app.http.get(&app.config.api_url).bearer_auth(token.secret.expose()).send().await?;
        if answer.status() != StatusCode::UNAUTHORIZED || is_last {
            return Ok((answer.status(), answer.text().await?).into_response());
        }
        wanted = wanted.instead_of(&token); // revoked, perhaps: refreshed once, however many are told so
    }
    Ok(Redirect::to("/login").into_response())
}

async fn logout(
    State(app): State<Arc<App>>,
    session: Session,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    // Browsers say of each POST where it comes from, and no page can change that.
    if headers
        .get(header::ORIGIN)
        .is_none_or(|origin| origin.as_bytes() != app.config.public_url.as_bytes())
    {
        return Err(Failure(
            StatusCode::BAD_REQUEST,
            "a sign-out that is not from a page of ours".into(),
        ));
    }
    let Some(live) = bound(&session, &app.store).await? else {
        return Ok(Redirect::to("/").into_response());
    };
    // Here first, in all browsers, with their sessions; then at the provider.
    let there = EndSession::new().back_to(format!("{}/", app.config.public_url));
    Ok(app.sign_outs.sign_out(&live, there).await?.answer("/").into_response())
}

/// What failed is for the log; the user is only told that it did.
struct Failure(StatusCode, Fault);

impl<E: Into<Fault>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        eprintln!("{}", self.1);
        (self.0, Html(r#"This did not work. <a href="/">Begin anew</a>"#)).into_response()
    }
}

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let env = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let (issuer, client_id, client_secret) =
        (env("ISSUER")?, env("CLIENT_ID")?, env("CLIENT_SECRET")?);
    let (public_url, api_url, scopes) = (env("PUBLIC_URL")?, env("API_URL")?, env("SCOPES")?);
    let store =
        TokenStore::builder("tokens").key(KeySource::env("OUBLIETTE_KEY")).open_async().await?;
    let upkeep = store.upkeep().start()?;
    let known = Issuer::new(
        Provider::generic(&issuer)?,
        ClientId::new(&client_id)?,
        Keys::discovered(ReqwestClient::new()?),
    );
    let routes = sign_out_routes(store.clone(), Issuers::new([known])?); // "signed out", say providers here
    let (sign_outs, config) = (
        routes.receiver(),
        Config { issuer, client_id, client_secret, public_url, api_url, scopes },
    );
    let router = app(config, sign_outs.clone()).await?.merge(routes);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, router)
        .with_graceful_shutdown(async { _ = tokio::signal::ctrl_c().await })
        .await?;
    sign_outs.drain().await; // providers send once
    drop(upkeep); // ends it, without waiting
    Ok(store.close().await?)
}
