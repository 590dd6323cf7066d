//! Acquiring: every line of what it promises, against a provider that revokes the family of a
//! refresh token that is used twice. With it what it is made of: what OAuth crates give, the async
//! verbs, and what is counted.
#![allow(unreachable_pub, reason = "what the modules share")]

mod answers;
mod asynchronous;
mod background;
mod cache;
mod due;
mod elsewhere;
mod errors;
mod flows;
mod oauth;
mod observability;
mod provider;
mod sign_out;
mod together;
mod world;
