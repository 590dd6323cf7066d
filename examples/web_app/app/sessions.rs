//! **To copy.** The browser's cookie, and which sign-in it stands for.
//!
//! The cookie holds a random id. The web session lies in the token store, sealed and *bound* to the sign-in: however the user is signed out,
//! session and tokens go in one stroke, and no request in flight brings either back.

use oubliette::AsyncSignIn;
use oubliette_tower_sessions::{OublietteSessions, bound};
use tower_sessions::cookie::{SameSite, time::Duration};
use tower_sessions::{Expiry, Session, SessionManagerLayer};

use super::App;
use super::failure::Failure;

pub(crate) fn layer(app: &App) -> SessionManagerLayer<OublietteSessions> {
    let is_secure = app.config.is_secure();
    SessionManagerLayer::new(OublietteSessions::new(app.store.blocking().clone()))
        // For this host alone. Browsers take that name over https only; without, other apps on this machine could set it: let them.
        .with_name(if is_secure { "__Host-app" } else { "app" })
        .with_secure(is_secure)
        .with_http_only(true)
        // It comes along when the provider redirects back, and not with other sites' forms.
        .with_same_site(SameSite::Lax)
        .with_expiry(Expiry::OnInactivity(Duration::hours(8)))
}

/// Who is signed in, in the browser that asks.
pub(crate) async fn who(app: &App, session: &Session) -> Result<Option<AsyncSignIn>, Failure> {
    Ok(bound(session, app.store.blocking()).await?.map(AsyncSignIn::from))
}
