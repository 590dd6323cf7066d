//! **To copy.** Sign-outs: from here, and from the provider.
//!
//! The provider tells by `POST /logout/back-channel` and `GET /logout/front-channel`, which `oubliette::logout::sign_out_routes` serves
//! (`setup.rs`). Web sessions are bound to sign-ins, so nothing is left to do after one; an app that has more to end (open connections, caches)
//! gives [`App::after_sign_out`] what ends it.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use oubliette::logout::{BoxError, EndSession, SignedOut};
use tower_sessions::Session;

use super::failure::Failure;
use super::{App, sessions};

/// `POST /sign-out`: the user is signed out here first, durably, in all of their browsers; then
/// they are sent to the provider to sign out there.
pub(crate) async fn here(State(app): State<App>, session: Session) -> Result<Response, Failure> {
    let Some(live) = sessions::who(&app, &session).await? else {
        return Ok(Redirect::to("/").into_response());
    };
    let there = EndSession::new().back_to(format!("{}/", app.config.public_url));
    Ok(app.sign_outs.receiver().sign_out(&live, there).await?.answer("/").into_response())
}

impl App {
    /// Runs this after each sign-out, however it came.
    pub(crate) fn after_sign_out<F, Fut>(self, hook: F) -> Self
    where
        F: Fn(SignedOut) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Self { sign_outs: self.sign_outs.after_sign_out(hook), ..self }
    }
}
