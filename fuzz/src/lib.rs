//! What the fuzz targets do with a run's bytes, so that a plain test and the seeds' program can do the same. See `README.md`.
//!
//! Each target is a module with `run(data)`, which panics if a promise is broken.

pub mod bounds;
pub mod discovery;
pub mod edit;
pub mod encrypted_token;
pub mod front_channel_query;
pub mod input;
pub mod jwks;
pub mod key_source;
pub mod keyring;
pub mod ledger;
pub mod logout_token;
pub mod members;
pub mod msal_import;
pub mod operations;
pub mod row_and_header;
pub mod seeds;
pub mod token_response;

/// A target by its name.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 12] = [
    ("discovery", discovery::run),
    ("encrypted_token", encrypted_token::run),
    ("front_channel_query", front_channel_query::run),
    ("key_source", key_source::run),
    ("jwks", jwks::run),
    ("keyring", keyring::run),
    ("ledger", ledger::run),
    ("logout_token", logout_token::run),
    ("msal_import", msal_import::run),
    ("operations", operations::run),
    ("row_and_header", row_and_header::run),
    ("token_response", token_response::run),
];

/// Prints what a run's bytes mean, if the variable `FUZZ_SHOW` is set: for looking at what was found.
pub(crate) fn show(plan: &impl std::fmt::Debug) {
    static IS_WANTED: std::sync::LazyLock<bool> =
        std::sync::LazyLock::new(|| std::env::var_os("FUZZ_SHOW").is_some());
    if *IS_WANTED {
        eprintln!("{plan:#?}");
    }
}
