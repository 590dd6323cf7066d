//! An encrypted, restart-safe store for the tokens of signed-in users, embedded in the server app that holds them.
//!
//! However a sign-out arrives, one call ([`TokenStore::sign_out`]) makes every token of that account, session, subject or
//! tenant unreachable, at once for every reader, and durably before it returns. Nothing that was in flight, and no crash, brings
//! one back.
//!
//! Start with [`TokenStore::builder`], [`TokenStore::sign_in`] and [`LiveSignIn::put`].
//!
//! # What an `Ok` means
//! | verb | after `Ok` |
//! | --- | --- |
//! | [`sign_out`](TokenStore::sign_out) | no later read gives a token from before: in this process or another, after `kill -9` or power loss |
//! | [`sign_in`](TokenStore::sign_in) | the sign-in survives power loss, and no earlier sign-out ends it |
//! | [`put`](LiveSignIn::put) | all tokens are readable, and survive what [`Durability`] was chosen for them |
//! | a read | what was stored, whole, by this sign-in; not expired, not signed out |
//!
//! # Where it runs
//! One process at a time on a local file system. Linux first; macOS and Windows too.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]
#![cfg_attr(docsrs, feature(doc_cfg))]

// The rooms, from the ground up: each uses those above it in this list, and none below it, which
// `tests/layers.rs` holds them to.

// What the operating system gives: files, locks, threads, memory that is wiped.
mod platform;

// The words as values: identifiers, tokens, requests, reports, errors.
mod model;

// Keys, sealing, keyed hashes.
mod crypto;

// Metrics and spans of what the verbs did.
mod observe;

// What time it is, how far that is believed, and how long tokens last.
mod clock;

// The rule of life and death.
mod rule;

// The file of sign-outs.
mod ledger;

// The key-value store that holds the sealed rows.
mod engine;

// What rows say, and under which keys they lie.
mod rows;

// The open store, and its verbs.
mod store;

// What goes on behind the verbs, and what an operator does to an open store.
mod maintenance;

// The face: the builder, the store, the history beside it.
mod api;

// A valid access token, by one refresh however many want it.
mod acquire;

// The verbs for async apps.
#[cfg(feature = "tokio")]
mod asynchronous;

#[cfg(feature = "msal")]
pub mod msal;

#[cfg(feature = "oauth2")]
pub mod oauth;

#[cfg(feature = "openidconnect")]
pub mod openid;

#[cfg(feature = "logout")]
pub mod logout;

#[cfg(feature = "tower-sessions")]
pub mod tower_sessions;

// For tests: a machine that can crash, and ways in for fuzzing and models.
mod testing;

pub use acquire::{
    AccessRequest, AcquireError, Acquirer, Grant, InteractionReason, OrphanReason, Orphaned, RefreshError, RefreshFailed,
};
pub use api::builder::{Builder, OnDamage};
pub use api::history::{History, PastSignOut};
pub use api::token_store::{Account, Accounts, Page, TokenStore};
#[cfg(feature = "tokio")]
pub use asynchronous::{AsyncSignIn, AsyncTokenStore};
#[cfg(feature = "test-util")]
pub use clock::ManualClock;
pub use clock::{Clock, SystemClock};
#[cfg(feature = "test-util")]
#[doc(hidden)]
pub use crypto::observe_keys;
pub use crypto::{KeyProvider, KeySource, WrapContext, WrappedKey};
pub use engine::Durability;
pub use maintenance::upkeep::{Upkeep, UpkeepBuilder, UpkeepState};
pub use model::error::{Error, Part, Result};
pub use model::id::{AccountId, Alias, AliasKind, ClientId, MAX_ID_BYTES, SessionId, Subject, TenantId};
pub use model::query::{AccessQuery, IdQuery, RefreshQuery};
pub use model::report::{BackedUp, Compacted, CompactionEstimate, Erased, Opened, Reclaimed, Stats, Swept, Verified};
pub use model::scopes::{Partition, Scopes};
pub use model::secret::Secret;
pub use model::sign_in::{AsOf, MAX_ALIASES, SignIn, Stored};
pub use model::sign_out::{Counted, LastSignOut, Receipt, Recorded, Scope, ScopeKind, SessionPolicy, SignOut};
pub use model::token::{AccessToken, IdToken, MAX_EXTRA_BYTES, MAX_TOKEN_BYTES, RefreshToken, Token, Tokens};
#[cfg(feature = "metrics")]
pub use observe::describe_metrics;
pub use store::sign_in::LiveSignIn;
#[cfg(feature = "test-util")]
pub use testing::machine::Machine;
// Ways in for the fuzz targets, and for the models; no part of the interface.
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
