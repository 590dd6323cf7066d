//! Reads a token endpoint's answer so that nothing is lost that can be kept.

use std::fmt;
use std::time::Duration;

use oauth2::basic::{
    BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AccessToken, EndpointNotSet, RefreshToken, Scope, StandardRevocableToken, TokenResponse,
};
use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::life::Life;
use super::members::Members;
use super::{ProviderFields, Refusal, TokenRequestError};

/// The response of a token endpoint (RFC 6749 §5.1), read member by member: a member that cannot be
/// read does not cost the others. It can be the `TR` of an [`oauth2::Client`] (as it is of
/// [`TolerantClient`]), and it can be [read](Self::read) from bytes without a client.
///
/// [`Received`](super::Received) and [`Grant::tokens`](crate::Grant::tokens) make tokens of it. The
/// [module](super) lists what it accepts that the `oauth2` crate's own type does not.
///
/// ```
/// use oauth2::TokenResponse;
/// use oubliette::oauth::TokenAnswer;
/// // The refresh token is rotated, but other members are malformed.
/// let body = br#"{"access_token": "at-2", "expires_in": "soon", "refresh_token": "rt-2", "scope": ["a", "b"]}"#;
/// let answer = TokenAnswer::read(body)?;
/// assert_eq!(answer.refresh_token().map(|token| token.secret().as_str()), Some("rt-2"));
/// // A lifetime that cannot be read does not mean "for ever".
/// assert_eq!(answer.expires_in().map(|life| life.as_secs()), Some(3600));
/// # Ok::<(), oubliette::oauth::TokenRequestError>(())
/// ```
///
/// # An answer without an access token
/// An answer without an access token is accepted if it has a refresh token or an ID token. Then
/// [`access_token`](TokenResponse::access_token) is empty,
/// [`has_access_token`](Self::has_access_token) returns false, and the tokens that are made of it
/// have no access token. A refresh that brings no other has [failed](crate::AcquireError::Refresh),
/// but the new refresh token is stored.
///
/// # Slack
/// Slack's answers have the tokens of the app's bot and, in `authed_user`, those of the user, if
/// the app asked for both: see [`authed_user`](Self::authed_user). If there are only those of the
/// user, they are the tokens of this answer.
///
/// # Wiping
/// The answer wipes its tokens when it is dropped. (The buffer that the HTTP client read the body
/// into is not wiped.)
#[derive(Clone)]
pub struct TokenAnswer(pub(super) Members);

/// An [`oauth2::Client`] that reads answers as [`TokenAnswer`] and errors as [`Refusal`].
///
/// ```
/// use oauth2::{ClientId, TokenUrl};
/// use oubliette::oauth::TolerantClient;
/// let client: TolerantClient = TolerantClient::new(ClientId::new("web".into()));
/// let client = client.set_token_uri(TokenUrl::new("https://github.com/login/oauth/access_token".into())?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type TolerantClient<
    HasAuthUrl = EndpointNotSet,
    HasDeviceAuthUrl = EndpointNotSet,
    HasIntrospectionUrl = EndpointNotSet,
    HasRevocationUrl = EndpointNotSet,
    HasTokenUrl = EndpointNotSet,
> = oauth2::Client<
    Refusal,
    TokenAnswer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    HasAuthUrl,
    HasDeviceAuthUrl,
    HasIntrospectionUrl,
    HasRevocationUrl,
    HasTokenUrl,
>;

impl TokenAnswer {
    /// Reads the body of an answer, whatever its HTTP status and `Content-Type` were.
    ///
    /// If the body is truncated, everything before that point is kept. Anything after the JSON
    /// object is ignored.
    ///
    /// # Errors
    /// [`TokenRequestError::Refused`] if it is an error response, even one with the status 200
    /// (GitHub, Slack); [`TokenRequestError::Unreadable`] if it has no token, or is not a JSON
    /// object. Neither shows anything of the body except the error's code.
    pub fn read(body: &[u8]) -> Result<Self, TokenRequestError> {
        let unreadable = |at: &str| TokenRequestError::Unreadable { at: at.into() };
        let members = Members::of_bytes(body).ok_or_else(|| unreadable("."))?;
        if members.is_error() {
            let refusal = Refusal::read(body);
            return Err(refusal.map_or_else(|| unreadable("error"), TokenRequestError::Refused));
        }
        if members.has_token() { Ok(Self(members)) } else { Err(unreadable("access_token")) }
    }

    /// Whether there is an access token that can be read.
    #[must_use]
    pub fn has_access_token(&self) -> bool {
        self.0.has_access_token()
    }

    /// The ID token as it came (OpenID Connect Core 1.0 §3.1.3.3). Verify it before you act on what
    /// it says.
    #[must_use]
    pub fn id_token(&self) -> Option<&str> {
        self.0.id_token.as_ref().map(|token| token.expose())
    }

    /// The fields that providers add to the response.
    #[must_use]
    pub fn fields(&self) -> &ProviderFields {
        &self.0.fields
    }

    /// Slack's tokens of the user, if the answer also has those of the app's bot. Keep the two
    /// apart, because their scopes can be the same.
    ///
    /// ```
    /// # use std::time::SystemTime;
    /// use oubliette::oauth::{Received, TokenAnswer};
    /// # use oubliette::*;
    /// # let store = TokenStore::in_memory()?;
    /// # let live = store.sign_in(SignIn::new(AccountId::new("slack.com", "U1234")?, TenantId::new("T1234")?))?;
    /// # let asked_at = SystemTime::now();
    /// let answer = TokenAnswer::read(br#"{"ok": true, "access_token": "xoxb-1", "token_type": "bot", "scope": "commands,chat:write",
    ///     "authed_user": {"id": "U1234", "access_token": "xoxp-1", "token_type": "user", "scope": "chat:write"}}"#)?;
    /// let (bot, user) = (ClientId::new("app/bot")?, ClientId::new("app/user")?);
    /// live.put(Received::new(bot.clone(), asked_at).tokens(&answer)?)?;
    /// if let Some(of_user) = answer.authed_user() {
    ///     live.put(Received::new(user.clone(), asked_at).tokens(of_user)?)?;
    /// }
    /// let secret = |client| -> Result<_> {
    ///     let found = live.access_token(&AccessQuery::new(client).scopes(Scopes::parse("chat:write")?))?;
    ///     Ok(found.map(|token| token.secret.expose().to_owned()))
    /// };
    /// assert_eq!((secret(bot)?.as_deref(), secret(user)?.as_deref()), (Some("xoxb-1"), Some("xoxp-1")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn authed_user(&self) -> Option<&Self> {
        self.0.authed_user.as_deref()
    }
}

impl fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenAnswer(..)")
    }
}

impl TokenResponse for TokenAnswer {
    type TokenType = BasicTokenType;

    /// The access token; empty if there is none that can be read.
    fn access_token(&self) -> &AccessToken {
        &self.0.access_token
    }

    /// The token type; `Bearer` if the response names none.
    fn token_type(&self) -> &BasicTokenType {
        &self.0.token_type
    }

    /// The lifetime; one hour if the response gives one that cannot be read, or cannot be right.
    fn expires_in(&self) -> Option<Duration> {
        self.0.life.believed(None)
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.0.refresh_token.as_ref()
    }

    /// The scopes, separated by white space or as a JSON list. (Commas do not separate them here:
    /// only [`Received`](super::Received), which knows the requested scopes, can decide about
    /// those.)
    fn scopes(&self) -> Option<&Vec<Scope>> {
        self.0.scopes.as_ref()
    }
}

impl<'de> Deserialize<'de> for TokenAnswer {
    /// Accepts only JSON that is complete. The error shows nothing of the input.
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let members = Members::of(json)?;
        match (members.is_error(), members.has_token()) {
            (true, _) => Err(D::Error::custom("it is an error response")),
            (false, false) => Err(D::Error::custom("there is no token in it that can be read")),
            (false, true) => Ok(Self(members)),
        }
    }
}

impl Serialize for TokenAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire::of(&self.0).serialize(serializer)
    }
}

/// The form in which an answer is serialized, so that it is read back as the same.
#[derive(Serialize)]
struct Wire<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    access_token: &'a str,
    token_type: &'a BasicTokenType,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<Written>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'a str>,
    #[serde(flatten)]
    fields: &'a ProviderFields,
    #[serde(skip_serializing_if = "Option::is_none")]
    authed_user: Option<Box<Wire<'a>>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Written {
    Seconds(u64),
    Text(&'static str),
}

impl<'a> Wire<'a> {
    fn of(members: &'a Members) -> Self {
        let scopes = members
            .scopes
            .as_ref()
            .map(|scopes| scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" "));
        Self {
            access_token: members.access_token.secret(),
            token_type: &members.token_type,
            expires_in: match members.life {
                Life::Unsaid => None,
                Life::Given(seconds) => Some(Written::Seconds(seconds)),
                Life::Unreadable => Some(Written::Text("unreadable")),
            },
            refresh_token: members.refresh_token.as_ref().map(|token| token.secret().as_str()),
            scope: scopes,
            id_token: members.id_token.as_ref().map(|token| token.expose()),
            fields: &members.fields,
            authed_user: members.authed_user.as_deref().map(|user| Box::new(Wire::of(&user.0))),
        }
    }
}
