//! Signing out: here, in another app, at the provider; and how apps are told.

use openidconnect::reqwest::StatusCode;

use super::site::Site;
use crate::examples::web_app::provider::Tell;
use crate::user_agent::Browser;

const CHANNELS: [Tell; 3] = [Tell::BackChannel, Tell::FrontChannel, Tell::Both];

#[tokio::test]
async fn signing_out_of_one_app_is_told_to_the_other() {
    let site = Site::open().await;
    for by in CHANNELS {
        site.provider.tell(by);
        // From the app, and from the other one.
        for (from, action) in [(&site.app, "/logout"), (&site.other, "/sign-out")] {
            let mut jane = Browser::new();
            jane.sign_in(&site, "jane contoso").await;
            jane.open(&format!("{}/sign-in", site.other)).await;
            assert!(jane.is_in_other_app(&site).await);
            let (page, before) = (jane.open(&format!("{from}/")).await, site.provider.counts());
            let page = jane.press(&page, action, &[]).await;
            assert!(
                !jane.is_signed_in(&site).await && !jane.is_in_other_app(&site).await,
                "{by:?} {action}"
            );
            assert!(site.lives("jane").await.is_empty() && jane.calls_api(&site).await.is_none());
            assert!(site.provider.sessions().is_empty());
            // Frames are a page of their own, with a way on; otherwise the user is back at once.
            let on = format!(r#"<a id="continue" href="{from}/"#);
            match by {
                Tell::BackChannel => assert_eq!(
                    page.url.as_str().split('?').next(),
                    Some(format!("{from}/").as_str())
                ),
                _ => assert!(
                    page.url.path() == "/end-session" && page.text.contains(&on),
                    "{}",
                    page.text
                ),
            }
            let (after, posts) =
                (site.provider.counts(), if by == Tell::FrontChannel { 0 } else { 2 });
            assert_eq!((after.told - before.told, after.not_told), (posts, 0));
            assert_eq!(
                page.text.matches("<iframe ").count(),
                if by == Tell::BackChannel { 0 } else { 2 }
            );
        }
    }
}

#[tokio::test]
async fn signing_out_at_the_provider_here_and_everywhere() {
    let site = Site::open().await;
    for by in CHANNELS {
        for (action, with, left) in
            [("/end-session/answer", [("answer", "yes")], 1), ("/end-everywhere", [("", "")], 0)]
        {
            site.provider.tell(by);
            let (mut laptop, mut phone, mut joe) = (Browser::new(), Browser::new(), Browser::new());
            for (browser, who) in [
                (&mut laptop, "jane contoso"),
                (&mut phone, "jane contoso"),
                (&mut joe, "joe contoso"),
            ] {
                browser.sign_in(&site, who).await;
            }
            let page = laptop.open(&site.at_provider("/")).await;
            assert!(page.text.contains("You have 1 more of them"));
            let page = laptop.press(&page, action, &with).await;
            assert!(
                page.text.contains("You are signed out")
                    && page.text.contains(r#"data-client="web-app""#),
                "{}",
                page.text
            );
            let jane = |(user, ..): &(String, String, String, Vec<String>)| user == "jane";
            assert_eq!(
                site.provider.sessions().iter().filter(|session| jane(session)).count(),
                left
            );
            // The app's own policy takes the account in both cases.
            assert!(!laptop.is_signed_in(&site).await && !phone.is_signed_in(&site).await);
            assert!(joe.is_signed_in(&site).await);
            site.provider.end_everywhere("jane").await;
            site.provider.end_everywhere("joe").await;
            assert_eq!(
                joe.is_signed_in(&site).await,
                by == Tell::FrontChannel,
                "a server has no frames"
            );
        }
    }
}

#[tokio::test]
async fn the_switch_says_by_which_channels() {
    let site = Site::open().await;
    let mut jane = Browser::new();
    for (value, back, front) in [("back", 1, 0), ("front", 0, 1), ("both", 1, 1)] {
        let page = jane.open(&site.at_provider("/")).await;
        jane.press(&page, "/tell", &[("tell", value)]).await;
        let page = jane.open(&site.at_provider("/")).await;
        assert!(page.text.contains(&format!(r#"value="{value}" checked"#)));
        jane.sign_in(&site, "jane contoso").await;
        let page = jane.open(&site.at_provider("/")).await;
        let page = jane.press(&page, "/end-session/answer", &[("answer", "yes")]).await;
        let count =
            |channel: &str| page.text.matches(&format!(r#"data-channel="{channel}""#)).count();
        assert_eq!((count("back"), count("front")), (back, front), "{value}");
        assert_eq!(page.text.contains(r#"data-status="200""#), back == 1);
    }
}

/// RP-Initiated Logout 1.0 §2: who does not show the session's ID token may not decide; and nobody is sent to where no app is registered.
#[tokio::test]
async fn who_shows_no_id_token_of_the_session_is_asked_about() {
    let site = Site::open().await;
    let (mut jane, mut joe) = (Browser::new(), Browser::new());
    jane.sign_in(&site, "jane contoso").await;
    joe.sign_in(&site, "joe contoso").await;
    let client = oubliette::ClientId::new(super::site::ID).unwrap();
    let token = site.lives("joe").await[0].id_token(&client).await.unwrap().unwrap();
    let joes = token.secret.expose();
    let back = format!("client_id=web-app&post_logout_redirect_uri={}/&state=x", site.app);
    let end = |query: &str| site.at_provider(&format!("/end-session?{query}"));
    for query in [
        "".to_owned(),
        back.clone(),
        format!("id_token_hint={joes}&{back}"),
        format!("id_token_hint=ey.ey.ey&{back}"),
    ] {
        let page = jane.open(&end(&query)).await;
        assert!(page.status == StatusCode::OK && page.text.contains("Sign out?"), "{query}");
        let page = jane.press(&page, "/end-session/answer", &[("answer", "no")]).await;
        assert_eq!(page.url.as_str().starts_with(&site.app), query.contains("state"), "{query}");
        assert!(jane.is_signed_in(&site).await);
    }
    let evil = "client_id=web-app&post_logout_redirect_uri=http://127.0.0.1:9/";
    site.provider.tell(Tell::BackChannel);
    let page = jane.open(&end(evil)).await;
    let page = jane.press(&page, "/end-session/answer", &[("answer", "yes")]).await;
    assert!(
        page.text.contains("You are signed out") && !page.text.contains("127.0.0.1:9/"),
        "{}",
        page.text
    );
    assert!(!jane.is_signed_in(&site).await && joe.is_signed_in(&site).await);
    // And nobody signs out by another site's form.
    let mut page = joe.open(&site.at_provider("/")).await;
    page.url = "http://127.0.0.1:9/".parse().unwrap();
    for action in ["/end-session/answer", "/end-everywhere", "/tell"] {
        let to = site.at_provider(action);
        page.text = format!(r#"<form action="{to}"></form>"#);
        assert_eq!(joe.press(&page, &to, &[("answer", "yes")]).await.status, StatusCode::FORBIDDEN);
    }
    assert!(joe.is_signed_in(&site).await);
    assert_eq!(site.provider.sessions().len(), 1);
}

/// What an app answers is shown; one that does not answer holds nobody up.
#[tokio::test]
async fn an_app_that_refuses_is_shown() {
    let site = Site::open().await;
    site.provider.tell(Tell::BackChannel);
    let mut jane = Browser::new();
    jane.sign_in(&site, "jane contoso").await;
    site.store.clone().close().await.unwrap();
    let page = jane.open(&site.at_provider("/")).await;
    let page = jane.press(&page, "/end-session/answer", &[("answer", "yes")]).await;
    assert!(page.text.contains(r#"data-status="400""#), "{}", page.text);
    assert_eq!(site.provider.counts().not_told, 1);
}
