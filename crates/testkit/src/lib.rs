//! What Oubliette's tests, benches and fuzz targets share: a cast of accounts, folders and child
//! processes, chance that a seed repeats, a store at a time that stands still, and (with the
//! feature `logout`) a provider that signs whatever it is told to and (with `jwe`) encrypts it.
//!
//! What only one test binary uses lies with it.
#![forbid(unsafe_code)]
#![allow(clippy::missing_panics_doc, reason = "a test must not go on after an error")]

pub mod accounts;
pub mod chance;
pub mod disk;
#[cfg(feature = "jwe")]
pub mod encrypter;
pub mod fixture;
#[cfg(feature = "logout")]
pub mod provider;
#[cfg(feature = "logout")]
pub mod signer;
