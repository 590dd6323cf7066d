//! The kill, in a browser: without JavaScript too it comes back to the page, which shows what became of
//! a sign-out on either side.

use super::driver::{Driver, Kind};
use super::looks::look;
use super::site::User;
use crate::web_app::kill::{is_in_file, supervised};

#[tokio::test]
#[ignore = "needs Chromium: tests/e2e/browser/run"]
async fn a_kill_brings_back_whom_the_file_still_has() {
    a_kill(Kind::USUAL).await;
}

#[tokio::test]
#[ignore = "needs Chromium: tests/e2e/browser/run"]
async fn a_kill_does_so_without_javascript() {
    a_kill(Kind { javascript: false, ..Kind::USUAL }).await;
}

async fn a_kill(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let (app, driver) = (supervised(folder.path()).await, Driver::start().await);
    let ada = User::at(&app.urls, &driver, kind).await;
    ada.signs_in("ada", "fabrikam").await;
    is_in_file(folder.path(), "ada").await;
    ada.signs_out("#sign-out").await;
    ada.sees_sides("ada fabrikam", ["signed-out", "signed-out"]).await;

    ada.presses("#kill").await;
    ada.sees("#process[data-deaths='1']").await;
    ada.sees_sides("ada fabrikam", ["signed-out", "back"]).await;
    ada.presses("[data-compared='ada fabrikam'] form button").await;
    assert!(
        ada.browser.text("[data-compared='ada fabrikam'] output").await.contains("Hello, Ada.")
    );
    // What the kill did to requests on their way is no fault of the page.
    _ = ada.browser.complaints().await;
    if kind.javascript {
        look(&ada.browser, "app-after-kill").await;
    }
    app.stop().await.unwrap();
}
