//! Each page in each of its states: as axe-core sees it, as it looks on a desktop and on a phone, and what it has the browser fetch.

use serde_json::json;

use super::driver::{Browser, Kind};
use super::looks::look;
use super::site::{LONG, Site};
use crate::examples::web_app::Options;

#[tokio::test]
#[ignore = "needs Chromium: tests/e2e/browser/run"]
async fn every_page_is_for_everybody() {
    let slow = std::time::Duration::from_secs(5);
    let site =
        Site::with(|options| Options { access_life: LONG, slow_refresh: slow, ..options }).await;
    let (jane, max, joe) =
        (site.user(Kind::USUAL).await, site.user(Kind::USUAL).await, site.user(Kind::USUAL).await);
    let urls = &site.running.urls;
    look(&jane.browser, "app-nobody").await;
    jane.browser.leaves_by("#sign-in").await;
    look(&jane.browser, "provider-sign-in").await;
    jane.says_who("jane", "contoso").await;
    max.signs_in("max", "fabrikam").await;
    joe.signs_in("joe", "contoso").await;
    jane.presses("#call-api").await;
    look(&jane.browser, "app-signed-in").await;

    joe.presses("#slow-refresh").await;
    joe.signs_out("#sign-out").await;
    joe.signs_in("max", "contoso").await;
    max.presses("form[data-action=sign-out-tenant][data-tenant=fabrikam] button").await;
    max.sees("#refreshes > li[data-outcome=signed-out]").await;
    look(&jane.browser, "app-after-sign-outs").await;

    joe.browser.open(&urls.other).await;
    look(&joe.browser, "other-nobody").await;
    joe.browser.leaves_by("#sign-in").await;
    joe.sees("#sign-out").await;
    look(&joe.browser, "other-signed-in").await;

    joe.browser.open(&urls.everywhere).await;
    look(&joe.browser, "provider-home").await;
    joe.browser.open(&format!("{}/end-session", urls.provider)).await;
    look(&joe.browser, "provider-confirm").await;
    joe.browser.leaves_by("#confirm").await;
    look(&joe.browser, "provider-signed-out").await;
    joe.browser.open(&format!("{}/authorize?client_id=nobody", urls.provider)).await;
    expect_refusal(&joe.browser).await;
    look(&joe.browser, "provider-problem").await;

    // A login that was not begun here.
    jane.browser.open(&format!("{}/callback?code=none&state=none", urls.app)).await;
    expect_refusal(&jane.browser).await;
    look(&jane.browser, "app-problem").await;
    jane.comes().await;
    assert_eq!(jane.is().await, Some(("jane".into(), "contoso".into())));
    jane.presses("#sign-out-everybody").await;
    look(&jane.browser, "app-everybody-out").await;
    site.stop().await;
}

/// The browser notes that the page itself came with an error's status, as it should.
async fn expect_refusal(browser: &Browser) {
    let complaints = browser.complaints().await;
    assert!(matches!(&complaints[..], [one] if one.contains("status of 400")), "{complaints:?}");
}

/// Everything that a page is made of comes from where the page does, as its policy demands.
#[tokio::test]
#[ignore = "needs Chromium: tests/e2e/browser/run"]
async fn no_page_fetches_anything_from_elsewhere() {
    let site = Site::start().await;
    let user = site.user(Kind::USUAL).await;
    user.signs_in("jane", "contoso").await;
    let urls = &site.running.urls;
    for url in [&urls.app, &urls.other, &urls.provider] {
        user.browser.open(url).await;
        let fetched = user.browser.run(FETCHED, json!([])).await;
        let fetched: Vec<_> =
            fetched.as_array().unwrap().iter().map(|url| url.as_str().unwrap()).collect();
        assert!(!fetched.is_empty(), "{url}");
        assert!(
            fetched.iter().all(|fetched| fetched.starts_with(&format!("{url}/"))),
            "{url}: {fetched:?}"
        );
        // And a script in the page would not run.
        user.browser.run(INLINE, json!([])).await;
        assert_eq!(
            user.browser.run("return window.ran === undefined", json!([])).await,
            true,
            "{url}"
        );
    }
    site.stop().await;
}

const FETCHED: &str = "return performance.getEntriesByType('resource').map(entry => entry.name);";
const INLINE: &str = "
const script = document.createElement('script');
script.textContent = 'window.ran = true';
document.body.append(script);";

/// Of the secrets that the store holds, none is in a page.
#[tokio::test]
#[ignore = "needs Chromium: tests/e2e/browser/run"]
async fn no_token_is_in_a_page() {
    let site = Site::start().await;
    let user = site.user(Kind::USUAL).await;
    user.signs_in("jane", "contoso").await;
    user.presses("#call-api").await;
    let source = user.browser.source().await;
    let mut secrets = 0;
    let store = site.running.store().await;
    for account in store.accounts(oubliette::Page::first(10)).await.unwrap().accounts {
        let client = oubliette::ClientId::new("web").unwrap();
        for live in account.sign_ins {
            let access = live
                .access_token(&oubliette::AccessQuery::new(client.clone()))
                .await
                .unwrap()
                .unwrap();
            let refresh = live.refresh_token(&client).await.unwrap().unwrap();
            let id = live.id_token(&client).await.unwrap().unwrap();
            for secret in [access.secret.expose(), refresh.secret.expose(), id.secret.expose()] {
                assert!(!source.contains(secret));
                secrets += 1;
            }
        }
    }
    assert_eq!(secrets, 3);
    drop(store);
    site.stop().await;
}
