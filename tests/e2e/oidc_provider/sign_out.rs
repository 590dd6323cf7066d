//! Every way in which a user can sign out, here or elsewhere.

use oubliette::SessionPolicy;

use super::other_app;
use super::site::{Kind, OTHER, Site};
use super::user::User;

/// The provider's clients of our app: told by `sid` and `sub`, or by `sub` alone.
const CLIENTS: [&str; 2] = ["web", "web-by-subject"];

#[tokio::test]
#[ignore = "needs Node: tests/e2e/oidc_provider/run"]
async fn she_signs_out_of_the_app_and_so_at_the_provider() {
    for client in CLIENTS {
        let mut site = Site::open(Kind { client, ..Kind::default() }).await;
        let mut jane = User::new("jane");
        assert!(!jane.is_signed_in(&site).await);
        jane.sign_in(&site).await;
        assert_eq!(jane.calls_api(&site).await.as_deref(), Some("jane"));
        let lives = site.lives("jane").await;
        assert_eq!((lives.len(), lives[0].session().is_some()), (1, client == "web"));

        // The user is signed out here first: before they have even seen the provider's page.
        let at_provider = jane.presses_sign_out(&site).await;
        assert!(site.lives("jane").await.is_empty() && !lives[0].is_live().await.unwrap());
        // The provider tells us of it too, while it has the user wait; we take that for a success,
        // and they come back.
        let page = jane.confirms(&site, at_provider, true).await;
        assert!(site.is_app(&page.url), "{}", page.url);
        assert_eq!(site.node.notified().await, (client.to_owned(), None));
        assert!(!jane.is_signed_in(&site).await);
        assert_eq!(jane.calls_api(&site).await, None);

        // What came has ended nothing that is newer: the user signs in again, at once.
        jane.sign_in(&site).await;
        assert_eq!(jane.calls_api(&site).await.as_deref(), Some("jane"));
        assert!(site.node.stop().await.iter().all(|said| said["notified"].is_null()));
    }
}

#[tokio::test]
#[ignore = "needs Node: tests/e2e/oidc_provider/run"]
async fn she_signs_out_at_the_provider() {
    for client in CLIENTS {
        let mut site = Site::open(Kind { client, ..Kind::default() }).await;
        let mut jane = User::new("jane");
        jane.sign_in(&site).await;
        let lives = site.lives("jane").await;
        jane.confirms(&site, site.provider("/session/end"), true).await;
        // The provider has waited for our answer, so it is done.
        assert!(site.lives("jane").await.is_empty() && !lives[0].is_live().await.unwrap());
        assert!(lives[0].refresh_token(&site.client()).await.ok().flatten().is_none());
        assert_eq!(site.node.notified().await, (client.to_owned(), None));
        assert!(!jane.is_signed_in(&site).await);
        assert_eq!(jane.calls_api(&site).await, None);
        // And the app knows, once.
        site.tells().await;
        site.tells_no_more();
    }
}

/// The founding wish: "from your app, or from any app".
#[tokio::test]
#[ignore = "needs Node: tests/e2e/oidc_provider/run"]
async fn she_signs_out_of_another_app() {
    for client in CLIENTS {
        let mut site = Site::open(Kind { client, ..Kind::default() }).await;
        let mut jane = User::new("jane");
        jane.sign_in(&site).await;
        let leaves = other_app::sign_in(&mut jane, &site).await;
        let page = jane.confirms(&site, leaves, true).await;
        assert_eq!(page.url.as_str(), format!("{OTHER}/"));
        assert!(site.lives("jane").await.is_empty());
        assert!(!jane.is_signed_in(&site).await);
        assert_eq!(site.node.notified().await, (client.to_owned(), None));
        site.tells().await;
    }
}

/// The provider asks whether to sign out everywhere.
#[tokio::test]
#[ignore = "needs Node: tests/e2e/oidc_provider/run"]
async fn she_signs_out_of_another_app_alone() {
    let mut site = Site::open(Kind::default()).await;
    let mut jane = User::new("jane");
    jane.sign_in(&site).await;
    let leaves = other_app::sign_in(&mut jane, &site).await;
    jane.confirms(&site, leaves, false).await;
    assert_eq!(site.lives("jane").await.len(), 1);
    assert_eq!(jane.calls_api(&site).await.as_deref(), Some("jane"));
    site.tells_no_more();
    assert!(site.node.stop().await.iter().all(|said| said["notified"].is_null()));
}

#[tokio::test]
#[ignore = "needs Node: tests/e2e/oidc_provider/run"]
async fn of_two_browsers_both_end_or_one_as_the_policy_says() {
    // What is told by `sub` alone means all sessions of the user, whatever the policy.
    let cases = [
        ("web", SessionPolicy::WholeAccount, 0),
        ("web", SessionPolicy::OnlySession, 1),
        ("web-by-subject", SessionPolicy::WholeAccount, 0),
        ("web-by-subject", SessionPolicy::OnlySession, 0),
    ];
    for (client, policy, left) in cases {
        let mut site = Site::open(Kind { client, policy, ..Kind::default() }).await;
        let (mut laptop, mut phone) = (User::new("jane"), User::new("jane"));
        laptop.sign_in(&site).await;
        phone.sign_in(&site).await;
        assert_eq!(site.lives("jane").await.len(), 2);
        laptop.confirms(&site, site.provider("/session/end"), true).await;
        site.tells().await;
        assert_eq!(site.lives("jane").await.len(), left, "{client} {policy:?}");
        assert!(!laptop.is_signed_in(&site).await);
        assert_eq!(phone.is_signed_in(&site).await, left == 1);
        assert_eq!(phone.calls_api(&site).await.is_some(), left == 1);
    }
}

#[tokio::test]
#[ignore = "needs Node: tests/e2e/oidc_provider/run"]
async fn another_user_stays() {
    for client in CLIENTS {
        let mut site = Site::open(Kind { client, ..Kind::default() }).await;
        let (mut jane, mut john) = (User::new("jane"), User::new("john"));
        jane.sign_in(&site).await;
        john.sign_in(&site).await;
        jane.confirms(&site, site.provider("/session/end"), true).await;
        site.tells().await;
        assert!(site.lives("jane").await.is_empty() && !jane.is_signed_in(&site).await);
        assert_eq!(john.calls_api(&site).await.as_deref(), Some("john"));
    }
}
