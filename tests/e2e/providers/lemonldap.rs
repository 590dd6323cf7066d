//! LemonLDAP::NG, from Debian: it tells by the front channel alone. Its ID tokens have no `sid`,
//! and what its page sends as one is the user's name.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use oubliette::logout::Algorithm;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::oidc_provider::free_ports;
use crate::examples::web_app::{Options, Outside, Running, Tenant, start};
use crate::oidc_provider::node::within;
use crate::user_agent::{Browser, Page};

const SECRET: &str = "a-secret-without-anything-to-decode";
/// Debian's program, for any server that speaks PSGI.
const PORTAL: &str = "/usr/share/lemonldap-ng/portal/htdocs/index.psgi";
const TEMPLATES: &str = "/usr/share/lemonldap-ng/portal/templates";
/// The portal begins only with a module for captchas, and its own needs packages for images.
/// Nothing here asks for one.
const NO_CAPTCHA: &str = r"package NoCaptcha;
use Mouse;
extends 'Lemonldap::NG::Portal::Main::Plugin';
sub init { 1 }
1;
";

/// The provider's process, with the users that it has for demonstrations: their passwords are their
/// names.
struct LemonLdap {
    url: String,
    _process: Child,
}

impl LemonLdap {
    async fn start(folder: &Path, port: u16, app: &str) -> Self {
        let url = format!("http://localhost:{port}");
        let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        for name in ["conf", "sessions", "sessions/lock", "settled", "settled/lock"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        let (key, public) = keys(&at("key.pem"));
        let mut settings = settings(&url, app, &key, &public);
        for (storage, name) in [("global", "sessions"), ("persistent", "settled")] {
            settings[format!("{storage}Storage")] = "Apache::Session::File".into();
            settings[format!("{storage}StorageOptions")] =
                json!({"Directory": at(name), "LockDirectory": at(&format!("{name}/lock"))});
        }
        std::fs::write(at("conf/lmConf-1.json"), settings.to_string()).unwrap();
        std::fs::write(at("NoCaptcha.pm"), NO_CAPTCHA).unwrap();
        let logger = "Lemonldap::NG::Common::Logger::Std";
        let ini = format!(
            "[all]\nlogLevel = warn\nlogger = {logger}\nuserLogger = {logger}\n\
             [configuration]\ntype = File\ndirName = {}\n\
             [portal]\nstaticPrefix = /static\ntemplateDir = {TEMPLATES}\nlanguages = en\n",
            at("conf")
        );
        std::fs::write(at("lemonldap-ng.ini"), ini).unwrap();

        let mut command = Command::new("plackup");
        command
            .args(["-E", "deployment", "-s", "HTTP::Server::PSGI", "--host", "127.0.0.1"])
            .args(["--port", &port.to_string(), PORTAL])
            .env("LLNG_DEFAULTCONFFILE", at("lemonldap-ng.ini"))
            .env("PERL5LIB", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(at("log")).unwrap())
            .kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let listens = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                let log = || std::fs::read_to_string(at("log")).unwrap();
                assert!(process.try_wait().unwrap().is_none(), "{}", log());
                tokio::task::yield_now().await;
            }
        };
        within("the provider", listens).await;
        Self { url, _process: process }
    }

    /// Begins a login at the app, and enters the name where the portal asks for it.
    async fn sign_in(&self, browser: &mut Browser, app: &Running, user: &str) {
        let mut page = browser.open(&format!("{}/login", app.urls.app)).await;
        if page.text.contains(r#"name="password""#) {
            page = browser.press(&page, "#", &[("user", user), ("password", user)]).await;
        }
        assert_eq!(page.url.as_str(), format!("{}/", app.urls.app), "{}", page.text);
    }

    /// Says yes to what the portal asks before it signs the user out; its answer has the frames.
    async fn confirm(&self, browser: &mut Browser, page: &Page) {
        assert!(page.url.as_str().starts_with(&self.url), "{}: {}", page.url, page.text);
        let page = browser.press(page, "#", &[]).await;
        assert!(page.text.contains("<iframe"), "{}: {}", page.url, page.text);
    }
}

/// The provider's key, made anew.
fn keys(file: &str) -> (String, String) {
    let openssl = |arguments: &[&str]| {
        let made = std::process::Command::new("openssl").args(arguments).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap()
    };
    openssl(&["genrsa", "-out", file, "2048"]);
    (std::fs::read_to_string(file).unwrap(), openssl(&["rsa", "-in", file, "-pubout"]))
}

/// What its manager would write.
fn settings(url: &str, app: &str, key: &str, public: &str) -> Value {
    json!({
        "cfgNum": 1, "cfgVersion": "2.16.1", "cfgAuthor": "tests", "cfgDate": "1",
        "portal": format!("{url}/"), "domain": "localhost", "cookieName": "lemonldap",
        "key": "sixteen letters.", "securedCookie": 0, "requireToken": 0, "captcha": "NoCaptcha",
        "authentication": "Demo", "userDB": "Same", "passwordDB": "Null", "registerDB": "Null",
        "demoExportedVars": {"uid": "uid", "cn": "cn", "mail": "mail"}, "exportedVars": {},
        "macros": {"_whatToTrace": "$_user"}, "whatToTrace": "_whatToTrace", "groups": {},
        "locationRules": {"localhost": {"default": "accept"}}, "exportedHeaders": {},
        "localSessionStorage": "", "localSessionStorageOptions": {},
        "issuerDBOpenIDConnectActivation": 1, "oidcServiceMetaDataIssuer": url,
        "oidcServicePrivateKeySig": key, "oidcServicePublicKeySig": public,
        "oidcServiceKeyIdSig": "key",
        "oidcRPMetaDataExportedVars": {"web": {"name": "cn", "email": "mail"}},
        "oidcRPMetaDataOptions": {"web": registration(app)},
    })
}

fn registration(app: &str) -> Value {
    json!({
        "oidcRPMetaDataOptionsClientID": "web",
        "oidcRPMetaDataOptionsClientSecret": SECRET,
        "oidcRPMetaDataOptionsRedirectUris": format!("{app}/callback"),
        "oidcRPMetaDataOptionsPostLogoutRedirectUris": format!("{app}/"),
        "oidcRPMetaDataOptionsIDTokenSignAlg": "RS256",
        "oidcRPMetaDataOptionsUserIDAttr": "uid",
        "oidcRPMetaDataOptionsBypassConsent": 1,
        "oidcRPMetaDataOptionsRefreshToken": 1,
        "oidcRPMetaDataOptionsLogoutType": "front",
        "oidcRPMetaDataOptionsLogoutUrl": format!("{app}/logout/front-channel"),
        "oidcRPMetaDataOptionsLogoutSessionRequired": 1,
    })
}

async fn open(folder: &Path, sid_is_sub: bool) -> (LemonLdap, Running) {
    let [app_port, port] = free_ports();
    let provider = LemonLdap::start(folder, port, &format!("http://127.0.0.1:{app_port}")).await;
    let outside = Outside {
        issuer: provider.url.clone(),
        client_id: "web".into(),
        client_secret: SECRET.into(),
        tenant: Tenant::Issuer,
        scopes: "openid".into(),
        algorithms: vec![Algorithm::Rs256],
        without_expiry_for: None,
        skew: None,
        sid_is_sub,
        api: None,
        // That one looks for the `sid` of the ID token.
        has_other_app: false,
        sign_out_page: Some(format!("{}/oauth2/logout", provider.url)),
    };
    let options = Options {
        ports: [app_port, 0, 0, 0],
        outside: Some(outside),
        ..Options::new(folder.join("app"))
    };
    (provider, start(options).await.unwrap())
}

#[tokio::test]
#[ignore = "needs LemonLDAP::NG: tests/e2e/providers/run"]
async fn by_the_name_in_the_frame_the_user_is_signed_out_everywhere() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (provider, app) = open(folder.path(), true).await;
    let (mut laptop, mut phone, mut rose) = (Browser::new(), Browser::new(), Browser::new());
    for (browser, user) in [(&mut laptop, "dwho"), (&mut phone, "dwho"), (&mut rose, "rtyler")] {
        provider.sign_in(browser, &app, user).await;
        assert!(browser.presses_call_api(&app).await.contains("Hello, "));
    }
    assert_eq!(rose.sees_the_store(&app).await, ["dwho", "dwho", "rtyler"]);
    app.restart().await.unwrap();

    // At the portal.
    let page = laptop.open(&app.urls.everywhere).await;
    provider.confirm(&mut laptop, &page).await;
    assert_eq!(rose.sees_signals(&app).await, ["front-channel"]);
    assert_eq!(rose.sees_the_store(&app).await, ["rtyler"]);
    assert!(laptop.is(&app).await.is_empty() && phone.is(&app).await.is_empty());
    app.restart().await.unwrap();
    assert_eq!(rose.sees_the_store(&app).await, ["rtyler"]);

    // Here. The portal asks first; the user is out before they have answered.
    let page = rose.board(&app).await;
    let page = rose.press(&page, "/sign-out", &[]).await;
    assert!(rose.is(&app).await.is_empty() && rose.sees_the_store(&app).await.is_empty());
    provider.confirm(&mut rose, &page).await;

    // And the user signs in again: the portal has forgotten them too, so it asks who they are.
    provider.sign_in(&mut laptop, &app, "dwho").await;
    assert_eq!(laptop.sees_the_store(&app).await, ["dwho"]);
    app.restart().await.unwrap();
    assert_eq!(laptop.sees_the_store(&app).await, ["dwho"]);
    app.stop().await.unwrap();
}

/// An app that has not been told so looks for a session of that name. The portal learns nothing of
/// it.
#[tokio::test]
#[ignore = "needs LemonLDAP::NG: tests/e2e/providers/run"]
async fn unless_it_is_told_to_the_app_takes_no_name_for_a_session() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (provider, app) = open(folder.path(), false).await;
    let mut laptop = Browser::new();
    provider.sign_in(&mut laptop, &app, "dwho").await;
    let page = laptop.open(&app.urls.everywhere).await;
    provider.confirm(&mut laptop, &page).await;
    assert_eq!(laptop.sees_the_store(&app).await, ["dwho"]);
    app.stop().await.unwrap();
}
