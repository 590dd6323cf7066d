//! The app in a process of its own, killed from its page: what was signed out stays so, and in the
//! ordinary cache comes back.

use std::path::Path;
use std::time::Duration;

use openidconnect::reqwest::{Method, StatusCode};
use oubliette::{KeySource, TokenStore};
#[cfg(unix)]
use oubliette_control::{Answer, Client, Request, Whom};

use super::stories::until;
use crate::examples::web_app::Options;
use crate::examples::web_app::supervisor::{self, Kill, Supervised};
use crate::user_agent::{Browser, Page, attribute};
use oubliette_testkit::disk;

/// Not a test but what the child does.
#[test]
fn child() {
    if supervisor::is_child() {
        tokio::runtime::Runtime::new().unwrap().block_on(supervisor::serve()).unwrap();
    }
}

/// The demonstration with its store in this folder. The ordinary cache's file is written once.
pub(crate) async fn supervised(folder: &Path) -> Supervised {
    let options = Options { write_every: Duration::from_secs(3600), ..Options::new(folder) };
    Supervised::start(options, || Ok(disk::again("web_app::kill::child"))).await.unwrap()
}

/// Waits until the ordinary cache's file has this user.
pub(crate) async fn is_in_file(folder: &Path, user: &str) {
    let file = folder.join("ordinary-cache.json");
    until(async || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if text.contains(&format!("\"{user}\"")) { Ok(()) } else { Err(text) }
    })
    .await;
}

async fn sign_in(browser: &mut Browser, app: &Supervised, who: &str) -> Page {
    let page = browser.open(&format!("{}/login?as=another", app.urls.app)).await;
    let page = browser.press(&page, "/sign-in", &[("as", who)]).await;
    assert_eq!(page.url.as_str(), format!("{}/", app.urls.app), "{}", page.text);
    page
}

/// The number of the process that serves, and how many have died before it.
pub(super) fn process(page: &Page) -> (String, String) {
    let tag = page.text.split_once(r#"<p id="process""#).unwrap().1;
    (attribute(tag, "data-process").unwrap(), attribute(tag, "data-deaths").unwrap())
}

#[tokio::test]
async fn who_has_signed_out_is_back_after_a_kill_in_the_ordinary_cache_alone() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut app = supervised(folder.path()).await;
    let home = format!("{}/", app.urls.app);
    let (mut ada, mut joe) = (Browser::new(), Browser::new());
    let page = sign_in(&mut ada, &app, "ada fabrikam").await;
    is_in_file(folder.path(), "ada").await;
    sign_in(&mut joe, &app, "joe contoso").await;
    ada.press(&page, "/sign-out", &[]).await;
    let page = ada.open(&home).await;
    assert_eq!(page.sides("ada fabrikam"), ["signed-out", "signed-out"]);
    let before = process(&page);
    assert_eq!(before.1, "0");

    let page = ada.press(&page, "/kill", &[]).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    app.serves_after(1).await.unwrap();
    let page = ada.open(&home).await;
    let after = process(&page);
    assert_ne!(before.0, after.0);
    assert_eq!(after.1, "1");
    assert!(page.text.contains(r#"data-step="3" data-done"#), "{}", page.text);
    assert_eq!(page.sides("ada fabrikam"), ["signed-out", "back"]);
    // And who has not signed out is still signed in, where the file did not know them yet.
    assert_eq!(page.sides("joe contoso"), ["signed-in", "lost"]);
    assert!(joe.open(&home).await.text.contains(r#"data-user="joe""#));

    // The provider was not killed, so the API accepts the user's token.
    let page = ada.press(&page, "/call-api-for", &[]).await;
    assert!(page.text.contains("Hello, Ada."), "{}", page.text);
    app.stop().await.unwrap();

    let store = TokenStore::builder(folder.path().join("tokens"));
    let store = store.key(KeySource::file(folder.path().join("key"))).open().unwrap();
    let accounts = store.accounts(oubliette::Page::first(10)).unwrap().accounts;
    let names: Vec<_> = accounts.iter().filter_map(|account| account.id.subject()).collect();
    assert_eq!(names.iter().map(|subject| subject.sub()).collect::<Vec<_>>(), ["joe"]);
    store.close().unwrap();
}

#[tokio::test]
async fn only_the_page_of_this_process_may_kill_it() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let app = supervised(folder.path()).await;
    let (own, kill) = (app.urls.app.clone(), format!("{}/kill", app.urls.app));
    let mut browser = Browser::new();
    let page = browser.open(&own).await;
    let before = process(&page);
    let form = page.text.split_once(r#"name="token""#).unwrap().1;
    let token = format!("token={}", attribute(form, "value").unwrap());
    let form = "application/x-www-form-urlencoded";
    for (origin, body) in [
        (Some(&*own), "token=".to_owned()),
        (Some(&*own), format!("{token}0")),
        (Some(&*app.urls.provider), token.clone()),
        (None, token.clone()),
    ] {
        let body = Some((form, body));
        let page = browser.send(Method::POST, kill.parse().unwrap(), origin, body).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{origin:?}");
    }
    let page = browser.send(Method::POST, kill.parse().unwrap(), Some(&own), None).await;
    assert!(page.status.is_client_error());
    let page = browser.send(Method::GET, kill.parse().unwrap(), Some(&own), None).await;
    assert!(page.status.is_client_error());
    assert_eq!(process(&browser.open(&own).await), before);
    app.stop().await.unwrap();
}

#[test]
fn only_this_machine_may_kill() {
    let kill = Kill::new(0).unwrap();
    assert_ne!(kill.token(), Kill::new(0).unwrap().token());
    for (peer, may) in [
        ("127.0.0.1:80", true),
        ("[::1]:80", true),
        ("192.168.0.1:80", false),
        ("[::ffff:10.0.0.1]:80", false),
    ] {
        assert_eq!(kill.may(peer.parse().unwrap(), kill.token()), may, "{peer}");
    }
    assert!(!kill.may("127.0.0.1:80".parse().unwrap(), ""));
}

/// Killed by somebody else, it is started again too; and a page that waits gets its answer.
#[cfg(unix)]
#[tokio::test]
async fn a_kill_from_outside_is_survived() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut app = supervised(folder.path()).await;
    let mut browser = Browser::new();
    let (number, _) = process(&sign_in(&mut browser, &app, "max contoso").await);
    let kill = format!("kill -9 {number}");
    assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    app.serves_after(1).await.unwrap();
    let page = browser.open(&app.urls.app).await;
    assert_eq!(process(&page).1, "1");
    assert_eq!(page.sides("max contoso")[0], "signed-in");
    // Its operator is served by the new process, whose socket is in the place of the killed one's.
    #[cfg(unix)]
    {
        let everybody = Request::sign_out(Whom::Everybody {});
        let client = Client::connect(folder.path().join("tokens")).unwrap().unwrap();
        let told = &mut |_| std::ops::ControlFlow::Continue(());
        let answer = client.ask(&everybody, told).unwrap();
        assert!(matches!(answer, Answer::SignOut { ended: Some((1, 1)), .. }), "{answer:?}");
        let page = browser.open(&app.urls.app).await;
        assert_ne!(page.sides("max contoso")[0], "signed-in");
    }
    app.stop().await.unwrap();
    assert!(!folder.path().join("tokens/control").exists());
}
