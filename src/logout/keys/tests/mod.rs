//! Fetching, from a pretended provider, on a pretended clock.

mod bounds;
mod documents;
mod endings;
mod pace;
mod unusable;

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use openidconnect::core::{CoreEdDsaPrivateSigningKey, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKeyId, PrivateSigningKey};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::{Cache, Keys};
use crate::logout::http::{HttpClient, HttpError, HttpFuture};
use crate::logout::jose::algorithm::Algorithm;
use crate::logout::jose::jws::Jws;
use crate::logout::jose::key::SignedAs;
use crate::logout::rejected::Rejected;
use crate::openid::Provider;

const ISSUER: &str = "https://op.example.com";
const DISCOVERY: &str = "https://op.example.com/.well-known/openid-configuration";
const JWKS: &str = "https://keys.example.com/jwks";
/// What is between two fetches, unless set.
const INTERVAL: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);

/// A key of the provider's, or of somebody else.
struct Signer {
    key: CoreEdDsaPrivateSigningKey,
    kid: &'static str,
}

impl Signer {
    fn new(seed: u8, kid: &'static str) -> Self {
        // PKCS #8 of an Ed25519 key (RFC 8410 §10.3).
        let mut der = base16ct::lower::decode_vec("302e020100300506032b657004220420").unwrap();
        der.extend([seed; 32]);
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
            Base64::encode_string(&der)
        );
        Self {
            key: CoreEdDsaPrivateSigningKey::from_ed25519_pem(
                &pem,
                Some(JsonWebKeyId::new(kid.into())),
            )
            .unwrap(),
            kid,
        }
    }

    fn token(&self) -> String {
        self.token_of(0)
    }

    /// One whose payload has so many bytes more than it needs.
    fn token_of(&self, bytes: usize) -> String {
        self.signed(json!({"padding": "x".repeat(bytes)}))
    }

    fn signed(&self, claims: Value) -> String {
        let encoded = |value: Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
        let header = encoded(json!({"alg": "EdDSA", "kid": self.kid}));
        let input = format!("{header}.{}", encoded(claims));
        let signature = self.key.sign(&CoreJwsSigningAlgorithm::EdDsa, input.as_bytes()).unwrap();
        format!("{input}.{}", Base64UrlUnpadded::encode_string(&signature))
    }
}

fn jwks(signers: &[&Signer]) -> Value {
    let keys: Vec<_> = signers
        .iter()
        .map(|signer| serde_json::to_value(signer.key.as_verification_key()).unwrap())
        .collect();
    json!({ "keys": keys })
}

fn document() -> Value {
    json!({"issuer": ISSUER, "jwks_uri": JWKS, "end_session_endpoint": "https://op.example.com/logout"})
}

/// What is served at an address.
#[derive(Clone)]
enum Reply {
    Bytes(Vec<u8>),
    Status(u16),
    Late(Duration, Vec<u8>),
    Silence,
    Panic,
    /// When somebody says so.
    Held(Arc<Notify>, Vec<u8>),
}

/// A provider's pages, and who asked for them when.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    pages: HashMap<String, Reply>,
    asked: Vec<(String, Instant)>,
}

impl Server {
    /// With a discovery document and these keys.
    fn with(signers: &[&Signer]) -> Self {
        let server = Self::default();
        server.json(DISCOVERY, &document());
        server.json(JWKS, &jwks(signers));
        server
    }

    fn json(&self, url: &str, value: &Value) {
        self.serve(url, Reply::Bytes(value.to_string().into_bytes()));
    }

    fn serve(&self, url: &str, reply: Reply) {
        self.0.lock().unwrap().pages.insert(url.into(), reply);
    }

    fn asked(&self, url: &str) -> Vec<Instant> {
        self.0
            .lock()
            .unwrap()
            .asked
            .iter()
            .filter(|(asked, _)| asked == url)
            .map(|(_, at)| *at)
            .collect()
    }

    /// How many fetches there have been.
    fn fetches(&self) -> usize {
        self.asked(DISCOVERY).len()
    }
}

impl HttpClient for Server {
    fn get<'a>(&'a self, url: &'a str, _: usize) -> HttpFuture<'a> {
        let reply = {
            let mut pages = self.0.lock().unwrap();
            pages.asked.push((url.into(), Instant::now()));
            pages.pages.get(url).cloned().unwrap_or(Reply::Status(404))
        };
        Box::pin(async move {
            match reply {
                Reply::Bytes(bytes) => Ok(bytes),
                Reply::Status(status) => Err(HttpError::Status(status)),
                Reply::Late(by, bytes) => {
                    sleep(by).await;
                    Ok(bytes)
                }
                Reply::Silence => pending().await,
                Reply::Panic => panic!("the client's own"),
                Reply::Held(until, bytes) => {
                    until.notified().await;
                    Ok(bytes)
                }
            }
        })
    }
}

fn provider() -> Provider {
    Provider::generic(ISSUER).unwrap()
}

fn discovered(server: &Server) -> Cache {
    Keys::discovered(server.clone()).cache(&provider())
}

async fn verify(cache: &Cache, token: &str) -> Result<(), Rejected> {
    let signed_as = SignedAs { names: vec![ISSUER.into()], tid: None };
    cache.verify(&Jws::parse(token).unwrap(), &[Algorithm::EdDsa], &signed_as).await
}

/// In a task of its own, which has come as far as it can without a clock when this returns.
async fn verifying(cache: &Cache, token: String) -> tokio::task::JoinHandle<Result<(), Rejected>> {
    let cache = cache.clone();
    let task = tokio::spawn(async move { verify(&cache, &token).await });
    settle().await;
    task
}

/// Lets all tasks go on, without the clock.
async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

/// The pretended clock goes on, and all that waits for it with it.
async fn pass(time: Duration) {
    sleep(time).await;
    settle().await;
}

/// The events of this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "oubliette" && metadata.is_event()
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Line(String);
        impl tracing::field::Visit for Line {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                use std::fmt::Write;
                write!(self.0, "{field}={value:?} ").unwrap();
            }
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
