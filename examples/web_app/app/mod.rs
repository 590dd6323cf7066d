//! **To copy.** A web app behind a login, with its users' tokens in an embedded store: what of this example belongs into an app of yours.
//!
//! | file | what it does |
//! | --- | --- |
//! | `config.rs` | what differs from app to app |
//! | `setup.rs` | opens the store and closes it, so that a restart loses nobody and brings nobody back |
//! | `login.rs` | OpenID Connect: to the provider and back |
//! | `sessions.rs` | the browser's cookie, and which sign-in it stands for |
//! | `calls.rs` | calls an API with the user's access token, refreshed when due |
//! | `sign_out.rs` | sign-outs: from here, and from the provider by back and front channel |
//! | `headers.rs` | security headers; that POSTs come from pages of the app |
//! | `failure.rs` | what a user is told when something fails |

pub(crate) mod calls;
pub(crate) mod config;
pub(crate) mod failure;
pub(crate) mod headers;
pub(crate) mod login;
pub(crate) mod sessions;
pub(crate) mod setup;
pub(crate) mod sign_out;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use openidconnect::reqwest;
use oubliette::logout::SignOutRoutes;
use oubliette::{Acquirer, AsyncTokenStore};

use config::Config;
use login::Oidc;

/// What every handler needs. Clones share it.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) config: Arc<Config>,
    pub(crate) store: AsyncTokenStore,
    pub(crate) acquirer: Acquirer,
    pub(crate) oidc: Arc<Oidc>,
    pub(crate) http: reqwest::Client,
    pub(crate) sign_outs: SignOutRoutes,
}

impl App {
    /// The routes of login and sign-out, with `pages`, which know who is signed in by [`sessions::who`].
    pub(crate) fn router(&self, pages: Router) -> Router {
        let own = Router::new()
            .route("/login", get(login::begin))
            .route("/callback", get(login::finish))
            .route("/sign-out", post(sign_out::here))
            .with_state(self.clone())
            .merge(pages)
            .fallback(failure::not_found)
            .layer(sessions::layer(self));
        headers::around(own, &self.config)
            // Outside of the layers: the provider has no cookie, its POSTs have no `Origin` of ours, and its page shows ours in a frame.
            .merge(Router::from(self.sign_outs.clone()))
    }
}
