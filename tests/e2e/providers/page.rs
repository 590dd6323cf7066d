//! A user at `examples/web_app`, whatever provider it has: what they press there, and what the page
//! shows them.

use std::collections::BTreeSet;

use openidconnect::reqwest::StatusCode;
use oubliette::Page as Component;

use crate::examples::web_app::Running;
use crate::user_agent::{Browser, Page, attribute};

impl Browser {
    /// The app's page.
    pub(crate) async fn board(&mut self, app: &Running) -> Page {
        let page = self.open(&format!("{}/", app.urls.app)).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        page
    }

    /// Who is signed in to the app with this browser; nobody is "".
    pub(crate) async fn is(&mut self, app: &Running) -> String {
        user_of(&self.board(app).await)
    }

    /// Who is signed in to the other app.
    pub(crate) async fn who_is_in_other_app(&mut self, app: &Running) -> String {
        user_of(&self.open(&format!("{}/", app.urls.other)).await)
    }

    /// What the API says to the app, which asks with the user's token.
    pub(crate) async fn presses_call_api(&mut self, app: &Running) -> String {
        let page = self.board(app).await;
        let page = self.press(&page, "/call-api", &[]).await;
        let answer = page.text.split_once(r#"id="api-answer">"#).unwrap().1;
        answer.split_once("</output>").unwrap().0.replace("&quot;", "\"")
    }

    /// What the page holds is what the store holds; whose sign-ins those are, one each.
    pub(crate) async fn sees_the_store(&mut self, app: &Running) -> Vec<String> {
        let shown: BTreeSet<_> = tags(&self.board(app).await, "data-sign-in").into_iter().collect();
        let (mut held, mut whose) = (BTreeSet::new(), Vec::new());
        for account in app.store().await.accounts(Component::first(100)).await.unwrap().accounts {
            for live in account.sign_ins {
                held.insert(live.id().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
                whose.push(live.account().subject().unwrap().sub().to_owned());
            }
        }
        assert_eq!(shown, held);
        whose.sort();
        whose
    }

    /// The signals that came, the latest first.
    pub(crate) async fn sees_signals(&mut self, app: &Running) -> Vec<String> {
        tags(&self.board(app).await, "data-signal")
    }
}

fn user_of(page: &Page) -> String {
    let me = page
        .text
        .split(r#"<p id="me""#)
        .nth(1)
        .unwrap_or_else(|| panic!("{}: {}", page.url, page.text));
    attribute(me, "data-user").unwrap()
}

/// The values that an attribute has in the page.
fn tags(page: &Page, name: &str) -> Vec<String> {
    page.text.split('<').filter_map(|tag| attribute(tag, name)).collect()
}
