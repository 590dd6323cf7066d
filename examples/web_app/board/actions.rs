//! **Demonstration.** What can be tried from the page. That a request comes from it,
//! `app/headers.rs` has checked.
//!
//! To sign out a tenant or everybody is for operators: a real app would ask who that is.

use std::net::SocketAddr;
use std::time::Instant;

use axum::Form;
use axum::extract::{ConnectInfo, State};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use oubliette::{SignOut, TenantId};
use serde::Deserialize;
use tower_sessions::Session;

use super::super::app::calls::{Called, call};
use super::super::app::failure::Failure;
use super::super::app::sessions::who;
use super::super::ordinary::{self, Who};
use super::{Shown, page, refreshes, view};

/// Where the API's answer is kept in the web session, to be shown.
pub(super) const ANSWER: &str = "answer";
/// So much of it.
const LONGEST_ANSWER: usize = 1000;

pub(super) async fn call_api(
    State(shown): State<Shown>,
    session: Session,
) -> Result<Response, Failure> {
    let Some(live) = who(&shown.app, &session).await? else {
        return Ok(Redirect::to("/").into_response());
    };
    let answer = match call(&shown.app, &live).await? {
        Called::Answered { status, text } => {
            let text: String = text.chars().take(LONGEST_ANSWER).collect();
            if status.is_success() { text } else { format!("The API answered {status}.") }
        }
        Called::SignInAgain => {
            "The provider gives no more tokens for this sign-in: sign in again.".into()
        }
    };
    session.insert(ANSWER, answer).await?;
    shown.board.mirror(&shown.app).await?;
    Ok(Redirect::to("/").into_response())
}

/// With what the ordinary cache has of a user, whether they are signed in or not.
pub(super) async fn call_api_for(
    State(Shown { app, board, .. }): State<Shown>,
    Form(who): Form<Who>,
) -> Result<Redirect, Failure> {
    let cache = board.ordinary.as_ref().ok_or(Failure::refused("there is no ordinary cache"))?;
    if !cache.has(&who) {
        return Ok(Redirect::to("/")); // gone since the page was loaded
    }
    let answer = ordinary::calls::call(&app, cache, &who).await?;
    cache.said(&who, answer.chars().take(LONGEST_ANSWER).collect());
    Ok(Redirect::to("/"))
}

pub(super) async fn slow_refresh(
    State(shown): State<Shown>,
    session: Session,
) -> Result<Redirect, Failure> {
    if let Some(live) = who(&shown.app, &session).await? {
        refreshes::begin(shown, live);
    }
    Ok(Redirect::to("/"))
}

#[derive(Deserialize)]
pub(super) struct Which {
    tenant: String,
}

pub(super) async fn sign_out_tenant(
    State(shown): State<Shown>,
    Form(which): Form<Which>,
) -> Result<Redirect, Failure> {
    let Shown { app, board, .. } = shown;
    let tenant = TenantId::new(which.tenant)?;
    if !view::is_shown(&app, &board, &tenant).await? {
        return Err(Failure::refused("no such tenant"));
    }
    let began = Instant::now();
    let receipt = app.store.sign_out(SignOut::tenant(&tenant)).await?;
    if let Some(ordinary) = &board.ordinary {
        ordinary.remove(|who| who.tenant == tenant.as_str());
    }
    board.events.push(
        "tenant",
        "tenant",
        Some(tenant.as_str().to_owned()),
        began.elapsed(),
        Some(&receipt),
    );
    Ok(Redirect::to("/"))
}

pub(super) async fn sign_out_everybody(
    State(Shown { app, board, .. }): State<Shown>,
) -> Result<Redirect, Failure> {
    let began = Instant::now();
    let receipt = app.store.sign_out(SignOut::everybody()).await?;
    if let Some(ordinary) = &board.ordinary {
        ordinary.remove(|_| true);
    }
    board.events.push("everybody", "everybody", None, began.elapsed(), Some(&receipt));
    Ok(Redirect::to("/"))
}

#[derive(Deserialize)]
pub(super) struct Proof {
    token: String,
}

/// Kills this process. Answers first: what follows is only the next process's to say.
pub(super) async fn kill(
    State(Shown { board, .. }): State<Shown>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Form(Proof { token }): Form<Proof>,
) -> Result<Html<String>, Failure> {
    match board.kill.as_ref().filter(|kill| kill.may(peer, &token)) {
        Some(kill) => {
            kill.now();
            Ok(Html(page::killed()))
        }
        None => Err(Failure::refused("a kill from elsewhere, or without a supervisor")),
    }
}
