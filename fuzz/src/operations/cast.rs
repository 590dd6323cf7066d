//! Who appears, by number; and the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use oubliette::*;

pub(super) const ACCOUNTS: u8 = 3;
pub(super) const TENANTS: u8 = 2;
pub(super) const SESSIONS: u8 = 3;
pub(super) const SUBJECTS: u8 = 3;
pub(super) const MAX_SIGN_INS: usize = 3;
pub(super) const MAX_AGE: u64 = 500;

const ISSUER: &str = "https://idp.example.com";

pub(super) fn account(number: u8) -> AccountId {
    AccountId::new("login.example.com", format!("user-{number}")).expect("an account")
}

pub(super) fn tenant(number: u8) -> TenantId {
    TenantId::new(format!("tenant-{number}")).expect("a tenant")
}

pub(super) fn session(number: u8) -> SessionId {
    SessionId::new(ISSUER, format!("session-{number}")).expect("a session")
}

pub(super) fn subject(number: u8) -> Subject {
    Subject::new(ISSUER, format!("subject-{number}")).expect("a subject")
}

pub(super) fn client() -> ClientId {
    ClientId::new("client").expect("a client")
}

/// The sets of scopes: two that have nothing in common, and both together.
pub(super) fn scopes(number: u8) -> Scopes {
    Scopes::parse(["one", "two", "one two"][usize::from(number)]).expect("scopes")
}

pub(super) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(at(0)).expect("a time of a history").as_secs()
}

/// A clock that knows the latest time that it has told.
#[derive(Clone, Default)]
pub(super) struct Time {
    now: Arc<AtomicU64>,
    told: Arc<AtomicU64>,
}

impl Time {
    pub(super) fn set(&self, now: u64) {
        self.now.store(now, Ordering::Relaxed);
    }

    /// The same time in another store.
    pub(super) fn apart(&self) -> Self {
        let clock = Self::default();
        clock.set(self.wall());
        clock
    }

    /// Another process begins, which knows no time yet.
    pub(super) fn forget(&self) {
        self.told.store(0, Ordering::Relaxed);
    }

    /// The time in the store.
    pub(super) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed).max(self.told.load(Ordering::Relaxed))
    }

    /// The time on the wall.
    pub(super) fn wall(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }
}

impl Clock for Time {
    fn now(&self) -> SystemTime {
        let now = self.wall();
        self.told.fetch_max(now, Ordering::Relaxed);
        at(now)
    }
}
