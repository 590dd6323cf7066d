//! The layer as a browser sees it.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, header};
use axum::response::IntoResponse;
use axum::routing::get;
use oubliette::{AccountId, AsyncTokenStore, SignIn, SignOut, TenantId, TokenStore};
use oubliette_tower_sessions::{SessionLayer, bind_instead, bound};
use tower::ServiceExt as _;
use tower_sessions::Session;

fn store() -> AsyncTokenStore {
    AsyncTokenStore::new(TokenStore::in_memory().unwrap())
}

fn account() -> AccountId {
    AccountId::new("https://login.example.com", "user-1").unwrap()
}

fn app(layer: SessionLayer, store: &AsyncTokenStore) -> Router {
    let login = async |session: Session, State(store): State<AsyncTokenStore>| {
        let user = SignIn::new(account(), TenantId::new("contoso").unwrap());
        let live = store.sign_in(user).await.unwrap();
        bind_instead(&session, &store, &live).await.unwrap();
        ([(header::CACHE_CONTROL, "public, max-age=3600")], "in").into_response()
    };
    let who = async |session: Session, State(store): State<AsyncTokenStore>| {
        let live = bound(&session, &store).await.unwrap();
        live.map_or("nobody", |live| if *live.account() == account() { "user-1" } else { "?" })
    };
    let router = Router::new().route("/login", get(login)).route("/who", get(who));
    router.layer(layer).with_state(store.clone())
}

async fn ask(app: &Router, path: &str, cookie: Option<&str>) -> (HeaderMap, String) {
    let request = Request::get(path);
    let request = cookie.into_iter().fold(request, |all, one| all.header(header::COOKIE, one));
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1000).await.unwrap();
    (parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn cookie(headers: &HeaderMap) -> &str {
    let set = headers.get(header::SET_COOKIE).unwrap().to_str().unwrap();
    set.split_once(';').unwrap().0
}

#[tokio::test]
async fn its_cookie_is_fit_for_a_login_and_kept_by_no_cache() {
    let store = store();
    let app = app(SessionLayer::new(&store), &store);
    let (headers, _) = ask(&app, "/login", None).await;
    let set = headers.get(header::SET_COOKIE).unwrap().to_str().unwrap();
    let mut attributes: Vec<&str> = set.split("; ").collect();
    assert!(attributes.remove(0).starts_with("__Host-session="), "{set}");
    attributes.sort_unstable();
    // Within a second of eight hours: it is counted from when the response is made.
    let age = attributes.iter().find_map(|one| one.strip_prefix("Max-Age=")).unwrap();
    assert!((8 * 3600 - 60..=8 * 3600).contains(&age.parse().unwrap()), "{set}");
    attributes.retain(|one| !one.starts_with("Max-Age="));
    // No `Domain`: `__Host-` forbids it.
    assert_eq!(attributes, ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"]);
    assert_eq!(headers.get(header::CACHE_CONTROL).unwrap(), "no-store");

    let (headers, who) = ask(&app, "/who", Some(cookie(&headers))).await;
    assert_eq!((who.as_str(), headers.get(header::CACHE_CONTROL)), ("user-1", None));
}

#[tokio::test]
async fn whatever_ends_the_sign_in_ends_the_session() {
    let store = store();
    let app = app(SessionLayer::new(&store), &store);
    let (headers, _) = ask(&app, "/login", None).await;
    store.sign_out(SignOut::account(&account())).await.unwrap();
    assert_eq!(ask(&app, "/who", Some(cookie(&headers))).await.1, "nobody");
}

/// Who signs in again in the same browser has one sign-in, and others have theirs.
#[tokio::test]
async fn a_second_login_in_a_browser_ends_the_first() {
    let store = store();
    let app = app(SessionLayer::new(&store), &store);
    let (first, _) = ask(&app, "/login", None).await;
    let (_elsewhere, _) = ask(&app, "/login", None).await;
    assert_eq!(store.account(&account()).await.unwrap().len(), 2);
    let (again, _) = ask(&app, "/login", Some(cookie(&first))).await;
    assert_eq!(store.account(&account()).await.unwrap().len(), 2);
    assert_eq!(ask(&app, "/who", Some(cookie(&again))).await.1, "user-1");
    assert_eq!(ask(&app, "/who", Some(cookie(&first))).await.1, "nobody");
}

#[tokio::test]
async fn it_can_be_named_and_last_otherwise() {
    let store = store();
    let layer = SessionLayer::new(&store).named("ad;min=\n_2").idle_for(Duration::from_secs(60));
    let (headers, _) = ask(&app(layer, &store), "/login", None).await;
    let set = headers.get(header::SET_COOKIE).unwrap().to_str().unwrap();
    assert!(set.starts_with("__Host-admin_2=") && set.contains("Secure"), "{set}");
    assert!(set.contains("Max-Age=60") || set.contains("Max-Age=59"), "{set}");
}
