//! The verbs, with one idea in each file.

pub(crate) mod accounts;
pub(crate) mod copies;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod keygen;
pub(crate) mod keys;
#[cfg(feature = "sqlite")]
pub(crate) mod migrate;
pub(crate) mod shell;
pub(crate) mod sign_out;
pub(crate) mod upkeep;
