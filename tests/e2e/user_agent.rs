//! A user's browser, without a screen: it keeps cookies by host (whatever the port) and path, follows redirects, sends forms, and fetches frames
//! (without their site's cookies, as browsers do that keep third parties apart). It runs no script.

use std::collections::BTreeMap;

use openidconnect::reqwest::{Client, Method, StatusCode, redirect};
use openidconnect::url::{Url, form_urlencoded};

#[derive(Clone)]
pub(crate) struct Browser {
    http: Client,
    /// By host, path and name.
    cookies: BTreeMap<(String, String, String), String>,
}

pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    /// `Content-Security-Policy`.
    pub(crate) policy: String,
    /// Where it redirects to: followed already, but by [`Browser::send`].
    pub(crate) on: Option<Url>,
}

impl Browser {
    pub(crate) fn new() -> Self {
        let http = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        Self { http, cookies: BTreeMap::new() }
    }

    /// One that makes a connection for each request: it comes to any process behind an address.
    pub(crate) fn anywhere() -> Self {
        let http = Client::builder().redirect(redirect::Policy::none()).pool_max_idle_per_host(0);
        Self { http: http.build().unwrap(), ..Self::new() }
    }

    pub(crate) async fn open(&mut self, url: &str) -> Page {
        let page = self.send(Method::GET, url.parse().unwrap(), None, None).await;
        self.follow(page, "").await
    }

    /// Sends the page's first form whose action has this in it, as a form of that page, with what is hidden in it.
    pub(crate) async fn press(&mut self, page: &Page, action: &str, with: &[(&str, &str)]) -> Page {
        let sent = self.press_only(page, action, with).await;
        // Browsers hold also what a form redirects to against the policy of its page.
        let origin = page.url.origin().ascii_serialization();
        let may =
            page.policy.split_once("form-action ").map(|(_, rest)| format!("{origin} {rest}"));
        self.follow(sent, &may.unwrap_or_default()).await
    }

    /// As [`press`](Self::press), without going on from there.
    pub(crate) async fn press_only(
        &mut self,
        page: &Page,
        action: &str,
        with: &[(&str, &str)],
    ) -> Page {
        let form = page
            .text
            .split("<form")
            .skip(1)
            .find(|form| attribute(form, "action").is_some_and(|to| to.contains(action)));
        let form =
            form.unwrap_or_else(|| panic!("{}: no form to {action}: {}", page.url, page.text));
        let form = form.split("</form>").next().unwrap();
        let tags = form.split("<input").skip(1).map(|tag| tag.split('>').next().unwrap());
        let hidden = tags.filter(|tag| tag.contains(r#"type="hidden""#));
        let hidden = hidden.map(|tag| {
            (attribute(tag, "name").unwrap(), attribute(tag, "value").unwrap_or_default())
        });
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(hidden)
            .extend_pairs(with)
            .finish();
        let (to, origin) = (
            page.url.join(&attribute(form, "action").unwrap()).unwrap(),
            page.url.origin().ascii_serialization(),
        );
        self.send(
            Method::POST,
            to,
            Some(&origin),
            Some(("application/x-www-form-urlencoded", body)),
        )
        .await
    }

    /// Goes where the page redirects to, and on; `may` says where that may be, if anything does. Then fetches the frames of what it comes to.
    pub(crate) async fn follow(&mut self, mut page: Page, may: &str) -> Page {
        while let Some(url) = page.on.take() {
            let to = url.origin().ascii_serialization();
            let sources = may.split(';').next().unwrap();
            let is_any = sources.split(' ').any(|source| source == "*");
            assert!(sources.is_empty() || is_any || sources.contains(&to), "{to}: {may}");
            page = self.send(Method::GET, url, None, None).await;
        }
        for frame in page.text.split("<iframe").skip(1) {
            let url = attribute(frame, "src").unwrap();
            let framed = Url::parse(&url).unwrap().origin().ascii_serialization();
            // What names no scheme has the page's.
            let scheme = format!("{}://", page.url.scheme());
            let framed = framed.strip_prefix(&scheme).unwrap_or(&framed);
            assert!(page.policy.contains(framed), "{}", page.policy);
            assert!(self.fetch_frame(&page.url, &url).await, "{url}");
        }
        page
    }

    /// Shows the address in a frame of the page at `of`. Whether it lets itself be shown there.
    pub(crate) async fn fetch_frame(&self, of: &Url, url: &str) -> bool {
        let answer = self.http.get(url).send().await.unwrap();
        let policy = answer
            .headers()
            .get("content-security-policy")
            .map_or("", |policy| policy.to_str().unwrap());
        let may = format!("frame-ancestors {}", of.origin().ascii_serialization());
        answer.status() == StatusCode::OK
            && answer.headers().get("x-frame-options").is_none()
            && policy.contains(&may)
    }

    /// One request. A form comes from a page of this `origin`.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        url: Url,
        origin: Option<&str>,
        body: Option<(&str, String)>,
    ) -> Page {
        let host = url.host_str().unwrap().to_owned();
        let mine = self
            .cookies
            .iter()
            .filter(|((of, path, _), _)| *of == host && url.path().starts_with(path.as_str()));
        let cookies: Vec<_> = mine.map(|((.., name), value)| format!("{name}={value}")).collect();
        let mut request =
            self.http.request(method, url.clone()).header("cookie", cookies.join("; "));
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        if let Some((kind, body)) = body {
            request = request.header("content-type", kind).body(body);
        }
        let answer = request.send().await.unwrap();
        for cookie in answer.headers().get_all("set-cookie") {
            self.keep(&host, cookie.to_str().unwrap());
        }
        let header = |name: &str| {
            answer
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
                .unwrap_or_default()
        };
        let (status, location, policy) =
            (answer.status(), header("location"), header("content-security-policy"));
        let on = status.is_redirection().then(|| url.join(&location).unwrap());
        Page { url, status, text: answer.text().await.unwrap(), policy, on }
    }

    fn keep(&mut self, host: &str, cookie: &str) {
        let mut parts = cookie.split(';').map(str::trim);
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let (mut path, mut is_over) = ("/", value.is_empty());
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.to_ascii_lowercase().as_str() {
                "path" => path = value,
                "max-age" => is_over |= value == "0",
                // As providers write it who end a cookie.
                "expires" => is_over |= ["1970", "2015"].iter().any(|year| value.contains(year)),
                _ => {}
            }
        }
        let key = (host.to_owned(), path.to_owned(), name.to_owned());
        if is_over {
            self.cookies.remove(&key);
        } else {
            self.cookies.insert(key, value.into());
        }
    }
}

impl Page {
    /// What the app's page says of a user (`ada fabrikam`): in the store, and in the ordinary cache.
    pub(crate) fn sides(&self, who: &str) -> [String; 2] {
        let user = self.text.split_once(&format!(r#"<li data-compared="{who}""#));
        let user = user.unwrap_or_else(|| panic!("nothing of {who}: {}", self.text)).1;
        ["store", "ordinary"].map(|side| {
            let (_, side) = user.split_once(&format!(r#"data-side="{side}""#)).unwrap();
            attribute(side, "data-state").unwrap()
        })
    }
}

/// Of the first tag.
pub(crate) fn attribute(tag: &str, name: &str) -> Option<String> {
    let tag = tag.split('>').next()?;
    let value = tag.split_once(&format!(" {name}=\""))?.1.split_once('"')?.0;
    Some(
        value
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&"),
    )
}
