//! The fields that providers add to a token response.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::life;
use crate::acquire::token_response::is_blank;

/// The fields that providers add to the token response of RFC 6749 §5.1. This type can be the `EF`
/// of [`oauth2::StandardTokenResponse`] (and of `openidconnect::IdTokenFields`). With
/// [`oauth2::EmptyExtraTokenFields`] in its place the same tokens are stored, but without what
/// these fields say.
///
/// - `refresh_in` (Entra ID) becomes
///   [`AccessToken::refresh_at`](crate::AccessToken::refresh_at).
/// - `ext_expires_in` (Entra ID) becomes
///   [`AccessToken::extended_expires_at`](crate::AccessToken::extended_expires_at).
/// - `foci` (Entra ID) becomes [`RefreshToken::family_id`](crate::RefreshToken::family_id).
/// - `refresh_expires_in` (Keycloak) becomes
///   [`RefreshToken::expires_at`](crate::RefreshToken::expires_at); 0 means an offline token, which
///   does not expire.
/// - `refresh_token_expires_in` (GitHub, Google, Entra ID) becomes the same.
/// - `client_info` (Entra ID, if the request asks for it by `client_info=1`) tells whose home
///   account it is: see `openid::Provider::entra`.
///
/// A field of an unexpected form counts as absent: it must not cost the tokens beside it.
///
/// ```
/// use oauth2::{StandardTokenResponse, basic::BasicTokenType};
/// use oubliette::oauth::ProviderFields;
/// type Response = StandardTokenResponse<ProviderFields, BasicTokenType>;
/// let json = r#"{"access_token": "at", "token_type": "Bearer", "expires_in": 86399, "refresh_in": "43199"}"#;
/// let response: Response = serde_json::from_str(json)?;
/// assert_eq!(response.extra_fields().refresh_in().map(|life| life.as_secs()), Some(43_199));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderFields {
    #[serde(default, deserialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    refresh_in: Option<u64>,
    #[serde(default, deserialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    ext_expires_in: Option<u64>,
    #[serde(default, deserialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    refresh_expires_in: Option<u64>,
    #[serde(default, deserialize_with = "seconds", skip_serializing_if = "Option::is_none")]
    refresh_token_expires_in: Option<u64>,
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    foci: Option<String>,
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    client_info: Option<String>,
}

impl oauth2::ExtraTokenFields for ProviderFields {}

impl ProviderFields {
    /// The names of the fields.
    pub(super) const NAMES: [&str; 6] = [
        "refresh_in",
        "ext_expires_in",
        "refresh_expires_in",
        "refresh_token_expires_in",
        "foci",
        "client_info",
    ];

    /// Sets the field of this name, if its JSON text has a value that can be read.
    pub(super) fn set(&mut self, name: &str, json: &str) {
        let json = &mut serde_json::Deserializer::from_str(json);
        let of_seconds = match name {
            "refresh_in" => &mut self.refresh_in,
            "ext_expires_in" => &mut self.ext_expires_in,
            "refresh_expires_in" => &mut self.refresh_expires_in,
            "refresh_token_expires_in" => &mut self.refresh_token_expires_in,
            _ => {
                let of_text = match name {
                    "foci" => &mut self.foci,
                    "client_info" => &mut self.client_info,
                    _ => return,
                };
                *of_text = text(json).ok().flatten().or(of_text.take());
                return;
            }
        };
        *of_seconds = seconds(json).ok().flatten().or(*of_seconds);
    }

    /// After how long the access token should be refreshed.
    #[must_use]
    pub fn refresh_in(&self) -> Option<Duration> {
        self.refresh_in.map(Duration::from_secs)
    }

    /// For how long the access token may be used while the provider is unavailable.
    #[must_use]
    pub fn ext_expires_in(&self) -> Option<Duration> {
        self.ext_expires_in.map(Duration::from_secs)
    }

    /// For how long the refresh token lasts. `None` if the response does not say, or if the token
    /// does not expire.
    #[must_use]
    pub fn refresh_token_expires_in(&self) -> Option<Duration> {
        self.refresh_expires_in
            .or(self.refresh_token_expires_in)
            .filter(|life| *life > 0)
            .map(Duration::from_secs)
    }

    /// The family of clients that may redeem the refresh token.
    #[must_use]
    pub fn family_id(&self) -> Option<&str> {
        self.foci.as_deref()
    }

    /// The user's home account: base64url of JSON with `uid` and `utid`. It names a user, so keep
    /// it out of logs.
    #[must_use]
    pub fn client_info(&self) -> Option<&str> {
        self.client_info.as_deref()
    }
}

impl fmt::Debug for ProviderFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderFields(..)")
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Lenient {
    Number(u64),
    Fraction(f64),
    Text(String),
    Other(IgnoredAny),
}

/// Reads whole seconds from a number, or from a text, as Entra's v1.0 endpoints write it. A
/// negative number counts as 0.
fn seconds<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u64>, D::Error> {
    Ok(match Lenient::deserialize(value)? {
        Lenient::Number(seconds) => Some(seconds),
        Lenient::Fraction(seconds) => life::seconds(&seconds.to_string()),
        Lenient::Text(text) => life::seconds(text.trim()),
        Lenient::Other(_) => None,
    })
}

/// Reads a text that is not blank.
pub(super) fn text<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    Ok(match Lenient::deserialize(value)? {
        Lenient::Text(text) if !is_blank(&text) => Some(text),
        _ => None,
    })
}
