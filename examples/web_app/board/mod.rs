//! **Demonstration.** The page: who is signed in, what the store holds, what came and ended it,
//! what became of it in an ordinary cache; and everything to be tried.
//!
//! It works without JavaScript: every action is a form. `live.js` only shows changes as they come.

mod actions;
mod compared;
mod events;
mod held;
mod html;
mod page;
mod refreshes;
mod steps;
mod story;
mod view;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use oubliette::logout::{Signal, SignedOut};
use tower_sessions::Session;

use super::app::App;
use super::app::failure::Failure;
use super::app::sessions::who;
use super::ordinary::Ordinary;
use super::site::Told;
use super::supervisor::Kill;
use super::{Fault, Urls};
use events::Events;
use refreshes::Refreshes;
use story::Story;

/// What the page shows that is not in the store. It outlives the store's restarts.
pub(crate) struct Board {
    pub(crate) refreshes: Refreshes,
    events: Events,
    story: Story,
    /// With our provider alone: other providers' tokens do not belong into a plain file. And in one
    /// process alone, whose memory it is in.
    ordinary: Option<Arc<Ordinary>>,
    /// Under a supervisor.
    kill: Option<Kill>,
    /// Whether other processes serve the same page.
    has_workers: bool,
    urls: Urls,
    /// Tenants that are shown also while nobody is signed in there.
    tenants: Vec<&'static str>,
    /// How long a slow refresh's answer is held back.
    slow_refresh: Duration,
    /// When this process began, in whole seconds.
    began: SystemTime,
}

impl Board {
    pub(crate) fn new(told: &Told, kill: Option<Kill>) -> Result<Arc<Self>, Fault> {
        let Told { folder, urls, is_ours, slow_refresh, write_every, has_workers, .. } = told;
        std::fs::create_dir_all(folder)?;
        let ordinary = match *is_ours && !has_workers {
            true => Some(Ordinary::open(folder, *write_every)?),
            false => None,
        };
        Ok(Arc::new(Self {
            refreshes: Refreshes::default(),
            events: Events::default(),
            story: Story::open(folder)?,
            ordinary,
            kill,
            has_workers: *has_workers,
            urls: urls.clone(),
            tenants: if *is_ours { vec!["contoso", "fabrikam"] } else { Vec::new() },
            slow_refresh: *slow_refresh,
            began: SystemTime::now() - Duration::from_secs(1),
        }))
    }

    /// A sign-out of a user has come. The ordinary cache's app knows of those from here alone.
    pub(crate) fn told(&self, signed_out: &SignedOut, took: Duration) {
        self.events.told(signed_out, took);
        if let (Signal::RpInitiated, Some(ordinary)) = (signed_out.signal, &self.ordinary) {
            let names: Vec<_> = signed_out.accounts.iter().map(view::name_of).collect();
            ordinary.remove(|who| names.contains(&who.user));
        }
    }

    /// Gives the ordinary cache what a login or a call has brought.
    pub(crate) async fn mirror(&self, app: &App) -> Result<(), Fault> {
        let Some(ordinary) = &self.ordinary else { return Ok(()) };
        for live in view::sign_ins(app).await? {
            let who = view::who_of(&live);
            // Whom it has lost in a kill, only a new sign-in brings back.
            if live.signed_in_at() >= self.began || ordinary.has(&who) {
                ordinary.signed_in(&who, &view::got(app, &live).await?);
                self.story.has_signed_in(&who)?;
            }
        }
        Ok(())
    }

    /// The store was opened: whom the ordinary cache has read from its file is not back, if they
    /// are signed in.
    pub(crate) async fn opened(&self, app: &App) -> Result<(), Fault> {
        let Some(ordinary) = &self.ordinary else { return Ok(()) };
        let live = view::sign_ins(app).await?;
        live.iter().map(view::who_of).for_each(|who| ordinary.is_expected(&who));
        Ok(())
    }

    /// The ordinary cache ends in order, and begins anew.
    pub(crate) fn restart(&self) -> Result<(), Fault> {
        self.ordinary.as_ref().map_or(Ok(()), |ordinary| ordinary.restart())
    }

    pub(crate) fn close(&self) -> Result<(), Fault> {
        self.ordinary.as_ref().map_or(Ok(()), |ordinary| ordinary.write())
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
        let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=60")];
        get(async move || (headers, text))
    };
    Router::new()
        .route("/", get(whole))
        .route("/board", get(fragment))
        .route("/style.css", cached("text/css; charset=utf-8", STYLE))
        .route("/live.js", cached("text/javascript; charset=utf-8", include_str!("live.js")))
        .route("/icon.svg", cached("image/svg+xml", include_str!("icon.svg")))
        .route("/call-api", post(actions::call_api))
        .route("/call-api-for", post(actions::call_api_for))
        .route("/slow-refresh", post(actions::slow_refresh))
        .route("/sign-out-tenant", post(actions::sign_out_tenant))
        .route("/sign-out-everybody", post(actions::sign_out_everybody))
        .route("/kill", post(actions::kill))
        .with_state(Shown { app: app.clone(), board: board.clone(), opened_at: SystemTime::now() })
}

const STYLE: &str = concat!(include_str!("style.css"), include_str!("steps.css"));

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

/// What nobody can guess.
pub(crate) fn random() -> Result<String, Fault> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(hex(&bytes))
}
