//! Demonstration: what the provider knows, all of it in memory.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, header};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use openidconnect::reqwest;
use tokio::sync::watch;

use super::Client;
use super::keys::Keys;

/// Somebody who can sign in, without a password.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    /// Where: a guest is one account in more than one.
    pub(crate) tenants: &'static [&'static str],
}

pub(crate) const USERS: &[User] = &[
    User { id: "jane", name: "Jane", tenants: &["contoso"] },
    User { id: "joe", name: "Joe", tenants: &["contoso"] },
    User { id: "ada", name: "Ada", tenants: &["fabrikam"] },
    User { id: "max", name: "Max", tenants: &["contoso", "fabrikam"] },
];

/// By which channels apps are told of a sign-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    BackChannel,
    FrontChannel,
    Both,
}

impl Tell {
    pub(super) fn is_back(self) -> bool {
        self != Self::FrontChannel
    }

    pub(super) fn is_front(self) -> bool {
        self != Self::BackChannel
    }
}

/// What has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) refreshes: u64,
    /// Refresh tokens that came a second time: all of that sign-in end (RFC 9700 §4.14.2).
    pub(crate) reuses: u64,
    /// Logout tokens that an app took, and that it did not.
    pub(crate) told: u64,
    pub(crate) not_told: u64,
}

/// A user in a tenant.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) user: &'static User,
    pub(super) tenant: String,
}

impl Who {
    /// As the page's buttons have it: `jane contoso`.
    pub(super) fn parse(users: &'static [User], text: &str) -> Option<Self> {
        let (id, tenant) = text.split_once(' ')?;
        let user = users.iter().find(|user| user.id == id && user.tenants.contains(&tenant))?;
        Some(Self { user, tenant: tenant.into() })
    }

    /// All that there are.
    pub(super) fn all(users: &'static [User]) -> impl Iterator<Item = Self> {
        let of = |user: &'static User| {
            user.tenants.iter().map(move |tenant| Self { user, tenant: (*tenant).into() })
        };
        users.iter().flat_map(of)
    }
}

/// Of one browser.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) sid: String,
    pub(super) who: Who,
    pub(super) since: u64,
    /// The apps that were given an ID token of it.
    pub(super) clients: BTreeSet<String>,
}

/// What an app asks for at the authorization endpoint.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) client: String,
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) scope: String,
    pub(super) challenge: String,
    pub(super) until: u64,
}

/// What was asked for, by whom it was granted, and in which session.
#[derive(Clone, Debug)]
pub(super) struct Granted {
    pub(super) asked: Asked,
    pub(super) who: Who,
    pub(super) sid: String,
    pub(super) since: u64,
}

/// The refresh tokens of one sign-in of an app: only the newest counts.
pub(super) struct Family {
    pub(super) granted: Granted,
    pub(super) newest: String,
    pub(super) used: u64,
}

pub(super) struct Access {
    pub(super) granted: Granted,
    pub(super) until: u64,
}

pub(super) struct All {
    pub(super) tell: Tell,
    pub(super) counts: Counts,
    /// By what the browser's cookie says.
    pub(super) sessions: HashMap<String, Session>,
    /// For whom a user is being chosen.
    pub(super) requests: HashMap<String, Asked>,
    pub(super) codes: HashMap<String, Granted>,
    pub(super) access: HashMap<String, Access>,
    pub(super) families: HashMap<String, Family>,
}

pub(super) struct Shared {
    pub(super) issuer: String,
    pub(super) clients: Vec<Client>,
    pub(super) users: &'static [User],
    pub(super) access_life: Duration,
    pub(super) keys: Keys,
    pub(super) http: reqwest::Client,
    pub(super) stop: Stop,
    all: Mutex<All>,
}

const COOKIE: &str = "provider_session";
/// How long refresh tokens are good that nobody uses, in seconds.
const FAMILY_LIFE: u64 = 12 * 3600;

impl Shared {
    pub(super) async fn new(
        issuer: String,
        clients: Vec<Client>,
        users: &'static [User],
        access_life: Duration,
    ) -> Self {
        let all = All {
            tell: Tell::Both,
            counts: Counts::default(),
            sessions: HashMap::new(),
            requests: HashMap::new(),
            codes: HashMap::new(),
            access: HashMap::new(),
            families: HashMap::new(),
        };
        let (keys, http, stop) = (Keys::new().await, super::http(), Stop::default());
        Self { issuer, clients, users, access_life, keys, http, stop, all: Mutex::new(all) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn client(&self, id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.id == id)
    }

    /// Has this browser bring the session along: not to apps, and not with their forms.
    pub(super) fn cookie(session: &str) -> String {
        format!("{COOKIE}={session}; Path=/; HttpOnly; SameSite=Lax")
    }

    pub(super) fn no_cookie() -> String {
        format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")
    }
}

impl All {
    /// The session of the browser that this came from, with what its cookie says.
    pub(super) fn session(&self, headers: &HeaderMap) -> Option<(String, Session)> {
        let cookies =
            headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
        let mut pairs = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='));
        pairs.find_map(|(name, value)| {
            let session = self.sessions.get(value).filter(|_| name == COOKIE)?;
            Some((value.to_owned(), session.clone()))
        })
    }

    pub(super) fn has_session(&self, sid: &str) -> bool {
        self.sessions.values().any(|session| session.sid == sid)
    }

    /// Forgets what is over.
    pub(super) fn prune(&mut self) {
        let now = now();
        self.requests.retain(|_, asked| asked.until > now);
        self.codes.retain(|_, granted| granted.asked.until > now);
        self.access.retain(|_, access| access.until > now);
        self.families.retain(|_, family| family.used + FAMILY_LIFE > now);
    }
}

/// Says to whoever waits that it is time to end.
#[derive(Clone)]
pub(super) struct Stop(watch::Sender<bool>);

impl Default for Stop {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Stop {
    pub(super) fn now(&self) {
        self.0.send_replace(true);
    }

    pub(super) async fn wait(&self) {
        _ = self.0.subscribe().wait_for(|stop| *stop).await;
    }
}

/// What nobody can guess.
pub(super) fn random() -> String {
    let mut bytes = [0; 24];
    if getrandom::fill(&mut bytes).is_err() {
        panic!("the system gives no random numbers");
    }
    Base64UrlUnpadded::encode_string(&bytes)
}

/// As a NumericDate (RFC 7519 §2).
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
