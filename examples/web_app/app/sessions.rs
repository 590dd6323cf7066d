//! **To copy.** The browser's cookie, and which sign-in it stands for.
//!
//! The cookie holds a random id. The web session lies in the token store, sealed and *bound* to the sign-in: however the user is signed out,
//! session and tokens go in one stroke, and no request in flight brings either back.

use oubliette::AsyncSignIn;
use oubliette_tower_sessions::{SessionLayer, bound};
use tower_sessions::Session;

use super::App;
use super::failure::Failure;

/// The cookie is for this host alone, and `Secure`: browsers take it over https, and from this machine. It comes along when the provider redirects
/// back, and not with other sites' forms. Browsers do not tell ports apart, so each app on a host names its own.
pub(crate) fn layer(app: &App) -> SessionLayer {
    SessionLayer::new(&app.store).named("app")
}

/// Who is signed in, in the browser that asks.
pub(crate) async fn who(app: &App, session: &Session) -> Result<Option<AsyncSignIn>, Failure> {
    Ok(bound(session, &app.store).await?)
}
