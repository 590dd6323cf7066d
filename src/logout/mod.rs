//! The sign-out callbacks of OpenID Connect: a provider says that a user has signed out, and her tokens go.

mod answer;
mod back_channel;
mod discovery;
mod end_session;
mod form;
mod front_channel;
mod http;
mod issuer;
mod jws;
mod key_set;
mod keys;
mod receiver;
mod recent;
mod rejected;
mod token;
