//! A store, a sign-in, and a provider: what most tests begin with.

use std::sync::{Arc, Mutex};
use std::thread::{ThreadId, current, spawn};
use std::time::SystemTime;

use oubliette::*;
use oubliette_testkit::accounts::*;
use oubliette_testkit::fixture::Fixture;

use crate::provider::Provider;

pub struct AcquireFixture {
    pub fixture: Fixture,
    pub live: LiveSignIn,
    pub provider: Provider,
    pub orphans: Orphans,
}

/// What the hook was given: secrets and reasons.
#[derive(Clone, Default)]
pub struct Orphans(Arc<Mutex<Vec<(String, OrphanReason)>>>);

impl Orphans {
    pub fn hook(&self) -> impl Fn(Orphaned) + Send + Sync + 'static {
        let all = self.0.clone();
        move |orphaned| {
            assert!(!orphaned.tokens.is_empty());
            let tokens = orphaned.tokens.iter().map(|token| (secret(token), orphaned.reason));
            all.lock().unwrap().extend(tokens);
        }
    }

    pub fn take(&self) -> Vec<(String, OrphanReason)> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

pub fn secret(token: &Token) -> String {
    match token {
        Token::Access(token) => token.secret.expose().to_owned(),
        Token::Refresh(token) => token.secret.expose().to_owned(),
        Token::Id(token) => token.secret.expose().to_owned(),
        _ => unreachable!("there are three kinds"),
    }
}

impl std::ops::Deref for AcquireFixture {
    type Target = Fixture;

    fn deref(&self) -> &Fixture {
        &self.fixture
    }
}

impl AcquireFixture {
    /// Signed in, with a refresh token and nothing else.
    pub fn new() -> Self {
        let fixture = Fixture::new();
        let live = fixture.store.sign_in(sign_in(1)).unwrap();
        let provider = Provider::new();
        live.put(refresh("rt-0")).unwrap();
        Self { fixture, live, provider, orphans: Orphans::default() }
    }

    pub fn acquirer(&self) -> Acquirer {
        Acquirer::new().on_orphaned(self.orphans.hook())
    }

    /// Acquires with the provider, and gives the token's text.
    pub fn acquire(&self, request: impl Into<AccessRequest>) -> Result<String, AcquireError> {
        self.acquire_by(&self.acquirer(), request)
    }

    pub fn acquire_by(
        &self,
        acquirer: &Acquirer,
        request: impl Into<AccessRequest>,
    ) -> Result<String, AcquireError> {
        let token = acquirer.acquire(&self.live, request, |grant| self.provider.redeem(grant))?;
        Ok(token.secret.expose().to_owned())
    }

    /// Acquires what must be in the cache.
    pub fn cached(&self, request: impl Into<AccessRequest>) -> String {
        let token = self
            .acquirer()
            .acquire(&self.live, request, |_| panic!("it is not in the cache"))
            .unwrap();
        token.secret.expose().to_owned()
    }

    pub fn stored_refresh_token(&self) -> Option<String> {
        self.live.refresh_token(&client()).unwrap().map(|token| token.secret.expose().to_owned())
    }

    /// Nothing can be read, here or after the power was cut.
    pub fn assert_gone(self) {
        assert!(!self.live.is_live().unwrap());
        assert!(
            self.live.access_token(&query("")).unwrap().is_none()
                && self.stored_refresh_token().is_none()
        );
        let id = self.live.id();
        drop(self.live);
        let mut fixture = self.fixture;
        for seed in 0..4 {
            fixture = fixture.again(|machine| machine.cut_power(seed));
            let store = &fixture.store;
            assert!(
                store.account(&account(1)).unwrap().is_empty()
                    && store.resume(&account(1), id).unwrap().is_none()
            );
        }
    }
}

type Interruption = (ThreadId, u32, Box<dyn FnOnce() + Send>);

/// A clock that lets something happen when it is looked at: between any two steps of a verb.
#[derive(Clone, Default)]
pub struct Interrupting(Arc<Mutex<Option<Interruption>>>);

impl Interrupting {
    /// When this thread looks at the clock for the `count`th time from now, this happens, on a
    /// thread of its own.
    pub fn at(&self, count: u32, what: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap() = Some((current().id(), count, Box::new(what)));
    }

    /// Whether it has not happened, nor will.
    pub fn take(&self) -> bool {
        self.0.lock().unwrap().take().is_some()
    }
}

impl Clock for Interrupting {
    fn now(&self) -> SystemTime {
        let mut next = self.0.lock().unwrap();
        if let Some((thread, left, _)) = &mut *next
            && *thread == current().id()
        {
            *left -= 1;
            if *left == 0 {
                let (_, _, what) = next.take().unwrap();
                drop(next);
                spawn(what).join().unwrap();
            }
        }
        now()
    }
}

pub fn reason(error: &AcquireError) -> InteractionReason {
    match error {
        AcquireError::InteractionRequired { reason, .. } => *reason,
        other => panic!("{other:?}"),
    }
}
