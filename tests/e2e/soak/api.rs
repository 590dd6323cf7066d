//! The API that the app calls: it asks the provider about each token, and numbers its answers, so that an old one is not taken for a new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use openidconnect::reqwest::Client;
use tokio::net::TcpListener;

struct Api {
    provider: String,
    secret: String,
    http: Client,
    answers: AtomicU64,
}

/// Where it is served.
pub(crate) async fn serve(provider: String, secret: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/greeting", listener.local_addr().unwrap());
    let api = Api {
        provider,
        secret,
        http: Client::builder().no_proxy().build().unwrap(),
        answers: AtomicU64::new(0),
    };
    let router = Router::new().route("/greeting", get(greeting)).with_state(Arc::new(api));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// `jane 17`: whose token it is, and the number of the answer.
async fn greeting(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    let token = headers
        .get(header::AUTHORIZATION)
        .unwrap()
        .to_str()
        .unwrap()
        .strip_prefix("Bearer ")
        .unwrap();
    let body = format!("token={token}&client_id={}&client_secret={}", super::CLIENT, api.secret);
    let request = api.http.post(format!("{}/introspect", api.provider)).body(body);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let told: serde_json::Value =
        serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
    if told["active"] != true {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let number = api.answers.fetch_add(1, Ordering::SeqCst) + 1;
    format!("{} {number}", told["sub"].as_str().unwrap()).into_response()
}
