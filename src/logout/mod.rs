//! The sign-out callbacks of OpenID Connect: a provider says that a user has signed out, here or in
//! any other app, and her tokens go.
//!
//! | signal | who brings it | what it proves |
//! | --- | --- | --- |
//! | [Back-Channel Logout 1.0](https://openid.net/specs/openid-connect-backchannel-1_0.html) | the provider posts a signed logout token, server to server | everything: [`Receiver::back_channel`] |
//! | [Front-Channel Logout 1.0](https://openid.net/specs/openid-connect-frontchannel-1_0.html) | the user's browser fetches an address of the app's, in a frame of the provider's page | nothing but that somebody knows the `sid`: [`Receiver::front_channel`] |
//! | [RP-Initiated Logout 1.0](https://openid.net/specs/openid-connect-rpinitiated-1_0.html) | the user, in this app, who is then sent to the provider | that it is she: [`Receiver::sign_out`] |
//!
//! Prefer the back channel where the provider has it (Keycloak, Auth0, Okta, Ory Hydra and others).
//! Browsers that keep third parties' content apart, and users who close them, lose front-channel
//! requests. Entra ID has the front channel only, and per browser.
//!
//! # Parts
//! [`Issuer`]: a provider, the app's id there, its [`Keys`], and how strict to be. [`Issuers`]: the list; no token adds to it. [`Receiver`]: a
//! store and its issuers; it takes what came and gives an [`Answer`], both in plain types. With the
//! feature `axum`, `sign_out_routes` mounts it; with `reqwest` there is an HTTP client for fetching
//! keys. Everything else is here without either.
//!
//! With another web framework:
//! ```no_run
//! # use oubliette::{AsyncTokenStore, ClientId};
//! use oubliette::logout::{Issuer, Issuers, Keys, Receiver};
//! use oubliette::openid::Provider;
//!
//! # async fn example(store: AsyncTokenStore, http: impl oubliette::logout::HttpClient, body: &[u8]) -> oubliette::Result<()> {
//! // Once:
//! let provider = Provider::keycloak("https://sso.example.com/realms/contoso")?;
//! let issuer = Issuer::new(provider, ClientId::new("my-app")?, Keys::discovered(http));
//! let receiver = Receiver::new(store, Issuers::new([issuer])?);
//!
//! // For each POST to the back-channel logout URI, of whose body no more than 16 KiB were read:
//! let answer = receiver.back_channel(None, Some("application/x-www-form-urlencoded"), body).await;
//! println!("{} {:?} {}", answer.status(), answer.headers().collect::<Vec<_>>(), answer.body());
//!
//! // Before the store is closed:
//! receiver.drain().await;
//! # Ok(()) }
//! ```
//!
//! # What is promised
//! - **Success is said of what is durable**, and of nothing else. A store or a hook that fails is
//!   never a 200.
//! - **A sign-out that has come is carried out**, though its sender hangs up, the keys have to be
//!   fetched first, or nobody is signed in yet: it is recorded, so that it also ends a sign-in that
//!   is on its way: one that was begun [before it](crate::SignIn::as_of), and without that one of
//!   the same session. (Not by the front channel, which records nothing for who is not there.)
//! - **It ends nobody who signed in after it**: what says when it was made ends sign-ins from
//!   before, and what its clock may be off by ([`Issuer::skew`], a minute). A token that comes
//!   again does nothing, as long as it is remembered: 1024 of an issuer's are, until the app is
//!   restarted.
//! - **A stranger can do nothing**: not end anybody, not have anything recorded or logged, and have
//!   keys fetched once in [some seconds](Keys::ask_again_after) at most. (By the front channel they
//!   can end the session whose secret `sid` they have, or whoever's name they know, if an issuer
//!   [takes that for a `sid`](Issuer::front_channel_sid_is_sub); and while the store's engine
//!   cannot be read, have up to 1000 sessions recorded. What they can have done at will is a
//!   signature checked, some 0.1 ms of a core: a limit of requests per sender in front is good to
//!   have.)
//! - **A provider can end its own users' sign-ins alone**, whatever it signs; and it cannot fill
//!   the ledger for the others: beyond 1000 records an hour, its sign-outs are recorded only if
//!   they end somebody.
//!
//! # What is not
//! - A session that its provider has ended by a logout token takes no sign-in from before the
//!   token, or up to the [skew](Issuer::skew) after it: such a sign-in is
//!   [`Error::Overtaken`](crate::Error::Overtaken), which says from when on another one counts.
//!   Most providers begin a new session when the user signs in again. Keycloak goes on with the
//!   session, under the same `sid`, if only the consent to this client was withdrawn: a user who
//!   comes back within a minute has to try once more then. Tell them so, and not that the login
//!   failed.
//! - By [`OnlySession`](crate::SessionPolicy::OnlySession), a sign-in whose session nobody knows is
//!   not ended by a token that names one:
//!   [`Provider::require_session`](crate::openid::Provider::require_session).
//! - Encrypted logout tokens are refused.
//! - A provider that signs under another address than it did at sign-in (a custom domain that
//!   changed, an address inside of a cluster) is the same only to whom it was
//!   [said](crate::openid::Provider::also_known_as). Otherwise its sign-outs are refused, as
//!   anybody's who is not known; they do not pass for done.
//! - A provider whose clock is off by more than the [skew](Issuer::skew) from the time in its own
//!   ID tokens (several nodes that disagree), or an app that makes [`SignIn`](crate::SignIn)s with
//!   a time of its own: a sign-in from just before the sign-out can be later than it, and stay. Let
//!   [`Provider::sign_in`](crate::openid::Provider::sign_in) take the time from the ID token.
//! - Whether the provider tells at all is up to it: many send once, some not for every way a
//!   session can end.

mod channels;
#[cfg(all(fuzzing, feature = "test-util"))]
pub(crate) mod fuzzing;
mod http;
mod issuer;
mod jose;
mod keys;
#[cfg(test)]
mod once;
mod receiver;
mod rejected;
mod token;

pub use channels::end_session::{EndSession, Ended};
#[cfg(feature = "axum")]
pub use channels::routes::{SignOutRoutes, sign_out_routes};
#[cfg(feature = "reqwest")]
pub use http::ReqwestClient;
pub use http::{HttpClient, HttpError, HttpFuture};
pub use issuer::Issuer;
pub use issuer::issuers::Issuers;
pub use jose::algorithm::Algorithm;
pub use jose::key_set::{KeySet, KeysError, MAX_KEY_SET_BYTES};
pub use keys::Keys;
pub use receiver::Receiver;
pub use receiver::answer::Answer;
pub use receiver::signed_out::{BoxError, SignOutError, Signal, SignedOut};
pub use rejected::Rejected;
pub use token::logout_token::LogoutToken;
