//! In a process in which nobody can choose the cryptography, and nobody has.

use std::panic::catch_unwind;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oubliette::ClientId;
use oubliette::logout::{Algorithm, HttpClient, HttpError, Issuer, KeySet, Keys, Rejected, ReqwestClient};
use oubliette::openid::Provider;
use oubliette_testkit::signer::Signer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ALL: [Algorithm; 5] = [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];
const ISSUER: &str = "https://op.example.com";

fn token(signer: &Signer) -> String {
    let claims = json!({
        "iss": ISSUER, "aud": "app", "iat": 1_000_000, "exp": 1_000_100, "jti": "1", "sub": "user",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    signer.sign(&signer.header(), &claims)
}

/// Else the others show nothing.
#[test]
fn the_danger_is_real() {
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    assert!(catch_unwind(rustls::ClientConfig::builder).is_err(), "rustls can choose");

    let signer = Signer::new(Algorithm::Rs256);
    let jwk = signer.jwk();
    let (n, e) = (jwk["n"].as_str().unwrap(), jwk["e"].as_str().unwrap());
    let key = jsonwebtoken::DecodingKey::from_rsa_components(n, e).unwrap();
    let validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    let decoded = catch_unwind(|| jsonwebtoken::decode::<Value>(token(&signer), &key, &validation).map(drop));
    assert!(decoded.is_err(), "jsonwebtoken can choose");
}

#[test]
fn logout_tokens_are_verified() {
    let now = UNIX_EPOCH + Duration::from_secs(1_000_001);
    for algorithm in ALL {
        let (signer, other) = (Signer::new(algorithm), Signer::other(algorithm));
        let issuer = issuer(&signer).algorithms([algorithm]);
        let keys = KeySet::parse(&signer.jwks()).unwrap();
        assert!(issuer.verify(&token(&signer), &keys, now).is_ok(), "{algorithm:?}");
        assert_eq!(issuer.verify(&token(&other), &keys, now).err(), Some(Rejected::BadSignature), "{algorithm:?}");
    }
    assert!(now < SystemTime::now());
}

fn issuer(signer: &Signer) -> Issuer {
    let provider = Provider::generic(ISSUER).unwrap();
    Issuer::new(provider, ClientId::new("app").unwrap(), Keys::fixed(&signer.jwks()).unwrap())
}

#[tokio::test]
async fn providers_are_asked_over_tls() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/jwks", listener.local_addr().unwrap());
    let greeted = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut hello = [0; 3];
        connection.read_exact(&mut hello).await.unwrap();
        connection.write_all(b"no TLS here, sorry").await.unwrap();
        hello
    });
    let client = ReqwestClient::new().unwrap();
    assert!(matches!(client.get(&url, 1024).await, Err(HttpError::Other(_))));
    // A handshake (RFC 8446 §5.1): so it was set up.
    assert_eq!(greeted.await.unwrap(), [22, 3, 1]);
}

/// A small body could unpack to a large one.
#[tokio::test]
async fn no_body_is_unpacked_though_another_crate_has_that_switched_on() {
    // `gzip` of nothing.
    const NOTHING: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0";
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let len = connection.read(&mut request).await.unwrap();
            assert!(!request[..len].to_ascii_lowercase().windows(15).any(|text| text == b"accept-encoding"));
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
                NOTHING.len()
            );
            connection.write_all(&[head.as_bytes(), NOTHING].concat()).await.unwrap();
        }
    });
    assert_eq!(ReqwestClient::new().unwrap().get(&url, 1024).await.unwrap(), NOTHING);
}
