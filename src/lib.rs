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

mod acquire;
#[cfg(feature = "tokio")]
mod asynchronous;
mod backlog;
mod builder;
mod clock;
mod cloud;
mod codec;
mod commits;
mod counting;
mod crypto;
mod disk;
mod engine;
mod error;
// Ways in for the fuzz targets; no part of the interface.
#[cfg(all(fuzzing, feature = "test-util"))]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
#[cfg(all(test, feature = "test-util"))]
mod golden;
mod history;
mod id;
mod identity;
mod index;
mod lasting;
mod layout;
mod ledger;
#[cfg(feature = "logout")]
pub mod logout;
#[cfg(feature = "test-util")]
mod machine;
#[cfg(feature = "msal")]
pub mod msal;
#[cfg(feature = "oauth2")]
pub mod oauth;
// Ways in for the models; no part of the interface.
#[cfg(oubliette_shuttle)]
#[doc(hidden)]
pub mod modelling;
mod observe;
mod opened;
#[cfg(feature = "openidconnect")]
pub mod openid;
mod operate;
mod owner;
mod place;
mod read;
mod reclaim;
mod row;
mod rule;
mod sign_in;
mod sign_out;
mod store;
mod sync;
mod token;
#[cfg(feature = "tower-sessions")]
pub mod tower_sessions;
mod trust;
mod upkeep;
mod web;
mod wipe;

pub use acquire::{
    AccessRequest, AcquireError, Acquirer, Grant, InteractionReason, OrphanReason, Orphaned, RefreshError, RefreshFailed,
};
#[cfg(feature = "tokio")]
pub use asynchronous::{AsyncSignIn, AsyncTokenStore};
pub use builder::{Builder, OnDamage};
#[cfg(feature = "test-util")]
pub use clock::ManualClock;
pub use clock::{Clock, SystemClock};
#[cfg(feature = "test-util")]
#[doc(hidden)]
pub use crypto::observe_keys;
pub use crypto::{KeyProvider, KeySource, WrapContext, WrappedKey};
pub use engine::Durability;
pub use error::{Error, Part, Result};
pub use history::{History, PastSignOut, ScopeKind};
pub use id::{AccountId, Alias, AliasKind, ClientId, MAX_ID_BYTES, SessionId, Subject, TenantId};
#[cfg(feature = "test-util")]
pub use machine::Machine;
#[cfg(feature = "metrics")]
pub use observe::describe_metrics;
pub use opened::Opened;
pub use operate::{BackedUp, Compacted, CompactionEstimate, Erased, Verified};
pub use read::{IdQuery, RefreshQuery};
pub use reclaim::{Reclaimed, Swept};
pub use sign_in::{AsOf, LiveSignIn, MAX_ALIASES, SignIn, Stored};
pub use sign_out::{Counted, LastSignOut, Receipt, Recorded, Scope, SessionPolicy, SignOut};
pub use store::{Account, Accounts, Page, Stats, TokenStore};
pub use token::{
    AccessQuery, AccessToken, IdToken, MAX_EXTRA_BYTES, MAX_TOKEN_BYTES, Partition, RefreshToken, Scopes, Secret, Token, Tokens,
};
pub use upkeep::{Upkeep, UpkeepBuilder, UpkeepState};
pub use zeroize::Zeroizing;

// The README's code compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
