//! What `examples/web_app` has of its own, beside what the store promises: who may act, what browsers are told, what a login ends.

pub(crate) mod kill;
mod stories;
#[cfg(unix)]
mod workers;

use crate::examples::web_app::{Options, Outside, Running, Tenant, start};
use crate::user_agent::Browser;
use openidconnect::reqwest::{Client, Method, StatusCode};
use oubliette::logout::Algorithm;
use oubliette::{AccountId, Page, SignIn, TenantId};

struct Site {
    app: Running,
    _folder: tempfile::TempDir,
}

impl Site {
    async fn open() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self { app: start(Options::new(folder.path())).await.unwrap(), _folder: folder }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.app.urls.app)
    }

    /// Whom the store has, as user and tenant, by name.
    async fn holds(&self) -> Vec<String> {
        let accounts = self.app.store().await.accounts(Page::first(100)).await.unwrap().accounts;
        let sign_ins = accounts.iter().flat_map(|account| &account.sign_ins);
        let name = |live: &oubliette::AsyncSignIn| {
            format!("{} {}", live.account().subject().unwrap().sub(), live.tenant().as_str())
        };
        let mut names: Vec<_> = sign_ins.map(name).collect();
        names.sort();
        names
    }
}

async fn sign_in(browser: &mut Browser, site: &Site, who: &str) {
    let page = browser.open(&site.at("/login?as=another")).await;
    let page = browser.press(&page, "/sign-in", &[("as", who)]).await;
    assert_eq!(page.url.as_str(), site.at("/"), "{}", page.text);
}

#[tokio::test]
async fn only_its_own_pages_may_act() {
    let site = Site::open().await;
    let mut jane = Browser::new();
    sign_in(&mut jane, &site, "jane contoso").await;
    let own = site.app.urls.app.clone();
    let look_alike = format!("{own}.evil.example");
    let (store, tenant) = (site.app.store().await, "tenant=contoso".to_owned());
    for action in [
        "/call-api",
        "/slow-refresh",
        "/sign-out",
        "/sign-out-tenant",
        "/sign-out-everybody",
        "/restart",
        "/call-api-for",
        "/kill",
    ] {
        for origin in [None, Some("null"), Some(&*look_alike), Some(&*site.app.urls.provider)] {
            let body = Some(("application/x-www-form-urlencoded", tenant.clone()));
            let page =
                jane.send(Method::POST, site.at(action).parse().unwrap(), origin, body).await;
            assert_eq!(page.status, StatusCode::BAD_REQUEST, "{action} {origin:?}");
        }
        // Nor by a link.
        let page = jane.send(Method::GET, site.at(action).parse().unwrap(), Some(&own), None).await;
        assert!(page.status.is_client_error(), "{action}");
    }
    assert_eq!(site.holds().await, ["jane contoso"]);
    assert!(store.stats().await.is_ok(), "it was restarted");
    let page = jane.open(&site.at("/")).await;
    jane.press(&page, "/sign-out-everybody", &[]).await;
    assert!(site.holds().await.is_empty());
}

#[tokio::test]
async fn each_page_says_what_it_may() {
    let site = Site::open().await;
    let http = Client::new();
    for path in ["/", "/board", "/style.css", "/live.js", "/icon.svg", "/callback", "/nothing"] {
        let answer = http.get(site.at(path)).send().await.unwrap();
        let header =
            |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().unwrap());
        let policy = header("content-security-policy");
        for rule in [
            "default-src 'none'",
            "script-src 'self';",
            "style-src 'self';",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(
            policy.ends_with(&format!("form-action 'self' {}", site.app.urls.provider)),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe"));
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert!(!header("cache-control").is_empty(), "{path}");
    }
    let page = http.get(site.at("/")).send().await.unwrap();
    assert_eq!(page.headers()["cache-control"], "no-store");
    // The provider's page shows this one in a frame.
    let frame = http
        .get(site.at(&format!("/logout/front-channel?iss={}&sid=none", site.app.urls.provider)))
        .send()
        .await
        .unwrap();
    let policy = frame.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains(&format!("frame-ancestors {}", site.app.urls.provider)), "{policy}");
    assert!(frame.headers().get("x-frame-options").is_none());
}

#[tokio::test]
async fn a_login_takes_the_place_of_the_one_before() {
    let site = Site::open().await;
    let (mut shared, mut other) = (Browser::new(), Browser::new());
    sign_in(&mut shared, &site, "jane contoso").await;
    sign_in(&mut other, &site, "jane contoso").await;
    // In one browser of two, without signing out.
    sign_in(&mut shared, &site, "max fabrikam").await;
    assert_eq!(site.holds().await, ["jane contoso", "max fabrikam"]);
    // The guest is one account in two tenants; and the same user anew keeps one sign-in for the browser.
    sign_in(&mut other, &site, "max contoso").await;
    sign_in(&mut other, &site, "max contoso").await;
    assert_eq!(site.holds().await, ["max contoso", "max fabrikam"]);
    let page = other.open(&site.at("/")).await;
    assert!(page.text.contains(r#"data-user="max" data-tenant="contoso""#), "{}", page.text);
}

#[tokio::test]
async fn names_are_text() {
    let site = Site::open().await;
    let (account, tenant) = (r#"<script>alert("1")</script>"#, r#""><b>&'"#);
    let sign_in =
        SignIn::new(AccountId::new("x", account).unwrap(), TenantId::new(tenant).unwrap());
    site.app.store().await.sign_in(sign_in).await.unwrap();
    let page = Browser::new().open(&site.at("/")).await;
    assert!(!page.text.contains("<script>alert") && !page.text.contains("<b>"), "{}", page.text);
    assert!(
        page.text.contains(r#"data-account="&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;""#),
        "{}",
        page.text
    );
    assert!(page.text.contains(r#"data-tenant="&quot;&gt;&lt;b&gt;&amp;&#39;""#), "{}", page.text);
}

#[tokio::test]
async fn it_serves_while_the_provider_is_down() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let outside = Outside {
        // Nothing listens there.
        issuer: "http://localhost:9".into(),
        client_id: "web".into(),
        client_secret: "not a very secret secret".into(),
        tenant: Tenant::Issuer,
        scopes: "openid".into(),
        algorithms: vec![Algorithm::Rs256],
        without_expiry_for: None,
        skew: None,
        sid_is_sub: false,
        api: None,
        has_other_app: false,
        sign_out_page: None,
    };
    let app =
        start(Options { outside: Some(outside), ..Options::new(folder.path()) }).await.unwrap();
    let site = Site { app, _folder: folder };
    let mut browser = Browser::new();
    let page = browser.open(&site.at("/")).await;
    assert!(
        page.status.is_success()
            && page.text.contains(r#"id="sign-in""#)
            && !page.text.contains(r#"id="other-app""#)
    );
    let page = browser.open(&site.at("/login")).await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(
        page.text.contains("did not work") && !page.text.contains("localhost:9"),
        "{}",
        page.text
    );
    site.app.restart().await.unwrap();
    site.app.stop().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn the_key_is_the_owners_alone_and_stays() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::open().await;
    let file = site._folder.path().join("key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let key = std::fs::read(&file).unwrap();
    let Site { app, _folder: folder } = site;
    app.stop().await.unwrap();
    start(Options::new(folder.path())).await.unwrap().stop().await.unwrap();
    assert_eq!(std::fs::read(file).unwrap(), key);
}
