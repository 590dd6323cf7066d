//! The demonstration as it is started from the command line, but in the test's process: so that a test sees what its store holds.

use std::time::Duration;

use oubliette::ClientId;
use serde_json::json;

use super::driver::{Browser, Driver, Kind, until};
use super::shown::{Held, Shown, held};
use crate::examples::web_app::{Options, Running, Urls, start};

pub(crate) struct Site {
    pub(crate) running: Running,
    driver: Driver,
    _folder: tempfile::TempDir,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::with(|options| options).await
    }

    pub(crate) async fn with(set: impl FnOnce(Options) -> Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = start(set(Options::new(folder.path()))).await.unwrap();
        Self { running, driver: Driver::start().await, _folder: folder }
    }

    /// A browser with the app's page open.
    pub(crate) async fn user(&self, kind: Kind) -> User {
        User::at(&self.running.urls, &self.driver, kind).await
    }

    pub(crate) async fn held(&self) -> (Held, (u64, u64)) {
        held(&self.running.store().await, &ClientId::new("web").unwrap()).await
    }

    /// In order: that this goes well is part of each test.
    pub(crate) async fn stop(self) {
        self.running.stop().await.unwrap();
    }

    /// That all pages show what the store holds, if they have come to it: which is what.
    pub(crate) async fn all_show_it(&self, users: &[&User]) -> Held {
        for user in users {
            if !user.kind.javascript {
                user.comes().await;
            }
            until(async || {
                let (shown, (held, ledger)) = (user.shown().await?, self.held().await);
                let is_so = shown.held == held && shown.ledger == ledger;
                is_so
                    .then_some(())
                    .ok_or_else(|| format!("{shown:?} is shown, {held:?} and {ledger:?} is so"))
            })
            .await;
        }
        self.held().await.0
    }
}

/// Somebody at a browser.
pub(crate) struct User {
    pub(crate) browser: Browser,
    kind: Kind,
    app: String,
    provider: String,
}

impl User {
    /// In a browser of their own, with the app's page open.
    pub(crate) async fn at(urls: &Urls, driver: &Driver, kind: Kind) -> Self {
        let (app, provider) = (urls.app.clone(), urls.provider.clone());
        let user = Self { browser: driver.browser(kind).await, kind, app, provider };
        user.comes().await;
        user
    }

    /// Waits until the page shows these states of a user (`ada fabrikam`): in the store, and in the
    /// ordinary cache.
    pub(crate) async fn sees_sides(&self, who: &str, expected: [&str; 2]) {
        until(async || {
            if !self.kind.javascript {
                self.comes().await;
            }
            let sides = self.browser.run(SIDES, json!([who])).await;
            if sides == json!(expected) { Ok(()) } else { Err(format!("{who}: {sides}")) }
        })
        .await;
    }

    /// Opens the app's page.
    pub(crate) async fn comes(&self) {
        self.browser.open(&format!("{}/", self.app)).await;
    }

    pub(crate) async fn shown(&self) -> Result<Shown, String> {
        match Shown::on(&self.browser).await {
            Some(shown) => Ok(shown),
            None => Err(format!(
                "{} is not the app's page: {}",
                self.browser.address().await,
                self.browser.source().await
            )),
        }
    }

    /// Presses a button or follows a link, and is on the app's page afterwards.
    pub(crate) async fn presses(&self, css: &str) {
        self.browser.leaves_by(css).await;
        self.is_at_home().await;
    }

    /// From the app's page, as this user of this tenant: at a provider that has to ask.
    pub(crate) async fn signs_in(&self, user: &str, tenant: &str) {
        self.browser.leaves_by("#sign-in").await;
        self.says_who(user, tenant).await;
    }

    /// At the provider, which asks.
    pub(crate) async fn says_who(&self, user: &str, tenant: &str) {
        self.presses(&choice(user, tenant)).await;
        assert_eq!(self.is().await, Some((user.into(), tenant.into())));
    }

    /// As [`signs_in`](Self::signs_in); the provider need not ask.
    pub(crate) async fn signs_in_or_is_known(&self, user: &str, tenant: &str) {
        self.browser.leaves_by("#sign-in").await;
        if self.browser.has(&choice(user, tenant)).await {
            self.browser.leaves_by(&choice(user, tenant)).await;
        }
        self.is_at_home().await;
        assert_eq!(self.is().await, Some((user.into(), tenant.into())));
    }

    /// Presses this button, and is back on the app's page after the provider's, which may have frames to show.
    pub(crate) async fn signs_out(&self, css: &str) {
        self.browser.leaves_by(css).await;
        self.goes_on().await;
        self.is_at_home().await;
    }

    /// From the provider's page after a sign-out, if it is there: its script does so by itself.
    pub(crate) async fn goes_on(&self) {
        if !self.kind.javascript && self.browser.has("#continue").await {
            self.browser.leaves_by("#continue").await;
        }
    }

    /// On the provider's page: how apps are told of a sign-out, from now on.
    pub(crate) async fn has_apps_told_by(&self, channel: &str) {
        self.browser.open(&format!("{}/", self.provider)).await;
        self.browser.click(&format!("#tell input[value={channel}]")).await;
        self.browser.leaves_by("#tell button").await;
        self.comes().await;
    }

    pub(crate) async fn is_at_home(&self) {
        let home = format!("{}/", self.app);
        until(async || {
            let address = self.browser.address().await;
            let is_home = address.split('?').next() == Some(&home) && self.browser.has("#me").await;
            is_home.then_some(()).ok_or_else(|| format!("at {address}"))
        })
        .await;
    }

    /// Waits for what has such an element.
    pub(crate) async fn sees(&self, css: &str) {
        until(async || {
            self.browser.has(css).await.then_some(()).ok_or_else(|| format!("{css} is not there"))
        })
        .await;
    }

    /// As the page says: user and tenant.
    pub(crate) async fn is(&self) -> Option<(String, String)> {
        self.shown().await.unwrap().me
    }
}

const SIDES: &str = "
const sides = document.querySelectorAll(`[data-compared=\"${arguments[0]}\"] [data-side]`);
return [...sides].map(side => side.dataset.state);";

/// So long that nothing becomes due while a test runs.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// The provider's button for being this user.
fn choice(user: &str, tenant: &str) -> String {
    format!("form[action='/sign-in'] button[value='{user} {tenant}']")
}
