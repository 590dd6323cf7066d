//! A user's browser: it keeps cookies, follows redirects, and sends forms. No page's script runs, and no page here needs it to.

use std::collections::BTreeMap;

use openidconnect::reqwest::{Client, Method, StatusCode, redirect};
use openidconnect::url::Url;

use crate::site::Site;

/// One user's, with what she enters where a provider asks for her name.
#[derive(Clone)]
pub(crate) struct Browser {
    user: String,
    http: Client,
    /// By origin, path and name.
    cookies: BTreeMap<(String, String, String), String>,
}

/// A page, after all redirects but one that nobody here serves.
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

impl Browser {
    pub(crate) fn of(user: &str) -> Self {
        let http = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        Self { user: user.into(), http, cookies: BTreeMap::new() }
    }

    /// Signs in to the app, at the provider if that does not know this browser yet.
    pub(crate) async fn sign_in(&mut self, site: &Site) {
        let page = self.open(site, &site.app("/login")).await;
        let page = self.agree(site, page).await;
        assert_eq!(page.url.as_str(), site.app("/"), "{}", page.text);
        assert!(page.text.contains("Sign out"), "{}", page.text);
    }

    /// Whether the app knows her.
    pub(crate) async fn is_signed_in(&mut self, site: &Site) -> bool {
        self.open(site, &site.app("/")).await.text.contains("Sign out")
    }

    /// Calls the provider's API through the app: whom it answers, or nobody if the app has her sign in again.
    pub(crate) async fn calls_api(&mut self, site: &Site) -> Option<String> {
        let page = self.send(site, Method::GET, site.app("/api").parse().unwrap(), None).await;
        match page.status {
            StatusCode::OK => {
                Some(serde_json::from_str::<serde_json::Value>(&page.text).unwrap()["sub"].as_str().unwrap().to_owned())
            }
            StatusCode::SEE_OTHER => None,
            other => panic!("{other}: {}", page.text),
        }
    }

    /// Presses the app's button, and does not go on to where that sends her: the provider's page.
    pub(crate) async fn presses_sign_out(&mut self, site: &Site) -> Url {
        let page = self.send(site, Method::POST, site.app("/logout").parse().unwrap(), Some(String::new())).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
        page.url
    }

    /// Opens the provider's page for signing out, and answers its question.
    pub(crate) async fn confirms(&mut self, site: &Site, at: Url, everywhere: bool) -> Page {
        let page = self.open(site, at.as_str()).await;
        let form = Form::of(&page);
        self.submit(site, &form, if everywhere { &[("logout", "yes")] } else { &[] }).await
    }

    /// Signs in and consents where she is asked to.
    pub(crate) async fn agree(&mut self, site: &Site, mut page: Page) -> Page {
        while page.url.path().starts_with("/interaction/") {
            let form = Form::of(&page);
            let user = self.user.clone();
            let entered = [("login", user.as_str()), ("password", "any")];
            let is_login = page.text.contains("name=\"login\"");
            page = self.submit(site, &form, if is_login { &entered } else { &[] }).await;
        }
        page
    }

    pub(crate) async fn open(&mut self, site: &Site, url: &str) -> Page {
        let page = self.send(site, Method::GET, url.parse().unwrap(), None).await;
        self.follow(site, page).await
    }

    async fn submit(&mut self, site: &Site, form: &Form, more: &[(&str, &str)]) -> Page {
        let mut body = openidconnect::url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(&form.hidden).extend_pairs(more);
        let page = self.send(site, Method::POST, form.action.clone(), Some(body.finish())).await;
        self.follow(site, page).await
    }

    async fn follow(&mut self, site: &Site, mut page: Page) -> Page {
        while page.status.is_redirection() && site.serves(&page.url) {
            let mut url = page.url;
            if site.is_offline() && url.path() == "/auth" {
                // OpenID Connect Core 1.0 §11: without it, this provider gives no offline access.
                url.query_pairs_mut().append_pair("prompt", "consent");
            }
            page = self.send(site, Method::GET, url, None).await;
        }
        page
    }

    /// One request. The page's URL is where the answer redirects to, if it does.
    async fn send(&mut self, site: &Site, method: Method, url: Url, form: Option<String>) -> Page {
        let origin = url.origin().ascii_serialization();
        let cookies = self.cookies.iter().filter(|((of, path, _), _)| *of == origin && url.path().starts_with(path.as_str()));
        let cookies: Vec<_> = cookies.map(|((.., name), value)| format!("{name}={value}")).collect();
        let mut request = self.http.request(method, url.clone()).header("cookie", cookies.join("; "));
        if let Some(form) = form {
            // What it sends from: the app's own pages, or the provider's.
            let from = if site.is_app(&url) { site.app("") } else { origin.clone() };
            request = request.header("origin", from).header("content-type", "application/x-www-form-urlencoded").body(form);
        }
        let answer = request.send().await.unwrap();
        for cookie in answer.headers().get_all("set-cookie") {
            let mut parts = cookie.to_str().unwrap().split("; ");
            let (name, value) = parts.next().unwrap().split_once('=').unwrap();
            let (mut path, mut is_over) = ("/".to_owned(), value.is_empty());
            for part in parts {
                match part.split_once('=') {
                    Some((name, value)) if name.eq_ignore_ascii_case("path") => path = value.into(),
                    Some((name, "0")) if name.eq_ignore_ascii_case("max-age") => is_over = true,
                    Some((name, value)) if name.eq_ignore_ascii_case("expires") => is_over |= value.contains(" 1970 "),
                    _ => {}
                }
            }
            let key = (origin.clone(), path, name.to_owned());
            if is_over {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.into());
            }
        }
        let status = answer.status();
        let location = answer.headers().get("location").map(|location| url.join(location.to_str().unwrap()).unwrap());
        Page { url: location.unwrap_or(url), status, text: answer.text().await.unwrap() }
    }
}

/// A page's only form.
struct Form {
    action: Url,
    hidden: Vec<(String, String)>,
}

impl Form {
    fn of(page: &Page) -> Self {
        let attribute = |tag: &str, name: &str| {
            let value = tag.split_once(&format!(" {name}=\"")).and_then(|(_, rest)| rest.split_once('"'));
            value.map(|(value, _)| value.replace("&amp;", "&"))
        };
        let tags = |kind: &str| page.text.split(kind).skip(1).map(|rest| rest.split('>').next().unwrap()).collect::<Vec<_>>();
        let action = tags("<form").first().and_then(|tag| attribute(tag, "action"));
        let action = page.url.join(&action.unwrap_or_else(|| panic!("{}: no form: {}", page.url, page.text))).unwrap();
        let hidden = tags("<input").into_iter().filter(|tag| tag.contains("type=\"hidden\""));
        let hidden = hidden.map(|tag| (attribute(tag, "name").unwrap(), attribute(tag, "value").unwrap())).collect();
        Self { action, hidden }
    }
}
