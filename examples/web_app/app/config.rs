//! **To copy.** What differs from app to app, and from one deployment to the next.

use std::path::PathBuf;
use std::time::Duration;

use openidconnect::url::Url;
use oubliette::logout::Algorithm;
use oubliette::openid::Provider;
use oubliette::{ClientId, Scopes};

use super::super::Fault;

/// Comes from the environment or a file, never from a request.
pub(crate) struct Config {
    /// Where browsers find the app: scheme, host and port, without a path.
    pub(crate) public_url: String,
    /// The folder of the store, for this app alone.
    pub(crate) folder: PathBuf,
    /// Whether several processes serve the app, and have the store open: the workers of one machine.
    pub(crate) has_workers: bool,
    /// The folder below which an operator may have backups made, with the program `oubliette`: on another volume.
    pub(crate) backups: PathBuf,
    /// The file with the key that the store's own keys are sealed with: in production on another volume, or `KeySource::systemd`, `::env`, ...
    pub(crate) key_file: PathBuf,
    /// The provider's issuer, letter by letter as it writes it.
    pub(crate) issuer: String,
    /// How the provider says who the user is, and of which tenant: `Provider::entra(..)`, `::keycloak(..)`, ...
    pub(crate) provider: Provider,
    /// What the app is called there.
    pub(crate) client: ClientId,
    /// And by what it is known to be it.
    pub(crate) client_secret: String,
    /// By what the provider signs logout tokens: `backchannel_logout_signing_alg` of its registration, RS256 at most of them.
    pub(crate) algorithms: Vec<Algorithm>,
    /// For a provider whose logout tokens have no `exp`, which the specification requires: how old they may be by their `iat`.
    pub(crate) without_expiry_for: Option<Duration>,
    /// How far the provider's clock may be off, if that is not a minute.
    pub(crate) skew: Option<Duration>,
    /// For a provider whose front channel sends the user's name where others send the `sid`: what that costs is said at
    /// `Issuer::front_channel_sid_is_sub`.
    pub(crate) sid_is_sub: bool,
    /// What the access token is to be for; `openid` among them, and `offline_access` where refresh tokens are given for that alone. (Not at Keycloak:
    /// who signs in with it there cannot sign out there.)
    pub(crate) scopes: Scopes,
    /// The API that the app calls for its users.
    pub(crate) api_url: String,
}

impl Config {
    /// Refuses what would make the browser's session readable on its way.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let url = Url::parse(&self.public_url)?;
        let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() != "https" && !(url.scheme() == "http" && is_here) {
            return Err("the app's public URL is neither https nor on this machine".into());
        }
        if url.origin().ascii_serialization() != self.public_url {
            return Err("the app's public URL is more than scheme, host and port, or not in the form that browsers send".into());
        }
        Ok(())
    }

    /// Whether browsers reach the app over TLS. If not, it is one on the developer's own machine.
    pub(crate) fn is_secure(&self) -> bool {
        self.public_url.starts_with("https:")
    }

    /// Where the provider's pages come from.
    pub(crate) fn provider_origin(&self) -> String {
        Url::parse(&self.issuer)
            .map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
    }
}
