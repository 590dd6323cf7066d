//! What the other tests take for granted of the browser.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{AppendHeaders, Html};
use axum::routing::get;
use openidconnect::url::Url;
use std::sync::{Arc, Mutex};

use super::driver::{Driver, Kind};

/// The cookies that came into the frame.
type Seen = Arc<Mutex<Vec<String>>>;

/// The test of the front channel is one only if a frame of another site gets no cookie, not even one that is made for that.
#[tokio::test]
#[ignore = "needs Chromium: tests/e2e/browser/run"]
async fn third_party_cookies_are_blocked_where_a_test_says_so() {
    let (driver, seen) = (Driver::start().await, Seen::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let frame = format!(
        r#"<!doctype html><title>Provider</title><iframe src="http://127.0.0.1:{port}/framed"></iframe>"#
    );
    let set = AppendHeaders([
        (header::SET_COOKIE, "lax=1; SameSite=Lax"),
        (header::SET_COOKIE, "none=1; SameSite=None; Secure"),
    ]);
    let router = Router::new()
        .route("/", get(move || async move { (set, Html("<!doctype html><title>App</title>")) }))
        .route("/framed", get(framed))
        .route("/provider", get(move || async move { Html(frame) }))
        .with_state(seen.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    for (third_party_cookies, expected) in [(false, ""), (true, "none=1")] {
        let browser = driver.browser(Kind { third_party_cookies, ..Kind::USUAL }).await;
        browser.open(&format!("http://127.0.0.1:{port}/")).await;
        browser.open(&format!("http://127.0.0.1:{port}/framed")).await;
        assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), ["lax=1; none=1"]);
        browser.open(&format!("http://localhost:{port}/provider")).await;
        assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), [expected]);
    }
}

async fn framed(State(seen): State<Seen>, headers: HeaderMap) {
    let cookies = headers.get(header::COOKIE).map_or("", |value| value.to_str().unwrap());
    seen.lock().unwrap().push(cookies.into());
}

/// And without JavaScript, only if no script of a page runs.
#[tokio::test]
#[ignore = "needs Chromium: tests/e2e/browser/run"]
async fn pages_have_no_javascript_where_a_test_says_so() {
    let driver = Driver::start().await;
    let page =
        "data:text/html,<p id=p>off<script>document.getElementById('p').textContent='on'</script>";
    for (javascript, expected) in [(false, "off"), (true, "on")] {
        let browser = driver.browser(Kind { javascript, ..Kind::USUAL }).await;
        browser.open(Url::parse(page).unwrap().as_str()).await;
        assert_eq!(browser.text("#p").await, expected);
    }
}
