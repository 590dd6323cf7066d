//! A small OpenID provider: discovery, keys, authorization code with PKCE, refresh tokens that rotate (and whose reuse ends them all),
//! an API that takes its access tokens, and an end-session endpoint.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use openidconnect::core::{CoreEdDsaPrivateSigningKey, CoreJwsSigningAlgorithm};
use openidconnect::{
    AccessToken, IssuerUrl, JsonWebKeyId, PrivateSigningKey, StandardClaims, SubjectIdentifier,
};
use oubliette::openid::{ProviderIdToken, ProviderIdTokenClaims};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) const CLIENT: &str = "web";
pub(crate) const SECRET: &str = "not a very secret secret";

type Params = HashMap<String, String>;

/// The provider, as the test sees it.
#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) issuer: String,
    told: Arc<Mutex<Told>>,
}

/// What it is told, and what has happened.
#[derive(Default)]
pub(crate) struct Told {
    /// `expires_in` of the next tokens.
    pub(crate) life: u64,
    /// Another nonce than was asked for, from now on.
    pub(crate) wrong_nonce: bool,
    /// Which of the keys it signs with.
    pub(crate) key: u8,
    pub(crate) refreshes: usize,
    pub(crate) reuses: usize,
    /// `id_token_hint`s of the sessions that were ended.
    pub(crate) ended: Vec<String>,
    codes: HashMap<String, Params>,
    access: HashSet<String>,
    refresh: HashSet<String>,
    count: usize,
}

impl Provider {
    /// Begins to serve, on a port of its own.
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let provider =
            Self { issuer, told: Arc::new(Mutex::new(Told { life: 3600, ..Told::default() })) };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .route("/api", get(api))
            .route("/end", get(end))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        provider
    }

    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }

    /// What the user's browser does at the authorization endpoint, and where it is sent back to:
    /// the user agrees to everything.
    pub(crate) fn authorize(&self, url: &str) -> String {
        let url = openidconnect::url::Url::parse(url).unwrap();
        assert_eq!(format!("{}/authorize", self.issuer), url.as_str().split('?').next().unwrap());
        let asked: Params = url.query_pairs().into_owned().collect();
        assert_eq!(
            (asked["client_id"].as_str(), asked["code_challenge_method"].as_str()),
            (CLIENT, "S256")
        );
        assert!(
            asked["state"].len() > 20
                && asked["nonce"].len() > 20
                && asked["scope"].contains("openid")
        );
        let mut told = self.told();
        let code = told.fresh("code");
        let back = format!("{}?code={code}&state={}", asked["redirect_uri"], asked["state"]);
        told.codes.insert(code, asked);
        back
    }
}

impl Told {
    pub(crate) fn revoke_access(&mut self) {
        self.access.clear();
    }

    pub(crate) fn revoke_all(&mut self) {
        self.access.clear();
        self.refresh.clear();
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}-{}", self.count)
    }
}

/// An Ed25519 key in PKCS #8: its place in the list is its seed.
fn signing_key(number: u8) -> CoreEdDsaPrivateSigningKey {
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend([number + 1; 32]);
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        Base64::encode_string(&der)
    );
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(
        &pem,
        Some(JsonWebKeyId::new(format!("key-{number}"))),
    )
    .unwrap()
}

async fn discovery(State(provider): State<Provider>) -> Json<Value> {
    let at = |path: &str| format!("{}{path}", provider.issuer);
    Json(json!({
        "issuer": provider.issuer, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"), "jwks_uri": at("/keys"),
        "end_session_endpoint": at("/end"), "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
    }))
}

async fn keys(State(provider): State<Provider>) -> Json<Value> {
    let key = signing_key(provider.told().key).as_verification_key();
    Json(json!({ "keys": [key] }))
}

async fn token(
    State(provider): State<Provider>,
    headers: HeaderMap,
    Form(asked): Form<Params>,
) -> Response {
    let refused =
        |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    let basic = Base64::encode_string(format!("{CLIENT}:{}", SECRET.replace(' ', "+")).as_bytes());
    if headers["authorization"] != format!("Basic {basic}") {
        return refused("invalid_client");
    }
    let mut told = provider.told();
    let nonce = match asked["grant_type"].as_str() {
        "authorization_code" => {
            let Some(began) = told.codes.remove(&asked["code"]) else {
                return refused("invalid_grant");
            };
            let challenge = Base64UrlUnpadded::encode_string(&Sha256::digest(
                asked["code_verifier"].as_bytes(),
            ));
            if challenge != began["code_challenge"]
                || asked["redirect_uri"] != began["redirect_uri"]
            {
                return refused("invalid_grant");
            }
            began["nonce"].clone()
        }
        _ => {
            told.refreshes += 1;
            if !told.refresh.remove(&asked["refresh_token"]) {
                // Somebody uses one twice: none is good any more (RFC 9700 §4.14.2).
                told.reuses += 1;
                told.refresh.clear();
                return refused("invalid_grant");
            }
            String::new()
        }
    };
    let nonce = if told.wrong_nonce { "another".into() } else { nonce };
    let (access, refresh) = (told.fresh("at"), told.fresh("rt"));
    told.access.insert(access.clone());
    told.refresh.insert(refresh.clone());
    let id_token = id_token(&provider.issuer, told.key, nonce, &access);
    Json(json!({"access_token": access, "token_type": "Bearer", "expires_in": told.life, "refresh_token": refresh, "id_token": id_token}))
        .into_response()
}

fn id_token(issuer: &str, key: u8, nonce: String, access: &str) -> ProviderIdToken {
    let now = std::time::SystemTime::now();
    let more = serde_json::from_value(json!({"sid": "session-1"})).unwrap();
    let claims = ProviderIdTokenClaims::new(
        IssuerUrl::new(issuer.into()).unwrap(),
        vec![openidconnect::Audience::new(CLIENT.into())],
        (now + std::time::Duration::from_secs(300)).into(),
        now.into(),
        StandardClaims::new(SubjectIdentifier::new("jane".into())),
        more,
    );
    let claims = claims.set_nonce(Some(openidconnect::Nonce::new(nonce)));
    let access = AccessToken::new(access.into());
    ProviderIdToken::new(
        claims,
        &signing_key(key),
        CoreJwsSigningAlgorithm::EdDsa,
        Some(&access),
        None,
    )
    .unwrap()
}

async fn api(State(provider): State<Provider>, headers: HeaderMap) -> Response {
    let given =
        headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match given {
        Some(token) if provider.told().access.contains(token) => {
            format!("hello, {token}").into_response()
        }
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn end(State(provider): State<Provider>, Query(asked): Query<Params>) -> Redirect {
    provider.told().ended.push(asked["id_token_hint"].clone());
    Redirect::to(&asked["post_logout_redirect_uri"])
}
