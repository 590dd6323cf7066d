//! The token endpoint and introspection.

use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use openidconnect::reqwest::Client;
use openidconnect::url::form_urlencoded;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::site::{ID, SECRET, Site};
use crate::user_agent::Browser;

const VERIFIER: &str = "a-verifier-of-the-test-itself-of-43-letters-or-more";

impl Site {
    /// The address of a request for a code, with some parameters changed.
    pub(crate) fn authorize(&self, changed: &[(&str, &str)]) -> String {
        let challenge = Base64UrlUnpadded::encode_string(&Sha256::digest(VERIFIER.as_bytes()));
        let callback = format!("{}/callback", self.app);
        let mut asked = [
            ("client_id", ID),
            ("response_type", "code"),
            ("scope", "openid offline_access api.read"),
            ("redirect_uri", &callback),
            ("nonce", "a nonce"),
            ("code_challenge_method", "S256"),
            ("code_challenge", &challenge),
            ("state", "a state"),
        ];
        for (name, value) in &mut asked {
            if let Some((_, other)) = changed.iter().find(|(changed, _)| changed == name) {
                *value = other;
            }
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(asked).finish();
        self.at_provider(&format!("/authorize?{query}"))
    }

    async fn post(&self, path: &str, secret: &str, asked: &[(&str, &str)]) -> Value {
        let encoded =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(asked).finish();
        let request =
            Client::new().post(self.at_provider(path)).basic_auth(ID, Some(encoded(secret)));
        let request =
            request.header("content-type", "application/x-www-form-urlencoded").body(body);
        serde_json::from_slice(&request.send().await.unwrap().bytes().await.unwrap()).unwrap()
    }

    async fn redeem(&self, code: &str, verifier: &str, secret: &str) -> Value {
        let callback = format!("{}/callback", self.app);
        let asked = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &callback),
            ("code_verifier", verifier),
        ];
        self.post("/token", secret, &asked).await
    }

    async fn refresh(&self, token: &str, more: (&str, &str)) -> Value {
        self.post(
            "/token",
            SECRET,
            &[("grant_type", "refresh_token"), ("refresh_token", token), more],
        )
        .await
    }

    async fn is_active(&self, token: &str) -> bool {
        self.post("/introspect", SECRET, &[("token", token)]).await["active"].as_bool().unwrap()
    }
}

impl Browser {
    /// A code, for a user that the provider knows or that is chosen. The app, which has not asked for it, does nothing with it.
    async fn code(&mut self, site: &Site, who: &str, scope: &str) -> String {
        let page = self.open(&site.authorize(&[("scope", scope)])).await;
        let url = self.choose(page, who).await.url;
        url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned()
    }
}

fn claims(token: &Value) -> Value {
    let claims = token["id_token"].as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&Base64UrlUnpadded::decode_vec(claims).unwrap()).unwrap()
}

const SCOPE: &str = "openid offline_access api.read";

#[tokio::test]
async fn the_id_token_says_who_where_and_in_which_session() {
    let site = Site::open().await;
    let mut max = Browser::new();
    let code = max.code(&site, "max fabrikam", SCOPE).await;
    let tokens = site.redeem(&code, VERIFIER, SECRET).await;
    let first = claims(&tokens);
    let said = |name: &str| first[name].as_str().unwrap().to_owned();
    assert_eq!(
        (said("sub"), said("tenant"), said("name"), said("nonce")),
        ("max".into(), "fabrikam".into(), "Max".into(), "a nonce".into())
    );
    assert_eq!(
        (said("iss"), said("aud"), said("sid")),
        (site.provider.issuer().into(), ID.into(), site.provider.sessions()[0].2.clone())
    );
    let next = claims(&site.refresh(tokens["refresh_token"].as_str().unwrap(), ("", "")).await);
    assert_eq!(
        (&next["sid"], &next["tenant"], &next["nonce"]),
        (&first["sid"], &first["tenant"], &Value::Null)
    );
}

#[tokio::test]
async fn a_code_counts_once_for_who_asked_for_it() {
    let site = Site::open().await;
    let mut jane = Browser::new();
    for (verifier, secret, error) in [
        (VERIFIER, SECRET, Value::Null),
        ("another-verifier-of-the-test-itself-of-43-letters", SECRET, "invalid_grant".into()),
        (VERIFIER, "another secret", "invalid_client".into()),
    ] {
        let code = jane.code(&site, "jane contoso", SCOPE).await;
        assert_eq!(site.redeem(&code, verifier, secret).await["error"], error);
        // What was tried is spent, but not by a stranger.
        let again = site.redeem(&code, VERIFIER, SECRET).await;
        assert_eq!(again["error"].is_null(), error == "invalid_client");
    }
    // A session that is over gives no tokens.
    let code = jane.code(&site, "jane contoso", SCOPE).await;
    site.provider.end_everywhere("jane").await;
    assert_eq!(site.redeem(&code, VERIFIER, SECRET).await["error"], "invalid_grant");
}

#[tokio::test]
async fn refresh_tokens_rotate_and_one_that_comes_again_ends_them() {
    let site = Site::open().await;
    let mut jane = Browser::new();
    let code = jane.code(&site, "jane contoso", SCOPE).await;
    let first = site.redeem(&code, VERIFIER, SECRET).await;
    let token = |tokens: &Value, name: &str| tokens[name].as_str().unwrap().to_owned();
    let second = site.refresh(&token(&first, "refresh_token"), ("", "")).await;
    assert!(site.is_active(&token(&second, "access_token")).await);
    assert_eq!(
        site.refresh(&token(&first, "refresh_token"), ("", "")).await["error"],
        "invalid_grant"
    );
    assert_eq!(
        site.refresh(&token(&second, "refresh_token"), ("", "")).await["error"],
        "invalid_grant"
    );
    let counts = site.provider.counts();
    assert_eq!((counts.refreshes, counts.reuses), (3, 1));
}

/// So it is the app that must forget them.
#[tokio::test]
async fn what_was_issued_for_offline_access_outlives_the_session() {
    let site = Site::open().await;
    for (scope, outlives) in [(SCOPE, true), ("openid api.read", false)] {
        let mut jane = Browser::new();
        let code = jane.code(&site, "jane contoso", scope).await;
        let tokens = site.redeem(&code, VERIFIER, SECRET).await;
        site.provider.end_everywhere("jane").await;
        assert!(site.is_active(tokens["access_token"].as_str().unwrap()).await);
        let refreshed = site.refresh(tokens["refresh_token"].as_str().unwrap(), ("", "")).await;
        assert_eq!(refreshed["error"].is_null(), outlives, "{scope}");
    }
}

/// The answer can be made to come late: what is in it was made before.
#[tokio::test]
async fn a_refresh_can_be_slow() {
    let site = Site::open().await;
    let mut jane = Browser::new();
    let code = jane.code(&site, "jane contoso", SCOPE).await;
    let first = site.redeem(&code, VERIFIER, SECRET).await;
    let slow = site.refresh(first["refresh_token"].as_str().unwrap(), ("delay_ms", "600000"));
    assert!(tokio::time::timeout(Duration::from_millis(300), slow).await.is_err());
    assert_eq!(site.provider.counts().refreshes, 1);
    let quick = site.refresh(first["refresh_token"].as_str().unwrap(), ("delay_ms", "1")).await;
    assert_eq!(quick["error"], "invalid_grant");
}
