//! Where a provider's keys come from: given by the app, or fetched and cached.

mod cache;
pub(crate) mod discovery;
mod fetch;
mod pending_fetch;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use openidconnect::url::Url;

use crate::logout::http::HttpClient;
use crate::logout::jose::key_set::{KeySet, KeysError};
use crate::model::error::Result;
use crate::openid::Provider;

pub(crate) use cache::Cache;
use fetch::given;

/// Where the keys of a provider come from: given once, or fetched when they are needed, and cached.
///
/// ```
/// use oubliette::logout::{Keys, ReqwestClient};
///
/// // From the provider's discovery document, the usual way:
/// let keys = Keys::discovered(ReqwestClient::new()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # How keys are fetched
/// Only a token in which everything but the signature was checked has keys fetched. From then on:
///
/// - A token with an unknown key, or with a signature that does not verify (the key may have
///   changed under its name), has the keys fetched again, **at most once in 5 s**
///   ([`ask_again_after`](Self::ask_again_after)), whatever the reason and the outcome: so an
///   attacker with made-up tokens cannot make us flood the provider.
/// - It waits for the fetch that is going on, or for the next one that may begin, and is then
///   checked again: so a token that was signed with a key that the provider has published is not
///   lost. The tokens that wait at a time take up at most 16 MiB for an issuer, which is some
///   thousands of usual tokens; further ones are refused at once. So a flood of made-up tokens can
///   at most cause the refusal of a genuine one that is signed with a key published less than 5 s
///   before.
/// - Keys older than an hour ([`refresh_every`](Self::refresh_every)) are fetched again in the
///   background, when a token comes. They serve meanwhile.
/// - **The old keys serve for as long as fetching fails**, without a limit. To refuse a genuine
///   sign-out would keep tokens that must go; a key that was withdrawn in the meantime can do no
///   more than end sign-ins.
/// - The discovery document is fetched again with the keys, which may have moved. If it cannot be
///   fetched, or is not valid, the one before serves. Nothing unusable ever replaces what works.
/// - A fetch takes at most 5 s ([`give_up_after`](Self::give_up_after)) and 256 KiB a document. It
///   runs in a task of its own, and goes on even if the sender of the token hangs up.
///
/// Each [`Issuer`](crate::logout::Issuer) has keys of its own, which its clones share. Two issuers
/// that are made with the same `Keys` share only the HTTP client, so that no provider can sign for
/// another.
///
/// Fetching needs a tokio runtime with its clock and its sockets (`enable_all`).
#[derive(Clone)]
#[must_use]
pub struct Keys(Origin);

#[derive(Clone)]
enum Origin {
    Fixed(KeySet),
    Fetched(Arc<dyn HttpClient>, Source, Pace),
}

/// Where a fetch begins.
#[derive(Clone)]
enum Source {
    /// At the document that the issuer's URL leads to.
    Discovered,
    /// At a document elsewhere.
    DiscoveredAt(Url),
    /// Without a document.
    At(Url),
}

/// How often keys are fetched, and how long it may take.
#[derive(Clone, Copy, Debug)]
struct Pace {
    refresh_every: Duration,
    ask_again_after: Duration,
    give_up_after: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            refresh_every: Duration::from_secs(60 * 60),
            ask_again_after: Duration::from_secs(5),
            give_up_after: Duration::from_secs(5),
        }
    }
}

impl Keys {
    /// Uses these keys and no others: a JWK Set (RFC 7517 §5). When the provider changes its keys,
    /// add the new ones here first.
    ///
    /// # Errors
    /// [`KeysError`] if it is not such a document, or has no key that can be used.
    pub fn fixed(jwks: &[u8]) -> Result<Self, KeysError> {
        Ok(Self(Origin::Fixed(KeySet::parse(jwks)?)))
    }

    /// The keys that the provider's discovery document names, at
    /// `<issuer>/.well-known/openid-configuration` (OpenID Connect Discovery 1.0 §4). Its `issuer`
    /// must be the provider's, and its `jwks_uri` an `https` URL: at any host, for large
    /// providers keep their keys elsewhere.
    ///
    /// So an app whose *customers* name their issuers sends requests to addresses of the customers'
    /// choice, and shows nobody the answer. If some hosts must not be reached, let the client
    /// refuse them:
    ///
    /// ```
    /// use oubliette::logout::{HttpClient, HttpError, HttpFuture, Keys, ReqwestClient};
    ///
    /// struct Outside(ReqwestClient);
    ///
    /// impl HttpClient for Outside {
    ///     fn get<'a>(&'a self, url: &'a str, max_bytes: usize) -> HttpFuture<'a> {
    ///         if url.contains(".internal") {
    ///             return Box::pin(async { Err(HttpError::other("not from here")) });
    ///         }
    ///         self.0.get(url, max_bytes)
    ///     }
    /// }
    /// # fn main() -> Result<(), HttpError> {
    /// let keys = Keys::discovered(Outside(ReqwestClient::new()?));
    /// # Ok(()) }
    /// ```
    ///
    /// (Against names that resolve to internal addresses, give
    /// [`ReqwestClient`](crate::logout::ReqwestClient) a client with a resolver or a proxy that
    /// knows them.)
    pub fn discovered(http: impl HttpClient) -> Self {
        Self::fetched_from(Source::Discovered, http)
    }

    /// As [`discovered`](Self::discovered), for a document at another address, as that of B2C,
    /// which names the user flow. The `issuer` in it must still be the provider's.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) if it is no `https` URL (`http` is taken
    /// for loopback hosts, as in tests).
    pub fn discovered_at(url: &str, http: impl HttpClient) -> Result<Self> {
        Ok(Self::fetched_from(Source::DiscoveredAt(given(url, "discovery URL")?), http))
    }

    /// The keys at this address, for a provider without a discovery document.
    ///
    /// # Errors
    /// As [`discovered_at`](Self::discovered_at).
    pub fn fetched(jwks_uri: &str, http: impl HttpClient) -> Result<Self> {
        Ok(Self::fetched_from(Source::At(given(jwks_uri, "jwks_uri")?), http))
    }

    /// After how long keys are fetched again although all signatures verify: an hour by default. A
    /// withdrawn key is trusted for so long while the provider can be reached and tokens come.
    pub fn refresh_every(self, age: Duration) -> Self {
        self.paced(|pace| pace.refresh_every = age)
    }

    /// The least time from the beginning of a fetch to that of the next: 5 s by default. Without it
    /// (zero), every token that anybody sends can cause a request to the provider. Tokens wait for
    /// the next fetch only if that may begin within 30 s.
    pub fn ask_again_after(self, interval: Duration) -> Self {
        self.paced(|pace| pace.ask_again_after = interval)
    }

    /// How long a fetch may take, of the discovery document and the keys together: 5 s by default.
    pub fn give_up_after(self, limit: Duration) -> Self {
        self.paced(|pace| pace.give_up_after = limit)
    }

    /// A cache for this provider's keys alone: nothing that is fetched for it serves another.
    pub(crate) fn cache(&self, provider: &Provider) -> Cache {
        match &self.0 {
            Origin::Fixed(keys) => Cache::fixed(keys.clone()),
            Origin::Fetched(http, source, pace) => {
                Cache::fetched(http.clone(), source.clone(), *pace, provider.clone())
            }
        }
    }

    fn fetched_from(source: Source, http: impl HttpClient) -> Self {
        Self(Origin::Fetched(Arc::new(http), source, Pace::default()))
    }

    fn paced(mut self, change: impl FnOnce(&mut Pace)) -> Self {
        if let Origin::Fetched(_, _, pace) = &mut self.0 {
            change(pace);
        }
        self
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Origin::Fixed(keys) => f.debug_tuple("Fixed").field(keys).finish(),
            Origin::Fetched(_, source, pace) => {
                let source = match source {
                    Source::Discovered => "the issuer's discovery document",
                    Source::DiscoveredAt(url) | Source::At(url) => url.as_str(),
                };
                f.debug_struct("Fetched")
                    .field("from", &source)
                    .field("pace", pace)
                    .finish_non_exhaustive()
            }
        }
    }
}
