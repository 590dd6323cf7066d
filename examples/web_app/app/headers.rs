//! **To copy.** What browsers are told of each page, and what they must have said of each POST.
//!
//! Not for the routes at which providers tell of sign-outs: those have headers of their own.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::config::Config;
use super::failure::Failure;

/// Around what `router` is so far.
pub(crate) fn around(router: Router, config: &Arc<Config>) -> Router {
    router.layer(from_fn_with_state(config.clone(), guard))
}

/// Whether a page of ours sent this. Browsers say of each POST where it comes from, and no page can change that. (What says nothing is no
/// browser of today.)
pub(crate) fn is_own(headers: &HeaderMap, config: &Config) -> bool {
    headers
        .get(header::ORIGIN)
        .is_some_and(|origin| origin.as_bytes() == config.public_url.as_bytes())
}

async fn guard(State(config): State<Arc<Config>>, request: Request, next: Next) -> Response {
    let is_question = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = if is_question || is_own(request.headers(), &config) {
        next.run(request).await
    } else {
        Failure::refused("a request that is not from a page of ours").into_response()
    };
    let headers = response.headers_mut();
    // Nothing but our own files, no code in pages, nobody's frame. Forms go to us, and by our redirects on to the provider.
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         frame-ancestors 'none'; form-action 'self' {}",
        config.provider_origin()
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: browsers would then say `Origin: null` of our own forms.
        (header::REFERRER_POLICY, "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            header::HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=()",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Who has signed out, and goes back in the browser's history, must not see what was.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if config.is_secure() {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
    response
}
