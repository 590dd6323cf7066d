//! The claims that providers add to an ID token, and the types of an `openidconnect` client that
//! keeps them.

use std::fmt;
use std::time::Duration;

use oauth2::basic::BasicTokenType;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreGenderClaim, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreRevocableToken,
    CoreRevocationErrorResponse, CoreTokenIntrospectionResponse,
};
use openidconnect::{
    AccessToken, AdditionalClaims, Client, EndpointMaybeSet, EndpointNotSet, EndpointSet, IdToken,
    IdTokenClaims, IdTokenVerifier, OAuth2TokenResponse, RefreshToken, Scope, TokenResponse,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::oauth::{ProviderFields, Refusal, TokenAnswer};

/// All claims of an ID token except the standard ones: `sid`, `oid`, `tid`, `roles`, ... Use it as
/// the `AC` of `openidconnect`'s types. Their
/// [`CoreIdTokenClaims`](openidconnect::core::CoreIdTokenClaims) drop these claims, so that no
/// sign-out by `sid` would find anybody.
///
/// To have fields of your own beside them, `#[serde(flatten)]` this one into your type and
/// implement `AsRef<ProviderClaims>`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderClaims(Map<String, Value>);

impl AdditionalClaims for ProviderClaims {}

impl ProviderClaims {
    /// The claim of this name; `None` if it is missing or null.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }
}

impl AsRef<Self> for ProviderClaims {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl fmt::Debug for ProviderClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderClaims(..)")
    }
}

/// The claims of an ID token, once it is verified.
pub type ProviderIdTokenClaims = IdTokenClaims<ProviderClaims, CoreGenderClaim>;

/// An ID token.
pub type ProviderIdToken = IdToken<
    ProviderClaims,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

/// The verifier of an ID token.
pub type ProviderIdTokenVerifier<'a> = IdTokenVerifier<'a, CoreJsonWebKey>;

/// A token response with an ID token and the fields that providers add: a [`TokenAnswer`] whose ID
/// token is parsed. An ID token that is not a JWT counts as missing here, and does not cost the
/// other tokens.
#[derive(Clone)]
pub struct ProviderTokenResponse {
    answer: TokenAnswer,
    id_token: Option<ProviderIdToken>,
}

impl ProviderTokenResponse {
    /// The fields that providers add.
    #[must_use]
    pub fn fields(&self) -> &ProviderFields {
        self.answer.fields()
    }
}

impl<'de> Deserialize<'de> for ProviderTokenResponse {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let answer = TokenAnswer::deserialize(json)?;
        let id_token = answer.id_token().and_then(|token| token.parse().ok());
        Ok(Self { answer, id_token })
    }
}

impl Serialize for ProviderTokenResponse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.answer.serialize(serializer)
    }
}

impl fmt::Debug for ProviderTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderTokenResponse(..)")
    }
}

impl OAuth2TokenResponse for ProviderTokenResponse {
    type TokenType = BasicTokenType;

    fn access_token(&self) -> &AccessToken {
        self.answer.access_token()
    }

    fn token_type(&self) -> &BasicTokenType {
        self.answer.token_type()
    }

    fn expires_in(&self) -> Option<Duration> {
        self.answer.expires_in()
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.answer.refresh_token()
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        self.answer.scopes()
    }
}

impl
    TokenResponse<
        ProviderClaims,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    > for ProviderTokenResponse
{
    fn id_token(&self) -> Option<&ProviderIdToken> {
        self.id_token.as_ref()
    }
}

/// [`CoreClient`](openidconnect::core::CoreClient) with [`ProviderClaims`], [`ProviderFields`] and
/// [`Refusal`].
pub type ProviderClient<
    HasAuthUrl = EndpointNotSet,
    HasDeviceAuthUrl = EndpointNotSet,
    HasIntrospectionUrl = EndpointNotSet,
    HasRevocationUrl = EndpointNotSet,
    HasTokenUrl = EndpointNotSet,
    HasUserInfoUrl = EndpointNotSet,
> = Client<
    ProviderClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    Refusal,
    ProviderTokenResponse,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    HasAuthUrl,
    HasDeviceAuthUrl,
    HasIntrospectionUrl,
    HasRevocationUrl,
    HasTokenUrl,
    HasUserInfoUrl,
>;

/// A [`ProviderClient`] that was made of a discovery document: its token endpoint may be missing.
///
/// `DiscoveredClient::from_provider_metadata(metadata, client_id, client_secret)` makes one.
pub type DiscoveredClient = ProviderClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;
