//! The app, the other app, the API and the provider, each on a port of its own.

use std::time::Duration;

use openidconnect::reqwest::{Method, StatusCode};
use oubliette::logout::{Issuer, Issuers, Keys, ReqwestClient, sign_out_routes};
use oubliette::{
    AccountId, AsyncSignIn, AsyncTokenStore, ClientId, KeySource, Subject, TokenStore,
};
use tokio::net::TcpListener;

use crate::examples::axum_login::{Config, app};
use crate::examples::web_app::provider::{self, Client, Provider};
use crate::examples::web_app::{api, other_app};
use crate::user_agent::{Browser, Page};

pub(crate) const ID: &str = "web-app";
pub(crate) const SECRET: &str = "a secret of more than letters: ä+%";

pub(crate) struct Site {
    pub(crate) provider: Provider,
    pub(crate) store: AsyncTokenStore,
    pub(crate) app: String,
    pub(crate) other: String,
    _folder: tempfile::TempDir,
}

impl Site {
    pub(crate) async fn open() -> Self {
        let listen = || async { TcpListener::bind("127.0.0.1:0").await.unwrap() };
        let (at_app, at_other, at_api, at_provider) =
            (listen().await, listen().await, listen().await, listen().await);
        let url = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let (app_url, other, api_url) = (url(&at_app), url(&at_other), url(&at_api));
        let issuer = url(&at_provider).replace("127.0.0.1", "localhost");
        let web = Client {
            id: ID.into(),
            secret: SECRET.into(),
            redirect_uris: vec![format!("{app_url}/callback")],
            post_logout_redirect_uris: vec![format!("{app_url}/")],
            back_channel: Some(format!("{app_url}/logout/back-channel")),
            front_channel: Some(format!("{app_url}/logout/front-channel")),
        };
        let clients = vec![web, other_app::registration(&other)];
        let provider =
            provider::serve(at_provider, issuer.clone(), clients, Duration::from_secs(60)).await;
        other_app::serve(at_other, other.clone(), issuer.clone()).unwrap();
        let secrets = (ID.to_owned(), SECRET.to_owned());
        let config = api::Config {
            issuer: issuer.clone(),
            client_id: secrets.0.clone(),
            client_secret: secrets.1.clone(),
        };
        api::serve(at_api, config).unwrap();

        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let store = TokenStore::builder(folder.path().join("tokens"))
            .key(KeySource::bytes([7; 32]))
            .open_async()
            .await
            .unwrap();
        let config = Config {
            issuer: issuer.clone(),
            client_id: secrets.0,
            client_secret: secrets.1,
            public_url: app_url.clone(),
            api_url: format!("{api_url}/greeting"),
            scopes: "openid offline_access api.read".into(),
        };
        let known = oubliette::openid::Provider::generic(&issuer).unwrap();
        let known = Issuer::new(
            known,
            ClientId::new(ID).unwrap(),
            Keys::discovered(ReqwestClient::new().unwrap()),
        );
        let routes = sign_out_routes(store.clone(), Issuers::new([known]).unwrap());
        let router = app(config, routes.receiver()).await.unwrap().merge(routes);
        tokio::spawn(axum::serve(at_app, router).into_future());
        Self { provider, store, app: app_url, other, _folder: folder }
    }

    pub(crate) fn at_provider(&self, path: &str) -> String {
        format!("{}{path}", self.provider.issuer())
    }

    /// The user's sign-ins that are live.
    pub(crate) async fn lives(&self, user: &str) -> Vec<AsyncSignIn> {
        let account = AccountId::of_subject(Subject::new(self.provider.issuer(), user).unwrap());
        self.store.account(&account).await.unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.provider.stop();
    }
}

impl Browser {
    /// Signs in to the app, as `who` (`jane contoso`) if the provider asks.
    pub(crate) async fn sign_in(&mut self, site: &Site, who: &str) -> Page {
        let page = self.open(&format!("{}/login", site.app)).await;
        let page = self.choose(page, who).await;
        assert!(
            page.url.as_str() == format!("{}/", site.app) && page.text.contains("Sign out"),
            "{}: {}",
            page.url,
            page.text
        );
        page
    }

    pub(crate) async fn choose(&mut self, page: Page, who: &str) -> Page {
        if page.text.contains(r#"action="/sign-in""#) {
            self.press(&page, "/sign-in", &[("as", who)]).await
        } else {
            page
        }
    }

    pub(crate) async fn is_signed_in(&mut self, site: &Site) -> bool {
        self.open(&format!("{}/", site.app)).await.text.contains("Sign out")
    }

    pub(crate) async fn is_in_other_app(&mut self, site: &Site) -> bool {
        !self.open(&format!("{}/", site.other)).await.text.contains(r#"data-user="""#)
    }

    /// What the API says to the app, which asks with the user's token; nothing if the app has the
    /// user sign in again.
    pub(crate) async fn calls_api(&mut self, site: &Site) -> Option<String> {
        let page =
            self.send(Method::GET, format!("{}/api", site.app).parse().unwrap(), None, None).await;
        (page.status == StatusCode::OK).then_some(page.text)
    }
}
