//! An encrypted, restart-safe store for the tokens of signed-in users, embedded in the server app
//! that holds them.
//!
//! For every kind of sign-out, one call ([`TokenStore::sign_out`]) makes every token of that
//! account, session, subject or tenant unreachable: at once for every reader, and durably before it
//! returns. No request in flight and no crash brings one back.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use oubliette::*;
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let folder = folder.path().join("tokens");
//! # let key = KeySource::bytes([7; 32]);
//! // let key = KeySource::env("OUBLIETTE_KEY"); // hex:<64 digits>
//! let store = TokenStore::builder(folder).key(key).open()?;
//!
//! // At sign-in, from the ID token and the token response:
//! let account = AccountId::new("https://login.example.com", "user-1")?;
//! let live = store.sign_in(SignIn::new(account.clone(), TenantId::new("contoso")?))?;
//! let client = ClientId::new("my-app")?;
//! let in_an_hour = SystemTime::now() + Duration::from_secs(3600);
//! let scopes = Scopes::parse("mail.read user.read")?;
//! live.put(AccessToken::new(client.clone(), scopes, "eyJ0...", in_an_hour))?;
//!
//! // At each request: a token for at least these scopes, or `None`.
//! let wanted = AccessQuery::new(client).scopes(Scopes::parse("mail.read")?);
//! assert!(live.access_token(&wanted)?.is_some());
//!
//! // At sign-out, from any source:
//! store.sign_out(SignOut::account(&account))?; // durable when it returns
//! assert!(live.access_token(&wanted)?.is_none());
//! store.close()?;
//! # Ok::<(), Error>(())
//! ```
//!
//! The [guide] goes on from here, page by page.
//!
//! # What an `Ok` means
//! | verb | after `Ok` |
//! | --- | --- |
//! | [`sign_out`][out] | no later read gives a token from before, in this process or another |
//! | [`sign_in`][in] | the sign-in survives power loss, and no earlier sign-out ends it |
//! | [`put`](LiveSignIn::put) | all tokens are readable, and survive what [`Durability`] says |
//! | a read | what was stored, whole, by this sign-in; not expired, not signed out |
//!
//! A sign-out's `Ok` still holds after `kill -9` and power loss. What a `put` survives is set for
//! each kind of token: [`Builder::refresh_token_durability`] and [`Builder::token_durability`].
//!
//! [out]: TokenStore::sign_out
//! [in]: TokenStore::sign_in
//!
//! # Which type do I need?
//! | to | type |
//! | --- | --- |
//! | open a store, restore a backup, read the history beside an app | [`Builder`] |
//! | say where the key comes from | [`KeySource`], [`KeyProvider`] |
//! | sign users in and out, list them, maintain the files | [`TokenStore`] |
//! | describe a sign-in | [`SignIn`] |
//! | ... and its identifiers | [`AccountId`], [`TenantId`], [`SessionId`], [`Subject`], [`Alias`] |
//! | store and read the tokens of one sign-in | [`LiveSignIn`] |
//! | ... by a query | [`AccessQuery`], [`RefreshQuery`], [`IdQuery`] |
//! | hand over tokens | [`AccessToken`], [`RefreshToken`], [`IdToken`] |
//! | refresh once for all concurrent callers | [`Acquirer`], [`AccessRequest`], [`Grant`] |
//! | end sign-ins, in any scope | [`SignOut`], [`SignOutScope`], [`SessionPolicy`], [`Receipt`] |
//! | know what to do about an error | [`Error`], [`AcquireError`], [`RefreshError`] |
//! | delete what expired, on a thread | [`Upkeep`] |
//! | call from async code | `AsyncTokenStore`, `AsyncSignIn` (feature `tokio`) |
//! | hear of sign-outs from the provider | `logout::Receiver` (`logout`) |
//! | ... as routes of axum | `logout::sign_out_routes` (`axum`) |
//! | make a sign-in of an ID token | `openid::Provider` (`openidconnect`) |
//! | make tokens of a token response | `oauth::Received` (`oauth2`) |
//! | serve its operator while it runs | the crate `oubliette-control` |
//! | end web sessions with the sign-in | [`WebSessions`]; the crate `oubliette-tower-sessions` |
//! | take over an MSAL cache | `msal::MsalCache` (`msal`) |
//! | test | `TokenStore::in_memory`, `Machine`, `ManualClock` (`test-util`) |
//!
//! # Features
//! None is on by default, and no default pulls in a runtime, a web framework or TLS.
//!
//! | feature | what it gives |
//! | --- | --- |
//! | `tokio` | the verbs without blocking a runtime's thread, and `Acquirer::acquire_async` |
//! | `oauth2` | token responses of the `oauth2` crate as tokens; its errors by what to do |
//! | `openidconnect` | ID tokens as sign-ins, for Entra, Keycloak, Okta, Auth0, Google and others |
//! | `logout` | Back-Channel, Front-Channel and RP-Initiated Logout, for any web framework |
//! | `jwe` | decrypts encrypted logout and ID tokens, with the app's keys; builds AWS-LC, in C |
//! | `axum` | the routes of `logout` |
//! | `reqwest` | an HTTP client for providers' keys, with rustls |
//! | `msal` | reads the caches that MSAL libraries write |
//! | `tracing`, `metrics` | spans and figures, without secrets or identifiers |
//! | `test-util` | a store in memory, a clock to set, and a machine whose power can be cut |
//!
//! # Where it runs
//! One process at a time on a local file system. Linux is tested; macOS and Windows compile.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// The rooms, from the ground up: each uses those above it in this list, and none below it.
// `tests/core/layers.rs` tests that.

// Files, locks, threads, and memory that is wiped: the layer above the operating system.
mod platform;

// Identifiers, tokens, requests, reports, errors: values only.
mod model;

// Keys, sealing, keyed hashes.
mod crypto;

// Metrics and spans of what the verbs did.
mod observe;

// The time, how far it is trusted, and how long tokens last.
mod clock;

// The rule that decides which sign-ins have ended.
mod rule;

// The file of sign-outs.
mod ledger;

// The key-value store that holds the sealed rows.
mod engine;

// What rows say, where they lie, and how they are sealed in their place.
mod rows;

// Where rows and sign-outs live: in this process, or elsewhere; and how a verb changes them.
mod backend;

// The open store: its files, its verbs.
mod store;

// Work in the background, and operations on a whole open store: compaction, backup, verification.
mod maintenance;

// The public interface: the builder and opening (birth, recovery), the store, and its history.
mod api;

// Acquires valid access tokens: concurrent callers share one refresh.
mod acquire;

// The verbs for async apps.
#[cfg(feature = "tokio")]
mod asynchronous;

// The caches that MSAL libraries write, read.
#[cfg(feature = "msal")]
pub mod msal;

// Token responses and refusals of providers.
#[cfg(feature = "oauth2")]
pub mod oauth;

// Verified ID tokens as sign-ins, by each provider's conventions.
#[cfg(feature = "openidconnect")]
pub mod openid;

// Logout tokens and requests of providers: verified in `issuer/checks.rs`, carried out in
// `receiver/`.
#[cfg(feature = "logout")]
pub mod logout;

// The guide: `docs/guide`, compiled.
pub mod guide;

// For tests: a machine that can crash, and entry points for fuzzing and models.
mod testing;

#[cfg(feature = "tokio")]
pub use acquire::AsyncAcquirer;
pub use acquire::{
    AccessRequest, AcquireError, Acquirer, Grant, InteractionReason, OrphanReason, Orphaned,
    RefreshError, RefreshFailed,
};
pub use api::builder::{Builder, OnDamage};
pub use api::history::{History, PastSignOut};
pub use api::listing::{Account, Accounts, Page};
pub use api::token_store::TokenStore;
pub use api::web_sessions::{MAX_WEB_SESSION_BYTES, WebBinding, WebSession, WebSessions};
#[cfg(feature = "tokio")]
pub use asynchronous::{
    AsyncAccount, AsyncAccounts, AsyncSignIn, AsyncTokenStore, AsyncWebSessions,
};
#[cfg(feature = "test-util")]
pub use clock::ManualClock;
pub use clock::{Clock, SystemClock};
#[cfg(feature = "test-util")]
#[doc(hidden)]
pub use crypto::observe_keys;
pub use crypto::{KeyProvider, KeySource, WrapContext, WrappedKey};
pub use engine::Durability;
pub use maintenance::upkeep::{Upkeep, UpkeepBuilder, UpkeepState};
pub use model::error::{Component, Error, Result};
pub use model::error_kind::ErrorKind;
pub use model::held::{HeldToken, TokenKind};
pub use model::id::{
    AccountId, Alias, AliasKind, ClientId, MAX_ID_BYTES, SessionId, Subject, TenantId,
};
pub use model::query::{AccessQuery, IdQuery, RefreshQuery};
pub use model::report::{
    BackupReport, CompactionEstimate, CompactionReport, ErasureReport, MigrationReport, Opened,
    ReclaimReport, Stats, SweepReport, VerifyReport,
};
pub use model::scopes::{Partition, Scopes};
pub use model::secret::Secret;
pub use model::sign_in::{AsOf, MAX_ALIASES, MAX_LABEL_BYTES, PutOutcome, SignIn};
pub use model::sign_out::{
    Counted, LastSignOut, Receipt, Recorded, SessionPolicy, SignOut, SignOutScope, SignOutScopeKind,
};
pub use model::storage::Storage;
pub use model::ticket::Ticket;
pub use model::token::{
    AccessToken, IdToken, MAX_EXTRA_BYTES, MAX_TOKEN_BYTES, RefreshToken, Token, Tokens,
};
#[cfg(feature = "metrics")]
pub use observe::describe_metrics;
pub use store::handle::LiveSignIn;
#[cfg(feature = "test-util")]
pub use testing::machine::Machine;
// No shared place is shipped yet: for this repository's own tests.
#[cfg(feature = "test-util")]
#[doc(hidden)]
pub use testing::shared::{Exchanged, Fate, Flaw, SharedMachine, Step};
// Entry points for the fuzz targets and the models, which are not part of the public interface.
#[cfg(all(fuzzing, feature = "test-util"))]
#[doc(hidden)]
pub use testing::fuzzing;
#[cfg(oubliette_shuttle)]
#[doc(hidden)]
pub use testing::modelling;
pub use zeroize::Zeroizing;

// The README's code compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
