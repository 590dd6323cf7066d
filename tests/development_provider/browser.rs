//! A user's browser: it keeps cookies by host, follows redirects, fetches frames (without the app's cookies) and sends forms. No script runs.

use std::collections::BTreeMap;

use openidconnect::reqwest::{Client, Method, StatusCode, redirect};
use openidconnect::url::{Url, form_urlencoded};

use crate::site::Site;

#[derive(Clone)]
pub(crate) struct Browser {
    http: Client,
    /// By host (whatever the port) and name.
    cookies: BTreeMap<(String, String), String>,
}

/// A page, after all redirects.
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    pub(crate) policy: String,
}

impl Browser {
    pub(crate) fn new() -> Self {
        let http = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        Self { http, cookies: BTreeMap::new() }
    }

    /// Signs in to the app, as `who` (`jane contoso`) if the provider asks.
    pub(crate) async fn sign_in(&mut self, site: &Site, who: &str) -> Page {
        let page = self.open(&format!("{}/login", site.app)).await;
        let page = self.choose(page, who).await;
        assert!(page.url.as_str() == format!("{}/", site.app) && page.text.contains("Sign out"), "{}: {}", page.url, page.text);
        page
    }

    pub(crate) async fn choose(&mut self, page: Page, who: &str) -> Page {
        if page.text.contains(r#"action="/sign-in""#) { self.press(&page, "/sign-in", &[("as", who)]).await } else { page }
    }

    pub(crate) async fn is_signed_in(&mut self, site: &Site) -> bool {
        self.open(&format!("{}/", site.app)).await.text.contains("Sign out")
    }

    pub(crate) async fn is_in_other_app(&mut self, site: &Site) -> bool {
        !self.open(&format!("{}/", site.other)).await.text.contains(r#"data-user="""#)
    }

    /// What the API says to the app, which asks with the user's token; nothing if the app has her sign in again.
    pub(crate) async fn calls_api(&mut self, site: &Site) -> Option<String> {
        let page = self.send(Method::GET, format!("{}/api", site.app).parse().unwrap(), None, None).await.0;
        (page.status == StatusCode::OK).then_some(page.text)
    }

    pub(crate) async fn open(&mut self, url: &str) -> Page {
        let got = self.send(Method::GET, url.parse().unwrap(), None, None).await;
        self.follow(got, "").await
    }

    /// Sends the page's form with this action, as its page's origin; then fetches the frames of what comes.
    pub(crate) async fn press(&mut self, page: &Page, action: &str, with: &[(&str, &str)]) -> Page {
        let form =
            page.text.split_once(&format!(r#"action="{action}""#)).unwrap_or_else(|| panic!("no {action}: {}", page.text)).1;
        let hidden = form.split_once("</form>").unwrap().0.split("<input type=\"hidden\" ").skip(1).map(|tag| {
            let value =
                |name: &str| tag.split_once(&format!("{name}=\"")).unwrap().1.split_once('"').unwrap().0.replace("&amp;", "&");
            (value("name"), value("value"))
        });
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(hidden).extend_pairs(with).finish();
        let to = page.url.join(action).unwrap();
        let origin = page.url.origin().ascii_serialization();
        let got = self.send(Method::POST, to, Some(&origin), Some(body)).await;
        let may = page.policy.split_once("form-action ").map(|(_, rest)| format!("{origin} {rest}"));
        self.follow(got, &may.unwrap_or_default()).await
    }

    /// `may` says where the redirects may lead, if anything does: browsers hold them to the policy of the page that the form was on.
    async fn follow(&mut self, (mut page, mut on): (Page, Option<Url>), may: &str) -> Page {
        while let Some(url) = on {
            let to = url.origin().ascii_serialization();
            assert!(may.is_empty() || may.contains(&to), "{to}: {may}");
            (page, on) = self.send(Method::GET, url, None, None).await;
        }
        for frame in page.text.split("<iframe src=\"").skip(1) {
            let url = frame.split_once('"').unwrap().0.replace("&amp;", "&");
            let answer = self.http.get(&url).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            let policy = answer.headers()["content-security-policy"].to_str().unwrap();
            let origin = page.url.origin().ascii_serialization();
            assert!(policy.contains(&format!("frame-ancestors {origin}")), "{policy}");
            let framed = Url::parse(&url).unwrap().origin().ascii_serialization();
            assert!(page.policy.contains(&framed), "{}", page.policy);
        }
        page
    }

    async fn send(&mut self, method: Method, url: Url, origin: Option<&str>, body: Option<String>) -> (Page, Option<Url>) {
        let host = url.host_str().unwrap().to_owned();
        let cookies: Vec<_> = self.cookies.iter().filter(|((of, _), _)| *of == host).collect();
        let cookies: Vec<_> = cookies.into_iter().map(|((_, name), value)| format!("{name}={value}")).collect();
        let mut request = self.http.request(method, url.clone()).header("cookie", cookies.join("; "));
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        }
        let answer = request.send().await.unwrap();
        for cookie in answer.headers().get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            let key = (host.clone(), name.to_owned());
            if value.is_empty() || cookie.contains("Max-Age=0") {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.into());
            }
        }
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let (status, location, policy) = (answer.status(), header("location"), header("content-security-policy"));
        let on = status.is_redirection().then(|| url.join(&location).unwrap());
        (Page { url, status, text: answer.text().await.unwrap(), policy }, on)
    }
}
