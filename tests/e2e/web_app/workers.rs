//! The app as four processes of one address and one store: whatever comes, comes to any of them.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use oubliette::{KeySource, TokenStore};
use oubliette_testkit::disk;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

use super::kill::process;
use crate::examples::web_app::Options;
use crate::examples::web_app::supervisor::Workers;
use crate::user_agent::{Browser, Page, attribute};

const WORKERS: u16 = 4;

/// The folder for a process that has workers.
const FOLDER: &str = "OUBLIETTE_WORKERS_FOLDER";

/// Not a test but a process that has workers until it is killed.
#[tokio::test]
async fn parent() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let app = start(folder.as_ref()).await;
    println!("\n{}", app.urls.app);
    std::future::pending::<()>().await;
}

async fn start(folder: &std::path::Path) -> Workers {
    let options = Options { workers: WORKERS, ..Options::new(folder) };
    Workers::start(options, || Ok(disk::again("web_app::kill::child"))).await.unwrap()
}

async fn sign_in(browser: &mut Browser, app: &Workers, who: &str) -> Page {
    let page = browser.open(&format!("{}/login?as=another", app.urls.app)).await;
    let page = browser.press(&page, "/sign-in", &[("as", who)]).await;
    assert_eq!(page.url.as_str(), format!("{}/", app.urls.app), "{}", page.text);
    page
}

/// Asks until so many processes have answered, which say that this user is signed in; or nobody, if
/// it is empty.
async fn each_says(
    processes: usize,
    browser: &mut Browser,
    app: &Workers,
    user: &str,
) -> BTreeSet<String> {
    let mut answered = BTreeSet::new();
    // The kernel chooses whom a connection comes to.
    for _ in 0..1000 {
        let page = browser.open(&app.urls.app).await;
        let me = page.text.split_once(r#"<p id="me""#).unwrap().1;
        let process = process(&page).0;
        assert_eq!(attribute(me, "data-user").unwrap(), user, "at {process}");
        answered.insert(process);
        if answered.len() == processes {
            return answered;
        }
    }
    panic!("no others than these have answered: {answered:?}");
}

#[tokio::test]
async fn who_is_signed_out_at_one_of_them_is_so_at_all() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let app = start(folder.path()).await;
    let (mut ada, mut joe, mut max) =
        (Browser::anywhere(), Browser::anywhere(), Browser::anywhere());
    sign_in(&mut ada, &app, "ada fabrikam").await;
    sign_in(&mut joe, &app, "joe contoso").await;
    sign_in(&mut max, &app, "max contoso").await;
    let all = usize::from(WORKERS);
    for (browser, user) in [(&mut ada, "ada"), (&mut joe, "joe"), (&mut max, "max")] {
        each_says(all, browser, &app, user).await;
    }

    // By the back channel; and here.
    app.provider.as_ref().unwrap().end_everywhere("ada").await;
    each_says(all, &mut ada, &app, "").await;
    let page = max.open(&app.urls.app).await;
    max.press(&page, "/sign-out", &[]).await;
    each_says(all, &mut max, &app, "").await;
    each_says(all, &mut joe, &app, "joe").await;
    let page = joe.open(&app.urls.app).await;
    let page = joe.press(&page, "/call-api", &[]).await;
    assert!(page.text.contains("Hello, Joe."), "{}", page.text);

    app.stop().await.unwrap();
    let store = TokenStore::builder(folder.path().join("tokens")).sqlite();
    let store = store.key(KeySource::file(folder.path().join("key"))).open().unwrap();
    let accounts = store.accounts(oubliette::Page::first(10)).unwrap().accounts;
    let names: Vec<_> = accounts.iter().filter_map(|account| account.id.subject()).collect();
    assert_eq!(names.iter().map(|subject| subject.sub()).collect::<Vec<_>>(), ["joe"]);
    store.close().unwrap();
}

/// The others go on, and it is not started again.
#[tokio::test]
async fn one_that_is_killed_takes_nobody_with_it() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut app = start(folder.path()).await;
    let mut ada = Browser::anywhere();
    let (killed, _) = process(&sign_in(&mut ada, &app, "ada fabrikam").await);
    app.kill(killed.parse().unwrap()).await.unwrap();
    let left = usize::from(WORKERS) - 1;
    let answered = each_says(left, &mut ada, &app, "ada").await;
    assert!(!answered.contains(&killed));
    app.provider.as_ref().unwrap().end_everywhere("ada").await;
    assert_eq!(each_says(left, &mut ada, &app, "").await, answered);
    app.stop().await.unwrap();
}

/// Also if that is killed, and can tell them nothing.
#[tokio::test]
async fn they_end_with_the_process_that_has_started_them() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut parent = Command::from(disk::again("web_app::workers::parent"));
    parent.env(FOLDER, folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut parent = parent.kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().unwrap().starts_with("http://") {}
    parent.kill().await.unwrap();
    // They write where it did, so this ends with the last of them.
    let (mut errors, mut said) = (parent.stderr.take().unwrap(), String::new());
    let over = tokio::time::timeout(Duration::from_secs(60), errors.read_to_string(&mut said));
    assert!(over.await.is_ok(), "a worker goes on: {said}");
}
