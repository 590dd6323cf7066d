//! `examples/axum_login.rs` end to end: a browser, the app, an OpenID provider; sign-in, API calls, refresh, sign-out, restart.

mod provider;

use std::collections::BTreeMap;
use std::path::Path;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use oubliette::logout::sign_out_routes;
use oubliette::logout::{Algorithm, Issuer, Issuers, Keys, ReqwestClient};
use oubliette::{
    AccountId, AsyncTokenStore, ClientId, KeySource, SignOut, Subject, TokenStore, openid,
};
use tower::ServiceExt as _;

use self::provider::{CLIENT, Provider, SECRET};
use crate::examples::axum_login::{Config, app};

const PUBLIC: &str = "https://app.example.com";

async fn open(folder: &Path) -> AsyncTokenStore {
    TokenStore::builder(folder.join("tokens"))
        .key(KeySource::bytes([7; 32]))
        .open_async()
        .await
        .unwrap()
}

async fn router(provider: &Provider, store: &AsyncTokenStore) -> Router {
    let config = Config {
        issuer: provider.issuer.clone(),
        client_id: CLIENT.into(),
        client_secret: SECRET.into(),
        public_url: PUBLIC.into(),
        api_url: format!("{}/api", provider.issuer),
        scopes: "openid offline_access api.read".into(),
    };
    let issuer = openid::Provider::generic(&provider.issuer).unwrap();
    let keys = Keys::discovered(ReqwestClient::new().unwrap());
    let issuer =
        Issuer::new(issuer, ClientId::new(CLIENT).unwrap(), keys).algorithms([Algorithm::EdDsa]);
    let routes = sign_out_routes(store.clone(), Issuers::new([issuer]).unwrap());
    app(config, routes.receiver()).await.unwrap().merge(routes)
}

fn jane(provider: &Provider) -> AccountId {
    AccountId::of_subject(Subject::new(&provider.issuer, "jane").unwrap())
}

/// A browser with its cookies.
#[derive(Clone)]
struct Browser {
    router: Router,
    cookies: BTreeMap<String, String>,
}

struct Page {
    status: StatusCode,
    location: Option<String>,
    set_cookie: Option<String>,
    text: String,
}

impl Browser {
    fn new(router: Router) -> Self {
        Self { router, cookies: BTreeMap::new() }
    }

    async fn get(&mut self, path: &str) -> Page {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn post(&mut self, path: &str, origin: &str) -> Page {
        self.send(Request::post(path).header("origin", origin).body(Body::empty()).unwrap()).await
    }

    async fn send(&mut self, mut request: Request<Body>) -> Page {
        let cookies: Vec<_> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        request.headers_mut().insert("cookie", cookies.join("; ").parse().unwrap());
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let header = |name| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let (location, set_cookie) = (header("location"), header("set-cookie"));
        if let Some((name, rest)) = set_cookie.as_deref().and_then(|cookie| cookie.split_once('='))
        {
            let value = rest.split(';').next().unwrap();
            if value.is_empty() || rest.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.into(), value.into());
            }
        }
        let body = to_bytes(body, 1 << 20).await.unwrap();
        Page {
            status: parts.status,
            location,
            set_cookie,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// To the provider and back: the path of the callback, not yet called.
    async fn begin_login(&mut self, provider: &Provider) -> String {
        let page = self.get("/login").await;
        assert_eq!(page.status, StatusCode::SEE_OTHER);
        let back = provider.authorize(&page.location.unwrap());
        back.strip_prefix(PUBLIC).unwrap().to_owned()
    }

    async fn login(&mut self, provider: &Provider) {
        let callback = self.begin_login(provider).await;
        let page = self.get(&callback).await;
        assert_eq!(
            (page.status, page.location.as_deref()),
            (StatusCode::SEE_OTHER, Some("/")),
            "{}",
            page.text
        );
    }

    async fn is_signed_in(&mut self) -> bool {
        self.get("/").await.text.contains("Sign out")
    }
}

struct Site {
    provider: Provider,
    store: AsyncTokenStore,
    router: Router,
    folder: tempfile::TempDir,
}

impl Site {
    async fn open() -> Self {
        let (provider, folder) = (Provider::start().await, tempfile::tempdir().unwrap());
        let store = open(folder.path()).await;
        let router = router(&provider, &store).await;
        Self { provider, store, router, folder }
    }

    fn browser(&self) -> Browser {
        Browser::new(self.router.clone())
    }

    /// As after a new deployment.
    async fn restart(self) -> Self {
        let Self { provider, store, router: old, folder } = self;
        drop(old);
        store.close().await.unwrap();
        let store = open(folder.path()).await;
        let router = router(&provider, &store).await;
        Self { provider, store, router, folder }
    }
}

#[tokio::test]
async fn a_user_signs_in_calls_the_api_and_signs_out() {
    let site = Site::open().await;
    let mut browser = site.browser();
    assert!(!browser.is_signed_in().await);
    assert_eq!(browser.get("/api").await.location.as_deref(), Some("/login"));

    browser.login(&site.provider).await;
    assert!(browser.is_signed_in().await);
    assert_eq!(browser.get("/api").await.text, "hello, at-2");
    // The store knows the provider's session: a sign-out by `sid` would find the user.
    let live = site.store.account(&jane(&site.provider)).await.unwrap();
    assert_eq!(live[0].session().map(|session| session.sid()), Some("session-1"));

    let stolen = browser.clone();
    let page = browser.post("/logout", PUBLIC).await;
    let end = page.location.unwrap();
    assert!(end.starts_with(&format!("{}/end?id_token_hint=ey", site.provider.issuer)), "{end}");
    assert!(
        end.contains(
            "&client_id=web&post_logout_redirect_uri=https%3A%2F%2Fapp.example.com%2F&state="
        ),
        "{end}"
    );
    for mut browser in [browser, stolen] {
        assert!(!browser.is_signed_in().await);
        assert_eq!(browser.get("/api").await.location.as_deref(), Some("/login"));
    }
    assert!(site.store.account(&jane(&site.provider)).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_expired_token_is_refreshed_once_for_all() {
    let site = Site::open().await;
    let mut browser = site.browser();
    site.provider.told().life = 0;
    browser.login(&site.provider).await;
    site.provider.told().life = 3600;
    let calls = (0..32).map(|_| {
        let mut browser = browser.clone();
        tokio::spawn(async move { browser.get("/api").await.text })
    });
    for call in futures::future::join_all(calls).await {
        assert_eq!(call.unwrap(), "hello, at-4");
    }
    let told = site.provider.told();
    assert_eq!((told.refreshes, told.reuses), (1, 0));
}

/// The API says no before the token's time is over; and then the refresh token is refused, too.
#[tokio::test]
async fn what_the_provider_does_not_take_back_the_user_mends() {
    let site = Site::open().await;
    let mut browser = site.browser();
    browser.login(&site.provider).await;
    site.provider.told().revoke_access();
    assert_eq!(browser.get("/api").await.text, "hello, at-4");
    site.provider.told().revoke_all();
    assert_eq!(browser.get("/api").await.location.as_deref(), Some("/login"));
    browser.login(&site.provider).await;
    assert_eq!(browser.get("/api").await.text, "hello, at-7");
    assert_eq!(site.provider.told().refreshes, 2);
}

#[tokio::test]
async fn a_sign_out_from_elsewhere_ends_the_session_too() {
    let site = Site::open().await;
    let (mut one, mut other) = (site.browser(), site.browser());
    one.login(&site.provider).await;
    other.login(&site.provider).await;
    site.store.sign_out(SignOut::account(&jane(&site.provider))).await.unwrap();
    assert!(!one.is_signed_in().await && !other.is_signed_in().await);
    // And the user signs in again, with the cookie that they still have.
    one.login(&site.provider).await;
    assert!(one.is_signed_in().await && !other.is_signed_in().await);
}

#[tokio::test]
async fn a_restart_keeps_who_is_signed_in_and_out() {
    let site = Site::open().await;
    let (mut stays, mut leaves, mut begins) = (site.browser(), site.browser(), site.browser());
    leaves.login(&site.provider).await;
    let gone = leaves.clone();
    leaves.post("/logout", PUBLIC).await;
    stays.login(&site.provider).await;
    let callback = begins.begin_login(&site.provider).await;

    let site = site.restart().await;
    for browser in [&mut stays, &mut leaves, &mut begins] {
        browser.router = site.router.clone();
    }
    assert!(stays.is_signed_in().await);
    assert_eq!(stays.get("/api").await.text, "hello, at-5");
    assert!(
        !leaves.is_signed_in().await
            && !Browser { router: site.router.clone(), ..gone }.is_signed_in().await
    );
    // A login that began before it is ended after it.
    assert_eq!(begins.get(&callback).await.location.as_deref(), Some("/"));
    assert!(begins.is_signed_in().await);
}

#[tokio::test]
async fn the_cookie_is_for_this_host_and_changes_with_the_login() {
    let site = Site::open().await;
    let mut browser = site.browser();
    let page = browser.get("/login").await;
    let cookie = page.set_cookie.unwrap();
    for flag in ["__Host-session=", "HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(flag), "{cookie}");
    }
    assert!(!cookie.contains("Domain"));
    // An attacker who planted a session in the user's browser before the login gains nothing.
    let planted = browser.clone();
    let callback = site.provider.authorize(&page.location.unwrap());
    browser.get(callback.strip_prefix(PUBLIC).unwrap()).await;
    assert!(browser.is_signed_in().await);
    for mut browser in [planted] {
        assert!(!browser.is_signed_in().await);
    }
}

#[tokio::test]
async fn a_callback_counts_once_and_in_its_own_browser() {
    let site = Site::open().await;
    let (mut mine, mut other) = (site.browser(), site.browser());
    let callback = mine.begin_login(&site.provider).await;
    // Somebody else's, with no login begun, or another one.
    assert_eq!(other.get(&callback).await.status, StatusCode::BAD_REQUEST);
    other.begin_login(&site.provider).await;
    assert_eq!(other.get(&callback).await.status, StatusCode::BAD_REQUEST);
    assert!(!other.is_signed_in().await);
    // One without a code, or with another state, ends the attempt.
    assert_eq!(
        mine.get("/callback?error=access_denied&state=x").await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(mine.get(&callback).await.status, StatusCode::BAD_REQUEST);
    let callback = mine.begin_login(&site.provider).await;
    assert_eq!(mine.get(&callback).await.status, StatusCode::SEE_OTHER);
    assert_eq!(mine.get(&callback).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_wrong_nonce_signs_nobody_in() {
    let site = Site::open().await;
    let mut browser = site.browser();
    site.provider.told().wrong_nonce = true;
    let callback = browser.begin_login(&site.provider).await;
    let page = browser.get(&callback).await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!page.text.contains("nonce") && !browser.is_signed_in().await);
    // The server's error is no reason to take it once more.
    assert_eq!(browser.get(&callback).await.status, StatusCode::BAD_REQUEST);
    assert!(site.store.account(&jane(&site.provider)).await.unwrap().is_empty());
}

#[tokio::test]
async fn new_signing_keys_are_fetched() {
    let site = Site::open().await;
    site.provider.told().key = 1;
    let mut browser = site.browser();
    browser.login(&site.provider).await;
    assert!(browser.is_signed_in().await);
}

#[tokio::test]
async fn another_site_cannot_sign_her_out() {
    let site = Site::open().await;
    let mut browser = site.browser();
    browser.login(&site.provider).await;
    for origin in ["https://evil.example.com", "null", "https://app.example.com.evil.example"] {
        assert_eq!(browser.post("/logout", origin).await.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(
        browser.send(Request::post("/logout").body(Body::empty()).unwrap()).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(browser.get("/logout").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(browser.is_signed_in().await);
}

#[tokio::test]
async fn nothing_is_redirected_to_where_a_request_says() {
    let site = Site::open().await;
    let mut browser = site.browser();
    let evil = "https%3A%2F%2Fevil.example.com";
    let page =
        browser.get(&format!("/login?next={evil}&redirect_uri={evil}&return_to={evil}")).await;
    assert!(!page.location.as_ref().unwrap().contains("evil"));
    let callback = site.provider.authorize(&page.location.unwrap());
    let page =
        browser.get(&format!("{}&next={evil}", callback.strip_prefix(PUBLIC).unwrap())).await;
    assert_eq!(page.location.as_deref(), Some("/"));
}
