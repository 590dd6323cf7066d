//! **Demonstration.** The page: who is signed in, what the store holds, what came and ended it; and everything to be tried.
//!
//! It works without JavaScript: every action is a form. `live.js` only shows changes as they come.

mod actions;
mod events;
mod page;
mod refreshes;
mod view;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use tower_sessions::Session;

use super::Urls;
use super::app::App;
use super::app::failure::Failure;
use super::app::sessions::who;
use events::Events;
use refreshes::Refreshes;

/// What the page shows that is not in the store. It outlives the store's restarts.
pub(crate) struct Board {
    pub(crate) events: Events,
    pub(crate) refreshes: Refreshes,
    urls: Urls,
    /// Tenants that are shown also while nobody is signed in there.
    tenants: Vec<&'static str>,
    /// How long a slow refresh's answer is held back.
    slow_refresh: Duration,
}

impl Board {
    pub(crate) fn new(urls: Urls, has_our_tenants: bool, slow_refresh: Duration) -> Arc<Self> {
        let tenants = if has_our_tenants { vec!["contoso", "fabrikam"] } else { Vec::new() };
        Arc::new(Self {
            events: Events::default(),
            refreshes: Refreshes::default(),
            urls,
            tenants,
            slow_refresh,
        })
    }
}

#[derive(Clone)]
struct Shown {
    app: App,
    board: Arc<Board>,
    /// When the store was opened.
    opened_at: SystemTime,
}

pub(crate) fn pages(app: &App, board: &Arc<Board>) -> Router {
    let cached = |kind: &'static str, text: &'static str| {
        get(async move || {
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=60")], text)
        })
    };
    Router::new()
        .route("/", get(whole))
        .route("/board", get(fragment))
        .route("/style.css", cached("text/css; charset=utf-8", include_str!("style.css")))
        .route("/live.js", cached("text/javascript; charset=utf-8", include_str!("live.js")))
        .route("/icon.svg", cached("image/svg+xml", include_str!("icon.svg")))
        .route("/call-api", post(actions::call_api))
        .route("/slow-refresh", post(actions::slow_refresh))
        .route("/sign-out-tenant", post(actions::sign_out_tenant))
        .route("/sign-out-everybody", post(actions::sign_out_everybody))
        .with_state(Shown { app: app.clone(), board: board.clone(), opened_at: SystemTime::now() })
}

async fn whole(shown: State<Shown>, session: Session, uri: Uri) -> Result<Response, Failure> {
    if uri.query().is_some() {
        // Back from signing out at the provider: its `state` has done its service.
        return Ok(Redirect::to("/").into_response());
    }
    Ok(Html(page::whole(&inner(shown, session).await?)).into_response())
}

/// What is in the page's `main`, for `live.js`.
async fn fragment(shown: State<Shown>, session: Session) -> Result<impl IntoResponse, Failure> {
    Ok(Html(inner(shown, session).await?))
}

async fn inner(
    State(Shown { app, board, opened_at }): State<Shown>,
    session: Session,
) -> Result<String, Failure> {
    let me = who(&app, &session).await?;
    let answer = session.get::<String>(actions::ANSWER).await?.filter(|_| me.is_some());
    let view = view::view(&app, &board, me.as_ref(), opened_at).await?;
    Ok(page::inner(&board, &view, me.as_ref(), answer.as_deref()))
}

/// In hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
