//! The front channel: a frame of the provider's page, on another site, tells the app. It gets no cookie there, and needs none.

use super::driver::Kind;
use super::site::{LONG, Site};
use crate::examples::web_app::Options;

#[tokio::test]
#[ignore = "needs Chromium: tests/e2e/browser/run"]
async fn the_front_channel_needs_no_cookie() {
    for kind in [
        Kind::USUAL,
        Kind { third_party_cookies: true, ..Kind::USUAL },
        Kind { javascript: false, ..Kind::USUAL },
    ] {
        let site = Site::with(|options| Options { access_life: LONG, ..options }).await;
        let (jane, joe) = (site.user(kind).await, site.user(kind).await);
        jane.has_apps_told_by("front").await;
        jane.signs_in("jane", "contoso").await;
        joe.signs_in("joe", "contoso").await;
        site.all_show_it(&[&jane, &joe]).await;

        // In the other app, which has no session of this one's: only the frame tells.
        jane.browser.leaves_by("#other-app").await;
        if jane.browser.has("#sign-in").await {
            jane.browser.leaves_by("#sign-in").await;
        }
        jane.sees("#sign-out").await;
        jane.browser.leaves_by("#sign-out").await;
        jane.goes_on().await;
        jane.sees("#sign-in").await;
        jane.comes().await;
        let held = site.all_show_it(&[&jane, &joe]).await;
        assert_eq!(held["contoso"].keys().collect::<Vec<_>>(), ["joe"]);
        assert_eq!(
            (jane.is().await, joe.is().await.map(|(user, _)| user)),
            (None, Some("joe".into()))
        );
        let events = jane.shown().await.unwrap().events;
        let told: Vec<_> =
            events.iter().map(|event| (event.signal.as_str(), event.scope.as_str())).collect();
        assert_eq!(told, [("front-channel", "session")], "{kind:?}");
        assert_eq!(jane.browser.complaints().await, [""; 0], "{kind:?}");
        site.stop().await;
    }
}
