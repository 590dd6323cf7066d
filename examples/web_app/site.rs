//! **Demonstration.** The app behind its address: the same while the store behind it is closed and
//! opened again.
//!
//! A real app is restarted by whoever deploys it. Here it is done within the process, so that it
//! can be tried from the page.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse as _, Redirect, Response};
use oubliette::{AsyncTokenStore, ClientId, Scopes, openid};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{RwLock, oneshot};
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use super::app::config::Config;
use super::app::failure::Failure;
use super::app::{headers, setup};
use super::board::{self, Board};
use super::surroundings::Surroundings;
use super::{Fault, Options, Outside, Tenant, Urls};

/// What the app has to know, also if it is a process of its own.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) folder: PathBuf,
    pub(crate) urls: Urls,
    /// What the app is at its provider.
    pub(crate) registration: Outside,
    /// Whether the provider is ours.
    pub(crate) is_ours: bool,
    pub(crate) slow_refresh: Duration,
    pub(crate) write_every: Duration,
    /// Whether several processes are told this.
    pub(crate) has_workers: bool,
}

impl Told {
    pub(crate) fn new(options: Options, around: &Surroundings) -> Self {
        Self {
            folder: options.folder,
            urls: around.urls.clone(),
            registration: around.registration.clone(),
            is_ours: around.provider.is_some(),
            slow_refresh: options.slow_refresh,
            write_every: options.write_every,
            has_workers: options.workers > 1,
        }
    }
}

pub(crate) struct Site {
    config: Arc<Config>,
    board: Arc<Board>,
    /// Each request holds it for reading until it has its answer; who closes the store, for
    /// writing.
    up: RwLock<Option<Up>>,
}

struct Up {
    open: setup::Open,
    router: Router,
}

/// The app's address, as long as it is served.
pub(crate) struct Serving {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Serving {
    /// Takes no more requests, and lets those under way end.
    pub(crate) async fn stop(self) {
        let _ = self.end.send(());
        let _ = self.task.await;
    }
}

impl Site {
    pub(crate) async fn open(told: &Told, board: Arc<Board>) -> Result<Arc<Self>, Fault> {
        let config = Arc::new(config(told)?);
        let up = Up::open(&config, &board).await?;
        Ok(Arc::new(Self { config, board, up: RwLock::new(Some(up)) }))
    }

    pub(crate) fn serve(self: Arc<Self>, listener: TcpListener) -> Serving {
        let (end, ended) = oneshot::channel::<()>();
        let router = Router::new().fallback(answer).with_state(self);
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        let serve = axum::serve(listener, router).with_graceful_shutdown(async { _ = ended.await });
        let task = tokio::spawn(async move {
            if let Err(error) = serve.await {
                eprintln!("the app's address is not served any more: {error}");
            }
        });
        Serving { end, task }
    }

    /// The store that is open now.
    ///
    /// # Panics
    /// Once the site was closed, or a restart has failed.
    #[allow(dead_code, reason = "for tests")]
    pub(crate) async fn store(&self) -> AsyncTokenStore {
        self.up.read().await.as_ref().expect("the site is open").open.app.store.clone()
    }

    pub(crate) async fn restart(&self) -> Result<(), Fault> {
        // What a refresh got, and could not store, would have to be redeemed once more.
        self.board.refreshes.are_done().await;
        let mut up = self.up.write().await;
        self.board.refreshes.are_done().await;
        if let Some(up) = up.take() {
            up.open.close().await?;
        }
        self.board.restart()?;
        *up = Some(Up::open(&self.config, &self.board).await?);
        Ok(())
    }

    pub(crate) async fn close(&self) -> Result<(), Fault> {
        let up = self.up.write().await.take();
        self.board.refreshes.are_done().await;
        self.board.close()?;
        match up {
            Some(up) => up.open.close().await,
            None => Ok(()),
        }
    }

    async fn restart_from_page(&self, headers: &HeaderMap) -> Response {
        if !headers::is_own(headers, &self.config) {
            return Failure::refused("a request that is not from a page of ours").into_response();
        }
        match self.restart().await {
            Ok(()) => Redirect::to("/").into_response(),
            Err(error) => Failure::from(error).into_response(),
        }
    }
}

impl Up {
    async fn open(config: &Arc<Config>, board: &Arc<Board>) -> Result<Self, Fault> {
        let open = setup::open(config.clone()).await?;
        board.opened(&open.app).await?;
        let router = open.app.router(board::pages(&open.app, board));
        Ok(Self { open, router })
    }
}

async fn answer(State(site): State<Arc<Site>>, request: Request) -> Response {
    let path = request.uri().path();
    if path == "/restart" && request.method() == Method::POST {
        let (parts, _) = request.into_parts();
        return site.restart_from_page(&parts.headers).await;
    }
    let is_sign_out = path == "/sign-out" || path.starts_with("/logout/");
    let is_login = path == "/callback";
    let up = site.up.read().await;
    let Some(up) = &*up else {
        return Failure::from("the store could not be opened again").into_response();
    };
    let router = if is_sign_out {
        // A router of its own for this one request, to know how long it took until the sign-out was
        // on the disk.
        let (board, began) = (site.board.clone(), Instant::now());
        let app = up.open.app.clone().after_sign_out(move |signed_out| {
            board.told(&signed_out, began.elapsed());
            async { Ok(()) }
        });
        app.router(board::pages(&app, &site.board))
    } else {
        up.router.clone()
    };
    let response = router.oneshot(request).await.into_response();
    if is_login && let Err(error) = site.board.mirror(&up.open.app).await {
        return Failure::from(error).into_response();
    }
    response
}

fn config(told: &Told) -> Result<Config, Fault> {
    let Told { folder, urls, registration, .. } = told;
    Ok(Config {
        public_url: urls.app.clone(),
        folder: folder.join("tokens"),
        has_workers: told.has_workers,
        backups: folder.join("backups"),
        key_file: key_file(folder)?,
        provider: match &registration.tenant {
            Tenant::Claim(name) => {
                openid::Provider::generic(&registration.issuer)?.tenant_claim(name)
            }
            Tenant::Issuer => openid::Provider::generic(&registration.issuer)?,
            Tenant::Realm => openid::Provider::keycloak(&registration.issuer)?,
        },
        issuer: registration.issuer.clone(),
        client: ClientId::new(registration.client_id.clone())?,
        client_secret: registration.client_secret.clone(),
        algorithms: registration.algorithms.clone(),
        without_expiry_for: registration.without_expiry_for,
        skew: registration.skew,
        sid_is_sub: registration.sid_is_sub,
        scopes: Scopes::parse(&registration.scopes)?,
        api_url: urls.api.clone(),
    })
}

/// A key beside what it seals protects nothing: it is good enough to be shown.
pub(crate) fn key_file(folder: &Path) -> Result<PathBuf, Fault> {
    let file = folder.join("key");
    if !file.exists() {
        std::fs::create_dir_all(folder)?;
        // Whole or not at all, also if we are killed here.
        let unfinished = folder.join("key.new");
        std::fs::write(&unfinished, "")?;
        #[cfg(unix)]
        std::fs::set_permissions(&unfinished, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        std::fs::write(&unfinished, format!("hex:{}", board::random()?))?;
        std::fs::rename(unfinished, &file)?;
    }
    Ok(file)
}
