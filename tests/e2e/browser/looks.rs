//! How a page looks, and to whom: axe-core's checks, a picture, no scrolling sideways, on a desktop and on a phone; and what it had the browser fetch.

use std::path::Path;

use serde_json::{Value, json};

use super::driver::Browser;

/// Width and height, in CSS pixels.
const SCREENS: [(&str, u32, u32, bool); 2] =
    [("desktop", 1280, 900, false), ("phone", 360, 740, true)];

/// Checks this state of a page, and leaves pictures of it under this name.
pub(crate) async fn look(browser: &Browser, name: &str) {
    // What is new fades in: half-way it would have too little contrast.
    let still = json!({"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]});
    browser.command("Emulation.setEmulatedMedia", still).await;
    for (screen, width, height, mobile) in SCREENS {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 2, "mobile": mobile});
        browser.command("Emulation.setDeviceMetricsOverride", metrics).await;
        picture(browser, &format!("{name}-{screen}")).await;
        let wide = browser.run(WIDER, json!([])).await;
        assert_eq!(wide, json!([]), "{name} is wider than a {screen} of {width} pixels");
        let found = axe(browser).await;
        assert!(found.is_empty(), "{name} on a {screen}:\n{}", found.join("\n"));
    }
    browser.command("Emulation.clearDeviceMetricsOverride", json!({})).await;
    let address = browser.address().await;
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{name}, {address}: {complaints:?}");
}

/// What stands out to the right, if the page can be scrolled there.
const WIDER: &str = r"
const width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth <= width) return [];
return [...document.querySelectorAll('body *')].filter(node => node.getBoundingClientRect().right > width).map(node => node.outerHTML.slice(0, 120));";

/// The whole page, also what is scrolled out of sight.
async fn picture(browser: &Browser, name: &str) {
    let Some(folder) = std::env::var_os("SCREENSHOTS") else { return };
    let taken = browser
        .command("Page.captureScreenshot", json!({"format": "png", "captureBeyondViewport": true}))
        .await;
    let bytes =
        <base64ct::Base64 as base64ct::Encoding>::decode_vec(taken["data"].as_str().unwrap())
            .unwrap();
    std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
}

/// What is serious or critical: rule, help, and the first elements.
async fn axe(browser: &Browser) -> Vec<String> {
    let script = std::fs::read_to_string(
        std::env::var_os("AXE").expect("start these tests with tests/e2e/browser/run"),
    )
    .unwrap();
    browser.run(&script, json!([])).await;
    let found = browser.run_async(CHECK, json!([])).await;
    assert!(found["passes"].as_u64().unwrap() > 10, "axe-core has checked nothing: {found}");
    let grave = |one: &&Value| one["impact"] == "serious" || one["impact"] == "critical";
    found["violations"].as_array().unwrap().iter().filter(grave).map(Value::to_string).collect()
}

const CHECK: &str = r"
const done = arguments[0];
axe.run(document, {iframes: false, resultTypes: ['violations']}).then(
  found => done({passes: found.passes.length, violations: found.violations.map(({id, impact, help, nodes}) =>
    ({id, impact, help, nodes: nodes.slice(0, 5).map(node => [node.html.slice(0, 200), node.failureSummary])}))}),
  error => done({passes: 0, error: String(error)}));";
