//! The app, the store and the provider end and begin again between sign-in and sign-out.

use openidconnect::reqwest::{Client, StatusCode};

use super::site::{Kind, Site};
use super::user::User;

#[tokio::test]
#[ignore = "needs Node: tests/e2e/oidc_provider/run"]
async fn the_app_begins_anew_between_sign_in_and_sign_out() {
    for client in ["web", "web-by-subject"] {
        let mut site = Site::open(Kind { client, ..Kind::default() }).await;
        let mut jane = User::new("jane");
        jane.sign_in(&site).await;
        site.goes_down().await;
        site.comes_up().await;
        assert_eq!(jane.calls_api(&site).await.as_deref(), Some("jane"));
        jane.confirms(&site, site.provider("/session/end"), true).await;
        assert_eq!(site.node.notified().await, (client.to_owned(), None));
        assert!(site.lives("jane").await.is_empty() && !jane.is_signed_in(&site).await);
        // And the user stays signed out.
        site.goes_down().await;
        site.comes_up().await;
        assert!(site.lives("jane").await.is_empty() && !jane.is_signed_in(&site).await);
    }
}

#[tokio::test]
#[ignore = "needs Node: tests/e2e/oidc_provider/run"]
async fn the_provider_begins_anew_with_its_keys() {
    let mut site = Site::open(Kind::default()).await;
    let (mut jane, mut john) = (User::new("jane"), User::new("john"));
    john.sign_in(&site).await;
    john.confirms(&site, site.provider("/session/end"), true).await;
    assert_eq!(site.node.notified().await, ("web".to_owned(), None));
    jane.sign_in(&site).await;
    let mut site = site.restart_provider(0).await;
    jane.confirms(&site, site.provider("/session/end"), true).await;
    assert_eq!(site.node.notified().await, ("web".to_owned(), None));
    assert!(site.lives("jane").await.is_empty() && !jane.is_signed_in(&site).await);
    // The keys from before were good enough.
    assert_eq!(site.node.fetches_of_keys(), 0);
}

#[tokio::test]
#[ignore = "needs Node: tests/e2e/oidc_provider/run"]
async fn the_provider_begins_anew_with_another_key() {
    let mut site = Site::open(Kind::default()).await;
    let (mut jane, mut john) = (User::new("jane"), User::new("john"));
    john.sign_in(&site).await;
    john.confirms(&site, site.provider("/session/end"), true).await;
    assert_eq!(site.node.notified().await, ("web".to_owned(), None));
    jane.sign_in(&site).await;
    let mut site = site.restart_provider(1).await;
    jane.confirms(&site, site.provider("/session/end"), true).await;
    assert_eq!(site.node.notified().await, ("web".to_owned(), None));
    assert!(site.lives("jane").await.is_empty() && !jane.is_signed_in(&site).await);
    assert_eq!(site.node.fetches_of_keys(), 1);
    // The app's own sign-out too, with an ID token of the new key.
    jane.sign_in(&site).await;
    let at_provider = jane.presses_sign_out(&site).await;
    let page = jane.confirms(&site, at_provider, true).await;
    assert!(site.is_app(&page.url));
    assert_eq!(site.node.notified().await, ("web".to_owned(), None));
}

/// Providers send once. An app that is down misses it; what the provider ended with the session it will not renew.
#[tokio::test]
#[ignore = "needs Node: tests/e2e/oidc_provider/run"]
async fn a_signal_to_an_app_that_is_down_is_lost_and_the_next_call_tells() {
    let mut site = Site::open(Kind::default()).await;
    let mut jane = User::new("jane");
    jane.sign_in(&site).await;
    site.goes_down().await;
    jane.confirms(&site, site.provider("/session/end"), true).await;
    let (client, error) = site.node.notified().await;
    assert!(client == "web" && error.unwrap().contains("503"));
    site.comes_up().await;
    assert_eq!(site.lives("jane").await.len(), 1);
    assert_eq!(jane.calls_api(&site).await, None);
}

/// What the provider sent, sent once more by somebody who has seen it.
#[tokio::test]
#[ignore = "needs Node: tests/e2e/oidc_provider/run"]
async fn a_signal_again_ends_no_newer_sign_in() {
    let mut site = Site::open(Kind::default()).await;
    let mut jane = User::new("jane");
    jane.sign_in(&site).await;
    jane.confirms(&site, site.provider("/session/end"), true).await;
    site.tells().await;
    jane.sign_in(&site).await;
    let signal = site.signals.lock().unwrap()[0].clone();
    let request = Client::new().post(site.app("/logout/back-channel"));
    let answer = request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(signal)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(jane.calls_api(&site).await.as_deref(), Some("jane"));
    site.tells_no_more();
}
