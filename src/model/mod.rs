//! The words of the store as values: identifiers, tokens, requests, reports, errors. Nothing here
//! locks, hashes, or touches a file.

pub(crate) mod entra_cloud;
pub(crate) mod error;
pub(crate) mod error_kind;
pub(crate) mod held;
pub(crate) mod id;
pub(crate) mod position;
pub(crate) mod query;
pub(crate) mod random_id;
pub(crate) mod report;
pub(crate) mod scopes;
pub(crate) mod secret;
pub(crate) mod seen;
pub(crate) mod sign_in;
pub(crate) mod sign_out;
pub(crate) mod storage;
pub(crate) mod tag;
pub(crate) mod ticket;
pub(crate) mod time;
pub(crate) mod token;
