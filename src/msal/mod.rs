//! Reads the token caches that the MSAL libraries write: for .NET, Java, Python and Node.
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
//!         // Signed out since, or longer ago than the store keeps sign-ins.
//!         Err(Error::SignedOut | Error::InvalidInput { .. }) => {}
//!         Err(error) => return Err(error)?,
//!     }
//! }
//! # assert_eq!(store.account(&oubliette::AccountId::msal("login.example.com", "uid.utid")?)?.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An import forgets when in doubt: what it leaves out costs a sign-in, and what it brought back by
//! mistake nobody could sign out. So only a user whom the library holds to be signed in is, a token
//! whose tenant is not told is left out, and of two tokens for one place the older is never the one
//! that stays. All that is left out is [reported](MsalCache::problems).

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
/// Everything is told from the fields of the entries. The keys of the file are not used: libraries
/// and versions write them differently, and a field that is missing is not made up from its key.
#[non_exhaustive]
pub struct MsalCache {
    /// One for each user who has an account entry and a token, in the order of the account entries;
    /// then one for each app that has a token of its own.
    pub sign_ins: Vec<MsalSignIn>,
    /// What was not imported, and why.
    pub problems: Vec<MsalProblem>,
    /// How many users the library has signed out: there are tokens of theirs without an account
    /// entry, or account entries without a token.
    pub signed_out: usize,
    /// All other nodes of the file as they are: `AppMetadata`, and whatever else a library wrote.
    /// They may hold secrets that this version does not know, and they are not wiped.
    pub other: Map<String, Value>,
}

/// One account of the cache, ready for the store.
///
/// - **Account**: [`AccountId::msal`](crate::AccountId::msal) of the entries' environment and home
///   account id. An account entry of any name of the cloud, user flow and realm counts for the
///   user. Tokens of the client-credentials grant, which have no home account id and need no
///   account entry, belong to [`AccountId::app`](crate::AccountId::app).
/// - **Tenant**: the one tenant that the account's access and ID tokens name; if they name none,
///   the one that its account entries and refresh tokens name. If there are several, or none at
///   all, it is the home tenant, the second half of the home account id. So a guest has one
///   sign-in, whose refresh tokens belong to the home tenant and whose other tokens say so if they
///   are of another. (Where no home tenant is told, of several it is the first in byte order.)
/// - **What a tenant is**: MSAL's *realm*, if that is a GUID. `organizations`, `common` and
///   `consumers` mean the home tenant, and a domain the tenant that ID tokens of that realm were
///   issued by (`tid`, or the GUID in `iss`); in a B2C directory that is the home tenant too. A B2C
///   user flow is no tenant. A server without tenants (AD FS) is its own, by its host name. A token
///   whose tenant is not told, or is told in two ways, is left out: the user could not be signed
///   out by it.
/// - **Subject and session**: `sub` and `sid` (of the cloud) of the latest ID token of that tenant,
///   which is decoded and not verified. Those of other ID tokens are in [`others`](Self::others).
/// - **Aliases**: the `username` of the account entries, as an e-mail address if it has an `@`; at
///   most [`MAX_ALIASES`](crate::MAX_ALIASES).
/// - **Signed in at**: the earliest of the ID tokens' `auth_time` (or else `iat`), the access
///   tokens' `cached_at` and the refresh tokens' `last_modification_time`. The sign-ins are made by
///   [`SignIn::imported_from`]: one that the store has seen signed out since, or holds for too
///   old, is refused. (If the cache has no time at all, one that was ever signed out.)
#[derive(Clone)]
#[non_exhaustive]
pub struct MsalSignIn {
    /// The sign-in that has all the tokens.
    pub sign_in: SignIn,
    /// Sign-ins of the same account and tenant without tokens, one for each other subject and
    /// session that its ID tokens name (of other clients, and of tenants where it is a guest): make
    /// them too, before the one with the tokens, so that a provider's sign-out of such a session
    /// finds the account. A sign-out of the account or of the tenant refuses all of them alike.
    pub others: Vec<SignIn>,
    /// Its tokens, each for a place of its own. Of several for one place (of two names of one
    /// cloud, or two B2C user flows) it is the one that was written last: by `cached_at`; for an ID
    /// token by its `iat`; for a refresh token by `last_modification_time` or, as only MSAL for
    /// Python writes that, by the newest `cached_at` of access tokens of the same client and
    /// environment. Where that cannot be told none is here.
    ///
    /// Fields that the crate does not know are a JSON object in the token's `extra`.
    pub tokens: Vec<Token>,
    /// How many tokens of the file are not here because a newer one, or the same once more, is in
    /// their place.
    pub replaced: usize,
    /// The account entries as they were: names, `local_account_id`, `tenantProfiles`, and so on.
    pub accounts: Vec<Map<String, Value>>,
}

impl MsalCache {
    /// Reads a cache file: the plain JSON, after whatever decryption its library was set up with.
    ///
    /// An empty file and `{}` are a cache without users. A byte-order mark and trailing commas are
    /// accepted. Everything that is understood is imported, and everything else is in
    /// [`MsalCache::problems`], among them:
    ///
    /// - tokens of a user without an account entry: all MSAL libraries write one, so somebody has
    ///   removed it. MSAL for Python does just that in a cache that MSAL for Node wrote;
    /// - a token without a home account id, unless all its scopes are `/.default`, as those of an
    ///   app's own token are;
    /// - a token of a tenant that is named, and not told (see [`MsalSignIn`]);
    /// - tokens for one place of which none is known to be the newest;
    /// - an access token that expires more than ten years after it was cached, which MSAL.NET too
    ///   holds for corrupt;
    /// - a token that is set apart by more than the store tells tokens apart by (`ext`,
    ///   `ext_cache_key`, `additionalCacheKeyComponents`): it must not be found by who asks without
    ///   them;
    /// - an on-behalf-of token whose partition is no SHA-256 but a key that the app chose;
    /// - an account entry that no token belongs to: it is left over from a sign-out.
    ///
    /// Expired tokens are imported. Of `extended_expires_on`, in which libraries mean different
    /// times, the smaller reading is taken: MSAL for Node counts it from the token's expiry, the
    /// others from when the token came. The tokens are copied from `bytes` into buffers that are
    /// wiped; wipe `bytes` yourself.
    ///
    /// # Errors
    /// [`MsalError`] if the input is no cache, with what it looks to be: not JSON, encrypted, of
    /// another library, an object with content in which no section of a cache is found, or too
    /// large.
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
