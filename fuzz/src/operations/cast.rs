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

/// A clock that goes on, and is set back now and then. All in seconds.
#[derive(Clone, Default)]
pub(super) struct Time {
    now: Arc<AtomicU64>,
    passed: Arc<AtomicU64>,
    process: Arc<AtomicU64>,
}

impl Time {
    /// Time goes by up to then, or somebody sets the clock back.
    pub(super) fn set(&self, now: u64) {
        let before = self.now.swap(now, Ordering::Relaxed);
        self.passed.fetch_add(now.saturating_sub(before), Ordering::Relaxed);
    }

    /// The same time in another store.
    pub(super) fn apart(&self) -> Self {
        let clock = Self::default();
        clock.set(self.now());
        clock
    }

    /// Another process begins, which does not know what has passed in the one before.
    pub(super) fn forget(&self) {
        self.process.fetch_add(1, Ordering::Relaxed);
    }

    /// What it shows.
    pub(super) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// What it shows, what has passed, and in which process.
    pub(super) fn moment(&self) -> (u64, u64, u64) {
        (self.now(), self.passed.load(Ordering::Relaxed), self.process.load(Ordering::Relaxed))
    }
}

impl Clock for Time {
    fn now(&self) -> SystemTime {
        at(self.now())
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.passed.load(Ordering::Relaxed))
    }
}
