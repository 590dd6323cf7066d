//! Demonstration: a small OpenID provider for development. **Never for production**: whoever opens its page may be whichever user they like, nobody
//! has a password, and all it knows is in memory.
//!
//! What it does do, it does as the specifications say: discovery, keys (RS256), authorization code with PKCE, rotating refresh tokens, introspection,
//! single sign-on by a cookie, and three ways to sign out: RP-initiated, and from there by back channel and front channel to every app of the session.

mod authorize;
mod keys;
mod page;
mod sign_out;
mod state;
mod token;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use openidconnect::reqwest;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use state::Shared;
#[allow(unused_imports, reason = "not every program that has this module names all of them")]
pub(crate) use state::{Counts, Tell, USERS, User};

/// An app that is registered.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) post_logout_redirect_uris: Vec<String>,
    pub(crate) back_channel: Option<String>,
    pub(crate) front_channel: Option<String>,
}

/// The provider while it runs. Clones share it; it runs until it is told to [`stop`](Self::stop), or the runtime ends.
#[derive(Clone)]
pub(crate) struct Provider(Arc<Shared>);

/// Serves at `issuer` (`http://localhost:<port>`, without a slash at the end), where `listener` is bound, until it is told to stop.
/// Access tokens live as long as `access_life`.
pub(crate) async fn serve(
    listener: TcpListener,
    issuer: String,
    clients: Vec<Client>,
    access_life: Duration,
) -> Provider {
    serve_users(listener, issuer, clients, USERS, access_life).await
}

/// As [`serve`], for other users.
pub(crate) async fn serve_users(
    listener: TcpListener,
    issuer: String,
    clients: Vec<Client>,
    users: &'static [User],
    access_life: Duration,
) -> Provider {
    let shared = Arc::new(Shared::new(issuer, clients, users, access_life).await);
    let router = Router::new()
        .route("/", get(page::home))
        .route("/style.css", get(page::style))
        .route("/signed_out.js", get(page::script))
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/keys", get(keys))
        .route("/authorize", get(authorize::authorize))
        .route("/sign-in", post(authorize::sign_in))
        .route("/token", post(token::token))
        .route("/introspect", post(token::introspect))
        .route("/end-session", get(sign_out::end_session).post(sign_out::end_session_by_post))
        .route("/end-session/answer", post(sign_out::answer))
        .route("/end-everywhere", post(sign_out::everywhere))
        .route("/tell", post(sign_out::tell))
        .with_state(shared.clone());
    let stopped = shared.stop.clone();
    tokio::spawn(
        axum::serve(listener, router)
            .with_graceful_shutdown(async move { stopped.wait().await })
            .into_future(),
    );
    Provider(shared)
}

#[allow(dead_code, reason = "what tests ask is not what the demonstration asks")]
impl Provider {
    pub(crate) fn issuer(&self) -> &str {
        &self.0.issuer
    }

    pub(crate) fn users(&self) -> &'static [User] {
        self.0.users
    }

    /// The sessions that are there: user, tenant, `sid`, and the apps that know it.
    pub(crate) fn sessions(&self) -> Vec<(String, String, String, Vec<String>)> {
        let all = self.0.lock();
        let told = all.sessions.values().map(|session| {
            let who = &session.who;
            (
                who.user.id.to_owned(),
                who.tenant.clone(),
                session.sid.clone(),
                session.clients.iter().cloned().collect(),
            )
        });
        told.collect()
    }

    /// Ends the user's sessions in all browsers, and tells their apps by the back channel (a server has no frames).
    pub(crate) async fn end_everywhere(&self, user: &str) {
        sign_out::end_of_user(&self.0, user).await;
    }

    /// By which channels apps are told, from now on.
    pub(crate) fn tell(&self, by: Tell) {
        self.0.lock().tell = by;
    }

    /// What has happened so far.
    pub(crate) fn counts(&self) -> Counts {
        self.0.lock().counts
    }

    /// Ends it.
    pub(crate) fn stop(&self) {
        self.0.stop.now();
    }
}

async fn discovery(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let at = |path: &str| format!("{}{path}", shared.issuer);
    Json(json!({
        "issuer": shared.issuer,
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"),
        "introspection_endpoint": at("/introspect"),
        "jwks_uri": at("/keys"),
        "end_session_endpoint": at("/end-session"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "offline_access", "api.read"],
        "claims_supported": ["sub", "sid", "name", "tenant"],
        "prompt_values_supported": ["none", "login", "select_account"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "authorization_response_iss_parameter_supported": true,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "frontchannel_logout_supported": true,
        "frontchannel_logout_session_supported": true,
    }))
}

async fn keys(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(shared.keys.document())
}

/// Whether a form was sent by a page of ours: browsers say so of each, and no page can change that.
fn is_ours(shared: &Shared, headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes() == shared.issuer.as_bytes())
}

/// For the other server that looks after a provider: no redirects, and no waiting for ever.
fn http() -> reqwest::Client {
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10));
    builder.build().unwrap_or_default()
}
