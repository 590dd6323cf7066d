//! **Demonstration.** The API called with what the cache has, and the refresh token redeemed.

use std::time::SystemTime;

use openidconnect::{OAuth2TokenResponse, RefreshToken};
use oubliette::oauth::TokenRequestError;

use super::super::Fault;
use super::super::app::App;
use super::{Got, Ordinary, Who};

/// What the API says to this user's token. It is refreshed if it is due, and stored again.
pub(crate) async fn call(app: &App, cache: &Ordinary, who: &Who) -> Result<String, Fault> {
    let Some(mut got) = cache.tokens(who) else { return Ok("There is no token.".into()) };
    if got.good_access().is_none() {
        let Some(refresh) = got.refresh.take() else { return Ok("No token is good.".into()) };
        let Ok(new) = redeem(app, refresh).await else {
            return Ok("The provider gives no new token.".into());
        };
        cache.refreshed(who, &new);
        got = new;
    }
    let Some(token) = got.good_access() else { return Ok("No token is good.".into()) };
    let answer = app.http.get(&app.config.api_url).bearer_auth(token).send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    Ok(if status.is_success() { text } else { format!("The API answered {status}.") })
}

async fn redeem(app: &App, refresh: String) -> Result<Got, Fault> {
    let client = app.oidc.client(app).await?;
    let refresh = RefreshToken::new(refresh);
    let request = client.exchange_refresh_token(&refresh)?.request_async(&app.http);
    Ok(got(&request.await.map_err(TokenRequestError::from)?))
}

/// What a cache takes from a token response.
pub(crate) fn got(response: &impl OAuth2TokenResponse) -> Got {
    let expires_at = response.expires_in().map(|life| SystemTime::now() + life);
    let access = Some((response.access_token().secret().clone(), expires_at));
    Got { access, refresh: response.refresh_token().map(|token| token.secret().clone()) }
}
