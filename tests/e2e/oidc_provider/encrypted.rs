//! The provider encrypts ID tokens and logout tokens for the app. The test does the login in the app's place, as `examples/axum_login.rs` has no
//! key; the app's sign-out routes have.

use std::collections::HashMap;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use openidconnect::core::CoreProviderMetadata;
use openidconnect::reqwest::Client;
use openidconnect::{ClientSecret, IssuerUrl, Nonce};
use oubliette::logout::KeyManagement;
use oubliette::openid::{Provider, ProviderClient, ProviderIdToken};
use oubliette_testkit::encrypter::KEY_MANAGEMENTS;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::other_app::token_request;
use super::site::{Kind, SECRET, Site};
use super::user::User;

const CLIENT: &str = "web-encrypted";

#[tokio::test]
#[ignore = "needs Node: tests/e2e/oidc_provider/run"]
async fn an_encrypted_login_ends_by_an_encrypted_logout_token() {
    for algorithm in KEY_MANAGEMENTS {
        let encryption = Some(algorithm);
        let mut site = Site::open(Kind { client: CLIENT, encryption, ..Kind::default() }).await;
        let mut jane = User::new("jane");
        signs_in(&mut jane, &site, algorithm).await;
        let lives = site.lives("jane").await;
        assert_eq!((lives.len(), lives[0].session().is_some()), (1, true));

        jane.confirms(&site, site.provider("/session/end"), true).await;
        assert_eq!(site.node.notified().await, (CLIENT.to_owned(), None), "{algorithm:?}");
        assert!(site.lives("jane").await.is_empty() && !lives[0].is_live().await.unwrap());
        site.tells().await;
        site.tells_no_more();
        // It was encrypted, as the client asks.
        let signals = site.signals.lock().unwrap().clone();
        let token = signals[0].strip_prefix("logout_token=").unwrap();
        assert_eq!((signals.len(), header(token)["alg"].as_str()), (1, Some(algorithm.name())));
    }
}

/// The browser comes back to the app with a code, which the app refuses, as it knows of no login; and the test redeems it.
async fn signs_in(jane: &mut User, site: &Site, algorithm: KeyManagement) {
    let verifier = "a-verifier-of-the-app-of-43-letters-or-even-more";
    let challenge = Base64UrlUnpadded::encode_string(&Sha256::digest(verifier.as_bytes()));
    let (back, nonce) = (site.app("/callback"), Nonce::new_random());
    let mut url = site.provider("/auth");
    url.query_pairs_mut()
        .append_pair("client_id", CLIENT)
        .append_pair("response_type", "code")
        .append_pair("scope", "openid")
        .append_pair("nonce", nonce.secret())
        .append_pair("redirect_uri", &back)
        .append_pair("code_challenge_method", "S256")
        .append_pair("code_challenge", &challenge);
    let page = jane.open(site, url.as_str()).await;
    let page = jane.agree(site, page).await;
    let told: HashMap<String, String> = page.url.query_pairs().into_owned().collect();
    let asked = [
        ("grant_type", "authorization_code"),
        ("code", &told["code"]),
        ("redirect_uri", &back),
        ("code_verifier", verifier),
    ];
    let tokens = token_request(site, (CLIENT, SECRET), &asked).await.unwrap();

    let encrypted = tokens["id_token"].as_str().unwrap();
    assert_eq!(header(encrypted)["alg"], algorithm.name());
    let keys = Kind { encryption: Some(algorithm), ..Kind::default() }.decryption_keys().unwrap();
    let signed = keys.decrypt(encrypted).unwrap();
    // From here on as with any other.
    let issuer = IssuerUrl::new(site.node.issuer.clone()).unwrap();
    let metadata = CoreProviderMetadata::discover_async(issuer, &Client::new()).await.unwrap();
    let (id, secret) =
        (openidconnect::ClientId::new(CLIENT.into()), ClientSecret::new(SECRET.into()));
    let oidc = ProviderClient::from_provider_metadata(metadata, id, Some(secret));
    let id_token: ProviderIdToken = signed.expose().parse().unwrap();
    let claims = id_token.claims(&oidc.id_token_verifier(), &nonce).unwrap();
    let provider = Provider::generic(&site.node.issuer).unwrap();
    site.store.sign_in(provider.sign_in(claims).unwrap()).await.unwrap();
}

/// What a token's header says.
fn header(token: &str) -> Value {
    let header = token.split('.').next().unwrap();
    assert_eq!(token.split('.').count(), 5, "it is not encrypted");
    serde_json::from_slice(&Base64UrlUnpadded::decode_vec(header).unwrap()).unwrap()
}
