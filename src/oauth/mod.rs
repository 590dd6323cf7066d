//! Converts token responses of the [`oauth2`] crate into [`Tokens`](crate::Tokens), and sorts its
//! errors by what the caller can do.
//!
//! A response says how long a token lasts, but not when it ends. Often it does not say which scopes
//! the token has. And the token in it is a plain `String` that is never wiped. [`Received`] makes
//! of it what the store takes:
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use oauth2::basic::BasicTokenResponse;
//! use oubliette::oauth::Received;
//! use oubliette::*;
//!
//! # let store = TokenStore::in_memory()?;
//! # let live = store.sign_in(SignIn::new(AccountId::new("login.example.com", "user-1")?, TenantId::new("contoso")?))?;
//! # let json = r#"{"access_token": "at-1", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "rt-1"}"#;
//! let client = ClientId::new("web")?;
//! // Taken before the request is sent, so that the token cannot end earlier than is believed.
//! let asked_at = SystemTime::now();
//! // let response = client.exchange_code(code).request_async(&http).await?;
//! let response: BasicTokenResponse = serde_json::from_str(json)?;
//! let received = Received::new(client.clone(), asked_at).requested_scopes(Scopes::parse("mail.read")?);
//! live.put(received.tokens(&response)?)?;
//!
//! let wanted = AccessQuery::new(client).scopes(Scopes::parse("mail.read")?);
//! let token = live.access_token(&wanted)?.ok_or("it was just stored")?;
//! assert!(token.expires_at.is_some_and(|end| end <= asked_at + Duration::from_secs(3600)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Answers that are not as RFC 6749 §5.1 has them
//! Many answers are not as that section has them, and a provider that rotates refresh tokens has
//! already voided the old one. The `oauth2` crate's own response type is read whole or not at all.
//! [`TokenAnswer`] is read member by member, and can take its place ([`TolerantClient`]).
//!
//! | in the answer | `oauth2::StandardTokenResponse` | [`TokenAnswer`] |
//! | --- | --- | --- |
//! | `expires_in` as text or with a fraction | refused | its whole seconds |
//! | `expires_in` negative | refused | the token has ended already |
//! | `expires_in` not a number, or too large for one | refused | one hour at most |
//! | `expires_in` of more than ten years | taken | one hour at most |
//! | no `expires_in`, or `null` | none | none |
//! | no `access_token`, or not a text | refused | refused only without another token |
//! | a token whose text is empty or blank | taken | none |
//! | `refresh_token` not a text | refused | none |
//! | `id_token` not a JWT | refused by `openidconnect`'s type | kept as it came |
//! | `id_token` not a text | refused by `openidconnect`'s type | none |
//! | `token_type` missing, or not a text | refused | `Bearer` |
//! | `scope` as a JSON list | refused | those scopes |
//! | `scope` with commas between | one scope | one scope |
//! | a name twice | refused | the last that can be read; the least life |
//! | Slack's `authed_user` | dropped | [`authed_user`](TokenAnswer::authed_user) |
//! | an error with the status 200 (GitHub, Slack) | refused | refused |
//! | JSON that breaks off | refused | kept up to there by [`TokenAnswer::read`] |
//! | a `Content-Type` that is not `application/json` | refused | [`TokenAnswer::read`] ignores it |
//!
//! Some of these need a remark:
//! - If `expires_in` is missing or `null`, but there is an `expires_at`, `expires_on` or `expires`,
//!   [`TokenAnswer`] says one hour at most.
//! - [`Received`] corrects answers of either type: it believes one hour at most if `expires_in` is
//!   more than ten years; a token whose text is empty or blank is none; and it separates scopes at
//!   commas ([`Received::requested_scopes`]).
//! - If Slack's `authed_user` has the only tokens, they are the tokens of the [`TokenAnswer`].
//! - An error with the status 200 is a [`TokenRequestError::Refused`] for both types.
//! - A client refuses JSON that breaks off, and a wrong `Content-Type`, whatever its response type
//!   is. For a wrong `Content-Type` its error does not even have the body.
//!
//! If a response's type refuses an answer, the client's error holds the body. So, whatever the
//! client's types are, [`TokenRequestError`] has what [`TokenAnswer`] reads of that body, as
//! [`Partly`](TokenRequestError::Partly). A refresh closure that passes this error on
//! ([`RefreshError::from_oauth2`](crate::RefreshError::from_oauth2)) loses nothing: these tokens
//! are stored as if the closure had returned them.
//!
//! # Who wipes what
//! What this module copies of a token is a [`Secret`](crate::Secret), or lies in a buffer that is
//! wiped. What the `oauth2` and `openidconnect` crates hold is not wiped: the body of the response,
//! and their `AccessToken`, `RefreshToken` and `IdToken`, are plain strings that are freed as they
//! are. Drop a response as soon as its tokens are taken, keep no clone of it, and never log one in
//! JSON: it serializes its tokens in clear text. (Its `Debug` hides them.)
//!
//! If a provider sends something unexpected beside its tokens, the client's error is an
//! `oauth2::RequestTokenError::Parse`. It holds the whole body of the answer, and shows it in
//! `Debug`, tokens included. [`TokenRequestError`] takes it over, wipes the body, and shows nothing
//! of it. A [`TokenAnswer`] wipes its tokens when it is dropped.

mod answer;
mod fields;
mod grant;
mod life;
mod members;
mod received;
mod redeem;
mod refusal;

pub use answer::{TokenAnswer, TolerantClient};
pub use fields::ProviderFields;
pub use received::Received;
pub use redeem::{TokenClient, WithoutScopes};
pub use refusal::{Refusal, TokenRequestError};
