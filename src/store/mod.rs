//! The open store: what its handles share, and the verbs.

pub(crate) mod census;
pub(crate) mod commits;
pub(crate) mod counting;
pub(crate) mod files;
pub(crate) mod gate;
pub(crate) mod identity;
pub(crate) mod index;
pub(crate) mod lifetime;
pub(crate) mod location;
pub(crate) mod progress;
pub(crate) mod queue;
pub(crate) mod read;
pub(crate) mod sign_in;
pub(crate) mod sign_out;
pub(crate) mod web;
