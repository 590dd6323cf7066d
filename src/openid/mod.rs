//! Makes sign-ins of verified ID tokens of the [`openidconnect`] crate.
//!
//! Each provider has its own convention for the claims that say who the user is, and in which
//! tenant. [`Provider`] knows these:
//!
//! | provider | account | tenant |
//! | --- | --- | --- |
//! | [`generic`](Provider::generic) | (`iss`, `sub`) | `iss` or [a claim](Provider::tenant_claim) |
//! | [`entra`](Provider::entra) | the home account, as in MSAL's caches | `tid` |
//! | [`keycloak`](Provider::keycloak) | (`iss`, `sub`) | the realm |
//! | [`okta`](Provider::okta) | the org's host and `sub` | the org's host |
//! | [`auth0`](Provider::auth0) | (`iss`, `sub`) | `org_id`, or the tenant's host |
//! | [`google`](Provider::google) | (`iss`, `sub`) | `hd`, or Google's host |
//!
//! [`entra`](Provider::entra) is for Entra ID, B2C and External ID.
//!
//! For a provider that signs under more than one address, set the others once, by
//! [`also_known_as`](Provider::also_known_as).
//!
//! For all of them: the session is (`iss`, `sid`) if the ID token has a `sid` (at Entra it is the
//! cloud and `sid`); the subject is (`iss`, `sub`); the time of the sign-in is `iat`; and the
//! e-mail address is an alias only if the provider says that it is verified. (The time is `iat` and
//! not `auth_time`, because a sign-out with a cutoff compares it with a time of the same provider's
//! clock, and a provider that issues an ID token says that the user is signed in *then*, however
//! long ago they authenticated. The verifier checks how long ago that may be: `max_age`.)
//!
//! ```
//! use openidconnect::{ClientId, IssuerUrl, JsonWebKeySet, Nonce};
//! use oubliette::openid::{Provider, ProviderIdTokenClaims, ProviderIdTokenVerifier, ProviderTokenResponse};
//! use oubliette::*;
//!
//! // Do this once, at the start: a malformed issuer is an error here, not at the first login.
//! let provider = Provider::keycloak("https://sso.example.com/realms/contoso")?;
//!
//! // Do this at each login, with the response to the code.
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
//! sign-in ([`SignIn::as_of`](crate::SignIn::as_of)). Then a sign-out that comes after the
//! provider's answer, but before the store's sign-in, counts too.
//!
//! # What a verifier of this crate does not see
//! A [`Provider`] takes *verified* claims, and compares the issuer once more with its own. For a
//! multi-tenant app of Entra ID, whose verifier needs `require_issuer_match(false)`, this is the
//! only check of the issuer. One check is left to such an app: each signing key of that cloud names
//! the issuer whose tokens it may sign, and `openidconnect` does not read that.

mod claims;
mod entra;
#[cfg(feature = "logout")]
mod key_issuer;
mod names;
mod provider;
mod redeem;
#[cfg(feature = "logout")]
mod signals;

pub use claims::{
    DiscoveredClient, ProviderClaims, ProviderClient, ProviderIdToken, ProviderIdTokenClaims,
    ProviderIdTokenVerifier, ProviderTokenResponse,
};
#[cfg(feature = "logout")]
pub(crate) use key_issuer::is_issued_by;
pub use provider::{ClaimError, Provider};
