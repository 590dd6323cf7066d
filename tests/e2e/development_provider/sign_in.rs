//! Signing in: who is asked, who is not, and what is refused.

use openidconnect::reqwest::StatusCode;

use super::site::{ID, Site};
use crate::user_agent::Browser;

#[tokio::test]
async fn one_sign_in_is_for_all_apps() {
    let site = Site::open().await;
    let mut jane = Browser::new();
    jane.sign_in(&site, "jane contoso").await;
    assert_eq!(jane.calls_api(&site).await.as_deref(), Some(r#"{"greeting":"Hello, Jane."}"#));
    assert!(!jane.is_in_other_app(&site).await);
    let page = jane.open(&format!("{}/sign-in", site.other)).await;
    assert!(page.text.contains(r#"data-user="Jane""#), "{}", page.text);
    let sessions = site.provider.sessions();
    let apps = vec!["other-app".to_owned(), ID.to_owned()];
    assert_eq!(
        sessions
            .iter()
            .map(|(user, tenant, _, apps)| (user.as_str(), tenant.as_str(), apps))
            .collect::<Vec<_>>(),
        [("jane", "contoso", &apps)]
    );
    // Another browser is asked.
    assert!(
        Browser::new().open(&format!("{}/sign-in", site.other)).await.text.contains("Sign in as")
    );
}

#[tokio::test]
async fn everybody_can_be_chosen_in_each_of_their_tenants() {
    let site = Site::open().await;
    let page = Browser::new().open(&format!("{}/login", site.app)).await;
    for user in site.provider.users() {
        for tenant in user.tenants {
            let who = format!("{} {tenant}", user.id);
            assert!(page.text.contains(&format!(r#"value="{who}""#)));
            Browser::new().sign_in(&site, &who).await;
        }
    }
    // The guest is one account.
    assert_eq!(site.lives("max").await.len(), 2);
    assert_eq!(site.lives("jane").await.len(), 1);
}

#[tokio::test]
async fn a_user_can_be_hinted_at_and_another_chosen() {
    let site = Site::open().await;
    let mut browser = Browser::new();
    browser.sign_in(&site, "max contoso").await;
    let mut asked = site.authorize(&[]);
    let choices = |text: &str| text.matches(r#"name="as""#).count();
    for (more, count) in [
        ("&prompt=select_account", 5),
        ("&login_hint=max&tenant=fabrikam", 1),
        ("&login_hint=joe", 1),
        ("&prompt=login&login_hint=x", 5),
    ] {
        let page = browser.open(&format!("{asked}{more}")).await;
        assert_eq!((page.status, choices(&page.text)), (StatusCode::OK, count), "{more}");
    }
    // A user who has a session already is not asked; nor is any user, if none may be.
    asked.push_str("&login_hint=max&tenant=contoso");
    assert!(browser.open(&asked).await.url.as_str().contains("/callback?code="));
    let nobody = format!("{asked}&prompt=none");
    assert!(Browser::new().open(&nobody).await.url.as_str().contains("error=login_required"));
}

#[tokio::test]
async fn what_is_not_registered_is_not_redirected_to() {
    let site = Site::open().await;
    for (name, value) in [
        ("redirect_uri", "http://127.0.0.1:9/callback"),
        ("redirect_uri", ""),
        ("client_id", "another"),
    ] {
        let page = Browser::new().open(&site.authorize(&[(name, value)])).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{name}");
    }
    for (name, value) in [
        ("code_challenge", ""),
        ("code_challenge_method", "plain"),
        ("scope", "api.read"),
        ("response_type", "token"),
    ] {
        let url = site.authorize(&[(name, value)]);
        let url = if value.is_empty() { url.replace("code_challenge=&", "") } else { url };
        assert!(
            Browser::new().open(&url).await.url.as_str().contains("/callback?error="),
            "{name}"
        );
    }
}

/// Else another site could have its visitor be somebody else.
#[tokio::test]
async fn a_choice_counts_from_our_page_and_once() {
    let site = Site::open().await;
    let mut browser = Browser::new();
    let mut page = browser.open(&format!("{}/login", site.app)).await;
    let ours = page.url.clone();
    page.url = "http://127.0.0.1:9/".parse().unwrap();
    let to = ours.join("/sign-in").unwrap();
    page.text = page.text.replace("action=\"/sign-in\"", &format!("action=\"{to}\""));
    let refused = browser.press(&page, to.as_str(), &[("as", "joe contoso")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(site.provider.sessions().is_empty());
    page.url = ours;
    for (who, status) in
        [("jane contoso", StatusCode::OK), ("jane contoso", StatusCode::BAD_REQUEST)]
    {
        assert_eq!(browser.press(&page, to.as_str(), &[("as", who)]).await.status, status);
    }
    let page = browser.open(&site.authorize(&[]).replace("state", "prompt=login&state")).await;
    assert_eq!(
        browser.press(&page, "/sign-in", &[("as", "jane fabrikam")]).await.status,
        StatusCode::BAD_REQUEST
    );
}

/// As the app is to show, and all that it may lead to.
#[tokio::test]
async fn its_pages_may_frame_and_lead_to_its_apps_alone() {
    let site = Site::open().await;
    for path in ["/", "/end-session", "/authorize"] {
        let page = Browser::new().open(&site.at_provider(path)).await;
        assert!(page.policy.contains(&format!(
            "form-action 'self' {} {};",
            site.app.as_str().min(&site.other),
            site.app.as_str().max(&site.other)
        )));
        assert!(
            page.policy.contains("default-src 'none'")
                && page.policy.contains("frame-ancestors 'none'"),
            "{}",
            page.policy
        );
    }
}
