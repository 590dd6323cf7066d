//! The app of `examples/axum_login.rs`, with the sign-out routes, on a port of its own that outlives its restarts; and its provider.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use openidconnect::url::Url;
use oubliette::logout::{
    DecryptionKeys, Issuer, Issuers, KeyManagement, Keys, Receiver, ReqwestClient, SignedOut,
};
use oubliette::openid::Provider;
use oubliette::{
    AccountId, AsyncSignIn, AsyncTokenStore, ClientId, KeySource, SessionPolicy, Subject,
    TokenStore,
};
use oubliette_testkit::encrypter::Encrypter;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tower::ServiceExt as _;

use super::node::{Node, within};
use crate::examples::axum_login::{Config, app};

pub(crate) const SECRET: &str = "not a very secret secret";
/// Where nothing is served: the other app is the test itself.
pub(crate) const OTHER: &str = "http://127.0.0.1:9";

/// The app, while it is up.
type Up = Arc<Mutex<Option<(Router, Receiver)>>>;

/// What differs between tests.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// One of the provider's clients.
    pub(crate) client: &'static str,
    pub(crate) policy: SessionPolicy,
    /// Whether it asks for offline access.
    pub(crate) is_offline: bool,
    /// How the provider encrypts for the client, if it does.
    pub(crate) encryption: Option<KeyManagement>,
}

impl Default for Kind {
    fn default() -> Self {
        Self {
            client: "web",
            policy: SessionPolicy::WholeAccount,
            is_offline: false,
            encryption: None,
        }
    }
}

impl Kind {
    /// The keys that the provider encrypts for.
    pub(crate) fn decryption_keys(&self) -> Option<DecryptionKeys> {
        self.encryption.map(|algorithm| Encrypter::new(algorithm).keys())
    }
}

pub(crate) struct Site {
    pub(crate) node: Node,
    pub(crate) store: AsyncTokenStore,
    kind: Kind,
    url: String,
    up: Up,
    /// The bodies of what came to the back-channel endpoint.
    pub(crate) signals: Arc<Mutex<Vec<String>>>,
    told: UnboundedSender<SignedOut>,
    tells: UnboundedReceiver<SignedOut>,
    folder: tempfile::TempDir,
}

impl Site {
    pub(crate) async fn open(kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let encryption: serde_json::Map<_, _> = kind
            .decryption_keys()
            .map(|keys| {
                (kind.client.to_owned(), serde_json::from_str(&keys.public_jwks()).unwrap())
            })
            .into_iter()
            .collect();
        let state = folder.path().join("provider.json");
        let node = Node::start(&url, OTHER, &state, encryption.into()).await;
        let (up, signals) = (Up::default(), Arc::default());
        tokio::spawn(axum::serve(listener, front(&up, &signals)).into_future());
        let (told, tells) = unbounded_channel();
        let store = open(&folder).await;
        let site = Self { node, store, kind, url, up, signals, told, tells, folder };
        site.serve().await;
        site
    }

    pub(crate) fn app(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub(crate) fn provider(&self, path: &str) -> Url {
        format!("{}{path}", self.node.issuer).parse().unwrap()
    }

    pub(crate) fn is_app(&self, url: &Url) -> bool {
        url.as_str().starts_with(&self.url)
    }

    /// Whether anything answers there.
    pub(crate) fn serves(&self, url: &Url) -> bool {
        self.is_app(url) || url.as_str().starts_with(&self.node.issuer)
    }

    pub(crate) fn is_offline(&self) -> bool {
        self.kind.is_offline
    }

    pub(crate) fn client(&self) -> ClientId {
        ClientId::new(self.kind.client).unwrap()
    }

    /// The user's sign-ins that are live.
    pub(crate) async fn lives(&self, user: &str) -> Vec<AsyncSignIn> {
        let account = AccountId::of_subject(Subject::new(&self.node.issuer, user).unwrap());
        self.store.account(&account).await.unwrap()
    }

    /// The next sign-out that the app is told of.
    pub(crate) async fn tells(&mut self) -> SignedOut {
        within("the app's hook", self.tells.recv()).await.unwrap()
    }

    /// That it has been told of no other.
    pub(crate) fn tells_no_more(&mut self) {
        assert!(self.tells.try_recv().is_err());
    }

    /// The app ends, as for a new deployment.
    pub(crate) async fn goes_down(&self) {
        let (_, receiver) = self.up.lock().unwrap().take().unwrap();
        receiver.drain().await;
        self.store.clone().close().await.unwrap();
    }

    /// And is there again: what it knew of the provider is forgotten.
    pub(crate) async fn comes_up(&mut self) {
        self.store = open(&self.folder).await;
        self.serve().await;
    }

    /// The provider ends and is there again, with as many keys more.
    pub(crate) async fn restart_provider(self, more_keys: u64) -> Self {
        Self { node: self.node.restart(more_keys).await, ..self }
    }

    async fn serve(&self) {
        let config = Config {
            issuer: self.node.issuer.clone(),
            client_id: self.kind.client.into(),
            client_secret: SECRET.into(),
            public_url: self.url.clone(),
            api_url: format!("{}/me", self.node.issuer),
            scopes: if self.kind.is_offline {
                "openid offline_access api.read"
            } else {
                "openid api.read"
            }
            .into(),
        };
        let provider = Provider::generic(&self.node.issuer).unwrap();
        let keys = Keys::discovered(ReqwestClient::new().unwrap())
            .ask_again_after(std::time::Duration::ZERO);
        let mut issuer =
            Issuer::new(provider, self.client(), keys).session_policy(self.kind.policy);
        if let Some(keys) = self.kind.decryption_keys() {
            issuer = issuer.decryption_keys(keys);
        }
        let told = self.told.clone();
        let routes =
            oubliette::logout::sign_out_routes(self.store.clone(), Issuers::new([issuer]).unwrap());
        let routes = routes.after_sign_out(move |signed_out| {
            told.send(signed_out).unwrap();
            async { Ok(()) }
        });
        let receiver = routes.receiver();
        let router = app(config, receiver.clone()).await.unwrap().merge(routes);
        *self.up.lock().unwrap() = Some((router, receiver));
    }
}

async fn open(folder: &tempfile::TempDir) -> AsyncTokenStore {
    TokenStore::builder(folder.path().join("tokens"))
        .key(KeySource::bytes([7; 32]))
        .open_async()
        .await
        .unwrap()
}

/// Hands every request to the app that is up, and notes what comes to the back-channel endpoint.
fn front(up: &Up, signals: &Arc<Mutex<Vec<String>>>) -> Router {
    let (up, signals) = (up.clone(), signals.clone());
    Router::new().fallback(async move |request: Request| {
        let Some((router, _)) = up.lock().unwrap().clone() else {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        };
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        if parts.uri.path() == "/logout/back-channel" {
            signals.lock().unwrap().push(String::from_utf8(body.to_vec()).unwrap());
        }
        router.oneshot(Request::from_parts(parts, Body::from(body))).await.unwrap()
    })
}
