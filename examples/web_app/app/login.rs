//! **To copy.** OpenID Connect: to the provider and back (authorization code, PKCE, nonce).
//!
//! `state`, `nonce` and PKCE verifier lie in the web session from before the login, and count once. Binding gives the session a new id.
//! Nothing is ever redirected to where a request says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Query, State};
use axum::response::Redirect;
use openidconnect::core::{CoreAuthPrompt, CoreAuthenticationFlow, CoreProviderMetadata};
use openidconnect::{
    AuthorizationCode, ClientSecret, CsrfToken, Nonce, PkceCodeChallenge, PkceCodeVerifier, Scope,
};
use openidconnect::{IssuerUrl, RedirectUrl, TokenResponse};
use oubliette::oauth::{Received, TokenRequestError};
use oubliette::openid::DiscoveredClient;
use oubliette::{Error, SessionPolicy, SignOut};
use oubliette_tower_sessions::bind_instead;
use tokio::sync::Mutex;
use tower_sessions::Session;

use super::super::Fault;
use super::failure::Failure;
use super::{App, sessions};

type Params = Query<HashMap<String, String>>;
type Client = DiscoveredClient;

/// What the provider says of itself, once it was asked.
#[derive(Default)]
pub(crate) struct Oidc(Mutex<Option<Arc<Client>>>);

impl Oidc {
    pub(crate) async fn client(&self, app: &App) -> Result<Arc<Client>, Fault> {
        let mut known = self.0.lock().await;
        match &*known {
            Some(client) => Ok(client.clone()),
            None => Ok(known.insert(discover(app).await?).clone()),
        }
    }

    /// Asks once more: its keys have changed.
    async fn client_anew(&self, app: &App) -> Result<Arc<Client>, Fault> {
        Ok(self.0.lock().await.insert(discover(app).await?).clone())
    }
}

async fn discover(app: &App) -> Result<Arc<Client>, Fault> {
    let config = &app.config;
    let metadata =
        CoreProviderMetadata::discover_async(IssuerUrl::new(config.issuer.clone())?, &app.http)
            .await?;
    let id = openidconnect::ClientId::new(config.client.as_str().to_owned());
    let client = Client::from_provider_metadata(
        metadata,
        id,
        Some(ClientSecret::new(config.client_secret.clone())),
    );
    Ok(Arc::new(
        client.set_redirect_uri(RedirectUrl::new(format!("{}/callback", config.public_url))?),
    ))
}

/// `GET /login`; with `?as=another` the provider shows its page also to a user whom it knows.
pub(crate) async fn begin(
    State(app): State<App>,
    session: Session,
    Query(asked): Params,
) -> Result<Redirect, Failure> {
    let client = app.oidc.client(&app).await?;
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let request = client.authorize_url(
        CoreAuthenticationFlow::AuthorizationCode,
        CsrfToken::new_random,
        Nonce::new_random,
    );
    let scopes = app.config.scopes.iter().map(|scope| Scope::new(scope.to_owned()));
    let mut request = request.add_scopes(scopes).set_pkce_challenge(challenge);
    if asked.get("as").is_some_and(|who| who == "another") {
        request = request.add_prompt(CoreAuthPrompt::Login);
    }
    let (url, state, nonce) = request.url();
    session.insert("login", (state, nonce, verifier)).await?;
    Ok(Redirect::to(url.as_str()))
}

/// `GET /callback`: the provider sends the user back, with a code.
pub(crate) async fn finish(
    State(app): State<App>,
    session: Session,
    Query(back): Params,
) -> Result<Redirect, Failure> {
    let begun = session.remove::<(CsrfToken, Nonce, PkceCodeVerifier)>("login").await?;
    session.save().await?; // it counts once, also if what follows fails
    let begun = begun.filter(|(state, ..)| back.get("state") == Some(state.secret()));
    let (Some((_, nonce, verifier)), Some(code)) = (begun, back.get("code")) else {
        return Err(Failure::refused("no login was begun in this browser, or it was refused"));
    };
    // A login takes the place of the one before in the same browser: nobody could reach those tokens any more, so they go.
    if let Some(before) =
        sessions::who(&app, &session).await?.as_ref().and_then(|live| live.session())
    {
        app.store.sign_out(SignOut::session(before).policy(SessionPolicy::OnlySession)).await?;
    }
    let mut client = app.oidc.client(&app).await?;
    // A sign-out that comes while the code is redeemed counts: they would be signed out of everything but this.
    let (asked_at, moment) = (SystemTime::now(), app.store.as_of().await?);
    let request =
        client.exchange_code(AuthorizationCode::new(code.clone()))?.set_pkce_verifier(verifier);
    let response = request.request_async(&app.http).await.map_err(TokenRequestError::from)?;
    let id_token = response.id_token().ok_or("no ID token: is `openid` among the scopes?")?;
    if id_token.signing_key(&client.id_token_verifier()).is_err() {
        client = app.oidc.client_anew(&app).await?; // it signs with a new key by now
    }
    let claims = id_token.claims(&client.id_token_verifier(), &nonce)?;
    let sign_in = app.config.provider.sign_in_with(claims, response.fields())?.as_of(moment);
    let received = Received::new(app.config.client.clone(), asked_at)
        .requested_scopes(app.config.scopes.clone());
    let (live, _) = match app.store.sign_in_with(sign_in, received.tokens(&response)?).await {
        Ok(signed_in) => signed_in,
        // A sign-out has overtaken this login, so nobody is signed in. Where the provider goes on with a session whose end it has told of (Keycloak
        // does, when a consent is withdrawn), the next login counts a little later.
        Err(Error::Overtaken { again_after }) => {
            return match again_after.duration_since(SystemTime::now()) {
                Ok(wait) => Err(Failure::overtaken(wait)),
                Err(_) => Ok(Redirect::to("/")),
            };
        }
        Err(error) => return Err(error.into()),
    };
    bind_instead(&session, &app.store, &live).await?; // and end an earlier sign-in of this browser
    Ok(Redirect::to("/"))
}
