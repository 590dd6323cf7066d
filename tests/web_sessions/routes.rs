//! The whole way through `tower-sessions`' layer and axum, as a browser goes it. The first half
//! asks what that crate's own tests ask of a store.

use ::tower_sessions::{Expiry, SessionManagerLayer};
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode, header};
use axum::routing::get;
use oubliette_tower_sessions::bound;
use tower::ServiceExt as _;

use super::*;

fn app(store: &TokenStore, max_age: Option<time::Duration>) -> axum::Router {
    let layer = SessionManagerLayer::new(OublietteSessions::new(store.clone()));
    let layer =
        if let Some(age) = max_age { layer.with_expiry(Expiry::OnInactivity(age)) } else { layer };
    axum::Router::new()
        .route("/", get(|_: Session| async { "nothing" }))
        .route(
            "/put",
            get(|session: Session| async move { session.insert("number", 42).await.unwrap() }),
        )
        .route(
            "/get",
            get(|session: Session| async move {
                format!("{:?}", session.get::<u32>("number").await.unwrap())
            }),
        )
        .route(
            "/remove",
            get(|session: Session| async move {
                session.remove::<u32>("number").await.unwrap();
            }),
        )
        .route("/cycle", get(|session: Session| async move { session.cycle_id().await.unwrap() }))
        .route("/flush", get(|session: Session| async move { session.flush().await.unwrap() }))
        .route(
            "/day",
            get(|session: Session| async move {
                session.set_expiry(Some(Expiry::AtDateTime(
                    OffsetDateTime::now_utc() + time::Duration::days(1),
                )));
            }),
        )
        .route(
            "/end",
            get(|session: Session| async move { session.set_expiry(Some(Expiry::OnSessionEnd)) }),
        )
        .route(
            "/login",
            get(|session: Session, State(store): State<TokenStore>| async move {
                let live = tokio::task::spawn_blocking(move || store.sign_in(sign_in(1)).unwrap())
                    .await
                    .unwrap();
                bind(&session, &live).await.unwrap();
            }),
        )
        .route(
            "/who",
            get(|session: Session, State(store): State<TokenStore>| async move {
                format!("{}", bound(&session, &store).await.unwrap().is_some())
            }),
        )
        .with_state(store.clone())
        .layer(layer)
}

/// A browser: it keeps one cookie.
struct Browser {
    app: axum::Router,
    cookie: Option<String>,
    /// The last `Set-Cookie`, whole.
    set: Option<String>,
}

impl Browser {
    fn new(store: &TokenStore, max_age: Option<time::Duration>) -> Self {
        Self { app: app(store, max_age), cookie: None, set: None }
    }

    async fn get(&mut self, path: &str) -> String {
        let mut request = Request::builder().uri(path);
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, format!("id={cookie}"));
        }
        let response =
            self.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        self.set =
            response.headers().get(header::SET_COOKIE).map(|set| set.to_str().unwrap().to_owned());
        if let Some(set) = &self.set {
            let value = set.split(';').next().unwrap().strip_prefix("id=").unwrap();
            self.cookie = Some(value.to_owned()).filter(|value| !value.is_empty());
        }
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// How long the cookie is to be kept, if it says so.
    fn max_age(&self) -> Option<i64> {
        self.set.as_ref()?.split("; ").find_map(|part| part.strip_prefix("Max-Age=")?.parse().ok())
    }
}

fn store() -> TokenStore {
    TokenStore::in_memory().unwrap()
}

#[tokio::test]
async fn who_stores_nothing_gets_no_cookie_and_an_unknown_or_malformed_one_is_replaced() {
    let store = store();
    let mut browser = Browser::new(&store, None);
    browser.get("/").await;
    assert_eq!(browser.set, None);
    for bogus in ["AAAAAAAAAAAAAAAAAAAAAA", "malformed"] {
        browser.cookie = Some(bogus.into());
        browser.get("/put").await;
        let cookie = browser.cookie.clone().unwrap();
        assert_ne!(cookie, bogus);
        assert_eq!(browser.get("/get").await, "Some(42)");
    }
}

#[tokio::test]
async fn what_is_put_is_got_and_what_is_removed_is_not() {
    let store = store();
    let mut browser = Browser::new(&store, Some(time::Duration::hours(1)));
    assert_eq!(browser.get("/get").await, "None");
    browser.get("/put").await;
    let set = browser.set.clone().unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    assert_eq!(browser.get("/get").await, "Some(42)");
    assert_eq!(Browser::new(&store, None).get("/get").await, "None");
    browser.get("/remove").await;
    assert_eq!(browser.get("/get").await, "None");
}

#[tokio::test]
async fn another_id_has_the_same_data_and_the_old_one_none() {
    let store = store();
    let mut browser = Browser::new(&store, None);
    browser.get("/put").await;
    let old = browser.cookie.clone();
    browser.get("/cycle").await;
    assert_ne!(browser.cookie, old);
    assert_eq!(browser.get("/get").await, "Some(42)");
    browser.cookie = old;
    assert_eq!(browser.get("/get").await, "None");
}

#[tokio::test]
async fn a_flush_takes_the_cookie_and_the_session() {
    let store = store();
    let mut browser = Browser::new(&store, Some(time::Duration::hours(1)));
    browser.get("/put").await;
    let old = browser.cookie.clone();
    browser.get("/flush").await;
    assert_eq!((browser.cookie.as_ref(), browser.max_age()), (None, Some(0)));
    browser.cookie = old;
    assert_eq!(browser.get("/get").await, "None");
}

#[tokio::test]
async fn the_cookie_goes_by_the_expiry_that_is_set() {
    let store = store();
    let mut browser = Browser::new(&store, Some(time::Duration::hours(1)));
    browser.get("/put").await;
    assert!((3598..=3600).contains(&browser.max_age().unwrap()));
    browser.get("/day").await;
    assert!((86_398..=86_400).contains(&browser.max_age().unwrap()));
    browser.get("/end").await;
    assert!(browser.set.is_some() && browser.max_age().is_none());
    assert_eq!(browser.get("/get").await, "Some(42)");
}

#[tokio::test]
async fn a_logout_from_any_app_logs_the_browser_out() {
    let store = store();
    let (mut browser, mut other) = (Browser::new(&store, None), Browser::new(&store, None));
    browser.get("/put").await;
    let before = browser.cookie.clone();
    browser.get("/login").await;
    other.get("/login").await;
    assert_ne!(browser.cookie, before);
    assert_eq!(
        (browser.get("/who").await, browser.get("/get").await),
        ("true".into(), "Some(42)".into())
    );
    let cookie = browser.cookie.clone();
    store.sign_out(SignOut::account(&account(1))).unwrap();
    for browser in [&mut browser, &mut other] {
        assert_eq!(
            (browser.get("/who").await, browser.get("/get").await),
            ("false".into(), "None".into())
        );
    }
    // What is stored in the old cookie's name now is another session, of nobody's.
    browser.cookie = cookie.clone();
    browser.get("/put").await;
    assert_ne!(browser.cookie, cookie);
    assert_eq!(browser.get("/who").await, "false");
    browser.get("/login").await;
    assert_eq!(browser.get("/who").await, "true");
}
