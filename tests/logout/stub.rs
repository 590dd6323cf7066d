//! An OpenID provider of our own, which signs whatever it is told to.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oubliette::logout::{Algorithm, Issuer, KeySet, Keys, LogoutToken, Rejected};
use oubliette::openid::{Provider, ProviderIdTokenClaims};
use oubliette::*;
use serde_json::{Map, Value, json};

use crate::signer::Signer;

pub(crate) const ISSUER: &str = "https://login.example.com";
pub(crate) const CLIENT: &str = "web";
/// The clock of the provider and of the store, in seconds: [`common::now`](crate::common::now).
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The provider: its key, its issuer, and what it calls the one who signs out.
pub(crate) struct Stub {
    pub(crate) signer: Signer,
    pub(crate) algorithm: Algorithm,
    pub(crate) provider: Provider,
    /// The `iss` of its tokens.
    pub(crate) iss: String,
}

/// The claims of a token, to be changed. What a change returns is the claims again.
#[derive(Clone)]
pub(crate) struct Claims(pub(crate) Map<String, Value>);

impl Stub {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        Self::at(algorithm, Provider::generic(ISSUER).unwrap(), ISSUER)
    }

    pub(crate) fn at(algorithm: Algorithm, provider: Provider, iss: &str) -> Self {
        Self { signer: Signer::new(algorithm), algorithm, provider, iss: iss.into() }
    }

    /// Of a good logout token, with an unknown claim, as the conformance suite sends it.
    pub(crate) fn claims(&self) -> Claims {
        let claims = json!({"iss": self.iss, "aud": CLIENT, "iat": NOW, "exp": NOW + 120, "jti": "bWJq", "sub": "jane", "sid": "session-1",
            "events": {EVENT: {}}, "unknown": [{"claim": null}]});
        Claims(serde_json::from_value(claims).unwrap())
    }

    pub(crate) fn header(&self) -> Value {
        self.signer.header()
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Claims) -> String {
        self.signer.sign(header, &claims.json())
    }

    /// Under the usual header.
    pub(crate) fn token(&self, claims: &Claims) -> String {
        self.sign(&self.header(), claims)
    }

    pub(crate) fn jwks(&self) -> Vec<u8> {
        self.signer.jwks()
    }

    pub(crate) fn key_set(&self) -> KeySet {
        KeySet::parse(&self.jwks()).unwrap()
    }

    pub(crate) fn keys(&self) -> Keys {
        Keys::fixed(&self.jwks()).unwrap()
    }

    pub(crate) fn provider(&self) -> Provider {
        self.provider.clone()
    }

    /// The issuer as an app has it.
    pub(crate) fn issuer(&self) -> Issuer {
        Issuer::new(self.provider(), ClientId::new(CLIENT).unwrap(), self.keys()).algorithms([self.algorithm])
    }

    pub(crate) fn verify(&self, token: &str) -> Result<LogoutToken, Rejected> {
        self.verify_by(&self.issuer(), token)
    }

    pub(crate) fn verify_by(&self, issuer: &Issuer, token: &str) -> Result<LogoutToken, Rejected> {
        issuer.verify(token, &self.key_set(), at(NOW))
    }

    pub(crate) fn accepts(&self, claims: &Claims) -> LogoutToken {
        self.verify(&self.token(claims)).unwrap()
    }

    pub(crate) fn refuses(&self, claims: &Claims) -> Rejected {
        self.verify(&self.token(claims)).unwrap_err()
    }

    /// A sign-in with an ID token of this provider.
    pub(crate) fn sign_in(&self, sub: &str, sid: Option<&str>, iat: u64) -> SignIn {
        let mut claims = json!({"iss": self.iss, "sub": sub, "aud": CLIENT, "exp": iat + 300, "iat": iat});
        if let Some(sid) = sid {
            claims["sid"] = sid.into();
        }
        let claims: ProviderIdTokenClaims = serde_json::from_value(claims).unwrap();
        self.provider.sign_in(&claims).unwrap()
    }
}

impl Claims {
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.remove(name).expect("it was there");
        self
    }

    pub(crate) fn json(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// That a claim is wrong, whatever about it.
pub(crate) fn is_about(rejected: Rejected, name: &str) -> bool {
    matches!(rejected, Rejected::Claim { claim, .. } if claim == name)
}
