//! A provider that rotates refresh tokens, and revokes the family when one is used twice.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use oubliette::*;

#[derive(Clone)]
pub struct Provider(Arc<Mutex<State>>);

struct State {
    valid: String,
    serial: u32,
    redemptions: u32,
    busy: u32,
    overlapped: bool,
    is_revoked: bool,
    life: Duration,
}

impl Provider {
    pub fn new() -> Self {
        let life = Duration::from_secs(3600);
        let valid = "rt-0".to_owned();
        Self(Arc::new(Mutex::new(State {
            valid,
            serial: 0,
            redemptions: 0,
            busy: 0,
            overlapped: false,
            is_revoked: false,
            life,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// How long the access tokens live that it issues.
    pub fn set_life(&self, life: Duration) {
        self.state().life = life;
    }

    /// How often a refresh token was redeemed.
    pub fn redemptions(&self) -> u32 {
        self.state().redemptions
    }

    /// Whether no refresh token was ever used twice, nor two at a time.
    pub fn is_content(&self) -> bool {
        let state = self.state();
        !state.is_revoked && !state.overlapped && state.busy == 0
    }

    /// The refresh token that it would take.
    pub fn valid(&self) -> String {
        self.state().valid.clone()
    }

    fn begin(&self) {
        let mut state = self.state();
        state.overlapped |= state.busy > 0;
        state.busy += 1;
    }

    fn finish(&self, grant: &Grant) -> Result<Tokens, RefreshError> {
        let mut state = self.state();
        state.busy -= 1;
        state.redemptions += 1;
        let given =
            grant.refresh_token().ok_or_else(|| RefreshError::failed("no refresh token"))?;
        if state.is_revoked || given.secret.expose() != state.valid {
            state.is_revoked = true;
            return Err(RefreshError::invalid_grant(
                "the refresh token was used before: the family is revoked",
            ));
        }
        state.serial += 1;
        state.valid = format!("rt-{}", state.serial);
        let access = grant.access_token(None, format!("at-{}", state.serial), state.life);
        Ok([access.into(), grant.next_refresh_token(state.valid.as_str()).into()].into())
    }

    pub fn redeem(&self, grant: &Grant) -> Result<Tokens, RefreshError> {
        self.begin();
        (0..20).for_each(|_| std::thread::yield_now());
        self.finish(grant)
    }

    pub async fn redeem_async(&self, grant: &Grant) -> Result<Tokens, RefreshError> {
        self.begin();
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        self.finish(grant)
    }
}
