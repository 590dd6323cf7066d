//! A user at their browser, and what they enter where a provider asks for their name.

use openidconnect::reqwest::{Method, StatusCode};
use openidconnect::url::Url;

use super::site::Site;
use crate::user_agent::{Browser, Page};

#[derive(Clone)]
pub(crate) struct User {
    name: String,
    browser: Browser,
}

impl User {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), browser: Browser::new() }
    }

    /// Signs in to the app, at the provider if that does not know this browser yet.
    pub(crate) async fn sign_in(&mut self, site: &Site) {
        let page = self.open(site, &site.app("/login")).await;
        let page = self.agree(site, page).await;
        assert_eq!(page.url.as_str(), site.app("/"), "{}", page.text);
        assert!(page.text.contains("Sign out"), "{}", page.text);
    }

    /// Whether the app knows the user.
    pub(crate) async fn is_signed_in(&mut self, site: &Site) -> bool {
        self.open(site, &site.app("/")).await.text.contains("Sign out")
    }

    /// Calls the provider's API through the app: whom it answers, or nobody if the app has the user
    /// sign in again.
    pub(crate) async fn calls_api(&mut self, site: &Site) -> Option<String> {
        let page =
            self.browser.send(Method::GET, site.app("/api").parse().unwrap(), None, None).await;
        match page.status {
            StatusCode::OK => Some(
                serde_json::from_str::<serde_json::Value>(&page.text).unwrap()["sub"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            ),
            StatusCode::SEE_OTHER => None,
            other => panic!("{other}: {}", page.text),
        }
    }

    /// Presses the app's button, and does not go on to where that sends the user: the provider's
    /// page.
    pub(crate) async fn presses_sign_out(&mut self, site: &Site) -> Url {
        let form = Some(("application/x-www-form-urlencoded", String::new()));
        let page = self
            .browser
            .send(Method::POST, site.app("/logout").parse().unwrap(), Some(&site.app("")), form)
            .await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
        page.on.unwrap()
    }

    /// Opens the provider's page for signing out, and answers its question.
    pub(crate) async fn confirms(&mut self, site: &Site, at: Url, everywhere: bool) -> Page {
        let page = self.open(site, at.as_str()).await;
        self.submit(site, &page, if everywhere { &[("logout", "yes")] } else { &[] }).await
    }

    /// Signs in and consents where the user is asked to.
    pub(crate) async fn agree(&mut self, site: &Site, mut page: Page) -> Page {
        while page.url.path().starts_with("/interaction/") {
            let name = self.name.clone();
            let entered = [("login", name.as_str()), ("password", "any")];
            let is_login = page.text.contains("name=\"login\"");
            page = self.submit(site, &page, if is_login { &entered } else { &[] }).await;
        }
        page
    }

    /// Goes there and where that redirects to, but not where nobody here serves: the page then has that address.
    pub(crate) async fn open(&mut self, site: &Site, url: &str) -> Page {
        let page = self.browser.send(Method::GET, url.parse().unwrap(), None, None).await;
        self.follow(site, page).await
    }

    /// Sends the page's form.
    async fn submit(&mut self, site: &Site, page: &Page, entered: &[(&str, &str)]) -> Page {
        let page = self.browser.press_only(page, "", entered).await;
        self.follow(site, page).await
    }

    async fn follow(&mut self, site: &Site, mut page: Page) -> Page {
        while let Some(mut url) = page.on.take() {
            if !site.serves(&url) {
                return Page { url, ..page };
            }
            if site.is_offline() && url.path() == "/auth" {
                // OpenID Connect Core 1.0 §11: without it, this provider gives no offline access.
                url.query_pairs_mut().append_pair("prompt", "consent");
            }
            page = self.browser.send(Method::GET, url, None, None).await;
        }
        page
    }
}
