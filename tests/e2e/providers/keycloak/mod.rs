//! Keycloak: it tells by the back channel, or by the front channel. Each test has a realm of its
//! own at the one that `keycloak/run` starts.
//!
//! Keycloak tells before it answers the request that ends the session. So what it has told has been
//! heard when that request is answered, and what it has not told does not come later.

mod site;
mod unannounced;

use std::time::{Duration, SystemTime};

use openidconnect::reqwest::{Method, StatusCode};
use oubliette::AsyncSignIn;
use serde_json::Value;

use crate::oidc_provider::node::within;
use crate::user_agent::Browser;
use site::{Kind, Site};

/// None of their tokens is in the store, and none comes back when the app begins anew.
async fn are_gone(site: &Site, user: &str, lives: &[AsyncSignIn]) {
    for live in lives {
        assert!(!live.is_live().await.unwrap());
        assert_eq!(site.refresh_token(live).await, None);
    }
    for _ in 0..2 {
        assert!(site.lives(user).await.is_empty());
        site.app.restart().await.unwrap();
    }
}

/// Signs users in, each in a browser of their own: those, and the sign-ins of the first.
async fn signed_in<const N: usize>(
    site: &Site,
    users: [&str; N],
) -> ([Browser; N], Vec<AsyncSignIn>) {
    let mut browsers: [Browser; N] = std::array::from_fn(|_| Browser::new());
    for (browser, user) in browsers.iter_mut().zip(users) {
        site.sign_in(browser, user).await;
        let said = browser.presses_call_api(&site.app).await;
        assert!(said.contains("Hello, "), "{said}");
    }
    let lives = site.lives(users[0]).await;
    for live in &lives {
        assert!(site.refresh_token(live).await.is_some());
    }
    (browsers, lives)
}

#[tokio::test]
#[ignore = "needs Keycloak: tests/e2e/providers/keycloak/run"]
async fn whichever_way_a_user_signs_out_their_tokens_go() {
    let site = Site::open(Kind::default()).await;
    let ([mut laptop, mut phone, mut joe], lives) = signed_in(&site, ["jane", "jane", "joe"]).await;
    let subs = ["jane", "jane", "joe"].map(|user| site.sub(user));
    assert_eq!(joe.sees_the_store(&site.app).await, subs);
    assert!(lives.iter().all(|live| live.session().is_some()));
    // The realm is the tenant.
    assert!(site.issuer.ends_with(&format!("/realms/{}", lives[0].tenant().as_str())));
    site.app.restart().await.unwrap();
    let lives = site.lives("jane").await;
    assert_eq!(lives.len(), 2);

    // In the other app. That ends one session; the app ends the user's account, in every browser.
    site.sign_in_there(&mut laptop, "nobody").await;
    let page = site.sign_out_there(&mut laptop).await;
    assert_eq!(page.url.as_str(), format!("{}/", site.app.urls.other));
    assert_eq!(laptop.who_is_in_other_app(&site.app).await, "");
    assert_eq!(joe.sees_signals(&site.app).await, ["back-channel"]);
    are_gone(&site, "jane", &lives).await;
    assert!(laptop.is(&site.app).await.is_empty() && phone.is(&site.app).await.is_empty());
    assert_eq!(joe.sees_the_store(&site.app).await, [site.sub("joe")]);

    // At Keycloak itself; the user has signed in again at once.
    site.sign_in(&mut laptop, "jane").await;
    let lives = site.lives("jane").await;
    assert_eq!(lives.len(), 1);
    site.sign_out_at_keycloak(&mut laptop).await;
    assert_eq!(joe.sees_signals(&site.app).await.len(), 2);
    are_gone(&site, "jane", &lives).await;

    // Here: Keycloak asks no question, as it knows the ID token, and sends the user back.
    let lives = site.lives("joe").await;
    let page = joe.board(&site.app).await;
    let page = joe.press(&page, "/sign-out", &[]).await;
    assert!(page.url.as_str().starts_with(&site.app.urls.app), "{}", page.url);
    are_gone(&site, "joe", &lives).await;

    site.sign_in(&mut joe, "joe").await;
    assert!(joe.presses_call_api(&site.app).await.contains("Hello, "));
    site.app.stop().await.unwrap();
}

/// "Sign out" of a user in the administrator's console: one logout token for each session.
#[tokio::test]
#[ignore = "needs Keycloak: tests/e2e/providers/keycloak/run"]
async fn the_administrator_ends_all_sessions_of_a_user() {
    let site = Site::open(Kind::default()).await;
    let ([mut laptop, mut phone, mut joe], lives) = signed_in(&site, ["jane", "jane", "joe"]).await;
    assert_eq!(lives.len(), 2);
    site.admin_signs_out("jane").await;
    are_gone(&site, "jane", &lives).await;
    assert!(laptop.is(&site.app).await.is_empty() && phone.is(&site.app).await.is_empty());
    assert!(joe.presses_call_api(&site.app).await.contains("Hello, "));
    site.sign_in(&mut phone, "jane").await;
    assert_eq!(site.lives("jane").await.len(), 1);
    site.app.stop().await.unwrap();
}

/// Without "backchannel logout session required" the logout token names the user alone. The ID
/// token has a `sid` all the same.
#[tokio::test]
#[ignore = "needs Keycloak: tests/e2e/providers/keycloak/run"]
async fn it_tells_of_the_user_alone() {
    let client = |client: &mut Value| {
        client["attributes"]["backchannel.logout.session.required"] = "false".into();
    };
    let site = Site::open(Kind { client, ..Kind::default() }).await;
    let ([mut laptop, mut phone, mut joe], lives) = signed_in(&site, ["jane", "jane", "joe"]).await;
    assert!(lives.iter().all(|live| live.session().is_some()));
    site.sign_out_at_keycloak(&mut laptop).await;
    assert_eq!(joe.sees_signals(&site.app).await, ["back-channel"]);
    are_gone(&site, "jane", &lives).await;
    assert!(phone.is(&site.app).await.is_empty() && !joe.is(&site.app).await.is_empty());
    site.sign_in(&mut laptop, "jane").await;
    site.app.stop().await.unwrap();
}

/// Registered for the front channel, as the administrator's console does by default.
fn by_front_channel(client: &mut Value) {
    let attributes = client["attributes"].as_object_mut().unwrap();
    // Keycloak does not use the address of the back channel then.
    let back = attributes["backchannel.logout.url"].as_str().unwrap();
    let front = back.replace("back-channel", "front-channel");
    attributes.insert("frontchannel.logout.url".into(), front.into());
    attributes.insert("frontchannel.logout.session.required".into(), "true".into());
    client["frontchannelLogout"] = true.into();
}

#[tokio::test]
#[ignore = "needs Keycloak: tests/e2e/providers/keycloak/run"]
async fn its_page_frames_the_front_channel() {
    let site = Site::open(Kind { client: by_front_channel, ..Kind::default() }).await;
    let ([mut laptop, mut phone, mut joe], lives) = signed_in(&site, ["jane", "jane", "joe"]).await;
    site.sign_in_there(&mut laptop, "nobody").await;
    site.sign_out_there(&mut laptop).await;
    assert_eq!(joe.sees_signals(&site.app).await, ["front-channel"]);
    are_gone(&site, "jane", &lives).await;
    assert!(laptop.is(&site.app).await.is_empty() && phone.is(&site.app).await.is_empty());
    assert_eq!(joe.sees_the_store(&site.app).await, [site.sub("joe")]);
    site.sign_in(&mut laptop, "jane").await;
    site.app.stop().await.unwrap();
}

/// The user's session at Keycloak goes on without the app, and takes it in again under the same
/// `sid`.
#[tokio::test]
#[ignore = "needs Keycloak: tests/e2e/providers/keycloak/run"]
async fn a_consent_is_withdrawn_and_given_again_in_the_same_session() {
    let client = |client: &mut Value| client["consentRequired"] = true.into();
    let skew = Duration::from_secs(5);
    let site = Site::open(Kind { client, skew: Some(skew), ..Kind::default() }).await;
    let ([mut jane], lives) = signed_in(&site, ["jane"]).await;
    let session = lives[0].session().unwrap();
    let withdrawn_at = SystemTime::now();
    let consent = format!("/users/{}/consents/web", site.sub("jane"));
    site.admin(Method::DELETE, &consent, None).await;
    are_gone(&site, "jane", &lives).await;
    assert!(jane.is(&site.app).await.is_empty());

    // At once: such a login could be from before the sign-out, by a clock that is off.
    let page = site.logs_in(&mut jane, "jane").await;
    assert_eq!(page.status, StatusCode::CONFLICT, "{}", page.text);
    assert!(page.text.contains("Sign in again"), "{}", page.text);
    assert!(site.lives("jane").await.is_empty());

    // Later.
    let comes_in = async {
        while site.lives("jane").await.is_empty() {
            site.logs_in(&mut jane, "jane").await;
        }
    };
    within("a login that counts", comes_in).await;
    let lives = site.lives("jane").await;
    assert_eq!(lives.iter().map(|live| live.session().unwrap()).collect::<Vec<_>>(), [session]);
    assert!(lives[0].signed_in_at() > withdrawn_at + skew);
    assert!(jane.presses_call_api(&site.app).await.contains("Hello, "));
    site.app.stop().await.unwrap();
}

#[tokio::test]
#[ignore = "needs Keycloak: tests/e2e/providers/keycloak/run"]
async fn the_realm_signs_with_another_key_between_login_and_logout() {
    let site = Site::open(Kind::default()).await;
    let ([mut jane, mut joe, mut ann], lives) = signed_in(&site, ["jane", "joe", "joe"]).await;
    let before = site.signs_with().await;
    // So that the app has the keys from before.
    site.sign_out_at_keycloak(&mut joe).await;
    assert!(site.lives("joe").await.is_empty() && ann.is(&site.app).await.is_empty());
    assert_eq!(jane.sees_signals(&site.app).await.len(), 1);
    site.rotate_key().await;
    assert_ne!(site.signs_with().await, before);

    // The app asks for keys once in 5 s at most; Keycloak does not wait longer than that for the
    // app.
    site.sign_out_at_keycloak(&mut jane).await;
    let is_out = async {
        while !site.lives("jane").await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within("the sign-out", is_out).await;
    are_gone(&site, "jane", &lives).await;
    // The ID token is of the newer key too.
    site.sign_in(&mut jane, "jane").await;
    assert!(jane.presses_call_api(&site.app).await.contains("Hello, "));
    site.app.stop().await.unwrap();
}
