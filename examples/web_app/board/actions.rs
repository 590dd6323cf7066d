//! **Demonstration.** What can be tried from the page. That a request comes from it, `app/headers.rs` has checked.
//!
//! To sign out a tenant or everybody is for operators: a real app would ask who that is.

use std::time::Instant;

use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use oubliette::{SignOut, TenantId};
use serde::Deserialize;
use tower_sessions::Session;

use super::super::app::calls::{Called, call};
use super::super::app::failure::Failure;
use super::super::app::sessions::who;
use super::{Shown, refreshes, view};

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
    Ok(Redirect::to("/").into_response())
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
    board.events.push("everybody", "everybody", None, began.elapsed(), Some(&receipt));
    Ok(Redirect::to("/"))
}
