//! Without a mouse: every control is reached by the tabulator key, in the order of the page, and it is seen which one has the focus.

use serde_json::{Value, json};

use super::driver::{Browser, Kind};
use super::site::Site;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

#[tokio::test]
#[ignore = "needs Chromium: tests/e2e/browser/run"]
async fn every_control_is_reached_by_the_keyboard() {
    let site = Site::start().await;
    let user = site.user(Kind::USUAL).await;
    all_are_reached(&user.browser).await;
    // In, by keys alone.
    focus(&user.browser, "#sign-in").await;
    user.browser.press(ENTER).await;
    user.sees("form[action='/sign-in']").await;
    all_are_reached(&user.browser).await;
    focus(&user.browser, "button[value='jane contoso']").await;
    user.browser.press(ENTER).await;
    user.is_at_home().await;
    all_are_reached(&user.browser).await;
    focus(&user.browser, "#call-api").await;
    user.browser.press(ENTER).await;
    user.sees("#api-answer:not(:empty)").await;
    for url in [&site.running.urls.other, &site.running.urls.everywhere] {
        user.browser.open(url).await;
        all_are_reached(&user.browser).await;
    }
    site.stop().await;
}

/// What is shown anew, once a second, leaves the focus where it was.
#[tokio::test]
#[ignore = "needs Chromium: tests/e2e/browser/run"]
async fn the_focus_stays_while_the_page_changes() {
    let site = Site::start().await;
    let (user, other) = (site.user(Kind::USUAL).await, site.user(Kind::USUAL).await);
    user.signs_in("jane", "contoso").await;
    focus(&user.browser, "#call-api").await;
    other.signs_in("joe", "contoso").await;
    user.sees("li[data-account=joe]").await;
    assert_eq!(user.browser.run("return document.activeElement.id", json!([])).await, "call-api");
    site.stop().await;
}

/// Presses the tabulator until this has the focus.
async fn focus(browser: &Browser, css: &str) {
    browser.run("document.activeElement.blur(); getSelection().removeAllRanges()", json!([])).await;
    for _ in 0..100 {
        browser.press(TAB).await;
        if browser.run("return document.activeElement.matches(arguments[0])", json!([css])).await
            == true
        {
            return;
        }
    }
    panic!("{css} is not reached: {}", browser.source().await);
}

async fn all_are_reached(browser: &Browser) {
    let address = browser.address().await;
    // Anew: the browser begins at the page's begin.
    browser.open(&address).await;
    let controls = browser.run(CONTROLS, json!([])).await;
    let controls = controls.as_array().unwrap();
    assert!(!controls.is_empty(), "{address}");
    for expected in controls {
        browser.press(TAB).await;
        let focused = browser.run(FOCUSED, json!([])).await;
        assert_eq!(&focused[0], expected, "{address}");
        assert_eq!(focused[1], Value::Bool(true), "{address}: the focus is not seen on {expected}");
    }
}

/// All that can be seen and used, in the page's order; of a group of radio buttons, the one that is chosen.
const CONTROLS: &str = "
return [...document.querySelectorAll('a[href], button, input:not([type=hidden])')]
  .filter(node => !node.disabled && node.checkVisibility() && !(node.type === 'radio' && !node.checked))
  .map(node => node.outerHTML);";
const FOCUSED: &str = "
const node = document.activeElement, style = getComputedStyle(node);
const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
return [node.outerHTML, outlined || style.boxShadow !== 'none'];";
