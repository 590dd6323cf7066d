//! **Demonstration.** What is around the app: its provider, the other app and the API. They go on
//! when the app is killed, as they would anywhere.

use std::time::Duration;

use oubliette::logout::Algorithm;
use tokio::net::TcpListener;

use super::provider::{self, Client, Provider};
use super::{Fault, Options, Outside, Tenant, Urls, api, board, other_app};

pub(crate) struct Surroundings {
    pub(crate) urls: Urls,
    /// What the app is at its provider.
    pub(crate) registration: Outside,
    /// Ours, if it is.
    pub(crate) provider: Option<Provider>,
}

/// The app at our provider.
const CLIENT: &str = "web";
const SCOPES: &str = "openid offline_access api.read";

impl Surroundings {
    /// Starts what the app at `app` needs, on the `ports` of provider, other app and API.
    pub(crate) async fn start(
        app: String,
        ports: [u16; 3],
        options: &Options,
    ) -> Result<Self, Fault> {
        let Options { outside, access_life, .. } = options.clone();
        let [provider_port, other_port, api_port] = ports;
        let (other_listener, api_listener) = (bind(other_port).await?, bind(api_port).await?);
        let other_url = url_of(&other_listener)?;
        let (registration, provider) = match outside {
            Some(outside) => (outside, None),
            None => ours(&app, &other_url, bind(provider_port).await?, access_life).await?,
        };
        let mut urls = Urls { app, provider: registration.issuer.clone(), ..Urls::default() };
        if registration.has_other_app {
            other_app::serve(other_listener, other_url.clone(), urls.provider.clone())?;
            urls.other = other_url;
        }
        urls.api = match &registration.api {
            Some(api) => api.clone(),
            None => {
                let url = format!("{}/greeting", url_of(&api_listener)?);
                api::serve(api_listener, as_whom(&registration))?;
                url
            }
        };
        urls.everywhere = registration.sign_out_page.clone().unwrap_or_default();
        Ok(Self { urls, registration, provider })
    }
}

/// Our provider, where the app and the other app are registered.
async fn ours(
    app: &str,
    other: &str,
    listener: TcpListener,
    access_life: Duration,
) -> Result<(Outside, Option<Provider>), Fault> {
    // Another site than the app's: as everywhere but here.
    let issuer = format!("http://localhost:{}", listener.local_addr()?.port());
    let secret = board::random()?;
    let clients = vec![known_as(app, &secret), other_app::registration(other)];
    let provider = provider::serve(listener, issuer.clone(), clients, access_life).await;
    let registration = Outside {
        sign_out_page: Some(format!("{issuer}/")),
        issuer,
        client_id: CLIENT.into(),
        client_secret: secret,
        tenant: Tenant::Claim("tenant".into()),
        scopes: SCOPES.into(),
        algorithms: vec![Algorithm::Rs256],
        without_expiry_for: None,
        skew: None,
        sid_is_sub: false,
        api: None,
        has_other_app: true,
    };
    Ok((registration, Some(provider)))
}

/// How our provider is to know the app.
fn known_as(url: &str, secret: &str) -> Client {
    Client {
        id: CLIENT.into(),
        secret: secret.into(),
        redirect_uris: vec![format!("{url}/callback")],
        post_logout_redirect_uris: vec![format!("{url}/")],
        back_channel: Some(format!("{url}/logout/back-channel")),
        front_channel: Some(format!("{url}/logout/front-channel")),
    }
}

/// As whom the API asks the provider.
fn as_whom(registration: &Outside) -> api::Config {
    api::Config {
        issuer: registration.issuer.clone(),
        client_id: registration.client_id.clone(),
        client_secret: registration.client_secret.clone(),
    }
}

async fn bind(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", port)).await
}

/// Where it is reached.
pub(crate) fn url_of(listener: &TcpListener) -> std::io::Result<String> {
    listener.local_addr().map(|address| format!("http://{address}"))
}
