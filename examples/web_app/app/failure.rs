//! **To copy.** What failed is for the log; the user is only told that it did.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

use super::super::Fault;

pub(crate) struct Failure(pub(crate) StatusCode, pub(crate) Fault);

impl Failure {
    /// A request that no page of ours makes, or not so.
    pub(crate) fn refused(why: &'static str) -> Self {
        Self(StatusCode::BAD_REQUEST, why.into())
    }

    /// A sign-out came in between; a login that begins after this counts.
    pub(crate) fn overtaken(wait: Duration) -> Self {
        Self(
            StatusCode::CONFLICT,
            format!("a sign-out overtook a login: again in {} s", wait.as_secs() + 1).into(),
        )
    }
}

impl<E: Into<Fault>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.into())
    }
}

/// Nothing is there: no failure, and nothing for the log, which strangers could fill.
pub(crate) async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, Html(PAGE)).into_response()
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        eprintln!("{}: {}", self.0, self.1);
        let page = if self.0 == StatusCode::CONFLICT { OVERTAKEN } else { PAGE };
        (self.0, Html(page)).into_response()
    }
}

const PAGE: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>This did not work</title><link rel="icon" href="/icon.svg" type="image/svg+xml"><link rel="stylesheet" href="/style.css"><main><h1>This did not work</h1>
<p><a href="/">Begin anew</a></p></main></html>"#;

const OVERTAKEN: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Signed out elsewhere</title><link rel="icon" href="/icon.svg" type="image/svg+xml"><link rel="stylesheet" href="/style.css"><main><h1>You have just been signed out elsewhere</h1>
<p>Nothing went wrong. <a href="/login">Sign in again</a> in a minute.</p></main></html>"#;
