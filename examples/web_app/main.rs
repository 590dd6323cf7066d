//! **Demonstration.** A web app whose users sign in at a provider, and whose tokens lie in an embedded store: started with all that it takes,
//! to be seen in a browser.
//!
//! ```sh
//! cargo run --release --example web_app
//! ```
//!
//! - `app/`: **to copy**. What a user would take into an app of their own.
//! - `board/`: demonstration. The page: what the store holds, and what ends it.
//! - `provider/`: demonstration. A small OpenID provider for development, **never for production**: it asks for no password.
//! - `other_app.rs`: demonstration. A second app, where its users are signed in too.
//! - `api.rs`: demonstration. An API that wants an access token.

pub(crate) mod api;
mod app;
mod board;
pub(crate) mod other_app;
pub(crate) mod provider;
mod site;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use oubliette::logout::Algorithm;
use oubliette::{AsyncTokenStore, ClientId, Scopes, openid};
use tokio::net::TcpListener;

use app::config::Config;
use board::Board;
use provider::Client;
use site::Site;

pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;

/// What is started, and where.
pub(crate) struct Options {
    /// Of the store and its key.
    pub(crate) folder: PathBuf,
    /// Of app, provider, other app and API; 0 is any that is free.
    pub(crate) ports: [u16; 4],
    /// Another provider instead of ours.
    pub(crate) outside: Option<Outside>,
    /// How long our provider's access tokens last.
    pub(crate) access_life: Duration,
    /// How long the answer to a slow refresh is held back.
    pub(crate) slow_refresh: Duration,
}

impl Options {
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Self {
        let (access_life, slow_refresh) = (Duration::from_secs(60), Duration::from_secs(8));
        Self { folder: folder.into(), ports: [0; 4], outside: None, access_life, slow_refresh }
    }
}

/// A provider that runs already, and the app's registration there.
pub(crate) struct Outside {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) tenant: Tenant,
    /// Separated by spaces.
    pub(crate) scopes: String,
    pub(crate) algorithms: Vec<Algorithm>,
    /// For a provider whose logout tokens have no `exp`: how old they may be.
    pub(crate) without_expiry_for: Option<Duration>,
    /// The API's address; without one ours is started, which asks the provider whether a token is good.
    pub(crate) api: Option<String>,
    /// Whether the other app is registered too ([`other_app::registration`]).
    pub(crate) has_other_app: bool,
    /// The page on which users sign out there, if there is one.
    pub(crate) sign_out_page: Option<String>,
}

/// How the provider says of which tenant a user is.
pub(crate) enum Tenant {
    /// By this claim.
    Claim(String),
    /// Not at all: it is one itself.
    Issuer,
}

/// Where everything is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Urls {
    pub(crate) app: String,
    pub(crate) provider: String,
    /// Empty if there is none.
    pub(crate) other: String,
    pub(crate) api: String,
    /// The provider's page for signing out everywhere. Empty if there is none.
    pub(crate) everywhere: String,
}

/// All that was started.
pub(crate) struct Running {
    pub(crate) urls: Urls,
    /// Ours, if it is.
    pub(crate) provider: Option<provider::Provider>,
    site: Arc<Site>,
    serving: site::Serving,
}

/// The app at our provider.
const CLIENT: &str = "web";
const SCOPES: &str = "openid offline_access api.read";

pub(crate) async fn start(options: Options) -> Result<Running, Fault> {
    let bind = async |port| TcpListener::bind(("127.0.0.1", port)).await;
    let at =
        |listener: &TcpListener| listener.local_addr().map(|address| format!("http://{address}"));
    let [app_port, provider_port, other_port, api_port] = options.ports;
    let listener = bind(app_port).await?;
    let mut urls = Urls { app: at(&listener)?, ..Urls::default() };
    let (other_listener, api_listener) = (bind(other_port).await?, bind(api_port).await?);
    let other_url = at(&other_listener)?;
    let mut ours = None;
    let outside = match options.outside {
        Some(outside) => outside,
        None => {
            let listener = bind(provider_port).await?;
            // Another site than the app's: as everywhere but here.
            let issuer = format!("http://localhost:{}", listener.local_addr()?.port());
            let secret = random()?;
            let clients =
                vec![registration(&urls.app, &secret), other_app::registration(&other_url)];
            ours =
                Some(provider::serve(listener, issuer.clone(), clients, options.access_life).await);
            Outside {
                sign_out_page: Some(format!("{issuer}/")),
                issuer,
                client_id: CLIENT.into(),
                client_secret: secret,
                tenant: Tenant::Claim("tenant".into()),
                scopes: SCOPES.into(),
                algorithms: vec![Algorithm::Rs256],
                without_expiry_for: None,
                api: None,
                has_other_app: true,
            }
        }
    };
    if outside.has_other_app {
        other_app::serve(other_listener, other_url.clone(), outside.issuer.clone())?;
        urls.other = other_url;
    }
    urls.api = match &outside.api {
        Some(api) => api.clone(),
        None => {
            let (issuer, client_id) = (outside.issuer.clone(), outside.client_id.clone());
            let url = format!("{}/greeting", at(&api_listener)?);
            api::serve(
                api_listener,
                api::Config { issuer, client_id, client_secret: outside.client_secret.clone() },
            )?;
            url
        }
    };
    urls.provider = outside.issuer.clone();
    urls.everywhere = outside.sign_out_page.clone().unwrap_or_default();
    let config = Arc::new(config(&options.folder, &urls, outside)?);
    let board = Board::new(urls.clone(), ours.is_some(), options.slow_refresh);
    let site = Site::open(config, board).await?;
    let serving = site.clone().serve(listener);
    Ok(Running { urls, provider: ours, site, serving })
}

#[allow(dead_code, reason = "what tests ask is not what the demonstration asks")]
impl Running {
    /// The store that is open now.
    pub(crate) async fn store(&self) -> AsyncTokenStore {
        self.site.store().await
    }

    /// Closes the store and opens it again, as a new deployment of the app would.
    pub(crate) async fn restart(&self) -> Result<(), Fault> {
        self.site.restart().await
    }

    pub(crate) async fn stop(self) -> Result<(), Fault> {
        self.serving.stop().await;
        self.site.close().await?;
        if let Some(provider) = self.provider {
            provider.stop();
        }
        Ok(())
    }
}

/// How our provider is to know the app.
fn registration(url: &str, secret: &str) -> Client {
    Client {
        id: CLIENT.into(),
        secret: secret.into(),
        redirect_uris: vec![format!("{url}/callback")],
        post_logout_redirect_uris: vec![format!("{url}/")],
        back_channel: Some(format!("{url}/logout/back-channel")),
        front_channel: Some(format!("{url}/logout/front-channel")),
    }
}

fn config(folder: &Path, urls: &Urls, outside: Outside) -> Result<Config, Fault> {
    let provider = openid::Provider::generic(&outside.issuer)?;
    Ok(Config {
        public_url: urls.app.clone(),
        folder: folder.join("tokens"),
        key_file: key_file(folder)?,
        provider: match outside.tenant {
            Tenant::Claim(name) => provider.tenant_claim(name),
            Tenant::Issuer => provider,
        },
        issuer: outside.issuer,
        client: ClientId::new(outside.client_id)?,
        client_secret: outside.client_secret,
        algorithms: outside.algorithms,
        without_expiry_for: outside.without_expiry_for,
        scopes: Scopes::parse(&outside.scopes)?,
        api_url: urls.api.clone(),
    })
}

/// A key beside what it seals protects nothing: it is good enough to be shown.
fn key_file(folder: &Path) -> Result<PathBuf, Fault> {
    let file = folder.join("key");
    if !file.exists() {
        std::fs::create_dir_all(folder)?;
        // Whole or not at all, also if we are killed here.
        let unfinished = folder.join("key.new");
        std::fs::write(&unfinished, "")?;
        #[cfg(unix)]
        std::fs::set_permissions(&unfinished, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        std::fs::write(&unfinished, format!("hex:{}", random()?))?;
        std::fs::rename(unfinished, &file)?;
    }
    Ok(file)
}

fn random() -> Result<String, Fault> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(board::hex(&bytes))
}

/// A web app with an encrypted token store, its provider, an API and a second app, to be seen in a browser.
#[derive(clap::Parser)]
struct Arguments {
    /// Where the store is, and stays: otherwise in a temporary folder, which goes at the end
    #[arg(long)]
    folder: Option<PathBuf>,
    /// The app's port; the next three are the provider's, the other app's and the API's [default: 3000, or any that are free]
    #[arg(long)]
    port: Option<u16>,
    /// How many seconds the provider's access tokens last
    #[arg(long, default_value_t = 60)]
    access_life: u64,
    /// Another provider instead of ours, by its issuer
    #[arg(long, requires_all = ["client_id", "client_secret"])]
    issuer: Option<String>,
    /// The app's id there
    #[arg(long)]
    client_id: Option<String>,
    #[arg(long, env = "CLIENT_SECRET", hide_env_values = true)]
    client_secret: Option<String>,
    /// The API to call, instead of ours
    #[arg(long)]
    api_url: Option<String>,
    /// What to ask for, separated by spaces
    #[arg(long, default_value = "openid offline_access")]
    scopes: String,
    /// The claim that names the tenant; without one the provider is one
    #[arg(long)]
    tenant_claim: Option<String>,
    /// For a provider whose logout tokens have no `exp`: how many seconds old they may be
    #[arg(long)]
    without_expiry_for: Option<u64>,
    /// The page on which users sign out at the provider
    #[arg(long)]
    sign_out_page: Option<String>,
}

impl Arguments {
    fn outside(&self) -> Option<Outside> {
        Some(Outside {
            issuer: self.issuer.clone()?,
            client_id: self.client_id.clone()?,
            client_secret: self.client_secret.clone()?,
            tenant: self.tenant_claim.clone().map_or(Tenant::Issuer, Tenant::Claim),
            scopes: self.scopes.clone(),
            algorithms: vec![Algorithm::Rs256],
            without_expiry_for: self.without_expiry_for.map(Duration::from_secs),
            api: self.api_url.clone(),
            has_other_app: false,
            sign_out_page: self.sign_out_page.clone(),
        })
    }

    /// Those that were asked for; or the usual ones, if they are free.
    fn ports(&self) -> Result<[u16; 4], Fault> {
        let first = self.port.unwrap_or(3000);
        let next = |more| first.checked_add(more).ok_or("there are no three ports after that one");
        let ports = if first == 0 { [0; 4] } else { [first, next(1)?, next(2)?, next(3)?] };
        let are_free =
            || ports.iter().all(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
        Ok(if self.port.is_some() || are_free() { ports } else { [0; 4] })
    }
}

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let arguments = Arguments::parse();
    let temporary = tempfile::tempdir()?;
    let folder = arguments.folder.clone().unwrap_or_else(|| temporary.path().into());
    let access_life = Duration::from_secs(arguments.access_life);
    let (outside, ports) = (arguments.outside(), arguments.ports()?);
    let running = start(Options { ports, outside, access_life, ..Options::new(folder) }).await?;
    println!("{}", running.urls.app);
    asked_to_end().await?;
    running.stop().await
}

async fn asked_to_end() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = ended.recv() => Ok(()),
            asked = tokio::signal::ctrl_c() => asked,
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
