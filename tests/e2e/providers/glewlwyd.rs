//! Glewlwyd, from Debian: it tells by the front channel and by the back channel, without `exp`. Its pages are a script; the test does what that does.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use openidconnect::reqwest::{Method, StatusCode};
use openidconnect::url::Url;
use oubliette::logout::Algorithm;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::oidc_provider::free_ports;
use crate::examples::web_app::{Options, Outside, Running, Tenant, start};
use crate::oidc_provider::node::within;
use crate::user_agent::{Browser, Page};

const CLIENT: (&str, &str) = ("web", "a-secret-without-anything-to-decode");
const OTHER: (&str, &str) = ("other-app", "known-to-whoever-reads-this");
const PASSWORD: &str = "a password of everybody";

/// How the app is registered, to be told of sign-outs.
struct Channels {
    front: bool,
    back: bool,
    /// `..._session_required`.
    with_sid: bool,
}

/// The provider's process, with a database of its own.
struct Glewlwyd {
    url: String,
    _process: Child,
}

impl Glewlwyd {
    fn issuer(&self) -> String {
        format!("{}/api/oidc", self.url)
    }

    async fn start(folder: &Path, port: u16, app: &str, other: &str, channels: &Channels) -> Self {
        let made = std::env::var("GLEWLWYD").expect("start it with tests/e2e/providers/run");
        let read = |name: &str| std::fs::read_to_string(Path::new(&made).join(name)).unwrap();
        let (database, config) = (folder.join("glewlwyd.db"), folder.join("glewlwyd.conf"));
        std::fs::copy(Path::new(&made).join("begin.db"), &database).unwrap();
        // Another site than the app's, as everywhere but here.
        let url = format!("http://localhost:{port}");
        let modules: String = [
            ("user", "user"),
            ("client", "client"),
            ("user_auth_scheme", "scheme"),
            ("plugin", "plugin"),
        ]
        .map(|(name, folder)| format!("{name}_module_path = \"/usr/lib/glewlwyd/{folder}\"\n"))
        .concat();
        let text = format!(
            r#"port = {port}
bind_address = "127.0.0.1"
external_url = "{url}"
login_url = "login.html"
api_prefix = "api"
log_mode = "console"
log_level = "INFO"
cookie_secure = 0
cookie_same_site = "lax"
session_key = "GLEWLWYD2_SESSION_ID"
session_expiration = 2419200
admin_scope = "g_admin"
profile_scope = "g_profile"
login_api_enabled = true
admin_session_authentication = "cookie"
profile_session_authentication = "cookie"
hash_algorithm = "SHA512"
{modules}database = {{ type = "sqlite3"; path = "{}"; }};
"#,
            database.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("glewlwyd");
        command
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut said = Vec::new();
        while !said.last().is_some_and(|line: &String| line.contains("Glewlwyd started on port")) {
            let line = within("the provider", lines.next_line()).await.unwrap();
            said.push(line.unwrap_or_else(|| panic!("Glewlwyd has ended: {said:#?}")));
        }
        // It blocks once nobody reads what it says.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        // And it says so a little before it listens.
        let listens = async { while TcpStream::connect(("127.0.0.1", port)).await.is_err() {} };
        within("the provider", listens).await;
        let glewlwyd = Self { url, _process: process };
        glewlwyd.set_up(&read("key.pem"), &read("public.pem"), app, other, channels).await;
        glewlwyd
    }

    async fn set_up(&self, key: &str, public: &str, app: &str, other: &str, channels: &Channels) {
        let mut admin = Browser::new();
        self.call(
            &mut admin,
            Method::POST,
            "/auth/",
            json!({"username": "admin", "password": "password"}),
        )
        .await;
        let plugin = json!({
            "iss": self.issuer(), "jwt-type": "rsa", "jwt-key-size": "256", "key": key, "cert": public, "jwks-show": true,
            "code-duration": 600, "refresh-token-duration": 86400, "access-token-duration": 60, "refresh-token-one-use": "always",
            "auth-type-code-enabled": true, "auth-type-refresh-enabled": true, "auth-type-id-token-enabled": true,
            "pkce-allowed": true, "pkce-required": true, "subject-type": "public",
            "introspection-revocation-allowed": true, "introspection-revocation-allow-target-client": true,
            "session-management-allowed": true, "session-cookie-name": "GLEWLWYD2_OIDC_SID", "session-cookie-expiration": 86400,
            "front-channel-logout-allowed": true, "back-channel-logout-allowed": true,
        });
        let plugin = json!({"module": "oidc", "name": "oidc", "display_name": "oidc", "enabled": true, "parameters": plugin});
        self.call(&mut admin, Method::POST, "/mod/plugin/", plugin).await;
        for ((id, secret), url) in [(CLIENT, app), (OTHER, other)] {
            let mut client = json!({
                "client_id": id, "name": id, "client_secret": secret, "confidential": true, "enabled": true,
                "redirect_uri": [format!("{url}/callback")], "post_logout_redirect_uris": [format!("{url}/")],
                "authorization_type": ["code", "refresh_token"], "token_endpoint_auth_method": ["client_secret_basic"],
            });
            for (channel, is_on) in [("front", channels.front), ("back", channels.back)] {
                if is_on && id == CLIENT.0 {
                    client[format!("{channel}channel_logout_uri")] =
                        format!("{url}/logout/{channel}-channel").into();
                    client[format!("{channel}channel_logout_session_required")] =
                        channels.with_sid.to_string().into();
                }
            }
            self.call(&mut admin, Method::POST, "/client/", client).await;
        }
        for user in ["jane", "joe"] {
            let user = json!({"username": user, "name": user, "password": PASSWORD, "scope": ["openid"], "enabled": true});
            self.call(&mut admin, Method::POST, "/user/", user).await;
        }
    }

    /// A call of its API, as its own pages make it.
    async fn call(&self, browser: &mut Browser, method: Method, path: &str, body: Value) -> Value {
        let url = Url::parse(&format!("{}/api{path}", self.url)).unwrap();
        let body = (!body.is_null()).then(|| ("application/json", body.to_string()));
        let page = browser.send(method, url, Some(&self.url), body).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
        serde_json::from_str(&page.text).unwrap_or_default()
    }

    /// What its login page does, which an app has sent the user to.
    async fn agree(&self, browser: &mut Browser, page: Page, user: &str) -> Page {
        assert_eq!(page.url.path(), "/login.html", "{}: {}", page.url, page.text);
        let asked = |name: &str| {
            page.url.query_pairs().find(|(asked, _)| asked == name).unwrap().1.into_owned()
        };
        self.call(browser, Method::POST, "/auth/", json!({"username": user, "password": PASSWORD}))
            .await;
        let grant = format!("/auth/grant/{}", asked("client_id"));
        self.call(browser, Method::PUT, &grant, json!({"scope": asked("scope")})).await;
        browser.open(&format!("{}&g_continue", asked("callback_url"))).await
    }

    async fn sign_in(&self, browser: &mut Browser, app: &Running, user: &str) {
        let page = browser.open(&format!("{}/login", app.urls.app)).await;
        let page = self.agree(browser, page, user).await;
        assert_eq!(page.url.as_str(), format!("{}/", app.urls.app), "{}", page.text);
    }

    /// What its page for signing out does, once the user says yes: first the frames, then the rest.
    async fn confirm(&self, browser: &mut Browser, page: Page) -> Page {
        let asked = |name: &str| {
            page.url.query_pairs().find(|(asked, _)| asked == name).unwrap().1.into_owned()
        };
        assert_eq!(asked("prompt"), "end_session");
        let (sid, client) = (asked("sid"), asked("client_id"));
        let listed = self
            .call(browser, Method::GET, &format!("/oidc/session/{sid}/{client}"), Value::Null)
            .await;
        for client in listed["client"].as_array().unwrap() {
            // As its page writes it: `iss` without percent signs.
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let mut frame = format!(
                "{}?iss={}",
                text(&client["frontchannel_logout_uri"]),
                text(&listed["iss"])
            );
            let names_session = client["frontchannel_logout_session_required"] == true;
            if names_session {
                frame += &format!("&sid={}", text(&listed["sid"]));
            }
            assert_eq!(browser.fetch_frame(&page.url, &frame).await, names_session);
        }
        self.call(browser, Method::DELETE, &format!("/oidc/session/{sid}"), Value::Null).await;
        self.call(browser, Method::DELETE, "/auth/", Value::Null).await;
        browser.open(&asked("callback_url")).await
    }
}

async fn open(folder: &Path, channels: Channels) -> (Glewlwyd, Running) {
    let [app_port, other_port, port] = free_ports();
    let [app, other] = [app_port, other_port].map(|port| format!("http://127.0.0.1:{port}"));
    let glewlwyd = Glewlwyd::start(folder, port, &app, &other, &channels).await;
    let outside = Outside {
        issuer: glewlwyd.issuer(),
        client_id: CLIENT.0.into(),
        client_secret: CLIENT.1.into(),
        tenant: Tenant::Issuer,
        scopes: "openid".into(),
        algorithms: vec![Algorithm::Rs256],
        without_expiry_for: Some(Duration::from_secs(120)),
        skew: None,
        sid_is_sub: false,
        api: None,
        has_other_app: true,
        sign_out_page: None,
    };
    let options = Options {
        ports: [app_port, 0, other_port, 0],
        outside: Some(outside),
        ..Options::new(folder)
    };
    (glewlwyd, start(options).await.unwrap())
}

async fn comes(browser: &mut Browser, app: &Running, signal: &str) {
    while !browser.sees_signals(app).await.iter().any(|one| one == signal) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
#[ignore = "needs Glewlwyd: tests/e2e/providers/run"]
async fn the_page_shows_what_the_store_holds_however_it_is_told() {
    for (front, back, signal) in [(true, false, "front-channel"), (false, true, "back-channel")] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (glewlwyd, app) = open(folder.path(), Channels { front, back, with_sid: true }).await;
        let (mut laptop, mut phone, mut joe) = (Browser::new(), Browser::new(), Browser::new());
        for (browser, user) in [(&mut laptop, "jane"), (&mut phone, "jane"), (&mut joe, "joe")] {
            glewlwyd.sign_in(browser, &app, user).await;
            assert!(browser.presses_call_api(&app).await.contains("Hello, "));
        }
        let whose = joe.sees_the_store(&app).await;
        assert_eq!(whose.len(), 3);
        let mine = joe.is(&app).await;
        let page = laptop.open(&format!("{}/sign-in", app.urls.other)).await;
        glewlwyd.agree(&mut laptop, page, "jane").await;
        app.restart().await.unwrap();

        // In the other app.
        let page = laptop.open(&format!("{}/", app.urls.other)).await;
        let page = laptop.press(&page, "/sign-out", &[]).await;
        glewlwyd.confirm(&mut laptop, page).await;
        // It tells by the back channel while the user goes on already.
        within("the signal", comes(&mut joe, &app, signal)).await;
        assert_eq!(joe.sees_the_store(&app).await, [mine]);
        assert_eq!(joe.sees_signals(&app).await, [signal]);
        assert!(laptop.is(&app).await.is_empty() && phone.is(&app).await.is_empty());

        // Here.
        let page = joe.board(&app).await;
        let page = joe.press(&page, "/sign-out", &[]).await;
        assert!(joe.sees_the_store(&app).await.is_empty() && joe.is(&app).await.is_empty());
        let page = glewlwyd.confirm(&mut joe, page).await;
        assert!(page.url.as_str().starts_with(&app.urls.app), "{}", page.url);
        app.restart().await.unwrap();
        assert!(joe.sees_the_store(&app).await.is_empty());

        // And the user signs in again.
        glewlwyd.sign_in(&mut laptop, &app, "jane").await;
        assert_eq!(laptop.sees_the_store(&app).await.len(), 1);
        app.stop().await.unwrap();
    }
}

/// A client that is registered without `..._session_required`: the back channel names the user alone, the front channel nobody.
#[tokio::test]
#[ignore = "needs Glewlwyd: tests/e2e/providers/run"]
async fn without_a_sid_the_back_channel_ends_the_user_and_the_front_channel_nobody() {
    for (front, back) in [(false, true), (true, false)] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (glewlwyd, app) = open(folder.path(), Channels { front, back, with_sid: false }).await;
        let (mut jane, mut joe) = (Browser::new(), Browser::new());
        glewlwyd.sign_in(&mut jane, &app, "jane").await;
        glewlwyd.sign_in(&mut joe, &app, "joe").await;
        let page = jane.open(&format!("{}/sign-in", app.urls.other)).await;
        glewlwyd.agree(&mut jane, page, "jane").await;
        let page = jane.open(&format!("{}/", app.urls.other)).await;
        let page = jane.press(&page, "/sign-out", &[]).await;
        glewlwyd.confirm(&mut jane, page).await;
        if back {
            within("the signal", comes(&mut joe, &app, "back-channel")).await;
        }
        assert_eq!(jane.is(&app).await.is_empty(), back);
        assert!(!joe.is(&app).await.is_empty());
        assert_eq!(joe.sees_the_store(&app).await.len(), if back { 1 } else { 2 });
        app.stop().await.unwrap();
    }
}
