//! **To copy.** Calls an API with the user's access token.
//!
//! A token is asked for at each call. One that is due is refreshed once, whoever asks; what the provider does not take back, the user mends.

use axum::http::StatusCode;
use oubliette::{
    AccessQuery, AccessRequest, AcquireError, AsyncSignIn, Grant, RefreshError, Tokens,
};

use super::super::Fault;
use super::App;

/// What comes of a call.
pub(crate) enum Called {
    /// The API's answer.
    Answered { status: StatusCode, text: String },
    /// Only the user can help: send them to [`login`](super::login::begin).
    SignInAgain,
}

/// The access token that the API wants.
pub(crate) fn wanted(app: &App) -> AccessQuery {
    AccessQuery::new(app.config.client.clone()).scopes(app.config.scopes.clone())
}

pub(crate) async fn call(app: &App, live: &AsyncSignIn) -> Result<Called, Fault> {
    let mut request = AccessRequest::new(wanted(app));
    for is_last in [false, true] {
        let refresher = app.clone();
        let token = match app
            .acquirer
            .acquire_async(live, request.clone(), |grant| redeem(refresher, grant))
            .await
        {
            Ok(token) => token,
            Err(AcquireError::InteractionRequired { .. } | AcquireError::SignedOut) => break,
            Err(error) => return Err(error.into()),
        };
        let answer =
            app.http.get(&app.config.api_url).bearer_auth(token.secret.expose()).send().await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(Called::Answered { status: answer.status(), text: answer.text().await? });
        }
        if is_last {
            break;
        }
        request = request.instead_of(&token); // revoked, perhaps: refreshed once, however many are told so
    }
    Ok(Called::SignInAgain)
}

/// Redeems the refresh token: run once, however many ask.
pub(crate) async fn redeem(app: App, grant: Grant) -> Result<Tokens, RefreshError> {
    let client = app.oidc.client(&app).await.map_err(RefreshError::failed)?;
    grant.redeem_async(&client, &app.http).await
}
