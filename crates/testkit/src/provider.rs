//! An OpenID provider of our own, which signs whatever it is told to.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oubliette::logout::{Algorithm, Issuer, KeySet, Keys, LogoutToken, Rejected};
use oubliette::openid::{Provider, ProviderIdTokenClaims};
use oubliette::*;
use serde_json::{Map, Value, json};

use crate::signer::Signer;

/// Its issuer.
pub const ISSUER: &str = "https://login.example.com";
/// The app, as it knows it.
pub const CLIENT: &str = "web";
/// The clock of the provider and of the store, in seconds: [`accounts::now`](crate::accounts::now).
pub const NOW: u64 = 1_800_000_000;
/// The event that makes a token a logout token.
pub const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The provider: its key, its issuer, and what it calls the one who signs out.
#[derive(Debug)]
pub struct SigningProvider {
    /// Its key.
    pub signer: Signer,
    /// That of its key.
    pub algorithm: Algorithm,
    /// As the app knows it.
    pub provider: Provider,
    /// The `iss` of its tokens.
    pub iss: String,
}

/// The claims of a token, to be changed. What a change returns is the claims again.
#[derive(Clone, Debug)]
pub struct Claims(pub Map<String, Value>);

impl SigningProvider {
    /// At [`ISSUER`].
    pub fn new(algorithm: Algorithm) -> Self {
        Self::at(algorithm, Provider::generic(ISSUER).unwrap(), ISSUER)
    }

    /// Another one, with tokens of this `iss`.
    pub fn at(algorithm: Algorithm, provider: Provider, iss: &str) -> Self {
        Self { signer: Signer::new(algorithm), algorithm, provider, iss: iss.into() }
    }

    /// Of a good logout token, with an unknown claim, as the conformance suite sends it.
    pub fn claims(&self) -> Claims {
        let claims = json!({"iss": self.iss, "aud": CLIENT, "iat": NOW, "exp": NOW + 120, "jti": "bWJq", "sub": "jane", "sid": "session-1",
            "events": {EVENT: {}}, "unknown": [{"claim": null}]});
        Claims(serde_json::from_value(claims).unwrap())
    }

    /// Of a logout token.
    pub fn header(&self) -> Value {
        self.signer.header()
    }

    /// A token of this header and these claims.
    pub fn sign(&self, header: &Value, claims: &Claims) -> String {
        self.signer.sign(header, &claims.json())
    }

    /// Under the usual header.
    pub fn token(&self, claims: &Claims) -> String {
        self.sign(&self.header(), claims)
    }

    /// Its keys as it publishes them.
    pub fn jwks(&self) -> Vec<u8> {
        self.signer.jwks()
    }

    /// Its keys as they are read.
    pub fn key_set(&self) -> KeySet {
        KeySet::parse(&self.jwks()).unwrap()
    }

    /// Its keys as an app is given them.
    pub fn keys(&self) -> Keys {
        Keys::fixed(&self.jwks()).unwrap()
    }

    /// As the app knows it.
    pub fn provider(&self) -> Provider {
        self.provider.clone()
    }

    /// The issuer as an app has it.
    pub fn issuer(&self) -> Issuer {
        Issuer::new(self.provider(), ClientId::new(CLIENT).unwrap(), self.keys())
            .algorithms([self.algorithm])
    }

    /// What the app finds.
    pub fn verify(&self, token: &str) -> Result<LogoutToken, Rejected> {
        self.verify_by(&self.issuer(), token)
    }

    /// What an app with these settings finds.
    pub fn verify_by(&self, issuer: &Issuer, token: &str) -> Result<LogoutToken, Rejected> {
        issuer.verify(token, &self.key_set(), at(NOW))
    }

    /// The token of these claims, which must be good.
    pub fn accepts(&self, claims: &Claims) -> LogoutToken {
        self.verify(&self.token(claims)).unwrap()
    }

    /// Why the token of these claims is not good.
    pub fn refuses(&self, claims: &Claims) -> Rejected {
        self.verify(&self.token(claims)).unwrap_err()
    }

    /// A sign-in with an ID token of this provider.
    pub fn sign_in(&self, sub: &str, sid: Option<&str>, iat: u64) -> SignIn {
        let mut claims =
            json!({"iss": self.iss, "sub": sub, "aud": CLIENT, "exp": iat + 300, "iat": iat});
        if let Some(sid) = sid {
            claims["sid"] = sid.into();
        }
        let claims: ProviderIdTokenClaims = serde_json::from_value(claims).unwrap();
        self.provider.sign_in(&claims).unwrap()
    }
}

impl Claims {
    /// With another value of this claim.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// Without this claim, which must be there.
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name).expect("it was there");
        self
    }

    /// As they are signed.
    pub fn json(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

/// So many seconds after the epoch.
pub fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// So many seconds.
pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// That a claim is wrong, whatever about it.
pub fn is_about(rejected: Rejected, name: &str) -> bool {
    matches!(rejected, Rejected::Claim { claim, .. } if claim == name)
}
