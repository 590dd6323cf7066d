//! Token responses of the [`oauth2`] crate as [`Tokens`](crate::Tokens), and its errors as what to
//! do about them.
//!
//! A response says how long a token lasts, not when it ends; often not what it allows; and it is a
//! plain `String` that nobody wipes. [`Received`] makes of it what the store takes:
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
//! let asked_at = SystemTime::now(); // before the request is sent: the token cannot end later than we think
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
//! Many are not, and a provider that rotates refresh tokens has spent the old one by then. The
//! `oauth2` crate's own response type is read whole or not at all; [`TokenAnswer`] is read member
//! by member, and can take its place ([`TolerantClient`]).
//!
//! | in the answer | `oauth2::StandardTokenResponse` | [`TokenAnswer`] |
//! | --- | --- | --- |
//! | `expires_in` as text or with a fraction | refused | its whole seconds |
//! | `expires_in` negative | refused | has ended already |
//! | `expires_in` that is no number, or too large for one | refused | something was said: an hour at most |
//! | `expires_in` of more than ten years | taken; [`Received`] believes an hour at most | an hour at most |
//! | no `expires_in`, or `null` | none | none; but an hour at most beside `expires_at`, `expires_on` or `expires` |
//! | no `access_token`, or one that is no text | refused | refused only if there is no other token beside it |
//! | a token whose text is empty or blank | taken; none for [`Received`] | none |
//! | `refresh_token` that is no text | refused | none |
//! | `id_token` that is no JWT | refused by `openidconnect`'s type | kept as it came; none if it is no text |
//! | `token_type` missing, or no text | refused | `Bearer` |
//! | `scope` as a JSON list | refused | those scopes |
//! | `scope` with commas between | one scope; for [`Received`] those scopes | the same |
//! | a name twice | refused | the last that can be read; the least life |
//! | Slack's `authed_user` | dropped | [`authed_user`](TokenAnswer::authed_user), or the answer's tokens if there are no others |
//! | an error with the status 200 (GitHub, Slack) | refused; [`TokenRequestError::Refused`] | the same |
//! | JSON that breaks off | refused | refused by the client; [`TokenAnswer::read`] keeps what stands before |
//! | a `Content-Type` that is not `application/json` | refused by the client, and the body is gone | the same; [`TokenAnswer::read`] does not ask |
//!
//! What a response's type refuses is in the client's error, with the body; so [`TokenRequestError`]
//! has what [`TokenAnswer`] reads of it, as [`Partly`](TokenRequestError::Partly), whatever the
//! client's types are. A refresh closure that passes this on
//! ([`RefreshError::from_oauth2`](crate::RefreshError::from_oauth2)) loses nothing: these tokens
//! are stored as if it had returned them.
//!
//! # Who wipes what
//! What this module copies of a token is a [`Secret`](crate::Secret), or lies in a buffer that is
//! wiped. What the `oauth2` and `openidconnect` crates hold is not: the body of the response, their
//! `AccessToken`, `RefreshToken` and `IdToken` are plain strings, freed as they are. Drop a
//! response as soon as its tokens are taken, keep no clone of it, and never log one in JSON: it
//! serializes its tokens in clear. (Its `Debug` hides them.)
//!
//! An `oauth2::RequestTokenError::Parse` holds the whole body of the answer and shows it in
//! `Debug`, tokens included, if a provider sends something unexpected beside them.
//! [`TokenRequestError`] takes it over, wipes the body, and shows nothing of it. A [`TokenAnswer`]
//! wipes its tokens when it is dropped.

mod answer;
mod fields;
mod grant;
mod life;
mod members;
mod received;
mod refusal;

pub use answer::{TokenAnswer, TolerantClient};
pub use fields::ProviderFields;
pub use received::Received;
pub use refusal::{Refusal, TokenRequestError};
