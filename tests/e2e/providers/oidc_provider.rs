//! The certified `oidc-provider`: it tells by the back channel.

use std::net::TcpListener;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

use oubliette::logout::Algorithm;

use crate::examples::web_app::{Options, Outside, Running, Tenant, start};
use crate::oidc_provider::node::Node;
use crate::user_agent::{Browser, Page};

/// Signs in to an app that has sent the user to the provider, as this user if the provider asks.
async fn agree(browser: &mut Browser, mut page: Page, user: &str) -> Page {
    while page.url.path().starts_with("/interaction/") {
        let entered = [("login", user), ("password", "any")];
        let entered = if page.text.contains(r#"name="login""#) { &entered[..] } else { &[] };
        page = browser.press(&page, "/interaction/", entered).await;
    }
    page
}

async fn sign_in(browser: &mut Browser, app: &Running, user: &str) {
    let page = browser.open(&format!("{}/login", app.urls.app)).await;
    let page = agree(browser, page, user).await;
    assert_eq!(page.url.as_str(), format!("{}/", app.urls.app), "{}", page.text);
}

/// Ports outside of those that the system gives to others meanwhile.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    static NEXT: LazyLock<AtomicU16> =
        LazyLock::new(|| (10_000 + (std::process::id() % 20_000) as u16).into());
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::array::from_fn(|_| {
        std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed)).find(is_free).unwrap()
    })
}

#[tokio::test]
#[ignore = "needs Node: tests/e2e/providers/run"]
async fn the_page_shows_what_the_store_holds_however_she_signs_out() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let ports = free_ports();
    let [app_url, other] = ports.map(|port| format!("http://127.0.0.1:{port}"));
    let state = folder.path().join("provider.json");
    let mut node = Node::start(&app_url, &other, &state, serde_json::json!({})).await;
    let outside = Outside {
        issuer: node.issuer.clone(),
        client_id: "web".into(),
        client_secret: "not a very secret secret".into(),
        tenant: Tenant::Issuer,
        scopes: "openid offline_access api.read".into(),
        algorithms: vec![Algorithm::Rs256],
        without_expiry_for: None,
        skew: None,
        sid_is_sub: false,
        api: None,
        has_other_app: true,
        sign_out_page: Some(format!("{}/session/end", node.issuer)),
    };
    let [app_port, other_port] = ports;
    let options = Options {
        ports: [app_port, 0, other_port, 0],
        outside: Some(outside),
        ..Options::new(folder.path())
    };
    let app = start(options).await.unwrap();

    let (mut laptop, mut phone, mut joe) = (Browser::new(), Browser::new(), Browser::new());
    assert_eq!(laptop.is(&app).await, "");
    for (browser, user) in [(&mut laptop, "jane"), (&mut phone, "jane"), (&mut joe, "joe")] {
        sign_in(browser, &app, user).await;
        assert_eq!(browser.is(&app).await, user);
        assert!(browser.presses_call_api(&app).await.contains(&format!("Hello, {user}.")));
    }
    assert_eq!(joe.sees_the_store(&app).await, ["jane", "jane", "joe"]);
    let page = laptop.open(&format!("{}/sign-in", app.urls.other)).await;
    agree(&mut laptop, page, "nobody").await;
    assert_eq!(laptop.who_is_in_other_app(&app).await, "jane");

    app.restart().await.unwrap();
    assert_eq!(joe.sees_the_store(&app).await, ["jane", "jane", "joe"]);

    // In the other app.
    let page = laptop.open(&format!("{}/", app.urls.other)).await;
    let page = laptop.press(&page, "/sign-out", &[]).await;
    let page = laptop.press(&page, "/session/end", &[("logout", "yes")]).await;
    assert_eq!(page.url.as_str().split('?').next(), Some(format!("{other}/").as_str()));
    let mut told = [node.notified().await, node.notified().await];
    told.sort();
    assert_eq!(told, [("other-app".to_owned(), None), ("web".to_owned(), None)]);
    for mut browser in [laptop.clone(), phone.clone()] {
        assert_eq!(browser.is(&app).await, "");
    }
    assert_eq!(laptop.who_is_in_other_app(&app).await, "");
    assert_eq!(
        (joe.sees_the_store(&app).await, joe.sees_signals(&app).await),
        (vec!["joe".into()], vec!["back-channel".into()])
    );

    // At the provider.
    sign_in(&mut phone, &app, "jane").await;
    let page = phone.open(&app.urls.everywhere).await;
    phone.press(&page, "/session/end", &[("logout", "yes")]).await;
    assert_eq!(node.notified().await, ("web".into(), None));
    assert_eq!(
        (phone.is(&app).await, joe.sees_the_store(&app).await),
        (String::new(), vec!["joe".into()])
    );

    // The user is signed out here before they have answered what the provider asks.
    let page = joe.board(&app).await;
    let page = joe.press(&page, "/sign-out", &[]).await;
    assert!(page.url.as_str().starts_with(&node.issuer), "{}", page.url);
    assert!(joe.sees_the_store(&app).await.is_empty() && joe.is(&app).await.is_empty());
    let page = joe.press(&page, "/session/end", &[("logout", "yes")]).await;
    assert!(page.url.as_str().starts_with(&app_url), "{}", page.url);
    assert_eq!(node.notified().await, ("web".into(), None));
    let signals = joe.sees_signals(&app).await;
    assert_eq!(signals.iter().filter(|signal| *signal == "here").count(), 1, "{signals:?}");

    app.restart().await.unwrap();
    assert!(joe.sees_the_store(&app).await.is_empty());
    app.stop().await.unwrap();
}
