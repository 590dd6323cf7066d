//! One fetch of a provider's documents: what is asked for, and what of the answers is used.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use openidconnect::url::Url;
use tokio::time::timeout;

use super::Source;
use crate::logout::http::{HttpClient, HttpError};
use crate::logout::jose::key_set::{KeySet, MAX_KEY_SET_BYTES, NoKeys};
use crate::logout::keys::discovery::{Discovery, Unusable, address};
use crate::model::error::{Error, Result};
use crate::openid::Provider;

/// How a provider's documents are fetched.
pub(super) struct Fetch {
    pub(super) http: Arc<dyn HttpClient>,
    pub(super) source: Source,
    pub(super) provider: Provider,
    /// For all of it.
    pub(super) give_up_after: Duration,
}

/// Why a fetch did not bring what it should. It names no address, but keys.
#[derive(Debug)]
pub(super) enum Problem {
    Late,
    Discovery(Failed<Unusable>),
    Keys(Failed<NoKeys>),
}

/// Why a document was not got.
#[derive(Debug)]
pub(super) enum Failed<E> {
    Late,
    Http(HttpError),
    Unusable(E),
}

impl Fetch {
    /// The discovery document, and where the keys are: by that document or, if there is no good
    /// one, by that of `before`.
    ///
    /// # Errors
    /// Why there is no document, if there was none before either.
    pub(super) async fn discover(&self, before: Option<&Discovery>) -> Result<Discovered, Problem> {
        let from_issuer;
        let url = match &self.source {
            Source::At(jwks_uri) => {
                return Ok(Discovered {
                    document: None,
                    jwks_uri: jwks_uri.clone(),
                    problem: None,
                });
            }
            Source::DiscoveredAt(url) => url.as_str(),
            Source::Discovered => {
                from_issuer = self.provider.discovery_url();
                &from_issuer
            }
        };
        // A silent server must leave time for the keys, where these could still be had.
        let limit = if before.is_some() { self.give_up_after / 2 } else { self.give_up_after };
        let got = match timeout(limit, self.get(url)).await {
            Ok(got) => got
                .and_then(|json| Discovery::parse(&json, &self.provider).map_err(Failed::Unusable)),
            Err(_) => Err(Failed::Late),
        };
        match (got, before) {
            (Ok(document), _) => {
                let jwks_uri = document.jwks_uri.clone();
                Ok(Discovered { document: Some(document), jwks_uri, problem: None })
            }
            (Err(problem), Some(before)) => {
                let problem = Some(Problem::Discovery(problem));
                Ok(Discovered { document: None, jwks_uri: before.jwks_uri.clone(), problem })
            }
            (Err(problem), None) => Err(Problem::Discovery(problem)),
        }
    }

    pub(super) async fn keys(&self, jwks_uri: &Url) -> Result<KeySet, Problem> {
        let jwks = self.get(jwks_uri.as_str()).await.map_err(Problem::Keys)?;
        KeySet::read(&jwks).map_err(|no_keys| Problem::Keys(Failed::Unusable(no_keys)))
    }

    async fn get<E>(&self, url: &str) -> Result<Vec<u8>, Failed<E>> {
        match self.http.get(url, MAX_KEY_SET_BYTES).await {
            // The client is another's.
            Ok(body) if body.len() > MAX_KEY_SET_BYTES => Err(Failed::Http(HttpError::TooLarge)),
            got => got.map_err(Failed::Http),
        }
    }
}

/// What [`Fetch::discover`] found.
pub(super) struct Discovered {
    /// The new document.
    pub(super) document: Option<Discovery>,
    pub(super) jwks_uri: Url,
    /// Why it is not a new one, where there should be.
    pub(super) problem: Option<Problem>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("it took too long"),
            Self::Discovery(failed) => write!(f, "discovery document: {failed}"),
            Self::Keys(failed) => write!(f, "keys: {failed}"),
        }
    }
}

impl<E: fmt::Display> fmt::Display for Failed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("it took too long"),
            Self::Http(error) => error.fmt(f),
            Self::Unusable(error) => error.fmt(f),
        }
    }
}

/// An address that the app gave: `https`, or `http` at a loopback host, as in tests.
pub(super) fn given(url: &str, field: &'static str) -> Result<Url> {
    address(url, true)
        .ok_or(Error::invalid(field, "it is no https URL, or has a fragment or a user in it"))
}
