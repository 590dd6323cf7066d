//! Verified ID tokens of the [`openidconnect`] crate as sign-ins.
//!
//! Which claim says who the user is, and in which tenant, is a convention of each provider.
//! [`Provider`] knows some:
//!
//! | provider | account | tenant |
//! | --- | --- | --- |
//! | [`generic`](Provider::generic) | (`iss`, `sub`) | `iss`, or [a claim](Provider::tenant_claim) |
//! | [`entra`](Provider::entra): Entra ID, B2C, External ID | the home account, as MSAL's caches know it | `tid` |
//! | [`keycloak`](Provider::keycloak) | (`iss`, `sub`) | the realm |
//! | [`okta`](Provider::okta) | the org's host and `sub` | the org's host |
//! | [`auth0`](Provider::auth0) | (`iss`, `sub`) | `org_id`, or the tenant's host |
//! | [`google`](Provider::google) | (`iss`, `sub`) | `hd`, or Google's host |
//!
//! For a provider that signs under more than one address, set the others once, by
//! [`also_known_as`](Provider::also_known_as).
//!
//! Always: the session is (`iss`, `sid`) where the ID token has a `sid` (at Entra: the cloud and
//! `sid`); the subject is (`iss`, `sub`); the time of the sign-in is `iat`; the e-mail address is
//! an alias only if the provider says that it is verified. (By `iat` and not `auth_time`: a
//! sign-out with a cutoff compares it with a time of the same provider's clock, and a provider that
//! issues an ID token says that the user is signed in *then*, however long ago they authenticated.
//! The verifier checks how long ago that may be: `max_age`.)
//!
//! ```
//! use openidconnect::{ClientId, IssuerUrl, JsonWebKeySet, Nonce};
//! use oubliette::openid::{Provider, ProviderIdTokenClaims, ProviderIdTokenVerifier, ProviderTokenResponse};
//! use oubliette::*;
//!
//! // Once, at start: an issuer of another form is an error here, not at the first login.
//! let provider = Provider::keycloak("https://sso.example.com/realms/contoso")?;
//!
//! // At each login, with the response to the code:
//! fn login(store: &TokenStore, provider: &Provider, response: &ProviderTokenResponse, verifier: &ProviderIdTokenVerifier<'_>,
//!     nonce: &Nonce) -> Result<LiveSignIn, Box<dyn std::error::Error>> {
//!     use openidconnect::TokenResponse;
//!     let claims = response.id_token().ok_or("no ID token: ask for the scope openid")?.claims(verifier, nonce)?;
//!     Ok(store.sign_in(provider.sign_in(claims)?)?)
//! }
//! # let json = serde_json::json!({"iss": "https://sso.example.com/realms/contoso", "sub": "f:1", "aud": "web", "exp": 2e9, "iat": 1e9});
//! # let claims: ProviderIdTokenClaims = serde_json::from_value(json)?;
//! # assert_eq!(provider.sign_in(&claims)?.tenant().as_str(), "contoso");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Take the [moment](crate::TokenStore::as_of) before the code is redeemed, and give it to the
//! sign-in ([`SignIn::as_of`](crate::SignIn::as_of)): then a sign-out that comes between the
//! provider's answer and the store counts.
//!
//! # What a verifier of this crate does not see
//! A [`Provider`] takes *verified* claims, and compares the issuer once more with its own: for a
//! multi-tenant app of Entra ID, whose verifier has to be told `require_issuer_match(false)`, this
//! is the only check of it. What remains with the app there: each signing key of that cloud names
//! the issuer whose tokens it may sign, and `openidconnect` does not read that.

mod claims;
mod entra;
#[cfg(feature = "logout")]
mod key_issuer;
mod names;
mod provider;
#[cfg(feature = "logout")]
mod signals;

pub use claims::{
    ProviderClaims, ProviderClient, ProviderIdToken, ProviderIdTokenClaims,
    ProviderIdTokenVerifier, ProviderTokenResponse,
};
#[cfg(feature = "logout")]
pub(crate) use key_issuer::is_issued_by;
pub use provider::{ClaimError, Provider};
