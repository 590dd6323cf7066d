//! The sign-out callbacks of OpenID Connect: a provider says that a user has signed out, and her tokens go.

mod answer;
mod back_channel;
mod budget;
mod claims;
mod discovery;
mod end_session;
mod form;
mod front_channel;
#[cfg(all(fuzzing, feature = "test-util"))]
pub(crate) mod fuzzing;
mod http;
mod issuer;
mod issuers;
mod json;
mod jws;
mod key_set;
mod keys;
mod profile;
mod receiver;
mod recent;
mod rejected;
#[cfg(feature = "axum")]
mod routes;
mod token;

pub use answer::Answer;
pub use end_session::{EndSession, Ended};
#[cfg(feature = "reqwest")]
pub use http::ReqwestClient;
pub use http::{HttpClient, HttpError, HttpFuture};
pub use issuer::Issuer;
pub use issuers::Issuers;
pub use jws::Algorithm;
pub use key_set::{KeySet, KeysError, MAX_KEY_SET_BYTES};
pub use keys::Keys;
pub use receiver::{BoxError, Receiver, SignOutError, Signal, SignedOut};
pub use rejected::Rejected;
#[cfg(feature = "axum")]
pub use routes::{SignOutRoutes, sign_out_routes};
pub use token::LogoutToken;
