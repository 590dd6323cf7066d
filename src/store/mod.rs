//! The open store: what its handles share, and the verbs.

pub(crate) mod access;
pub(crate) mod account_rows;
pub(crate) mod ages;
pub(crate) mod backlog;
pub(crate) mod census;
pub(crate) mod core;
pub(crate) mod counting;
pub(crate) mod engines;
pub(crate) mod files;
pub(crate) mod handle;
pub(crate) mod holdings;
pub(crate) mod identity;
pub(crate) mod index;
pub(crate) mod life;
pub(crate) mod lifetime;
pub(crate) mod location;
pub(crate) mod lock_file;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod put;
pub(crate) mod read;
pub(crate) mod resume;
#[cfg(all(unix, feature = "sqlite"))]
pub(crate) mod shared;
pub(crate) mod sign_in;
pub(crate) mod sign_out;
pub(crate) mod web;
