//! **Demonstration.** A web app whose users sign in at a provider, and whose tokens lie in an
//! embedded store: started with all that it takes, to be seen in a browser.
//!
//! ```sh
//! cargo run --release --example web_app
//! cargo run --release --example web_app -- --workers 4
//! ```
//!
//! - `app/`: **to copy**. What a user would take into an app of their own.
//! - `board/`: demonstration. The page: what the store holds, and what ends it.
//! - `ordinary/`: demonstration. An ordinary cache, which the same buttons drive.
//! - `provider/`: demonstration. A small OpenID provider for development, **never for production**:
//!   it asks for no password.
//! - `other_app.rs`: demonstration. A second app, where its users are signed in too.
//! - `api.rs`: demonstration. An API that wants an access token.
//! - `surroundings.rs`, `site.rs`: demonstration. What is around the app; the app at its address.
//! - `supervisor/`: demonstration. The app in a process of its own, which the page can kill; and with
//!   `--workers 4` in four, which have one store, kept by SQLite, and one address.

pub(crate) mod api;
mod app;
mod arguments;
mod board;
mod ordinary;
pub(crate) mod other_app;
pub(crate) mod provider;
mod site;
pub(crate) mod supervisor;
mod surroundings;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use oubliette::AsyncTokenStore;
use oubliette::logout::Algorithm;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use arguments::Arguments;
use board::Board;
use site::Site;
use supervisor::Supervised;
#[cfg(unix)]
use supervisor::Workers;
use surroundings::{Surroundings, url_of};

pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;

/// What is started, and where.
#[derive(Clone)]
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
    /// The least time between two writes of the ordinary cache's file.
    pub(crate) write_every: Duration,
    /// How many processes serve the app; of more than one, SQLite keeps the store.
    pub(crate) workers: u16,
}

impl Options {
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Self {
        let second = Duration::from_secs(1);
        Self {
            folder: folder.into(),
            ports: [0; 4],
            outside: None,
            access_life: 60 * second,
            slow_refresh: 8 * second,
            write_every: 60 * second,
            workers: 1,
        }
    }
}

/// A provider that runs already, and the app's registration there.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Outside {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) tenant: Tenant,
    /// Separated by spaces.
    pub(crate) scopes: String,
    /// The command line knows no others.
    #[serde(skip, default = "rs256")]
    pub(crate) algorithms: Vec<Algorithm>,
    /// For a provider whose logout tokens have no `exp`: how old they may be.
    pub(crate) without_expiry_for: Option<Duration>,
    /// How far its clock may be off, if that is not a minute.
    pub(crate) skew: Option<Duration>,
    /// Whether its front channel sends the user's name where others send the `sid`.
    pub(crate) sid_is_sub: bool,
    /// The API's address; without one ours is started, which asks the provider whether a token is
    /// good.
    pub(crate) api: Option<String>,
    /// Whether the other app is registered too ([`other_app::registration`]).
    pub(crate) has_other_app: bool,
    /// The page on which users sign out there, if there is one.
    pub(crate) sign_out_page: Option<String>,
}

fn rs256() -> Vec<Algorithm> {
    vec![Algorithm::Rs256]
}

/// How the provider says of which tenant a user is.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Tenant {
    /// By this claim.
    Claim(String),
    /// Not at all: it is one itself.
    Issuer,
    /// By its address, as Keycloak does.
    Realm,
}

/// Where everything is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Urls {
    pub(crate) app: String,
    pub(crate) provider: String,
    /// Empty if there is none.
    pub(crate) other: String,
    pub(crate) api: String,
    /// The provider's page for signing out everywhere. Empty if there is none.
    pub(crate) everywhere: String,
}

/// All that was started, in this process.
#[allow(dead_code, reason = "the demonstration has a supervisor, and tests have the store at hand")]
pub(crate) struct Running {
    pub(crate) urls: Urls,
    /// Ours, if it is.
    pub(crate) provider: Option<provider::Provider>,
    site: Arc<Site>,
    serving: site::Serving,
}

/// Starts everything in this process.
#[allow(dead_code, reason = "as `Running`")]
pub(crate) async fn start(options: Options) -> Result<Running, Fault> {
    let [port, others @ ..] = options.ports;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let around = Surroundings::start(url_of(&listener)?, others, &options).await?;
    let told = site::Told::new(options, &around);
    let site = Site::open(&told, Board::new(&told, None)?).await?;
    let serving = site.clone().serve(listener);
    Ok(Running { urls: around.urls, provider: around.provider, site, serving })
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

#[tokio::main]
async fn main() -> Result<(), Fault> {
    if supervisor::is_child() {
        return supervisor::serve().await;
    }
    let temporary = tempfile::tempdir()?;
    let options = Arguments::parse().options(temporary.path())?;
    let again = || Ok(std::process::Command::new(std::env::current_exe()?));
    #[cfg(unix)]
    if options.workers > 1 {
        let mut workers = Workers::start(options, again).await?;
        println!("{}", workers.urls.app);
        let ended = tokio::select! {
            asked = asked_to_end() => asked.map_err(Fault::from),
            () = workers.have_ended() => Err("no worker is left".into()),
        };
        workers.stop().await?;
        return ended;
    }
    let mut supervised = Supervised::start(options, again).await?;
    println!("{}", supervised.urls.app);
    tokio::select! {
        asked = asked_to_end() => asked?,
        () = supervised.has_ended() => {}
    }
    supervised.stop().await
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
