//! What a client needs of a browser: it keeps cookies, says where its forms are from, and follows no redirect by itself.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use openidconnect::reqwest::{Client, Method, StatusCode, header, redirect};
use openidconnect::url::{Url, form_urlencoded};

/// Nothing is given up before the process that was asked is dead: that is how it is known what became of it.
static HTTP: LazyLock<Client> = LazyLock::new(|| {
    let builder = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .timeout(Duration::from_secs(120));
    builder.build().unwrap()
});

#[derive(Clone)]
pub(crate) struct Browser {
    http: Client,
    /// Of all sites: they have names of their own, and nobody else is asked.
    cookies: BTreeMap<String, String>,
}

pub(crate) struct Page {
    pub(crate) status: StatusCode,
    /// To where it redirects.
    pub(crate) to: Option<String>,
    pub(crate) text: String,
}

/// No answer came: the app is not there, or died meanwhile.
#[derive(Debug)]
pub(crate) struct Gone;

impl Browser {
    pub(crate) fn new() -> Self {
        Self { http: HTTP.clone(), cookies: BTreeMap::new() }
    }

    pub(crate) async fn get(&mut self, url: &str) -> Result<Page, Gone> {
        self.send(Method::GET, url, None).await
    }

    /// Sends a form of the site's own.
    pub(crate) async fn post(&mut self, url: &str, fields: &[(&str, &str)]) -> Result<Page, Gone> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(Method::POST, url, Some(form)).await
    }

    async fn send(
        &mut self,
        method: Method,
        url: &str,
        form: Option<String>,
    ) -> Result<Page, Gone> {
        let url = Url::parse(url).unwrap();
        let cookies: Vec<_> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request =
            self.http.request(method, url.clone()).header(header::COOKIE, cookies.join("; "));
        if let Some(form) = form {
            request = request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form);
            request = request.header(header::ORIGIN, url.origin().ascii_serialization());
        }
        let response = request.send().await.map_err(|_| Gone)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.map_err(|_| Gone)?;
        for cookie in headers.get_all(header::SET_COOKIE) {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if value.is_empty() || rest.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.into(), value.into());
            }
        }
        let to =
            headers.get(header::LOCATION).map(|to| url.join(to.to_str().unwrap()).unwrap().into());
        Ok(Page { status, to, text })
    }
}

impl Page {
    /// The value of this attribute of the element with this id.
    pub(crate) fn attribute(&self, id: &str, name: &str) -> Option<String> {
        let (_, rest) = self.text.split_once(&format!("id=\"{id}\""))?;
        let (tag, _) = rest.split_once('>')?;
        let (_, value) = tag.split_once(&format!("{name}=\""))?;
        Some(unescaped(value.split_once('"')?.0))
    }

    /// The text of the element with this id, which has no other in it.
    pub(crate) fn content(&self, id: &str) -> Option<String> {
        let (_, rest) = self.text.split_once(&format!("id=\"{id}\""))?;
        let (_, rest) = rest.split_once('>')?;
        Some(unescaped(rest.split_once('<')?.0))
    }

    /// The value of the first hidden field of this name.
    pub(crate) fn hidden(&self, name: &str) -> Option<String> {
        let (_, rest) =
            self.text.split_once(&format!("type=\"hidden\" name=\"{name}\" value=\""))?;
        Some(unescaped(rest.split_once('"')?.0))
    }

    /// The addresses of its frames.
    pub(crate) fn frames(&self) -> Vec<String> {
        let frames = self.text.split("<iframe src=\"").skip(1);
        frames.map(|rest| unescaped(rest.split_once('"').unwrap().0)).collect()
    }
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}
