//! When a token that is only due is not to be refreshed for a while: its last refresh has failed.

use std::collections::HashMap;
use std::time::Duration;

use crate::model::random_id::SignInId;
use crate::model::tag::{AccountTag, Slot, TenantTag};
use crate::model::time::{Interval, millis};
use crate::platform::sync::{Mutex, lock};

/// The most that are remembered. A provider that is out of order for more accounts than that is
/// asked a little more often.
const MOST: usize = 16 * 1024;

/// One access token: account, sign-in, tenant, slot.
pub(super) type Held = (AccountTag, SignInId, TenantTag, Slot);

/// All that are held. Nothing here holds up a refresh that is required.
#[derive(Default)]
pub(super) struct Holds(Mutex<HashMap<Held, Hold>>);

/// By the time that passes in this process, which nobody sets.
struct Hold {
    failures: u32,
    until: Interval,
    /// From when nothing is left of it: a failure after that is the first one again.
    forgotten: Interval,
}

impl Holds {
    pub(super) fn is_held(&self, token: &Held, now: Interval) -> bool {
        lock(&self.0).get(token).is_some_and(|hold| hold.until > now)
    }

    /// Its refresh has failed: the next one not before `first`, twice that after the second
    /// failure, and so on up to `most`.
    pub(super) fn failed(&self, token: Held, now: Interval, first: Duration, most: Duration) {
        let mut holds = lock(&self.0);
        let failures =
            holds.get(&token).filter(|hold| hold.forgotten > now).map_or(0, |hold| hold.failures);
        let pause = millis(first).saturating_mul(1 << failures.min(32)).min(millis(most));
        let until = now.saturating_add(pause);
        if holds.len() >= MOST {
            holds.retain(|_, hold| hold.forgotten > now);
        }
        if holds.len() >= MOST
            && let Some(any) = holds.keys().next().copied()
        {
            holds.remove(&any);
        }
        let forgotten = until.saturating_add(millis(most));
        holds.insert(token, Hold { failures: failures.saturating_add(1), until, forgotten });
    }

    /// It was refreshed.
    pub(super) fn done(&self, token: &Held) {
        lock(&self.0).remove(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(30);
    const MOST_PAUSE: Duration = Duration::from_secs(100);

    fn token(number: u32) -> Held {
        let mut slot = [0; 16];
        slot[..4].copy_from_slice(&number.to_be_bytes());
        (AccountTag::filled(1), SignInId::filled(2), TenantTag::filled(3), Slot::from_bytes(slot))
    }

    #[test]
    fn pauses_double_up_to_the_most_and_begin_anew_when_forgotten() {
        let (holds, mut now) = (Holds::default(), Interval::new(1000));
        for pause in [30_000, 60_000, 100_000, 100_000].map(Interval::new) {
            holds.failed(token(1), now, FIRST, MOST_PAUSE);
            let end = now.saturating_add(pause);
            assert!(holds.is_held(&token(1), end.saturating_sub(Interval::new(1))));
            assert!(!holds.is_held(&token(1), end));
            now = end;
        }
        assert!(!holds.is_held(&token(2), Interval::new(1000)));
        now = now.saturating_add(Interval::new(100_000));
        holds.failed(token(1), now, FIRST, MOST_PAUSE);
        assert!(!holds.is_held(&token(1), now.saturating_add(Interval::new(30_000))));
        holds.failed(token(1), now, FIRST, MOST_PAUSE);
        holds.done(&token(1));
        assert!(!holds.is_held(&token(1), now));
    }

    #[test]
    fn they_stay_bounded_and_those_that_are_over_go_first() {
        let holds = Holds::default();
        let count = u32::try_from(MOST).unwrap();
        (0..count / 2).for_each(|number| holds.failed(token(number), Interval::ZERO, FIRST, FIRST));
        (count / 2..count)
            .for_each(|number| holds.failed(token(number), Interval::ZERO, FIRST, MOST_PAUSE));
        holds.failed(token(count), Interval::new(70_000), FIRST, MOST_PAUSE);
        assert_eq!(lock(&holds.0).len(), MOST / 2 + 1);
        (0..2 * count).for_each(|number| {
            holds.failed(token(number), Interval::new(70_000), FIRST, MOST_PAUSE)
        });
        assert_eq!(lock(&holds.0).len(), MOST);
        assert!(holds.is_held(&token(2 * count - 1), Interval::new(70_001)));
    }
}
