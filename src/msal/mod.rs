//! Reads the token caches that the MSAL libraries write: for .NET, Java, Python and Node.
//!
//! ```
//! use oubliette::msal::{MsalCache, MsalSignIn};
//! use oubliette::{Error, TokenStore};
//!
//! # let file = br#"{"AccessToken": {"any key": {"home_account_id": "uid.utid", "environment": "login.example.com",
//! #     "client_id": "web", "realm": "utid", "target": "mail.read", "expires_on": "1795136400", "secret": "at"}}}"#;
//! // let file = std::fs::read("msal_cache.json")?;
//! let cache = MsalCache::read(file)?;
//! for problem in &cache.problems {
//!     eprintln!("not imported: {problem}");
//! }
//! let store = TokenStore::in_memory()?;
//! for MsalSignIn { others, sign_in, tokens, .. } in cache.sign_ins {
//!     for other in others {
//!         let _ = store.sign_in(other);
//!     }
//!     match store.sign_in(sign_in) {
//!         Ok(live) => live.put(tokens).map(drop)?,
//!         // Signed out since, or longer ago than the store keeps sign-ins.
//!         Err(Error::SignedOut | Error::InvalidInput { .. }) => {}
//!         Err(error) => return Err(error)?,
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod entry;
mod import;
mod json;

use std::fmt;

use serde_json::{Map, Value};

use crate::sign_in::SignIn;
use crate::token::Token;

/// What a cache file holds.
///
/// Everything is told from the fields of the entries. The keys of the file are not used: libraries and versions write
/// them differently, and a field that is missing is not made up from its key.
#[non_exhaustive]
pub struct MsalCache {
    /// One for each account that has a token: those with an account entry in the order of these, then the others.
    pub sign_ins: Vec<MsalSignIn>,
    /// What was not imported, and why.
    pub problems: Vec<MsalProblem>,
    /// All other nodes of the file as they are: `AppMetadata`, and whatever else a library wrote.
    /// They may hold secrets that this version does not know, and they are not wiped.
    pub other: Map<String, Value>,
}

/// One account of the cache, ready for the store.
///
/// - **Account**: [`AccountId::msal`](crate::AccountId::msal) of the entries' environment and home account id. Tokens of the
///   client-credentials grant, which have no home account id, belong to [`AccountId::app`](crate::AccountId::app).
/// - **Tenant**: the one tenant (MSAL's *realm*, in lower case) that the account's access and ID tokens name; if they name
///   none, the one that its account entries and refresh tokens name. If there are several, or none at all, it is the home
///   tenant, the second half of the home account id. So a guest has one sign-in, whose refresh tokens belong to the home
///   tenant and whose other tokens say so if they are of another. Where there is no home tenant either (AD FS), it is the
///   first of several in byte order, or of none the server's host name. A B2C user flow is no tenant.
/// - **Subject and session**: `sub` and `sid` (of the cloud) of the latest ID token of that tenant, which is decoded and not verified.
///   Those of other ID tokens are in [`others`](Self::others).
/// - **Aliases**: the `username` of the account entries, as an e-mail address if it has an `@`; at most
///   [`MAX_ALIASES`](crate::MAX_ALIASES).
/// - **Signed in at**: the earliest of the ID tokens' `auth_time` (or else `iat`), the access tokens' `cached_at` and the
///   refresh tokens' `last_modification_time`. The sign-ins are made by [`SignIn::continued_from`]: one that the store has seen
///   signed out since, or holds for too old, is refused. (If the cache has no time at all, one that was ever signed out.)
#[derive(Clone)]
#[non_exhaustive]
pub struct MsalSignIn {
    /// The sign-in that has all the tokens.
    pub sign_in: SignIn,
    /// Sign-ins of the same account without tokens, one for each other subject and session that its ID tokens name (of other
    /// clients, and of tenants where it is a guest): make them too, before the one with the tokens, so that a provider's
    /// sign-out of such a session finds the account.
    pub others: Vec<SignIn>,
    /// Its tokens. Of two that are the same one to the store (of two names of one cloud, or two B2C user flows) the one
    /// that expires or was changed last comes last, so that it is the one kept.
    ///
    /// Fields that the crate does not know are a JSON object in the token's `extra`.
    pub tokens: Vec<Token>,
    /// The account entries as they were: names, `local_account_id`, `tenantProfiles`, and so on.
    pub accounts: Vec<Map<String, Value>>,
}

/// Something in the file that was not imported. It carries neither keys nor values of the file.
///
/// ```
/// use oubliette::msal::MsalCache;
/// let cache = MsalCache::read(br#"{"RefreshToken": {"uid.utid-...": {"home_account_id": "uid.utid"}}}"#)?;
/// assert_eq!(cache.problems[0].to_string(), "RefreshToken entry 1: environment: it is missing");
/// # Ok::<(), oubliette::msal::MsalError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MsalProblem {
    /// The node: `AccessToken`, `RefreshToken`, `IdToken` or `Account`.
    pub node: &'static str,
    /// Which entry of the node, counted from 1; `None` if it is the node itself.
    pub entry: Option<usize>,
    /// The field, if it is about one.
    pub field: Option<&'static str>,
    /// What is wrong.
    pub problem: &'static str,
    /// Whether the whole entry was left out; if not, only the field was.
    pub left_out: bool,
}

/// Why a file cannot be read at all. It carries nothing of the content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MsalError {
    /// The file is larger than 256 MiB.
    #[error("not a token cache: it is larger than 256 MiB")]
    TooLarge,
    /// The file is not JSON: it was cut off, or is encrypted, or something else.
    #[error("not JSON: line {line}, column {column}")]
    NotJson {
        /// The line of the first error, counted from 1.
        line: usize,
        /// The column of the first error, in bytes, counted from 1.
        column: usize,
    },
    /// The file is JSON, but not an object.
    #[error("not a token cache: its top level is not an object")]
    NotAnObject,
}

impl MsalCache {
    /// Reads a cache file: the plain JSON, after whatever decryption its library was set up with.
    ///
    /// An empty file is an empty cache. A byte-order mark and trailing commas are accepted. Everything that is understood is
    /// imported, and everything else is in [`MsalCache::problems`], among them:
    ///
    /// - an access token that expires more than ten years after it was cached, which MSAL.NET too holds for corrupt;
    /// - a token that is set apart by more than the store tells tokens apart by (`ext`, `ext_cache_key`,
    ///   `additionalCacheKeyComponents`): it must not be found by who asks without them;
    /// - an on-behalf-of token whose partition is no SHA-256 but a key that the app chose;
    /// - an account entry that no token belongs to: it is left over from a sign-out.
    ///
    /// Expired tokens are imported. The tokens are copied from `bytes` into buffers that are wiped; wipe `bytes` yourself.
    ///
    /// # Errors
    /// [`MsalError`] if the input is not a JSON object or is too large.
    pub fn read(bytes: &[u8]) -> Result<Self, MsalError> {
        json::read(bytes).map(import::import)
    }
}

impl fmt::Debug for MsalCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MsalCache")
            .field("sign_ins", &self.sign_ins.len())
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MsalSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MsalSignIn").field("tokens", &self.tokens.len()).finish_non_exhaustive()
    }
}

impl fmt::Display for MsalProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.node)?;
        if let Some(entry) = self.entry {
            write!(f, " entry {entry}")?;
        }
        if let Some(field) = self.field {
            write!(f, ": {field}")?;
        }
        write!(f, ": {}", self.problem)
    }
}
