//! **Demonstration.** The command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use oubliette::logout::Algorithm;

use super::{Fault, Options, Outside, Tenant};

/// A web app with an encrypted token store, its provider, an API and a second app, to be seen in a
/// browser.
#[derive(clap::Parser)]
pub(crate) struct Arguments {
    /// Where the store is, and stays: otherwise in a temporary folder, which goes at the end
    #[arg(long)]
    folder: Option<PathBuf>,
    /// The app's port; the next three are the provider's, the other app's and the API's [default:
    /// 3000, or any that are free]
    #[arg(long)]
    port: Option<u16>,
    /// How many seconds the provider's access tokens last
    #[arg(long, default_value_t = 60)]
    access_life: u64,
    /// How many processes serve the app, on one store that is kept by SQLite; of more than one, none
    /// is killed from the page, and there is no ordinary cache
    #[cfg(unix)]
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
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
    /// What to start; with a store in `temporary`, if no folder was named.
    pub(crate) fn options(&self, temporary: &Path) -> Result<Options, Fault> {
        let folder = self.folder.clone().unwrap_or_else(|| temporary.into());
        let access_life = Duration::from_secs(self.access_life);
        let (outside, ports) = (self.outside(), self.ports()?);
        let options = Options { ports, outside, access_life, ..Options::new(folder) };
        #[cfg(unix)]
        let options = Options { workers: self.workers, ..options };
        Ok(options)
    }

    fn outside(&self) -> Option<Outside> {
        Some(Outside {
            issuer: self.issuer.clone()?,
            client_id: self.client_id.clone()?,
            client_secret: self.client_secret.clone()?,
            tenant: self.tenant_claim.clone().map_or(Tenant::Issuer, Tenant::Claim),
            scopes: self.scopes.clone(),
            algorithms: vec![Algorithm::Rs256],
            without_expiry_for: self.without_expiry_for.map(Duration::from_secs),
            skew: None,
            sid_is_sub: false,
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
