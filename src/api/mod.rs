//! The face: the builder, the store, and the history beside it.

pub(crate) mod builder;
pub(crate) mod history;
mod internal;
pub(crate) mod listing;
mod maintenance;
pub(crate) mod token_store;
mod verify_copy;
