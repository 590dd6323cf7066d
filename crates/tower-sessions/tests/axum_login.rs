//! axum-login, on sessions of ours.
#![cfg(feature = "axum-login")]

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::routing::get;
use axum_login::{AuthManagerLayerBuilder, AuthUser, AuthnBackend, login_required};
use oubliette::{AccountId, AsyncTokenStore, SignIn, SignOut, TenantId, TokenStore};
use oubliette_tower_sessions::NoStore;
use oubliette_tower_sessions::axum_login::{bind, bound, session_layer};
use tower::ServiceExt as _;

#[derive(Clone, Debug)]
struct User(String);

impl AuthUser for User {
    type Id = String;

    fn id(&self) -> String {
        self.0.clone()
    }

    fn session_auth_hash(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Users are whom the store says. Their credentials are checked elsewhere: at the provider.
#[derive(Clone)]
struct Backend(AsyncTokenStore);

impl AuthnBackend for Backend {
    type User = User;
    type Credentials = User;
    type Error = Infallible;

    async fn authenticate(&self, user: User) -> Result<Option<User>, Infallible> {
        Ok(Some(user))
    }

    async fn get_user(&self, id: &String) -> Result<Option<User>, Infallible> {
        Ok(Some(User(id.clone())))
    }
}

type AuthSession = axum_login::AuthSession<Backend>;

fn account() -> AccountId {
    AccountId::new("https://login.example.com", "user-1").unwrap()
}

fn app(store: &AsyncTokenStore) -> Router {
    let login = async |mut auth: AuthSession| {
        let sign_in = SignIn::new(account(), TenantId::new("contoso").unwrap());
        let live = auth.backend.0.sign_in(sign_in).await.unwrap();
        let user = auth.authenticate(User("user-1".into())).await.unwrap().unwrap();
        bind(&auth.session, &live).await.unwrap();
        auth.login(&user).await.unwrap();
    };
    let who = async |auth: AuthSession| {
        let live = bound(&auth.session, &auth.backend.0).await.unwrap();
        format!("{} {}", auth.user.map_or("nobody".into(), |user| user.0), live.is_some())
    };
    let logout = async |mut auth: AuthSession| {
        let live = bound(&auth.session, &auth.backend.0).await.unwrap().unwrap();
        auth.backend.0.sign_out(SignOut::account(live.account())).await.unwrap();
        auth.logout().await.unwrap();
    };
    let auth = AuthManagerLayerBuilder::new(Backend(store.clone()), session_layer(store)).build();
    Router::new()
        .route("/secret", get(async || "secret"))
        .route_layer(login_required!(Backend, login_url = "/login"))
        .route("/login", get(login))
        .route("/who", get(who))
        .route("/logout", get(logout))
        .route("/flush", get(async |mut auth: AuthSession| drop(auth.logout().await.unwrap())))
        .layer(auth)
        .layer(NoStore)
}

async fn ask(app: &Router, path: &str, cookie: &str) -> (StatusCode, HeaderMap, String) {
    let request = Request::get(path).header(header::COOKIE, cookie).body(Body::empty()).unwrap();
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let body = axum::body::to_bytes(body, 1000).await.unwrap();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

async fn logged_in(app: &Router) -> String {
    let (status, headers, _) = ask(app, "/login", "").await;
    let set = headers.get(header::SET_COOKIE).unwrap().to_str().unwrap();
    assert!(status == StatusCode::OK && set.starts_with("__Host-session="), "{set}");
    assert!(["Secure", "HttpOnly", "SameSite=Lax"].iter().all(|one| set.contains(one)), "{set}");
    assert_eq!(headers.get(header::CACHE_CONTROL).unwrap(), "no-store");
    set.split_once(';').unwrap().0.to_owned()
}

#[tokio::test]
async fn login_stays_from_request_to_request() {
    let store = AsyncTokenStore::new(TokenStore::in_memory().unwrap());
    let app = app(&store);
    assert_eq!(ask(&app, "/secret", "").await.0, StatusCode::TEMPORARY_REDIRECT);
    let cookie = logged_in(&app).await;
    for _ in 0..2 {
        assert_eq!(ask(&app, "/who", &cookie).await.2, "user-1 true");
        assert_eq!(ask(&app, "/secret", &cookie).await.2, "secret");
    }
    assert_eq!(ask(&app, "/who", "__Host-session=AAAAAAAAAAAAAAAAAAAAAA").await.2, "nobody false");
}

#[tokio::test]
async fn a_sign_out_from_anywhere_logs_out() {
    let store = AsyncTokenStore::new(TokenStore::in_memory().unwrap());
    let app = app(&store);
    let cookie = logged_in(&app).await;
    store.sign_out(SignOut::account(&account())).await.unwrap();
    assert_eq!(ask(&app, "/who", &cookie).await.2, "nobody false");
    assert_eq!(ask(&app, "/secret", &cookie).await.0, StatusCode::TEMPORARY_REDIRECT);
}

#[tokio::test]
async fn logout_ends_the_session_and_the_sign_out_the_tokens() {
    let store = AsyncTokenStore::new(TokenStore::in_memory().unwrap());
    let app = app(&store);
    let cookie = logged_in(&app).await;
    let (status, headers, _) = ask(&app, "/logout", &cookie).await;
    assert_eq!(status, StatusCode::OK);
    // Browsers ignore a `__Host-` cookie without it, also one that says that it is over.
    let removal = headers.get(header::SET_COOKIE).unwrap().to_str().unwrap();
    assert!(removal.contains("Max-Age=0") && removal.contains("Secure"), "{removal}");
    assert_eq!(ask(&app, "/who", &cookie).await.2, "nobody false");
    assert!(store.account(&account()).await.unwrap().is_empty());
    // axum-login's logout alone ends one web session.
    let cookie = logged_in(&app).await;
    assert_eq!(ask(&app, "/flush", &cookie).await.0, StatusCode::OK);
    assert_eq!(ask(&app, "/who", &cookie).await.2, "nobody false");
    assert_eq!(store.account(&account()).await.unwrap().len(), 1);
}
