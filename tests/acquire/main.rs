//! Acquiring: every line of what it promises, against a provider that revokes the family of a refresh token that is used twice.
#![allow(unreachable_pub, reason = "what the modules share")]

mod answers;
mod background;
mod cache;
#[path = "../common/mod.rs"]
mod common;
mod due;
mod errors;
mod flows;
mod provider;
mod sign_out;
mod together;
mod world;
