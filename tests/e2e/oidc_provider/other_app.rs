//! Another app of the same provider, which knows nothing of ours: the test is this app.

use std::collections::HashMap;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use openidconnect::reqwest::Client;
use openidconnect::url::Url;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::site::{OTHER, Site};
use super::user::User;

const ID: &str = "other";
const SECRET: &str = "nor is this";

/// Signs the browser's user in to it: the address of the provider's page for signing out of it.
pub(crate) async fn sign_in(user: &mut User, site: &Site) -> Url {
    let verifier = "a-verifier-of-the-other-app-of-43-letters-or-more";
    let challenge = Base64UrlUnpadded::encode_string(&Sha256::digest(verifier.as_bytes()));
    let back = format!("{OTHER}/callback");
    let mut url = site.provider("/auth");
    let asked = [
        ("client_id", ID),
        ("response_type", "code"),
        ("scope", "openid"),
        ("redirect_uri", &back),
    ];
    let pkce = [("code_challenge_method", "S256"), ("code_challenge", &challenge)];
    url.query_pairs_mut().extend_pairs(asked).extend_pairs(pkce);
    let page = user.open(site, url.as_str()).await;
    let page = user.agree(site, page).await;
    assert!(page.url.as_str().starts_with(&back), "{}: {}", page.url, page.text);
    let told: HashMap<String, String> = page.url.query_pairs().into_owned().collect();

    let asked = [
        ("grant_type", "authorization_code"),
        ("code", &told["code"]),
        ("redirect_uri", &back),
        ("code_verifier", verifier),
    ];
    let tokens = token_request(site, (ID, SECRET), &asked).await.unwrap();
    let mut url = site.provider("/session/end");
    let home = format!("{OTHER}/");
    let hint = [
        ("id_token_hint", tokens["id_token"].as_str().unwrap()),
        ("post_logout_redirect_uri", &home),
    ];
    url.query_pairs_mut().extend_pairs(hint);
    url
}

/// A request to the token endpoint: the tokens, or the error's code.
pub(crate) async fn token_request(
    site: &Site,
    client: (&str, &str),
    asked: &[(&str, &str)],
) -> Result<Value, String> {
    let request = Client::new().post(site.provider("/token"));
    let form = openidconnect::url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(asked)
        .finish();
    // RFC 6749 §2.3.1: both are form-encoded first.
    let encoded = |text: &str| {
        openidconnect::url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()
    };
    let request = request.basic_auth(encoded(client.0), Some(encoded(client.1)));
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    let answer: Value =
        serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
    match answer["error"].as_str() {
        Some(error) => Err(error.into()),
        None => Ok(answer),
    }
}
