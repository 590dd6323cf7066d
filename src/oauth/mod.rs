//! Token responses of the [`oauth2`] crate as [`Tokens`](crate::Tokens), and its errors as what to do about them.
//!
//! A response says how long a token lasts, not when it ends; often not what it allows; and it is a plain `String` that nobody
//! wipes. [`Received`] makes of it what the store takes:
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
//! assert!(token.expires_at <= asked_at + Duration::from_secs(3600));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Who wipes what
//! What this module copies of a token is a [`Secret`](crate::Secret), or lies in a buffer that is wiped. What the `oauth2` and
//! `openidconnect` crates hold is not: the body of the response, their `AccessToken`, `RefreshToken` and `IdToken` are plain strings,
//! freed as they are. Drop a response as soon as its tokens are taken, keep no clone of it, and never log one in JSON: it
//! serializes its tokens in clear. (Its `Debug` hides them.)
//!
//! An `oauth2::RequestTokenError::Parse` holds the whole body of the answer and shows it in `Debug`, tokens included, if a
//! provider sends something unexpected beside them. [`TokenRequestError`] takes it over without the body.

mod fields;
mod grant;
mod received;
mod refusal;

pub use fields::ProviderFields;
pub use received::Received;
pub use refusal::{Refusal, TokenRequestError};
