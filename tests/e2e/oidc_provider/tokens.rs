//! What becomes of the refresh token at the provider, and here.

use super::other_app::token_request;
use super::site::{Kind, SECRET, Site};
use super::user::User;

/// OpenID Connect Back-Channel Logout 1.0 §2.7: offline access is not ended by the provider. So it must not be left lying here.
#[tokio::test]
#[ignore = "needs Node: tests/e2e/oidc_provider/run"]
async fn the_provider_would_still_take_the_offline_token_and_nobody_has_it() {
    for (client, is_offline) in [("web", true), ("web", false), ("web-by-subject", true)] {
        let mut site = Site::open(Kind { client, is_offline, ..Kind::default() }).await;
        let mut jane = User::new("jane");
        jane.sign_in(&site).await;
        let live = site.lives("jane").await.remove(0);
        let kept = live.refresh_token(&site.client()).await.unwrap().expect("a refresh token");
        jane.confirms(&site, site.provider("/session/end"), true).await;
        site.tells().await;
        assert!(live.refresh_token(&site.client()).await.ok().flatten().is_none());
        assert!(site.lives("jane").await.is_empty());

        let asked = [("grant_type", "refresh_token"), ("refresh_token", kept.secret.expose())];
        let taken = token_request(&site, (client, SECRET), &asked).await;
        match is_offline {
            true => assert!(taken.unwrap()["access_token"].is_string()),
            false => assert_eq!(taken.unwrap_err(), "invalid_grant"),
        }
    }
}
