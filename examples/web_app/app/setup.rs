//! **To copy.** Opens the store and closes it, so that a restart loses nobody and brings nobody back.
//!
//! Nothing that counts is in memory: tokens, web sessions and logins under way are in the store, sign-outs in its ledger. So a process that is
//! killed needs no more care than one that ends; ending in order only spares the provider a refresh that would have to be repeated.

use std::sync::Arc;
use std::time::Duration;

use openidconnect::reqwest;
use oubliette::logout::{Issuer, Issuers, Keys, ReqwestClient, sign_out_routes};
use oubliette::{Acquirer, KeySource, TokenStore, Upkeep};
use oubliette_control::ControlSocket;

use super::super::Fault;
use super::App;
use super::config::Config;
use super::login::Oidc;

/// The app, as long as its store is open.
pub(crate) struct Open {
    pub(crate) app: App,
    upkeep: Upkeep,
    control: Option<ControlSocket>,
}

/// Opens the store. The provider need not be up yet: its documents are fetched when they are needed, so that an app that starts while
/// the provider is down serves its users, and hears of their sign-outs later.
pub(crate) async fn open(config: Arc<Config>) -> Result<Open, Fault> {
    config.check()?;
    let builder = TokenStore::builder(&config.folder).key(KeySource::file(&config.key_file));
    // What sled keeps, one process alone can open.
    #[cfg(unix)]
    let builder = if config.has_workers { builder.sqlite() } else { builder };
    let store = builder.open_async().await?;
    // What nobody uses any more goes, on a thread of its own.
    let upkeep = store.upkeep().start()?;
    // Signs users out, shows figures and makes backups for the operator while the app runs: `oubliette --help`. Not worth an outage: without
    // it the app has to be stopped for that. (Where SQLite keeps the store, the program needs none.)
    let control = if config.has_workers {
        None
    } else {
        ControlSocket::builder(&store)
            .backups_below(&config.backups)
            .start()
            .inspect_err(|error| eprintln!("no control socket: {error}"))
            .ok()
    };
    let keys = Keys::discovered(ReqwestClient::new()?);
    let issuer = Issuer::new(config.provider.clone(), config.client.clone(), keys)
        .algorithms(config.algorithms.clone());
    let issuer = match config.without_expiry_for {
        Some(age) => issuer.without_expiry_for(age),
        None => issuer,
    };
    let issuer = match config.skew {
        Some(skew) => issuer.skew(skew),
        None => issuer,
    };
    let issuer = if config.sid_is_sub { issuer.front_channel_sid_is_sub() } else { issuer };
    let sign_outs = sign_out_routes(store.clone(), Issuers::new([issuer])?);
    // No redirects: else whoever answers as the provider could have requests sent to hosts behind our firewall. A time limit, well below
    // the acquirer's: a refresh that is cut off is repeated, and the provider may not like that.
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .build()?;
    let (acquirer, oidc) = (Acquirer::new(), Arc::new(Oidc::default()));
    Ok(Open { app: App { config, store, acquirer, oidc, http, sign_outs }, upkeep, control })
}

impl Open {
    /// To be called once no requests are taken any more, and those under way have ended.
    pub(crate) async fn close(self) -> Result<(), Fault> {
        let Self { app, upkeep, control } = self;
        // Providers tell of a sign-out once, and do not wait for the answer.
        app.sign_outs.receiver().drain().await;
        drop((upkeep, control));
        Ok(app.store.close().await?)
    }
}
