//! Every button, by two users in three browsers: after each step every page shows what the store holds, and that is what it should be.

use std::collections::BTreeSet;
use std::time::Duration;

use super::driver::{Kind, until};
use super::shown::Held;
use super::site::{LONG, Site, User};
use crate::examples::web_app::Options;

#[tokio::test]
#[ignore = "needs Chromium: tests/e2e/browser/run"]
async fn every_button_does_what_it_says() {
    every_button(Kind::USUAL).await;
}

#[tokio::test]
#[ignore = "needs Chromium: tests/e2e/browser/run"]
async fn every_button_does_so_without_javascript() {
    every_button(Kind { javascript: false, ..Kind::USUAL }).await;
}

async fn every_button(kind: Kind) {
    let site = Site::with(|options| Options { access_life: LONG, ..options }).await;
    let (desk, phone, other) =
        (site.user(kind).await, site.user(kind).await, site.user(kind).await);
    let all = [&desk, &phone, &other];
    let holds = async |expected: &[&str]| assert_eq!(who(&site.all_show_it(&all).await), expected);
    desk.has_apps_told_by("back").await;
    holds(&[]).await;

    // Jane signs in twice, and Max, who is a guest elsewhere too.
    desk.signs_in("jane", "contoso").await;
    holds(&["contoso jane"]).await;
    phone.signs_in("jane", "contoso").await;
    other.signs_in("max", "fabrikam").await;
    holds(&["contoso jane", "contoso jane", "fabrikam max"]).await;

    desk.presses("#call-api").await;
    assert!(desk.browser.text("#api-answer").await.contains("Hello, Jane."));
    other.presses("#call-api").await;
    assert!(other.browser.text("#api-answer").await.contains("Hello, Max."));
    holds(&["contoso jane", "contoso jane", "fabrikam max"]).await;

    // A restart changes nothing, for anybody.
    let before = site.held().await;
    other.presses("#restart").await;
    holds(&["contoso jane", "contoso jane", "fabrikam max"]).await;
    assert_eq!(site.held().await, before);
    phone.presses("#call-api").await;
    assert!(phone.browser.text("#api-answer").await.contains("Hello, Jane."));

    // The user is signed out here, in all of their browsers, and nobody else is.
    desk.signs_out("#sign-out").await;
    holds(&["fabrikam max"]).await;
    told(&all, &[("back-channel", "session"), ("here", "account")]).await;
    assert_eq!((desk.is().await, phone.is().await), (None, None));
    assert_eq!(other.is().await, Some(("max".into(), "fabrikam".into())));
    // The provider still knows the user in the other browser, and asks nothing.
    phone.presses("#sign-in").await;
    desk.signs_in("jane", "contoso").await;
    holds(&["contoso jane", "contoso jane", "fabrikam max"]).await;

    // In the other app: the provider's session ends there, and tells of it.
    phone.browser.leaves_by("#other-app").await;
    if phone.browser.has("#sign-in").await {
        phone.browser.leaves_by("#sign-in").await;
    }
    phone.sees("#sign-out").await;
    phone.browser.leaves_by("#sign-out").await;
    phone.goes_on().await;
    phone.sees("#sign-in").await;
    phone.comes().await;
    holds(&["fabrikam max"]).await;
    told(&all, &[("back-channel", "session")]).await;

    // At the provider: everywhere.
    for user in [&desk, &phone] {
        user.signs_in_or_is_known("jane", "contoso").await;
    }
    holds(&["contoso jane", "contoso jane", "fabrikam max"]).await;
    phone.browser.leaves_by("#provider").await;
    phone.browser.leaves_by("#end-everywhere").await;
    phone.comes().await;
    holds(&["fabrikam max"]).await;
    phone.sees_sides("jane contoso", ["signed-out", "still-in"]).await;
    phone.presses("[data-compared='jane contoso'] form button").await;
    let said = phone.browser.text("[data-compared='jane contoso'] output").await;
    assert!(said.contains("Hello, Jane."), "{said}");
    told(&all, &[("back-channel", "session")]).await;

    // A whole tenant: with the guest who signed in there, and without the one who did elsewhere.
    desk.signs_in("joe", "contoso").await;
    phone.signs_in("max", "contoso").await;
    holds(&["contoso joe", "contoso max", "fabrikam max"]).await;
    other.presses("form[data-action=sign-out-tenant][data-tenant=contoso] button").await;
    holds(&["fabrikam max"]).await;
    told(&all, &[("tenant", "tenant")]).await;
    assert_eq!((desk.is().await, phone.is().await), (None, None));

    // Somebody else at the same browser.
    desk.browser.leaves_by("#sign-in-another").await;
    desk.says_who("ada", "fabrikam").await;
    phone.presses("#sign-in").await;
    holds(&["contoso max", "fabrikam ada", "fabrikam max"]).await;
    desk.presses("#sign-out-everybody").await;
    holds(&[]).await;
    told(&all, &[("everybody", "everybody")]).await;
    for user in all {
        assert_eq!(user.is().await, None);
        assert!(user.browser.is_gone("#call-api").await);
    }
    // And nothing of it comes back.
    desk.presses("#restart").await;
    holds(&[]).await;
    desk.signs_in_or_is_known("ada", "fabrikam").await;
    holds(&["fabrikam ada"]).await;
    for user in all {
        assert_eq!(user.browser.complaints().await, [""; 0]);
    }
    site.stop().await;
}

/// Tenant and user of each sign-in.
fn who(held: &Held) -> Vec<String> {
    let accounts = held.iter().flat_map(|(tenant, accounts)| {
        accounts.iter().map(move |(user, sign_ins)| (tenant, user, sign_ins))
    });
    accounts
        .flat_map(|(tenant, user, sign_ins)| {
            sign_ins.values().map(move |tokens| {
                let kinds: BTreeSet<_> =
                    tokens.iter().map(|token| token.split(' ').next().unwrap()).collect();
                assert_eq!(kinds, BTreeSet::from(["access", "id", "refresh"]), "{user}");
                format!("{tenant} {user}")
            })
        })
        .collect()
}

/// That all browsers show these as what came last, newest first.
async fn told(users: &[&User], expected: &[(&str, &str)]) {
    for user in users {
        let events = user.shown().await.unwrap().events;
        let newest = &events[..expected.len()];
        assert!(newest.iter().all(|event| event.micros.parse::<u64>().unwrap() > 0), "{events:?}");
        let newest: Vec<_> =
            newest.iter().map(|event| (event.signal.as_str(), event.scope.as_str())).collect();
        assert_eq!(newest, expected);
    }
}

/// New tokens that come after the sign-out are stored nowhere; and those of somebody else are.
#[tokio::test]
#[ignore = "needs Chromium: tests/e2e/browser/run"]
async fn a_late_refresh_brings_nobody_back() {
    let site = Site::with(|options| Options {
        access_life: LONG,
        slow_refresh: Duration::from_secs(5),
        ..options
    })
    .await;
    let (jane, joe) = (site.user(Kind::USUAL).await, site.user(Kind::USUAL).await);
    jane.signs_in("jane", "contoso").await;
    joe.signs_in("joe", "contoso").await;
    site.all_show_it(&[&jane, &joe]).await;
    joe.presses("#slow-refresh").await;
    jane.presses("#slow-refresh").await;
    assert!(jane.browser.has("#refreshes > li[data-outcome=under-way]").await);
    jane.signs_out("#sign-out").await;
    assert_eq!(who(&site.all_show_it(&[&jane, &joe]).await), ["contoso joe"]);
    until(async || {
        let is_over = jane.browser.is_gone("#refreshes > li[data-outcome=under-way]").await;
        is_over.then_some(()).ok_or_else(|| "the refresh does not end".into())
    })
    .await;
    assert!(jane.browser.text("#refreshes > li[data-outcome=signed-out]").await.contains("Jane"));
    assert!(jane.browser.text("#refreshes > li[data-outcome=stored]").await.contains("Joe"));
    assert_eq!(who(&site.all_show_it(&[&jane, &joe]).await), ["contoso joe"]);
    assert_eq!(jane.is().await, None);
    jane.sees_sides("jane contoso", ["signed-out", "back"]).await;
    jane.sees_sides("joe contoso", ["signed-in", "signed-in"]).await;
    site.stop().await;
}

/// The access token is asked for at each call, and refreshed when it is due: the page shows the new one's time.
#[tokio::test]
#[ignore = "needs Chromium: tests/e2e/browser/run"]
async fn a_call_refreshes_what_is_due() {
    let site =
        Site::with(|options| Options { access_life: Duration::from_secs(3), ..options }).await;
    let jane = site.user(Kind::USUAL).await;
    jane.signs_in("jane", "contoso").await;
    let before = site.all_show_it(&[&jane]).await;
    let after = until(async || {
        jane.presses("#call-api").await;
        assert!(jane.browser.text("#api-answer").await.contains("Hello, Jane."));
        let held = site.held().await.0;
        if held == before { Err("no call refreshes".into()) } else { Ok(held) }
    })
    .await;
    assert!(site.running.provider.as_ref().unwrap().counts().refreshes > 0);
    assert_eq!(who(&after), ["contoso jane"]);
    site.all_show_it(&[&jane]).await;
    site.stop().await;
}
