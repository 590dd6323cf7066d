//! A realm of one test, with the app and the other app registered in it: what users do at
//! Keycloak's pages, and what its administrator does.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use openidconnect::reqwest::{Client, Method};
use openidconnect::url::{Url, form_urlencoded};
use oubliette::logout::Algorithm;
use oubliette::{AccountId, AsyncSignIn, ClientId, Subject};
use serde_json::{Value, json};

use super::super::oidc_provider::free_ports;
use crate::examples::web_app::{Options, Outside, Running, Tenant, start};
use crate::user_agent::{Browser, Page};

/// The realm of each test: users, their passwords, and how both apps are registered. `{app}` and
/// `{other}` are where those are.
const REALM: &str = include_str!("realm.json");
const SECRET: &str = "a-secret-without-anything-to-decode";
const PASSWORD: &str = "a password of everybody";

/// What differs between tests.
pub(super) struct Kind {
    /// What the app asks for.
    pub(super) scopes: &'static str,
    pub(super) skew: Option<Duration>,
    /// Changes the app's registration.
    pub(super) client: fn(&mut Value),
}

impl Default for Kind {
    fn default() -> Self {
        Self { scopes: "openid", skew: None, client: |_| {} }
    }
}

pub(super) struct Site {
    pub(super) app: Running,
    pub(super) issuer: String,
    keycloak: String,
    realm: String,
    _folder: tempfile::TempDir,
}

impl Site {
    pub(super) async fn open(kind: Kind) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let keycloak = std::env::var("KEYCLOAK").expect("start it with keycloak/run");
        let realm = format!("realm-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let [app_port, other_port] = free_ports();
        let [app, other] = [app_port, other_port].map(|port| format!("http://127.0.0.1:{port}"));

        let text = REALM.replace("{app}", &app).replace("{other}", &other);
        let mut told: Value = serde_json::from_str(&text).unwrap();
        told["realm"] = realm.clone().into();
        for user in told["users"].as_array_mut().unwrap() {
            // It becomes the `sub`; Keycloak has one table of users for all realms.
            user["id"] = format!("{realm}-{}", user["username"].as_str().unwrap()).into();
        }
        (kind.client)(&mut told["clients"][0]);
        request(&keycloak, Method::POST, "/admin/realms", Some(told)).await;

        let issuer = format!("{keycloak}/realms/{realm}");
        let outside = Outside {
            issuer: issuer.clone(),
            client_id: "web".into(),
            client_secret: SECRET.into(),
            tenant: Tenant::Realm,
            scopes: kind.scopes.into(),
            algorithms: vec![Algorithm::Rs256],
            without_expiry_for: None,
            skew: kind.skew,
            sid_is_sub: false,
            api: None,
            has_other_app: true,
            sign_out_page: Some(format!("{issuer}/protocol/openid-connect/logout")),
        };
        let options = Options {
            ports: [app_port, 0, other_port, 0],
            outside: Some(outside),
            ..Options::new(folder.path())
        };
        let app = start(options).await.unwrap();
        Self { app, issuer, keycloak, realm, _folder: folder }
    }

    pub(super) fn sub(&self, user: &str) -> String {
        format!("{}-{user}", self.realm)
    }

    /// The user's sign-ins that are live.
    pub(super) async fn lives(&self, user: &str) -> Vec<AsyncSignIn> {
        let subject = Subject::new(&self.issuer, self.sub(user)).unwrap();
        self.app.store().await.account(&AccountId::of_subject(subject)).await.unwrap()
    }

    /// The refresh token that the store has for a sign-in.
    pub(super) async fn refresh_token(&self, live: &AsyncSignIn) -> Option<String> {
        let kept = live.refresh_token(&ClientId::new("web").unwrap()).await.ok().flatten();
        kept.map(|token| token.secret.expose().to_owned())
    }

    /// What Keycloak says to a refresh token: whether it takes it.
    pub(super) async fn takes(&self, refresh_token: &str) -> bool {
        let asked = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_id", "web"),
            ("client_secret", SECRET),
        ];
        let url = format!("{}/protocol/openid-connect/token", self.issuer);
        !form(url, &asked).await["access_token"].is_null()
    }

    /// Begins a login at the app, and goes through Keycloak's pages: where that ends.
    pub(super) async fn logs_in(&self, browser: &mut Browser, user: &str) -> Page {
        let page = browser.open(&format!("{}/login", self.app.urls.app)).await;
        self.agree(browser, page, user).await
    }

    pub(super) async fn sign_in(&self, browser: &mut Browser, user: &str) {
        let page = self.logs_in(browser, user).await;
        assert_eq!(page.url.as_str(), format!("{}/", self.app.urls.app), "{}", page.text);
    }

    /// Signs in to the other app.
    pub(super) async fn sign_in_there(&self, browser: &mut Browser, user: &str) {
        let page = browser.open(&format!("{}/sign-in", self.app.urls.other)).await;
        self.agree(browser, page, user).await;
        assert!(!browser.who_is_in_other_app(&self.app).await.is_empty());
    }

    /// Presses the other app's button, which signs the user out of all.
    pub(super) async fn sign_out_there(&self, browser: &mut Browser) -> Page {
        let page = browser.open(&format!("{}/", self.app.urls.other)).await;
        browser.press(&page, "/sign-out", &[]).await
    }

    /// Opens Keycloak's own page for signing out, and says yes.
    pub(super) async fn sign_out_at_keycloak(&self, browser: &mut Browser) -> Page {
        let page = browser.open(&self.app.urls.everywhere).await;
        browser.press(&page, "/logout-confirm", &[("confirmLogout", "Logout")]).await
    }

    /// Password and consent, where Keycloak asks for them.
    async fn agree(&self, browser: &mut Browser, mut page: Page, user: &str) -> Page {
        while page.url.as_str().starts_with(&self.keycloak) {
            let entered = [("username", user), ("password", PASSWORD)];
            page = if page.text.contains(r#"name="password""#) {
                browser.press(&page, "/login-actions/authenticate", &entered).await
            } else {
                browser.press(&page, "/login-actions/consent", &[("accept", "Yes")]).await
            };
        }
        page
    }

    /// A call of the administrator's API, at a path below the realm.
    pub(super) async fn admin(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let path = format!("/admin/realms/{}{path}", self.realm);
        request(&self.keycloak, method, &path, body).await
    }

    /// The administrator ends all sessions of a user.
    pub(super) async fn admin_signs_out(&self, user: &str) {
        let path = format!("/users/{}/logout", self.sub(user));
        self.admin(Method::POST, &path, None).await;
    }

    /// By the name of the key that the realm signs with.
    pub(super) async fn signs_with(&self) -> String {
        let keys = self.admin(Method::GET, "/keys", None).await;
        keys["active"]["RS256"].as_str().unwrap().to_owned()
    }

    /// From now on the realm signs with another key.
    pub(super) async fn rotate_key(&self) {
        let realm = self.admin(Method::GET, "", None).await;
        let key = json!({
            "name": "newer", "providerType": "org.keycloak.keys.KeyProvider",
            "providerId": "rsa-generated", "parentId": realm["id"],
            "config": {"priority": ["200"], "algorithm": ["RS256"], "keySize": ["2048"]},
        });
        self.admin(Method::POST, "/components", Some(key)).await;
    }
}

/// As the administrator: the answer, which is no refusal.
async fn request(keycloak: &str, method: Method, path: &str, body: Option<Value>) -> Value {
    let secret = std::env::var("KEYCLOAK_SECRET").unwrap();
    let asked =
        [("grant_type", "client_credentials"), ("client_id", "tests"), ("client_secret", &secret)];
    let url = format!("{keycloak}/realms/master/protocol/openid-connect/token");
    let token = form(url, &asked).await["access_token"].as_str().unwrap().to_owned();
    let url: Url = format!("{keycloak}{path}").parse().unwrap();
    let mut request = Client::new().request(method, url).bearer_auth(token);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

async fn form(url: String, asked: &[(&str, &str)]) -> Value {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(asked).finish();
    let request = Client::new().post(url).body(body);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap()
}
