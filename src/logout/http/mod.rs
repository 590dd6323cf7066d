//! What fetches a provider's documents.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "reqwest")]
use std::time::Duration;

/// What [`HttpClient::get`] returns: the body, to be awaited.
pub type HttpFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, HttpError>> + Send + 'a>>;

/// An HTTP client, as far as [`Keys`](crate::logout::Keys) needs one: it gets a provider's
/// discovery document and its keys.
///
/// With the feature `reqwest` there is [`ReqwestClient`](crate::logout::ReqwestClient). Another is
/// a few lines:
///
/// ```
/// use oubliette::logout::{HttpClient, HttpError, HttpFuture};
///
/// struct Ours;
/// # impl Ours { async fn send(&self, _: &str) -> Result<(u16, Vec<u8>), std::io::Error> { Ok((200, b"{}".to_vec())) } }
///
/// impl HttpClient for Ours {
///     fn get<'a>(&'a self, url: &'a str, max_bytes: usize) -> HttpFuture<'a> {
///         Box::pin(async move {
///             match self.send(url).await.map_err(HttpError::other)? {
///                 (200, body) if body.len() <= max_bytes => Ok(body),
///                 (200, _) => Err(HttpError::TooLarge),
///                 (status, _) => Err(HttpError::Status(status)),
///             }
///         })
///     }
/// }
/// ```
pub trait HttpClient: Send + Sync + 'static {
    /// Gets the document at `url`, which is `https`, or `http` at a loopback host.
    ///
    /// - Only the status 200 is a success. A redirect is not followed: whoever could redirect us
    ///   would choose our keys.
    /// - Over TLS the server's certificate is verified, for the host that `url` names.
    /// - A body longer than `max_bytes` is an error, found without reading much more of it.
    ///
    /// The caller sets a limit of time, and drops the future when it is over. It also looks at the
    /// length again.
    ///
    /// # Errors
    /// [`HttpError`], whatever the reason: the caller goes on with the document that it has.
    fn get<'a>(&'a self, url: &'a str, max_bytes: usize) -> HttpFuture<'a>;
}

impl<C: HttpClient + ?Sized> HttpClient for Arc<C> {
    fn get<'a>(&'a self, url: &'a str, max_bytes: usize) -> HttpFuture<'a> {
        (**self).get(url, max_bytes)
    }
}

/// Why a document was not got.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The server answered something else than 200.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// The document is longer than is taken.
    #[error("the document is too long")]
    TooLarge,
    /// There was no answer, or not all of it.
    #[error("there was no whole answer")]
    Other(#[source] Box<dyn StdError + Send + Sync>),
}

impl HttpError {
    /// An [`Other`](Self::Other), for `map_err`.
    pub fn other(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }
}

/// Longer than any fetch of ours takes: see
/// [`Keys::give_up_after`](crate::logout::Keys::give_up_after).
#[cfg(feature = "reqwest")]
const AT_MOST: Duration = Duration::from_secs(30);
#[cfg(feature = "reqwest")]
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// The default [`HttpClient`]: the crate `reqwest`, with rustls, which trusts the system's root
/// certificates.
///
/// It follows no redirects, keeps no cookies, asks for no compression (a small body could unpack to
/// a large one), and takes at most 30 s for a request. It uses the proxy that the environment names
/// (`HTTPS_PROXY`, `NO_PROXY`), as `reqwest` does.
///
/// Cloning it is cheap, and clones share their connections.
///
/// ```
/// use oubliette::logout::{Keys, ReqwestClient};
///
/// let http = ReqwestClient::new()?;
/// let keys = Keys::discovered(http.clone());
/// # Ok::<(), oubliette::logout::HttpError>(())
/// ```
#[cfg(feature = "reqwest")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest")))]
#[derive(Clone, Debug)]
pub struct ReqwestClient(reqwest::Client);

#[cfg(feature = "reqwest")]
impl ReqwestClient {
    /// A client of its own.
    ///
    /// It uses the cryptography that the process has chosen (rustls'
    /// `CryptoProvider::install_default`), or ring. Other crates' features, which can make it
    /// impossible for rustls to choose, do no harm.
    ///
    /// # Errors
    /// [`HttpError::Other`] if TLS cannot be set up: the system has root certificates, but none
    /// that is valid. On a system that has none at all, as in a container without the package
    /// `ca-certificates`, every [`get`](HttpClient::get) over `https` fails.
    pub fn new() -> Result<Self, HttpError> {
        reqwest::Client::builder()
            // Another crate's feature could make it a different TLS, with other roots than are
            // promised.
            .use_rustls_tls()
            .user_agent(concat!("oubliette/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // Off already, but for other crates' features.
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(AT_MOST)
            .build()
            .map(Self)
            .map_err(HttpError::other)
    }
}

/// For a proxy, a private root certificate, a client certificate. Redirects, cookies, compression
/// and time-outs are then as that client has them: give it `redirect(Policy::none())`.
#[cfg(feature = "reqwest")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest")))]
impl From<reqwest::Client> for ReqwestClient {
    fn from(client: reqwest::Client) -> Self {
        Self(client)
    }
}

#[cfg(feature = "reqwest")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest")))]
impl HttpClient for ReqwestClient {
    fn get<'a>(&'a self, url: &'a str, max_bytes: usize) -> HttpFuture<'a> {
        // The error would say the URL again.
        let other = |error: reqwest::Error| HttpError::other(error.without_url());
        Box::pin(async move {
            let request = self.0.get(url).header(reqwest::header::ACCEPT, "application/json");
            let mut response = request.send().await.map_err(other)?;
            if response.status() != reqwest::StatusCode::OK {
                return Err(HttpError::Status(response.status().as_u16()));
            }
            if response.content_length().is_some_and(|announced| announced > max_bytes as u64) {
                return Err(HttpError::TooLarge);
            }
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(other)? {
                if chunk.len() > max_bytes.saturating_sub(body.len()) {
                    return Err(HttpError::TooLarge);
                }
                body.extend_from_slice(&chunk);
            }
            Ok(body)
        })
    }
}
