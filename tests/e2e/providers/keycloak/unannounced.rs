//! Offline sessions, and other ends of sessions of which Keycloak tells the app nothing: what is
//! left then, and what the next call finds.

use openidconnect::reqwest::Method;
use serde_json::json;

use super::site::{Kind, Site};
use super::{are_gone, by_front_channel, signed_in};

const OFFLINE: &str = "openid offline_access";

/// Keycloak ends the online session of which the app was a part, and the offline one goes on: also
/// with `revoke_offline_access` in the logout token, which this client is registered for. The store
/// keeps nothing of either.
#[tokio::test]
#[ignore = "needs Keycloak: tests/e2e/providers/keycloak/run"]
async fn an_offline_token_outlives_the_session_at_keycloak_and_not_here() {
    let site = Site::open(Kind { scopes: OFFLINE, ..Kind::default() }).await;
    let mut jane = crate::user_agent::Browser::new();
    // The session is one of another app too, so that it is one.
    site.sign_in_there(&mut jane, "jane").await;
    site.sign_in(&mut jane, "jane").await;
    let lives = site.lives("jane").await;
    let kept = site.refresh_token(&lives[0]).await.unwrap();
    site.sign_out_there(&mut jane).await;
    assert_eq!(jane.sees_signals(&site.app).await, ["back-channel"]);
    are_gone(&site, "jane", &lives).await;
    assert!(site.takes(&kept).await);
    site.app.stop().await.unwrap();
}

/// A login that asks for offline access, and is the first of its session, ends that session: nobody
/// is signed in at Keycloak any more, so nobody can sign out there. Only the app can.
#[tokio::test]
#[ignore = "needs Keycloak: tests/e2e/providers/keycloak/run"]
async fn who_signs_in_for_offline_access_alone_has_no_session_to_end() {
    let site = Site::open(Kind { scopes: OFFLINE, ..Kind::default() }).await;
    let ([mut jane, mut joe], lives) = signed_in(&site, ["jane", "joe"]).await;
    let sessions = format!("/users/{}/sessions", site.sub("jane"));
    assert_eq!(site.admin(Method::GET, &sessions, None).await, json!([]));
    jane.open(&site.app.urls.everywhere).await;
    assert!(joe.sees_signals(&site.app).await.is_empty());
    assert!(jane.presses_call_api(&site.app).await.contains("Hello, "));
    // The app's own button is as good as ever.
    let page = jane.board(&site.app).await;
    jane.press(&page, "/sign-out", &[]).await;
    are_gone(&site, "jane", &lives).await;

    // Of an offline session that the administrator deletes the app is told.
    let live = site.lives("joe").await.remove(0);
    let session = format!("/sessions/{}?isOffline=true", live.session().unwrap().sid());
    site.admin(Method::DELETE, &session, None).await;
    assert!(joe.sees_signals(&site.app).await.iter().any(|signal| signal == "back-channel"));
    are_gone(&site, "joe", &[live]).await;
    site.sign_in(&mut joe, "joe").await;
    site.app.stop().await.unwrap();
}

/// The next call that needs a token finds that there is none any more.
#[tokio::test]
#[ignore = "needs Keycloak: tests/e2e/providers/keycloak/run"]
async fn of_these_ends_the_app_is_not_told_and_the_next_call_finds_them() {
    let site = Site::open(Kind::default()).await;
    let ([mut jane], _) = signed_in(&site, ["jane"]).await;
    let user = format!("/users/{}", site.sub("jane"));
    // "Sign out all active sessions" of a realm; a user who may not sign in any more, and one who
    // is deleted.
    for (method, path, body) in [
        (Method::POST, "/logout-all", None),
        (Method::PUT, &user, Some(json!({"enabled": false}))),
        (Method::DELETE, &user, None),
    ] {
        site.admin(Method::PUT, &user, Some(json!({"enabled": true}))).await;
        site.sign_in(&mut jane, "jane").await;
        let live = site.lives("jane").await.remove(0);
        let kept = site.refresh_token(&live).await.unwrap();
        site.admin(method, path, body).await;
        assert!(jane.sees_signals(&site.app).await.is_empty());
        assert!(!site.takes(&kept).await && live.is_live().await.unwrap());
        let said = jane.presses_call_api(&site.app).await;
        assert!(said.contains("sign in again"), "{said}");
    }
    site.app.stop().await.unwrap();
}

/// Only the page on which a user signs out has frames.
#[tokio::test]
#[ignore = "needs Keycloak: tests/e2e/providers/keycloak/run"]
async fn the_administrator_does_not_reach_an_app_of_the_front_channel() {
    let site = Site::open(Kind { client: by_front_channel, ..Kind::default() }).await;
    let ([mut jane], lives) = signed_in(&site, ["jane"]).await;
    site.admin_signs_out("jane").await;
    assert!(jane.sees_signals(&site.app).await.is_empty() && lives[0].is_live().await.unwrap());
    assert!(jane.presses_call_api(&site.app).await.contains("sign in again"));
    site.app.stop().await.unwrap();
}
