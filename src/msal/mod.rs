//! Reads the token caches that the MSAL libraries for .NET, Java, Python and Node write.
//!
//! ```
//! use oubliette::msal::{MsalCache, MsalSignIn};
//! use oubliette::{Error, TokenStore};
//!
//! # let file = br#"{"AccessToken": {"any key": {"home_account_id": "uid.utid", "environment": "login.example.com",
//! #     "client_id": "web", "realm": "utid", "target": "mail.read", "expires_on": "1795136400", "secret": "at"}},
//! #     "Account": {"any key": {"home_account_id": "uid.utid", "environment": "login.example.com", "realm": "utid"}}}"#;
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
//!         // The user has signed out since, or the sign-in is too old for the store.
//!         Err(Error::SignedOut | Error::InvalidInput { .. }) => {}
//!         Err(error) => return Err(error)?,
//!     }
//! }
//! # assert_eq!(store.account(&oubliette::AccountId::msal("login.example.com", "uid.utid")?)?.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An import forgets when in doubt: a token that it leaves out costs one sign-in, but a token that
//! it brought back by mistake could not be signed out by anybody. So it imports only users whom the
//! library holds to be signed in; it leaves out a token whose tenant cannot be told; and of two
//! tokens for one place it never keeps the older one. Everything that is left out is
//! [reported](MsalCache::problems).

mod entry;
mod error;
mod import;
mod json;
mod look;
mod newest;
mod person;
mod realm;

use std::fmt;

use serde_json::{Map, Value};

use crate::model::sign_in::SignIn;
use crate::model::token::Token;

pub use error::{MsalError, MsalProblem, MsalProblemKind};

/// What a cache file holds.
///
/// The import reads the fields of the entries alone. It does not use the keys of the file:
/// libraries and versions write them differently, and a missing field is not derived from its key.
#[non_exhaustive]
pub struct MsalCache {
    /// One sign-in for each user who has an account entry and a token, in the order of the account
    /// entries; then one for each app that has a token of its own.
    pub sign_ins: Vec<MsalSignIn>,
    /// What was not imported, and why.
    pub problems: Vec<MsalProblem>,
    /// How many users the library has signed out. They have tokens without an account entry, or
    /// account entries without a token.
    pub signed_out: usize,
    /// All other nodes of the file, unchanged: `AppMetadata`, and others that a library wrote. They
    /// may hold secrets that this version does not know, and they are not wiped.
    pub other: Map<String, Value>,
}

/// One account of the cache, ready for the store.
///
/// - **Account**: [`AccountId::msal`](crate::AccountId::msal) of the entries' environment and home
///   account id. For the user, an account entry counts under any name of the cloud, of any user
///   flow, and of any realm. Tokens of the client-credentials grant, which have no home account id
///   and need no account entry, belong to [`AccountId::app`](crate::AccountId::app).
/// - **Tenant**: the one tenant that the account's access and ID tokens name; if they name none,
///   the one that its account entries and refresh tokens name. If there are several, or none at
///   all, it is the home tenant, the second half of the home account id. So a guest has one
///   sign-in: its refresh tokens belong to the home tenant, and each of its other tokens names its
///   tenant if that is another one. (If there are several tenants and no home tenant is known, it
///   is the first in byte order.)
/// - **What a tenant is**: MSAL's *realm*, if that is a GUID. `organizations`, `common` and
///   `consumers` mean the home tenant, and a domain the tenant that ID tokens of that realm were
///   issued by (`tid`, or the GUID in `iss`); in a B2C directory that is the home tenant too. A B2C
///   user flow is no tenant. For a server without tenants (AD FS), its host name stands for the
///   tenant. A token is left out if the file does not tell its tenant, or tells two: a sign-out by
///   tenant could miss it.
/// - **Subject and session**: `sub` and `sid` (`sid` as a session of the cloud) of the latest ID
///   token of that tenant. The token is decoded, but not verified. Those of other ID tokens are in
///   [`others`](Self::others).
/// - **Aliases**: the `username` of the account entries, as an e-mail address if it has an `@`; at
///   most [`MAX_ALIASES`](crate::MAX_ALIASES).
/// - **Signed in at**: the earliest of the ID tokens' `auth_time` (or else `iat`), the access
///   tokens' `cached_at` and the refresh tokens' `last_modification_time`. The sign-ins are made by
///   [`SignIn::imported_from`]: the store refuses one that has been signed out since that time, or
///   that is too old. (If the cache has no time at all, the store refuses one that was ever signed
///   out.)
#[derive(Clone)]
#[non_exhaustive]
pub struct MsalSignIn {
    /// The sign-in that has all the tokens.
    pub sign_in: SignIn,
    /// Sign-ins of the same account and tenant without tokens, one for each other subject and
    /// session that the account's ID tokens name (those of other clients, and of tenants where the
    /// user is a guest). Make them too, before the one with the tokens, so that a provider's
    /// sign-out of such a session finds the account. After a sign-out of the account or of the
    /// tenant, the store refuses all of them alike.
    pub others: Vec<SignIn>,
    /// The tokens of the sign-in, each for a place of its own. If the file has several for one
    /// place (under two names of one cloud, or of two B2C user flows), this is the one that was
    /// written last: by `cached_at`; for an ID token by its `iat`; for a refresh token by
    /// `last_modification_time` or, because only MSAL for Python writes that, by the newest
    /// `cached_at` of access tokens of the same client and environment. If the last one cannot be
    /// told, none of them is here.
    ///
    /// The token's `extra` holds the fields that the crate does not know, as a JSON object.
    pub tokens: Vec<Token>,
    /// How many tokens of the file are not here because a newer one, or a copy of the same one, is
    /// in their place.
    pub replaced: usize,
    /// The account entries, unchanged: names, `local_account_id`, `tenantProfiles`, and so on.
    pub accounts: Vec<Map<String, Value>>,
}

impl MsalCache {
    /// Reads a cache file: the plain JSON, already decrypted if its library was set up to encrypt
    /// it.
    ///
    /// An empty file and `{}` count as a cache without users. A byte-order mark and trailing commas
    /// are accepted. Everything that can be read is imported, and everything else is listed in
    /// [`MsalCache::problems`], for example:
    ///
    /// - tokens of a user without an account entry: all MSAL libraries write one, so somebody has
    ///   removed it. MSAL for Python does just that in a cache that MSAL for Node wrote;
    /// - a token without a home account id, unless all its scopes are `/.default`, as those of an
    ///   app's own token are;
    /// - a token whose tenant is named, but the file does not tell which tenant the name means (see
    ///   [`MsalSignIn`]);
    /// - tokens for one place of which none is known to be the newest;
    /// - an access token that expires more than ten years after it was cached: MSAL.NET too takes
    ///   it for corrupt;
    /// - a token that is set apart by fields by which the store cannot tell tokens apart (`ext`,
    ///   `ext_cache_key`, `additionalCacheKeyComponents`): a caller who asks without them must not
    ///   get it;
    /// - an on-behalf-of token whose partition is not a SHA-256, but a key that the app chose;
    /// - an account entry that no token belongs to: it is left over from a sign-out.
    ///
    /// Expired tokens are imported. Libraries mean different times by `extended_expires_on` (MSAL
    /// for Node counts it from the token's expiry, the others from when the token came), so the
    /// earlier of the two is taken. The tokens are copied from `bytes` into buffers that are wiped;
    /// wipe `bytes` yourself.
    ///
    /// # Errors
    /// [`MsalError`] if the input is not a cache. It says what the input seems to be: not JSON,
    /// encrypted, a cache of another library, an object with content but without any section of a
    /// cache, or too large.
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
