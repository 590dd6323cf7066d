//! An app: a store on a pretended machine, its receiver, and what its hook was told. Two providers:
//! ours, and another.

use std::sync::{Arc, Mutex};

use oubliette::logout::{Algorithm, Answer, Issuer, Issuers, Receiver, SignedOut};
use oubliette::openid::Provider;
use oubliette::*;
use oubliette_testkit::fixture::Fixture;
use oubliette_testkit::provider::{Claims, NOW, SigningProvider};

pub(crate) const OTHER: &str = "https://other.example.com";

pub(crate) struct CallbackFixture {
    pub(crate) fixture: Fixture,
    pub(crate) stub: SigningProvider,
    pub(crate) other: SigningProvider,
    pub(crate) receiver: Receiver,
    pub(crate) told: Arc<Mutex<Vec<SignedOut>>>,
}

impl std::ops::Deref for CallbackFixture {
    type Target = Fixture;

    fn deref(&self) -> &Fixture {
        &self.fixture
    }
}

impl CallbackFixture {
    pub(crate) fn new() -> Self {
        Self::with(|issuer| issuer)
    }

    /// With other settings of the issuer.
    pub(crate) fn with(set: impl FnOnce(Issuer) -> Issuer) -> Self {
        let stub = SigningProvider::new(Algorithm::EdDsa);
        let other = SigningProvider::at(Algorithm::Es256, Provider::generic(OTHER).unwrap(), OTHER);
        let issuers = Issuers::new([set(stub.issuer()), other.issuer()]).unwrap();
        Self::of(stub, other, issuers)
    }

    pub(crate) fn of(stub: SigningProvider, other: SigningProvider, issuers: Issuers) -> Self {
        let fixture = Fixture::new();
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = told.clone();
        let receiver =
            Receiver::new(fixture.store.clone(), issuers).after_sign_out(move |signed_out| {
                tell.lock().unwrap().push(signed_out);
                async { Ok(()) }
            });
        Self { fixture, stub, other, receiver, told }
    }

    /// A user signs in, at that second, with a refresh token.
    pub(crate) fn sign_in_at(&self, sub: &str, sid: Option<&str>, iat: u64) -> LiveSignIn {
        let live = self.store.sign_in(self.stub.sign_in(sub, sid, iat)).unwrap();
        live.put(RefreshToken::new(oubliette_testkit::accounts::client(), "rt")).unwrap();
        live
    }

    pub(crate) fn sign_in(&self, sub: &str, sid: Option<&str>) -> LiveSignIn {
        self.sign_in_at(sub, sid, NOW - 100)
    }

    pub(crate) async fn post(&self, claims: &Claims) -> Answer {
        self.post_token(&self.stub.token(claims)).await
    }

    pub(crate) async fn post_token(&self, token: &str) -> Answer {
        self.post_body(&format!("logout_token={token}")).await
    }

    pub(crate) async fn post_body(&self, body: &str) -> Answer {
        self.receiver
            .back_channel(None, Some("application/x-www-form-urlencoded"), body.as_bytes())
            .await
    }

    pub(crate) async fn get(&self, query: &str) -> Answer {
        self.receiver.front_channel(None, query).await
    }

    /// How far the ledger goes.
    pub(crate) fn recorded(&self) -> u64 {
        self.store.stats().unwrap().synced
    }

    pub(crate) fn told(&self) -> Vec<SignedOut> {
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

pub(crate) fn live<const N: usize>(all: [&LiveSignIn; N]) -> [bool; N] {
    all.map(|live| live.is_live().unwrap())
}

pub(crate) fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers().find(|(one, _)| *one == name).map(|(_, value)| value)
}

/// 400, as the specification has it.
pub(crate) fn refused(answer: &Answer, error: &str) {
    assert_eq!(
        (answer.status(), header(answer, "cache-control")),
        (400, Some("no-store")),
        "{answer:?}"
    );
    assert_eq!(header(answer, "content-type"), Some("application/json"));
    let body: serde_json::Value = serde_json::from_str(answer.body()).unwrap();
    assert_eq!(body["error"], error, "{answer:?}");
    assert!(!body["error_description"].as_str().unwrap().is_empty());
}

pub(crate) fn done(answer: &Answer) {
    assert_eq!(
        (answer.status(), answer.body(), header(answer, "cache-control")),
        (200, "", Some("no-store")),
        "{answer:?}"
    );
}
