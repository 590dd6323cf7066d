//! The claims that providers add to an ID token, and the types of an `openidconnect` client that keeps them.

use std::fmt;

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
    CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, Client, EndpointNotSet, IdToken, IdTokenClaims, IdTokenFields, IdTokenVerifier, StandardTokenResponse,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::oauth::{ProviderFields, Refusal};

/// All claims of an ID token but the standard ones: `sid`, `oid`, `tid`, `roles`, ... For the `AC` of `openidconnect`'s types,
/// whose [`CoreIdTokenClaims`](openidconnect::core::CoreIdTokenClaims) drops them: with those no sign-out by `sid` would find anybody.
///
/// To have fields of your own beside them, `#[serde(flatten)]` this one into your type and implement `AsRef<ProviderClaims>`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderClaims(Map<String, Value>);

impl AdditionalClaims for ProviderClaims {}

impl ProviderClaims {
    /// A claim.
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
pub type ProviderIdToken = IdToken<ProviderClaims, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;

/// What verifies it.
pub type ProviderIdTokenVerifier<'a> = IdTokenVerifier<'a, CoreJsonWebKey>;

/// A token response with an ID token and what providers add.
pub type ProviderTokenResponse = StandardTokenResponse<
    IdTokenFields<ProviderClaims, ProviderFields, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>,
    CoreTokenType,
>;

/// [`CoreClient`](openidconnect::core::CoreClient) with [`ProviderClaims`], [`ProviderFields`] and [`Refusal`].
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
