//! The sign-out callbacks of OpenID Connect: a provider reports that a user has signed out, here or
//! in any other app, and their tokens are removed.
//!
//! | signal | how it comes | what it proves |
//! | --- | --- | --- |
//! | [Back-Channel Logout 1.0](https://openid.net/specs/openid-connect-backchannel-1_0.html) | the provider posts a signed logout token, server to server | everything: [`Receiver::back_channel`] |
//! | [Front-Channel Logout 1.0](https://openid.net/specs/openid-connect-frontchannel-1_0.html) | the user's browser fetches an address of the app's, in a frame of the provider's page | nothing but that the sender knows the `sid`: [`Receiver::front_channel`] |
//! | [RP-Initiated Logout 1.0](https://openid.net/specs/openid-connect-rpinitiated-1_0.html) | the user signs out in this app, and is then sent to the provider | that it is the user: [`Receiver::sign_out`] |
//!
//! Prefer the back channel where the provider has it (Keycloak, Auth0, Okta, Ory Hydra and others).
//! Browsers that keep third parties' content apart, and users who close them, lose front-channel
//! requests. Entra ID has the front channel only, and per browser.
//!
//! # Parts
//! - [`Issuer`]: a provider, the app's client id there, its [`Keys`], and how strict its checks
//!   are.
//! - [`Issuers`]: the list of them; no token adds to it.
//! - `DecryptionKeys`, with the feature `jwe`: the app's keys, for which providers encrypt.
//! - [`Receiver`]: a store and its issuers. It takes a request and gives an [`Answer`], both in
//!   plain types.
//!
//! With the feature `axum`, `sign_out_routes` mounts it; with `reqwest` there is an HTTP client for
//! fetching keys. Everything else works without these two.
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
//! - **Only what is durable is reported as success.** If the store or a hook fails, the answer is
//!   never a 200.
//! - **A sign-out that has come is carried out**, even if its sender hangs up, the keys have to be
//!   fetched first, or no user is signed in yet: it is recorded, so that it also ends a sign-in
//!   that is on its way: one that was begun [before it](crate::SignIn::as_of), or else one of the
//!   same session. (Except on the front channel, which records nothing if it finds no sign-in.)
//! - **It ends no sign-in that was made after it**: a signal that says when it was made ends
//!   sign-ins from before that time, plus the error of its clock ([`Issuer::skew`], a minute). A
//!   token that comes again does nothing while it is remembered: the last 1024 of each issuer are,
//!   until the app is restarted.
//! - **An attacker without a key can do nothing**: not end a sign-in, not have anything recorded or
//!   logged, and cause a fetch of keys once in [some seconds](Keys::ask_again_after) at most. (On
//!   the front channel they can end a session whose secret `sid` they have, or the sign-ins of a
//!   user whose name they know, if an issuer [reads a name as a
//!   `sid`](Issuer::front_channel_sid_is_sub); and while the store's engine cannot be read, have up
//!   to 1000 sessions recorded. At will they can cause the check of a signature, some 0.1 ms of a
//!   core, or where encrypted tokens are taken, the decryption of one, some 0.3 ms: so put a limit
//!   of requests per sender in front. Two tokens at a time are decrypted, and 16 MiB of them wait.)
//! - **A provider can end its own users' sign-ins alone**, whatever it signs; and it cannot fill
//!   the ledger for the others: beyond 1000 records an hour, its sign-outs are recorded only if
//!   they end a sign-in.
//!
//! # What is not
//! - A session that its provider has ended by a logout token takes no sign-in from before the
//!   token, or up to the [skew](Issuer::skew) after it: such a sign-in is
//!   [`Error::Overtaken`](crate::Error::Overtaken), which says from when on another one counts.
//!   Most providers begin a new session when the user signs in again. Keycloak goes on with the
//!   session, under the same `sid`, if only the consent to this client was withdrawn: a user who
//!   comes back within a minute has to try once more then. Tell them so, and not that the login
//!   failed.
//! - Under [`OnlySession`](crate::SessionPolicy::OnlySession), a sign-in without a known session is
//!   not ended by a token that names one: see
//!   [`Provider::require_session`](crate::openid::Provider::require_session).
//! - Encrypted logout tokens are refused, unless the feature `jwe` is on and the issuer has the
//!   app's keys: `Issuer::decryption_keys`.
//! - A provider that signs under another address than it did at sign-in (a custom domain that
//!   changed, an address inside of a cluster) is recognised only if that address was
//!   [set](crate::openid::Provider::also_known_as). Otherwise its sign-outs are refused, like those
//!   of any unknown issuer; they are not reported as done.
//! - A provider whose clock is off by more than the [skew](Issuer::skew) from the time in its own
//!   ID tokens (several nodes that disagree), or an app that makes [`SignIn`](crate::SignIn)s with
//!   a time of its own: a sign-in from just before the sign-out can be later than it, and stay. Let
//!   [`Provider::sign_in`](crate::openid::Provider::sign_in) take the time from the ID token.
//! - Whether the provider sends a signal at all is its own decision: many send it once, some not
//!   for every way in which a session can end.

mod byte_semaphore;
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
#[cfg(feature = "jwe")]
pub use jose::jwe::algorithm::KeyManagement;
#[cfg(feature = "jwe")]
pub use jose::jwe::decryption_key::DecryptionKey;
#[cfg(feature = "jwe")]
pub use jose::jwe::decryption_keys::DecryptionKeys;
pub use jose::key_set::{KeySet, KeysError, MAX_KEY_SET_BYTES};
pub use keys::Keys;
pub use receiver::Receiver;
pub use receiver::answer::Answer;
pub use receiver::signed_out::{BoxError, SignOutError, Signal, SignedOut};
pub use rejected::Rejected;
pub use token::logout_token::LogoutToken;
