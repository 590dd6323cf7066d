//! The errors of a token endpoint, without what must not be in an error.

use std::error::Error as StdError;
use std::fmt;

use oauth2::{ErrorResponse, RequestTokenError};
use serde::de::Deserializer;
use serde::{Deserialize, Serialize};

use super::TokenAnswer;
use super::fields::text;
use crate::platform::wipe::Wiped;

/// Entra ID's codes for a grant that is valid, but not enough for what was asked for: consent, a
/// second factor, or conditional access is missing. (Source: Microsoft's reference of error codes,
/// AADSTS65001, 50076, ...)
const ASKS_THE_USER: [u64; 12] =
    [50072, 50074, 50076, 50079, 50158, 53000, 53001, 53002, 53003, 53004, 65001, 65004];

/// The error response of a token endpoint (RFC 6749 §5.2), with what Entra ID adds to it. It can be
/// the `TE` of an [`oauth2::Client`], whose own type drops `claims` and `suberror`.
///
/// `Display` and `Debug` show only the codes, because a description can name the user.
///
/// ```
/// use oubliette::oauth::Refusal;
/// let json = r#"{"error": "invalid_grant", "suberror": "bad_token", "error_description": "AADSTS50173: ... bob@example.com"}"#;
/// let refusal: Refusal = serde_json::from_str(json)?;
/// assert_eq!(refusal.to_string(), "invalid_grant (bad_token)");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    error: String,
    #[serde(default, deserialize_with = "short", skip_serializing_if = "Option::is_none")]
    error_description: Option<Box<str>>,
    #[serde(default, deserialize_with = "short", skip_serializing_if = "Option::is_none")]
    error_uri: Option<Box<str>>,
    #[serde(default, deserialize_with = "short", skip_serializing_if = "Option::is_none")]
    suberror: Option<Box<str>>,
    #[serde(default, deserialize_with = "short", skip_serializing_if = "Option::is_none")]
    claims: Option<Box<str>>,
    #[serde(default, deserialize_with = "numbers", skip_serializing_if = "Vec::is_empty")]
    error_codes: Vec<u64>,
}

impl ErrorResponse for Refusal {}

impl Refusal {
    /// The error code: `invalid_grant`, `interaction_required`, ...
    #[must_use]
    pub fn error(&self) -> &str {
        &self.error
    }

    /// Entra ID's code within the code: `bad_token`, `consent_required`, `basic_action`, ...
    #[must_use]
    pub fn suberror(&self) -> Option<&str> {
        self.suberror.as_deref()
    }

    /// The provider's description for developers. It can name the user, so it is not in `Display`.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.error_description.as_deref()
    }

    /// The address at which the provider says more.
    #[must_use]
    pub fn uri(&self) -> Option<&str> {
        self.error_uri.as_deref()
    }

    /// Entra ID's claims challenge. Send it as the parameter `claims` when the user is asked.
    #[must_use]
    pub fn claims(&self) -> Option<&str> {
        self.claims.as_deref()
    }

    /// Whether the refresh token (or code) is no longer valid: it has expired, was revoked or
    /// replayed, or belongs to another client.
    ///
    /// Entra ID says `invalid_grant` also when the grant is valid and the user has to do something
    /// first. It then adds a challenge, or a `suberror` that says so. An unknown `suberror` counts
    /// as final: when in doubt, forget.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self.error.as_str() {
            "invalid_grant" => !self.wants_user(),
            // These are GitHub's code and Slack's.
            "bad_refresh_token" | "invalid_refresh_token" => true,
            _ => false,
        }
    }

    /// Whether the user has to sign in, consent, choose an account, or do more to authenticate
    /// (OpenID Connect Core 1.0 §3.1.2.6).
    #[must_use]
    pub fn is_interaction_required(&self) -> bool {
        match self.error.as_str() {
            "interaction_required"
            | "login_required"
            | "consent_required"
            | "account_selection_required" => true,
            "unmet_authentication_requirements" => true,
            "invalid_grant" => self.wants_user(),
            _ => false,
        }
    }

    fn wants_user(&self) -> bool {
        match self.suberror() {
            Some("bad_token" | "token_expired") => false,
            Some("consent_required" | "basic_action" | "additional_action" | "message_only") => {
                true
            }
            _ => self.claims.is_some() || self.codes().any(|code| ASKS_THE_USER.contains(&code)),
        }
    }

    /// The numbers of Entra ID's codes, from the list and from the description. The `oauth2`
    /// crate's own type keeps only the description.
    fn codes(&self) -> impl Iterator<Item = u64> {
        let said = self.description().and_then(|text| text.strip_prefix("AADSTS"));
        let said = said.and_then(|text| {
            text.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
        });
        self.error_codes.iter().copied().chain(said)
    }

    /// Reads the body of an answer as a refusal, if it is one.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        Self::deserialize(&mut serde_json::Deserializer::from_slice(body)).ok()
    }

    /// Reads an error response of another type as a refusal, if it is one.
    fn of(response: &impl Serialize) -> Option<Self> {
        serde_json::to_value(response).and_then(serde_json::from_value).ok()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(code(&self.error))?;
        self.suberror().map_or(Ok(()), |suberror| write!(f, " ({})", code(suberror)))
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refusal({self})")
    }
}

/// Returns the code if it is safe to log. The text comes from the server, so it could be anything.
fn code(given: &str) -> &str {
    let is_plain = given.len() <= 64
        && given
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if is_plain { given } else { "an error code that is none" }
}

/// Reads a text that is not blank, as a `Box<str>`: it takes two words of memory, which every
/// result carries, mostly empty.
fn short<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Box<str>>, D::Error> {
    Ok(text(value)?.map(Into::into))
}

/// Reads the numbers of a list and skips everything else: nothing beside the error code may keep
/// that from being read.
fn numbers<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<u64>, D::Error> {
    let value = serde_json::Value::deserialize(value)?;
    Ok(value.as_array().into_iter().flatten().filter_map(serde_json::Value::as_u64).collect())
}

/// Why a token request brought no tokens. It takes over an [`oauth2::RequestTokenError`] of any
/// kind, but without what must not be logged: the body of the answer, and descriptions.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenRequestError {
    /// The provider refused.
    #[error("the provider refused: {0}")]
    Refused(Refusal),
    /// The request could not be sent, or was not answered. Try again later.
    #[error("the token endpoint could not be reached")]
    Request(#[source] Box<dyn StdError + Send + Sync>),
    /// The response's type cannot read the answer, but there are tokens in it: `answer` holds them,
    /// for [`Received::tokens`](super::Received::tokens). Store them, or they are lost: the refresh
    /// token that was redeemed is spent. (An [`Acquirer`](crate::Acquirer) stores them by itself if
    /// its closure fails with this error, or with one whose source this is.)
    #[error("the answer of the token endpoint could not be read whole (at {at})")]
    Partly {
        /// The name of the field that could not be read, if it was one.
        at: String,
        /// What could be read.
        answer: Box<TokenAnswer>,
    },
    /// The answer is not a token response.
    #[error("the answer of the token endpoint could not be read (at {at})")]
    Unreadable {
        /// The name of the field that could not be read, if it was one.
        at: String,
    },
    /// The answer is empty, or not JSON.
    #[error("unexpected answer of the token endpoint: {0}")]
    Other(String),
}

impl<RE, T> From<RequestTokenError<RE, T>> for TokenRequestError
where
    RE: StdError + Send + Sync + 'static,
    T: ErrorResponse + 'static,
{
    fn from(error: RequestTokenError<RE, T>) -> Self {
        match error {
            RequestTokenError::ServerResponse(response) => Refusal::of(&response).map_or_else(
                || Self::Other("an error response without a code".into()),
                Self::Refused,
            ),
            RequestTokenError::Request(source) => Self::Request(Box::new(source)),
            RequestTokenError::Parse(error, body) => {
                let (body, at) = (Wiped(body), error.path().to_string());
                match TokenAnswer::read(&body) {
                    Ok(answer) => Self::Partly { at, answer: Box::new(answer) },
                    // GitHub and Slack refuse with the status 200.
                    Err(refused @ Self::Refused(_)) => refused,
                    Err(_) => Self::Unreadable { at },
                }
            }
            RequestTokenError::Other(problem) => Self::Other(problem),
        }
    }
}
