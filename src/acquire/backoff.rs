//! The back-off after a failed refresh: until when a token that is only due is not refreshed again.

use std::collections::HashMap;
use std::time::Duration;

use crate::model::random_id::SignInId;
use crate::model::tag::{AccountTag, Slot, TenantTag};
use crate::model::time::{Interval, millis};
use crate::platform::sync::{Mutex, lock};

/// The most back-offs that are remembered. If a provider is out of order for more accounts than
/// that, it is asked a little more often.
const MAX_BACKOFFS: usize = 16 * 1024;

/// One access token: account, sign-in, tenant, slot.
pub(super) type BackoffKey = (AccountTag, SignInId, TenantTag, Slot);

/// The back-offs of all tokens. None of them delays a refresh that is required.
#[derive(Default)]
pub(super) struct Backoffs(Mutex<HashMap<BackoffKey, Backoff>>);

struct Backoff {
    failures: u32,
    until: Interval,
    /// A failure after this time counts as the first one again.
    forgotten: Interval,
}

impl Backoffs {
    /// Whether the token is not to be refreshed yet.
    pub(super) fn is_waiting(&self, token: &BackoffKey, now: Interval) -> bool {
        lock(&self.0).get(token).is_some_and(|backoff| backoff.until > now)
    }

    /// Records that the token's refresh has failed. The next one waits for `first`, after the
    /// second failure for twice that, and so on up to `most`.
    pub(super) fn record_failure(
        &self,
        token: BackoffKey,
        now: Interval,
        first: Duration,
        most: Duration,
    ) {
        let mut backoffs = lock(&self.0);
        let failures = backoffs
            .get(&token)
            .filter(|backoff| backoff.forgotten > now)
            .map_or(0, |backoff| backoff.failures);
        let pause = millis(first).saturating_mul(1 << failures.min(32)).min(millis(most));
        let until = now.saturating_add(pause);

        // Those that are over go first, then any one.
        if backoffs.len() >= MAX_BACKOFFS {
            backoffs.retain(|_, backoff| backoff.forgotten > now);
        }
        if backoffs.len() >= MAX_BACKOFFS
            && let Some(any) = backoffs.keys().next().copied()
        {
            backoffs.remove(&any);
        }
        let forgotten = until.saturating_add(millis(most));
        backoffs.insert(token, Backoff { failures: failures.saturating_add(1), until, forgotten });
    }

    /// Records that the token was refreshed.
    pub(super) fn record_success(&self, token: &BackoffKey) {
        lock(&self.0).remove(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(30);
    const MAX_PAUSE: Duration = Duration::from_secs(100);

    fn token(number: u32) -> BackoffKey {
        let mut slot = [0; 16];
        slot[..4].copy_from_slice(&number.to_be_bytes());
        (AccountTag::filled(1), SignInId::filled(2), TenantTag::filled(3), Slot::from_bytes(slot))
    }

    #[test]
    fn pauses_double_up_to_the_most_and_begin_anew_when_forgotten() {
        let (backoffs, mut now) = (Backoffs::default(), Interval::new(1000));
        for pause in [30_000, 60_000, 100_000, 100_000].map(Interval::new) {
            backoffs.record_failure(token(1), now, FIRST, MAX_PAUSE);
            let end = now.saturating_add(pause);
            assert!(backoffs.is_waiting(&token(1), end.saturating_sub(Interval::new(1))));
            assert!(!backoffs.is_waiting(&token(1), end));
            now = end;
        }
        assert!(!backoffs.is_waiting(&token(2), Interval::new(1000)));
        now = now.saturating_add(Interval::new(100_000));
        backoffs.record_failure(token(1), now, FIRST, MAX_PAUSE);
        assert!(!backoffs.is_waiting(&token(1), now.saturating_add(Interval::new(30_000))));
        backoffs.record_failure(token(1), now, FIRST, MAX_PAUSE);
        backoffs.record_success(&token(1));
        assert!(!backoffs.is_waiting(&token(1), now));
    }

    #[test]
    fn they_stay_bounded_and_those_that_are_over_go_first() {
        let backoffs = Backoffs::default();
        let count = u32::try_from(MAX_BACKOFFS).unwrap();
        (0..count / 2).for_each(|number| {
            backoffs.record_failure(token(number), Interval::ZERO, FIRST, FIRST)
        });
        (count / 2..count).for_each(|number| {
            backoffs.record_failure(token(number), Interval::ZERO, FIRST, MAX_PAUSE)
        });
        backoffs.record_failure(token(count), Interval::new(70_000), FIRST, MAX_PAUSE);
        assert_eq!(lock(&backoffs.0).len(), MAX_BACKOFFS / 2 + 1);
        (0..2 * count).for_each(|number| {
            backoffs.record_failure(token(number), Interval::new(70_000), FIRST, MAX_PAUSE)
        });
        assert_eq!(lock(&backoffs.0).len(), MAX_BACKOFFS);
        assert!(backoffs.is_waiting(&token(2 * count - 1), Interval::new(70_001)));
    }
}
