//! Demonstration: the API that the app calls for its users. It takes an access token, asks the provider whether it is good (introspection, RFC 7662;
//! or the userinfo endpoint, where there is no other), and greets.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use openidconnect::reqwest;
use openidconnect::url::form_urlencoded;
use serde_json::{Value, json};
use tokio::net::TcpListener;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// As whom the API asks the provider.
pub(crate) struct Config {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
}

/// Serves `GET /greeting` until the runtime ends.
pub(crate) fn serve(listener: TcpListener, config: Config) -> Result<(), Fault> {
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .build()?;
    let router =
        Router::new().route("/greeting", get(greeting)).with_state(Arc::new(Api { config, http }));
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(())
}

struct Api {
    config: Config,
    http: reqwest::Client,
}

async fn greeting(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let user = match token {
        Some(token) => api.user(token).await,
        None => Ok(None),
    };
    match user {
        Ok(Some(user)) => Json(json!({ "greeting": format!("Hello, {user}.") })).into_response(),
        Ok(None) => (
            StatusCode::UNAUTHORIZED,
            [(header::WWW_AUTHENTICATE, r#"Bearer error="invalid_token""#)],
        )
            .into_response(),
        Err(fault) => {
            eprintln!("the API: {fault}");
            StatusCode::BAD_GATEWAY.into_response()
        }
    }
}

impl Api {
    /// Whose token it is, if it is good.
    async fn user(&self, token: &str) -> Result<Option<String>, Fault> {
        let at = format!(
            "{}/.well-known/openid-configuration",
            self.config.issuer.trim_end_matches('/')
        );
        let metadata = json_of(self.http.get(at).send().await?).await?;
        let told = match (
            metadata["introspection_endpoint"].as_str(),
            metadata["userinfo_endpoint"].as_str(),
        ) {
            (Some(endpoint), _) => {
                // RFC 6749 §2.3.1: both are form-encoded first.
                let encoded = |text: &str| {
                    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()
                };
                let (id, secret) =
                    (encoded(&self.config.client_id), encoded(&self.config.client_secret));
                let body = form_urlencoded::Serializer::new(String::new())
                    .append_pair("token", token)
                    .finish();
                let request = self.http.post(endpoint).basic_auth(id, Some(secret)).body(body);
                let told = json_of(
                    request
                        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                        .send()
                        .await?,
                )
                .await?;
                Some(told).filter(|told| told["active"] == true)
            }
            (None, Some(endpoint)) => {
                let answer = self.http.get(endpoint).bearer_auth(token).send().await?;
                // RFC 6750 §3.1.
                if answer.status() == StatusCode::UNAUTHORIZED {
                    None
                } else {
                    Some(json_of(answer).await?)
                }
            }
            (None, None) => {
                return Err("the provider does not say of tokens whether they are good".into());
            }
        };
        let name = |told: &Value| {
            ["name", "username", "sub"]
                .iter()
                .find_map(|claim| told[claim].as_str().map(str::to_owned))
        };
        Ok(told.and_then(|told| name(&told)))
    }
}

async fn json_of(answer: reqwest::Response) -> Result<Value, Fault> {
    Ok(serde_json::from_slice(&answer.error_for_status()?.bytes().await?)?)
}
