//! The public interface of the store: the builder, the store, and the history beside it.

mod birth;
pub(crate) mod builder;
mod closed_store;
pub(crate) mod history;
mod internal;
pub(crate) mod joining;
pub(crate) mod listing;
mod maintenance;
pub(crate) mod opening;
pub(crate) mod token_store;
pub(crate) mod web_sessions;
