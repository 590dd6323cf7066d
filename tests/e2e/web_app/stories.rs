//! What becomes of a sign-out in the store and in an ordinary cache: as the page says, and as the API
//! says to the tokens.

use std::time::Duration;

use super::{Options, Site, sign_in, start};
use crate::user_agent::{Browser, Page};

/// Asks again and again until it is so; or says what it was at last.
pub(crate) async fn until<T>(mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        match ask().await {
            Ok(found) => return found,
            Err(otherwise) => assert!(std::time::Instant::now() < deadline, "{otherwise}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn open(slow_refresh: Duration) -> Site {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let write_every = Duration::from_secs(3600);
    let options = Options { slow_refresh, write_every, ..Options::new(folder.path()) };
    Site { app: start(options).await.unwrap(), _folder: folder }
}

/// Presses the button beside a user whom the ordinary cache has: what the API says.
async fn calls_for(browser: &mut Browser, page: &Page) -> String {
    let page = browser.press(page, "/call-api-for", &[]).await;
    let said = page.text.split_once(r#"The API says: <output>"#);
    said.unwrap_or_else(|| panic!("{}", page.text)).1.split_once("</output>").unwrap().0.into()
}

#[tokio::test]
async fn nobody_is_in_either_and_each_panel_says_what_will_stand_there() {
    let site = open(Duration::ZERO).await;
    let page = Browser::new().open(&site.at("/")).await;
    for sentence in ["Nobody has signed in yet", "Nobody is signed in.", "None since", "opening"] {
        assert!(page.text.contains(sentence), "{sentence}: {}", page.text);
    }
    assert!(!page.text.contains("data-done"), "{}", page.text);
}

#[tokio::test]
async fn a_late_refresh_is_stored_in_the_ordinary_cache_alone() {
    let site = open(Duration::from_secs(5)).await;
    let mut ada = Browser::new();
    sign_in(&mut ada, &site, "ada fabrikam").await;
    let page = ada.open(&site.at("/")).await;
    assert_eq!(page.sides("ada fabrikam"), ["signed-in", "signed-in"]);

    let page = ada.press(&page, "/slow-refresh", &[]).await;
    ada.press(&page, "/sign-out", &[]).await;
    let page = ada.open(&site.at("/")).await;
    assert!(page.text.contains(r#"data-outcome="under-way""#), "the refresh ended too soon");
    assert_eq!(page.sides("ada fabrikam"), ["signed-out", "signed-out"]);

    let page = until(async || {
        let page = ada.open(&site.at("/")).await;
        let is_over = page.text.contains(r#"data-outcome="signed-out""#);
        if is_over { Ok(page) } else { Err(page.text) }
    })
    .await;
    assert_eq!(page.sides("ada fabrikam"), ["signed-out", "back"]);
    assert!(page.text.contains(r#"data-step="2" data-done"#), "{}", page.text);
    // And it is no mere entry: the API greets the user.
    let said = calls_for(&mut ada, &page).await;
    assert!(said.contains("Hello, Ada."), "{said}");
    assert!(site.holds().await.is_empty());
}

#[tokio::test]
async fn the_providers_sign_out_does_not_reach_the_ordinary_cache() {
    let site = open(Duration::ZERO).await;
    let (mut ada, mut joe) = (Browser::new(), Browser::new());
    sign_in(&mut ada, &site, "ada fabrikam").await;
    sign_in(&mut joe, &site, "joe contoso").await;
    site.app.provider.as_ref().unwrap().end_everywhere("ada").await;
    let page = joe.open(&site.at("/")).await;
    assert_eq!(page.sides("ada fabrikam"), ["signed-out", "still-in"]);
    assert_eq!(page.sides("joe contoso"), ["signed-in", "signed-in"]);
    let said = calls_for(&mut joe, &page).await;
    assert!(said.contains("Hello, Ada."), "{said}");
    assert_eq!(site.holds().await, ["joe contoso"]);

    // From here, both are told.
    let page = joe.open(&site.at("/")).await;
    let page = joe.press(&page, "/sign-out-everybody", &[]).await;
    for who in ["ada fabrikam", "joe contoso"] {
        assert_eq!(page.sides(who), ["signed-out", "signed-out"]);
    }
}

/// An orderly end is no reason to lose anything, in either.
#[tokio::test]
async fn a_restart_in_order_changes_neither() {
    let site = open(Duration::ZERO).await;
    let (mut ada, mut joe) = (Browser::new(), Browser::new());
    sign_in(&mut ada, &site, "ada fabrikam").await;
    sign_in(&mut joe, &site, "joe contoso").await;
    let page = ada.open(&site.at("/")).await;
    ada.press(&page, "/sign-out", &[]).await;
    let page = joe.open(&site.at("/")).await;
    let page = joe.press(&page, "/restart", &[]).await;
    assert_eq!(page.sides("ada fabrikam"), ["signed-out", "signed-out"]);
    assert_eq!(page.sides("joe contoso"), ["signed-in", "signed-in"]);
    // Whom the cache has read from its file is signed out by the provider as anybody is.
    site.app.provider.as_ref().unwrap().end_everywhere("joe").await;
    let page = joe.open(&site.at("/")).await;
    assert_eq!(page.sides("joe contoso"), ["signed-out", "still-in"]);
}
